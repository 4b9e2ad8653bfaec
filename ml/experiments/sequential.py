"""Guards for those who look at an experiment before it ends.

A p-value of .05 that is looked at daily is wrong far more often than one time in twenty. Two ways
out: p-values and intervals that hold at every look, however many (``always_valid_p``,
``always_valid_interval``: the mixture sequential probability ratio test, Johari, Koomen, Pekelis
& Walsh 2017, "Peeking at A/B Tests", KDD, with Robbins' normal mixture), or few planned looks
that share the error (``looks_boundaries``: Lan & DeMets 1983, "Discrete sequential boundaries for
clinical trials", with a spending function like O'Brien & Fleming's).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

FloatArray = NDArray[np.float64]

EXPECTED_EFFECT = 0.1
"""Scale of the mixture in standard deviations of the outcome: the test is most powerful for
effects of about this size, and valid for all. It must not be chosen after looking."""

_GRID = 801
_FAR = 9.0


def _log_ratio(effect: float, variance: float, mixture: float) -> float:
    whole = variance + mixture
    return 0.5 * np.log(variance / whole) + mixture * effect**2 / (2 * variance * whole)


def always_valid_p(effect: float, standard_error: float, expected_effect: float) -> float:
    """Return a p-value that may be looked at after every person; NaN without a standard error.

    Args:
        effect: Difference of the two groups so far.
        standard_error: Its standard error.
        expected_effect: Scale of the mixture, in the effect's unit, fixed beforehand.
    """
    if not (np.isfinite(effect) and standard_error > 0 and expected_effect > 0):
        return float("nan")
    log_ratio = _log_ratio(effect, standard_error**2, expected_effect**2)
    return float(np.exp(min(0.0, -log_ratio)))


def always_valid_interval(
    effect: float, standard_error: float, expected_effect: float, alpha: float = 0.05
) -> tuple[float, float]:
    """Return the interval that covers the truth at all looks together, with 1 - alpha."""
    if not (np.isfinite(effect) and standard_error > 0 and expected_effect > 0):
        return float("nan"), float("nan")
    variance, mixture = standard_error**2, expected_effect**2
    whole = variance + mixture
    reach = np.sqrt(
        2 * variance * whole / mixture * (0.5 * np.log(whole / variance) - np.log(alpha))
    )
    return float(effect - reach), float(effect + reach)


def spent(share: float, alpha: float) -> float:
    """Return how much of a one-sided ``alpha`` may be spent when ``share`` of the people are in."""
    return float(2 * stats.norm.sf(stats.norm.ppf(1 - alpha / 2) / np.sqrt(share)))


def looks_boundaries(shares: Sequence[float], alpha: float = 0.05) -> FloatArray:
    r"""Return how large \\|z\\| must be at each planned look of a two-sided test.

    Armitage, McPherson and Rowe's recursion: the density of those paths that have crossed at no
    earlier look is carried from look to look by numerical integration.

    Args:
        shares: Share of the planned people at each look, rising, the last one at most 1.
        alpha: Two-sided level of the whole test.

    Raises:
        ValueError: Shares do not rise from above 0 to at most 1.
    """
    times = np.asarray(shares, dtype=float)
    if times.size == 0 or times[0] <= 0 or (np.diff(times) <= 0).any() or times[-1] > 1:
        raise ValueError("looks must be shares that rise from above 0 to at most 1")
    boundaries = np.empty(times.size)
    before, grid, density = 0.0, np.zeros(1), np.ones(1)
    weights, used = np.ones(1), 0.0
    for look, time in enumerate(times):
        step = np.sqrt(time - before)
        allowed = spent(time, alpha / 2) - used

        def over(bound: float, mass: FloatArray, at: FloatArray, step: float) -> float:
            return float(mass @ stats.norm.sf((bound - at) / step))

        mass = density * weights
        far = _FAR * np.sqrt(time)
        bound = far
        # so early that almost nothing may be spent, no boundary is worth telling from far out
        if over(far, mass, grid, step) < allowed:
            bound = brentq(
                lambda b, m=mass, g=grid, s=step, a=allowed: over(b, m, g, s) - a,
                0.0,
                far,
                xtol=1e-12,
            )
        boundaries[look] = bound / np.sqrt(time)
        used += allowed
        wide = np.linspace(-bound, bound, _GRID)
        kernel = stats.norm.pdf((wide[:, None] - grid[None, :]) / step) / step
        density = kernel @ mass
        # Simpson's weights
        weights = np.ones(_GRID)
        weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
        weights *= (wide[1] - wide[0]) / 3
        grid, before = wide, float(time)
    return boundaries
