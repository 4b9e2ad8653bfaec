"""Metrics are defined once: marts, MetricFlow and a second route say the same of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.defs.quality.metric_agreement import is_same, metrics_agree
from crm_pipeline.defs.quality.metric_marts import (
    ALL_BY_MONTH,
    METRIC_MARTS,
    MetricMart,
    columns_of,
)
from crm_pipeline.defs.quality.metric_routes import ROUTES, Combined, Route
from crm_pipeline.explain.metrics import METRICS
from crm_pipeline.explain.purchases import METRICS as PURCHASES
from tests.unit.metric_company import create_mart, random_company
from tests.unit.metric_dimensions import DIMENSIONS, MODELS
from tests.unit.metricflow import metric_names, metric_sql
from tests.unit.sql_harness import SqlWarehouse
from tests.unit.test_sql_marts import built_company

DAILY = ("order_count", "active_customers", "new_customers", "returning_customers",
         "gross_amount", "returned_amount", "net_amount", "average_order_amount")  # fmt: skip

OTHER_AREAS = (
    "fct_tickets", "service_monthly", "service_contacts_monthly", "fct_survey_responses",
    "web_sessions", "sales_monthly", "sales_opportunities", "fct_leads", "fct_campaign_touches",
    "campaign_performance",
)  # fmt: skip


def _tables(folder: Path, settings: dict[str, Any], **tables: str) -> SqlWarehouse:
    """A warehouse in which the tables that a KPI mart reads hold a few rows."""
    warehouse = SqlWarehouse(folder, settings=settings)
    with warehouse.connection() as db:
        for name, rows in tables.items():
            schema = "intermediate" if name.startswith("int_") else "marts"
            db.execute(f"create schema if not exists {schema}")
            db.execute(f"create table {schema}.{name} as {rows}")
        for name in OTHER_AREAS:
            create_mart(db, name)
    return warehouse


def _typed(columns: str, *rows: str) -> str:
    """SQL for rows whose columns are ``name type``, separated by commas."""
    names = [part.split()[0] for part in columns.split(", ")]
    casts = ", ".join(
        f"cast({part.split()[0]} as {part.split()[1]}) as {part.split()[0]}"
        for part in columns.split(", ")
    )
    return f"select {casts} from (values {', '.join(rows)}) as t({', '.join(names)})"


ORDERS = "order_key varchar, ordered_on date, customer_key varchar, order_number bigint"
LINES = "ordered_on date, line_amount decimal(18,4)"
RETURNS = "returned_on date, returned_amount decimal(18,4)"


def test_days_without_orders_count_too(tmp_path: Path):
    """From the first fact to the as-of date; unknown customers' orders count, they do not."""
    warehouse = _tables(
        tmp_path,
        {"as_of": date(2025, 1, 3)},
        dim_dates=_typed("date_on date", *(f"('2025-01-0{day}')" for day in range(1, 5)),
                         "('2024-12-31')"),
        fct_orders=_typed(ORDERS, "('o1', '2025-01-01', 'a', 1)",
                          "('o2', '2025-01-01', null, null)",
                          "('o3', '2025-01-03', 'a', 2)"),
        fct_order_items=_typed(LINES, "('2025-01-01', 10)", "('2025-01-01', 5)",
                               "('2025-01-03', 4)"),
        fct_returns=_typed(RETURNS, "('2025-01-02', 3)"),
    )  # fmt: skip
    warehouse.run("kpi_daily")
    with warehouse.connection() as db:
        rows = db.execute(
            f"select date_on, {', '.join(DAILY)} from marts.kpi_daily order by 1"
        ).fetchall()
    money = Decimal
    assert rows == [
        (date(2025, 1, 1), 2, 1, 1, 0, money(15), money(0), money(15), money("7.5")),
        (date(2025, 1, 2), 0, 0, 0, 0, money(0), money(3), money(-3), None),
        (date(2025, 1, 3), 1, 1, 0, 1, money(4), money(0), money(4), money(4)),
    ]


