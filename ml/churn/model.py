"""The churn model that is registered: one estimator from facts to calibrated probability.

Belongs here: fitting, predicting and explaining one given recipe. Does not: the choice of the
recipe (``tuning.py``) or its examination (``training.py``).

Everything that is learned (filling, words, splines, scale, resampling, calibration) is learned in
``fit``, from the rows handed to it: the parameters are text and numbers, so nothing that was fitted
elsewhere can be passed in. Resampled rows have no key of their own and are refused.
"""

from __future__ import annotations

from typing import Any

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

from ml.churn.calibration import Calibration
from ml.churn.estimators import KernelMachine, LogOddsTrees, Network, Resampled
from ml.churn.kinds import RHYTHM, Kind, kind_of
from ml.churn.recipes import (
    BOOSTING,
    FOREST,
    LOGISTIC,
    NETWORK,
    NONE,
    ROW_LIMITS,
    SPLINES,
    SVM,
    TREE,
    Recipe,
    recipes_of,
)
from ml.churn.season import SeasonLevels
from ml.churn.shapley import contributions
from ml.churn.splines import QUANTILES, NaturalSplines
from ml.evaluation.sampling import key_halves, sample_keys

FloatArray = NDArray[np.float64]

SOLVER = "newton-cholesky"
"""Exact second-order steps: with some 30 columns, a tenth of the time of L-BFGS, and converged to
the last digits, so that the same data give the same coefficients on another machine too."""

SKOPS_TRUSTED_TYPES = [
    "ml.churn.calibration.Calibration",
    "ml.churn.contracts.ContractDesign",
    "ml.churn.estimators.KernelMachine",
    "ml.churn.estimators.LogOddsTrees",
    "ml.churn.estimators.Network",
    "ml.churn.estimators.Resampled",
    "ml.churn.features.ChurnDesign",
    "ml.churn.model.ChurnModel",
    "ml.churn.season.SeasonLevels",
    "ml.churn.splines.NaturalSplines",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]
"""What skops must be told to trust beside scikit-learn's public estimators."""


