"""Kinds of visits: segments of web sessions, for companies whose visitors nobody knows by name.

Belongs here: the session model and its training. Does not: segments of customers (``train.py``).
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin

from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)
from ml.segmentation.comparison import KMEANS, compare, segment_means
from ml.segmentation.features import FloatArray, check_values, log_features, standardise
from ml.segmentation.kmeans import IntArray, assign, fit_centres, subsample
from ml.segmentation.matching import match_centres
from ml.segmentation.methods import METHODS
from ml.segmentation.report import DIGITS, as_lists
from ml.segmentation.selection import FALLBACK, choose, search

SESSION = "session_key"
SESSION_FEATURES = (
    "page_count",
    "product_page_count",
    "duration_seconds",
    "bounce_rate",
    "exit_rate",
)
SKOPS_TRUSTED_TYPES = ["ml.segmentation.sessions.SessionSegmentModel"]

VISITOR = "customer_key"
MIN_SESSIONS = 100
MIN_VISITORS = 50
"""The visits of a few people tell how these people visit."""
SEARCH_SIZE = 2_000
REFITS = 20
MAX_COUNT = 6
"""Kinds of visits that a reader can tell apart by five figures."""

MIN_KNOWN_SHARE = 0.95
"""A feature that more sessions leave open is not used; sessions that leave one open of those used
are left out."""

_PHRASES = {
    "page_count": ("few pages", "many pages"),
    "product_page_count": ("few products", "many products"),
    "duration_seconds": ("short", "long"),
    "bounce_rate": ("low bounce rate", "high bounce rate"),
    "exit_rate": ("low exit rate", "high exit rate"),
}
_NOTABLE_DEVIATION = 0.1

PROFILE = (
    "segment_id",
    "segment_name",
    "session_count",
    "session_share",
    *(f"mean_{name}" for name in SESSION_FEATURES),
    "order_rate",
)


class SessionSegmentModel(ClusterMixin, BaseEstimator):
    """K-means on z-scored logs of what happened in a session; the first sees most pages.

    Args:
        n_clusters: Number of kinds of visits.
        random_state: Seed of the starts.

    Attributes:
        features_: Which of ``SESSION_FEATURES`` are known well enough.
        mean_, scale_: Of their logs.
        centres_: In standard deviations, shape ``(n_clusters, len(features_))``.
        ids_, anchors_, names_: As ``SegmentModel``.
        tables_: As ``SegmentModel``.
    """

    def __init__(self, n_clusters: int = 3, *, random_state: int = 0) -> None:
        """Keep the settings, as scikit-learn's ``clone`` requires."""
        self.n_clusters = n_clusters
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: None = None) -> Self:
        """Find the kinds of visits.

        Args:
            X: One row a session: ``session_key`` and ``SESSION_FEATURES``, null where unknown.
            y: Ignored.

        Raises:
            ValueError: A column is missing, a key repeats, a number is unusable, no feature is
                known well enough, or there are fewer sessions than segments.
        """
        self.features_ = known_features(X)
        if not self.features_:
            raise ValueError("no feature of the sessions is known well enough")
        logs = self._logs(complete(X, self.features_))
        if len(logs) < self.n_clusters:
            raise ValueError(f"{len(logs)} sessions cannot form {self.n_clusters} segments")
        self.mean_, self.scale_ = standardise(logs)
        points = (logs - self.mean_) / self.scale_
        centres = fit_centres(points, self.n_clusters, random_state=self.random_state)
        self.centres_ = centres[np.lexsort((*centres.T[1:], -centres[:, 0]))]
        self.ids_ = np.arange(1, self.n_clusters + 1)
        self.anchors_ = self.centres_ * self.scale_ + self.mean_
        self.names_ = _names(self.centres_, self.features_, [None] * self.n_clusters)
        self.tables_: dict[str, dict[str, list]] = {}
        return self

    def follow(self, champion: SessionSegmentModel) -> Self:
        """Take over the champion's numbers and names where both read the same features."""
        if champion.features_ == self.features_:
            match = match_centres(
                self.centres_ * self.scale_ + self.mean_,
                champion.anchors_,
                champion.ids_,
                self.scale_,
            )
            self.ids_, self.anchors_ = match.numbers, match.anchors
            kept = [champion.names_[place] if place >= 0 else None for place in match.previous]
            self.names_ = _names(self.centres_, self.features_, kept)
        return self

    def _logs(self, frame: pd.DataFrame) -> FloatArray:
        return log_features(frame, self.features_)

    def transform(self, X: pd.DataFrame) -> FloatArray:
        """Return scaled features of sessions that are known in all of them."""
        return (self._logs(X) - self.mean_) / self.scale_

    def predict(self, X: pd.DataFrame) -> pd.Series:
        """Return each session's segment, by the index of ``X``; none where a feature is unknown."""
        known = complete(X, self.features_)
        places, _ = assign(self.transform(known), self.centres_)
        found = pd.Series(self.ids_[places], index=known.index, dtype="Int64")
        return found.reindex(X.index)


