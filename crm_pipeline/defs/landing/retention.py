"""What no longer counts: kept aside for a while, so that a past report can be made again.

A content that no file name holds any more (corrected, retracted) leaves ``landing.<table>``, where
every build would read past it, for ``history.<table>``; its account and its faults leave
``control.contents`` and ``control.quarantine`` for ``control.contents_history`` and
``control.quarantine_history``. Nothing that counts reads those. When a content ceased to count is
written in the ledger already, which is never shortened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb

from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal

_ACCOUNTS = ("quarantine", "contents")


def move_superseded(
    con: duckdb.DuckDBPyConnection,
    contracts: Sequence[TableContract],
    *,
    keep_days: int,
    now: datetime,
) -> int:
    """Set aside the contents that no longer count, and forget the oldest of them.

    Args:
        con: The warehouse; the caller holds a transaction.
        contracts: The tables.
        keep_days: Days for which a content is kept after it ceased to count; 0 forgets at once.
        now: The moment from which those days count back, naive UTC.

    Returns:
        Contents that left their landing table.
    """
    _ensure_history(con, contracts)
    moved = 0
    for contract in contracts:
        gone = _superseded(con, contract)
        for digest in gone:
            # it may have been here before, and have counted again in between
            _forget(con, contract, digest)
            _move(con, contract, digest)
        for digest in _expired(con, contract, now - timedelta(days=keep_days)):
            _forget(con, contract, digest)
        moved += len(gone)
    return moved


def _ensure_history(con: duckdb.DuckDBPyConnection, contracts: Sequence[TableContract]) -> None:
    """Create what is missing, and give histories of older contracts the columns of these."""
    con.execute("create schema if not exists history")
    for name in _ACCOUNTS:
        con.execute(
            f"create table if not exists control.{name}_history as "
            f"select * from control.{name} limit 0"
        )
    # once for all tables: DuckDB goes through its whole catalogue for each of them
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for schema, name, column, kind in con.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and schema_name in ('landing', 'history') "
        "order by schema_name, table_name, column_index"
    ).fetchall():
        found[schema, name].append((column, kind))
    for contract in contracts:
        wanted, held = (found[schema, contract.identifier] for schema in ("landing", "history"))
        table = identifier(contract.identifier)
        if not held:
            con.execute(f"create table history.{table} as select * from landing.{table} limit 0")
        elif held != wanted:
            present = {name for name, _ in held}
            values = [
                f"try_cast({identifier(name) if name in present else 'null'} as {kind}) "
                f"as {identifier(name)}"
                for name, kind in wanted
            ]
            con.execute(
                f"create or replace table history.{table} as "
                f"select {', '.join(values)} from history.{table}"
            )


def _superseded(con: duckdb.DuckDBPyConnection, contract: TableContract) -> list[str]:
    """Return the contents that lie in the landing table and no longer count."""
    rows = con.execute(
        "select digest from control.contents where source = $source and table_name = $name "
        "and digest not in (select digest from control.current_contents "
        "where source = $source and table_name = $name) order by digest",
        {"source": contract.source, "name": contract.name},
    ).fetchall()
    return [digest for (digest,) in rows]


def _move(con: duckdb.DuckDBPyConnection, contract: TableContract, digest: str) -> None:
    table, here = identifier(contract.identifier), f"_digest = {literal(digest)}"
    con.execute(f"insert into history.{table} select * from landing.{table} where {here}")
    con.execute(f"delete from landing.{table} where {here}")
    for name in _ACCOUNTS:
        account = "source = ? and table_name = ? and digest = ?"
        which = [contract.source, contract.name, digest]
        con.execute(
            f"insert into control.{name}_history select * from control.{name} where {account}",
            which,
        )
        con.execute(f"delete from control.{name} where {account}", which)


def _forget(con: duckdb.DuckDBPyConnection, contract: TableContract, digest: str) -> None:
    table = identifier(contract.identifier)
    con.execute(f"delete from history.{table} where _digest = {literal(digest)}")
    for name in _ACCOUNTS:
        con.execute(
            f"delete from control.{name}_history "
            "where source = ? and table_name = ? and digest = ?",
            [contract.source, contract.name, digest],
        )


def _expired(
    con: duckdb.DuckDBPyConnection, contract: TableContract, before: datetime
) -> list[str]:
    """Return the kept contents that ceased to count by ``before``."""
    rows = con.execute(
        """
        with spells as (
            select digest, action,
                lead(landed_at) over (partition by file_name order by landing_number) as until
            from control.files where source = $source and table_name = $name),
        ended as (
            select digest from spells where action = 'landed'
            group by digest having count(*) = count(until) and max(until) <= $before)
        select digest from ended where digest in (
            select digest from control.contents_history
            where source = $source and table_name = $name)
        order by digest
        """,
        {"source": contract.source, "name": contract.name, "before": before},
    ).fetchall()
    return [digest for (digest,) in rows]
