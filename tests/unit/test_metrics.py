"""Metrics are defined once: KPI marts, MetricFlow and a third route say the same of each."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.explain.metrics import METRICS
from tests.unit.metricflow import metric_names, metric_sql
from tests.unit.sql_harness import SqlWarehouse
from tests.unit.test_sql_marts import built_company

DAILY = ("order_count", "active_customers", "new_customers", "returning_customers",
         "gross_amount", "returned_amount", "net_amount", "average_order_amount")  # fmt: skip


def _tables(folder: Path, settings: dict[str, Any], **tables: str) -> SqlWarehouse:
    """A warehouse in which the tables that a KPI mart reads hold a few rows."""
    warehouse = SqlWarehouse(folder, settings=settings)
    with warehouse.connection() as db:
        for name, rows in tables.items():
            schema = "intermediate" if name.startswith("int_") else "marts"
            db.execute(f"create schema if not exists {schema}")
            db.execute(f"create table {schema}.{name} as {rows}")
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
    """The third route, ``crm explain``, is held against every month by test_explain.py."""
    assert set(METRICS) <= set(metric_names())
    assert set(DAILY) <= set(METRICS)


@pytest.mark.parametrize(
    ("mart", "column", "grain", "metrics"),
    [("kpi_monthly", "month", "month", sorted(METRICS)), ("kpi_daily", "date_on", "day", DAILY)],
)
def test_metricflow_says_what_the_kpi_marts_say(mart, column, grain, metrics):
    """All metrics in one query, on a company full of awkward cases."""
    sql = metric_sql(metrics, [f"metric_time__{grain}"])
    with built_company().connection() as db:
        asked = db.execute(
            f"select cast(metric_time__{grain} as date), {', '.join(metrics)} from ({sql})"
        ).fetchall()
        told = db.execute(f"select {column}, {', '.join(metrics)} from marts.{mart}").fetchall()
    by_time = {row[0]: row[1:] for row in told}
    assert len(asked) > 12
    for time, *values in asked:
        for name, mine, theirs in zip(metrics, by_time[time], values, strict=True):
            if theirs is None and mine == 0:
                continue  # where nothing is to be combined MetricFlow has no row, the mart 0
            if name.endswith("_amount") and mine is not None:
                same = abs(float(mine) - float(theirs)) < 0.00501
            else:
                same = mine == theirs or mine == pytest.approx(theirs)
            assert same, (time, name, mine, theirs)


def test_a_metric_by_product_adds_up():
    sql = metric_sql(["gross_amount"], ["product"])
    with built_company().connection() as db:
        parts = db.execute(f"select sum(gross_amount), count(*) from ({sql})").fetchone()
        whole = db.execute("select sum(line_amount) from marts.fct_order_items").fetchone()
    assert parts[0] == whole[0]
    assert parts[1] > 1
