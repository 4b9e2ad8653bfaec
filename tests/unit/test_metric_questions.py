"""``crm metric``: what a figure can be asked by can be a condition too, and says the same."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import pytest

from crm_pipeline.defs.quality.metric_agreement import is_same
from crm_pipeline.defs.quality.metric_routes import ROUTES, Route
from crm_pipeline.errors import UserError
from crm_pipeline.resources.metrics import Metric, metric_sql, metrics
from tests.unit.metric_company import random_company


@cache
def known() -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics()}


def _together() -> list[list[str]]:
    """Metrics of the same facts and day: what one of them can be asked by, all can."""
    alike: dict[Any, list[str]] = defaultdict(list)
    for name in sorted(ROUTES):
        route = ROUTES[name]
        alike[(route.table, route.on) if isinstance(route, Route) else name].append(name)
    return list(alike.values())


def _rows(names: list[str], by: list[str], where: list[str]) -> dict[tuple, tuple]:
    with random_company().connection() as db:
        rows = db.execute(metric_sql(names, by, where)).fetchall()
    return {row[: len(by)]: row[len(by) :] for row in rows}


def _literal(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _condition_says_what_by_says(names: list[str], dimension: str) -> None:
    period = known()[names[0]].periods[0]
    whole = _rows(names, [period, dimension], [])
    values = sorted({key[1] for key in whole if key[1] is not None}, key=str)
    asked = {f"{dimension} is null": None}
    if values:
        asked |= {f"{dimension} = {_literal(values[0])}": values[0]}
    for condition, value in asked.items():
        part = _rows(names, [period, dimension], [condition])
        expected = {key: row for key, row in whole.items() if key[1] == value}
        # one metric may leave a row to another's facts
        for key in part.keys() | expected.keys():
            nothing = (None,) * len(names)
            for mine, theirs in zip(
                part.get(key, nothing), expected.get(key, nothing), strict=True
            ):
                assert is_same(mine, theirs), (names, condition, key)


@pytest.mark.parametrize(
    ("metric", "dimension"),
    [
        ("net_amount", "segment"), ("comment_count", "role"), ("order_count", "customer"),
        ("score_mean", "highest_score"),
    ],
)  # fmt: skip
def test_a_condition_gives_the_rows_that_by_has(metric: str, dimension: str):
    _condition_says_what_by_says([metric], dimension)


@pytest.mark.slow
@pytest.mark.parametrize("names", _together(), ids=lambda names: names[0])
def test_every_dimension_of_every_metric_can_be_a_condition(names: list[str]):
    dimensions = [d for d in known()[names[0]].dimensions if "__" not in d]
    assert all(set(dimensions) <= set(known()[name].dimensions) for name in names)
    for dimension in dimensions:
        _condition_says_what_by_says(names, dimension)


def test_every_metric_by_month_and_segment_answers_or_says_what_it_can_be_asked_by():
    """Those with customers by their segment; those without name their own."""
    told = {}
    for names in _together():
        try:
            metric_sql(names[:1], ["month", "segment"])
            told[names[0]] = None
        except UserError as error:
            told[names[0]] = str(error)
    of_customers = {n for n, why in told.items() if why is None}
    assert {"active_customers", "gross_amount", "returned_amount"} <= of_customers
    for name, why in told.items():
        knows = "segment_name" in known()[name].dimensions
        assert (why is None) == knows, name
        if why is not None:
            assert f"{name} cannot be asked by segment; by " in why
            assert ", ".join(known()[name].periods) in why


def test_a_range_cuts_what_by_would_show():
    whole = _rows(["order_count"], ["month"], [])
    with random_company().connection() as db:
        sql = metric_sql(["order_count"], ["month"], [], "2025-02", "2025-03")
        part = dict(db.execute(sql).fetchall())
    assert part == {key[0]: row[0] for key, row in whole.items() if 2 <= key[0].month <= 3}
    assert len(part) == 2
