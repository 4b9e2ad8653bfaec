"""Grades: what was predicted, held against what then happened.

Belongs here: the figures of a grade. Does not: where past scores and outcomes are kept.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from ml.evaluation import metrics

COLUMNS = ("metric", "value", "baseline_value")
LEAST_ROWS = 30
"""Fewer than this say nothing about a model; calibration needs more still."""
CERTAINTY = 0.999
"""A total counts as off when its interval at this level misses it: a model is graded at every
refresh, and an alarm a week by chance alone would soon be ignored."""


def grade_probabilities(predicted: pd.Series, happened: pd.Series) -> pd.DataFrame:
    """Return the grades of predicted probabilities beside the rate that was then observed.

    Args:
        predicted: Probabilities as published, one a customer.
        happened: 0 or 1, rows as in ``predicted``.

    Returns:
        Columns ``COLUMNS``. ``log_loss`` and ``brier`` beside those of the observed rate for
        everybody, which no model could know: a hard baseline. ``roc_auc`` beside .5. ``mean``
        (predicted) beside the observed rate. ``calibration_error``. ``is_off``: 1 where the number
        of events is outside the interval that the predictions imply (a sum of independent
        Bernoulli variables, normal approximation, level ``CERTAINTY``). No row below
        ``LEAST_ROWS``.
    """
    p, y = predicted.to_numpy(dtype=float), happened.to_numpy(dtype=float)
    if y.size < LEAST_ROWS:
        return _frame([])
    rate = float(y.mean())
    base = np.full(y.size, rate)
    spread = float(np.sqrt(np.sum(p * (1 - p))))
    limit = float(stats.norm.ppf(0.5 + CERTAINTY / 2))
    rows: list[tuple[str, float, float | None]] = [
        ("rows", float(y.size), None),
        ("mean", float(p.mean()), rate),
        ("log_loss", metrics.log_loss(y, p), metrics.log_loss(y, base)),
        ("brier", metrics.brier(y, p), metrics.brier(y, base)),
        ("calibration_error", metrics.calibration_error(y, p), None),
        ("is_off", float(abs(float(np.sum(y - p))) > limit * spread), None),
    ]
    if 0 < rate < 1:
        rows.insert(2, ("roc_auc", metrics.roc_auc(y, p), 0.5))
    return _frame(rows)


def grade_amounts(
    predicted: pd.Series, happened: pd.Series, last_period: pd.Series
) -> pd.DataFrame:
    """Return the grades of predicted amounts beside a naive row.

    Args:
        predicted: Amounts as published, one a customer.
        happened: What was then spent, rows as in ``predicted``.
        last_period: What was spent in the period before of the same length: the naive prediction.

    Returns:
        Columns ``COLUMNS``: ``total_ratio`` (predicted / happened), ``normalised_gini`` and
        ``mean_absolute_error``, each beside the naive one. No row below ``LEAST_ROWS``, and only
        ``rows`` where nobody spent anything.
    """
    p, y, naive = (s.to_numpy(dtype=float) for s in (predicted, happened, last_period))
    if y.size < LEAST_ROWS:
        return _frame([])
    rows: list[tuple[str, float, float | None]] = [("rows", float(y.size), None)]
    if y.sum() > 0:
        rows.append(("total_ratio", float(p.sum() / y.sum()), float(naive.sum() / y.sum())))
        if np.ptp(y) > 0:
            rows.append(
                (
                    "normalised_gini",
                    metrics.normalised_gini(y, p),
                    metrics.normalised_gini(y, naive),
                )
            )
        rows.append(
            (
                "mean_absolute_error",
                float(np.abs(p - y).mean()),
                float(np.abs(naive - y).mean()),
            )
        )
    return _frame(rows)


def _frame(rows: list[tuple[str, float, float | None]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["value", "baseline_value"]
    frame[numbers] = frame[numbers].astype(float)
    return frame
