"""The customer score's learned weights: recovered where there are some, refused where not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.scoring.weights import COMPONENTS, learn_weights, learned_scores, places, weighted

GIVEN = pd.DataFrame({"component": [*COMPONENTS], "weight": [0.4, 0.3, 0.3]})


def company(size: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    orders = rng.geometric(0.2, size)
    average = rng.gamma(3, 20, size)
    return pd.DataFrame(
        {
            "customer_key": [f"shop:{n:05d}" for n in range(size)],
            "recency_days": rng.integers(0, 400, size),
            "order_count": orders,
            "average_order_amount": average,
            "net_amount": orders * average,
        }
    )


def later(frame: pd.DataFrame, amount: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"customer_key": frame["customer_key"], "future_gross_amount": amount})


def test_places_are_the_percent_ranks_of_the_mart():
    frame = company(5).assign(
        order_count=[1, 1, 2, 3, 3], average_order_amount=[5.0, 4.0, 3.0, 2.0, 1.0]
    )
    assert list(places(frame)["order_count"]) == [0, 0, 50, 75, 75]
    assert list(places(frame)["average_order_amount"]) == [100, 75, 50, 25, 0]


def test_the_weighted_sum_of_the_references():
    """references.md section 8: .4 x frequency + .3 x average order + .3 x RFM."""
    placed = pd.DataFrame({"order_count": [50.0], "average_order_amount": [80.0], "rfm": [100.0]})
    assert weighted(placed, np.array([0.4, 0.3, 0.3])) == pytest.approx([20 + 24 + 30])


def test_what_decides_gets_the_weight_and_what_does_not_gets_none():
    frame = company(3000)
    table = learn_weights(frame, later(frame, frame["average_order_amount"] ** 2), GIVEN)
    weights = table.set_index("component")["learned_weight"]
    assert weights["average_order_amount"] > 0.95
    assert weights.sum() == pytest.approx(1)
    assert (table["learned_low"] <= table["learned_weight"] + 1e-6).all()
    assert (table["learned_weight"] <= table["learned_high"] + 1e-6).all()
    assert table["learned_gini"][0] > table["given_gini"][0]


def test_a_mixture_is_recovered_within_its_interval():
    frame, rng = company(4000, 3), np.random.default_rng(5)
    target = weighted(places(frame), np.array([0.2, 0.5, 0.3])) + rng.normal(0, 5, len(frame))
    table = learn_weights(frame, later(frame, np.exp(target / 20)), GIVEN).set_index("component")
    assert table.loc["average_order_amount", "learned_weight"] == pytest.approx(0.5, abs=0.05)
    assert table.loc["order_count", "learned_weight"] == pytest.approx(0.2, abs=0.05)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_unit_of_money_matters(random):
    frame = company(150)
    labels = later(frame, frame["net_amount"] * 2)
    order = list(range(150))
    random.shuffle(order)
    money = ["net_amount", "average_order_amount"]
    moved = frame.iloc[order].assign(**{c: frame[c] * 8 for c in money})
    first, second = learn_weights(frame, labels, GIVEN), learn_weights(moved, labels, GIVEN)
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("size", [0, 1, 30, 99])
def test_few_customers_teach_nothing(size):
    frame = company(size)
    table = learn_weights(frame, later(frame, frame["net_amount"]), GIVEN)
    assert table["learned_weight"].isna().all()
    assert list(table["given_weight"]) == [0.4, 0.3, 0.3]
    assert learned_scores(frame, table).empty


@pytest.mark.parametrize(
    "change",
    [
        {"order_count": 1, "average_order_amount": 2.0, "net_amount": 2.0, "recency_days": 3},
        {"average_order_amount": np.nan},
        {"net_amount": -5.0},
    ],
)
def test_odd_customers_still_give_weights_that_sum_to_one(change):
    frame = company(200).assign(**change)
    table = learn_weights(frame, later(frame, np.arange(200.0)), GIVEN)
    assert table["learned_weight"].sum() == pytest.approx(1, abs=1e-5)
    assert learned_scores(frame, table)["learned_score"].between(0, 100).all()


def test_nothing_spent_and_unobserved_customers_teach_nothing():
    frame = company(200)
    assert learn_weights(frame, later(frame, np.zeros(200)), GIVEN)["learned_weight"].isna().all()
    unknown = later(frame, np.where(np.arange(200) < 150, np.nan, 1.0))
    assert list(learn_weights(frame, unknown, GIVEN)["customer_count"]) == [50, 50, 50]


def test_a_customer_twice_is_an_error():
    frame = company(200)
    twice = pd.concat([frame, frame.head(1)])
    with pytest.raises(pd.errors.MergeError):
        learn_weights(twice, later(frame, frame["net_amount"]), GIVEN)
