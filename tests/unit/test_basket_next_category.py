"""The next category: the mixture, the evidence, no leak, the champion, odd data."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from ml.basket import next_category as module
from ml.basket.next_category import SKOPS_TRUSTED_TYPES, NextCategory, main_categories
from ml.basket.next_category_training import train_next_category
from ml.evaluation.gate import decide
from ml.evaluation.leakage import scramble_after

AS_OF = date(2026, 6, 30)
CATEGORIES = ("bath", "garden", "kitchen", "living")


def company(customers: int = 150, *, seed: int = 0, habit: float = 0.5, chain: float = 0.3):
    """Customers who keep to a category, follow a chain (the next by name), or do neither."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        liked = last = int(rng.integers(4))
        for day in np.sort(rng.choice(360, 14, replace=False)):
            dice = rng.random()
            if dice < habit:
                last = liked
            elif dice < habit + chain:
                last = (last + 1) % 4
            else:
                last = int(rng.integers(4))
            bought_on = AS_OF - timedelta(days=359 - int(day))
            rows.append((f"s:C{customer:04d}", bought_on, CATEGORIES[last], 10.0))
    frame = pd.DataFrame(
        rows, columns=["customer_key", "ordered_on", "category", "category_amount"]
    )
    return frame.assign(ordered_on=pd.to_datetime(frame["ordered_on"]))


def number(day: date) -> int:
    return int(np.datetime64(day, "D").astype(np.int64))


def train(frame, **settings):
    return train_next_category(frame, as_of=AS_OF, horizon_days=60, **settings)


@pytest.fixture(scope="module")
def days():
    return company()


@pytest.fixture(scope="module")
def result(days):
    return train(days)


def test_habit_and_chain_are_found_and_promoted(result):
    assert decide(result).promoted, decide(result).reason
    assert result.parameters["own_weight"] > 0.2
    rows = result.evaluation.set_index("metric")
    assert rows.loc["accuracy", "value"].max() > 1.4 * rows.loc["accuracy", "baseline_value"]
    assert result.gate.candidate.mean() < result.gate.baselines["popularity"].mean()


def test_a_pure_chain_gets_the_chain_s_weight():
    result = train(company(habit=0.0, chain=0.9))
    assert result.parameters["chain_weight"] >= 0.7
    assert decide(result).promoted
    followed = result.estimator.transitions_ / result.estimator.transitions_.sum(axis=1)[:, None]
    assert np.diag(np.roll(followed, -1, axis=1)).min() > 0.8


def test_customers_without_any_pattern_are_refused():
    promoted = [decide(train(company(seed=s, habit=0, chain=0))).promoted for s in range(3)]
    assert sum(promoted) <= 1


def test_shares_sum_to_one_and_by_hand_are_these():
    frame = pd.DataFrame(
        [("s:1", "2026-06-28", "a", 5.0), ("s:1", "2026-06-29", "b", 5.0),
         ("s:2", "2026-06-30", "a", 5.0)],
        columns=["customer_key", "ordered_on", "category", "category_amount"],
    )  # fmt: skip
    purchases = main_categories(frame)
    model = NextCategory(0.5, 0.3, half_life_days=2.0).fit(purchases, cut_off=number(AS_OF))
    a = 2 ** (-2 / 90) + 1 + 0.5
    b = 2 ** (-1 / 90) + 0.5
    popular = np.array([a, b]) / (a + b)
    assert model.popularity_ == pytest.approx(popular)
    assert model.transitions_.tolist() == [[0, 1], [0, 0]]
    own = (np.array([2**-1, 2**-0.5]) + 2 * popular) / (2**-1 + 2**-0.5 + 2)
    chain = popular  # nothing followed b yet
    want = 0.5 * own + 0.3 * chain + 0.2 * popular
    got = model.predict_proba(purchases, number(AS_OF))
    assert got[0] == pytest.approx(want)
    assert got.sum(axis=1) == pytest.approx([1, 1])
    after_a = (np.array([0.0, 1.0]) + 2 * popular) / 3
    own_2 = (np.array([1.0, 0.0]) + 2 * popular) / 3
    assert got[1] == pytest.approx(0.5 * own_2 + 0.3 * after_a + 0.2 * popular)


