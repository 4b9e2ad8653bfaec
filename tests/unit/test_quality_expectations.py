"""Great Expectations at the edges: every expectation of every suite, passing and failing."""

from __future__ import annotations

from typing import Any

import duckdb
import pandas as pd
import pytest

from crm_pipeline.defs.quality.expectations_bridge import (
    read_for_suite,
    suite_columns,
    validate,
)
from expectations import load_suite, suite_names

ROWS = 20
_STATUS = {"customer_key": [f"demo:{n}" for n in range(ROWS)], "status": ["scored"] * ROWS}
_COMPARED = {
    "method": "kmeans", "adjusted_rand_index": 0.9, "silhouette": 0.4, "noise_share": 0.0,
}  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    "raw.cdnow__master": {"cd_count": 2, "purchase_amount": 11.77},
    "raw.cdnow__sample": {"cd_count": 2, "purchase_amount": 11.77},
    "raw.complete_journey__transactions": {
        "household_id": "900", "basket_id": "31198570044", "sales_value": 3.86, "quantity": 1,
    },
    "raw.demo__order_items": {
        "quantity": 2.0, "line_amount": 20.0, "unit_price": 10.0, "unit_cost": 6.0,
    },
    "raw.demo__orders": {"order_no": "O1", "customer_no": "C1", "channel": "web"},
    "raw.demo_desk__tickets": {
        "ticket_no": "T1", "customer_no": "K1", "channel": "chat", "priority": "low",
    },
    "raw.demo_marketing__campaign_touches": {
        "touch_no": "M1", "campaign_no": "C001", "customer_no": "K1", "arm": "control",
    },
    "raw.demo_sales__opportunities": {
        "opportunity_no": "D1", "account_no": "B-1", "stage": "won",
    },
    "raw.online_retail__transactions": {
        "invoice_no": "536365", "stock_code": "85123A", "customer_id": "17850",
        "unit_price": 2.55, "country": "United Kingdom",
    },
    "scores.agents_needed": {
        "channel": "phone", "status": "scored", "weekday": 1, "hour_of_day": 9, "agents_needed": 3,
        "expected_service_rate": 0.9, "occupancy_rate": 0.6,
    },
    "scores.comment_sentiment": {
        "response_key": [f"demo_desk:{n}" for n in range(ROWS)], "content_probability": 0.8,
        "method": "model",
    },
    "scores.customer_churn": {**_STATUS, "churn_probability": 0.4},
    "scores.customer_clv": {
        **_STATUS, "alive_probability": 0.7, "expected_orders": 2.5, "clv_amount": 50.0,
        "clv_low_amount": 40.0, "clv_high_amount": 60.0,
    },
    "scores.customer_clv_horizons": {
        "customer_key": "demo:1", "horizon_days": 30, "purchase_probability": 0.4,
        "expected_orders": 0.9, "clv_amount": 50.0, "clv_low_amount": 40.0,
        "clv_high_amount": 60.0,
    },
    "scores.customer_next_order": {
        "customer_key": _STATUS["customer_key"], "next_order_low_on": pd.Timestamp("2026-01-02"),
        "next_order_on": pd.Timestamp("2026-01-20"),
        "next_order_high_on": pd.Timestamp("2026-04-01"),
    },
    "scores.customer_next_category": {
        **_STATUS, "next_category_probability": 0.4, "second_category_probability": 0.2,
    },
    "scores.customer_recommendations": {
        "customer_key": "demo:1", "product_key": "demo:SKU-1", "reason": "bought Oak planter",
        "recommendation_rank": 1, "score": 0.7,
    },
    "scores.customer_segments": {**_STATUS, "segment_id": 3, "distance": 0.5},
    "scores.subscription_churn": {
        "subscription_key": _STATUS["customer_key"], "status": "scored", "churn_probability": 0.4,
    },
    "scores.segment_comparison": {**_COMPARED, "data": "purchases"},
    "scores.segment_drift": {
        "to_on": "2026-01-31", "moved_share": 0.2, "population_stability_index": 0.01,
    },
    "scores.segment_profiles": {
        "segment_id": range(1, 1 + ROWS), "segment_name": "Best customers", "customer_share": 0.4,
    },
    "scores.segment_rules": {"segment_id": 1, "rule": "order_count > 9", "precision_rate": 0.9},
    "scores.segment_transitions": {
        "to_segment_id": 1, "customer_count": 5, "customer_share": 0.2,
    },
    "scores.session_segment_comparison": {**_COMPARED, "data": "sessions"},
    "scores.session_segments": {
        "segment_id": range(1, 1 + ROWS), "segment_name": "Many pages", "session_share": 0.4,
    },
    "scores.product_rules": {
        "antecedent_key": "demo:SKU-1", "consequent_key": "demo:SKU-2",
        "item_level": "product", "lift": 2.5, "consequent_count": 25,
        "antecedent_count": 30, "rule_count": 20, "support_rate": 0.01, "confidence_rate": 0.4,
        "p_value": 1e-9, "adjusted_p_value": 0.01,
    },
    "scores.opportunity_scores": {
        "opportunity_key": [f"demo:{n}" for n in range(ROWS)], "status": "scored",
        "win_probability": 0.4, "base_win_rate": 0.5,
    },
    "scores.lead_conversion": {
        "lead_key": [f"demo:{n}" for n in range(ROWS)], "status": "scored",
        "conversion_probability": 0.4, "base_conversion_rate": 0.5, "expected_conversion_days": 3,
    },
    "scores.product_reorder": {
        "product_key": [f"demo:{n}" for n in range(ROWS)], "status": "scored",
        "available_quantity": 5.0, "safety_stock_quantity": 2.0, "order_quantity": 0.0,
    },
    "scores.sales_forecast": {
        "period_start_on": "2025-01-01", "measure": "order_count", "period_grain": "day",
        "status": "scored", "low_80": 5.0, "forecast": 7.0, "high_80": 9.0, "horizon": 3,
    },
    "scores.sales_forecast_accuracy": {
        "method": "theta", "mase": 0.8, "coverage_80_rate": 0.8, "coverage_95_rate": 0.9,
    },
    "scores.audience_results": {
        "experiment": [f"winback {n}" for n in range(ROWS)], "audience": "winback",
        "outcome": "conversion", "verdict": "works", "sample_ratio_p_value": 0.4,
        "treated_order_rate": 0.2, "holdout_order_rate": 0.1, "p_value": 0.01, "effect_low": 0.02,
        "effect_high": 0.18,
        "amount_effect_low": 1.0, "amount_effect_high": 9.0, "measured_gain_low_amount": 50.0,
        "measured_gain_high_amount": 500.0,
    },
    "scores.customer_uplift": {**_STATUS, "uplift": 0.03},
    "scores.experiment_results": {
        "campaign_key": "demo_marketing:C001", "verdict": "raises", "p_value": 0.01,
        "always_valid_p_value": 0.04, "sample_ratio_p_value": 0.5, "effect_low": 0.01,
        "effect_high": 0.09,
    },
    "scores.offer_allocation": {
        "customer_key": [f"demo:{n}" for n in range(ROWS)], "offer": "newsletter",
        "uplift_basis": "customer", "expected_gain_amount": 1.5, "cost_amount": 0.02,
    },
    "scores.offer_allocation_summary": {"method": "greedy", "gap_rate": 0.0001},
    "scores.satisfaction_drivers": {
        "driver": "delivery", "effect_share": -0.2, "p_value": 0.001, "verdict": "lowers",
    },
}  # fmt: skip
"""A table each suite must accept."""


