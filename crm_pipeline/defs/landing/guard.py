"""What stands between a file's rows and the warehouse: who must not enter, and what goes elsewhere.

Of a table with direct identifiers, every row that fits passes through here: its personal values go
to the vault, and what stands in their place (tokens, scores of texts) to a temporary table that
the rows are then joined with. Where anybody was forgotten, their rows are told apart here, in every
table that names them. Belongs here: that pass. Encryption and tokens are the vault's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from crm_pipeline.defs.landing.contracts import TEXT_SCORES, ColumnContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier
from ml.satisfaction.text_scores import score_text

ERASED = "erased_on_request"
"""Reason of a row that names a forgotten customer: counted, and nothing of it is kept."""

SCREENED = "temp.screened"
CUSTOMER = "customer"
_BATCH_ROWS = 100_000

Value = str | None


class Guard:
    """The home's vault, opened when the first table needs it.

    Attributes:
        keeps: Whether values are kept in the vault; ``crm source check`` only looks.
        found: Documents of forgotten customers that were turned away, not yet among the tombstones.
    """

    def __init__(self, home: Path, master_key: str | None, *, keeps: bool = True) -> None:
        """Take the place of the vault; nothing is opened yet."""
        self.home = home
        self.master_key = master_key
        self.keeps = keeps
        self._held = ExitStack()
        self._vault: Any = None
        self._erased: frozenset[bytes] | None = None
        self._is_open = False
        self.found: set[tuple[str, bytes]] = set()

    def close(self) -> None:
        """Close the vault, if it was opened."""
        self._held.close()
        self._vault = None

    @property
    def has_vault(self) -> bool:
        """Whether there is a vault, opened or not."""
        from crm_pipeline.vault.store import FILE

        return self._vault is not None or (self.home / FILE).is_file()

    @property
    def vault(self) -> Any:
        """The vault (``crm_pipeline.vault.store.Vault``), made if there is none."""
        if self._vault is None:
            from crm_pipeline.vault.store import open_vault

            self._vault = self._held.enter_context(open_vault(self.home, self.master_key))
        return self._vault

    @property
    def keys(self) -> Any:
        """The home's keys; without keeping, those of nobody."""
        if self.keeps:
            return self.vault.keys
        from crm_pipeline.vault.keys import KEY_BYTES, Keys

        return Keys(bytes(KEY_BYTES))

    @property
    def erased(self) -> frozenset[bytes]:
        """Who and what was forgotten, by keyed hash."""
        if self._erased is None:
            found = self.vault.tombstones() if self.keeps and self.has_vault else ()
            self._erased = frozenset(found)
        return self._erased

    def forget_tombstones(self) -> None:
        """Read them again: some were added."""
        self._erased = None

    @contextmanager
    def content(self) -> Iterator[None]:
        """Keep what the block puts into the vault if it succeeds, and nothing of it if not."""
        try:
            yield
        except BaseException:
            self._end("rollback")
            raise
        self._end("commit")

    def _end(self, how: str) -> None:
        if self._is_open:
            self._is_open = False
            self.vault.con.execute(how)

    def begin(self, content: tuple[str, str, str, str]) -> int:
        """Begin to put a content's values into the vault; return its number there."""
        self._is_open = True
        number: int = self.vault.begin_content(content)
        return number

    def watches(self, table: TableContract) -> bool:
        """Whether rows of a table must pass here."""
        return table.is_sealed or bool(
            self.erased and any(column.identifies for column in table.stored_columns)
        )


@contextmanager
def guarding(home: Path, master_key: str | None) -> Iterator[Guard]:
    """Yield the guard of a home; its vault is closed afterwards."""
    guard = Guard(home, master_key)
    try:
        yield guard
    finally:
        guard.close()


def document_of(table: TableContract) -> ColumnContract | None:
    """Return the column of a customer's own documents: the key of a table that names the customer.

    An order is its customer's; a campaign that a touch names is not.
    """
    if len(table.key) != 1 or table.identity_of(CUSTOMER) is None:
        return None
    column = table.column(table.key[0])
    return column if set(column.identifies) - {CUSTOMER, "product"} else None


def document_kinds(document: ColumnContract) -> tuple[str, ...]:
    """Return what a column of documents numbers, beside the customer where it is one number."""
    return tuple(kind for kind in document.identifies if kind not in (CUSTOMER, "product"))


