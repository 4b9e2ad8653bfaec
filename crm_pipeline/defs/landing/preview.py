"""Before landing: what would be quarantined in a file, and a first draft of its contract.

Belongs here: ``crm source check`` and ``crm source draft``. Neither touches the warehouse.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import ledger
from crm_pipeline.defs.landing.content import Counts, NeedsSplittingError, insert_content
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.drift import RefusedFileError
from crm_pipeline.defs.landing.grammar import Grammar
from crm_pipeline.defs.landing.guard import Guard
from crm_pipeline.defs.landing.inbox import table_for
from crm_pipeline.defs.landing.prepare import must_split, prepare, split
from crm_pipeline.defs.landing.records import read_header
from crm_pipeline.defs.landing.sqltext import path_literal
from crm_pipeline.defs.landing.store import is_too_bad
from crm_pipeline.defs.landing.stream import PARQUET_MAGIC, Part, UnreadableFileError, normalise
from crm_pipeline.errors import UserError

_PERSONAL = re.compile(
    r"e.?mail|phone|mobile|(first|last|full|sur|given|family|customer).?name|address|street|birth"
    r"|passport|iban|ssn",
    re.IGNORECASE,
)
_TYPES = {
    "BIGINT": "bigint",
    "INTEGER": "bigint",
    "SMALLINT": "bigint",
    "TINYINT": "bigint",
    "HUGEINT": "decimal(38,0)",
    "DOUBLE": "decimal(18,4)",
    "FLOAT": "decimal(18,4)",
    "BOOLEAN": "boolean",
    "DATE": "date",
}


@dataclass(frozen=True)
class Fault:
    """One thing that does not fit; ``raw`` is withheld where it is personal."""

    line: int
    column: str | None
    reason: str
    raw: str | None


@dataclass(frozen=True)
class CheckReport:
    """What landing a file would do.

    Attributes:
        source: The source that the file would feed.
        table: The table.
        counts: Rows read, accepted and quarantined; ``None`` where the file is refused.
        faults: The first faults, by line and column.
        reasons: Rows by reason, each row under its first fault.
        notes: What is worth knowing although the file lands.
        refusal: Why nothing of the file would land, or ``None``.
    """

    source: str
    table: str
    counts: Counts | None
    faults: tuple[Fault, ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def is_ok(self) -> bool:
        """Whether every row would be accepted."""
        return self.counts is not None and self.refusal is None and not self.counts.quarantined

    def __str__(self) -> str:
        """The report as text."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """The report, for a terminal."""
        text = [f"table {self.source}.{self.table}"]
        if self.counts:
            text.append(
                f"{self.counts.read:,} rows: {self.counts.accepted:,} would land, "
                f"{self.counts.quarantined:,} would go to quarantine"
            )
        if self.refusal:
            text.append(f"refused: {self.refusal}")
        text += [f"note: {note}" for note in self.notes]
        text += [f"{count:,} x {reason}" for reason, count in self.reasons]
        for fault in self.faults:
            where = f"line {fault.line}" + (f", {fault.column}" if fault.column else "")
            raw = f": {fault.raw!r}" if fault.raw is not None else ""
            text.append(f"{where}: {fault.reason}{raw}")
        return text


def check_file(
    path: Path,
    contracts: Mapping[str, SourceContract],
    *,
    scratch: Path,
    source: str | None = None,
    table: str | None = None,
    fault_limit: int = 20,
) -> CheckReport:
    """Tell what would become of a file.

    Args:
        path: The file.
        contracts: All declared sources.
        scratch: An existing folder for temporary copies (``$CRM_HOME/tmp``).
        source: Its source; without it the file's folder, then its name decides.
        table: Its table; without it the file's name decides.
        fault_limit: How many faults to list.

    Raises:
        UserError: There is no such file, or no single table for it.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file.")
    contract = _choose(path, contracts, source, table)
    with tempfile.TemporaryDirectory(prefix="check-", dir=scratch) as name:
        folder = Path(name)
        content = folder / "content"
        content.mkdir()
        with duckdb.connect(str(folder / "check.duckdb")) as con:
            return _check(con, contract, path, content, fault_limit)


