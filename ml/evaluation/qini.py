"""How well predicted uplift ranks people: Qini and AUUC, with bootstrap intervals.

The conventions are scikit-uplift's (``sklift/metrics/metrics.py``, 0.5: ``qini_curve``,
``perfect_qini_curve``, ``qini_auc_score``, ``uplift_auc_score``), extended by row weights: area
between curve and diagonal over the same area of the best possible order, by which every treated
responder comes first and every responder who was held back last. 0 is random, negative is worse.
Equal predictions are one straight step, so no figure depends on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.evaluation.metrics import PairedComparison

FloatArray = NDArray[np.float64]

DRAWS = 400
"""Of the bootstrap; p-values are no finer than 1 / (DRAWS + 1)."""


@dataclass(frozen=True)
class _Rows:
    """Checked columns of equal length."""

    outcome: FloatArray
    treated: FloatArray
    weight: FloatArray


def _rows(outcome: ArrayLike, treated: ArrayLike, weight: ArrayLike | None) -> _Rows:
    y = np.asarray(outcome, dtype=float)
    t = np.asarray(treated, dtype=float)
    w = np.ones_like(y) if weight is None else np.asarray(weight, dtype=float)
    if y.ndim != 1 or y.shape != t.shape or y.shape != w.shape:
        raise ValueError("outcome, treatment and weight must be columns of equal length")
    if y.size == 0:
        raise ValueError("no rows to measure")
    if not (np.isfinite(y).all() and np.isin(t, (0.0, 1.0)).all() and np.isfinite(w).all()):
        raise ValueError("outcomes and weights must be finite, and treatment 0 or 1")
    return _Rows(y, t, w)


def _steps(score: ArrayLike, size: int) -> tuple[NDArray[np.intp], int]:
    """Group of each row, best score first, and the number of groups."""
    values = np.asarray(score, dtype=float)
    if values.shape != (size,) or not np.isfinite(values).all():
        raise ValueError("a score needs one finite value a row")
    levels, group = np.unique(-values, return_inverse=True)
    return group, levels.size


def _cumulated(
    rows: _Rows, steps: tuple[NDArray[np.intp], int], weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Treated and held back so far, and outcomes so far of each, group by group."""
    group, count = steps

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(group, weights=values, minlength=count).cumsum()

    treated, held = weight * rows.treated, weight * (1 - rows.treated)
    return total(treated), total(held), total(treated * rows.outcome), total(held * rows.outcome)


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _qini_points(
    rows: _Rows, steps: tuple[NDArray[np.intp], int], weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    treated, held, of_treated, of_held = _cumulated(rows, steps, weight)
    gain = of_treated - of_held * _ratio(treated, held)
    return np.r_[0.0, treated + held], np.r_[0.0, gain]


def _uplift_points(
    rows: _Rows, steps: tuple[NDArray[np.intp], int], weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    treated, held, of_treated, of_held = _cumulated(rows, steps, weight)
    gain = (_ratio(of_treated, treated) - _ratio(of_held, held)) * (treated + held)
    return np.r_[0.0, treated + held], np.r_[0.0, gain]


def _area(points: tuple[FloatArray, FloatArray], last: float | None = None) -> float:
    """Area between a curve and the diagonal to ``last`` (its own end where none is given)."""
    x, y = points
    end = y[-1] if last is None else last
    return float(np.trapezoid(y, x) - x[-1] * end / 2)


def qini_curve(
    outcome: ArrayLike,
    uplift: ArrayLike,
    treated: ArrayLike,
    weight: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return (people contacted, outcomes gained), highest predicted uplift first, from (0, 0)."""
    rows = _rows(outcome, treated, weight)
    return _qini_points(rows, _steps(uplift, rows.outcome.size), rows.weight)


def _best_qini_steps(rows: _Rows) -> tuple[NDArray[np.intp], int]:
    return _steps(rows.outcome * (2 * rows.treated - 1), rows.outcome.size)


def qini_auc(
    outcome: ArrayLike,
    uplift: ArrayLike,
    treated: ArrayLike,
    weight: ArrayLike | None = None,
) -> float:
    """Return scikit-uplift's ``qini_auc_score``; NaN where no order is better than another."""
    rows = _rows(outcome, treated, weight)
    steps = _steps(uplift, rows.outcome.size)
    best = _area(_qini_points(rows, _best_qini_steps(rows), rows.weight))
    ours = _area(_qini_points(rows, steps, rows.weight))
    return ours / best if best > 0 else float("nan")


def auuc(
    outcome: ArrayLike,
    uplift: ArrayLike,
    treated: ArrayLike,
    weight: ArrayLike | None = None,
) -> float:
    """Return scikit-uplift's ``uplift_auc_score`` (binary outcomes); NaN as ``qini_auc``."""
    rows = _rows(outcome, treated, weight)
    responders = float((rows.weight * rows.outcome * (1 - rows.treated)).sum())
    silent = float((rows.weight * (1 - rows.outcome) * rows.treated).sum())
    same = 2.0 * (rows.outcome == rows.treated)
    ideal = same + (rows.outcome if responders > silent else rows.treated)
    perfect = _uplift_points(rows, _steps(ideal, rows.outcome.size), rows.weight)
    ours = _uplift_points(rows, _steps(uplift, rows.outcome.size), rows.weight)
    best = _area(perfect)
    return _area(ours, float(perfect[1][-1])) / best if best > 0 else float("nan")


def bootstrap_qini(
    outcome: ArrayLike,
    uplift: ArrayLike,
    treated: ArrayLike,
    *,
    opponent: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedComparison:
    """Compare Qini with an opponent's on the same resampled people, or with random order (0).

    Args:
        outcome: What each person did.
        uplift: Predicted uplift, or any score.
        treated: 1 for treated, 0 for held back.
        opponent: The opponent's score for the same people; ``None`` is random order.
        weight: Row weights.
        draws: Number of bootstrap samples, each group resampled within itself.
        seed: Seed of the resampling.
    """
    rows = _rows(outcome, treated, weight)
    size = rows.outcome.size
    ours, best = _steps(uplift, size), _best_qini_steps(rows)
    theirs = None if opponent is None else _steps(opponent, size)
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(rows.treated == arm) for arm in (0.0, 1.0)]

    def difference(drawn: FloatArray) -> float:
        scale = _area(_qini_points(rows, best, drawn))
        if not scale > 0:
            return float("nan")
        mine = _area(_qini_points(rows, ours, drawn))
        other = 0.0 if theirs is None else _area(_qini_points(rows, theirs, drawn))
        return (mine - other) / scale

    def resampled() -> FloatArray:
        drawn = np.zeros(size)
        for members in groups:
            picks = rng.integers(0, members.size, members.size) if members.size else members
            drawn[members] = np.bincount(picks, minlength=members.size)
        return drawn * rows.weight

    point = difference(rows.weight)
    sampled = np.array([difference(resampled()) for _ in range(draws)])
    sampled = sampled[np.isfinite(sampled)]
    if not np.isfinite(point) or sampled.size == 0:
        return PairedComparison(float("nan"), float("nan"), float("nan"), 1.0)
    lower, upper = np.quantile(sampled, [0.025, 0.975])
    p_value = (1 + np.count_nonzero(sampled <= 0)) / (1 + sampled.size)
    return PairedComparison(point, float(lower), float(upper), float(p_value))