def erased_lines(table: TableContract, rows_sql: str, guard: Guard) -> set[int]:
    """Return the lines of a content's rows, good and bad, that name somebody forgotten."""
    found: set[int] = set()
    for values in _batches(table, rows_sql):
        batch = _Batch(table, values, guard)
        batch.judge()
        found |= {batch.lines[at] for at, fault in batch.faults.items() if fault[0] == ERASED}
    return found


def entity_key(table: TableContract, kind: str, number: str) -> str:
    """Return the key of a row's customer, order, ...: customers' are shared by a namespace."""
    return f"{table.namespace if kind == CUSTOMER else table.source}:{number}"


def screen(
    con: duckdb.DuckDBPyConnection, table: TableContract, digest: str, rows_sql: str, guard: Guard
) -> None:
    """Fill ``temp.screened`` for the rows of ``rows_sql``, and the vault beside it.

    Of a table with direct identifiers it gets every row: ``_line``, what stands in the personal
    columns' place, and for rows that must not enter ``_fault``. Of other tables, those rows only.
    The vault's transaction is left open: commit it before the warehouse's own.

    Args:
        con: The warehouse.
        table: The table.
        digest: The content.
        rows_sql: The rows that fit: ``_line``, and ``t0, t1, ...`` as the declared columns.
        guard: Who is watching.
    """
    in_place = [stored for column in table.direct_columns for stored in column.stored]
    types = {column.name: column.data_type for column in in_place}
    columns = "".join(f", {identifier(name)} {kind}" for name, kind in types.items())
    con.execute(
        f"create or replace temp table screened (_line bigint{columns}, _fault varchar, "
        "_position integer, _column varchar)"
    )
    content = (table.source, table.name, digest, table.digest)
    number = guard.begin(content) if table.is_sealed and guard.keeps else None
    for batch in _batches(table, rows_sql):
        found = _Batch(table, batch, guard)
        found.judge()
        if number is not None:
            found.to_vault(number, content)
        _insert(con, found.rows(only_faults=not table.is_sealed))


def _batches(table: TableContract, rows_sql: str) -> Iterator[Mapping[str, list[Any]]]:
    """Yield the rows in batches, read by a DuckDB in memory that must not spill them."""
    wanted = ["_line"]
    for index, column in enumerate(table.columns):
        if column.is_direct:
            wanted.append(f"cast(t{index} as varchar) as d{index}")
        elif column.identifies:
            named = column.identity_sql
            wanted.append(
                f"(select {named} from (select t{index} as {identifier(column.name)})) as i{index}"
            )
    config: dict[str, str | bool | int | float | list[str]] = {"temp_directory": ""}
    with duckdb.connect(config=config) as private:
        private.execute("set preserve_insertion_order = false")
        private.execute(f"set TimeZone = '{table.time_zone}'")
        reader = private.execute(f"select {', '.join(wanted)} from ({rows_sql})").to_arrow_reader(
            _BATCH_ROWS
        )
        for batch in reader:
            yield batch.to_pydict()


def _insert(con: duckdb.DuckDBPyConnection, rows: Mapping[str, Any]) -> None:
    if not len(rows["_line"]):
        return
    import pyarrow as pa

    con.register("screened_rows", pa.table(dict(rows)))
    con.execute(f"insert into {SCREENED} by name select * from screened_rows")
    con.unregister("screened_rows")