def test_monthly_rates_by_hand(tmp_path: Path):
    """Horizon 40 days.

    a is lost on 10 February (1 January + 40), b on 29 March, the last day, and is active in both
    months before; c came on 1 March.
    """
    warehouse = _tables(
        tmp_path,
        {"as_of": date(2025, 3, 29), "horizon_days": 40},
        dim_dates=_typed("month date", *(f"('2025-0{month}-01')" for month in range(1, 5))),
        fct_orders=_typed(
            ORDERS, "('o1', '2025-01-01', 'a', 1)", "('o2', '2025-01-20', 'b', 1)",
            "('o3', '2025-02-17', 'b', 2)", "('o4', '2025-03-01', 'c', 1)"),
        fct_order_items=_typed(LINES, "('2025-01-01', 10)", "('2025-01-20', 10)",
                               "('2025-02-17', 10)", "('2025-03-01', 10)"),
        fct_returns=_typed(RETURNS, "('2025-03-02', 4)"),
        int_customer_days=_typed(
            "customer_key varchar, ordered_on date, next_order_on date, penultimate_order_on date",
            "('a', '2025-01-01', '9999-12-31', null)", "('b', '2025-01-20', '2025-02-17', null)",
            "('b', '2025-02-17', '9999-12-31', '2025-01-20')",
            "('c', '2025-03-01', '9999-12-31', null)"),
        int_customer_months=_typed(
            "customer_key varchar, order_month date, previous_order_month date",
            "('a', '2025-01-01', null)", "('b', '2025-01-01', null)",
            "('b', '2025-02-01', '2025-01-01')", "('c', '2025-03-01', null)"),
    )  # fmt: skip
    warehouse.run("kpi_monthly")
    with warehouse.connection() as db:
        rows = db.execute(
            "select month, is_complete, order_count, new_customers, returning_customers, "
            "net_amount, repurchase_rate, churn_rate, retention_rate "
            "from marts.kpi_monthly order by 1"
        ).fetchall()
    assert rows == [
        (date(2025, 1, 1), True, 2, 2, 0, Decimal(20), 0, None, None),
        (date(2025, 2, 1), True, 1, 0, 1, Decimal(10), 0.5, 0.5, 0.5),
        (date(2025, 3, 1), False, 1, 1, 0, Decimal(6), pytest.approx(1 / 3), 1, 0),
    ]


def test_every_metric_of_a_kpi_mart_is_defined_and_explained():
    """Another route, ``crm explain``, is held against every month by test_explain.py."""
    assert set(METRICS) <= set(metric_names())
    assert set(DAILY) <= set(METRICS)


def test_every_metric_has_a_second_route():
    assert sorted(ROUTES) == metric_names()
    made_of = {name for route in ROUTES.values() if isinstance(route, Combined)
               for name in route.of}  # fmt: skip
    assert made_of <= set(ROUTES)


def _answers(db: Any, sql: str, keys: int) -> dict[tuple, tuple]:
    return {row[:keys]: row[keys:] for row in db.execute(sql).fetchall()}


def _compare(names: Sequence[str], one: dict[tuple, tuple], other: dict[tuple, tuple]) -> None:
    nothing = (None,) * len(names)
    for key in one.keys() | other.keys():
        pairs = zip(names, one.get(key, nothing), other.get(key, nothing), strict=True)
        wrong = [(name, a, b) for name, a, b in pairs if not is_same(a, b)]
        assert not wrong, (key, wrong)


PLACES = sorted({(r.table, r.on) for r in ROUTES.values() if isinstance(r, Route)})


def _of_place(table: str, on: str) -> dict[str, Route]:
    return {
        name: route
        for name, route in ROUTES.items()
        if isinstance(route, Route) and (route.table, route.on) == (table, on)
    }


