"""Estimators of uplift: how much more likely a person responds if treated.

All take ``fit(features, outcome, treated)`` and give ``predict(features)``: the outcome treated
minus the outcome held back, a person. Treatment must have been drawn by lot; ``propensity`` is the
chance of treatment (by default the share of the treated). Outcomes are 0 or 1.

Sources: S and T: Kuenzel, Sekhon, Bickel & Yu 2019, "Metalearners for estimating heterogeneous
treatment effects using machine learning", PNAS 116, which also brings X. Class transformation:
Jaskowski & Jaroszewicz 2012, "Uplift modeling for clinical trial data", weighted so that unequal
groups count alike. Doubly robust: Kennedy 2023, "Towards optimal doubly robust estimation of
heterogeneous causal effects", Electronic Journal of Statistics 17.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FloatArray = NDArray[np.float64]

FOLDS = 5
SKOPS_TRUSTED_TYPES = [
    f"ml.uplift.learners.{name}"
    for name in (
        "ClassTransformation", "DRLearner", "ResponseModel", "SLearner", "TLearner", "XLearner",
    )
]  # fmt: skip


def default_classifier() -> BaseEstimator:
    """Return the base learner: scaled, penalised logistic regression with exact steps."""
    return make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky", C=1.0))


def default_regressor() -> BaseEstimator:
    """Return the learner of effects: ridge regression, whose penalty the rows' noise needs."""
    return make_pipeline(StandardScaler(), Ridge(alpha=100.0, solver="cholesky"))