class _Batch:
    """Some rows of one content."""

    def __init__(self, table: TableContract, values: Mapping[str, list[Any]], guard: Guard) -> None:
        self.table = table
        self.values = values
        self.guard = guard
        self.lines: list[int] = values["_line"]
        self.faults: dict[int, tuple[str, int, str]] = {}
        self.in_place: dict[str, list[Any]] = {}
        self.persons: list[bytes] | None = None

    def judge(self) -> None:
        """Work out what stands in the values' place, and whose rows must not enter."""
        for index, column in enumerate(self.table.columns):
            if column.is_direct:
                self._replace(index, column)
        erased = self.guard.erased
        for index, column in enumerate(self.table.columns):
            if not column.identifies:
                continue
            numbers = self._numbers(index, column)
            if CUSTOMER in column.identifies and self.table.is_sealed:
                self.persons = self._identities(CUSTOMER, numbers, {})
            for kind in column.identifies if erased else ():
                hashes = self._identities(kind, numbers, {"": b""})
                for at, one in enumerate(hashes):
                    if one in erased:
                        self.faults[at] = (ERASED, index + 1, column.name)
                if kind == CUSTOMER:
                    self._bury_documents(hashes)

    def _bury_documents(self, customers: Sequence[bytes]) -> None:
        """Remember the documents of forgotten customers: lines that name them only go too."""
        document = document_of(self.table)
        if document is None:
            return
        index = next(i for i, c in enumerate(self.table.columns) if document in c.stored)
        numbers = self._numbers(index, self.table.columns[index])
        of_erased = [
            n for n, who in zip(numbers, customers, strict=True) if who in self.guard.erased
        ]
        for number in filter(None, of_erased):
            for kind in document_kinds(document):
                key = entity_key(self.table, kind, number)
                self.guard.found.add((kind, self.guard.keys.identity(kind, key)))

    def _replace(self, index: int, column: ColumnContract) -> None:
        from crm_pipeline.vault.tokens import token

        values: list[Value] = self.values[f"d{index}"]
        distinct = set(values) - {None}
        if column.token:
            key, country = self.guard.keys.token, self.table.country
            of = {text: token(key, column.token, text, country) for text in distinct if text}
            tokens = [of.get(text) if text is not None else None for text in values]
            self.in_place[column.stored[0].name] = tokens
            if column.required:
                for at, one in enumerate(tokens):
                    if one is None:
                        self.faults.setdefault(at, ("missing_value", index + 1, column.name))
        elif column.text:
            scores = {text: vars(score_text(text)) for text in distinct if text is not None}
            nothing = dict.fromkeys(TEXT_SCORES)
            rows = [nothing if text is None else scores[text] for text in values]
            for score in TEXT_SCORES:
                self.in_place[f"{column.name}_{score}"] = [row[score] for row in rows]

    def _numbers(self, index: int, column: ColumnContract) -> list[str]:
        """Return what each row calls the entity that a column identifies; empty for none."""
        if column.is_direct:
            return [one or "" for one in self.in_place[column.stored[0].name]]
        numbers: list[str] = self.values[f"i{index}"]
        return numbers

    def _identities(
        self, kind: str, numbers: Sequence[str], known: dict[str, bytes]
    ) -> list[bytes]:
        """Return keyed hashes; of a row that names nobody, what ``known`` says or a random one."""
        from crm_pipeline.vault.store import new_persons

        keys, table = self.guard.keys, self.table
        of = known | {
            number: keys.identity(kind, entity_key(table, kind, number))
            for number in set(numbers)
            if number
        }
        if "" in of:
            return [of[number] for number in numbers]
        strangers = iter(new_persons(sum(not number for number in numbers)))
        return [of[number] if number else next(strangers) for number in numbers]

    def to_vault(self, number: int, content: tuple[str, str, str, str]) -> None:
        """Put the values of the rows that enter into the vault."""
        from crm_pipeline.vault.store import new_persons

        persons = self.persons or new_persons(len(self.lines))
        columns = {
            column.name: self.values[f"d{index}"]
            for index, column in enumerate(self.table.columns)
            if column.is_direct
        }
        entering = [at for at in range(len(self.lines)) if at not in self.faults]
        if len(entering) < len(self.lines):
            columns = {name: [v[at] for at in entering] for name, v in columns.items()}
            persons = [persons[at] for at in entering]
        lines = [self.lines[at] for at in entering]
        self.guard.vault.put(number, content, lines, persons, columns)

    def rows(self, *, only_faults: bool) -> Mapping[str, Any]:
        """Return the rows of ``temp.screened``."""
        import pyarrow as pa

        chosen = sorted(self.faults) if only_faults else range(len(self.lines))
        nothing = (None, None, None)
        faults = [self.faults.get(at, nothing) for at in chosen]
        kinds = {
            stored.name: pa.int32() if stored.data_type == "integer"
            else pa.float64() if stored.data_type == "double" else pa.string()
            for column in self.table.direct_columns
            for stored in column.stored
        }  # fmt: skip
        return {
            "_line": pa.array([self.lines[at] for at in chosen], pa.int64()),
            **{
                name: pa.array([values[at] for at in chosen], kinds[name])
                for name, values in self.in_place.items()
            },
            "_fault": pa.array([fault for fault, _, _ in faults], pa.string()),
            "_position": pa.array([position for _, position, _ in faults], pa.int32()),
            "_column": pa.array([name for _, _, name in faults], pa.string()),
        }
