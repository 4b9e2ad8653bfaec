"""Log-likelihoods of BG/NBD, MBG/NBD, NBD and Gamma-Gamma with their gradients and Hessians.

Belongs here: closed forms in log-parameters, on unique rows with weights, in scaled units.
Not here: Pareto/NBD (``pareto.py``), optimisation, input checks, predictions.

All sums over a customer's purchases depend on the count alone, so they are evaluated once per
count (a running sum), logarithms of ages once per age; what is left per row is one logistic
function. Sums of ``log(r + j)`` replace differences of log-gammas, which cancel badly near the
limits ``r -> inf`` and ``a -> 0``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln, zeta

from ml.clv.optimise import Derivatives

BLOCK_ROWS = 8192
"""Rows evaluated at once; 64 kB a temporary array."""


class PurchaseRows:
    """What the likelihood needs of unique (x, t_x, T) rows, summed as far as it can be.

    Without dropout only T, its weight and its purchases matter, so rows are summed by T; with
    dropout single rows matter where a customer had a chance to leave.
    """

    def __init__(
        self,
        x: np.ndarray,
        t_x: np.ndarray,
        age: np.ndarray,
        weight: np.ndarray,
        *,
        leaves_at_first: bool = False,
    ) -> None:
        """Sum and sort out.

        Args:
            x: Repeat counts, whole, shape ``(n,)``.
            t_x: Ages at the last purchase, in the scaled unit.
            age: T, in the scaled unit.
            weight: How many customers share the row.
            leaves_at_first: Whether customers may leave after their first purchase too (MBG/NBD).
        """
        counts = np.bincount(x, weights=weight)
        self.reached = counts[::-1].cumsum()[::-1][1:]
        """How many customers made their (j + 1)-th repeat purchase, j = 0, 1, ..."""
        first = np.array([counts.sum()]) if leaves_at_first else np.empty(0)
        self.chances = np.concatenate([first, self.reached])
        """How many customers had their (j + 1)-th chance to leave, j = 0, 1, ..."""
        self.ages, position = np.unique(age, return_inverse=True)
        self.age_weight = np.bincount(position, weights=weight)
        self.age_purchases = np.bincount(position, weights=weight * x)
        chances = x + leaves_at_first
        some = chances > 0
        self.chance_position, self.weight = chances[some], weight[some]
        self.x = x[some].astype(float)
        self.age_position = position[some]
        self.lasts, self.last_position = np.unique(t_x[some], return_inverse=True)


def nbd(log_parameters: np.ndarray, rows: PurchaseRows) -> Derivatives:
    """NBD: Poisson purchases at gamma-distributed rates, nobody drops out.

    ``log L = sum_{j<x} log(r + j) + r log alpha - (r + x) log(alpha + T)``; the limit of BG/NBD
    for ``a -> 0``.

    Args:
        log_parameters: ``(log r, log alpha)``.
        rows: Unique rows.
    """
    r, alpha = np.exp(log_parameters)
    steps = r + np.arange(rows.reached.size)
    horizon = alpha + rows.ages
    log_share = np.log1p(rows.ages / alpha)
    exponent = r * rows.age_weight + rows.age_purchases
    customers = rows.age_weight.sum()
    value = (
        rows.reached @ np.log(steps)
        - r * (rows.age_weight @ log_share)
        - rows.age_purchases @ np.log(horizon)
    )
    d_r = rows.reached @ (1 / steps) - rows.age_weight @ log_share
    d_alpha = r / alpha * customers - exponent @ (1 / horizon)
    d_rr = -(rows.reached @ (1 / steps**2))
    d_ra = customers / alpha - rows.age_weight @ (1 / horizon)
    d_aa = -r / alpha**2 * customers + exponent @ (1 / horizon**2)
    return to_log_scale(
        float(value),
        np.array([d_r, d_alpha]),
        np.array([[d_rr, d_ra], [d_ra, d_aa]]),
        np.array([r, alpha]),
    )


def beta_geometric_nbd(log_parameters: np.ndarray, rows: PurchaseRows) -> Derivatives:
    """BG/NBD: as NBD, and after each repeat purchase a customer may leave for good.

    ``log L = log L_NBD + sum_{j<n} log((b + j) / (a + b + j)) + log(1 + o)`` with the odds of
    having left ``o = [n > 0] a / (b + n - 1) ((alpha + T) / (alpha + t_x))^(r + x)`` and ``n = x``
    chances to leave; Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way", Marketing
    Science 24(2), (6). With ``n = x + 1``, where customers may leave after their first purchase
    too, it is MBG/NBD; Batislam, Denizel & Filiztekin (2007), International Journal of Research in
    Marketing 24(3). Which of the two, ``rows`` knows.

    Args:
        log_parameters: ``(log r, log alpha, log a, log b)``.
        rows: Unique rows.
    """
    base_value, base_gradient, base_hessian = nbd(log_parameters[:2], rows)
    r, alpha, a, b = np.exp(log_parameters)
    steps = b + np.arange(rows.chances.size)
    both = a + steps
    shared = rows.chances @ (1 / both**2)
    own = shared - rows.chances @ (1 / steps**2)

    value, gradient, hessian = _odds_of_having_left(log_parameters, rows)
    value += base_value - rows.chances @ np.log1p(a / steps)
    hessian[2, 2] += shared
    hessian[2, 3] += shared
    hessian[3, 2] += shared
    hessian[3, 3] += own
    gradient[2] -= rows.chances @ (1 / both)
    gradient[3] += rows.chances @ (a / (steps * both))

    _, in_logs, curvature = to_log_scale(0.0, gradient, hessian, np.array([r, alpha, a, b]))
    in_logs[:2] += base_gradient
    curvature[:2, :2] += base_hessian
    return float(value), in_logs, curvature


def _odds_of_having_left(log_parameters: np.ndarray, rows: PurchaseRows) -> Derivatives:
    """Sum of ``log(1 + o)`` over rows with a chance to leave; derivatives by ``(r, alpha, a, b)``.

    In blocks, whose temporary arrays stay in the processor's cache.
    """
    r, alpha, a, b = np.exp(log_parameters)
    until_now, until_last = alpha + rows.ages, alpha + rows.lasts
    log_now, log_last = np.log(until_now), np.log(until_last)
    left_after = b - 1.0 + np.arange(1, rows.chances.size + 1)
    log_chance = np.append(np.nan, log_parameters[2] - np.log(left_after))
    by_b = np.append(np.nan, -1 / left_after)
    value = 0.0
    gradient = np.zeros(4)
    hessian = np.zeros((4, 4))
    for begin in range(0, rows.x.size, BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        age, last = rows.age_position[block], rows.last_position[block]
        count, weight = rows.chance_position[block], rows.weight[block]
        exponent = r + rows.x[block]
        idle = log_now[age] - log_last[last]
        now, then = 1 / until_now[age], 1 / until_last[last]
        log_odds = log_chance[count] + exponent * idle
        decay = np.exp(-np.abs(log_odds))
        value += weight @ (np.maximum(log_odds, 0.0) + np.log1p(decay))
        left = np.where(log_odds > 0, 1.0, decay) / (1.0 + decay)

        slope = np.empty((4, idle.size))
        slope[0], slope[1], slope[2], slope[3] = idle, exponent * (now - then), 1 / a, by_b[count]
        weighted = weight * left
        gradient += slope @ weighted
        hessian += (slope * (weighted * (1.0 - left))) @ slope.T
        hessian[0, 1] += weighted @ (now - then)
        hessian[1, 1] -= weighted @ (exponent * (now**2 - then**2))
        hessian[2, 2] -= weighted.sum() / a**2
        hessian[3, 3] += weighted @ slope[3] ** 2
    hessian[1, 0] = hessian[0, 1]
    return value, gradient, hessian


@dataclass(frozen=True)
class AmountRows:
    """Unique (count, mean amount) rows with weights; amounts in the scaled unit."""

    repeat_count: np.ndarray
    mean_amount: np.ndarray
    weight: np.ndarray


def gamma_gamma(log_parameters: np.ndarray, rows: AmountRows) -> Derivatives:
    """Gamma-Gamma: gamma-distributed amounts whose scale is gamma-distributed over customers.

    ``log L = log G(px + q) - log G(px) - log G(q) - log m + px log(x m / (v + x m))
    + q log(v / (v + x m))``; Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value",
    (1a).

    Args:
        log_parameters: ``(log p, log q, log v)``.
        rows: Unique rows, counts of at least one and positive amounts.
    """
    p, q, v = np.exp(log_parameters)
    counts, position = np.unique(rows.repeat_count, return_inverse=True)
    by_count = np.bincount(position, weights=rows.weight)
    shape = p * counts
    m, w, x = rows.mean_amount, rows.weight, rows.repeat_count
    spent = x * m
    total = v + spent
    own = -np.log1p(v / spent)  # log of the customer's own share of v + x m
    prior = -np.log1p(spent / v)
    n = w.sum()
    wx = w * x
    value = (
        by_count @ _log_rising(shape, q)
        - n * gammaln(q)
        - w @ np.log(m)
        + p * (wx @ own)
        + q * (w @ prior)
    )
    psi_sum, psi_shape = digamma(shape + q), digamma(shape)
    tri_sum, tri_shape = zeta(2, shape + q), zeta(2, shape)  # zeta(2, z) is trigamma(z)
    gradient = np.array(
        [
            (by_count * counts) @ (psi_sum - psi_shape) + wx @ own,
            by_count @ psi_sum - n * digamma(q) + w @ prior,
            n * q / v - w @ ((p * x + q) / total),
        ]
    )
    d_pq = (by_count * counts) @ tri_sum
    d_pv = -(wx @ (1 / total))
    d_qv = n / v - w @ (1 / total)
    hessian = np.array(
        [
            [(by_count * counts**2) @ (tri_sum - tri_shape), d_pq, d_pv],
            [d_pq, by_count @ tri_sum - n * zeta(2, q), d_qv],
            [d_pv, d_qv, -n * q / v**2 + w @ ((p * x + q) / total**2)],
        ]
    )
    return to_log_scale(float(value), gradient, hessian, np.array([p, q, v]))


def _log_rising(z: np.ndarray, q: float) -> np.ndarray:
    """``log G(z + q) - log G(z)``, by Stirling's series where the difference would cancel."""
    large = np.maximum(z, 20.0)
    series = (
        (large - 0.5) * np.log1p(q / large)
        + q * (np.log(large + q) - 1)
        + _stirling_rest(large + q)
        - _stirling_rest(large)
    )
    return np.where(z < 20.0, gammaln(z + q) - gammaln(z), series)


def _stirling_rest(z: np.ndarray) -> np.ndarray:
    square = 1 / z**2
    return (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / z


def to_log_scale(
    value: float, gradient: np.ndarray, hessian: np.ndarray, parameters: np.ndarray
) -> Derivatives:
    """Derivatives by parameters, turned into derivatives by their logarithms."""
    in_logs = gradient * parameters
    return value, in_logs, hessian * np.outer(parameters, parameters) + np.diag(in_logs)