class ChurnModel(ClassifierMixin, BaseEstimator):
    """Probability of leaving within the horizon, from facts known at a cut-off.

    log-odds = calibrate(mean of the pipelines' log-odds) + the season's level at the cut-off. Each
    pipeline holds every fitted preprocessing step, so nothing can be learned outside a fold.

    Parameters:
        recipe: What is fitted, see ``ml.churn.recipes``; ``"a + b"`` averages the log-odds of two.
        kind: ``"rhythm"`` (rows of ``customer_features``: no order within the horizon) or
            ``"contract"`` (rows of contracts: the contract is ended).
        calibration: ``"none"``, ``"sigmoid"`` or ``"isotonic"``, learned on predictions for
            customers whom the pipelines did not see.
        horizon_days: Length of the label window.
        seed: Seed of every random choice.

    Attributes:
        classes_: ``[0, 1]``: stays, churns.
        pipelines_: The fitted pipelines, uncalibrated, one a recipe.
        facts_: The facts that contributions are about.
        calibration_: The fitted map from raw to calibrated log-odds.
        season_: Levels by time of year; all zero where less than a year is known.
        known_until_: Last day (ISO) whose facts the labels used; set by ``fit``.
        evaluated_: The same recipe fitted on the past only, whose figures were reported; a
            later challenger is compared with it where this model has seen the period. Or None.
    """

    def __init__(
        self,
        recipe: str = "splines full strength=1000",
        kind: str = RHYTHM,
        calibration: str = "none",
        horizon_days: int = 90,
        seed: int = 0,
    ) -> None:
        """See the class."""
        self.recipe = recipe
        self.kind = kind
        self.calibration = calibration
        self.horizon_days = horizon_days
        self.seed = seed

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take in a model stored before there were recipes: it had one pipeline of its own."""
        if "pipeline_" in state:
            state = dict(state)
            state["pipelines_"] = [state.pop("pipeline_")]
            family = SPLINES if "bend" in state["pipelines_"][0].named_steps else state["family"]
            words = {"strength": "strength"} if state["family"] == LOGISTIC else _OLD_BOOSTING
            settings = {new: state[old] for old, new in words.items()}
            state["recipe"] = str(Recipe(family, state["feature_set"], **settings))
            state["kind"] = RHYTHM
            state["facts_"] = kind_of(RHYTHM).facts(pd.DataFrame())
        super().__setstate__(state)

    @property
    def _kind(self) -> Kind:
        return kind_of(self.kind)

    def fit(self, features: pd.DataFrame, churned: ArrayLike) -> ChurnModel:
        """Fit on labelled rows, in any order.

        Args:
            features: Facts, one row a cut-off and customer (contract).
            churned: 0 or 1 for each row of ``features``.

        Raises:
            FeatureError: ``features`` is not what it should be.
            ValueError: A label is missing, or there is only one class.
        """
        outcome = pd.Series(np.asarray(churned, dtype=float), index=features.index)
        if not features.index.is_unique:
            features = features.reset_index(drop=True)
            outcome = outcome.reset_index(drop=True)
        frame = self._kind.check(features, None)
        return self.fit_checked(frame, outcome.loc[frame.index].to_numpy())

    def fit_checked(self, frame: pd.DataFrame, y: FloatArray) -> ChurnModel:
        """Fit on rows that were checked already, and are still in the order of their key.

        Raises:
            ValueError: A label is missing, or there is only one class.
        """
        if not np.isin(y, (0.0, 1.0)).all():
            raise ValueError("labels must be 0 or 1; drop the rows without a label first")
        if len(y) == 0 or y.min() == y.max():
            raise ValueError("all labelled customers have the same outcome; nothing to learn")
        self.classes_ = np.array([0, 1])
        self.facts_ = self._kind.facts(frame)
        with threadpool_limits(1):
            self.pipelines_ = self._fit_pipelines(frame, y)
            self.calibration_ = self._fit_calibration(frame, y)
            score = self.calibration_.apply(self.raw_scores(frame))
        self.season_ = SeasonLevels().fit(frame["cut_off_on"], score, y)
        last = frame["cut_off_on"].max() + pd.Timedelta(days=self.horizon_days)
        self.known_until_ = str(last.date())
        self.evaluated_: ChurnModel | None = None
        return self

    def _fit_pipelines(self, frame: pd.DataFrame, y: FloatArray) -> list[Pipeline]:
        fitted = []
        for recipe in recipes_of(self.recipe):
            rows, labels = frame, y
            if len(y) > ROW_LIMITS.get(recipe.family, len(y)):
                used = sample_keys(frame[self._kind.key], ROW_LIMITS[recipe.family])
                rows, labels = frame[used], y[used]
            fitted.append(new_pipeline(recipe, self.kind, rows, self.seed).fit(rows, labels))
        return fitted

    def raw_scores(self, frame: pd.DataFrame) -> FloatArray:
        """Uncalibrated log-odds of rows that were checked already."""
        return _mean_score(self.pipelines_, frame)

    def held_out_scores(self, frame: pd.DataFrame, y: FloatArray) -> FloatArray:
        """Raw log-odds of each row from pipelines that saw none of the customer's rows.

        Args:
            frame: Checked rows.
            y: Their labels, in the same order.
        """
        half = key_halves(frame[self._kind.key])
        score = np.empty(len(frame))
        for out in (False, True):
            seen = half != out
            if np.ptp(y[seen]) == 0 or seen.all():
                raise ValueError("too few customers to hold some of either outcome out")
            score[~seen] = _mean_score(self._fit_pipelines(frame[seen], y[seen]), frame[~seen])
        return score

    def _fit_calibration(self, frame: pd.DataFrame, y: FloatArray) -> Calibration:
        map_ = Calibration(self.calibration)
        if self.calibration == "none":
            return map_.fit(y, y)
        return map_.fit(self.held_out_scores(frame, y), y)

    def _checked(self, features: pd.DataFrame) -> pd.DataFrame:
        return self._kind.check(features.reset_index(drop=True), self.facts_)

    def decision_function(self, features: pd.DataFrame) -> FloatArray:
        """Return the uncalibrated log-odds of churn, in the order of the rows."""
        with threadpool_limits(1):
            frame = self._checked(features)
            return pd.Series(self.raw_scores(frame), frame.index).sort_index().to_numpy()

    def predict_proba(self, features: pd.DataFrame) -> FloatArray:
        """Return P(stays), P(churns) for each row; shape (n, 2), in the order of the rows."""
        if len(features) == 0:
            return np.empty((0, 2))
        probability = self._probability(self.decision_function(features), features)
        return np.column_stack([1 - probability, probability])

    def _probability(self, score: FloatArray, features: pd.DataFrame) -> FloatArray:
        offset = self.season_.offset(features["cut_off_on"])
        found: FloatArray = expit(self.calibration_.apply(score) + offset)
        return found

    def predict(self, features: pd.DataFrame) -> NDArray[np.int64]:
        """Return 1 where churn is more likely than not."""
        return (self.predict_proba(features)[:, 1] >= 0.5).astype(np.int64)

    def contributions(self, features: pd.DataFrame) -> tuple[pd.DataFrame, float]:
        """Explain the uncalibrated log-odds, fact by fact; see ``ml.churn.shapley``.

        Returns:
            One column a fact, index as ``features``; and the intercept. Row sum + intercept =
            ``decision_function``. Of a blend: the mean of its members'.
        """
        _, parts, intercept = self.explain(features)
        return parts, intercept

    def explain(self, features: pd.DataFrame) -> tuple[FloatArray, pd.DataFrame, float]:
        """Return P(churns) of each row, and its ``contributions``: facts are prepared once."""
        if len(features) == 0:
            nothing = pd.DataFrame(0.0, index=features.index, columns=self.facts_)
            return np.empty(0), nothing, 0.0
        total, base, scores = np.zeros((len(features), len(self.facts_))), 0.0, []
        with threadpool_limits(1):
            frame = self._checked(features).sort_index()
            for pipeline in self.pipelines_:
                fact = np.array([self.facts_.index(name) for name in _facts_seen(pipeline)])
                prepared = np.asarray(pipeline[:-1].transform(frame), dtype=float)
                scores.append(np.asarray(pipeline[-1].decision_function(prepared), dtype=float))
                parts, intercept = contributions(pipeline[-1], prepared, fact, len(self.facts_))
                total += parts / len(self.pipelines_)
                base += intercept / len(self.pipelines_)
        probability = self._probability(_mean(scores), features)
        return probability, pd.DataFrame(total, index=features.index, columns=self.facts_), base

    def reasons(self, features: pd.DataFrame, top: int = 3) -> pd.DataFrame:
        """Return ``reason_1`` ... ``reason_<top>``: what speaks most for churn, in plain words.

        Only facts that raise the probability are named; the rest of the columns are null.
        """
        parts, _ = self.contributions(features)
        return self._kind.sentences(features, parts, top)


_OLD_BOOSTING = {"max_leaf_nodes": "leaves", "max_iter": "trees"}


def new_pipeline(recipe: Recipe, kind: str, frame: pd.DataFrame, seed: int = 0) -> Pipeline:
    """Return an unfitted pipeline: facts -> columns -> filled (-> bent, scaled) -> classifier.

    The only place where pipelines are made. It takes nothing that was fitted before.

    Args:
        recipe: What to fit.
        kind: Of the rows.
        frame: Checked rows; only their number and the types of their columns are used.
        seed: Of every random choice.
    """
    steps: list[tuple[str, BaseEstimator]] = [
        ("design", kind_of(kind).design(recipe.feature_set)),
        ("fill", SimpleImputer(strategy="median", keep_empty_features=True)),
    ]
    if recipe.family == SPLINES:
        steps.append(("bend", NaturalSplines(kind_of(kind).bent(frame, recipe.feature_set))))
    if recipe.family in (LOGISTIC, SPLINES, SVM, NETWORK):
        steps.append(("scale", StandardScaler()))
    classifier = _classifier(recipe, len(frame), seed)
    if recipe.resample != NONE:
        classifier = Resampled(classifier, recipe.resample, seed)
    return Pipeline([*steps, ("classify", classifier)])


def _classifier(recipe: Recipe, row_count: int, seed: int) -> BaseEstimator:
    if recipe.family in (LOGISTIC, SPLINES):
        penalty = recipe.strength / max(row_count, 1)
        return LogisticRegression(C=penalty, solver=SOLVER, tol=1e-8)
    if recipe.family == TREE:
        return LogOddsTrees(1, recipe.leaves, seed)
    if recipe.family == FOREST:
        return LogOddsTrees(recipe.trees, recipe.leaves, seed)
    if recipe.family == SVM:
        return KernelMachine(recipe.strength, seed=seed)
    if recipe.family == NETWORK:
        return Network(recipe.strength, seed=seed)
    assert recipe.family == BOOSTING
    return HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=recipe.trees,
        max_leaf_nodes=recipe.leaves,
        min_samples_leaf=60,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )


def _mean_score(pipelines: list[Pipeline], frame: pd.DataFrame) -> FloatArray:
    return _mean([np.asarray(one.decision_function(frame), dtype=float) for one in pipelines])


def _mean(scores: list[FloatArray]) -> FloatArray:
    return scores[0] if len(scores) == 1 else np.mean(scores, axis=0)


def _facts_seen(pipeline: Pipeline) -> list[str]:
    """For each column that the classifier sees, the fact that it speaks about."""
    facts = list(pipeline[0].facts_of_columns())
    if "bend" in pipeline.named_steps:
        pieces = len(QUANTILES) - 2
        facts += [facts[place] for place in pipeline["bend"].columns for _ in range(pieces)]
    return facts
