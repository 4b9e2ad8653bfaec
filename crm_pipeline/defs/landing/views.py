"""The views through which everybody reads what landed: ``raw.*``, and ``touched.*`` beside them.

Belongs here: which of the stored rows count. Which contents count is the ledger's business.
"""

from __future__ import annotations

import duckdb

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal


def create_raw_view(con: duckdb.DuckDBPyConnection, contract: TableContract) -> None:
    """(Re)create ``raw.<source>__<table>``: the rows that count, as of the run's day.

    First the rows after the as-of day fall away, then, of the rows of one key, the greatest
    version wins, then the greatest file name, then the greatest line: so publishing as of D equals
    publishing from data that ends at D.

    Beside the view of a table with versions stands ``raw.<source>__<table>__versions``: one row of
    each key and version, chosen likewise.
    """
    _create_views(con, contract, contract.identifier, each_version=False)
    if contract.key and contract.version:
        _create_views(con, contract, f"{contract.identifier}__versions", each_version=True)


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
    columns = ", ".join(identifier(column.name) for column in contract.stored_columns)
    view = (
        f"select {columns}, _file, _line from ("
        f"select stored.*, held.file_name as _file "
        f"from {landed} as stored "
        "join control.current_contents as held on held.digest = stored._digest "
        f"and held.source = {literal(contract.source)} "
        f"and held.table_name = {literal(contract.name)})"
    )
    if contract.event_time:
        view += f" cross join ({_HORIZON}) where {_until_as_of(contract, contract.event_time)}"
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
