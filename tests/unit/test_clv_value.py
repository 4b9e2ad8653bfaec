"""CustomerValue: the product of both models, its interval, persistence, who is left out."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone

from ml.clv.simulation import simulate_customers
from ml.clv.value import (
    HORIZON_PREDICTIONS,
    PREDICTIONS,
    PURCHASE_MODELS,
    TRUSTED_TYPES,
    CustomerValue,
)


def features(count: int = 1500, seed: int = 6, **truth) -> pd.DataFrame:
    """``customer_features`` drawn from the model, in days."""
    ages = np.random.default_rng(seed).integers(30, 600, count)
    drawn = simulate_customers(
        ages,
        purchase=truth.get("purchase", (0.7, 50.0, 0.6, 2.5)),
        spend=(2.1, 3.5, 480.0),
        seed=seed,
    )
    return pd.DataFrame(
        {
            "customer_key": [f"shop:{number:05d}" for number in range(count)],
            "repeat_count": drawn["repeat_count"],
            "last_repeat_age_days": np.ceil(drawn["last_repeat_age"]).astype(int),
            "observed_age_days": ages,
            "repeat_mean_amount": drawn["repeat_mean_amount"],
        }
    )


FEATURES = features()
MODEL = CustomerValue().fit(FEATURES)


def test_value_is_purchases_times_amount():
    scores = MODEL.predict(FEATURES, horizon_days=180, discount_rate=0.0)
    assert list(scores.columns) == list(PREDICTIONS)
    np.testing.assert_allclose(
        scores["clv_amount"],
        scores["expected_orders"] * scores["expected_order_amount"],
        rtol=1e-3,
        atol=0.02,
    )
    np.testing.assert_allclose(
        scores["clv_amount"], MODEL.expected_spending(FEATURES, 180), atol=0.006
    )


def test_discounting_lowers_the_value_but_not_the_orders():
    plain, discounted = (MODEL.predict(FEATURES, 365, rate) for rate in (0.0, 0.10))
    pd.testing.assert_series_equal(plain["expected_orders"], discounted["expected_orders"])
    ratio = discounted["clv_amount"].sum() / plain["clv_amount"].sum()
    assert 1.10**-0.5 < ratio < 1  # earlier half of the year holds more than half of the purchases


def test_the_interval_holds_the_value_and_narrows_with_data():
    scores = MODEL.predict(FEATURES)
    assert (scores["clv_low_amount"] <= scores["clv_amount"]).all()
    assert (scores["clv_amount"] <= scores["clv_high_amount"]).all()
    few = CustomerValue().fit(FEATURES.iloc[:300]).predict(FEATURES)
    width = np.log(scores["clv_high_amount"] / scores["clv_low_amount"]).median()
    assert np.log(few["clv_high_amount"] / few["clv_low_amount"]).median() > 1.5 * width


def test_the_interval_covers_the_true_expectation_as_often_as_it_says():
    truth = CustomerValue().fit(FEATURES)
    truth.purchases_.r_, truth.purchases_.alpha_ = 0.7, 50.0
    truth.purchases_.a_, truth.purchases_.b_ = 0.6, 2.5
    truth.amounts_.p_, truth.amounts_.q_, truth.amounts_.v_ = 2.1, 3.5, 480.0
    somebody = FEATURES.iloc[[0, 3, 10, 25, 60]]
    expected = truth.predict(somebody)["clv_amount"].to_numpy()
    hits = []
    for seed in range(60):
        scores = CustomerValue().fit(features(800, seed=seed)).predict(somebody)
        hits.append(
            (scores["clv_low_amount"] <= expected) & (expected <= scores["clv_high_amount"])
        )
    assert 0.90 < np.mean(hits) < 0.99


def test_the_interval_adds_what_both_models_do_not_know():
    def squared_reach(without: str) -> np.ndarray:
        model = CustomerValue().fit(FEATURES)
        if without:
            getattr(model, without).log_covariance_ *= 0
        scores = model.predict(FEATURES)[valuable]
        return np.log(scores["clv_high_amount"] / scores["clv_low_amount"]).to_numpy() ** 2

    valuable = MODEL.predict(FEATURES)["clv_amount"] > 500  # where cents do not matter
    purchases, amounts = squared_reach("amounts_"), squared_reach("purchases_")
    assert purchases.min() > 0
    assert amounts.min() > 0
    np.testing.assert_allclose(squared_reach(""), purchases + amounts, rtol=0.02)


def test_customers_without_a_purchase_day_are_left_out():
    frame = FEATURES.iloc[:4].astype({"observed_age_days": "Int64"}).copy()
    frame.loc[2, ["observed_age_days", "last_repeat_age_days", "repeat_count"]] = [None, 0, 0]
    assert MODEL.predict(frame)["customer_key"].tolist() == [
        "shop:00000",
        "shop:00001",
        "shop:00003",
    ]
    nobody = MODEL.predict(frame.iloc[[2]])
    assert list(nobody.columns) == list(PREDICTIONS)
    assert nobody.empty


def test_fitting_ignores_customers_without_a_purchase_day():
    stranger = FEATURES.iloc[[0]].assign(observed_age_days=np.nan)
    again = CustomerValue().fit(pd.concat([FEATURES, stranger]))
    assert again.purchases_.r_ == MODEL.purchases_.r_


def test_reads_decimals_as_the_warehouse_gives_them():
    mean = FEATURES["repeat_mean_amount"].round(4)
    decimals = [None if np.isnan(value) else Decimal(str(value)) for value in mean]
    frame = FEATURES.assign(repeat_mean_amount=pd.Series(decimals, dtype=object))
    pd.testing.assert_frame_equal(
        CustomerValue().fit(frame).predict(frame),
        CustomerValue().fit(FEATURES.assign(repeat_mean_amount=mean)).predict(frame),
    )


def test_survives_skops_unchanged():
    needed = set()
    for name in PURCHASE_MODELS:
        model = CustomerValue(purchase_model=name).fit(FEATURES)
        content = skops.io.dumps(model)
        needed |= set(skops.io.get_untrusted_types(data=content))
        loaded = skops.io.loads(content, trusted=list(TRUSTED_TYPES))
        pd.testing.assert_frame_equal(loaded.predict(FEATURES), model.predict(FEATURES))
    assert needed == set(TRUSTED_TYPES)


def test_a_model_stored_before_there_was_a_choice_is_a_bg_nbd():
    old = CustomerValue().fit(FEATURES)
    del old.purchase_model
    loaded = skops.io.loads(skops.io.dumps(old), trusted=list(TRUSTED_TYPES))
    assert loaded.get_params()["purchase_model"] == "bg_nbd"
    pd.testing.assert_frame_equal(loaded.predict(FEATURES), MODEL.predict(FEATURES))


def test_follows_the_conventions_of_scikit_learn():
    model = CustomerValue(horizon_days=90, discount_rate=0.2)
    assert model.get_params() == {
        "purchase_model": "bg_nbd",
        "horizon_days": 90,
        "discount_rate": 0.2,
        "level": 0.95,
    }
    assert clone(MODEL).get_params() == MODEL.get_params()
    pd.testing.assert_frame_equal(
        model.fit(FEATURES).predict(FEATURES), MODEL.predict(FEATURES, 90, 0.2)
    )


def test_parameters_are_told_in_weeks():
    table = MODEL.parameter_table()
    assert table.index.tolist() == ["r", "alpha_weeks", "a", "b", "p", "q", "v"]
    assert table.loc["alpha_weeks", "estimate"] == pytest.approx(MODEL.purchases_.alpha_ / 7)
    assert (table["low"] < table["estimate"]).all()
    assert (table["estimate"] < table["high"]).all()


def test_a_poorly_known_amount_still_fits_its_column():
    wide = CustomerValue().fit(FEATURES)
    wide.amounts_.log_covariance_ = np.eye(3) * 1e6
    scores = wide.predict(FEATURES)
    assert (scores["clv_high_amount"] <= 1.01e4 * scores["clv_amount"] + 100).all()
    assert (scores["clv_low_amount"] >= 0).all()


def test_no_dropout_leaves_everybody_alive():
    frame = features(purchase=(0.8, 60.0, 0.0, 1.0))
    model = CustomerValue().fit(frame)
    scores = model.predict(frame)
    assert not model.purchases_.is_dropout_identifiable_
    assert (scores["alive_probability"] == 1).all()
    assert (scores["clv_low_amount"] < scores["clv_high_amount"]).all()
    assert "nan" not in str(scores.isna().any().tolist())


@pytest.mark.parametrize(("horizon", "rate"), [(0, 0.1), (-5, 0.1), (30, -0.1)])
def test_refuses_an_impossible_horizon_or_rate(horizon, rate):
    with pytest.raises(ValueError, match="horizon_days must be above 0"):
        MODEL.predict(FEATURES, horizon, rate)


def test_names_the_missing_column():
    with pytest.raises(ValueError, match="observed_age_days"):
        MODEL.predict(FEATURES.drop(columns="observed_age_days"))


@pytest.mark.parametrize("name", PURCHASE_MODELS)
def test_horizons_agree_with_single_predictions(name):
    model = CustomerValue(purchase_model=name).fit(FEATURES)
    table = model.predict_horizons(FEATURES, [30, 365, 730], 0.1)
    assert list(table.columns) == list(HORIZON_PREDICTIONS)
    assert table["customer_key"].tolist()[:4] == ["shop:00000"] * 3 + ["shop:00001"]
    year = table[table["horizon_days"] == 365].reset_index(drop=True)
    single = model.predict(FEATURES, 365, 0.1)
    for column in ("expected_orders", "clv_amount"):
        np.testing.assert_array_equal(year[column], single[column])
    np.testing.assert_allclose(year["clv_low_amount"], single["clv_low_amount"], rtol=0.02, atol=1)
    by_horizon = table.pivot(index="customer_key", columns="horizon_days")
    for column in ("expected_orders", "purchase_probability", "clv_amount"):
        assert (by_horizon[column].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert table["purchase_probability"].between(0, 1).all()
    assert (table["purchase_probability"] <= table["expected_orders"] + 1e-6).all()
    assert table["clv_amount"].between(table["clv_low_amount"], table["clv_high_amount"]).all()


@pytest.mark.parametrize("name", PURCHASE_MODELS)
def test_next_orders_are_days_after_the_as_of_date(name):
    model = CustomerValue(purchase_model=name).fit(FEATURES)
    as_of = date(2025, 12, 31)
    found = model.next_orders(FEATURES, as_of)
    alive = model.predict(FEATURES)["alive_probability"]
    assert (found["next_order_on"].isna() == (alive < 0.05)).all()
    assert (found["next_order_on"].isna() == found["next_order_high_on"].isna()).all()
    told = found.dropna()
    assert (told["next_order_low_on"] > pd.Timestamp(as_of)).all()
    assert (told["next_order_low_on"] <= told["next_order_on"]).all()
    assert (told["next_order_on"] <= told["next_order_high_on"]).all()
    assert (told["next_order_high_on"] <= pd.Timestamp(as_of) + pd.Timedelta(days=1825)).all()
    busy = FEATURES.loc[alive > 0.9, "repeat_count"].idxmax()
    assert found.loc[busy, "next_order_on"] < found["next_order_on"].median()


def test_who_is_surely_gone_has_no_next_order():
    gone = FEATURES.iloc[[0]].assign(
        repeat_count=30, last_repeat_age_days=30, observed_age_days=3000, repeat_mean_amount=10.0
    )
    found = MODEL.next_orders(gone, date(2025, 12, 31))
    assert found[["next_order_on", "next_order_low_on", "next_order_high_on"]].isna().all(axis=None)


def test_nobody_has_no_horizons_and_no_next_order():
    nobody = FEATURES.iloc[:2].assign(observed_age_days=np.nan)
    assert MODEL.predict_horizons(nobody, [30]).empty
    assert MODEL.next_orders(nobody, date(2025, 12, 31)).empty


def test_names_the_purchase_models_it_knows():
    with pytest.raises(ValueError, match="known are bg_nbd, mbg_nbd, pareto_nbd"):
        CustomerValue(purchase_model="crystal ball").fit(FEATURES)
