"""Naive churn models that the real one must beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

FloatArray = NDArray[np.float64]


class BaseRate(ClassifierMixin, BaseEstimator):
    """Everybody churns at the rate of the training rows."""

    def fit(self, features: pd.DataFrame, churned: FloatArray) -> BaseRate:
        """Remember the rate."""
        self.rate_ = float(np.mean(churned))
        return self

    def predict_proba(self, features: pd.DataFrame) -> FloatArray:
        """Return P(stays), P(churns) for each row."""
        churns = np.full(len(features), self.rate_)
        return np.column_stack([1 - churns, churns])


class RecencyOnly(ClassifierMixin, BaseEstimator):
    """Logistic regression on the logarithm of the days since the last order, nothing else."""

    def fit(self, features: pd.DataFrame, churned: FloatArray) -> RecencyOnly:
        """Fit slope and intercept."""
        line = LogisticRegression(C=1e6, solver="newton-cholesky")
        self.line_ = line.fit(self._column(features), churned)
        return self

    def predict_proba(self, features: pd.DataFrame) -> FloatArray:
        """Return P(stays), P(churns) for each row."""
        return np.asarray(self.line_.predict_proba(self._column(features)))

    @staticmethod
    def _column(features: pd.DataFrame) -> FloatArray:
        return np.log1p(features[["recency_days"]].astype(float)).to_numpy()
