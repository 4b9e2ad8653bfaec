"""Maximum likelihood for a handful of parameters: damped Newton steps inside a box.

Belongs here: what both value models need to climb a smooth likelihood whose value, gradient and
Hessian are known in closed form. Not here: any likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Derivatives = tuple[float, np.ndarray, np.ndarray]
"""Value, gradient (k,) and Hessian (k, k) of a log-likelihood at one point."""
Objective = Callable[[np.ndarray], Derivatives]

MAX_STEP = 1.5
"""Longest change of a log-parameter in one step: a factor of 4.5."""
RELATIVE_TOLERANCE = 1e-13
"""A predicted gain below this share of the value is lost in double-precision rounding."""
LEAST_CURVATURE = 1e-4
"""Information below this, a standard error of 100 on the log scale, says nothing any more."""


@dataclass(frozen=True)
class Optimum:
    """Where a climb ended."""

    point: np.ndarray
    value: float
    hessian: np.ndarray
    is_at_bound: np.ndarray
    iterations: int
    converged: bool


def maximise(
    objective: Objective,
    start: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    max_iterations: int = 200,
    relative_tolerance: float = RELATIVE_TOLERANCE,
) -> Optimum:
    """Climb ``objective`` from ``start`` by Newton's method inside a box.

    Eigenvalues of the Hessian are replaced by their absolute values, so that every step climbs
    also where the function is not concave; steps are halved until they do.

    Args:
        objective: Returns value, gradient and Hessian at a point of shape ``(k,)``.
        start: Where to begin, shape ``(k,)``.
        lower: Lower corner of the box.
        upper: Upper corner of the box.
        max_iterations: Steps after which the climb gives up, ``converged`` then being false.
        relative_tolerance: The climb ends where a step promises less than this share of the value.
    """
    point = np.clip(np.asarray(start, dtype=float), lower, upper)
    value, gradient, hessian = objective(point)
    converged = False
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        step = _step_inside(point, gradient, hessian, lower, upper)
        gain = 0.5 * float(gradient @ step)
        tolerance = relative_tolerance * max(1.0, abs(value))
        if gain <= tolerance:
            converged = True
            break
        accepted = _climb(objective, point, value, gradient, step, lower, upper)
        if accepted is None:  # no representable progress: as high as doubles allow
            converged = gain <= 1e4 * tolerance
            break
        point, (value, gradient, hessian) = accepted
    at_bound = (point <= lower) | (point >= upper)
    return Optimum(point, value, hessian, at_bound, iterations, converged)


def _step_inside(
    point: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> np.ndarray:
    """Newton step that leaves the box nowhere at once: coordinates that would, stay put."""
    free = ~(((point <= lower) & (gradient < 0)) | ((point >= upper) & (gradient > 0)))
    while True:
        step = np.zeros(point.size)
        step[free] = _newton_step(gradient[free], hessian[np.ix_(free, free)])
        leaving = ((point <= lower) & (step < 0)) | ((point >= upper) & (step > 0))
        if not leaving.any():
            return step
        free &= ~leaving


def _newton_step(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    if gradient.size == 0:
        return gradient
    curvature, axes = np.linalg.eigh(-hessian)
    size = np.abs(curvature)
    step = axes @ ((axes.T @ gradient) / np.maximum(size, 1e-12 * max(size.max(), 1e-300)))
    longest = float(np.abs(step).max())
    return step * (MAX_STEP / longest) if longest > MAX_STEP else step


def _climb(
    objective: Objective,
    point: np.ndarray,
    value: float,
    gradient: np.ndarray,
    step: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> tuple[np.ndarray, Derivatives] | None:
    """Cut ``step`` where it meets the box, then halve it until it climbs; None if it never does."""
    moving = step != 0
    edge = np.where(step > 0, upper, lower)
    room = np.full(point.size, np.inf)
    room[moving] = (edge[moving] - point[moving]) / step[moving]
    share = min(1.0, float(room.min()))
    for _ in range(40):
        candidate = np.where(room <= share, edge, point + share * step)
        derivatives = objective(candidate)
        promised = float(gradient @ (candidate - point))
        if np.isfinite(derivatives[0]) and derivatives[0] > value + 1e-4 * promised:
            return candidate, derivatives
        share *= 0.5
    return None


def log_covariance(optimum: Optimum) -> np.ndarray:
    """Covariance of the log-parameters from the observed information, shape ``(k, k)``.

    Coordinates that ended on the box are treated as known: their rows and columns are zero.
    Directions in which the likelihood is flat get the greatest variance of
    ``1 / LEAST_CURVATURE`` instead of an infinite one.
    """
    free = ~optimum.is_at_bound
    covariance = np.zeros_like(optimum.hessian)
    if free.any():
        curvature, axes = np.linalg.eigh(-optimum.hessian[np.ix_(free, free)])
        spread = axes / np.maximum(curvature, LEAST_CURVATURE)
        covariance[np.ix_(free, free)] = spread @ axes.T
    return covariance
