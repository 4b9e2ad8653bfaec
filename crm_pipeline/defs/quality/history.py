"""What each raw table's history says of its newest delivery: one list of bounds a table.

Generic over the contracts: a table of an enabled source is looked at by being there. What is
*newest* is decided by event time, then file name, never by when it landed; only
``landing_age_days`` knows the clock (``history_checks.py`` hands it in).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

import duckdb
import numpy as np

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract
from crm_pipeline.defs.quality.learned import (
    ALARMS,
    Bound,
    age_bound,
    category_bound,
    count_bound,
    distinct_bound,
    quantile_bounds,
    rate_bound,
    weekday_shifts,
)
from crm_pipeline.defs.quality.profiles import (
    CATEGORIES,
    ColumnProfile,
    Unit,
    day_counts,
    ensure_profiles,
    has_open_values,
    profile,
    units,
    update_days,
)

ENOUGH_ROWS = 100
"""A day, else a week, else a month is watched: the shortest that usually has this many rows. Half
of a hundred is seven standard deviations of chance away, half of twenty three."""

WINDOWS = {"day": (84, 28), "week": (26, 12), "month": (24, 8)}
"""Period -> how many before the newest are learned from, and how many it takes. Short, so that
growth and seasons move the bounds instead of breaking them."""

JUDGED_DAYS = 7
UNITS, UNITS_NEEDED = 40, 8
FILES, FILES_NEEDED = 40, 8
INTERVALS, INTERVALS_NEEDED = 50, 8
UNIT_MINIMUM = 100
"""A unit of fewer rows says too little of shares and quantiles."""

Column = list[ColumnProfile]


def judge_tables(
    con: duckdb.DuckDBPyConnection,
    tables: Sequence[TableContract],
    *,
    published: Mapping[tuple[str, str], Collection[str]],
    now: datetime,
) -> dict[TableContract, list[Bound]]:
    """Return the bounds of every table, after reading what landed newly.

    Args:
        con: The warehouse, to be written.
        tables: All tables of the enabled sources.
        published: Digests of the contents that the last publication was made from.
        now: Naive UTC, for the age of the last landing only.
    """
    ensure_profiles(con)
    held: dict[TableContract, list[Unit]] = {}
    for table in tables:
        update_days(con, table, published.get((table.source, table.name), ()))
        held[table] = units(con, table)
    ends = [unit.ends_on for of_table in held.values() for unit in of_table if unit.ends_on]
    latest_on = max(ends, default=None)
    return {table: _judge(con, table, held[table], latest_on, now) for table in tables}


def _judge(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    held: Sequence[Unit],
    latest_on: date | None,
    now: datetime,
) -> list[Bound]:
    bounds = [
        *_volume(con, table, held),
        *_freshness(table, held, latest_on),
        _landing(con, table, now),
    ]
    kept = comparable(held)
    if len(kept) > UNITS_NEEDED:
        *before, newest = kept
        bounds += _distribution(table, before, newest, profile(con, table, kept))
    elif held:
        bounds.append(
            Bound("distribution", None, None, None, None, max(len(kept) - 1, 0), UNITS_NEEDED)
        )
    return bounds


def _volume(
    con: duckdb.DuckDBPyConnection, table: TableContract, held: Sequence[Unit]
) -> list[Bound]:
    if table.event_time is None:
        files = sorted(held, key=lambda unit: unit.file_name)[-FILES - 1 :]
        rows = [unit.rows for unit in files]
        return [count_bound("rows_per_file", rows[:-1], rows[-1:], needed=FILES_NEEDED)]
    counts = day_counts(con, table)
    if not counts:
        return [count_bound("rows_per_day", [], [], needed=WINDOWS["day"][1])]
    newest = max(unit.ends_on for unit in held if unit.ends_on)
    first = min(u.first_on for u in held if u.first_on and u.ends_on == newest)
    return [volume_bound(counts, first)]


def volume_bound(counts: Mapping[date, int], delivered_from: date) -> Bound:
    """Bound for the rows of the newest complete days, else of the last week, else month.

    Args:
        counts: Event day -> rows; a day between that is not there had none.
        delivered_from: First event day of the newest delivery. Its last day is judged only if it
            is its only one: nobody knows whether a delivery's last day is complete, but whoever
            delivers day by day does so the same way every time.
    """
    first, last = min(counts), max(counts)
    end = last if delivered_from == last else last - timedelta(days=1)
    days = [first + timedelta(days=n) for n in range((end - first).days + 1)]
    rows = [counts.get(day, 0) for day in days]
    window, needed = WINDOWS["day"]
    if rows and np.median(rows[-window:]) >= ENOUGH_ROWS:
        judged = min(max(sum(day >= delivered_from for day in days), 1), JUDGED_DAYS)
        before = rows[:-judged][-window:]
        weekdays = [day.weekday() for day in days]
        shifts = weekday_shifts(before, weekdays[:-judged][-window:])
        added = [shifts[day] for day in weekdays[:-judged][-window:]]
        return count_bound(
            "rows_per_day",
            np.expm1(np.log1p(before) - added).tolist(),
            rows[-judged:],
            needed=needed,
            shifts=[shifts[day] for day in weekdays[-judged:]],
        )
    for name, begins in (("week", _week), ("month", _month)):
        window, needed = WINDOWS[name]
        sums: dict[date, int] = {}
        for day, count in zip(days, rows, strict=True):
            sums[begins(day)] = sums.get(begins(day), 0) + count
        cut = {begins(first)} if begins(first) < first else set()
        cut |= {begins(end)} if days and begins(end + timedelta(days=1)) == begins(end) else set()
        whole = [count for begin, count in sums.items() if begin not in cut][-window - 1 :]
        if name == "month" or (whole and np.median(whole) >= ENOUGH_ROWS):
            return count_bound(f"rows_per_{name}", whole[:-1], whole[-1:], needed=needed)
    raise AssertionError("unreachable")


def _week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _month(day: date) -> date:
    return day.replace(day=1)


def _freshness(table: TableContract, held: Sequence[Unit], latest_on: date | None) -> list[Bound]:
    """Return how old the newest event is on the latest day that any table knows, or nothing."""
    ends = sorted({unit.ends_on for unit in held if unit.ends_on})
    if not ends or latest_on is None:
        return []
    gaps = [float((b - a).days) for a, b in pairwise(ends)][-INTERVALS:]
    age = float((latest_on - ends[-1]).days)
    declared = table.expected_every_days
    return [age_bound("event_age_days", gaps, age, needed=INTERVALS_NEEDED, declared=declared)]


def _landing(con: duckdb.DuckDBPyConnection, table: TableContract, now: datetime) -> Bound:
    """Return how long ago a file last landed: the one figure that depends on when runs ran."""
    rows = con.execute(
        "select distinct date_trunc('hour', landed_at) from control.files "
        "where source = ? and table_name = ? and action = 'landed' order by all",
        [table.source, table.name],
    ).fetchall()
    hours = [row[0] for row in rows]
    gaps = [(b - a).total_seconds() / 86_400 for a, b in pairwise(hours)]
    age = max((now - hours[-1]).total_seconds(), 0.0) / 86_400 if hours else None
    # a declared interval is for `crm status`, which looks when nothing runs
    return age_bound("landing_age_days", gaps[-INTERVALS:], age, needed=INTERVALS_NEEDED)


def comparable(held: Sequence[Unit]) -> list[Unit]:
    """Return the units that stand for rows of their own, the newest last.

    Where contents overlap (each night everything again, under a new name) the later one stands for
    their days; parts of one delivery, which end on the same day, all stay.
    """
    kept: list[Unit] = []
    taken: dict[date | None, list[Unit]] = {}
    for unit in sorted(held, key=_order, reverse=True):
        if unit.rows < UNIT_MINIMUM:
            continue
        others = taken.setdefault(unit.period, [])
        if any(_overlap(unit, other) for other in others if other.ends_on != unit.ends_on):
            continue
        others.append(unit)
        kept.append(unit)
        if len(kept) > UNITS:
            break
    return kept[::-1]


def _order(unit: Unit) -> tuple[date, date, date, int, str]:
    first = date.min
    # of the parts of the newest delivery the largest is judged
    ends = unit.period or first, unit.ends_on or first, unit.last_on or first
    return (*ends, unit.rows if unit.period else 0, unit.file_name)


def _overlap(one: Unit, other: Unit) -> bool:
    if one.first_on is None or other.first_on is None or not one.last_on or not other.last_on:
        return False
    # deliveries that meet on one day, cut at some hour of it, do not overlap
    return one.first_on < other.last_on and other.first_on < one.last_on


def _distribution(
    table: TableContract,
    before: Sequence[Unit],
    newest: Unit,
    profiles: Mapping[tuple[str, date | None], Mapping[str, ColumnProfile]],
) -> list[Bound]:
    now = profiles.get((newest.digest, newest.period), {})
    earlier = [profiles.get((unit.digest, unit.period), {}) for unit in before]
    columns = [column for column in table.stored_columns if column.name in now]
    # one table may complain of unchanged deliveries as rarely as one figure would
    alarms = ALARMS / max(2 * len(columns), 1)
    bounds: list[Bound] = []
    for column in columns:
        history = [unit[column.name] for unit in earlier if column.name in unit]
        bounds += _column(table, column, history, now[column.name], alarms)
    return bounds


def _column(
    table: TableContract, column: ColumnContract, history: Column, now: ColumnProfile, alarms: float
) -> list[Bound]:
    name, rows = column.name, [unit.rows for unit in history]
    bounds = []
    if not column.required:
        rates = [unit.nulls / unit.rows for unit in history]
        bounds.append(
            rate_bound(
                name, rates, rows, now.nulls / now.rows, now.rows,
                needed=UNITS_NEEDED, alarms=alarms,
            )
        )  # fmt: skip
    if not has_open_values(table, column) or now.rows == now.nulls:
        return bounds
    if now.categories is not None or any(unit.categories is not None for unit in history):
        groups = [unit.categories for unit in history if unit.categories]
        # a column that had few values and now has many is as new as a column can be
        observed = now.categories or {"more than " + str(CATEGORIES): now.rows - now.nulls}
        return [*bounds, category_bound(name, groups, observed, needed=UNITS_NEEDED, alarms=alarms)]
    values = [unit.rows - unit.nulls for unit in history]
    bounds.append(
        distinct_bound(
            name, [unit.distinct or 0 for unit in history], values, now.distinct or 0,
            now.rows - now.nulls, needed=UNITS_NEEDED, alarms=alarms,
        )
    )  # fmt: skip
    if now.quantiles:
        earlier = [unit.quantiles for unit in history if unit.quantiles]
        bounds += quantile_bounds(
            name, earlier, now.quantiles, now.rows - now.nulls, needed=UNITS_NEEDED, alarms=alarms
        )
    return bounds
