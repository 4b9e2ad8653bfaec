"""Likelihoods: value against the textbook formula, derivatives against differences, limits."""

import numpy as np
import pytest
from scipy.special import betaln, gammaln

from ml.clv import likelihoods
from ml.clv.likelihoods import AmountRows, PurchaseRows, beta_geometric_nbd, gamma_gamma, nbd
from ml.clv.optimise import log_covariance, maximise

X = np.array([0, 0, 1, 2, 7, 40])
LAST = np.array([0.0, 0.0, 3.5, 30.43, 35.0, 38.0])
AGE = np.array([38.86, 0.0, 38.86, 38.86, 38.86, 39.0])
WEIGHT = np.array([3.0, 1.0, 2.0, 1.0, 1.0, 1.5])
ROWS = PurchaseRows(X, LAST, AGE, WEIGHT)
AMOUNTS = AmountRows(
    np.array([1, 2, 2, 9]), np.array([22.35, 10.0, 80.0, 35.0]), np.array([1.0, 2.0, 1.0, 3.0])
)


def test_beta_geometric_is_equation_6_of_the_paper():
    r, alpha, a, b = 0.243, 4.414, 0.793, 2.426
    stays = np.exp(betaln(a, b + X) - betaln(a, b))
    leaves = np.where(X > 0, np.exp(betaln(a + 1, b + np.maximum(X, 1) - 1) - betaln(a, b)), 0)
    rate = np.exp(gammaln(r + X) - gammaln(r)) * alpha**r
    likelihood = rate * (stays / (alpha + AGE) ** (r + X) + leaves / (alpha + LAST) ** (r + X))
    value, _, _ = beta_geometric_nbd(np.log([r, alpha, a, b]), ROWS)
    assert value == pytest.approx(WEIGHT @ np.log(likelihood), rel=1e-12)


@pytest.mark.parametrize("p", [0.3, 6.25, 60.0])
def test_gamma_gamma_is_equation_1a_of_the_note(p):
    q, v = 3.74, 15.44
    x, m, w = AMOUNTS.repeat_count, AMOUNTS.mean_amount, AMOUNTS.weight
    density = (
        gammaln(p * x + q)
        - gammaln(p * x)
        - gammaln(q)
        + q * np.log(v)
        + (p * x - 1) * np.log(m)
        + p * x * np.log(x)
        - (p * x + q) * np.log(v + x * m)
    )
    value, _, _ = gamma_gamma(np.log([p, q, v]), AMOUNTS)
    assert value == pytest.approx(w @ density, rel=1e-12)


@pytest.mark.parametrize(
    ("objective", "rows", "parameters"),
    [
        (nbd, ROWS, (0.4, 12.0)),
        (beta_geometric_nbd, ROWS, (0.243, 4.414, 0.793, 2.426)),
        (beta_geometric_nbd, ROWS, (5.0, 0.3, 40.0, 0.2)),
        (gamma_gamma, AMOUNTS, (6.25, 3.74, 15.44)),
        (gamma_gamma, AMOUNTS, (0.3, 1.2, 300.0)),
    ],
)
def test_gradient_and_hessian_equal_central_differences(objective, rows, parameters):
    point, step = np.log(parameters), 1e-5
    _, gradient, hessian = objective(point, rows)
    for axis in range(point.size):
        shift = step * np.eye(point.size)[axis]
        above, below = objective(point + shift, rows), objective(point - shift, rows)
        assert gradient[axis] == pytest.approx((above[0] - below[0]) / (2 * step), rel=1e-6)
        np.testing.assert_allclose(
            hessian[axis], (above[1] - below[1]) / (2 * step), rtol=1e-6, atol=1e-6
        )


def test_blocks_do_not_change_the_sum(monkeypatch):
    whole = beta_geometric_nbd(np.log([0.3, 5, 0.8, 2]), ROWS)
    monkeypatch.setattr(likelihoods, "BLOCK_ROWS", 2)
    parts = beta_geometric_nbd(np.log([0.3, 5, 0.8, 2]), ROWS)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_without_dropout_the_beta_geometric_is_the_nbd():
    limit, _, _ = beta_geometric_nbd(np.log([0.4, 12.0, 1e-12, 5.0]), ROWS)
    value, _, _ = nbd(np.log([0.4, 12.0]), ROWS)
    assert limit == pytest.approx(value, rel=1e-10)


def test_equal_rates_lose_no_digits():
    """With log-gamma differences the value at r = 1e8 would be wrong in the seventh digit."""
    poisson = float(WEIGHT @ (X * np.log(0.05) - 0.05 * AGE))
    value, _, _ = nbd(np.log([1e8, 1e8 / 0.05]), ROWS)
    assert value == pytest.approx(poisson, rel=1e-6)


def test_climb_reaches_the_top_of_a_valley_and_reports_its_curvature():
    def banana(point):
        u, v = point
        gap = v - u**2
        value = -((1 - u) ** 2) - 10 * gap**2
        gradient = np.array([2 * (1 - u) + 40 * u * gap, -20 * gap])
        hessian = np.array([[-2 + 40 * gap - 80 * u**2, 40 * u], [40 * u, -20]])
        return value, gradient, hessian

    box = np.full(2, 5.0)
    top = maximise(banana, np.array([-1.5, 3.0]), -box, box)
    assert top.converged
    np.testing.assert_allclose(top.point, [1, 1], atol=1e-6)
    np.testing.assert_allclose(log_covariance(top), np.linalg.inv(-top.hessian), rtol=1e-9)


def test_a_coordinate_on_the_edge_counts_as_known():
    def slope(point):
        return float(point[0] - point[1] ** 2), np.array([1.0, -2 * point[1]]), np.diag([0.0, -2.0])

    top = maximise(slope, np.array([0.0, 1.0]), np.full(2, -3.0), np.full(2, 3.0))
    assert top.is_at_bound.tolist() == [True, False]
    np.testing.assert_allclose(log_covariance(top), np.diag([0.0, 0.5]))


def test_a_climb_cut_short_says_so():
    top = maximise(
        lambda point: beta_geometric_nbd(point, ROWS),
        np.log([0.3, 5.0, 0.8, 2.0]),
        np.full(4, -9.0),
        np.full(4, 9.0),
        max_iterations=1,
    )
    assert not top.converged
