"""Forgotten customers leave what landed: landing, history, quarantine's neighbours, the archive.

A tombstone (``crm forget``) names a customer by keyed hash. Their documents (an order whose number
is the key of a table that names the customer) get tombstones too, so that lines which name the
order only go with it; a row of somebody else that names them (``names``) stays without the number.
Rows that land later are turned away by ``guard.py``; here is what lies there already.
``control.erasures`` has one row for each time that rows left: until the next complete build the
marts still hold them, until the publication after it the file's free blocks do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import duckdb

from crm_pipeline.defs.landing.contracts import (
    DOCUMENT,
    ColumnContract,
    SourceContract,
    TableContract,
)
from crm_pipeline.defs.landing.guard import (
    CUSTOMER,
    ERASED,
    Guard,
    document_kinds,
    document_of,
    entity_key,
)
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.defs.landing.store import transaction

GONE = "update control.erasures set is_gone = true"
"""For the file that is written anew once everything that is made from the rows is without them."""

_WORDS, _LETTERS = re.compile(r"""[^\s,;|"']+"""), re.compile(r"\w+")
"""What a number in a torn line may be: what stands between separators, or letters and digits."""
SHARED = ("product",)
"""Kinds of entities that are nobody's: what names them is never erased with a customer."""


def is_pending(con: duckdb.DuckDBPyConnection, stage: str, catalog: str | None = None) -> bool:
    """Whether rows were erased that a later stage (``built``, ``gone``) has not dealt with."""
    known = con.execute(
        "select 1 from duckdb_tables() where schema_name = 'control' and table_name = 'erasures' "
        "and database_name = coalesce(?, current_database())",
        [catalog],
    ).fetchone()
    if known is None:
        return False
    place = f"{catalog}.control" if catalog else "control"
    row = con.execute(f"select 1 from {place}.erasures where not is_{stage} limit 1").fetchone()
    return row is not None


def reached(con: duckdb.DuckDBPyConnection, stage: str) -> None:
    """Note that every erasure so far reached a stage."""
    con.execute(f"update control.erasures set is_{stage} = true where not is_{stage}")


def applied(con: duckdb.DuckDBPyConnection) -> int:
    """Return how many tombstones the warehouse has dealt with."""
    if not _keeps(con, "erasures"):
        return 0
    row = con.execute("select coalesce(max(tombstones), 0) from control.erasures").fetchone()
    return int(row[0]) if row else 0


def apply(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    guard: Guard,
    now: datetime,
    *,
    looks_at_refused: bool,
) -> int:
    """Take the rows of forgotten customers and of their documents out; return how many.

    Call ``find_documents`` before: a row that is gone names no document any more. What else has to
    forget them comes before this as well: only this says that it is done. ``looks_at_refused``:
    whether what is kept of refused lines may name somebody, too.
    """
    tables = [table for source in contracts.values() for table in source.tables]
    known = applied(con)
    erased = 0
    with transaction(con):
        for table in tables:
            erased += _erase(con, table, guard)
        blanked = sum(_blank_names(con, table, guard) for table in tables)
        blanked += _blank_refused(con, tables, guard) if looks_at_refused else 0
        if erased or blanked or len(guard.erased) > known:
            con.execute(
                "insert into control.erasures values (?, ?, ?, false, false)",
                [now, len(guard.erased), erased],
            )
    return erased


def find_documents(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    guard: Guard,
    now: datetime,
) -> None:
    """Write tombstones for the documents of forgotten customers, turned away or landed."""
    found = set(guard.found)
    for table in (table for source in contracts.values() for table in source.tables):
        document, customer = document_of(table), table.identity_of(CUSTOMER)
        if document is None or customer is None:
            continue
        _name_erased(con, table, customer, guard)
        for place in _places(con, table):
            numbers = con.execute(
                f"select distinct {document.identity_sql} from {place} "
                f"where {customer.identity_sql} in (select id from erased_ids)"
            ).fetchall()
            found |= {
                (kind, guard.keys.identity(kind, entity_key(table, kind, number)))
                for (number,) in numbers
                if number
                for kind in document_kinds(document)
            }
    guard.vault.bury(found, now)
    guard.forget_tombstones()


def _places(con: duckdb.DuckDBPyConnection, table: TableContract) -> list[str]:
    rows = con.execute(
        "select schema_name from duckdb_tables() where database_name = current_database() "
        "and schema_name in ('landing', 'history') and table_name = ? order by 1 desc",
        [table.identifier],
    ).fetchall()
    return [f"{schema}.{identifier(table.identifier)}" for (schema,) in rows]


def _name_erased(
    con: duckdb.DuckDBPyConnection, table: TableContract, column: ColumnContract, guard: Guard
) -> int:
    """Fill ``erased_ids`` with the numbers of a column that have a tombstone."""
    con.execute("create or replace temp table erased_ids (id varchar)")
    kinds = [kind for kind in (*column.identifies, column.names) if kind and kind not in SHARED]
    if not kinds:
        return 0
    held = {
        number
        for place in _places(con, table)
        if _has_column(con, place, column)
        for (number,) in con.execute(
            f"select distinct {column.identity_sql} from {place}"
        ).fetchall()
    }
    gone = [
        number
        for number in held
        if number
        and any(
            guard.keys.identity(kind, entity_key(table, kind, number)) in guard.erased
            for kind in kinds
        )
    ]
    con.execute("insert into erased_ids select unnest(?::varchar[])", [gone])
    return len(gone)


