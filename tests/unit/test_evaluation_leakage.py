"""The leak helpers catch a feature that looks ahead and leave honest ones alone."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.leakage import look_ahead_columns, scramble_after, suspicious_columns
from tests.unit.churn_company import company, features_at

CUT_OFF = date(2025, 3, 1)


@pytest.fixture(scope="module")
def orders():
    return company(customers=300).orders


def test_honest_features_do_not_move(orders):
    assert (
        look_ahead_columns(lambda o: features_at(o, CUT_OFF), orders, CUT_OFF, "ordered_on") == []
    )


def test_a_feature_that_looks_ahead_is_named(orders):
    def build(facts: pd.DataFrame) -> pd.DataFrame:
        features = features_at(facts, CUT_OFF)
        total = facts.groupby("customer_key")["amount"].sum()
        return features.assign(lifetime_amount=features["customer_key"].map(total))

    assert look_ahead_columns(build, orders, CUT_OFF, "ordered_on") == ["lifetime_amount"]


def test_rows_that_appear_or_vanish_are_a_leak_of_the_key(orders):
    def build(facts: pd.DataFrame) -> pd.DataFrame:
        return facts.groupby("customer_key", as_index=False)["ordered_on"].min()[["customer_key"]]

    assert look_ahead_columns(build, orders, CUT_OFF, "ordered_on") == ["customer_key"]


def test_scrambling_changes_only_what_came_later(orders):
    changed = scramble_after(orders, CUT_OFF, "ordered_on")
    edge = pd.Timestamp(CUT_OFF)
    before = orders[orders["ordered_on"] <= edge]
    kept = changed[changed["ordered_on"] <= edge]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), before.reset_index(drop=True))
    assert changed["amount"].sum() != orders["amount"].sum()


def test_a_feature_that_tells_the_outcome_alone_is_suspicious():
    rng = np.random.default_rng(0)
    outcome = rng.integers(0, 2, 500).astype(float)
    frame = pd.DataFrame(
        {"honest": 2 * rng.random(500) + outcome, "reversed": -outcome, "empty": np.nan, "key": "x"}
    )
    assert suspicious_columns(frame, outcome) == {"reversed": 1.0}
