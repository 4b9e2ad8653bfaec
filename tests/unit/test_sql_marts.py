"""The marts say what the contract's definitions say, on a company full of awkward cases."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd
import pytest

from tests.unit import sql_oracle as oracle
from tests.unit.sql_company import (
    AS_OF,
    DISCOUNT_RATE,
    HOLDOUT_DAYS,
    HORIZON_DAYS,
    Company,
    changed_after,
    draw_company,
)
from tests.unit.sql_harness import SqlWarehouse, filled_once

SEED = 11

FEW_AND_SLOW = [
    pytest.param(as_of, marks=() if number in (0, 6) else pytest.mark.slow)
    for number, as_of in enumerate(oracle.as_of_dates())
]
"""The walk looks at every day of every customer: two of the thirteen dates are for each change."""


def _empty(folder: Path) -> SqlWarehouse:
    return SqlWarehouse(
        folder,
        time_zone="America/New_York",
        settings={
            "as_of": AS_OF,
            "horizon_days": HORIZON_DAYS,
            "clv_holdout_days": HOLDOUT_DAYS,
            "discount_rate": DISCOUNT_RATE,
        },
    )


def _fill(warehouse: SqlWarehouse, company: Company) -> SqlWarehouse:
    for table, rows in company.raw().items():
        warehouse.fill(table, rows)
    return warehouse


@cache
def _company() -> Company:
    return draw_company(SEED)


@cache
def _books() -> oracle.Books:
    return oracle.Books(_company())


@cache
def built_company() -> SqlWarehouse:
    return filled_once("company", _empty, lambda empty: _fill(empty, _company()).build())


def _rows(sql: str) -> dict:
    """First column, without its prefix -> the others, as Python values."""
    with built_company().connection() as db:
        found = db.execute(sql).fetchall()
    return {
        row[0].removeprefix("demo:") if isinstance(row[0], str) else row[0]: row[1:]
        for row in found
    }


@pytest.mark.parametrize("as_of", FEW_AND_SLOW, ids=str)
def test_lifecycle_is_what_a_walk_back_through_the_days_finds(as_of: date):
    got = _rows(
        "select customer_key, lifecycle_stage, previous_stage, stage_since_on "
        f"from marts.customer_lifecycle where as_of = date '{as_of}'"
    )
    assert got == oracle.lifecycle(_books(), as_of)


@pytest.mark.slow
def test_the_company_reaches_every_stage_from_several_others():
    seen = {
        s[:2] for as_of in oracle.as_of_dates() for s in oracle.lifecycle(_books(), as_of).values()
    }
    assert len(seen) >= 10
    assert {stage for stage, _ in seen} == {
        "introduction", "confirmation", "growth", "maintenance", "leaving",
    }  # fmt: skip


@pytest.mark.parametrize("as_of", [AS_OF, date(2025, 3, 31)], ids=str)
def test_rfm_counts_and_scores(as_of: date):
    got = _rows(
        "select customer_key, recency_days, order_count, net_amount, recency_score, "
        f"frequency_score, monetary_score from marts.customer_rfm where as_of = date '{as_of}'"
    )
    assert got == oracle.rfm(_books(), as_of)


def test_value_and_discounted_value():
    want = oracle.value(_books())
    columns = list(next(iter(want.values())))
    got = _rows(f"select customer_key, {', '.join(columns)} from marts.customer_value")
    assert got == {customer: tuple(row.values()) for customer, row in want.items()}


def test_contribution_shares_add_up_to_one():
    assert built_company().value(
        "select sum(contribution_share) from marts.customer_value"
    ) == pytest.approx(1)


def test_cohorts_are_dense_and_right():
    with built_company().connection() as db:
        found = db.execute(
            "select cohort_month, month_number, cohort_customers, active_customers, is_complete "
            "from marts.cohort_retention"
        ).fetchall()
    assert {(row[0], row[1]): row[2:] for row in found} == oracle.cohorts(_books())


def test_months_and_their_rates():
    want = oracle.monthly(_books())
    columns = list(next(iter(want.values())))
    got = _rows(f"select month, {', '.join(columns)} from marts.kpi_monthly")
    assert set(got) == set(want)
    for month, row in want.items():
        assert dict(zip(columns, got[month], strict=True)) == pytest.approx(row), month


def test_days_add_up_to_months():
    differing = built_company().frame(
        """
        with daily as (
            select date_trunc('month', date_on)::date as month, sum(order_count) as order_count,
                   sum(new_customers) as new_customers, sum(gross_amount) as gross_amount,
                   sum(returned_amount) as returned_amount
            from marts.kpi_daily group by 1)
        select * from daily full join marts.kpi_monthly as m using (month)
        where daily.order_count is distinct from m.order_count
           or daily.new_customers is distinct from m.new_customers
           or abs(daily.gross_amount - m.gross_amount) > 0.3
           or abs(daily.returned_amount - m.returned_amount) > 0.3
        """
    )
    assert differing.empty


def test_nothing_is_lost_between_raw_rows_and_facts():
    company = _company()
    amounts = [line.amount for order in company.orders for line in order.lines]
    query = "select count(*), sum(line_amount) from marts.fct_order_items"
    with built_company().connection() as db:
        assert db.execute(query).fetchone() == (len(amounts), sum(amounts))
        assert db.execute("select count(*) from marts.fct_orders").fetchone() == (
            len(company.orders),
        )
        known = db.execute("select count(*) from marts.dim_customers").fetchone()
    assert known == (len(_books().customers()),)


def test_a_header_without_lines_is_an_order_worth_nothing():
    empty = sum(not order.lines for order in _company().orders)
    assert empty > 10
    got = built_company().value(
        "select count(*) from marts.fct_orders where line_count = 0 and gross_amount = 0"
    )
    assert got == empty


def _features_at(warehouse: SqlWarehouse, cut_off: date) -> pd.DataFrame:
    return warehouse.frame(
        "select * from features.customer_features where cut_off_on = ? order by customer_key",
        cut_off,
    ).convert_dtypes()


def test_features_at_every_cut_off():
    found = built_company().frame("select distinct cut_off_on from features.cut_offs")
    cut_offs = [day.date() for day in found.cut_off_on]
    assert len(cut_offs) > 10
    for cut_off in cut_offs:
        got = _features_at(built_company(), cut_off).set_index("customer_key")
        want = oracle.features(_books(), cut_off)
        assert {key.removeprefix("demo:") for key in got.index} == set(want)
        for customer, row in want.items():
            mine = got.loc[f"demo:{customer}"]
            for name, value in row.items():
                found = None if pd.isna(mine[name]) else float(mine[name])
                expected = None if value is None else pytest.approx(float(value), abs=0.0051)
                assert found == expected, (cut_off, customer, name)


def test_labels_count_what_came_and_stay_open_while_the_window_is():
    labels = built_company().frame("select * from features.customer_labels")
    for row in labels.itertuples():
        first = row.cut_off_on.date()
        last = first + timedelta(days=row.horizon_days)
        if last > AS_OF:
            assert pd.isna(row.is_churned)
            assert pd.isna(row.future_order_count)
            continue
        orders = _books().orders[row.customer_key.removeprefix("demo:")]
        came = [o for o in orders if first < o.on <= last]
        assert (row.is_churned, row.future_order_count) == (not came, len(came))
        total = sum((o.gross for o in came), Decimal(0))
        assert float(row.future_gross_amount) == pytest.approx(float(total), abs=0.0051)
    assert set(labels.is_churned.isna()) == {True, False}


def test_no_feature_knows_what_came_after_its_cut_off():
    """Everything after the day is drawn anew; up to it, features stay identical."""
    day = AS_OF - timedelta(days=HORIZON_DAYS)
    other = _fill(_empty(Path(mkdtemp(prefix="crm-sql-"))), changed_after(_company(), day, seed=77))
    other.run("+customer_features")
    dates = built_company().frame(
        "select distinct cut_off_on from features.cut_offs where cut_off_on <= ?", day
    )
    assert len(dates) > 8
    for cut_off in dates.cut_off_on:
        pd.testing.assert_frame_equal(
            _features_at(built_company(), cut_off), _features_at(other, cut_off)
        )
    assert not _features_at(built_company(), AS_OF).equals(_features_at(other, AS_OF))


def test_unit_tests_beside_the_models_pass():
    """The same as `dbt test --select test_type:unit`, on the tables that are there already."""
    result = built_company().dbt("test", "--select", "test_type:unit")
    assert len(result.results) > 25


def test_every_day_of_the_calendar_is_what_python_says():
    days = built_company().frame("select * from marts.dim_dates order by date_on")
    assert len(days) >= 365
    for row in days.itertuples():
        day = row.date_on.date()
        assert row.month.date() == day.replace(day=1)
        assert row.quarter == (day.month + 2) // 3
        assert row.year == day.year
        assert (row.iso_week, row.weekday) == day.isocalendar()[1:]
        assert row.is_weekend == (day.isoweekday() >= 6)
    assert (days.date_on.diff().dropna().dt.days == 1).all()
