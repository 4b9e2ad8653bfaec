"""The churn model that is registered: one estimator from facts to calibrated probability.

Belongs here: fitting, predicting and explaining one given recipe. Does not: the choice of the
recipe (``tuning.py``) or its examination (``training.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ml.churn.calibration import Calibration, customer_halves
from ml.churn.features import (
    CONCEPT_COLUMNS,
    CONCEPTS,
    FULL,
    ChurnDesign,
    check_features,
    columns_of,
)
from ml.churn.reasons import reason_table
from ml.churn.season import SeasonLevels
from ml.churn.splines import QUANTILES, NaturalSplines

FloatArray = NDArray[np.float64]

LOGISTIC = "logistic"
BOOSTING = "boosting"

CURVED_COLUMNS = ("log_average", "log_recency", "log_age", "log_rate")
"""Bent by splines in the full logistic model. On the demo company (20,000 customers, three seeds)
this takes the excess of log-loss over that of the true probabilities from 1.3-2.0 % to .7-1.4 %."""

SOLVER = "newton-cholesky"
"""Exact second-order steps: with some 30 columns, a tenth of the time of L-BFGS, and converged to
the last digits, so that the same data give the same coefficients on another machine too."""

SKOPS_TRUSTED_TYPES = [
    "ml.churn.calibration.Calibration",
    "ml.churn.features.ChurnDesign",
    "ml.churn.model.ChurnModel",
    "ml.churn.season.SeasonLevels",
    "ml.churn.splines.NaturalSplines",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
"""What skops must be told to trust beside scikit-learn's public estimators."""