def good(name: str) -> pd.DataFrame:
    return pd.DataFrame(GOOD[name], index=range(ROWS))


def broken(frame: pd.DataFrame, kind: str, arguments: dict[str, Any]) -> pd.DataFrame:
    """Return ``frame`` with values that this one expectation must object to."""
    frame = frame.copy()
    column = arguments.get("column")
    if kind == "expect_column_values_to_not_be_null":
        frame[column] = None
    elif kind == "expect_column_values_to_be_unique":
        frame[column] = "demo:1"
    elif kind in ("expect_column_values_to_be_in_set", "expect_column_values_to_match_regex"):
        frame[column] = "something else"
    elif kind == "expect_column_values_to_be_between":
        frame[column] = arguments["min_value"] - 1
    elif kind == "expect_column_mean_to_be_between":
        frame[column] = arguments["max_value"] + 0.01
    elif kind == "expect_column_pair_values_a_to_be_greater_than_b":
        other = frame[arguments["column_B"]]
        is_day = pd.api.types.is_datetime64_any_dtype(other)
        frame[arguments["column_A"]] = other - (pd.Timedelta(days=1) if is_day else 1)
    else:
        raise AssertionError(f"say here how to break {kind}")
    return frame


CASES = [
    (name, number)
    for name in suite_names()
    for number in range(len(load_suite(name)["expectations"]))
]


