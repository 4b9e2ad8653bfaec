"""The effect of a treatment on one outcome: tests of two groups that a lot divided.

Belongs here: one comparison at a time, arrays in, an ``Effect`` out. Does not: when to look
(``sequential.py``), how many people it takes (``power.py``), or many experiments at once
(``campaigns.py``, ``audiences.py``), nor what was known before (``adjusted.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

NAN = float("nan")


@dataclass(frozen=True)
class Effect:
    """Treated minus held back.

    Attributes:
        treated_count: People treated.
        control_count: People held back.
        treated_mean: Rate or mean of the treated.
        control_mean: Of those held back.
        effect: Difference of the two.
        standard_error: Of the difference; NaN where a group is too small to tell.
        low: Lower end of the 95 % interval.
        high: Upper end.
        statistic: z or t.
        p_value: Two-sided; NaN where nothing varies.
        variance_removed_share: What an adjustment took off the outcome's variance; 0 without one.
    """

    treated_count: int
    control_count: int
    treated_mean: float
    control_mean: float
    effect: float
    standard_error: float
    low: float
    high: float
    statistic: float
    p_value: float
    variance_removed_share: float = 0.0


def two_proportions(
    treated_successes: float, treated_count: int, control_successes: float, control_count: int
) -> Effect:
    """Compare two rates: z with the pooled rate, interval with the unpooled standard error.

    Both as the mart ``campaign_effect`` has them. Where nothing varies (all or nobody, in both
    groups) there is no test; with an empty group there is no effect either.
    """
    n, m = int(treated_count), int(control_count)
    if n < 1 or m < 1:
        return _nothing(n, m, _mean(treated_successes, n), _mean(control_successes, m))
    p, q = treated_successes / n, control_successes / m
    pooled = (treated_successes + control_successes) / (n + m)
    error = float(np.sqrt(p * (1 - p) / n + q * (1 - q) / m))
    null_error = float(np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))
    z = (p - q) / null_error if null_error > 0 else NAN
    reach = float(stats.norm.ppf(0.975)) * error
    p_value = float(2 * stats.norm.sf(abs(z)))
    return Effect(n, m, p, q, p - q, error, p - q - reach, p - q + reach, z, p_value)


def welch(treated: ArrayLike, control: ArrayLike) -> Effect:
    """Compare two means without assuming equal variances (Welch's t, its interval)."""
    y, x = _column(treated), _column(control)
    n, m = y.size, x.size
    if n < 2 or m < 2:
        return _nothing(n, m, _mean(y.sum(), n), _mean(x.sum(), m))
    parts = np.array([y.var(ddof=1) / n, x.var(ddof=1) / m])
    error = float(np.sqrt(parts.sum()))
    difference = float(y.mean() - x.mean())
    if error <= 1e-12 * max(1.0, float(np.abs(y).max()), float(np.abs(x).max())):
        # nothing varies within the groups: a difference without a test
        return Effect(
            n, m, float(y.mean()), float(x.mean()), difference, 0.0, difference, difference,
            NAN, NAN,
        )  # fmt: skip
    degrees = parts.sum() ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    reach = float(stats.t.ppf(0.975, degrees)) * error
    statistic = difference / error
    p_value = float(2 * stats.t.sf(abs(statistic), degrees))
    return Effect(
        n, m, float(y.mean()), float(x.mean()), difference, error,
        difference - reach, difference + reach, statistic, p_value,
    )  # fmt: skip


def cuped(
    treated: ArrayLike,
    control: ArrayLike,
    treated_before: ArrayLike,
    control_before: ArrayLike,
) -> Effect:
    """Compare means after taking out what was known before the lot was drawn.

    CUPED (Deng, Xu, Kohavi & Walker 2013, "Improving the sensitivity of online controlled
    experiments by utilizing pre-experiment data"): y - theta (x - mean x), theta from the
    covariance within the groups. A covariate that does not vary changes nothing.

    Args:
        treated: Outcomes of the treated.
        control: Of those held back.
        treated_before: The same people's covariate, known before treatment.
        control_before: Of those held back.
    """
    y, x = _column(treated), _column(control)
    u, v = _column(treated_before), _column(control_before)
    if y.shape != u.shape or x.shape != v.shape:
        raise ValueError("each outcome needs its own covariate")
    if y.size < 2 or x.size < 2:
        return welch(y, x)
    within_before = np.r_[u - u.mean(), v - v.mean()]
    within = np.r_[y - y.mean(), x - x.mean()]
    spread = float(within_before @ within_before)
    total = float(within @ within)
    if not spread > 0 or not total > 0:
        return welch(y, x)
    product = float(within_before @ within)
    theta = product / spread
    middle = float(np.r_[u, v].mean())
    plain = welch(y - theta * (u - middle), x - theta * (v - middle))
    return Effect(**{**vars(plain), "variance_removed_share": product * product / (spread * total)})


def sample_ratio(counts: Sequence[int], planned_shares: Sequence[float]) -> float:
    """Return the chi-square p-value that groups came out as planned; NaN with nobody in them.

    Below .001 the lot did not work, or people were lost from one group more than from the other:
    then no effect of the experiment can be trusted.

    Raises:
        ValueError: Shares are not positive, or fewer or more than the groups.
    """
    seen = np.asarray(counts, dtype=float)
    shares = np.asarray(planned_shares, dtype=float)
    if seen.shape != shares.shape or seen.ndim != 1 or not (shares > 0).all():
        raise ValueError("each group needs a planned share above 0")
    if seen.size < 2 or seen.sum() == 0:
        return NAN
    expected = shares / shares.sum() * seen.sum()
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, seen.size - 1))


def exact_sample_ratio(treated_count: int, control_count: int, control_share: float) -> float:
    """Return the exact binomial p-value that two groups came out as planned; NaN with nobody.

    Valid for any size, where the chi-square of ``sample_ratio`` needs five expected in each group.

    Raises:
        ValueError: The planned share is not between 0 and 1.
    """
    if not 0 < control_share < 1:
        raise ValueError("the planned share of those held back must lie between 0 and 1")
    people = treated_count + control_count
    if people == 0:
        return NAN
    return float(stats.binomtest(control_count, people, control_share).pvalue)


def _column(values: ArrayLike) -> FloatArray:
    column = np.asarray(values, dtype=float)
    if column.ndim != 1 or not np.isfinite(column).all():
        raise ValueError("an outcome must be one finite number a person")
    return column


def _mean(total: float, count: int) -> float:
    return float(total) / count if count else NAN


def _nothing(n: int, m: int, treated_mean: float, control_mean: float) -> Effect:
    difference = treated_mean - control_mean
    return Effect(n, m, treated_mean, control_mean, difference, NAN, NAN, NAN, NAN, NAN)