def _check(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    path: Path,
    folder: Path,
    fault_limit: int,
) -> CheckReport:
    guard = Guard(folder, None, keeps=False)
    ledger.ensure_control(con)
    ledger.create_landing_table(con, contract)
    con.execute(f"set TimeZone = '{contract.time_zone}'")
    try:
        prepared = prepare(contract, path, folder)
        if must_split(prepared):
            prepared = split(prepared)
        con.begin()
        try:
            counts = insert_content(con, prepared, guard)
        except NeedsSplittingError:
            con.rollback()
            con.begin()
            prepared = split(prepared)
            counts = insert_content(con, prepared, guard)
        con.commit()
    except RefusedFileError as fault:
        return CheckReport(contract.source, contract.name, None, refusal=str(fault))
    faults = con.execute(
        "select line_number, column_name, reason, raw_value from control.quarantine "
        "order by line_number, column_position limit ?",
        [fault_limit],
    ).fetchall()
    reasons = con.execute(
        "select reason, count(*) from (select line_number, "
        "arg_min(reason, column_position) as reason from control.quarantine group by all) "
        "group by all order by 2 desc, 1"
    ).fetchall()
    refusal = None
    if is_too_bad(contract, counts):
        limit = contract.max_quarantine_rate
        allowed = "one good row is needed" if limit is None else f"allowed are {limit:.1%}"
        refusal = f"too many rows do not fit; {allowed}"
    return CheckReport(
        contract.source,
        contract.name,
        counts,
        faults=tuple(Fault(*row) for row in faults),
        reasons=tuple((str(reason), int(count)) for reason, count in reasons),
        notes=prepared.notes,
        refusal=refusal,
    )


