"""BG/NBD: predictions against published figures, oracles and draws; limits; refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import hyp2f1

from ml.clv import expectation
from ml.clv.expectation import PurchaseParameters, purchases_if_alive
from ml.clv.purchases import BetaGeometricNBD
from ml.clv.simulation import simulate_customers

CDNOW = (0.24259, 4.4136, 0.79292, 2.4259)
"""Published parameters, weeks (references.md section 1: Fader, Hardie & Lee 2005)."""
AGES = np.random.default_rng(5).integers(10, 80, 6000).astype(float)
DRAWN = simulate_customers(AGES, purchase=(0.6, 7.0, 0.7, 2.5), horizon=30, seed=3)
"""Weeks, from a known truth."""


def with_parameters(r: float, alpha: float, a: float, b: float) -> BetaGeometricNBD:
    model = BetaGeometricNBD()
    model.r_, model.alpha_, model.a_, model.b_ = r, alpha, a, b
    return model


def history(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["repeat_count", "last_repeat_age", "age"])


def estimates(model: BetaGeometricNBD) -> np.ndarray:
    return np.array([model.r_, model.alpha_, model.a_, model.b_])


def test_point_predictions_are_the_published_ones():
    """references.md section 1, table of (x, t_x, T); parameters are published to five digits."""
    customers = history((2, 30.43, 38.86), (0, 0, 38.86), (7, 35, 38.86), (26, 30.86, 31))
    model = with_parameters(*CDNOW)
    np.testing.assert_allclose(
        model.expected_purchases(customers, 39), [1.22592, 0.19479, 4.38752, 20.75046], rtol=1e-4
    )
    np.testing.assert_allclose(
        model.alive_probability(customers), [0.72661, 1.0, 0.84379, 0.96892], atol=1e-5
    )


@pytest.mark.parametrize("parameters", [CDNOW, (0.3, 4.0, 0.05, 30.0), (2.0, 9.0, 1.2, 1.5)])
@pytest.mark.parametrize(("x", "age"), [(0, 0.0), (0, 38.0), (1, 3.0), (5, 30.0), (26, 31.0)])
def test_quadrature_equals_the_hypergeometric_form(parameters, x, age):
    """Fader, Hardie & Lee (2005), equation 10, without its last factor P(alive)."""
    r, alpha, a, b = parameters
    for t in (1.0, 39.0, 104.0):
        share = (alpha + age) / (alpha + age + t)
        exact = (
            (a + b + x - 1)
            / (a - 1)
            * (1 - share ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, 1 - share))
        )
        found = purchases_if_alive(
            PurchaseParameters(*parameters), np.array([x]), np.array([age]), t
        )
        assert found[0] == pytest.approx(exact, rel=1e-8)


def test_dropout_chance_of_one_half_on_average_is_no_special_case():
    """The published form divides by a - 1."""
    ends = [
        purchases_if_alive(PurchaseParameters(0.3, 4, a, 2), np.array([3]), np.array([20.0]), 39)[0]
        for a in (1 - 1e-6, 1.0, 1 + 1e-6)
    ]
    assert ends[1] == pytest.approx((ends[0] + ends[2]) / 2, rel=1e-9)


def test_discounting_is_the_integral_over_the_purchase_rate():
    parameters, x, age, t, discount = PurchaseParameters(*CDNOW), 4, 20.0, 52.0, 0.003

    def rate(s: float) -> float:
        ends = [
            purchases_if_alive(parameters, np.array([x]), np.array([age]), s + d)[0]
            for d in (-1e-4, 1e-4)
        ]
        return np.exp(-discount * s) * (ends[1] - ends[0]) / 2e-4

    exact, _ = quad(rate, 1e-4, t)
    found = purchases_if_alive(parameters, np.array([x]), np.array([age]), t, discount)
    assert found[0] == pytest.approx(exact, rel=1e-4)


def test_no_discount_counts_every_purchase_as_one():
    model = with_parameters(*CDNOW)
    plain = model.expected_purchases(DRAWN, 52)
    np.testing.assert_array_equal(model.expected_purchases(DRAWN, 52, discount=0.0), plain)
    np.testing.assert_allclose(
        model.expected_purchases(DRAWN, 52, discount=1e-12), plain, rtol=1e-9
    )
    assert np.all(model.expected_purchases(DRAWN, 52, discount=0.01) < plain)


def test_blocks_do_not_change_predictions(monkeypatch):
    model = with_parameters(*CDNOW)
    whole = model.expected_purchases(DRAWN, 52, discount=0.01)
    monkeypatch.setattr(expectation, "BLOCK_ROWS", 100)
    np.testing.assert_allclose(model.expected_purchases(DRAWN, 52, discount=0.01), whole)


def test_predictions_stay_finite_for_the_heaviest_buyers():
    customers = history((3000, 499.9, 500), (3000, 100, 500), (1, 0.01, 5000), (0, 0, 0))
    model = with_parameters(*CDNOW)
    for values in (
        model.expected_purchases(customers, 52, discount=0.002),
        model.alive_probability(customers),
        model.purchase_probability(customers, 52),
        model.log_sensitivity(customers.iloc[[0, 3]], 52),
    ):
        assert np.all(np.isfinite(values))


def test_predictions_agree_with_what_the_drawn_customers_did():
    model = with_parameters(0.6, 7.0, 0.7, 2.5)
    expected = model.expected_purchases(DRAWN, 30)
    actual = DRAWN["future_purchase_count"].to_numpy()
    error = (actual - expected).std() / np.sqrt(actual.size)
    assert abs((actual - expected).mean()) < 4 * error
    buys = model.purchase_probability(DRAWN, 30)
    assert abs(((actual > 0) - buys).mean()) < 4 * np.sqrt((buys * (1 - buys)).mean() / buys.size)
    alive = model.alive_probability(DRAWN)
    assert abs((DRAWN["is_alive"] - alive).mean()) < 0.01


def test_truth_is_inside_the_intervals():
    model = BetaGeometricNBD().fit(DRAWN)
    low, high = model.intervals_.T
    assert model.is_converged_
    assert model.limits_ == []
    assert np.all((low < [0.6, 7.0, 0.7, 2.5]) & (high > [0.6, 7.0, 0.7, 2.5]))


def test_sensitivity_equals_differences_of_the_prediction():
    model = BetaGeometricNBD().fit(DRAWN)
    some = DRAWN.iloc[:50]
    found = model.log_sensitivity(some, 52, discount=0.002)
    centre, step = estimates(model), 1e-5
    for axis in range(4):
        ends = [
            with_parameters(*(centre * np.exp(side * np.eye(4)[axis]))).expected_purchases(
                some, 52, discount=0.002
            )
            for side in (step, -step)
        ]
        np.testing.assert_allclose(
            found[:, axis], np.log(ends[0] / ends[1]) / (2 * step), rtol=1e-4, atol=1e-6
        )


def test_the_order_of_customers_changes_no_bit():
    forward = BetaGeometricNBD().fit(DRAWN)
    backward = BetaGeometricNBD().fit(DRAWN.iloc[::-1])
    np.testing.assert_array_equal(estimates(forward), estimates(backward))


def test_days_and_weeks_give_the_same_model():
    weeks = BetaGeometricNBD().fit(DRAWN)
    in_days = DRAWN.assign(last_repeat_age=DRAWN["last_repeat_age"] * 7, age=DRAWN["age"] * 7)
    days = BetaGeometricNBD().fit(in_days)
    np.testing.assert_allclose(estimates(days) / [1, 7, 1, 1], estimates(weeks), rtol=1e-7)
    np.testing.assert_allclose(days.intervals_[1] / 7, weeks.intervals_[1], rtol=1e-6)
    assert days.log_likelihood_ == pytest.approx(
        weeks.log_likelihood_ - DRAWN["repeat_count"].sum() * np.log(7)
    )
    np.testing.assert_allclose(
        days.expected_purchases(in_days, 70, discount=0.001),
        weeks.expected_purchases(DRAWN, 10, discount=0.007),
        rtol=1e-6,
    )


def test_a_weight_is_a_repetition():
    weight = np.arange(len(DRAWN)) % 4
    weighted = BetaGeometricNBD().fit(DRAWN, sample_weight=weight)
    repeated = BetaGeometricNBD().fit(DRAWN.loc[DRAWN.index.repeat(weight)])
    np.testing.assert_allclose(estimates(weighted), estimates(repeated), rtol=1e-9)
    np.testing.assert_allclose(weighted.log_covariance_, repeated.log_covariance_, rtol=1e-6)
    assert weighted.customer_count_ == weight.sum()


def test_without_dropout_it_is_the_nbd_and_says_so():
    drawn = simulate_customers(AGES[:2000], purchase=(0.8, 10.0, 0.0, 1.0), seed=11)
    model = BetaGeometricNBD().fit(drawn)
    assert not model.is_dropout_identifiable_
    assert model.a_ == 0
    assert np.isnan(model.b_)
    assert model.log_likelihood_ == model.nbd_log_likelihood_
    assert model.dropout_gain_ < 2
    assert np.all(model.alive_probability(drawn) == 1)
    x, age = drawn["repeat_count"], drawn["age"]
    np.testing.assert_allclose(
        model.expected_purchases(drawn, 20), (model.r_ + x) / (model.alpha_ + age) * 20
    )
    factor = (1 - np.exp(-20 * 0.01)) / (20 * 0.01)
    np.testing.assert_allclose(
        model.expected_purchases(drawn, 20, discount=0.01),
        model.expected_purchases(drawn, 20) * factor,
        rtol=1e-10,
    )
    assert np.isfinite(model.intervals_[:2]).all()
    assert np.isnan(model.intervals_[2:]).all()


def test_customers_who_do_not_differ_in_rate_are_a_limit_with_a_name():
    drawn = simulate_customers(AGES[:2000], purchase=(1e7, 1e8, 0.0, 1.0), seed=2)
    model = BetaGeometricNBD().fit(drawn)
    assert model.r_ > 50
    assert np.all(np.isfinite(model.expected_purchases(drawn, 30)))
    assert model.expected_purchases(drawn, 30).mean() == pytest.approx(3.0, rel=0.05)


def test_one_customer_who_bought_again_is_enough_not_to_crash():
    model = BetaGeometricNBD().fit(history((3, 20, 30)))
    assert np.isfinite(model.expected_purchases(history((3, 20, 30)), 10)).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (history((0, 0, 10), (0, 0, 20)), "nobody bought again"),
        (history((1, 12, 10)), "exceeds age"),
        (history((1, 0, 10)), "must be 0 without repeat"),
        (history((0, 5, 10)), "must be 0 without repeat"),
        (history((1.5, 5, 10)), "not whole"),
        (history((1, np.nan, 10)), "last_repeat_age has missing"),
        (history((1, 5, -1)), "age has missing, infinite or negative"),
        (history(), "no rows"),
        (history((1, 5, 10)).drop(columns="age"), r"lacks the columns \['age'\]"),
    ],
)
def test_refuses_what_cannot_be(frame, message):
    with pytest.raises(ValueError, match=message):
        BetaGeometricNBD().fit(frame)


def test_refuses_weights_that_do_not_fit():
    with pytest.raises(ValueError, match="one finite weight"):
        BetaGeometricNBD().fit(DRAWN, sample_weight=[1.0])


def test_agrees_with_lifetimes():
    lifetimes = pytest.importorskip("lifetimes", reason="the oracle lifetimes is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = lifetimes.BetaGeoFitter().fit(
            DRAWN["repeat_count"], DRAWN["last_repeat_age"], DRAWN["age"]
        )
        future = oracle.conditional_expected_number_of_purchases_up_to_time(
            10, DRAWN["repeat_count"], DRAWN["last_repeat_age"], DRAWN["age"]
        )
    model = BetaGeometricNBD().fit(DRAWN)
    np.testing.assert_allclose(
        estimates(model), oracle.params_[["r", "alpha", "a", "b"]].to_numpy(), rtol=1e-4
    )
    np.testing.assert_allclose(model.expected_purchases(DRAWN, 10), future, rtol=1e-4)
