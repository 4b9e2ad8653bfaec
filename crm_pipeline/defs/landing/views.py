"""The views through which everybody reads what landed: ``raw.*``, and ``touched.*`` beside them.

Belongs here: which of the stored rows count. Which contents count is the ledger's business.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal

_KEPT, _NEWS = "__kept", "__news"


def create_raw_view(con: duckdb.DuckDBPyConnection, contract: TableContract) -> None:
    """(Re)create ``raw.<source>__<table>``: the rows that count, as of the run's day.

    First the rows after the as-of day fall away, and what came about later in the others; then, of
    the rows of one key, the greatest version wins, then the greatest file name, then the greatest
    line: so publishing as of D equals publishing from data that ends at D.

    Beside the view of a table with versions stands ``raw.<source>__<table>__versions``: one row of
    each key and version, chosen likewise.
    """
    _create_views(con, contract, contract.identifier, each_version=False)
    if contract.key and contract.version:
        _create_views(con, contract, f"{contract.identifier}__versions", each_version=True)


def keep_touched_rows(con: duckdb.DuckDBPyConnection, contract: TableContract, kind: str) -> None:
    """Look once for the rows that count and name a touched ``kind``: several models read them."""
    view = identifier(f"{contract.identifier}__{kind}")
    kept = identifier(f"{contract.identifier}__{kind}{_KEPT}")
    con.execute(f"create or replace table touched.{kept} as select * from touched.{view}")
    con.execute(f"create or replace view touched.{view} as select * from touched.{kept}")


def create_news_views(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    kinds: Iterable[str],
    came: Iterable[str],
) -> None:
    """Let ``touched.<source>__<table>__<kind>__news`` bring what is new, for a partial build.

    Of an entity that only gained rows since the last build these; of one that lost a row
    (``control.shrunk``) all its rows, since nobody can tell what is left when one is taken away.

    Args:
        con: The warehouse.
        contract: The table.
        kinds: What the models that grow are rebuilt by.
        came: Conditions of which one is true for each row that counts now and did not in the
            last build.
    """
    landed = f"landing.{identifier(contract.identifier)}"
    rows = " union all ".join(f"select * from {landed} where {one}" for one in came)
    new = _rows_that_count(contract, f"({rows})", each_version=False)
    for kind in kinds:
        column = contract.identity_of(kind)
        assert column is not None
        shrunk = (
            f"select id from control.shrunk where source = {literal(contract.source)} "
            f"and kind = {literal(kind)}"
        )
        view = f"{contract.identifier}__{kind}"
        con.execute(
            f"create or replace view touched.{identifier(view + _NEWS)} as "
            f"select * from ({new}) where {column.identity_sql} not in ({shrunk}) "
            f"union all select * from touched.{identifier(view)} "
            f"where {column.identity_sql} in ({shrunk})"
        )


def forget_kept_rows(con: duckdb.DuckDBPyConnection, contracts: Iterable[TableContract]) -> None:
    """Drop what was kept for one build; the views that read it find their rows anew."""
    kept = [
        name
        for (name,) in con.execute(
            "select table_name from duckdb_tables() where schema_name = 'touched' "
            "and database_name = current_database() order by all"
        ).fetchall()
    ]
    for contract in contracts:
        if any(name.startswith(f"{contract.identifier}__") for name in kept):
            create_raw_view(con, contract)
    for name in kept:
        con.execute(f"drop table touched.{identifier(name)}")


def _create_views(
    con: duckdb.DuckDBPyConnection, contract: TableContract, view: str, *, each_version: bool
) -> None:
    landed = f"landing.{identifier(contract.identifier)}"
    rows = _rows_that_count(contract, landed, each_version)
    con.execute(f"create or replace view raw.{identifier(view)} as {rows}")
    for column in contract.stored_columns:
        for kind in column.identifies:
            rows = _rows_touched(contract, column, kind, landed, each_version)
            name = identifier(f"{view}__{kind}")
            con.execute(f"create or replace view touched.{name} as {rows}")
            if not each_version:
                # until a partial build begins: see create_news_views
                news = identifier(f"{view}__{kind}{_NEWS}")
                con.execute(f"create or replace view touched.{news} as from touched.{name}")


def _rows_touched(
    contract: TableContract, column: ColumnContract, kind: str, landed: str, each_version: bool
) -> str:
    """SQL for the rows that count and name a touched one of a kind, found without the others.

    The values are compared as they stand in the file, so that DuckDB skips what cannot match; of
    rows with a key, the winner is chosen among all of the key before the others are left out.
    """
    name = identifier(column.name)
    values = (
        f"select cast(value as {column.data_type}) from control.touched_values "
        f"where source = {literal(contract.source)} and table_name = {literal(contract.name)} "
        f"and kind = {literal(kind)} and value is not null"
    )
    rows = f"select * from {landed} where {name} in ({values})"
    if not column.required:
        nameless = (
            "exists (select 1 from control.touched_values where value is null "
            f"and source = {literal(contract.source)} and table_name = {literal(contract.name)} "
            f"and kind = {literal(kind)})"
        )
        rows += f" union all select * from {landed} where {name} is null and {nameless}"
    if not contract.key:
        return _rows_that_count(contract, f"({rows})", each_version)
    key = ", ".join(identifier(part) for part in contract.key)
    candidates = f"(select * from {landed} semi join ({rows}) using ({key}))"
    winners = _rows_that_count(contract, candidates, each_version)
    nameless = "" if column.required else f" or ({name} is null and {nameless})"
    return f"select * from ({winners}) where {name} in ({values}){nameless}"


def _rows_that_count(contract: TableContract, landed: str, each_version: bool) -> str:
    columns = ", ".join(_as_of_then(contract, column) for column in contract.stored_columns)
    view = (
        f"select {columns}, _file, _line from ("
        f"select stored.*, held.file_name as _file "
        f"from {landed} as stored "
        "join control.current_contents as held on held.digest = stored._digest "
        f"and held.source = {literal(contract.source)} "
        f"and held.table_name = {literal(contract.name)})"
    )
    if contract.event_time or contract.later_times:
        view += f" cross join ({_HORIZON})"
    if contract.event_time:
        view += f" where {_until_as_of(contract, contract.event_time)}"
    if contract.key:
        key, order = [identifier(name) for name in contract.key], ["_file desc", "_line desc"]
        if contract.version and each_version:
            key.append(identifier(contract.version))
        elif contract.version:
            order.insert(0, f"{identifier(contract.version)} desc nulls last")
        view += (
            f" qualify row_number() over (partition by {', '.join(key)} "
            f"order by {', '.join(order)}) = 1"
        )
    return view


def _as_of_then(contract: TableContract, column: ColumnContract) -> str:
    """SQL for a column as it stood at the end of the as-of day."""
    name = identifier(column.name)
    if column.happens_at is None:
        return name
    until_then = "null" if column.until_then is None else literal(column.until_then)
    return (
        f"case when {_until_as_of(contract, column.happens_at)} then {name} "
        f"else cast({until_then} as {column.data_type}) end as {name}"
    )


_HORIZON = """
select _as_of, _zone, _end_at - interval 1 day as _surely_before, _end_at + interval 1 day
    as _surely_after
from (select max(as_of) as _as_of, max(time_zone) as _zone,
    timezone('UTC', timezone(max(time_zone), cast(max(as_of) + 1 as timestamp))) as _end_at
    from control.run_settings)
"""


def _until_as_of(contract: TableContract, event_time: str) -> str:
    event = identifier(event_time)
    if contract.column(event_time).data_type == "date":
        return f"({event} <= _as_of or {event} is null or _as_of is null)"
    # The day of an event is asked of ICU only around the end of the as-of day: it is slow.
    day = f"cast(timezone(_zone, timezone('UTC', {event})) as date)"
    return (
        f"({event} < _surely_before or ({event} < _surely_after and {day} <= _as_of) "
        f"or {event} is null or _as_of is null)"
    )
