"""Pareto/NBD: published figures, quadrature oracles, derivatives, draws, limits, invariances."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import gammaln, hyp2f1, hyperu

from ml.clv import pareto
from ml.clv.pareto import ParetoParameters, ParetoRows, pareto_nbd
from ml.clv.purchases import ParetoNBD
from ml.clv.simulation import simulate_pareto_customers

CDNOW = (0.5533, 10.577, 0.6063, 11.670)
"""Published parameters, weeks (references.md section 1: R package BTYD 2.4.3)."""
HARD = [
    (0.5533, 10.577, 0.6063, 11.670),
    (2.0, 1.0, 0.3, 80.0),
    (0.3, 60.0, 1.0, 0.05),
    (30.0, 200.0, 5.0, 0.2),
]
AGES = np.random.default_rng(5).integers(10, 80, 6000).astype(float)
DRAWN = simulate_pareto_customers(AGES, purchase=(0.6, 7.0, 0.7, 12.0), horizon=30, seed=7)
"""Weeks, from a known truth."""


def with_parameters(r: float, alpha: float, s: float, beta: float) -> ParetoNBD:
    model = ParetoNBD()
    model.r_, model.alpha_, model.s_, model.beta_ = r, alpha, s, beta
    return model


def history(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["repeat_count", "last_repeat_age", "age"])


PUBLISHED = history((2, 30.43, 38.86), (0, 0, 38.86), (7, 35, 38.86), (26, 30.86, 31))


def test_point_predictions_are_the_published_ones():
    """references.md section 1, table of (x, t_x, T); BTYD 2.4.3. Parameters to four digits."""
    model = with_parameters(*CDNOW)
    np.testing.assert_allclose(
        model.expected_purchases(PUBLISHED, 39), [1.45515, 0.10707, 4.63621, 20.11607], rtol=2e-4
    )
    np.testing.assert_allclose(
        model.alive_probability(PUBLISHED), [0.86912, 0.29512, 0.93606, 0.99792], atol=5e-5
    )


def test_discounted_residual_purchases_are_the_published_ones():
    """references.md section 1: 15 % a year, continuously, in weeks (BTYD 2.4.3)."""
    found = with_parameters(*CDNOW).residual_purchases(PUBLISHED, np.log(1.15) / 52)
    np.testing.assert_allclose(found, [6.50048, 0.47832, 20.71104, 86.26689], rtol=3e-4)


def odds_by_quad(parameters: tuple[float, ...], x: float, t_x: float, age: float) -> float:
    r, alpha, s, beta = parameters

    def rate(tau: float) -> float:
        return (
            s
            * ((alpha + age) / (alpha + tau)) ** (r + x)
            * ((beta + age) / (beta + tau)) ** s
            / (beta + tau)
        )

    first = min(age, t_x + 3 * (alpha + t_x) / (r + x + 1))
    parts = [(t_x, first), (first, age)]
    return sum(quad(rate, *part, epsabs=0, epsrel=1e-12, limit=500)[0] for part in parts)


@pytest.mark.parametrize("parameters", HARD)
@pytest.mark.parametrize(
    ("x", "t_x", "age"),
    [(0, 0.0, 38.86), (1, 0.1, 600.0), (2, 30.43, 38.86), (7, 35.0, 38.86), (60, 20.0, 39.0)],
)
def test_odds_of_having_left_equal_adaptive_quadrature(parameters, x, t_x, age):
    found = pareto.log_odds_of_having_left(
        ParetoParameters(*parameters), np.array([x]), np.array([t_x]), np.array([age])
    )
    assert found[0] == pytest.approx(np.log(odds_by_quad(parameters, x, t_x, age)), abs=1e-9)


@pytest.mark.parametrize("parameters", HARD[:2])
def test_likelihood_is_the_published_hypergeometric_one(parameters):
    """Fader & Hardie (2005), "A Note on Deriving the Pareto/NBD Model", equation 17."""
    r, alpha, s, beta = parameters
    x, t_x, age = np.array([0, 2, 7]), np.array([0.0, 30.43, 35.0]), np.array([38.86] * 3)
    greater, power = max(alpha, beta), (s + 1 if alpha >= beta else r + x)

    def term(time: np.ndarray) -> np.ndarray:
        share = abs(alpha - beta) / (greater + time)
        return hyp2f1(r + s + x, power, r + s + x + 1, share) / (greater + time) ** (r + s + x)

    shape = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    stays = 1 / ((alpha + age) ** (r + x) * (beta + age) ** s)
    exact = shape + np.log(stays + s / (r + s + x) * (term(t_x) - term(age)))
    weight = np.array([3.0, 1.0, 2.0])
    value, _, _ = pareto_nbd(np.log(parameters), ParetoRows(x, t_x, age, weight))
    assert value == pytest.approx(weight @ exact, rel=1e-11)


@pytest.mark.parametrize("parameters", HARD)
def test_gradient_and_hessian_equal_central_differences(parameters):
    x = np.array([0, 0, 1, 2, 7, 40, 3])
    t_x = np.array([0.0, 0.0, 3.5, 30.43, 35.0, 38.0, 20.0])
    age = np.array([38.86, 0.0, 38.86, 38.86, 38.86, 39.0, 20.0])
    rows = ParetoRows(x, t_x, age, np.array([3.0, 1.0, 2.0, 1.0, 1.0, 1.5, 2.0]))
    point, step = np.log(parameters), 1e-5
    _, gradient, hessian = pareto_nbd(point, rows)
    for axis in range(4):
        shift = step * np.eye(4)[axis]
        above, below = pareto_nbd(point + shift, rows), pareto_nbd(point - shift, rows)
        assert gradient[axis] == pytest.approx(
            (above[0] - below[0]) / (2 * step), rel=1e-6, abs=1e-7
        )
        np.testing.assert_allclose(
            hessian[axis], (above[1] - below[1]) / (2 * step), rtol=1e-6, atol=1e-6
        )


def test_blocks_do_not_change_the_sum(monkeypatch):
    rows = ParetoRows(
        np.array([0, 2, 7]), np.array([0.0, 30.43, 35.0]), np.array([38.86] * 3), np.ones(3)
    )
    whole = pareto_nbd(np.log(CDNOW), rows)
    monkeypatch.setattr(pareto, "BLOCK_ROWS", 1)
    for one, other in zip(whole, pareto_nbd(np.log(CDNOW), rows), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def rate_later(parameters: tuple[float, ...], x: int, age: float, later: float) -> float:
    r, alpha, s, beta = parameters
    return (r + x) / (alpha + age) * ((beta + age) / (beta + age + later)) ** s


@pytest.mark.parametrize("parameters", HARD)
@pytest.mark.parametrize(("x", "age"), [(0, 0.0), (3, 40.0), (200, 300.0)])
def test_expected_purchases_equal_adaptive_quadrature(parameters, x, age):
    for t, discount in ((39.0, 0.0), (39.0, 0.01), (500.0, 0.002)):
        exact, _ = quad(
            lambda u, d=discount: np.exp(-d * u) * rate_later(parameters, x, age, u),
            0, t, epsrel=1e-11, limit=200, points=[0.1, 1.0, 10.0],
        )  # fmt: skip
        found = pareto.purchases_if_alive(
            ParetoParameters(*parameters), np.array([x]), np.array([age]), t, discount
        )
        assert found[0] == pytest.approx(exact, rel=1e-8)


def test_residual_purchases_are_the_published_confluent_form():
    """Fader, Hardie & Lee (2005), "RFM and CLV", equation 2: Tricomi's function."""
    r, alpha, s, beta = CDNOW
    x, age, discount = 2, 38.86, 0.003
    exact = (r + x) / (alpha + age) * (beta + age) * hyperu(1, 2 - s, discount * (beta + age))
    found = pareto.purchases_if_alive(
        ParetoParameters(*CDNOW), np.array([x]), np.array([age]), np.inf, discount
    )
    assert found[0] == pytest.approx(exact, rel=1e-9)


