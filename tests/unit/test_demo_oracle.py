"""The demo company's yardstick: published figures, calibration, and nobody beats it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from crm_pipeline.demo.behaviour import MONTH_FACTORS, SEGMENTS, Calendar, Segment
from crm_pipeline.demo.company import DemoCompany
from crm_pipeline.demo.oracle import (
    Posterior,
    has_no_order,
    history_at,
    latent_probabilities,
    oracle_expected_orders,
    oracle_probabilities,
)
from crm_pipeline.demo.truth import DemoTruth

HORIZON_DAYS = 90
CUT_OFF = date(2026, 6, 30) - timedelta(days=HORIZON_DAYS)
FLAT = (1.0,) * 12
EMPTY = pd.DataFrame()


def truth_in_memory(company: DemoCompany) -> DemoTruth:
    blocks = [company.block(number) for number in range(company.block_count)]
    customers = pa.concat_tables([block.true_customers for block in blocks]).to_pandas()
    orders = pa.concat_tables([block.true_orders for block in blocks]).to_pandas()
    orders["ordered_on"] = pd.to_datetime(orders["ordered_on"])
    orders["amount"] = orders["amount"].astype(float)
    tickets, touches = (
        pa.concat_tables([block.truths[name] for block in blocks]).to_pandas()
        for name in ("tickets", "touches")
    )
    return DemoTruth(company, customers, orders, EMPTY, EMPTY, tickets, touches)


@pytest.fixture(scope="module")
def truth() -> DemoTruth:
    return truth_in_memory(DemoCompany(customers=20_000))


@pytest.fixture(scope="module")
def label(truth) -> np.ndarray:
    return has_no_order(truth, CUT_OFF, HORIZON_DAYS).to_numpy()


@pytest.fixture(scope="module")
def oracle(truth) -> np.ndarray:
    return oracle_probabilities(truth, CUT_OFF, HORIZON_DAYS).to_numpy()


def calibration_error(happened: np.ndarray, probability: np.ndarray) -> float:
    """Mean distance of frequency and probability over ten equal-count bins."""
    bins = np.array_split(np.argsort(probability, kind="stable"), 10)
    return float(np.mean([abs(happened[b].mean() - probability[b].mean()) for b in bins]))


@pytest.mark.parametrize(
    ("repeats", "last", "observed", "expected"),
    [
        (2, 30.43, 38.86, 1.45515),
        (0, 0.0, 38.86, 0.10707),
        (7, 35.0, 38.86, 4.63621),
        (26, 30.86, 31.0, 20.11607),
    ],
)
def test_expected_orders_are_the_published_ones(repeats, last, observed, expected):
    """Pareto/NBD on CDNOW (R package BTYD 2.4.3): E[Y(39)]; here one day stands for one week."""
    r, alpha, s, beta = 0.5533, 10.577, 0.6063, 11.670
    cdnow = Segment("cdnow", 1.0, r, alpha / r, s, beta / s, 6, 50)
    posterior = Posterior(
        Calendar(date(2025, 1, 1), date(2025, 12, 31), FLAT),
        first=np.array([0.0]),
        last=np.array([last]),
        count=np.array([repeats + 1.0]),
        amount=np.array([100.0]),
        segments=(cdnow,),
    )
    assert posterior.expected_orders(observed, observed + 39)[0] == pytest.approx(
        expected, rel=2e-3
    )


def test_silence_agrees_with_simulation_from_the_priors():
    """Of simulated customers with this history, as many stay silent as the formula says."""
    rng = np.random.default_rng(1)
    segment = Segment("one", 1.0, 2.0, 30.0, 1.5, 120.0, 6, 50)
    calendar = Calendar(date(2025, 1, 1), date(2025, 12, 31))
    size = 2_000_000
    rate = rng.gamma(segment.rate_shape, 1 / segment.rate_days, size)
    life = rng.standard_exponential(size) / rng.gamma(
        segment.dropout_shape, 1 / segment.dropout_days, size
    )
    now, until = 150.0, 240.0

    def orders_in(begin: float, end: float) -> np.ndarray:
        low, high = np.minimum(life, begin), np.minimum(life, end)
        return rng.poisson(rate * (calendar.operational(high) - calendar.operational(low)))

    silent = (orders_in(0, 100) == 0) & (orders_in(100, now) == 0)
    stays_silent = orders_in(now, until)[silent] == 0
    posterior = Posterior(
        calendar, np.zeros(1), np.zeros(1), np.ones(1), np.array([50.0]), (segment,)
    )
    [expected] = posterior.no_order_probability(now, until)
    error = np.sqrt(expected * (1 - expected) / len(stays_silent))
    assert abs(stays_silent.mean() - expected) < 4 * error
    [before] = posterior.no_order_probability(0.0, now)
    assert before == pytest.approx(silent.mean(), rel=0.01)


def test_oracle_is_calibrated(label, oracle):
    assert calibration_error(label, oracle) < 0.012
    assert abs(label.mean() - oracle.mean()) < 0.01


def test_no_model_fitted_to_the_answers_beats_the_oracle(truth, label, oracle):
    """A flexible model may even train on the evaluated labels: its log-loss stays above."""
    history = history_at(truth, CUT_OFF)
    cut = pd.Timestamp(CUT_OFF)
    features = np.log1p(
        pd.DataFrame(
            {
                "recency_days": (cut - history["last_order_on"]).dt.days,
                "age_days": (cut - history["first_order_on"]).dt.days,
                "order_count": history["order_count"],
                "mean_amount": history["amount"] / history["order_count"],
            }
        )
    )
    model = make_pipeline(
        StandardScaler(), SplineTransformer(n_knots=5), LogisticRegression(max_iter=400)
    ).fit(features, label)
    rival = log_loss(label, model.predict_proba(features)[:, 1])
    best = log_loss(label, oracle)
    assert best < rival
    assert best < log_loss(label, np.full(len(label), label.mean())) * 0.7


def test_a_forecast_from_one_blurred_prior_is_worse(truth, label, oracle):
    history = history_at(truth, CUT_OFF)
    now = float(truth.calendar.day_of(CUT_OFF) + 1)
    best = log_loss(label, oracle)
    blurred = Segment("all", 1.0, 1.2, 80, 1.0, 400, 2.0, 80)
    for month_factors, segments in ((MONTH_FACTORS, (blurred,)), (FLAT, (blurred,))):
        season = Calendar(truth.calendar.start, truth.calendar.end, month_factors)
        known = Posterior.of(season, history)
        other = Posterior(season, known.first, known.last, known.count, known.amount, segments)
        silent = other.no_order_probability(now, now + HORIZON_DAYS)
        assert log_loss(label, np.clip(silent, 1e-9, 1 - 1e-9)) > best


def test_amounts_tell_segments_apart(truth, label, oracle):
    """What a customer spends betrays the segment, and with it the future."""
    history = history_at(truth, CUT_OFF)
    average = history["amount"].sum() / history["order_count"].sum()
    alike = history.assign(amount=history["order_count"] * average)
    blind = oracle_probabilities(truth, CUT_OFF, HORIZON_DAYS, alike)
    assert log_loss(label, oracle) < log_loss(label, blind) * 0.99


def test_latent_state_knows_more_than_history(truth, label, oracle):
    latent = latent_probabilities(truth, CUT_OFF, HORIZON_DAYS).to_numpy()
    assert calibration_error(label, latent) < 0.012
    assert log_loss(label, np.clip(latent, 1e-9, 1 - 1e-9)) < log_loss(label, oracle)


def test_expected_orders_add_up(truth):
    expected = oracle_expected_orders(truth, CUT_OFF, HORIZON_DAYS)
    orders = truth.orders.dropna(subset="customer_no")
    orders = orders[~orders["is_caused"]]
    later = orders[orders["ordered_on"] > pd.Timestamp(CUT_OFF)]
    actual = later.groupby("customer_no").size().reindex(expected.index).fillna(0)
    spread = np.sqrt(((actual - expected) ** 2).sum())
    assert abs(actual.sum() - expected.sum()) < 3 * spread


def test_history_ends_with_the_cut_off():
    truth = truth_in_memory(DemoCompany(customers=500))
    changed = truth.orders.copy()
    after = changed["ordered_on"] > pd.Timestamp(CUT_OFF)
    changed.loc[after, "amount"] = 1e6
    other = replace(truth, orders=changed)
    pd.testing.assert_series_equal(
        oracle_probabilities(truth, CUT_OFF, HORIZON_DAYS),
        oracle_probabilities(other, CUT_OFF, HORIZON_DAYS),
    )


def test_label_needs_the_whole_window(truth):
    with pytest.raises(ValueError, match="records end on 2026-06-30"):
        has_no_order(truth, CUT_OFF + timedelta(days=1), HORIZON_DAYS)


def test_segments_are_a_distribution():
    assert sum(segment.share for segment in SEGMENTS) == pytest.approx(1)
    assert np.mean(MONTH_FACTORS) == pytest.approx(1)


def test_priors_are_recovered_from_the_truth(truth):
    """Each segment's drawn rates and amounts have the means that its priors promise."""
    buyers = truth.customers.dropna(subset="segment")
    for segment in SEGMENTS:
        own = buyers[buyers["segment"] == segment.name]
        assert len(own) / len(buyers) == pytest.approx(segment.share, abs=0.02)
        assert 1 / own["order_rate"].mean() == pytest.approx(segment.mean_gap_days, rel=0.05)
        assert 1 / own["dropout_rate"].mean() == pytest.approx(segment.mean_life_days, rel=0.08)
        amount = segment.mean_order_amount
        assert own["mean_order_amount"].mean() == pytest.approx(amount, rel=0.05)