def check_sessions(frame: pd.DataFrame) -> None:
    """Raise ``ValueError`` unless ``frame`` is one row a session; features may be null."""
    columns = [SESSION, *SESSION_FEATURES]
    if missing := [c for c in columns if c not in frame.columns]:
        raise ValueError(f"sessions lack the columns {missing}")
    if repeated := int(frame[SESSION].duplicated().sum()):
        raise ValueError(f"{SESSION} is repeated on {repeated} rows")
    filled = frame[columns].fillna(dict.fromkeys(SESSION_FEATURES, 0))
    check_values(filled, (SESSION,), SESSION_FEATURES, ())


def known_features(frame: pd.DataFrame) -> list[str]:
    """Return the features that nearly all sessions tell."""
    check_sessions(frame)
    if frame.empty:
        return []
    return [n for n in SESSION_FEATURES if frame[n].notna().mean() >= MIN_KNOWN_SHARE]


def complete(frame: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Return the sessions that tell all ``features``, by key."""
    known = frame.dropna(subset=features).sort_values(SESSION)
    return known.astype(dict.fromkeys(features, float))


def visitor_count(sessions: pd.DataFrame) -> int:
    """Return how many people made these sessions, about.

    Those nobody knows visit as often as the others; where nobody is known, a session is a visitor.
    """
    known = sessions[VISITOR].dropna() if VISITOR in sessions.columns else sessions.head(0)
    return int(len(sessions) * known.nunique() / len(known)) if len(known) else len(sessions)


def train_session_segments(
    sessions: pd.DataFrame, *, champion: BaseEstimator | None = None, random_state: int = 0
) -> TrainingResult:
    """Return kinds of visits with the evidence for their number, and all methods compared.

    Args:
        sessions: One row a session: ``session_key`` and ``SESSION_FEATURES``; a sample will do.
            ``customer_key``, where there is one, says whose it was, null where nobody knows.
        champion: The ``SessionSegmentModel`` that rules now: kinds that are the same keep its
            numbers and names.
        random_state: Seed of samples and methods.

    Returns:
        ``estimator``: a ``SessionSegmentModel``. ``tables``: ``search``, ``comparison`` (also in
        the estimator's ``tables_``) and ``comparison_profile``.

    Raises:
        ValueError: ``sessions`` is not usable, or the champion is of another kind.
    """
    if champion is not None and not isinstance(champion, SessionSegmentModel):
        raise ValueError(f"the champion is a {type(champion).__name__}, not a SessionSegmentModel")
    features = known_features(sessions)
    known = complete(sessions, features) if features else sessions.head(0)
    counts: dict[str, float | str | int] = {"session_count": len(known)}
    if len(known) < MIN_SESSIONS:
        return too_little_data(
            "segments",
            f"{len(known)} sessions with known figures; kinds of visits need {MIN_SESSIONS}",
            counts,
        )
    if (visitors := visitor_count(known)) < MIN_VISITORS:
        return too_little_data(
            "segments",
            f"{len(known)} sessions of {visitors} visitors; kinds of visits need {MIN_VISITORS}",
            counts,
        )
    base = SessionSegmentModel(FALLBACK, random_state=random_state).fit(known)
    sample = known.iloc[subsample(len(known), SEARCH_SIZE, random_state)]
    points = base.transform(sample)
    evidence = search(
        points,
        candidates=range(2, MAX_COUNT + 1),
        n_bootstrap=REFITS,
        random_state=random_state,
    )
    if evidence.empty:
        return too_little_data("segments", "all sessions are alike", counts)
    chosen = choose(evidence)
    model = SessionSegmentModel(chosen, random_state=random_state).fit(known)
    if champion is not None:
        model.follow(champion)
    some = subsample(len(points), 1_000, random_state)
    compared = compare(
        points[some],
        chosen,
        data="sessions",
        methods=[name for name in METHODS if name != "rfm_grid"],
        seed=random_state,
    )
    is_chosen = compared.table["method"] == KMEANS
    comparison = compared.table.assign(is_chosen=is_chosen).round(DIGITS)
    model.tables_ = {"comparison": as_lists(comparison)}
    row = evidence.set_index("segment_count").loc[chosen]
    return TrainingResult(
        status=TRAINED,
        reason=f"{chosen} kinds of visits: bootstrap adjusted Rand index "
        f"{row['adjusted_rand_index']:.3f}, smallest share {row['smallest_share']:.1%}",
        estimator=model,
        parameters={
            **counts,
            "segment_count": chosen,
            "random_state": random_state,
            "features": ", ".join(features),
        },
        evaluation=evaluation_frame(
            ("all", metric, float(row[column]), None, None)
            for metric, column in (
                ("bootstrap_ari", "adjusted_rand_index"),
                ("bootstrap_ari_lower", "adjusted_rand_index_lower"),
                ("silhouette", "silhouette"),
                ("smallest_share", "smallest_share"),
            )
        ),
        figures={},
        tables={
            "search": evidence,
            "comparison": comparison,
            "comparison_profile": segment_means(
                sample[features].iloc[some].reset_index(drop=True), compared.labels, data="sessions"
            ),
        },
        gate=GateInputs(
            model="segments", figures={"adjusted_rand_index": float(row["adjusted_rand_index"])}
        ),
    )


def profile_sessions(model: SessionSegmentModel, sessions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a kind of visit, columns ``PROFILE``.

    Args:
        model: Assigns the sessions.
        sessions: As for ``fit``, and ``has_order`` (1 or 0, null where not known).
    """
    check_sessions(sessions)
    frame = sessions.sort_values(SESSION)
    placed = model.predict(frame)
    numbers = frame[list(SESSION_FEATURES)].astype(float)
    numbers["order_rate"] = frame["has_order"].astype(float)
    groups = numbers.groupby(placed)
    every = pd.Index(model.ids_, name="segment_id")
    table = pd.DataFrame({"segment_name": model.names_}, index=every)
    table["session_count"] = groups.size().reindex(every, fill_value=0)
    table["session_share"] = table["session_count"] / max(int(placed.notna().sum()), 1)
    means = groups.mean().reindex(every)
    for name in SESSION_FEATURES:
        table[f"mean_{name}"] = means[name]
    table["order_rate"] = means["order_rate"]
    return table.round(DIGITS).sort_index().reset_index()[list(PROFILE)]


def _names(centres: FloatArray, features: list[str], kept: list[str | None]) -> list[str]:
    """Return one unique name a centre: the one kept, else its two strongest deviations."""
    taken = {name for name in kept if name is not None}
    names = []
    for centre, known in zip(centres, kept, strict=True):
        name = known
        if name is None:
            name = _describe(centre, features)
            number = 2
            while name in taken:
                name = f"{_describe(centre, features)} {number}"
                number += 1
            taken.add(name)
        names.append(name)
    return names


def _describe(centre: FloatArray, features: list[str]) -> str:
    order: IntArray = np.argsort(-np.abs(centre), kind="stable")[:2]
    words = [
        _PHRASES[features[place]][int(centre[place] > 0)]
        for place in sorted(order)
        if abs(centre[place]) >= _NOTABLE_DEVIATION
    ]
    return (", ".join(words) or "average").capitalize()