def _has_column(con: duckdb.DuckDBPyConnection, place: str, column: ColumnContract) -> bool:
    """Whether a table has it: a history, or a table left as it was, may be of an older contract."""
    schema, _, name = place.partition(".")
    row = con.execute(
        "select 1 from duckdb_columns() where database_name = current_database() "
        "and schema_name = ? and table_name = ? and column_name = ?",
        [schema, name.strip('"'), column.name],
    ).fetchone()
    return row is not None


def _erase(con: duckdb.DuckDBPyConnection, table: TableContract, guard: Guard) -> int:
    columns = [column for column in table.stored_columns if column.identifies]
    return sum(
        _erase_from(con, table, column, place)
        for column, place in _naming_erased(con, table, columns, guard)
    )


def _blank_names(con: duckdb.DuckDBPyConnection, table: TableContract, guard: Guard) -> int:
    """Blank a forgotten customer's number in rows of others; return in how many."""
    columns = [column for column in table.stored_columns if column.names]
    blanked = 0
    for column, place in _naming_erased(con, table, columns, guard):
        row = con.execute(
            f"update {place} set {identifier(column.name)} = null "
            f"where {column.identity_sql} in (select id from erased_ids)"
        ).fetchone()
        blanked += int(row[0]) if row else 0
    return blanked


def _naming_erased(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    columns: Sequence[ColumnContract],
    guard: Guard,
) -> Iterator[tuple[ColumnContract, str]]:
    """Yield columns that name somebody erased, and where; ``erased_ids`` has their numbers."""
    for column in columns:
        if _name_erased(con, table, column, guard):
            for place in _places(con, table):
                if _has_column(con, place, column):
                    yield column, place


def _blank_refused(
    con: duckdb.DuckDBPyConnection, tables: Sequence[TableContract], guard: Guard
) -> int:
    """Blank what is kept of refused lines that names somebody forgotten, or a document of theirs.

    A torn line fits no column, so a number may stand anywhere in it.
    """
    contract_of = {(table.source, table.name): table for table in tables}
    blanked = 0
    for place in ("quarantine", "quarantine_history"):
        if not _keeps(con, place):
            continue
        kept = con.execute(
            f"select distinct source, table_name, raw_value from control.{place} "
            "where raw_value is not null"
        ).fetchall()
        named = [
            (source, name, text)
            for source, name, text in kept
            if (table := contract_of.get((source, name))) and _names_erased(table, text, guard)
        ]
        for row in named:
            con.execute(
                f"update control.{place} set raw_value = null "
                "where source = ? and table_name = ? and raw_value = ?",
                row,
            )
        blanked += len(named)
    return blanked


def _names_erased(table: TableContract, text: str, guard: Guard) -> bool:
    kinds = {kind for column in table.stored_columns for kind in column.identifies} - set(SHARED)
    return any(
        guard.keys.identity(kind, entity_key(table, kind, word)) in guard.erased
        for word in {text.strip(), *_WORDS.findall(text), *_LETTERS.findall(text)}
        for kind in kinds
    )


def _erase_from(
    con: duckdb.DuckDBPyConnection, table: TableContract, column: ColumnContract, place: str
) -> int:
    """Move the rows from a place to the quarantine of its account: counted, without a value."""
    suffix = "_history" if place.startswith("history.") else ""
    position = next(i for i, c in enumerate(table.columns, 1) if column in c.stored)
    where = f"{column.identity_sql} in (select id from erased_ids)"
    key = f"source = {literal(table.source)} and table_name = {literal(table.name)}"
    con.execute(
        f"create or replace temp table erased_lines as select _digest, _line from {place} "
        f"where {where}"
    )
    row = con.execute("select count(*) from erased_lines").fetchone()
    if row is None or not row[0]:
        return 0
    con.execute(
        f"insert into control.quarantine{suffix} select {literal(table.source)}, "
        f"{literal(table.name)}, _digest, _line, {position}, {literal(column.name)}, "
        f"{literal(ERASED)}, null from erased_lines"
    )
    con.execute(
        f"update control.contents{suffix} as held set rows_accepted = rows_accepted - gone, "
        "rows_quarantined = rows_quarantined + gone "
        "from (select _digest, count(*) as gone from erased_lines group by all) as lines "
        f"where {key} and digest = _digest"
    )
    document = table.identity_of(DOCUMENT)
    if document is not None and _has_column(con, place, document) and _keeps(con, "documents"):
        # of all their documents, whichever column named them
        con.execute(
            f"delete from control.documents where {key} and document in "
            f"(select {document.identity_sql} from {place} where {where})"
        )
    con.execute(f"delete from {place} where {where}")
    if _keeps(con, "content_days"):  # they are counted again
        con.execute(
            f"delete from control.content_days where {key} "
            "and digest in (select _digest from erased_lines)"
        )
    return int(row[0])


def _keeps(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether the warehouse came as far as to have a table of ``control``."""
    row = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() "
        "and schema_name = 'control' and table_name = ?",
        [table],
    ).fetchone()
    return row is not None


def landed_lines(con: duckdb.DuckDBPyConnection, table: TableContract) -> list[str]:
    """Return queries for ``(digest, line)`` of the rows that a table has, landed or in history."""
    return [f"select _digest as digest, _line as line from {p}" for p in _places(con, table)]
