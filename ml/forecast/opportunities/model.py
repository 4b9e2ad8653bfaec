"""The model that is registered: the probability that an opportunity is won, or a lead converts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ml.churn.calibration import Calibration
from ml.forecast.opportunities.kinds import KINDS, OPPORTUNITY

FloatArray = NDArray[np.float64]

LOGISTIC = "logistic"
BOOSTING = "boosting"

SKOPS_TRUSTED_TYPES = [
    "ml.churn.calibration.Calibration",
    "ml.forecast.opportunities.model.WinModel",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
"""What skops must be told to trust beside scikit-learn's public estimators."""


class WinModel(ClassifierMixin, BaseEstimator):
    """Probability that what is open comes to a good end, from rows of a snapshot.

    Parameters:
        family: ``"logistic"`` or ``"boosting"``.
        penalty: Logistic only: scikit-learn's C.
        calibration: ``"none"``, ``"sigmoid"`` or ``"isotonic"``.
        seed: Of the boosting.
        kind: ``"opportunity"`` or ``"lead"``.

    Attributes:
        classes_: ``[0, 1]``: lost, won; or not converted in time, converted.
        pipeline_: Fills, scales, classifies.
        calibration_: From raw to calibrated log-odds; learned on later rows by ``calibrate``.
        known_until_: Last day (ISO) that the fit knew.
        evaluated_: The same recipe fitted on the past only, whose figures were reported; or None.
    """

    def __init__(
        self,
        family: str = LOGISTIC,
        penalty: float = 0.1,
        calibration: str = "none",
        seed: int = 0,
        kind: str = OPPORTUNITY.name,
    ) -> None:
        """See the class."""
        self.family = family
        self.penalty = penalty
        self.calibration = calibration
        self.seed = seed
        self.kind = kind

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take in a model stored before leads were scored."""
        super().__setstate__({"kind": OPPORTUNITY.name, **state})

    def fit(self, rows: pd.DataFrame, won: FloatArray, weight: FloatArray) -> WinModel:
        """Fit on snapshots whose outcome is known.

        Args:
            rows: With the features of its kind.
            won: 0 or 1 for each.
            weight: How much each counts.

        Raises:
            ValueError: Only one outcome.
        """
        outcome = np.asarray(won, dtype=float)
        if len(outcome) == 0 or outcome.min() == outcome.max():
            raise ValueError(f"all decided {KINDS[self.kind].noun} ended alike; nothing to learn")
        steps: list[tuple[str, BaseEstimator]] = [
            ("fill", SimpleImputer(strategy="median", keep_empty_features=True))
        ]
        if self.family == LOGISTIC:
            steps += [
                ("scale", StandardScaler()),
                (
                    "classify",
                    LogisticRegression(C=self.penalty, solver="newton-cholesky", tol=1e-8),
                ),
            ]
        elif self.family == BOOSTING:
            trees = HistGradientBoostingClassifier(
                learning_rate=0.05,
                max_iter=60,
                max_leaf_nodes=6,
                min_samples_leaf=60,
                l2_regularization=20.0,
                early_stopping=False,
                random_state=self.seed,
            )
            steps.append(("classify", trees))
        else:
            raise ValueError(f"unknown family {self.family!r}; known: {LOGISTIC}, {BOOSTING}")
        self.classes_ = np.array([0, 1])
        with threadpool_limits(1):
            self.pipeline_ = Pipeline(steps).fit(
                self._matrix(rows), outcome, classify__sample_weight=np.asarray(weight, dtype=float)
            )
        self.calibration_ = Calibration("none").fit(outcome, outcome)
        self.known_until_: str = ""
        self.evaluated_: WinModel | None = None
        return self

    def calibrate(self, score: FloatArray, won: FloatArray, weight: FloatArray) -> WinModel:
        """Learn the map of ``calibration`` from scores of rows that a fit like this did not see."""
        with threadpool_limits(1):
            self.calibration_ = Calibration(self.calibration).fit(score, won, weight)
        return self

    def decision_function(self, rows: pd.DataFrame) -> FloatArray:
        """Return the uncalibrated log-odds of each row."""
        if len(rows) == 0:
            return np.empty(0)
        with threadpool_limits(1):
            return np.asarray(self.pipeline_.decision_function(self._matrix(rows)), dtype=float)

    def predict_proba(self, rows: pd.DataFrame) -> FloatArray:
        """Return P(lost), P(won) for each row."""
        won = expit(self.calibration_.apply(self.decision_function(rows)))
        return np.column_stack([1 - won, won])

    def predict(self, rows: pd.DataFrame) -> NDArray[np.int64]:
        """Return 1 where winning is more likely than not."""
        return (self.predict_proba(rows)[:, 1] >= 0.5).astype(np.int64)

    def _matrix(self, rows: pd.DataFrame) -> FloatArray:
        return rows[list(KINDS[self.kind].features)].to_numpy(dtype=float)