def test_a_leaving_rate_of_shape_one_is_no_special_case():
    ends = [
        pareto.purchases_if_alive(
            ParetoParameters(0.5, 10.0, s, 12.0), np.array([3]), np.array([20.0]), 39
        )[0]
        for s in (1 - 1e-6, 1.0, 1 + 1e-6)
    ]
    assert ends[1] == pytest.approx((ends[0] + ends[2]) / 2, rel=1e-9)


@pytest.mark.parametrize("parameters", HARD)
def test_chance_of_a_purchase_equals_adaptive_quadrature(parameters):
    r, alpha, s, beta = parameters
    for x, age in ((0, 0.0), (4, 20.0), (200, 300.0)):

        def density(u: float, x: int = x, age: float = age) -> float:
            kept = (1 + u / (alpha + age)) ** -(r + x) * (1 + u / (beta + age)) ** -s
            return (r + x) / (alpha + age + u) * kept

        for t in (1.0, 52.0, 260.0):
            exact, _ = quad(density, 0, t, epsrel=1e-11, limit=200, points=[0.1, 1.0])
            found, slope = pareto.purchase_probability_if_alive(
                ParetoParameters(*parameters), np.array([x]), np.array([age]), t
            )
            assert found[0] == pytest.approx(exact, rel=1e-8)
            assert slope[0] == pytest.approx(density(t), rel=1e-12)


