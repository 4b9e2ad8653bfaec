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


class OneFact(ClassifierMixin, BaseEstimator):
    """Logistic regression on the logarithm of one fact that is never negative, nothing else.

    Parameters:
        fact: Its column; the days since the last order, the months of a contract.
    """

    def __init__(self, fact: str = "recency_days") -> None:
        """Look at ``fact``."""
        self.fact = fact

    def fit(self, features: pd.DataFrame, churned: FloatArray) -> OneFact:
        """Fit slope and intercept."""
        line = LogisticRegression(C=1e6, solver="newton-cholesky")
        self.line_ = line.fit(self._column(features), churned)
        return self

    def predict_proba(self, features: pd.DataFrame) -> FloatArray:
        """Return P(stays), P(churns) for each row."""
        return np.asarray(self.line_.predict_proba(self._column(features)))

    def _column(self, features: pd.DataFrame) -> FloatArray:
        known = features[[self.fact]].astype(float).fillna(0.0).clip(lower=0.0)
        return np.log1p(known).to_numpy()