@pytest.mark.parametrize(("table", "on"), PLACES)
def test_a_metric_by_month_is_what_the_facts_say(table: str, on: str):
    routes = _of_place(table, on)
    asked = metric_sql(list(routes), ["metric_time__month"])
    told = ", ".join(route.sql for route in routes.values())
    with random_company().connection() as db:
        answers = _answers(
            db, f"select metric_time__month::date, {', '.join(routes)} from ({asked})", 1
        )
        facts = _answers(
            db, f"select date_trunc('month', {on})::date, {told} from {table} group by 1", 1
        )
    assert len(facts) > 3
    _compare(list(routes), answers, facts)


@pytest.mark.parametrize("name", [n for n, r in ROUTES.items() if isinstance(r, Combined)])
def test_a_metric_of_several_tables_is_what_they_say(name: str):
    route = ROUTES[name]
    assert isinstance(route, Combined)
    parts = {part: ROUTES[part] for part in route.of}
    totals = " full join ".join(
        f"(select date_trunc('month', {part.on})::date as month, {part.sql} as {which} "
        f"from {part.table} group by 1)" + (" using (month)" if number else "")
        for number, (which, part) in enumerate(parts.items())
        if isinstance(part, Route)
    )
    asked = metric_sql([name], ["metric_time__month"])
    with random_company().connection() as db:
        answers = _answers(db, f"select metric_time__month::date, {name} from ({asked})", 1)
        facts = _answers(db, f"select month, {route.sql} from ({totals})", 1)
    assert len(facts) > 3
    _compare([name], answers, facts)


@pytest.mark.parametrize("model", sorted(DIMENSIONS))
def test_a_metric_by_every_dimension_is_what_the_facts_say(model: str):
    """Its own, and through every join: customer, company, product, owner, campaign, ticket."""
    for (table, on), joined in ((p, j) for p in PLACES for j in DIMENSIONS[model]):
        if table != MODELS[model].table or not _of_place(table, on):
            continue
        routes = _of_place(table, on)
        asked = metric_sql(list(routes), [name for name, _ in joined.columns])
        told = ", ".join(route.sql for route in routes.values())
        keys = [column for _, column in joined.columns]
        by = ", ".join(f"dim{number}" for number, _ in enumerate(keys))
        columns = ", ".join(f"{key} as dim{number}" for number, key in enumerate(keys))
        names = ", ".join(name for name, _ in joined.columns)
        with random_company().connection() as db:
            answers = _answers(db, f"select {names}, {', '.join(routes)} from ({asked})", len(keys))
            facts = _answers(
                db,
                f"select {by}, {told} from (select facts.*, {columns} from {table} as facts "
                f"{joined.sql}) group by all",
                len(keys),
            )
        assert len(facts) > 1, joined
        _compare(list(routes), answers, facts)


@pytest.mark.parametrize("mart", METRIC_MARTS, ids=lambda mart: mart.table)
def test_metricflow_says_what_the_marts_say(mart: MetricMart):
    """Each figure of a mart; rounded ones to their last digit."""
    by = [f"metric_time__{mart.grain}"] if mart.grain else []
    by += mart.by
    keys = [f"metric_time__{mart.grain}::date"] if mart.grain else []
    keys += mart.by
    asked: dict[tuple, dict[str, Any]] = {}
    with random_company().connection() as db:
        for some in _few_at_a_time(sorted(set(mart.columns.values()))):
            sql = metric_sql(some, by)
            found = _answers(db, f"select {', '.join([*keys, *some])} from ({sql})", len(by))
            for key, values in found.items():
                asked.setdefault(key, {}).update(zip(some, values, strict=True))
        own = [*([mart.time] if mart.time else []), *mart.by.values()]
        told = _answers(
            db,
            f"select {', '.join([*own, *mart.columns])} from {mart.table} where {mart.where}",
            len(own),
        )
    assert len(told) > 3
    for key, figures in told.items():
        for (column, metric), mine in zip(mart.columns.items(), figures, strict=True):
            theirs = asked.get(key, {}).get(metric)
            assert is_same(mine, theirs), (key, column, mine, theirs)


def test_the_second_route_agrees_with_every_figure_of_the_marts():
    """By month every metric there is; what the check of each run computes."""
    with random_company().connection() as db:
        agreement = metrics_agree(db)
    assert agreement.wrong == {}
    assert agreement.metrics == len(metric_names())
    assert agreement.compared > 154 * 6


