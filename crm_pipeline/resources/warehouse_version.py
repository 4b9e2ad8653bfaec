"""Which shape the warehouse's own tables have, as a number in the file itself.

Tables that landing creates where they are missing need no step here; a step is for what an older
file holds in another shape. A file of version n has had the first n steps.
"""

from __future__ import annotations

import duckdb

from crm_pipeline.errors import UserError

STEPS = ("create table if not exists control.schema_version (version integer not null)",)
"""Append only; each must do nothing where it was done already: a new file takes them all."""

VERSION = len(STEPS)


def schema_version(con: duckdb.DuckDBPyConnection, catalog: str | None = None) -> int:
    """Return the file's version; 0 where it was written before there were versions.

    Args:
        con: A connection to the warehouse.
        catalog: Name under which the warehouse is attached, if it is not the connection's own.
    """
    known = con.execute(
        "select count(*) from duckdb_tables() where schema_name = 'control' "
        "and table_name = 'schema_version' and database_name = coalesce(?, current_database())",
        [catalog],
    ).fetchone()
    if known == (0,):
        return 0
    place = f"{catalog}.control" if catalog else "control"
    row = con.execute(f"select max(version) from {place}.schema_version").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def refuse_newer(con: duckdb.DuckDBPyConnection, catalog: str | None = None) -> None:
    """Raise if a newer version of this package wrote the file.

    Raises:
        UserError: Its tables may mean what this code does not know.
    """
    found = schema_version(con, catalog)
    if found > VERSION:
        raise UserError(
            f"the warehouse has schema version {found}, written by a newer crm-pipeline; this one "
            f"knows {VERSION}. Install the newer one, or `crm restore` a backup made before it."
        )


def upgrade(con: duckdb.DuckDBPyConnection) -> None:
    """Bring an older file, in which schema ``control`` exists, to this code's version."""
    if schema_version(con) == VERSION:
        return
    con.begin()
    try:
        for step in STEPS:
            con.execute(step)
        con.execute("delete from control.schema_version")
        con.execute("insert into control.schema_version values (?)", [VERSION])
    except BaseException:
        con.rollback()
        raise
    con.commit()
