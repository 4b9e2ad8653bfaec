"""Metrics and paired tests that all models share; tie-safe, deterministic, arrays in, numbers out.

Every metric treats equal predictions alike: it never depends on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

PROBABILITY_FLOOR = 1e-6
"""Log-loss never punishes harder than this; published scores are rounded to six digits."""


@dataclass(frozen=True)
class PairedComparison:
    """Candidate minus opponent on the same rows.

    Attributes:
        difference: Point estimate.
        lower: 2.5 % bound.
        upper: 97.5 % bound.
        p_value: One-sided: probability of such a difference were the candidate no better.
    """

    difference: float
    lower: float
    upper: float
    p_value: float


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[FloatArray, FloatArray]:
    left = np.asarray(first, dtype=float)
    right = np.asarray(second, dtype=float)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"need two columns of equal length, got {left.shape} and {right.shape}")
    if left.size == 0:
        raise ValueError("no rows to measure")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("a metric needs finite values; drop the rows without a label first")
    return left, right


def _mean(values: FloatArray, weight: ArrayLike | None) -> float:
    if weight is None:
        return float(values.mean())
    return float(np.average(values, weights=np.asarray(weight, dtype=float)))


def log_losses(outcome: ArrayLike, probability: ArrayLike) -> FloatArray:
    """Return the per-row log-loss (nats); probabilities are clipped at ``PROBABILITY_FLOOR``."""
    y, p = _pair(outcome, probability)
    p = np.clip(p, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


def log_loss(outcome: ArrayLike, probability: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the mean log-loss (nats), each row counting by its weight."""
    return _mean(log_losses(outcome, probability), weight)


