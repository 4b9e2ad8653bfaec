"""Closed months stay: a published total of a complete month moves only if something touches it.

A file touches the months of its own rows (of every date in them), of the rows whose key it shares,
and of the orders it names. Where that cannot be told (a table without event time, a content that
went from a table with a key, whose hidden rows may come forward) it may touch any month. So what
is left is what nothing explains: a build that lost rows, or one that kept what it should not. All
of this is only asked once a total has moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb

from crm_pipeline.code_version import code_version
from crm_pipeline.defs.landing import erasure
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.settings_table import currency_of_the_run
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.defs.quality.previous import Previous, month_totals
from crm_pipeline.settings import Settings

CLOSED_MONTHS = "closed_months_stay"
TOLERANCE = 0.001
"""Share by which an untouched total may differ; it should be 0: this leaves room for rounding."""

_ENTITIES = ("orders", "order_items", "returns", "adjustments")
"""What the totals are made of."""


@dataclass(frozen=True)
class Moved:
    """What became of the months that were complete before.

    Attributes:
        compared: Months that were complete then and are now.
        changed: Of these, months with another total.
        unexplained: Of these, months that nothing touched.
        reason: Why nothing is unexplained, where that takes a reason.
    """

    compared: int
    changed: tuple[date, ...]
    unexplained: tuple[date, ...]
    reason: str = ""


def made_by(con: duckdb.DuckDBPyConnection, settings: Settings) -> tuple[str, ...]:
    """Return everything but landed content that decides a total; see ``Previous.made_by``."""
    currency = currency_of_the_run(con) or ""
    return code_version(), ",".join(settings.sources), settings.time_zone, currency


def tables_behind_totals(manifest: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return (source, table) of every raw table that a total is made of."""

    def raw(unique_id: str) -> Iterator[tuple[str, str]]:
        for parent in manifest["parent_map"].get(unique_id, []):
            if parent.startswith("source."):
                node = manifest["sources"][parent]
                if node["schema"] == "raw":
                    yield node["source_name"], node["name"]
            else:
                yield from raw(parent)

    ends = tuple(f"__{entity}" for entity in _ENTITIES)
    return frozenset(
        table
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
        and node["name"].startswith("stg_")
        and node["name"].endswith(ends)
        for table in raw(unique_id)
    )


def closed_months(
    con: duckdb.DuckDBPyConnection,
    previous: Previous | None,
    settings: Settings,
    contracts: Mapping[str, SourceContract],
    behind: frozenset[tuple[str, str]],
) -> Moved:
    """Hold the warehouse's complete months against those of the last publication."""
    if previous is None:
        return Moved(0, (), (), "nothing was published before")
    now = month_totals(con)
    row = con.execute("select as_of from control.run_settings").fetchone()
    assert row is not None
    as_of: date = row[0]
    last = min(as_of, previous.as_of)
    months = [month for month in sorted(now | previous.totals) if month < last.replace(day=1)]
    changed = tuple(m for m in months if _differs(previous.totals.get(m), now.get(m)))
    if not changed:
        return Moved(len(months), (), ())
    if previous.made_by != made_by(con, settings):
        return Moved(len(months), changed, (), "code or settings changed since")
    if erasure.is_pending(con, "gone"):
        return Moved(len(months), changed, (), "somebody was erased since")
    tables = [
        table
        for name in settings.sources
        for table in contracts[name].tables
        if (table.source, table.name) in behind
    ]
    touched = _touched(con, tables, previous, as_of)
    if touched is None:
        return Moved(len(months), changed, (), "a file landed that may touch any month")
    return Moved(len(months), changed, tuple(month for month in changed if month not in touched))


def _differs(old: Mapping[str, float] | None, new: Mapping[str, float] | None) -> bool:
    old, new = old or {}, new or {}
    return any(
        abs(new.get(name, 0.0) - old.get(name, 0.0)) > TOLERANCE * max(abs(old.get(name, 0.0)), 1.0)
        for name in {**old, **new}
    )


def _touched(
    con: duckdb.DuckDBPyConnection,
    tables: Sequence[TableContract],
    previous: Previous,
    as_of: date,
) -> set[date] | None:
    """Return the months that what changed since touches; ``None`` where it may be any."""
    con.execute("create or replace temp table named_orders (source varchar, id varchar)")
    months: set[date] = set()
    for table in tables:
        current = {
            digest
            for (digest,) in con.execute(
                "select digest from control.current_contents where source = ? and table_name = ?",
                [table.source, table.name],
            ).fetchall()
        }
        before = previous.contents.get((table.source, table.name), frozenset())
        added, removed = current - before, before - current
        if removed and (table.key or table.event_time is None):
            return None
        if added and table.event_time is None:
            return None
        conditions = []
        if added:
            conditions.append(f"_digest in ({', '.join(map(literal, sorted(added)))})")
        if as_of != previous.as_of and table.event_time:
            low, high = sorted((as_of, previous.as_of))
            # a day more on both sides: the days of other time zones
            conditions += [
                f"({event} >= date '{low}' and {event} < date '{high + timedelta(days=2)}')"
                for event in map(identifier, (table.event_time, *table.later_times))
            ]
        if conditions:
            months |= _months_of(con, table, " or ".join(conditions))
        for digest in removed:
            gone = con.execute(
                "select distinct date_trunc('month', day) from control.content_days "
                "where source = ? and table_name = ? and digest = ? and day is not null",
                [table.source, table.name, digest],
            ).fetchall()
            if not gone or sum(c.is_temporal for c in table.stored_columns) > 1:
                return None
            months |= {_day(month) for (month,) in gone}
    for table in tables:
        order = table.identity_of("order")
        if order is not None:
            where = (
                f"{order.identity_sql} in (select id from named_orders "
                # a row that names no order names not all the others that name none
                f"where source = {literal(table.source)} and id <> '')"
            )
            months |= _months(con, table, where)
    # a business day of another zone may be the neighbouring month's
    return {m for month in months for m in (month, _month_after(month), _month_before(month))}


def _months_of(con: duckdb.DuckDBPyConnection, table: TableContract, where: str) -> set[date]:
    """Return the months of the rows ``where``, and note which orders these name."""
    place = f"landing.{identifier(table.identifier)}"
    if table.key:
        parts = ", ".join(f"k{n} := {identifier(name)}" for n, name in enumerate(table.key))
        key = f"struct_pack({parts})"
        where = f"{key} in (select {key} from {place} where {where})"
    order = table.identity_of("order")
    if order is not None:
        con.execute(
            f"insert into named_orders select distinct {literal(table.source)}, "
            f"{order.identity_sql} from {place} where {where}"
        )
    return _months(con, table, where)


def _months(con: duckdb.DuckDBPyConnection, table: TableContract, where: str) -> set[date]:
    found: set[date] = set()
    for column in table.stored_columns:
        if column.is_temporal:
            rows = con.execute(
                f"select distinct date_trunc('month', {identifier(column.name)}) "
                f"from landing.{identifier(table.identifier)} where {where}"
            ).fetchall()
            found |= {_day(month) for (month,) in rows if month is not None}
    return found


def _day(moment: Any) -> date:
    return date(moment.year, moment.month, 1)


def _month_after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
