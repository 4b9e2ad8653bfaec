"""The uplift model that is registered: one estimator from people to uplift."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.uplift.learners import (
    SKOPS_TRUSTED_TYPES as LEARNER_TYPES,
)
from ml.uplift.learners import (
    ClassTransformation,
    DRLearner,
    ResponseModel,
    SLearner,
    TLearner,
    XLearner,
)
from ml.uplift.people import PeopleDesign

FloatArray = NDArray[np.float64]

LEARNERS = {
    "s": SLearner,
    "t": TLearner,
    "x": XLearner,
    "class_transformation": ClassTransformation,
    "doubly_robust": DRLearner,
}
RESPONSE = "response"
"""Ranks by the response itself: the row to beat."""

SKOPS_TRUSTED_TYPES = [
    *LEARNER_TYPES,
    "ml.uplift.model.UpliftModel",
    "ml.uplift.people.PeopleDesign",
    "numpy.dtype",
]


class UpliftModel(BaseEstimator):
    """Uplift of a person, from what was known the day before.

    Parameters:
        learner: A key of ``LEARNERS``, or ``response``.
        arm: Arm that it speaks of.

    Attributes:
        design_: The fitted ``PeopleDesign``.
        learner_: The fitted learner.
        known_until_: Last day (ISO) on which a person of the training was drawn; empty undated.
        evaluated_: The same recipe fitted on the past only, whose figures were reported.
    """

    def __init__(self, learner: str = "s", arm: str = "treated") -> None:
        """See the class."""
        self.learner = learner
        self.arm = arm

    def fit(self, people: pd.DataFrame, outcome: ArrayLike, treated: ArrayLike) -> UpliftModel:
        """Fit on people of both groups, in any order.

        Raises:
            ValueError: Columns are missing, or there is one group only.
        """
        kinds = {**LEARNERS, RESPONSE: ResponseModel}
        if self.learner not in kinds:
            raise ValueError(f"unknown learner {self.learner!r}: one of {', '.join(kinds)}")
        keyed = [name for name in ("campaign_key", "person_key") if name in people]
        order = people.reset_index(drop=True).sort_values(keyed, kind="stable").index
        rows = people.iloc[order]
        y, t = np.asarray(outcome, dtype=float)[order], np.asarray(treated, dtype=float)[order]
        with threadpool_limits(1):
            self.design_ = PeopleDesign().fit(rows)
            self.learner_ = kinds[self.learner]().fit(self.design_.transform(rows), y, t)
        days = pd.to_datetime(rows["touched_on"]) if "touched_on" in rows else pd.Series(dtype=str)
        self.known_until_ = "" if days.isna().all() else str(days.max().date())
        self.evaluated_: UpliftModel | None = None
        return self

    def predict(self, people: pd.DataFrame) -> FloatArray:
        """Return the uplift: how much more likely each person responds if treated."""
        if people.empty:
            return np.zeros(0)
        with threadpool_limits(1):
            found: FloatArray = self.learner_.predict(self.design_.transform(people))
        return np.clip(found, -1.0, 1.0)