def _choose(
    path: Path,
    contracts: Mapping[str, SourceContract],
    source: str | None,
    table: str | None,
) -> TableContract:
    if source is not None and source not in contracts:
        raise UserError(f"no source {source}; known are {', '.join(sorted(contracts))}.")
    folder = path.resolve().parent.name
    chosen = source or (folder if folder in contracts else None)
    sources: Iterable[SourceContract] = (
        [contracts[chosen]] if chosen is not None else contracts.values()
    )
    if table is not None:
        found = [item for one in sources for item in one.tables if item.name == table]
    else:
        found = [item for one in sources for item in table_for(one, path.name)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(item.label for item in found)
        raise UserError(f"{path.name} fits several tables ({names}): name the source and table.")
    raise UserError(
        f"{path.name} matches no table's file pattern: name the source and table, or start a "
        "sources file with `crm source draft`."
    )


def draft_source(path: Path, *, scratch: Path, source: str | None = None) -> str:
    """Return the text of a sources file for ``path``, for a human to edit.

    Delimiter, quote, header, types and date formats are DuckDB's guesses from the data; columns
    whose names sound personal are marked ``pii: direct``, which keeps them out of the warehouse.

    Raises:
        UserError: The file cannot be read.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file.")
    stem = path.name.lower().removesuffix(".gz")
    name = _snake(source or stem.split(".")[0]) or "source"
    table = _snake(stem.split(".")[0]) or "rows"
    with tempfile.TemporaryDirectory(prefix="check-", dir=scratch) as folder:
        try:
            settings, columns = _sniff(path, Path(folder))
        except (UnreadableFileError, duckdb.Error, UnicodeDecodeError) as fault:
            reason = fault if isinstance(fault, UnreadableFileError) else type(fault).__name__
            raise UserError(f"{path} cannot be read: {reason}.") from fault
    suffix = stem.rsplit(".", 1)[-1] if "." in stem else "*"
    lines = [
        "version: 2",
        "sources:",
        f"  - name: {name}",
        "    schema: raw",
        '    description: "Say where the data comes from."',
        "    config:",
        "      meta:",
        f"        namespace: {name}",
        "        time_zone: UTC  # the zone of times without an offset",
        "        currency: EUR",
        "    tables:",
        f"      - name: {table}",
        f"        identifier: {name}__{table}",
        '        description: "Say what one row is."',
        "        config:",
        "          meta:",
        f"            files: [{_quoted(stem.split('.')[0] + '*.' + suffix)}]",
        *(f"            {key}: {value}" for key, value in settings.items()),
        "            # key: [id]          # of the rows of one key one counts ...",
        "            # version: updated_at  # ... the one with the greatest version",
        "            # event_time: created_at",
        "        columns:",
    ]
    for column, header, data_type in columns:
        meta = f"header: {_quoted(header)}"
        if _PERSONAL.search(header):
            meta += ", pii: direct"
        lines += [
            f"          - name: {column}",
            f"            data_type: {data_type}",
            '            description: "Say what it means, and its unit."',
            f"            config: {{meta: {{{meta}}}}}",
        ]
    return "\n".join(lines) + "\n"


def _sniff(path: Path, folder: Path) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    with path.open("rb") as file:
        head = file.read(4)
    with duckdb.connect() as con:
        if head == PARQUET_MAGIC:
            scan = f"read_parquet({path_literal(path)})"
            return {"format": "parquet"}, _described(con, scan)
        text = normalise(path, folder, encoding="auto", fallback_encoding="cp1252")
        if not text.parts:
            raise UnreadableFileError("it is empty")
        part = path_literal(text.parts[0].path)
        with text.parts[0].path.open("rb") as file:
            is_json = file.read(1) == b"{"
        if is_json:
            return {"format": "jsonl"}, _described(con, f"read_ndjson({part})")
        row = con.execute(
            "select Delimiter, Quote, HasHeader, DateFormat, TimestampFormat, Columns "
            f"from sniff_csv({part}, ignore_errors = true)"
        ).fetchone()
    assert row is not None
    delimiter, quote, has_header, date_format, timestamp_format, columns = row
    quote = quote if quote and len(quote) == 1 and quote != "\0" else '"'
    settings = {
        "format": "csv",
        "delimiter": _quoted(str(delimiter)),
        "quote": _quoted(quote),
        "encoding": text.encoding,
        "header": "true" if has_header else "false",
        "null_tokens": '[""]',
    }
    if date_format:
        settings["date_format"] = _quoted(date_format)
    if timestamp_format:
        settings["timestamp_format"] = _quoted(timestamp_format)
    names = [str(column["name"]) for column in columns]
    if has_header:
        names = _header_names(text.parts, str(delimiter), quote) or names
    types = [str(column["type"]) for column in columns]
    return settings, _named(list(zip(names, types, strict=False)))


def _header_names(parts: Sequence[Part], delimiter: str, quote: str) -> list[str]:
    """Return the header's own names, which DuckDB changes where two are alike."""
    grammar = Grammar(delimiter=delimiter, quote=quote)
    header = read_header(parts, grammar)
    names = [name.strip() for name in grammar.fields(header[0])] if header else []
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return numbered


def _described(con: duckdb.DuckDBPyConnection, scan: str) -> list[tuple[str, str, str]]:
    rows = con.execute(f"describe select * from {scan}").fetchall()
    return _named([(str(row[0]), str(row[1])) for row in rows])


def _named(fields: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Give each field a column name that is free and the type that a contract would use."""
    taken: set[str] = set()
    named = []
    for header, native in fields:
        base = name = _snake(header) or "column"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        data_type = _TYPES.get(native, "varchar")
        if native.startswith("TIMESTAMP"):
            data_type = "timestamp"
        elif native.startswith("DECIMAL"):
            data_type = native.lower()
        named.append((name, header, data_type))
    return named


def _snake(text: str) -> str:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)
    name = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'
