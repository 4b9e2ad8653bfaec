"""The segment model: fitted on a frame of customers, gives each its segment, name and distance.

Belongs here: the estimator that is registered. Does not: how many segments there should be, or
whether K-means forms them.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from ml.segmentation.classifier import linear_classifier
from ml.segmentation.features import (
    FEATURES,
    KEY,
    FloatArray,
    check_features,
    log_features,
    standardise,
)
from ml.segmentation.kmeans import IntArray, assign, fit_centres, subsample
from ml.segmentation.matching import match_centres
from ml.segmentation.methods import means, partition
from ml.segmentation.naming import carry_names, name_segments

SKOPS_TRUSTED_TYPES = ["ml.segmentation.model.SegmentModel"]
"""What skops must trust to load the model; everything inside it is numpy and plain Python."""

DISTANCE_DIGITS = 6


LEARNED_SIZE = 1_000
"""Customers that a method other than K-means sees; what it finds is learned and extended to all."""


class SegmentModel(ClusterMixin, BaseEstimator):
    """Segments of z-scored log features; the first has the highest mean net amount.

    The numbering does not depend on the labels that K-means happens to give, and the result does
    not depend on the order of the rows. K-means puts each customer to the nearest centre; of
    another method a classifier learns the segments and assigns everybody.

    Args:
        n_clusters: Number of segments; of a method that finds it, not read.
        method: One of ``ml.segmentation.methods.METHODS``.
        names: Levels -> segment name, from ``ml.segmentation.naming.profile_names``.
        n_init: Starts of K-means, of which the best is kept.
        random_state: Seed of the starts.

    Attributes:
        mean_: Mean of each log feature, shape ``(3,)``.
        scale_: Standard deviation of each log feature; 1 where the feature is constant.
        centres_: In standard deviations, shape ``(n_clusters, 3)``, in the order of segments.
        ids_: Number of each segment: from 1, or the champion's (``follow``).
        anchors_: Where each segment was when it got its number, in logs.
        names_: One unique name a segment.
        classifier_: Assigns customers; ``None`` for K-means.
        tables_: Tables that training found and that are published with the scores, by name, as
            lists by column; empty until a training fills it.
        n_features_in_: 3.
    """

    def __init__(
        self,
        n_clusters: int = 4,
        *,
        method: str = "kmeans",
        names: dict[str, str] | None = None,
        n_init: int = 10,
        random_state: int = 0,
    ) -> None:
        """Keep the settings, as scikit-learn's ``clone`` requires."""
        self.n_clusters = n_clusters
        self.method = method
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
        self.mean_, self.scale_ = standardise(logs)
        self.n_features_in_ = len(FEATURES)
        points = self._scale(logs)
        self.classifier_: ClassifierMixin | None = None
        if self.method == "kmeans":
            centres = fit_centres(
                points, self.n_clusters, n_init=self.n_init, random_state=self.random_state
            )
            order = self._order(frame, assign(points, centres)[0], centres)
        else:
            centres, order = self._learn(frame, points)
        self.centres_ = centres[order]
        self.ids_ = np.arange(1, len(order) + 1)
        self.anchors_ = self.centres_ * self.scale_ + self.mean_
        self.names_ = name_segments(self.centres_, self.names or {})
        self.tables_: dict[str, dict[str, list]] = {}
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a stored model, also one from before numbers and names were carried over."""
        super().__setstate__(state)
        if "centres_" in state and "ids_" not in state:
            self.ids_ = np.arange(1, len(self.centres_) + 1)
            self.anchors_ = self.centres_ * self.scale_ + self.mean_
            self.classifier_ = None
            self.tables_ = {}

    def _learn(self, frame: pd.DataFrame, points: FloatArray) -> tuple[FloatArray, IntArray]:
        """Find segments by another method than K-means; learn them, in the order of segments."""
        chosen = subsample(len(points), LEARNED_SIZE, self.random_state)
        some = points[chosen]
        labels = partition(self.method, some, self.n_clusters, self.random_state).labels
        centres = means(some, labels)
        if len(centres) < 2:
            raise ValueError(f"{self.method} finds no two segments")
        kept = labels >= 0
        places = np.unique(labels[kept], return_inverse=True)[1]
        order = self._order(frame.iloc[chosen[kept]], places, centres)
        self.classifier_ = linear_classifier(some[kept], np.argsort(order)[places])
        return centres, order

    def follow(self, champion: SegmentModel) -> Self:
        """Take over the champion's numbers and names of the segments that are still the same.

        What is the same is decided on centres in the features' own units (``matching.py``). A name
        from the seed table follows a change of that table.
        """
        match = match_centres(
            self.centres_ * self.scale_ + self.mean_,
            champion.anchors_,
            champion.ids_,
            self.scale_,
        )
        self.ids_, self.anchors_ = match.numbers, match.anchors
        self.names_ = carry_names(
            self.centres_,
            self.names or {},
            match.previous.tolist(),
            champion.names_,
            champion.names or {},
        )
        return self

    @staticmethod
    def _order(frame: pd.DataFrame, labels: IntArray, centres: FloatArray) -> IntArray:
        """Return the centres' places, the highest mean net amount first."""
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

    def locate(self, points: FloatArray) -> IntArray:
        """Return the place in ``centres_`` and ``ids_`` of each row of ``transform``'s points."""
        if self.classifier_ is None:
            return assign(points, self.centres_)[0]
        return np.asarray(self.classifier_.predict(points), dtype=np.intp)

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return each customer's segment, rows and index as in ``X``.

        Returns:
            ``customer_key``; ``segment_id`` (int); ``segment_name``; ``distance`` (float, to the
            own centre, in standard deviations of the log features, rounded to six digits).

        Raises:
            ValueError: The frame is not usable (``check_features``).
        """
        points = self.transform(X)
        places = self.locate(points)
        distance = np.sqrt(((points - self.centres_[places]) ** 2).sum(axis=1))
        return pd.DataFrame(
            {
                KEY: X[KEY],
                "segment_id": self.ids_[places].astype(np.int64),
                "segment_name": np.array(self.names_, dtype=object)[places],
                "distance": distance.round(DISTANCE_DIGITS),
            }
        )

    def fit_predict(self, X: pd.DataFrame, y: None = None) -> pd.DataFrame:  # type: ignore[override]
        """Fit and return the segments of the same customers."""
        return self.fit(X).predict(X)
