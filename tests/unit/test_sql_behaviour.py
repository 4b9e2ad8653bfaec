"""Value and behaviour: worked examples through the project's own macros, and the shipped seeds."""

from __future__ import annotations

import math
import statistics
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from tests.unit.sql_harness import SqlWarehouse

Z = statistics.NormalDist().inv_cdf(0.975)
AS_OF = date(2025, 12, 31)
AS = "as answers (score, question_weight)"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> SqlWarehouse:
    warehouse = SqlWarehouse(tmp_path_factory.mktemp("company"), settings={"as_of": AS_OF})
    warehouse.dbt("seed")
    warehouse.run("+kpi_comparison", "+customer_rule_segments")
    return warehouse


def _macro(warehouse: SqlWarehouse, expression: str, rows: str) -> Decimal:
    result = warehouse.dbt("compile", "--inline", f"select {expression} from (values {rows}) {AS}")
    return warehouse.value(result.results[0].node.compiled_code)


def test_a_weighted_segment_score(company: SqlWarehouse):
    """.3 x 30 + .2 x 2 + .1 x .5 + .2 x 1 + .2 x .8 = 9.81 (shared/references.md, section 8)."""
    rows = "(.3, 30), (.2, 2), (.1, .5), (.2, 1), (.2, .8)"
    found = _macro(company, "{{ measure('weighted_total') }}", rows)
    assert found == Decimal("9.81")


def _days(**kpis: list[float]) -> pd.DataFrame:
    count = len(next(iter(kpis.values())))
    days = [AS_OF - timedelta(days=count - 1 - number) for number in range(count)]
    columns = (
        "order_count", "active_customers", "new_customers", "returning_customers", "gross_amount",
        "returned_amount", "net_amount", "average_order_amount",
    )  # fmt: skip
    values = {name: kpis.get(name, [0.0] * count) for name in columns}
    return pd.DataFrame({"date_on": days, "is_complete": True, **values})


def _compare(warehouse: SqlWarehouse, days: pd.DataFrame) -> pd.DataFrame:
    warehouse.fill("kpi_daily", days, schema="marts")
    warehouse.run("kpi_comparison")
    return warehouse.frame("select * from marts.kpi_comparison").set_index("kpi")


def test_the_shipped_event_compares_the_last_28_days_with_the_28_before(company: SqlWarehouse):
    before = [float((7 * number) % 11) for number in range(28)]
    after = [float((5 * number) % 13) + 4 for number in range(28)]
    found = _compare(company, _days(order_count=[500.0, *before, *after]))
    row = found.loc["order_count"]
    assert len(found) == 17
    assert row.event == "last 28 days"
    assert row.changed_on.date() == AS_OF - timedelta(days=27)
    assert (row.before_day_count, row.after_day_count) == (28, 28)
    difference = statistics.mean(after) - statistics.mean(before)
    half = Z * math.sqrt(statistics.variance(before) / 28 + statistics.variance(after) / 28)
    assert row.difference == pytest.approx(difference, abs=1e-9)
    assert row.difference_low == pytest.approx(difference - half, abs=1e-9)
    assert row.difference_high == pytest.approx(difference + half, abs=1e-9)
    assert row.change_share == pytest.approx(difference / statistics.mean(before), abs=1e-9)


def test_a_company_younger_than_the_window_says_how_many_days_it_has(company: SqlWarehouse):
    row = _compare(company, _days(order_count=[2.0] * 30)).loc["order_count"]
    assert (row.before_day_count, row.after_day_count) == (2, 28)
    assert (row.difference, row.difference_low, row.difference_high) == (0, 0, 0)
    row = _compare(company, _days(order_count=[2.0] * 20)).loc["order_count"]
    assert (row.before_day_count, row.after_day_count) == (0, 20)
    assert pd.isna(row.difference)


def test_the_shipped_rule_segments_hold_at_their_edges(company: SqlWarehouse):
    """More than 5,000 a month, more than 10 orders, no order for three months (references.md)."""
    edges = {
        "5000": (5, 5000.0, 1), "5000.01": (5, 5000.01, 1), "10 orders": (10, 1.0, 1),
        "11 orders": (11, 1.0, 1), "91 days": (5, 1.0, 91), "92 days": (5, 1.0, 92),
    }  # fmt: skip
    rows = [
        {
            "customer_key": name, "as_of": AS_OF, "order_count": orders, "monthly_amount": amount,
            "days_since_order": days, "average_order_ratio": 1.0, "average_order_amount": 1.0,
        }
        for name, (orders, amount, days) in edges.items()
    ]  # fmt: skip
    company.fill("int_customers__measures", pd.DataFrame(rows), schema="intermediate")
    company.run("customer_rule_segments")
    found = company.frame(
        "select rule_segment, customer_key from marts.customer_rule_segments order by all"
    )
    assert found.values.tolist() == [
        ["about to leave", "92 days"],
        ["high spender", "5000.01"],
        ["loyal", "11 orders"],
    ]