@pytest.mark.parametrize("mart", METRIC_MARTS, ids=lambda mart: mart.table)
def test_a_figure_that_is_not_its_metrics_is_named(mart: MetricMart):
    column = list(mart.columns)[-1]
    with random_company().connection() as db:
        db.execute("begin")
        db.execute(
            f"update {mart.table} set {column} = {column} + 1 where rowid = (select max(rowid) "
            f"from {mart.table} where {mart.where} and {column} > 0)"
        )
        wrong = metrics_agree(db).wrong
        db.execute("rollback")
    assert wrong[f"{mart.table}.{column}"] == 1


@pytest.mark.parametrize(
    "lie",
    [
        "update {table} set value = value + 1 where metric = 'win_rate' and month = '2025-03-01'",
        "delete from {table} where metric = 'win_rate' and month = '2025-03-01'",
        "insert into {table} values ('win_rate', '2024-03-01', true, .5)",
        "update {table} set metric = 'won_rate' where metric = 'win_rate' and month = '2025-03-01'",
    ],
)
def test_a_lie_about_a_metric_by_month_is_named(lie: str):
    with random_company().connection() as db:
        db.execute("begin")
        db.execute(lie.format(table=ALL_BY_MONTH))
        wrong = metrics_agree(db).wrong
        db.execute("rollback")
        assert f"{ALL_BY_MONTH}.win_rate" in wrong


def test_a_wide_mart_says_which_metric_each_of_its_columns_is():
    named = {name for mart in METRIC_MARTS for name in mart.columns.values()}
    assert named <= set(metric_names())
    places = ["marts.kpi_monthly.net_amount", "marts.kpi_daily.net_amount"]
    assert columns_of("net_amount") == places
    assert columns_of("promoter_count") == []


def _few_at_a_time(metrics: Sequence[str]) -> Iterator[list[str]]:
    """All in one query join each of their tables to all others."""
    by_table: dict[Any, list[str]] = {}
    for name in metrics:
        route = ROUTES[name]
        place = (route.table, route.on) if isinstance(route, Route) else route.of
        by_table.setdefault(place, []).append(name)
    yield from by_table.values()


def test_metricflow_says_what_the_kpi_marts_say_of_purchases():
    """All metrics in one query, on a company full of awkward cases."""
    metrics = sorted(PURCHASES)
    sql = metric_sql(metrics, ["metric_time__month"])
    with built_company().connection() as db:
        asked = db.execute(
            f"select cast(metric_time__month as date), {', '.join(metrics)} from ({sql})"
        ).fetchall()
        told = db.execute(f"select month, {', '.join(metrics)} from marts.kpi_monthly").fetchall()
    by_time = {row[0]: row[1:] for row in told}
    assert len(asked) > 12
    for time, *values in asked:
        for name, mine, theirs in zip(metrics, by_time[time], values, strict=True):
            assert is_same(mine, theirs), (time, name, mine, theirs)


def test_a_company_without_other_areas_has_its_purchases_and_nothing_else():
    """Counts are 0, rates and means are nothing."""
    others = [name for name in METRICS if name not in PURCHASES]
    with built_company().connection() as db:
        rows = db.execute(f"select {', '.join(others)} from marts.kpi_monthly").fetchall()
    assert len(rows) > 12
    for row in rows:
        for name, value in zip(others, row, strict=True):
            counts = name.endswith(("_count", "_at_end")) or name in (
                "won_amount", "pipeline_at_end_amount")  # fmt: skip
            assert value == (0 if counts else None), name


def test_a_metric_by_product_adds_up():
    sql = metric_sql(["gross_amount"], ["product"])
    with built_company().connection() as db:
        parts = db.execute(f"select sum(gross_amount), count(*) from ({sql})").fetchone()
        whole = db.execute("select sum(line_amount) from marts.fct_order_items").fetchone()
    assert parts[0] == whole[0]
    assert parts[1] > 1