def _checked(
    features: ArrayLike, outcome: ArrayLike, treated: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    x = _matrix(features)
    y, t = np.asarray(outcome, dtype=float), np.asarray(treated, dtype=float)
    if y.shape != (len(x),) or t.shape != (len(x),):
        raise ValueError("each row of features needs one outcome and one treatment")
    if not (np.isin(y, (0.0, 1.0)).all() and np.isin(t, (0.0, 1.0)).all()):
        raise ValueError("outcome and treatment must be 0 or 1")
    if t.size == 0 or t.min() == t.max():
        raise ValueError("uplift needs treated people and people held back")
    return x, y, t


def _matrix(features: ArrayLike) -> FloatArray:
    x = np.asarray(features, dtype=float)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError("features must be a table of finite numbers")
    return x


def _fitted(estimator: BaseEstimator, x: FloatArray, y: FloatArray, **fit: Any) -> BaseEstimator:
    """Fit a classifier; where there is one class only, its rate is all there is to say."""
    if np.ptp(y) == 0:
        return DummyClassifier(strategy="prior").fit(x, y.astype(int))
    return clone(estimator).fit(x, y.astype(int), **fit)


def _rate(estimator: BaseEstimator, x: FloatArray) -> FloatArray:
    """Probability of 1, also of a classifier that saw one class."""
    classes = list(estimator.classes_)
    if 1 not in classes:
        return np.zeros(len(x))
    found: FloatArray = estimator.predict_proba(x)[:, classes.index(1)]
    return found


def _share(propensity: float | None, t: FloatArray) -> float:
    share = float(t.mean()) if propensity is None else float(propensity)
    if not 0 < share < 1:
        raise ValueError("the chance of treatment must lie between 0 and 1")
    return share


class _Uplift(BaseEstimator):
    """What all learners share."""

    def __init__(
        self, estimator: BaseEstimator | None = None, propensity: float | None = None
    ) -> None:
        """See the module.

        Args:
            estimator: Base classifier; ``None`` is ``default_classifier()``.
            propensity: Chance of treatment; ``None`` is the share of the treated.
        """
        self.estimator = estimator
        self.propensity = propensity

    def _base(self) -> BaseEstimator:
        return default_classifier() if self.estimator is None else self.estimator


class ResponseModel(_Uplift):
    """Not uplift: how likely a person responds, whatever is done; the row to beat."""

    def fit(self, features: ArrayLike, outcome: ArrayLike, treated: ArrayLike) -> Self:
        """Fit one classifier without the treatment."""
        x, y, _ = _checked(features, outcome, treated)
        self.model_ = _fitted(self._base(), x, y)
        return self

    def predict(self, features: ArrayLike) -> FloatArray:
        """Return the probability of a response."""
        return _rate(self.model_, _matrix(features))


class SLearner(_Uplift):
    """One classifier with the treatment, and its product with each feature, among the features."""

    def fit(self, features: ArrayLike, outcome: ArrayLike, treated: ArrayLike) -> Self:
        """Fit on people of both groups."""
        x, y, t = _checked(features, outcome, treated)
        self.model_ = _fitted(self._base(), self._with(x, t), y)
        return self

    @staticmethod
    def _with(x: FloatArray, t: FloatArray) -> FloatArray:
        # 1/2 and -1/2: the penalty treats both groups alike
        sign = t[:, None] - 0.5
        return np.hstack([x, sign, x * sign])

    def predict(self, features: ArrayLike) -> FloatArray:
        """Return the uplift."""
        x = _matrix(features)
        ones = np.ones(len(x))
        treated = _rate(self.model_, self._with(x, ones))
        return treated - _rate(self.model_, self._with(x, 0 * ones))


class TLearner(_Uplift):
    """Two classifiers, one a group."""

    def fit(self, features: ArrayLike, outcome: ArrayLike, treated: ArrayLike) -> Self:
        """Fit on people of both groups."""
        x, y, t = _checked(features, outcome, treated)
        self.treated_model_ = _fitted(self._base(), x[t == 1], y[t == 1])
        self.control_model_ = _fitted(self._base(), x[t == 0], y[t == 0])
        return self

    def predict(self, features: ArrayLike) -> FloatArray:
        """Return the uplift."""
        x = _matrix(features)
        return _rate(self.treated_model_, x) - _rate(self.control_model_, x)


class XLearner(TLearner):
    """Each group's outcomes less what the other group's model expects, regressed and mixed."""

    def fit(self, features: ArrayLike, outcome: ArrayLike, treated: ArrayLike) -> Self:
        """Fit on people of both groups."""
        super().fit(features, outcome, treated)
        x, y, t = _checked(features, outcome, treated)
        self.share_ = _share(self.propensity, t)
        gained = y[t == 1] - _rate(self.control_model_, x[t == 1])
        missed = _rate(self.treated_model_, x[t == 0]) - y[t == 0]
        self.gained_model_ = default_regressor().fit(x[t == 1], gained)
        self.missed_model_ = default_regressor().fit(x[t == 0], missed)
        return self

    def predict(self, features: ArrayLike) -> FloatArray:
        """Return the uplift; the larger group's model counts less (Kuenzel et al., eq. 10)."""
        x = _matrix(features)
        missed, gained = self.missed_model_.predict(x), self.gained_model_.predict(x)
        mixed: FloatArray = self.share_ * missed + (1 - self.share_) * gained
        return mixed


class ClassTransformation(_Uplift):
    """One classifier of "did what speaks for treating": responded treated, or did not held back."""

    def fit(self, features: ArrayLike, outcome: ArrayLike, treated: ArrayLike) -> Self:
        """Fit on people of both groups."""
        x, y, t = _checked(features, outcome, treated)
        share = _share(self.propensity, t)
        if np.ptp(y) == 0:
            # all did the same: nobody was moved, and what is left to learn is the lot
            self.model_ = DummyClassifier(strategy="prior").fit(x[:2], [0, 1])
            return self
        speaks = np.where(t == 1, y, 1 - y)
        # each group weighs one half, whatever its size
        weight = np.where(t == 1, 0.5 / share, 0.5 / (1 - share))
        base = self._base()
        last = base.steps[-1][0] if hasattr(base, "steps") else ""
        name = f"{last}__sample_weight" if last else "sample_weight"
        self.model_ = _fitted(base, x, speaks, **{name: weight})
        return self

    def predict(self, features: ArrayLike) -> FloatArray:
        """Return the uplift: twice the weighted probability, less one."""
        return 2 * _rate(self.model_, _matrix(features)) - 1


def doubly_robust_scores(
    features: ArrayLike,
    outcome: ArrayLike,
    treated: ArrayLike,
    *,
    estimator: BaseEstimator | None = None,
    propensity: float | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> FloatArray:
    """Return a noisy, unbiased uplift of each person; their mean is the average effect (AIPW).

    Outcome models are fitted without the person's fold. Unbiased whatever these models say, as
    the chance of treatment is known from the lot; good models only take out noise.
    """
    x, y, t = _checked(features, outcome, treated)
    share = _share(propensity, t)
    base = default_classifier() if estimator is None else estimator
    if_treated, if_held = np.zeros(len(y)), np.zeros(len(y))
    count = min(folds, int(t.sum()), int((1 - t).sum()))
    if count < 2:
        raise ValueError("too few people in a group to leave some out")
    parts = StratifiedKFold(count, shuffle=True, random_state=seed)
    for past, out in parts.split(x, t):
        for arm, expected in ((1.0, if_treated), (0.0, if_held)):
            own = past[t[past] == arm]
            expected[out] = _rate(_fitted(base, x[own], y[own]), x[out])
    residual = np.where(t == 1, (y - if_treated) / share, -(y - if_held) / (1 - share))
    return if_treated - if_held + residual


class DRLearner(_Uplift):
    """Doubly robust scores, regressed on the features."""

    def fit(self, features: ArrayLike, outcome: ArrayLike, treated: ArrayLike) -> Self:
        """Fit on people of both groups."""
        x, y, t = _checked(features, outcome, treated)
        scores = doubly_robust_scores(x, y, t, estimator=self.estimator, propensity=self.propensity)
        self.model_ = default_regressor().fit(x, scores)
        return self

    def predict(self, features: ArrayLike) -> FloatArray:
        """Return the uplift."""
        found: FloatArray = self.model_.predict(_matrix(features))
        return found
