"""The segment model: fitted on a frame of customers, gives each its segment, name and distance.

Belongs here: the estimator that is registered. Does not: how many segments there should be.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from ml.segmentation.features import FEATURES, KEY, FloatArray, check_features, log_features
from ml.segmentation.kmeans import IntArray, assign, fit_centres
from ml.segmentation.naming import name_segments

SKOPS_TRUSTED_TYPES = ["ml.segmentation.model.SegmentModel"]
"""What skops must trust to load the model; everything inside it is numpy and plain Python."""

DISTANCE_DIGITS = 6


class SegmentModel(ClusterMixin, BaseEstimator):
    """K-means on z-scored log features; segment 1 has the highest mean net amount.

    The numbering does not depend on the labels that K-means happens to give, and the result does
    not depend on the order of the rows.

    Args:
        n_clusters: Number of segments.
        names: Levels -> segment name, from ``ml.segmentation.naming.profile_names``.
        n_init: Starts of K-means, of which the best is kept.
        random_state: Seed of the starts.

    Attributes:
        mean_: Mean of each log feature, shape ``(3,)``.
        scale_: Standard deviation of each log feature; 1 where the feature is constant.
        centres_: In standard deviations, shape ``(n_clusters, 3)``, in the order of segments.
        names_: One unique name a segment.
        n_features_in_: 3.
    """

    def __init__(
        self,
        n_clusters: int = 4,
        *,
        names: dict[str, str] | None = None,
        n_init: int = 10,
        random_state: int = 0,
    ) -> None:
        """Keep the settings, as scikit-learn's ``clone`` requires."""
        self.n_clusters = n_clusters
        self.names = names
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: None = None) -> Self:
        """Find the segments.

        Args:
            X: One row a customer: ``customer_key``, ``recency_days`` (>= 0), ``order_count``
                (>= 0), ``net_amount``.
            y: Ignored.

        Raises:
            ValueError: The frame is not usable (``check_features``), or has fewer customers than
                segments.
        """
        check_features(X)
        frame = X.sort_values(KEY)
        logs = log_features(frame)
        if len(logs) < self.n_clusters:
            raise ValueError(f"{len(logs)} customers cannot form {self.n_clusters} segments")
        self.mean_ = logs.mean(axis=0)
        deviation = logs.std(axis=0)
        # A constant column's deviation is rounding noise, not always exactly zero.
        self.scale_ = np.where(np.ptp(logs, axis=0) > 0, deviation, 1.0)
        self.n_features_in_ = len(FEATURES)
        points = self._scale(logs)
        centres = fit_centres(
            points, self.n_clusters, n_init=self.n_init, random_state=self.random_state
        )
        self.centres_ = centres[self._order(frame, points, centres)]
        self.names_ = name_segments(self.centres_, self.names or {})
        return self

    def _order(self, frame: pd.DataFrame, points: FloatArray, centres: FloatArray) -> IntArray:
        """Return the centres' numbers, the highest mean net amount first."""
        labels, _ = assign(points, centres)
        count = np.bincount(labels, minlength=len(centres))
        amount = np.bincount(
            labels, weights=frame["net_amount"].to_numpy(dtype=float), minlength=len(centres)
        )
        mean_amount = np.where(count > 0, amount / np.maximum(count, 1), -np.inf)
        recency, orders, _ = centres.T
        return np.lexsort((recency, -orders, -mean_amount)).astype(np.intp)

    def _scale(self, logs: FloatArray) -> FloatArray:
        return (logs - self.mean_) / self.scale_

    def transform(self, X: pd.DataFrame) -> FloatArray:
        """Return the z-scored log features, shape ``(n_customers, 3)``, rows as in ``X``."""
        check_is_fitted(self, "centres_")
        check_features(X)
        return self._scale(log_features(X))

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return each customer's segment, rows and index as in ``X``.

        Returns:
            ``customer_key``; ``segment_id`` (int, 1 = highest mean net amount in training);
            ``segment_name``; ``distance`` (float, to the own centre, in standard deviations of
            the log features, rounded to six digits).

        Raises:
            ValueError: The frame is not usable (``check_features``).
        """
        labels, distance = assign(self.transform(X), self.centres_)
        return pd.DataFrame(
            {
                KEY: X[KEY],
                "segment_id": (labels + 1).astype(np.int64),
                "segment_name": np.array(self.names_, dtype=object)[labels],
                "distance": distance.round(DISTANCE_DIGITS),
            }
        )

    def fit_predict(self, X: pd.DataFrame, y: None = None) -> pd.DataFrame:  # type: ignore[override]
        """Fit and return the segments of the same customers."""
        return self.fit(X).predict(X)