def brier(outcome: ArrayLike, probability: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the Brier score: the mean squared error of the probability."""
    y, p = _pair(outcome, probability)
    return _mean((y - p) ** 2, weight)


def roc_auc(outcome: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve (ties count half); NaN with one class only."""
    y, s = _pair(outcome, score)
    if weight is not None:
        return _weighted_auc(y, s, np.asarray(weight, dtype=float))
    positives = float(y.sum())
    negatives = y.size - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = stats.rankdata(s)
    return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _weighted_auc(y: FloatArray, s: FloatArray, weight: FloatArray) -> float:
    levels, group = np.unique(s, return_inverse=True)
    positive = np.bincount(group, weights=weight * y, minlength=levels.size)
    negative = np.bincount(group, weights=weight * (1 - y), minlength=levels.size)
    pairs = positive.sum() * negative.sum()
    below = negative.cumsum() - negative / 2
    return float((positive * below).sum() / pairs) if pairs > 0 else float("nan")


def pr_auc(outcome: ArrayLike, score: ArrayLike) -> float:
    """Return the average precision; NaN without a positive row."""
    y, s = _pair(outcome, score)
    total = y.sum()
    if total == 0:
        return float("nan")
    levels, group = np.unique(-s, return_inverse=True)
    hits = np.bincount(group, weights=y, minlength=levels.size)
    seen = np.bincount(group, minlength=levels.size).cumsum()
    return float(np.sum(hits / total * hits.cumsum() / seen))


def calibration_table(
    outcome: ArrayLike,
    probability: ArrayLike,
    bins: int = 10,
    weight: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return predicted and observed rates in bins of the probability that weigh alike.

    A row's bin comes from its mid-rank, so equal probabilities share a bin.

    Returns:
        One row per non-empty bin, ascending: ``bin`` (from 0), ``row_count``,
        ``predicted_rate``, ``observed_rate``, ``weight`` (the sum of its rows').
    """
    y, p = _pair(outcome, probability)
    w = np.ones(y.size) if weight is None else np.asarray(weight, dtype=float)
    levels, group = np.unique(p, return_inverse=True)
    of_level = np.bincount(group, weights=w, minlength=levels.size)
    middle = of_level.cumsum() - of_level / 2
    number = np.floor(bins * middle / of_level.sum()).astype(int)[group]
    count = np.bincount(number, minlength=bins)
    used = count > 0
    mass = np.bincount(number, weights=w, minlength=bins)[used]
    return pd.DataFrame(
        {
            "bin": np.flatnonzero(used),
            "row_count": count[used],
            "predicted_rate": np.bincount(number, weights=w * p, minlength=bins)[used] / mass,
            "observed_rate": np.bincount(number, weights=w * y, minlength=bins)[used] / mass,
            "weight": mass,
        }
    )


def calibration_error(
    outcome: ArrayLike,
    probability: ArrayLike,
    bins: int = 10,
    weight: ArrayLike | None = None,
) -> float:
    """Return the mean distance of predicted and observed rate over the bins of the table."""
    table = calibration_table(outcome, probability, bins, weight)
    gap = (table["predicted_rate"] - table["observed_rate"]).abs()
    return float((gap * table["weight"]).sum() / table["weight"].sum())


def gain_curve(outcome: ArrayLike, score: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return (share of rows contacted, share of outcomes reached), highest scores first.

    Both start at 0 and end at 1; a group of equal scores is one straight step, which is what
    contacting its members in random order gives on average.
    """
    y, s = _pair(outcome, score)
    levels, group = np.unique(-s, return_inverse=True)
    rows = np.bincount(group, minlength=levels.size).cumsum() / y.size
    total = y.sum()
    reached = np.bincount(group, weights=y, minlength=levels.size).cumsum()
    share = reached / total if total > 0 else np.full(levels.size, np.nan)
    return np.concatenate([[0.0], rows]), np.concatenate([[0.0], share])


def lift(outcome: ArrayLike, score: ArrayLike, share: float = 0.1) -> float:
    """Return the outcome rate among the top ``share`` of scores over the overall rate."""
    rows, reached = gain_curve(outcome, score)
    return float(np.interp(share, rows, reached) / share)


def _tie_groups(score: FloatArray) -> tuple[NDArray[np.intp], int]:
    levels, group = np.unique(score, return_inverse=True)
    return group, levels.size


def _gini(actual: FloatArray, group: NDArray[np.intp], levels: int, weight: FloatArray) -> float:
    """Concentration of ``actual`` along the score's order, with row weights and tied scores."""
    mass = np.bincount(group, weights=weight, minlength=levels)
    amount = np.bincount(group, weights=weight * actual, minlength=levels)
    middle = mass.cumsum() - mass / 2
    total = amount.sum()
    if total == 0:
        return float("nan")
    return float(2 * np.sum(amount * middle) / (total * mass.sum()) - 1)


def normalised_gini(actual: ArrayLike, score: ArrayLike) -> float:
    """Return how well ``score`` ranks ``actual``: 1 = perfect, 0 = random, NaN = nothing to rank.

    Gini of ``actual`` along the order of ``score`` over the Gini along its own order; rows with
    equal scores share their mid-rank.
    """
    y, s = _pair(actual, score)
    weight = np.ones(y.size)
    best = _gini(y, *_tie_groups(y), weight)
    return _gini(y, *_tie_groups(s), weight) / best if best > 0 else float("nan")


def paired_t(losses: ArrayLike, opponent_losses: ArrayLike) -> PairedComparison:
    """Compare mean losses on the same rows (paired t, one-sided: the candidate's are lower)."""
    candidate, opponent = _pair(losses, opponent_losses)
    gap = candidate - opponent
    mean = float(gap.mean())
    if gap.size < 2 or np.ptp(gap) == 0:
        return PairedComparison(mean, mean, mean, 0.0 if mean < 0 and gap.size > 1 else 1.0)
    error = float(gap.std(ddof=1) / np.sqrt(gap.size))
    reach = float(stats.t.ppf(0.975, gap.size - 1)) * error
    p_value = float(stats.t.cdf(mean / error, gap.size - 1))
    return PairedComparison(mean, mean - reach, mean + reach, p_value)


def paired_wilcoxon(losses: ArrayLike, opponent_losses: ArrayLike) -> float:
    """Return the one-sided p-value that the candidate's losses are lower (signed ranks)."""
    candidate, opponent = _pair(losses, opponent_losses)
    gap = candidate - opponent
    if not gap.any():
        return 1.0
    return float(stats.wilcoxon(gap, alternative="less", method="asymptotic").pvalue)


def paired_bootstrap_gini(
    actual: ArrayLike,
    score: ArrayLike,
    opponent_score: ArrayLike,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> PairedComparison:
    """Compare normalised Ginis on the same resampled customers (one-sided: the candidate higher).

    Args:
        actual: What each customer spent.
        score: The candidate's predictions.
        opponent_score: The opponent's predictions for the same customers.
        draws: Number of bootstrap samples.
        seed: Seed of the resampling.
    """
    y, s = _pair(actual, score)
    _, other = _pair(actual, opponent_score)
    best, ours, theirs = _tie_groups(y), _tie_groups(s), _tie_groups(other)
    rng = np.random.default_rng(seed)

    def difference(weight: FloatArray) -> float:
        scale = _gini(y, *best, weight)
        if not scale > 0:
            return float("nan")
        return (_gini(y, *ours, weight) - _gini(y, *theirs, weight)) / scale

    point = difference(np.ones(y.size))
    sampled = np.array(
        [
            difference(np.bincount(rng.integers(0, y.size, y.size), minlength=y.size).astype(float))
            for _ in range(draws)
        ]
    )
    sampled = sampled[np.isfinite(sampled)]
    if not np.isfinite(point) or sampled.size == 0:
        return PairedComparison(float("nan"), float("nan"), float("nan"), 1.0)
    lower, upper = np.quantile(sampled, [0.025, 0.975])
    p_value = (1 + np.count_nonzero(sampled <= 0)) / (1 + sampled.size)
    return PairedComparison(point, float(lower), float(upper), float(p_value))


def holm(p_values: ArrayLike) -> FloatArray:
    """Return p-values adjusted for how many there are (Holm 1979); NaN stays and counts not."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
