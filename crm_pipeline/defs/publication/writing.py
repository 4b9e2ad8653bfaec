"""Writing one publication: tables in key order, comments, ``meta``, Parquet beside it.

Everything here works on one DuckDB connection to the new file, with the warehouse attached
read-only as ``w``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
import pandas as pd

from crm_pipeline.defs.publication.catalogue import PublishedTable, unit_of
from crm_pipeline.errors import UserError

ROW_GROUP_SIZE = 122_880
"""DuckDB's own row group, stated so that a later default cannot change published bytes."""


def quoted(name: str) -> str:
    """Return ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return ``value`` as an SQL text literal."""
    return "'" + value.replace("'", "''") + "'"


def copy_table(con: duckdb.DuckDBPyConnection, table: PublishedTable, folder: Path) -> int:
    """Publish one table: Parquet in key order, and from it the table with its comments.

    The rows are sorted once, on the way into ``folder/<schema>/<table>.parquet`` (same rows, same
    bytes at any thread count); the table is read back from there, in that order.

    Returns:
        The table's rows.

    Raises:
        UserError: The warehouse lacks the table, or holds a column nobody described.
    """
    place = f"{quoted(table.schema)}.{quoted(table.name)}"
    present = [
        row[0]
        for row in con.execute(
            "select column_name from duckdb_columns() where database_name = 'w' "
            "and schema_name = ? and table_name = ? order by column_index",
            [table.schema, table.name],
        ).fetchall()
    ]
    declared = [column.name for column in table.columns]
    if sorted(present) != sorted(declared):
        raise UserError(
            f"{table.schema}.{table.name} in the warehouse has columns {sorted(present)}, its yaml "
            f"describes {sorted(declared)}: materialise it, or mend the yaml."
        )
    file = write_parquet(con, table, folder)
    con.execute(f"create table {place} as select * from read_parquet({text(str(file))})")
    con.execute(f"comment on table {place} is {text(' '.join(table.description.split()))}")
    for column in table.columns:
        comment = text(" ".join(column.description.split()))
        con.execute(f"comment on column {place}.{quoted(column.name)} is {comment}")
    row = con.execute(f"select count(*) from {place}").fetchone()
    return int(row[0]) if row else 0


def write_parquet(
    con: duckdb.DuckDBPyConnection, table: PublishedTable, folder: Path, database: str = "w"
) -> Path:
    """Write ``folder/<schema>/<table>.parquet`` in key order; return the file."""
    columns = ", ".join(quoted(column.name) for column in table.columns)
    file = parquet_file(folder, table)
    file.parent.mkdir(parents=True, exist_ok=True)
    con.execute(
        f"copy (select {columns} from {database}.{quoted(table.schema)}.{quoted(table.name)} "
        f"order by {_order(table.key)}) to {text(str(file))} "
        f"(format parquet, compression zstd, row_group_size {ROW_GROUP_SIZE})"
    )
    return file


def _order(key: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in key)


def parquet_file(folder: Path, table: PublishedTable) -> Path:
    """Return where a table's Parquet is written."""
    return folder / table.schema / f"{table.name}.parquet"


def write_meta(
    con: duckdb.DuckDBPyConnection,
    name: str,
    rows: pd.DataFrame | str,
    *,
    types: Mapping[str, str],
    description: str,
    columns: Mapping[str, str],
) -> None:
    """Write ``meta.<name>`` with its comments.

    Args:
        con: Connection to the new file.
        name: Table name.
        rows: A frame, or the name of a table; columns as in ``types``.
        types: Column -> DuckDB type, in order.
        description: What the table holds.
        columns: Column -> meaning.
    """
    if not isinstance(rows, str):
        con.register("incoming", rows)
    selected = ", ".join(f"cast({quoted(c)} as {t}) as {quoted(c)}" for c, t in types.items())
    con.execute(
        f"create or replace table meta.{quoted(name)} as "
        f"select {selected} from {rows if isinstance(rows, str) else 'incoming'} order by all"
    )
    con.unregister("incoming")
    con.execute(f"comment on table meta.{quoted(name)} is {text(description)}")
    for column, meaning in columns.items():
        con.execute(f"comment on column meta.{quoted(name)}.{quoted(column)} is {text(meaning)}")


def control_table(
    con: duckdb.DuckDBPyConnection, name: str, columns: Iterable[str]
) -> pd.DataFrame | str:
    """Return the name of ``w.control.<name>``, or no rows where the warehouse has it not yet."""
    found = con.execute(
        "select count(*) from duckdb_tables() "
        "where database_name = 'w' and schema_name = 'control' and table_name = ?",
        [name],
    ).fetchone()
    if not found or not found[0]:
        return pd.DataFrame(columns=list(columns))
    return f"w.control.{quoted(name)}"


def dictionary(con: duckdb.DuckDBPyConnection, tables: Iterable[PublishedTable]) -> pd.DataFrame:
    """Return one row a published column, ``meta`` included: meaning, type, unit."""
    units = {
        (table.schema, table.name, column.name): column.unit
        for table in tables
        for column in table.columns
    }
    frame = con.execute(
        "select schema_name as table_schema, table_name, column_name, data_type, "
        "comment as description from duckdb_columns() "
        "where database_name = current_database() and schema_name in ('marts', 'scores', 'meta') "
        "order by all"
    ).df()
    names = zip(frame["table_schema"], frame["table_name"], frame["column_name"], strict=True)
    frame["unit"] = [units.get(name, unit_of(name[2])) for name in names]
    return frame


def freshness(con: duckdb.DuckDBPyConnection, tables: Iterable[PublishedTable]) -> pd.DataFrame:
    """Return one row a table: how many rows, and its latest event."""
    rows = []
    for table in tables:
        place = f"{quoted(table.schema)}.{quoted(table.name)}"
        latest = f"max({quoted(table.event_time)})" if table.event_time else "null"
        found = con.execute(f"select count(*), cast({latest} as timestamp) from {place}").fetchone()
        assert found is not None
        rows.append((table.schema, table.name, *found))
    names = ["table_schema", "table_name", "row_count", "latest_event_at"]
    return pd.DataFrame(rows, columns=names)


def input_digest(con: duckdb.DuckDBPyConnection) -> str:
    """Return SHA-256 over the digests of all contents that count, whatever their landing order."""
    row = con.execute(
        "select sha256(coalesce(string_agg(concat_ws(':', source, table_name, digest), ' ' "
        "order by source, table_name, digest), '')) from control.current_contents"
    ).fetchone()
    return str(row[0]) if row else ""


def without_rate(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return how many rows wait for an exchange rate, as rows of ``meta.quarantine``.

    They landed well: it is the facts that they are kept from, until rates from their day on land.
    """
    return con.sql(
        "select source, entity as table_name, '(any)' as file_name, "
        "'no rate for ' || currency || ' on or before the day' as reason, "
        "count(*) as row_count from intermediate.int_without_rate group by all order by all"
    ).df()
