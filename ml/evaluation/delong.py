"""DeLong's test: whether two rankings of the same rows differ in their area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class AreaComparison:
    """Two areas on the same rows.

    Attributes:
        first: Area of the first score.
        second: Area of the second.
        standard_error: Of their difference.
        z: Difference over its standard error; 0 where they do not differ.
        p_two_sided: Probability of such a difference, in either direction, were there none.
        p_below: One-sided: probability that the first is as far below the second, or further, by
            chance. Small means significantly below.
    """

    first: float
    second: float
    standard_error: float
    z: float
    p_two_sided: float
    p_below: float


def delong(outcome: ArrayLike, first: ArrayLike, second: ArrayLike) -> AreaComparison:
    """Compare two correlated areas (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44).

    By mid-ranks (Sun & Xu 2014), so in n log n; ties count half.

    Raises:
        ValueError: The columns differ in length, or one outcome has fewer than two rows.
    """
    y = np.asarray(outcome, dtype=float)
    scores = np.array([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    if scores.shape != (2, y.size) or not np.isfinite(scores).all():
        raise ValueError("DeLong's test needs three columns of equal length without gaps")
    churned, stayed = scores[:, y == 1], scores[:, y == 0]
    m, n = churned.shape[1], stayed.shape[1]
    if m + n != y.size or min(m, n) < 2:
        raise ValueError("DeLong's test needs outcomes 0 and 1, at least two rows of either")
    among_all = stats.rankdata(np.concatenate([churned, stayed], axis=1), axis=1)
    of_churned = (among_all[:, :m] - stats.rankdata(churned, axis=1)) / n
    of_stayed = 1 - (among_all[:, m:] - stats.rankdata(stayed, axis=1)) / m
    areas = of_churned.mean(axis=1)
    covariance = np.cov(of_churned) / m + np.cov(of_stayed) / n
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = float(np.sqrt(max(variance, 0.0)))
    gap = float(areas[0] - areas[1])
    z = gap / error if error > 0 else 0.0
    return AreaComparison(
        first=float(areas[0]),
        second=float(areas[1]),
        standard_error=error,
        z=z,
        p_two_sided=float(2 * stats.norm.sf(abs(z))),
        p_below=float(stats.norm.cdf(z)),
    )