class ChurnModel(ClassifierMixin, BaseEstimator):
    """Probability of no order within the horizon, from rows of ``customer_features``.

    log-odds = calibrate(pipeline(facts)) + the season's level at the row's cut-off. The pipeline
    holds every fitted preprocessing step, so nothing can be learned outside a fold.

    Parameters:
        family: ``"logistic"`` or ``"boosting"`` (histogram gradient boosting).
        feature_set: ``"stable"`` or ``"full"``, see ``ml.churn.features``.
        strength: Logistic only: inverse penalty per row (scikit-learn's C is this over the
            number of rows), so that a value means the same in a short and a long history.
        max_leaf_nodes: Boosting only.
        max_iter: Boosting only: number of trees.
        calibration: ``"none"``, ``"sigmoid"`` or ``"isotonic"``, learned on predictions for
            customers whom the pipeline did not see.
        seed: Seed of every random choice.

    Attributes:
        classes_: ``[0, 1]``: stays, churns.
        pipeline_: The fitted pipeline, uncalibrated.
        calibration_: The fitted map from raw to calibrated log-odds.
        season_: Levels by time of year; all zero where less than a year is known.
        known_until_: Last day (ISO) whose facts the labels used; set by ``fit``.
        evaluated_: The same recipe fitted on the past only, whose figures were reported; a
            later challenger is compared with it where this model has seen the period. Or None.
    """

    def __init__(
        self,
        family: str = LOGISTIC,
        feature_set: str = "full",
        strength: float = 1000.0,
        max_leaf_nodes: int = 8,
        max_iter: int = 100,
        calibration: str = "none",
        horizon_days: int = 90,
        seed: int = 0,
    ) -> None:
        """See the class."""
        self.family = family
        self.feature_set = feature_set
        self.strength = strength
        self.max_leaf_nodes = max_leaf_nodes
        self.max_iter = max_iter
        self.calibration = calibration
        self.horizon_days = horizon_days
        self.seed = seed

    def fit(self, features: pd.DataFrame, churned: ArrayLike) -> ChurnModel:
        """Fit on labelled rows, in any order.

        Args:
            features: Rows of ``customer_features``.
            churned: 0 or 1 for each row of ``features``.

        Raises:
            FeatureError: ``features`` is not what it should be.
            ValueError: A label is missing, or there is only one class.
        """
        outcome = pd.Series(np.asarray(churned, dtype=float), index=features.index)
        if not features.index.is_unique:
            features = features.reset_index(drop=True)
            outcome = outcome.reset_index(drop=True)
        frame = check_features(features)
        return self.fit_checked(frame, outcome.loc[frame.index].to_numpy())

    def fit_checked(self, frame: pd.DataFrame, y: FloatArray) -> ChurnModel:
        """Fit on rows that went through ``check_features`` already, and are still in its order.

        Raises:
            ValueError: A label is missing, or there is only one class.
        """
        if not np.isin(y, (0.0, 1.0)).all():
            raise ValueError("labels must be 0 or 1; drop the rows without a label first")
        if y.min() == y.max():
            raise ValueError("all labelled customers have the same outcome; nothing to learn")
        self.classes_ = np.array([0, 1])
        with threadpool_limits(1):
            self.pipeline_ = self._new_pipeline(len(frame)).fit(frame, y)
            self.calibration_ = self._fit_calibration(frame, y)
            score = self.calibration_.apply(self.raw_scores(frame))
        self.season_ = SeasonLevels().fit(frame["cut_off_on"], score, y)
        last = frame["cut_off_on"].max() + pd.Timedelta(days=self.horizon_days)
        self.known_until_ = str(last.date())
        self.evaluated_: ChurnModel | None = None
        return self

    def _new_pipeline(self, row_count: int) -> Pipeline:
        """An unfitted pipeline: facts -> derived columns -> filled -> (scaled ->) classifier."""
        steps: list[tuple[str, BaseEstimator]] = [
            ("design", ChurnDesign(self.feature_set)),
            ("fill", SimpleImputer(strategy="median", keep_empty_features=True)),
        ]
        if self.family == LOGISTIC:
            penalty = self.strength / row_count
            if self.feature_set == FULL:
                places = tuple(columns_of(FULL).index(column) for column in CURVED_COLUMNS)
                steps.append(("bend", NaturalSplines(places)))
            steps += [
                ("scale", StandardScaler()),
                ("classify", LogisticRegression(C=penalty, solver=SOLVER, tol=1e-8)),
            ]
        elif self.family == BOOSTING:
            trees = HistGradientBoostingClassifier(
                learning_rate=0.06,
                max_iter=self.max_iter,
                max_leaf_nodes=self.max_leaf_nodes,
                min_samples_leaf=60,
                l2_regularization=10.0,
                early_stopping=False,
                random_state=self.seed,
            )
            steps.append(("classify", trees))
        else:
            raise ValueError(f"unknown family {self.family!r}; known: {LOGISTIC}, {BOOSTING}")
        return Pipeline(steps)

    def raw_scores(self, frame: pd.DataFrame) -> FloatArray:
        """Uncalibrated log-odds of rows that went through ``check_features`` already."""
        return np.asarray(self.pipeline_.decision_function(frame), dtype=float)

    def held_out_scores(self, frame: pd.DataFrame, y: FloatArray) -> FloatArray:
        """Raw log-odds of each row from a pipeline that saw none of the customer's rows.

        Args:
            frame: Rows as ``check_features`` returns them.
            y: Their labels, in the same order.
        """
        half = customer_halves(frame["customer_key"])
        score = np.empty(len(frame))
        for out in (False, True):
            seen = half != out
            pipeline = self._new_pipeline(int(seen.sum())).fit(frame[seen], y[seen])
            score[~seen] = pipeline.decision_function(frame[~seen])
        return score

    def _fit_calibration(self, frame: pd.DataFrame, y: FloatArray) -> Calibration:
        map_ = Calibration(self.calibration)
        if self.calibration == "none":
            return map_.fit(y, y)
        return map_.fit(self.held_out_scores(frame, y), y)

    def decision_function(self, features: pd.DataFrame) -> FloatArray:
        """Return the uncalibrated log-odds of churn, in the order of the rows."""
        with threadpool_limits(1):
            frame = check_features(features.reset_index(drop=True))
            return pd.Series(self.raw_scores(frame), frame.index).sort_index().to_numpy()

    def predict_proba(self, features: pd.DataFrame) -> FloatArray:
        """Return P(stays), P(churns) for each row; shape (n, 2), in the order of the rows."""
        if len(features) == 0:
            return np.empty((0, 2))
        score = self.calibration_.apply(self.decision_function(features))
        probability = expit(score + self.season_.offset(features["cut_off_on"]))
        return np.column_stack([1 - probability, probability])

    def predict(self, features: pd.DataFrame) -> NDArray[np.int64]:
        """Return 1 where churn is more likely than not."""
        return (self.predict_proba(features)[:, 1] >= 0.5).astype(np.int64)

    def contributions(self, features: pd.DataFrame) -> tuple[pd.DataFrame, float]:
        """Explain the uncalibrated log-odds, fact by fact.

        Exact for the logistic model (coefficient times distance from the training mean);
        Shapley values for the trees (Lundberg et al. 2020, Nature Machine Intelligence 2).

        Returns:
            One column per fact (a column of ``customer_features``), index as ``features``; and
            the intercept. Row sum + intercept = ``decision_function``.
        """
        with threadpool_limits(1):
            frame = check_features(features.reset_index(drop=True)).sort_index()
            prepared = self.pipeline_[:-1].transform(frame)
            classifier = self.pipeline_[-1]
            if self.family == LOGISTIC:
                parts = prepared * classifier.coef_[0]
                intercept = float(classifier.intercept_[0])
            else:
                parts, intercept = _shapley(classifier, prepared)
        total = {concept: np.zeros(len(frame)) for concept in CONCEPT_COLUMNS}
        for number, column in enumerate(self._final_columns()):
            total[CONCEPTS[column]] = total[CONCEPTS[column]] + parts[:, number]
        return pd.DataFrame(total, index=features.index), intercept

    def _final_columns(self) -> list[str]:
        """For each column that the classifier sees, the derived column it comes from."""
        columns = list(columns_of(self.feature_set))
        if "bend" not in self.pipeline_.named_steps:
            return columns
        pieces = len(QUANTILES) - 2
        return columns + [column for column in CURVED_COLUMNS for _ in range(pieces)]

    def reasons(self, features: pd.DataFrame, top: int = 3) -> pd.DataFrame:
        """Return ``reason_1`` ... ``reason_<top>``: what speaks most for churn, in plain words.

        Only facts that raise the probability are named; the rest of the columns are null.
        """
        parts, _ = self.contributions(features)
        return reason_table(features, parts, top)


def _shapley(classifier: HistGradientBoostingClassifier, x: FloatArray) -> tuple[FloatArray, float]:
    """Shapley values of the trees' raw score; shap is imported here because it is slow to."""
    import shap

    explainer = shap.TreeExplainer(classifier)
    values = np.asarray(explainer.shap_values(x, check_additivity=False), dtype=float)
    expected = float(np.ravel(explainer.expected_value)[-1])
    return values, expected
