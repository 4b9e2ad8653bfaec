"""Pareto/NBD: its likelihood with derivatives, and what it expects of customers.

Belongs here: formulas as functions of ``(r, alpha, s, beta)``, on arrays. Not here: input checks,
optimisation, tables, money.

While active a customer buys at a rate ``lambda ~ Gamma(r, alpha)``; she leaves at a moment that is
exponential with rate ``mu ~ Gamma(s, beta)``. Schmittlein, Morrison & Colombo (1987), Management
Science 33(1); Fader & Hardie (2005), "A Note on Deriving the Pareto/NBD Model".

The published likelihood holds Gauss' hypergeometric function at arguments near 1, which loses all
digits for heavy buyers and has no derivative by its parameters in closed form. It stands for an
integral over the moment of leaving; taken by Gauss-Legendre quadrature in
``v = log((c + tau) / (c + t_x))``, ``c = min(alpha, beta)``, where the integrand is smooth and
falls at a known rate, it needs no hypergeometric function, and gradient and Hessian are integrals
of the same kind over the same nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ml.clv.likelihoods import PurchaseRows, nbd, to_log_scale
from ml.clv.optimise import Derivatives

NODES = 32
"""Relative error of the odds of having left below 1e-10 for x up to 1,000 (tests, with quad)."""
DECAY = 40.0
"""The integrals end where their integrand has fallen by e^-40."""
BLOCK_ROWS = 1024
"""Rows evaluated at once; 256 kB a temporary array."""
NODE_PLACES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(NODES)
NODE_PLACES, NODE_WEIGHTS = 0.5 * (NODE_PLACES + 1), 0.5 * NODE_WEIGHTS
"""On (0, 1)."""
DISCOUNT_PLACES, DISCOUNT_WEIGHTS = np.polynomial.legendre.leggauss(64)
DISCOUNT_PLACES, DISCOUNT_WEIGHTS = 0.5 * (DISCOUNT_PLACES + 1), 0.5 * DISCOUNT_WEIGHTS


@dataclass(frozen=True)
class ParetoParameters:
    """Parameters in one time unit; ``s = 0`` stands for NBD (nobody leaves)."""

    r: float
    alpha: float
    s: float
    beta: float


class ParetoRows(PurchaseRows):
    """Unique (x, t_x, T) rows as they are, beside the sums that the NBD part needs."""

    def __init__(self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray, weight: np.ndarray) -> None:
        """Keep all rows: a customer without repeat purchase may have left too."""
        super().__init__(x, t_x, age, weight, leaves_at_first=True)
        self.t_x, self.age = t_x, age


def pareto_nbd(log_parameters: np.ndarray, rows: ParetoRows) -> Derivatives:
    """Pareto/NBD's log-likelihood.

    ``log L = log L_NBD - s log(1 + T / beta) + log(1 + o)`` with the odds of having left
    ``o = s integral_{t_x}^T ((alpha + T) / (alpha + tau))^(r + x) ((beta + T) / (beta + tau))^s
    / (beta + tau) dtau``.

    Args:
        log_parameters: ``(log r, log alpha, log s, log beta)``.
        rows: Unique rows.
    """
    base_value, base_gradient, base_hessian = nbd(log_parameters[:2], rows)
    parameters = ParetoParameters(*np.exp(log_parameters))
    s, beta = parameters.s, parameters.beta
    value, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
    for begin in range(0, rows.x.size, BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        part = _left(parameters, rows.x[block], rows.t_x[block], rows.age[block])
        weight = rows.weight[block]
        value += float(weight @ np.logaddexp(0.0, part.log_odds))
        gradient += part.gradient.T @ weight
        hessian += part.curvature(weight)
    total, until = rows.age_weight, beta + rows.ages
    stays = np.log1p(rows.ages / beta)
    mixed = float(total @ (1 / beta - 1 / until))
    value -= s * float(total @ stays)
    gradient[2] -= total @ stays
    gradient[3] += s * mixed
    hessian[2, 3] += mixed
    hessian[3, 2] += mixed
    hessian[3, 3] -= s * float(total @ (1 / beta**2 - 1 / until**2))
    _, in_logs, curvature = to_log_scale(0.0, gradient, hessian, np.exp(log_parameters))
    in_logs[:2] += base_gradient
    curvature[:2, :2] += base_hessian
    return float(value + base_value), in_logs, curvature


@dataclass(frozen=True)
class _Nodes:
    """The integral over the moment of leaving, row by row, shapes ``(n, 1)`` and ``(n, NODES)``.

    ``mass`` holds the integrand's share at each node, which sums to 1 over a row.
    """

    log_odds: np.ndarray
    mass: np.ndarray
    x: np.ndarray
    by_r: np.ndarray
    by_s: np.ndarray
    rate_now: np.ndarray
    rate_then: np.ndarray
    leave_now: np.ndarray
    leave_then: np.ndarray


@dataclass(frozen=True)
class _Left:
    """Odds of having left, row by row, with derivatives of ``log(1 + odds)``.

    ``shares`` are the chances of having left around each node, shape ``(n, NODES)``; ``slopes``
    the derivatives of the integrand's logarithm there, shape ``(4, n, NODES)``; ``bends`` those
    second derivatives that are not 0.
    """

    log_odds: np.ndarray
    gradient: np.ndarray
    shares: np.ndarray
    slopes: np.ndarray
    bends: dict[tuple[int, int], np.ndarray]

    def curvature(self, weight: np.ndarray) -> np.ndarray:
        """Weighted sum of the Hessians of ``log(1 + odds)``, shape ``(4, 4)``."""
        mass = (weight[:, None] * self.shares).ravel()
        slopes = self.slopes.reshape(4, -1)
        found = (slopes * mass) @ slopes.T
        found -= (self.gradient * weight[:, None]).T @ self.gradient
        for (row, column), bend in self.bends.items():
            added = float(mass @ np.broadcast_to(bend, self.shares.shape).ravel())
            found[row, column] += added
            if row != column:
                found[column, row] += added
        return found


def _nodes(parameters: ParetoParameters, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> _Nodes:
    r, alpha, s, beta = parameters.r, parameters.alpha, parameters.s, parameters.beta
    x, t_x, age = x[:, None], t_x[:, None], age[:, None]
    least = min(alpha, beta)
    start = least + t_x
    fall = start * ((r + x) / (alpha + t_x) + s / (beta + t_x))
    reach = np.minimum(np.log((least + age) / start), DECAY / fall)
    grown = np.expm1(reach * NODE_PLACES) * start
    rate_then, leave_then = alpha + t_x + grown, beta + t_x + grown
    rate_now, leave_now = alpha + age, beta + age
    by_r, by_s = np.log(rate_now / rate_then), np.log(leave_now / leave_then)
    log_mass = (r + x) * by_r + s * by_s + np.log((start + grown) / leave_then * NODE_WEIGHTS)
    top = log_mass.max(axis=1, keepdims=True)
    mass = np.exp(log_mass - top)
    total = mass.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):  # bought on the last day: no time to leave, log-odds -inf
        log_odds = top + np.log(total) + np.log(s * reach)
    return _Nodes(log_odds, mass / total, x, by_r, by_s, rate_now, rate_then, leave_now, leave_then)


def _left(parameters: ParetoParameters, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> _Left:
    at = _nodes(parameters, x, t_x, age)
    s, exponent = parameters.s, parameters.r + at.x
    shares = at.mass * expit(at.log_odds)
    rate_gap = 1 / at.rate_now - 1 / at.rate_then
    leave_gap = 1 / at.leave_now - 1 / at.leave_then
    slopes = np.stack(
        [at.by_r, exponent * rate_gap, at.by_s + 1 / s, s * leave_gap - 1 / at.leave_then]
    )
    bends = {
        (0, 1): rate_gap,
        (1, 1): -exponent * (1 / at.rate_now**2 - 1 / at.rate_then**2),
        (2, 2): np.array(-1 / s**2),
        (2, 3): leave_gap,
        (3, 3): -s * (1 / at.leave_now**2 - 1 / at.leave_then**2) + 1 / at.leave_then**2,
    }
    gradient = np.einsum("kij,ij->ik", slopes, shares)
    return _Left(at.log_odds[:, 0], gradient, shares, slopes, bends)


def log_odds_of_having_left(
    parameters: ParetoParameters, x: np.ndarray, t_x: np.ndarray, age: np.ndarray
) -> np.ndarray:
    """Log-odds that a customer left by T; ``-inf`` without dropout."""
    odds = np.full(x.size, -np.inf)
    if parameters.s > 0:
        for begin in range(0, x.size, BLOCK_ROWS):
            block = slice(begin, begin + BLOCK_ROWS)
            odds[block] = _nodes(parameters, x[block], t_x[block], age[block]).log_odds[:, 0]
    return odds


def alive_slopes(
    parameters: ParetoParameters, x: np.ndarray, t_x: np.ndarray, age: np.ndarray
) -> np.ndarray:
    """Derivatives of log P(alive) by the log-parameters, ``(n, 4)``; 0 without dropout."""
    slopes = np.zeros((x.size, 4))
    if parameters.s > 0:
        scale = np.array([parameters.r, parameters.alpha, parameters.s, parameters.beta])
        for begin in range(0, x.size, BLOCK_ROWS):
            block = slice(begin, begin + BLOCK_ROWS)
            part = _left(parameters, x[block], t_x[block], age[block])
            slopes[block] = -part.gradient * scale
    return slopes


def purchases_if_alive(
    parameters: ParetoParameters, x: np.ndarray, age: np.ndarray, t: float, discount: float = 0.0
) -> np.ndarray:
    """E[discounted purchases in (T, T + t] | x, T, alive at T].

    ``(r + x) / (alpha + T) integral_0^t exp(-discount u) ((beta + T) / (beta + T + u))^s du``;
    without discount ``(beta + T) (1 - ((beta + T) / (beta + T + t))^(s - 1)) / (s - 1)`` for the
    integral, written so that s = 1 is no special case. ``t`` may be infinite with a discount.
    """
    rate = (parameters.r + x) / (parameters.alpha + age)
    if parameters.s == 0:
        return rate * (-np.expm1(-discount * t) / discount if discount > 0 else t)
    until = parameters.beta + age
    if discount > 0:
        stop = np.log1p(min(t, DECAY / discount) / until)[:, None]
        place = stop * DISCOUNT_PLACES
        log_kept = -discount * until[:, None] * np.expm1(place) + (1 - parameters.s) * place
        return rate * until * stop[:, 0] * (np.exp(log_kept) @ DISCOUNT_WEIGHTS)
    stop = np.log1p(t / until)
    power = (parameters.s - 1) * stop
    small = np.abs(power) < 1e-9
    safe = np.where(small, 1.0, power)
    return rate * until * stop * np.where(small, 1 - power / 2, -np.expm1(-safe) / safe)


def purchase_probability_if_alive(
    parameters: ParetoParameters, x: np.ndarray, age: np.ndarray, t: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """P(at least one purchase in (T, T + t] | x, T, alive at T), and its derivative by t.

    The derivative is the density of the moment of the next purchase, for customers who are still
    there to make it.
    """
    t = np.broadcast_to(np.asarray(t, dtype=float), age.shape)
    rate, leave = parameters.alpha + age, parameters.beta + age
    s = parameters.s
    if s == 0:
        left_over = (rate / (rate + t)) ** (parameters.r + x)
        return 1 - left_over, left_over * (parameters.r + x) / (rate + t)
    least = np.minimum(rate, leave)
    fall = least * ((parameters.r + x) / rate + s / leave)
    reach = np.minimum(np.log1p(t / least), DECAY / fall)[:, None]
    later = least[:, None] * np.expm1(reach * NODE_PLACES)
    density = _next_density(parameters, x[:, None], rate[:, None], leave[:, None], later)
    bought = (density * (least[:, None] + later)) @ NODE_WEIGHTS * reach[:, 0]
    return bought, _next_density(parameters, x, rate, leave, t)


def _next_density(
    parameters: ParetoParameters,
    x: np.ndarray,
    rate: np.ndarray,
    leave: np.ndarray,
    later: np.ndarray,
) -> np.ndarray:
    shape = parameters.r + x
    kept = -shape * np.log1p(later / rate) - parameters.s * np.log1p(later / leave)
    return shape / (rate + later) * np.exp(kept)
