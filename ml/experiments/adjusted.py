"""Effects adjusted for what was known before the lot was drawn.

Lin (2013), "Agnostic notes on regression adjustments to experimental data: Reexamining Freedman's
critique", Annals of Applied Statistics 7(1): one regression a group on the centred covariates, the
difference of the two at everybody's mean. It needs no model to be true, and with many people is
never less exact than the plain difference. The variance is HC2, which for groups without
covariates is Welch's. CUPED (``effects.cuped``) is the case of one slope for both groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ml.experiments.effects import Effect, welch

FloatArray = NDArray[np.float64]

MIN_PEOPLE_PER_TERM = 20
"""Fewer people in a group for each fitted number: slopes are noise, so nothing is adjusted."""
_SATURATED = 1e-9


def adjusted(
    treated: ArrayLike, control: ArrayLike, treated_before: ArrayLike, control_before: ArrayLike
) -> Effect:
    """Compare means at the same covariates: Lin's estimate, HC2 variance, t interval.

    The two means that are returned are those of the groups as they would have been with
    everybody's covariates. Covariates that do not vary take no part; with none, or with fewer than
    ``MIN_PEOPLE_PER_TERM`` people for each number to fit, the answer is Welch's.

    Args:
        treated: Outcomes of the treated.
        control: Of those held back.
        treated_before: One row a person, one column a covariate, known before treatment.
        control_before: Of those held back.

    Raises:
        ValueError: A covariate is not finite, or rows are missing.
    """
    y, x = np.asarray(treated, dtype=float), np.asarray(control, dtype=float)
    plain = welch(y, x)
    before = _covariates(treated_before, control_before, y.size, x.size)
    terms = before.shape[1] + 1
    if terms == 1 or min(y.size, x.size) < MIN_PEOPLE_PER_TERM * terms or not plain.p_value >= 0:
        return plain
    n, m = y.size, x.size
    upper, upper_part, upper_free = _mean_at_zero(y, before[:n])
    lower, lower_part, lower_free = _mean_at_zero(x, before[n:])
    variance = upper_part + lower_part
    difference = upper - lower
    if not variance > (1e-12 * max(1.0, abs(upper), abs(lower))) ** 2:
        return plain
    error = float(np.sqrt(variance))
    degrees = variance**2 / (upper_part**2 / upper_free + lower_part**2 / lower_free)
    reach = float(stats.t.ppf(0.975, degrees)) * error
    statistic = difference / error
    return Effect(
        n, m, upper, lower, difference, error, difference - reach, difference + reach,
        statistic, float(2 * stats.t.sf(abs(statistic), degrees)),
        variance_removed_share=1 - variance / plain.standard_error**2,
    )  # fmt: skip


def _covariates(treated: ArrayLike, control: ArrayLike, n: int, m: int) -> FloatArray:
    """Both groups' covariates in one table: centred on everybody's mean, none told by others."""
    parts = [np.asarray(part, dtype=float) for part in (treated, control)]
    if [len(part) for part in parts] != [n, m]:
        raise ValueError("each person needs one row of covariates")
    both = np.vstack([part[:, None] if part.ndim == 1 else part for part in parts])
    if not np.isfinite(both).all():
        raise ValueError("a covariate must be one finite number a person")
    if not both.size:
        return np.zeros((n + m, 0))
    centred = both - both.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 1e-12 * np.abs(both).max(axis=0)
    if not varies.any():
        return np.zeros((n + m, 0))
    basis, sizes, _ = np.linalg.svd(centred[:, varies] / spread[varies], full_matrices=False)
    return basis[:, sizes > sizes[0] * 1e-10]


def _mean_at_zero(outcome: FloatArray, before: FloatArray) -> tuple[float, float, float]:
    """Fitted mean of a group at everybody's covariates, its HC2 variance, degrees of freedom."""
    design = np.column_stack([np.ones(outcome.size), before])
    left, sizes, right = np.linalg.svd(design, full_matrices=False)
    kept = sizes > sizes[0] * 1e-10
    left = left[:, kept]
    weights = left @ (right[kept, 0] / sizes[kept])
    errors = outcome - left @ (left.T @ outcome)
    # what the fit reproduces by itself has no error of its own to learn from
    free = 1 - (left**2).sum(axis=1)
    known = free > _SATURATED
    variance = float(((weights * errors)[known] ** 2 / free[known]).sum())
    return float(weights @ outcome), variance, float(outcome.size - kept.sum())
