"""Gamma-Gamma: published figures, invariances, recovery of a known truth, refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest

from ml.clv.amounts import GammaGamma
from ml.clv.simulation import simulate_customers

DRAWN = simulate_customers(
    np.full(5000, 100.0), purchase=(0.8, 10.0, 0.0, 1.0), spend=(2.1, 3.5, 480.0), seed=4
)


def with_parameters(p: float, q: float, v: float) -> GammaGamma:
    model = GammaGamma()
    model.p_, model.q_, model.v_ = p, q, v
    return model


def amounts(*rows: tuple[float, float | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["repeat_count", "repeat_mean_amount"])


def estimates(model: GammaGamma) -> np.ndarray:
    return np.array([model.p_, model.q_, model.v_])


def test_expected_means_are_the_published_ones():
    """references.md section 1: parameters as printed by Fader & Hardie, 6.25, 3.74, 15.44."""
    model = with_parameters(6.25, 3.74, 15.44)
    assert model.population_mean_ == pytest.approx(35.219, abs=5e-4)
    assert model.expected_mean(amounts((2, 22.35)))[0] == pytest.approx(24.66371, abs=5e-6)


def test_without_a_known_amount_the_population_mean_is_expected():
    model = with_parameters(6.25, 3.74, 15.44)
    found = model.expected_mean(amounts((0, None), (0, 0.0), (3, 0.0), (3, None)))
    np.testing.assert_allclose(found, model.population_mean_)


def test_truth_is_inside_the_intervals():
    model = GammaGamma().fit(DRAWN)
    low, high = model.intervals_.T
    assert model.is_converged_
    assert model.limits_ == []
    assert model.customer_count_ == (DRAWN["repeat_count"] > 0).sum()
    assert np.all((low < [2.1, 3.5, 480]) & (high > [2.1, 3.5, 480]))
    assert model.population_mean_ == pytest.approx(2.1 * 480 / 2.5, rel=0.05)


def test_the_currency_does_not_matter():
    model = GammaGamma().fit(DRAWN)
    cents = DRAWN.assign(repeat_mean_amount=DRAWN["repeat_mean_amount"] * 100)
    in_cents = GammaGamma().fit(cents)
    np.testing.assert_allclose(estimates(in_cents), estimates(model) * [1, 1, 100], rtol=1e-7)
    np.testing.assert_allclose(in_cents.expected_mean(cents), 100 * model.expected_mean(DRAWN))
    assert in_cents.log_likelihood_ == pytest.approx(
        model.log_likelihood_ - model.customer_count_ * np.log(100)
    )


def test_the_order_of_customers_changes_no_bit():
    backward = GammaGamma().fit(DRAWN.iloc[::-1])
    np.testing.assert_array_equal(estimates(GammaGamma().fit(DRAWN)), estimates(backward))


def test_a_weight_is_a_repetition():
    weight = np.arange(len(DRAWN)) % 3
    weighted = GammaGamma().fit(DRAWN, sample_weight=weight)
    repeated = GammaGamma().fit(DRAWN.loc[DRAWN.index.repeat(weight)])
    np.testing.assert_allclose(estimates(weighted), estimates(repeated), rtol=1e-8)


def test_bootstrap_agrees_with_the_hessian():
    model = GammaGamma().fit(DRAWN)
    drawn = model.bootstrap(DRAWN, draws=60, seed=1)
    pd.testing.assert_frame_equal(drawn, model.bootstrap(DRAWN, draws=60, seed=1))
    spread = np.log(drawn).std().to_numpy()
    np.testing.assert_allclose(spread, np.sqrt(np.diag(model.log_covariance_)), rtol=0.35)
    assert np.all(
        (drawn.quantile(0.02) < estimates(model)) & (drawn.quantile(0.98) > estimates(model))
    )


def test_sensitivity_equals_differences_of_the_prediction():
    model = GammaGamma().fit(DRAWN)
    found, centre, step = model.log_sensitivity(DRAWN), estimates(model), 1e-6
    for axis in range(3):
        ends = [
            with_parameters(*(centre * np.exp(side * np.eye(3)[axis]))).expected_mean(DRAWN)
            for side in (step, -step)
        ]
        np.testing.assert_allclose(
            found[:, axis], np.log(ends[0] / ends[1]) / (2 * step), rtol=1e-5, atol=1e-7
        )


def test_customers_whose_own_amounts_hardly_vary_do_not_stop_the_fit():
    random = np.random.default_rng(0)
    mean = 480 / random.gamma(3.5, 1, 400)
    model = GammaGamma().fit(
        pd.DataFrame({"repeat_count": random.integers(1, 9, 400), "repeat_mean_amount": mean})
    )
    assert model.is_converged_
    assert model.p_ > 100
    assert np.all(np.isfinite(model.expected_mean(DRAWN)))


def test_tails_too_heavy_for_a_mean_are_a_limit_with_a_name():
    random = np.random.default_rng(0)
    mean = 100 / random.gamma(0.4, 1, 2000)
    model = GammaGamma().fit(
        pd.DataFrame({"repeat_count": random.integers(1, 9, 2000), "repeat_mean_amount": mean})
    )
    assert "q" in model.limits_
    assert np.isfinite(model.population_mean_)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (amounts((0, None), (1, 10.0)), "fewer than two customers"),
        (amounts((1, 10.0), (2, 10.0), (5, 10.0)), "same amount"),
        (amounts((1, -1.0), (2, 10.0)), "repeat_mean_amount has missing, infinite or negative"),
        (amounts((1, np.inf), (2, 10.0)), "repeat_mean_amount has missing, infinite or negative"),
        (amounts((1, 3.0)).drop(columns="repeat_count"), r"lacks the columns \['repeat_count'\]"),
    ],
)
def test_refuses_what_cannot_be_fitted(frame, message):
    with pytest.raises(ValueError, match=message):
        GammaGamma().fit(frame)


def test_agrees_with_lifetimes():
    lifetimes = pytest.importorskip("lifetimes", reason="the oracle lifetimes is not installed")
    buyers = DRAWN[DRAWN["repeat_count"] > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = lifetimes.GammaGammaFitter().fit(
            buyers["repeat_count"], buyers["repeat_mean_amount"]
        )
    np.testing.assert_allclose(
        estimates(GammaGamma().fit(DRAWN)), oracle.params_[["p", "q", "v"]], rtol=1e-3
    )