def test_the_day_s_category_is_the_one_of_most_money_then_the_first_by_name():
    frame = pd.DataFrame(
        [("s:1", "2026-06-28", "b", 5.0), ("s:1", "2026-06-28", "a", 4.0),
         ("s:1", "2026-06-29", "c", 3.0), ("s:1", "2026-06-29", "a", 3.0)],
        columns=["customer_key", "ordered_on", "category", "category_amount"],
    )  # fmt: skip
    assert main_categories(frame).category.tolist() == ["b", "a"]


def test_row_order_and_a_second_training_change_nothing(days, result):
    again = train(days.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(again.evaluation, result.evaluation)
    assert again.estimator.get_params() == result.estimator.get_params()


def leaked(days) -> bool:
    """Whether anything known at the cut-off moves with what happened after it."""
    cut = AS_OF - timedelta(days=60)
    found = []
    for frame in (days, scramble_after(days, cut, "ordered_on", seed=1)):
        purchases = main_categories(frame)
        model = NextCategory().fit(purchases, cut_off=number(cut))
        predicted = model.predict(purchases, number(cut)).set_index("customer_key")
        found.append((model.transitions_.tolist(), predicted.sort_index().to_csv()))
    return found[0] != found[1]


def test_nothing_after_the_cut_off_is_known_at_it(days):
    assert not leaked(days)


def test_looking_one_day_ahead_is_caught(days, monkeypatch):
    monkeypatch.setattr(module, "is_known", lambda day, cut_off: day <= cut_off + 1)
    assert leaked(days)


def test_the_same_champion_stays_and_a_worse_one_is_replaced(days, result):
    again = train(days, champion=result.estimator)
    assert "does not beat champion" in decide(again).reason
    worse = NextCategory(0.0, 0.0).fit(main_categories(days), cut_off=number(AS_OF) - 60)
    assert decide(train(days, champion=worse)).promoted
    with pytest.raises(ValueError, match="LogisticRegression, not a NextCategory"):
        train(days, champion=LogisticRegression())


def test_a_stored_model_predicts_the_same_and_holds_no_customer(days, result):
    content = skops.io.dumps(result.estimator)
    loaded = skops.io.loads(content, trusted=SKOPS_TRUSTED_TYPES)
    purchases = main_categories(days)
    one, other = (m.predict(purchases, number(AS_OF)) for m in (result.estimator, loaded))
    pd.testing.assert_frame_equal(one, other)
    assert len(one) == days["customer_key"].nunique()
    assert one["next_category_probability"].between(0, 1).all()
    assert (one["next_category_probability"] >= one["second_category_probability"]).all()
    assert "s:C0" not in str(vars(loaded))


def test_a_category_that_the_model_has_not_seen_is_left_out(days, result):
    new = days.assign(category="toys").head(5)
    predicted = result.estimator.predict(main_categories(new), number(AS_OF))
    assert set(predicted["next_category"]) <= set(CATEGORIES)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.head(0), "fewer than two categories"),
        (lambda f: f.assign(category="all"), "fewer than two categories"),
        (lambda f: f[f["customer_key"] < "s:C0030"], " customers bought again"),
        (lambda f: f[f["customer_key"] == "s:C0001"], "1 customers bought again"),
        (lambda f: f[f["ordered_on"] > "2026-05-20"], "days of purchases"),
        (lambda f: f.drop_duplicates("customer_key"), "0 customers bought again"),
    ],
    ids=["none", "one category", "30 customers", "one customer", "weeks", "all new"],
)
def test_too_little_data_abstains_with_a_reason(days, change, reason):
    result = train(change(days))
    assert result.status == "too_little_data"
    assert reason in result.reason
    assert not decide(result).promoted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="category"), r"need the columns \['category'\]"),
        (lambda f: f.assign(category=None), r"nulls in \['category'\]"),
    ],
)
def test_unusable_frames_are_named(days, change, message):
    with pytest.raises(ValueError, match=message):
        train(change(days))


def test_amounts_that_are_negative_only_order_the_categories(days):
    assert train(days.assign(category_amount=-10.0)).status == "trained"