def test_every_suite_has_a_table_it_must_accept():
    assert sorted(GOOD) == suite_names()


@pytest.mark.parametrize("name", suite_names())
def test_a_good_table_passes(name):
    frame = good(name)
    assert sorted(frame.columns) == suite_columns(load_suite(name))
    verdict = validate(name, frame, ROWS)
    assert (verdict.passed, verdict.warned, verdict.failed) == (True, False, ())


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_expectation_can_fail_with_its_severity(name, number):
    expectation = load_suite(name)["expectations"][number]
    kind, arguments = expectation["type"], expectation["kwargs"]
    frame = broken(good(name), kind, arguments)
    verdict = validate(name, frame, ROWS)
    column = arguments.get("column") or arguments["column_A"]
    assert [f for f in verdict.failed if f.startswith(kind) and f" on {column}" in f]
    if expectation["severity"] == "critical":
        assert not verdict.passed
    else:
        assert verdict.warned


@pytest.mark.parametrize("name", suite_names())
def test_what_failed_is_told_without_a_value(name):
    """A personal value must not reach check metadata."""
    frame = good(name)
    for column in frame.columns:
        frame[column] = frame[column].astype(object)
        if column == "quantity" or not isinstance(frame[column].iloc[0], str):
            continue
        frame[column] = "jane.roe@example.com"
    verdict = validate(name, frame, ROWS)
    assert "jane" not in " ".join(verdict.failed)


def test_scores_that_nobody_has_yet_are_no_finding():
    frame = good("scores.customer_churn")
    frame["status"], frame["churn_probability"] = "too_little_data", None
    assert validate("scores.customer_churn", frame, ROWS).passed


def test_an_empty_table_is_no_finding():
    verdict = validate("raw.demo__orders", good("raw.demo__orders").head(0), 0)
    assert (verdict.passed, verdict.rows) == (True, 0)


def test_a_large_table_is_sampled_by_line_the_same_way_every_time():
    with duckdb.connect() as con:
        con.execute("create schema landing; create schema control")
        con.execute(
            "create table landing.demo__orders as select i as order_no, i as customer_no, "
            "'web' as channel, 'd' as _digest, i as _line from range(1000) as t(i)"
        )
        con.execute(
            "create table control.current_contents as select 'demo' as source, "
            "'orders' as table_name, 'd' as digest"
        )
        whole, rows = read_for_suite(con, "raw.demo__orders")
        assert (len(whole), rows) == (1000, 1000)
        one, rows = read_for_suite(con, "raw.demo__orders", sample_rows=100)
        two, _ = read_for_suite(con, "raw.demo__orders", sample_rows=100)
        assert (len(one), rows) == (100, 1000)
        pd.testing.assert_frame_equal(
            one.sort_values("order_no", ignore_index=True),
            two.sort_values("order_no", ignore_index=True),
        )
        con.execute("update landing.demo__orders set _digest = 'superseded'")
        assert len(read_for_suite(con, "raw.demo__orders")[0]) == 0
