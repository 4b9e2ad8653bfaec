"""Metrics are defined once: marts, MetricFlow and a second route say the same of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.explain.metrics import METRICS
from crm_pipeline.explain.purchases import METRICS as PURCHASES
from tests.unit.metric_company import create_mart, random_company
from tests.unit.metric_dimensions import DIMENSIONS, MODELS
from tests.unit.metric_routes import ROUTES, Combined, Route
from tests.unit.metricflow import metric_names, metric_sql
from tests.unit.sql_harness import SqlWarehouse
from tests.unit.test_sql_marts import built_company

DAILY = ("order_count", "active_customers", "new_customers", "returning_customers",
         "gross_amount", "returned_amount", "net_amount", "average_order_amount")  # fmt: skip
DAILY_OF_AREAS = ("ticket_count", "resolution_count", "csat_count", "session_count",
                  "opened_opportunity_count", "won_opportunity_count", "won_amount",
                  "lead_count", "touch_count")  # fmt: skip

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


def _is_same(mine: Any, theirs: Any) -> bool:
    """Whether two answers are; where there is nothing one says 0 and the other says nothing."""
    if mine is None or theirs is None:
        return not mine and not theirs
    return float(mine) == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)


def _answers(db: Any, sql: str, keys: int) -> dict[tuple, tuple]:
    return {row[:keys]: row[keys:] for row in db.execute(sql).fetchall()}


def _compare(names: Sequence[str], one: dict[tuple, tuple], other: dict[tuple, tuple]) -> None:
    nothing = (None,) * len(names)
    for key in one.keys() | other.keys():
        pairs = zip(names, one.get(key, nothing), other.get(key, nothing), strict=True)
        wrong = [(name, a, b) for name, a, b in pairs if not _is_same(a, b)]
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


def _in_mart(mart: str, time: str, by: str, names: dict[str, str], where: str = "true") -> Any:
    return pytest.param(mart, time, by, names, where, id=mart)


MARTS = [
    _in_mart("kpi_monthly", "month", "", {name: name for name in METRICS}),
    _in_mart("kpi_daily", "date_on", "", {name: name for name in (*DAILY, *DAILY_OF_AREAS)}),
    _in_mart("service_monthly", "month", "", {
        "ticket_count": "ticket_count", "complaint_count": "complaint_count",
        "complaint_rate": "complaint_rate", "answered_count": "answered_ticket_count",
        "resolved_count": "resolved_ticket_count", "reopened_count": "reopened_ticket_count",
        "sla_judged_count": "sla_judged_ticket_count", "sla_met_rate": "sla_met_rate",
        "contact_count": "contact_count",
        **{f"{kind}_{hours}": f"{kind}_{hours}" for kind in ("mean", "median", "p90")
           for hours in ("first_response_hours", "first_response_business_hours",
                         "resolution_hours", "resolution_business_hours")},
    }),
    _in_mart("web_daily", "date_on", "", {
        "session_count": "session_count", "known_customers": "visiting_customers",
        "bounce_rate": "bounce_rate", "mean_page_count": "pages_per_session",
        "mean_duration_seconds": "seconds_per_session", "order_sessions": "order_sessions",
        "conversion_rate": "session_conversion_rate",
    }),
    _in_mart("web_funnel", "month", "session__channel, session__device", {
        "session_count": "session_count", "conversion_rate": "session_conversion_rate",
        **{name: name for step in ("product_view", "cart", "checkout", "order")
           for name in (f"{step}_sessions",)},
        **{name: name for name in ("product_view_rate", "cart_rate", "checkout_rate",
                                   "completion_rate")},
    }),
    _in_mart("sales_monthly", "month", "", {
        "opened_count": "opened_opportunity_count", "won_count": "won_opportunity_count",
        "lost_count": "lost_opportunity_count", "win_rate": "win_rate",
        "won_amount": "won_amount", "open_count": "opportunities_at_end",
        "open_pipeline_amount": "pipeline_at_end_amount",
    }),
    _in_mart("satisfaction_monthly", "month",
             "response__survey, response__lowest_score, response__highest_score", {
        name: name for name in (
            "response_count", "score_mean", "top_box_rate", "weighted_total", "weighted_score",
            "nps_count", "nps", "comment_count", "sentiment_mean", "positive_share",
            "negative_share")
    }, "dimension_kind = 'all'"),
]  # fmt: skip


@pytest.mark.parametrize(("mart", "time", "by", "names", "where"), MARTS)
def test_metricflow_says_what_the_marts_say(mart, time, by, names, where):
    """Each figure of a mart; rounded ones to their last digit."""
    grain = "day" if time == "date_on" else "month"
    by = [part.strip() for part in by.split(",") if part]
    columns = [part.partition("__")[2] for part in by]
    metrics = sorted(set(names.values()))
    asked: dict[tuple, dict[str, Any]] = {}
    with random_company().connection() as db:
        for some in _few_at_a_time(metrics):
            sql = metric_sql(some, [f"metric_time__{grain}", *by])
            keys = ", ".join([f"metric_time__{grain}::date", *by])
            found = _answers(db, f"select {keys}, {', '.join(some)} from ({sql})", 1 + len(by))
            for key, values in found.items():
                asked.setdefault(key, {}).update(zip(some, values, strict=True))
        told = _answers(
            db,
            f"select {', '.join([time, *columns])}, {', '.join(names)} from marts.{mart} "
            f"where {where}",
            1 + len(by),
        )
    assert len(told) > 3
    for key, figures in told.items():
        for name, mine in zip(names, figures, strict=True):
            theirs = asked.get(key, {}).get(names[name])
            if isinstance(mine, Decimal) and theirs is not None:
                digits = -int(mine.as_tuple().exponent)
                same = abs(float(mine) - float(theirs)) < 0.501 * 10**-digits
            else:
                same = _is_same(mine, theirs)
            assert same, (key, name, mine, theirs)


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
            if name.endswith("_amount") and mine is not None and theirs is not None:
                same = abs(float(mine) - float(theirs)) < 0.00501
            else:
                same = _is_same(mine, theirs)
            assert same, (time, name, mine, theirs)


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
