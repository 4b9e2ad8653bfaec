"""Calibration of log-odds: none, Platt's sigmoid, or isotonic, chosen on past data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ml.evaluation.metrics import log_loss

FloatArray = NDArray[np.float64]

METHODS = ("none", "sigmoid", "isotonic")
SMALLEST_GAIN = 0.0005
"""Nats of log-loss that a more flexible map must gain on customers it has not seen."""
_EDGE = 0.001
"""Isotonic steps of 0 or 1 are pulled in by this: no finite sample proves certainty."""


class Calibration(BaseEstimator):
    """Map from raw to calibrated log-odds.

    Parameters:
        method: ``"none"``, ``"sigmoid"`` (Platt: slope and shift) or ``"isotonic"``.
    """

    def __init__(self, method: str = "none") -> None:
        """Use ``method``."""
        self.method = method

    def fit(
        self, score: FloatArray, outcome: FloatArray, weight: FloatArray | None = None
    ) -> Calibration:
        """Learn from log-odds of rows that the model did not see, and their outcomes."""
        if self.method not in METHODS:
            raise ValueError(f"unknown calibration {self.method!r}; known: {METHODS}")
        if self.method == "sigmoid":
            platt = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-8).fit(
                score.reshape(-1, 1), outcome, weight
            )
            self.slope_ = float(platt.coef_[0, 0])
            self.shift_ = float(platt.intercept_[0])
        elif self.method == "isotonic":
            steps = IsotonicRegression(y_min=_EDGE, y_max=1 - _EDGE, out_of_bounds="clip")
            self.steps_ = steps.fit(score, outcome, weight)
        return self

    def apply(self, score: FloatArray) -> FloatArray:
        """Return calibrated log-odds."""
        if self.method == "sigmoid":
            return self.slope_ * score + self.shift_
        if self.method == "isotonic":
            return logit(np.asarray(self.steps_.predict(score), dtype=float))
        return score


def choose_calibration(
    score: FloatArray,
    outcome: FloatArray,
    half: NDArray[np.bool_],
    weight: FloatArray | None = None,
) -> tuple[str, dict[str, float]]:
    """Choose a method by the log-loss on customers that neither model nor map has seen.

    Args:
        score: Held-out log-odds.
        outcome: 0 or 1.
        half: ``key_halves`` of the rows; the map is learned on one, judged on the other.
        weight: How many each row stands for; one each if not given.

    Returns:
        The method, and the log-loss of each.
    """
    losses: dict[str, float] = {}
    for method in METHODS:
        probability = np.empty(len(score))
        for out in (False, True):
            seen = half != out
            weights = None if weight is None else weight[seen]
            map_ = Calibration(method).fit(score[seen], outcome[seen], weights)
            probability[~seen] = expit(map_.apply(score[~seen]))
        losses[method] = log_loss(outcome, probability, weight)
    best = "none"
    for method in METHODS[1:]:
        if losses[method] < losses[best] - SMALLEST_GAIN:
            best = method
    return best, losses