def test_waiting_times_are_the_quantiles_of_the_chance_to_buy():
    model = with_parameters(*CDNOW)
    shares, within = (0.1, 0.5, 0.9), 260.0
    times = model.waiting_times(PUBLISHED, shares, within)
    alive = model.alive_probability(PUBLISHED)
    whole = model.purchase_probability(PUBLISHED, within) / alive
    assert np.all(np.diff(times, axis=1) > 0)
    assert np.all(times < within)
    for row in range(len(PUBLISHED)):
        for column, share in enumerate(shares):
            bought = model.purchase_probability(PUBLISHED, times[row, column])[row] / alive[row]
            assert bought / whole[row] == pytest.approx(share, abs=1e-6)


def test_predictions_agree_with_what_the_drawn_customers_did():
    model = with_parameters(0.6, 7.0, 0.7, 12.0)
    expected = model.expected_purchases(DRAWN, 30)
    actual = DRAWN["future_purchase_count"].to_numpy()
    assert abs((actual - expected).mean()) < 4 * (actual - expected).std() / np.sqrt(actual.size)
    buys = model.purchase_probability(DRAWN, 30)
    assert abs(((actual > 0) - buys).mean()) < 4 * np.sqrt((buys * (1 - buys)).mean() / buys.size)
    alive = model.alive_probability(DRAWN)
    assert abs((DRAWN["is_alive"] - alive).mean()) < 0.02


def test_truth_is_inside_the_intervals():
    model = ParetoNBD().fit(DRAWN)
    low, high = model.intervals_.T
    assert model.is_converged_
    assert model.limits_ == []
    assert np.all((low < [0.6, 7.0, 0.7, 12.0]) & (high > [0.6, 7.0, 0.7, 12.0]))


def test_sensitivity_equals_differences_of_the_prediction():
    centre, step, some = np.array([0.6, 7.0, 0.7, 12.0]), 1e-5, DRAWN.iloc[:50]
    found = with_parameters(*centre).log_sensitivity(some, 52, discount=0.002)
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


def test_without_dropout_it_is_the_nbd_and_says_so():
    drawn = simulate_pareto_customers(AGES[:2000], purchase=(0.8, 10.0, 0.0, 1.0), seed=11)
    model = ParetoNBD().fit(drawn)
    assert not model.is_dropout_identifiable_
    assert model.s_ == 0
    assert np.isnan(model.beta_)
    assert model.log_likelihood_ == model.nbd_log_likelihood_
    assert np.all(model.alive_probability(drawn) == 1)
    x, age = drawn["repeat_count"], drawn["age"]
    np.testing.assert_allclose(
        model.expected_purchases(drawn, 20), (model.r_ + x) / (model.alpha_ + age) * 20
    )
    assert np.isfinite(model.log_sensitivity(drawn, 20)).all()
    assert np.isfinite(model.waiting_times(drawn, (0.5,), 260)).all()


def test_predictions_stay_finite_for_the_heaviest_buyers():
    customers = history((10_000, 499.9, 500), (10_000, 100, 500), (1, 0.01, 5000), (0, 0, 0))
    model = with_parameters(*CDNOW)
    for values in (
        model.expected_purchases(customers, 52, discount=0.002),
        model.alive_probability(customers),
        model.purchase_probability(customers, 52),
        model.log_sensitivity(customers.iloc[[0, 3]], 52),
        model.waiting_times(customers, (0.1, 0.5), 260),
        model.residual_purchases(customers, 0.002),
    ):
        assert np.all(np.isfinite(values))
