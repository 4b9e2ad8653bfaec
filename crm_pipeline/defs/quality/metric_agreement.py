"""Whether the KPI marts say of each metric what its second route says, by plain SQL on the facts.

Belongs here: the comparison. What is compared is in ``metric_routes.py`` and ``metric_marts.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from crm_pipeline.defs.quality.metric_marts import ALL_BY_MONTH, METRIC_MARTS, MetricMart
from crm_pipeline.defs.quality.metric_routes import ROUTES, Combined, Route

RELATIVE = 1e-9
"""How far two sums of the same doubles may lie apart."""
Answers = dict[str, dict[tuple, Any]]
"""Metric -> its figure by period and dimensions."""


@dataclass(frozen=True)
class Agreement:
    """What was compared, and what does not agree.

    Attributes:
        compared: Figures.
        metrics: Metrics that they are of.
        wrong: ``schema.table.column`` -> in how many rows it is not what its metric says.
    """

    compared: int
    metrics: int
    wrong: Mapping[str, int]


def tables_compared() -> list[str]:
    """Return ``schema.table`` of the marts with metrics and the facts they are held against."""
    facts = [r.table for r in ROUTES.values() if isinstance(r, Route) and "(" not in r.table]
    return sorted({ALL_BY_MONTH, *facts, *(mart.table for mart in METRIC_MARTS)})


def metrics_agree(db: duckdb.DuckDBPyConnection) -> Agreement:
    """Hold every figure of the KPI marts against its second route."""
    wrong: dict[str, int] = defaultdict(int)
    compared = 0
    by_month = second_route(db, sorted(ROUTES), "month", ())
    for mart in METRIC_MARTS:
        by = tuple(mart.by.values())
        asked = sorted(set(mart.columns.values()))
        told = by_month
        if by or mart.grain != "month":
            told = second_route(db, asked, mart.grain, by)
        for column, mine, theirs in _pairs(db, mart, told):
            compared += 1
            if not is_same(mine, theirs):
                wrong[f"{mart.table}.{column}"] += 1
    held = db.execute(f"select metric, month, value from {ALL_BY_MONTH}").fetchall()
    listed = {(metric, month): value for metric, month, value in held}
    expected = {
        (metric, month): value
        for metric, values in by_month.items()
        for (month,), value in values.items()
        if month is not None
    }
    for metric, month in listed.keys() | expected.keys():
        compared += 1
        if not is_same(listed.get((metric, month)), expected.get((metric, month))):
            wrong[f"{ALL_BY_MONTH}.{metric}"] += 1
    return Agreement(compared, len(by_month), dict(sorted(wrong.items())))


def is_same(mine: Any, theirs: Any) -> bool:
    """Whether two figures agree: a DECIMAL to its last digit, others but for the sums' order.

    Where there is nothing one says 0 and the other says nothing.
    """
    if mine is None or theirs is None:
        return not mine and not theirs
    distance = abs(float(mine) - float(theirs))
    if isinstance(mine, Decimal):
        return distance < 0.501 * 10 ** int(mine.as_tuple().exponent)
    return distance <= RELATIVE * max(1.0, abs(float(mine)), abs(float(theirs)))


def second_route(
    db: duckdb.DuckDBPyConnection, metrics: Sequence[str], grain: str, by: Sequence[str]
) -> Answers:
    """Return metrics by period and by columns of their facts, as plain SQL says.

    Args:
        db: The warehouse.
        metrics: Names.
        grain: ``day`` or ``month``; empty for no period.
        by: Columns.
    """
    answers: Answers = {}
    places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for name in metrics:
        route = ROUTES[name]
        if isinstance(route, Route):
            places[route.table, route.on][name] = route.sql
        else:
            rows = db.execute(_combined_sql(name, route, grain, by)).fetchall()
            answers[name] = {key: value for *key_, value in rows for key in (tuple(key_),)}
    for (table, on), sums in places.items():
        keys = _keys(on, grain, by)
        rows = db.execute(
            f"select {', '.join([*keys, *sums.values()])} from {table} group by all"
        ).fetchall()
        for number, name in enumerate(sums, len(keys)):
            answers[name] = {row[: len(keys)]: row[number] for row in rows}
    return answers


def _keys(on: str, grain: str, by: Sequence[str]) -> list[str]:
    period = [f"date_trunc('{grain}', {on})::date as period"] if grain else []
    return [*period, *(f"{column} as {column}" for column in by)]


def _combined_sql(name: str, route: Combined, grain: str, by: Sequence[str]) -> str:
    names = [*(["period"] if grain else []), *by]
    parts = []
    for part in route.of:
        one = ROUTES[part]
        assert isinstance(one, Route), f"{part}, of which {name} is made, is of several tables"
        keys = ", ".join(_keys(one.on, grain, by))
        parts.append(f"(select {keys}, {one.sql} as {part} from {one.table} group by all)")
    joined = parts[0] + "".join(f" full join {p} using ({', '.join(names)})" for p in parts[1:])
    return f"select {', '.join(names)}, {route.sql} from {joined}"


def _pairs(
    db: duckdb.DuckDBPyConnection, mart: MetricMart, told: Answers
) -> Iterator[tuple[str, Any, Any]]:
    """Yield column, the mart's figure and the second route's, row by row."""
    keys = [*([mart.time] if mart.time else []), *mart.by.values()]
    rows = db.execute(
        f"select {', '.join([*keys, *mart.columns])} from {mart.table} where {mart.where}"
    ).fetchall()
    held = {row[: len(keys)]: row[len(keys) :] for row in rows}
    nothing = (None,) * len(mart.columns)
    expected = {key for name in set(mart.columns.values()) for key in told[name]}
    if mart.time:
        # a mart need not show what has no day
        expected = {key for key in expected if key[0] is not None}
    for key in held.keys() | expected:
        for column, mine in zip(mart.columns, held.get(key, nothing), strict=True):
            yield column, mine, told[mart.columns[column]].get(key)
