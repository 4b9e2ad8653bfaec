"""Train segments: search k, fit, profile, and compare with the champion.

Belongs here: the one public function and what it reports. Does not: the gate's thresholds.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.metrics import adjusted_rand_score

from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)
from ml.segmentation.features import FEATURES, KEY, FloatArray, check_features
from ml.segmentation.figures import draw_all
from ml.segmentation.kmeans import SAMPLE_SIZE, assign, subsample
from ml.segmentation.model import SegmentModel
from ml.segmentation.naming import profile_names, seeded_descriptions
from ml.segmentation.selection import (
    FALLBACK,
    MIN_AGREEMENT,
    MIN_SHARE,
    N_BOOTSTRAP,
    choose,
    search,
    stability,
)

MIN_CUSTOMERS = 100
"""Below this the smallest allowed share of 3 % is two customers."""

_METRICS = {
    "adjusted_rand_index": "bootstrap_ari",
    "adjusted_rand_index_lower": "bootstrap_ari_lower",
    "silhouette": "silhouette",
    "smallest_share": "smallest_share",
    "inertia": "inertia",
}


def train_segments(
    features: pd.DataFrame,
    profiles: pd.DataFrame | None = None,
    *,
    champion: BaseEstimator | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    random_state: int = 0,
) -> TrainingResult:
    """Return segments of the customers, with the evidence for their number.

    The number is the largest from 3 to 8 whose bootstrap adjusted Rand index reaches
    ``MIN_AGREEMENT`` (by its lower 95 % bound, so that the seed of the resampling does not
    decide) and whose smallest share reaches ``MIN_SHARE``; else 2, which the gate accepts or
    refuses. The search runs on at most ``SAMPLE_SIZE`` customers, a fixed sample; all customers
    enter the final fit and are assigned.

    Args:
        features: One row a customer at one cut-off: ``customer_key``, ``recency_days``,
            ``order_count``, ``net_amount``; ``cut_off_on``, if there, names the period.
        profiles: The seed table ``segment_profiles``; without it, names are descriptions.
        champion: The ``SegmentModel`` that rules now; it is measured on the same resamples.
        n_bootstrap: Refits per number of segments.
        random_state: Seed of K-means.

    Returns:
        ``estimator``: a ``SegmentModel``. ``tables``: ``profile`` (one row a segment) and
        ``search`` (one row a k). ``figures``: elbow, stability, silhouette, scatter, sizes.

    Raises:
        ValueError: ``features`` or ``profiles`` is not usable, ``features`` holds several
            cut-offs, or the champion is no ``SegmentModel``.
    """
    check_features(features)
    period = _period(features)
    names = profile_names(profiles)
    if champion is not None and not isinstance(champion, SegmentModel):
        raise ValueError(f"the champion is a {type(champion).__name__}, not a SegmentModel")
    frame = features[[KEY, *FEATURES]].sort_values(KEY, ignore_index=True)
    frame = frame.astype(dict.fromkeys(FEATURES, float))
    counts: dict[str, float | str | int] = {"customer_count": len(frame)}
    if len(frame) < MIN_CUSTOMERS:
        return too_little_data(
            "segments", f"{len(frame)} customers; segments need {MIN_CUSTOMERS}", counts
        )
    model = SegmentModel(FALLBACK, names=names, random_state=random_state).fit(frame)
    sampled = subsample(len(frame), SAMPLE_SIZE, random_state)
    counts["searched_customer_count"] = len(sampled)
    points = model.transform(frame.iloc[sampled])
    evidence = search(points, n_bootstrap=n_bootstrap, random_state=random_state)
    if evidence.empty:
        return too_little_data(
            "segments", "all customers are alike in recency, orders and net amount", counts
        )
    chosen = choose(evidence)
    if chosen != FALLBACK:
        model = SegmentModel(chosen, names=names, random_state=random_state).fit(frame)
    assigned = frame.merge(model.predict(frame), on=KEY, validate="one_to_one")
    profile = _profile(assigned, model)
    profile["description"] = seeded_descriptions(model.names_, profiles)
    ruling = None
    if champion is not None:
        ruling = _measure(champion, model, frame.iloc[sampled], points, n_bootstrap)
    row = evidence.set_index("segment_count").loc[chosen]
    return TrainingResult(
        status=TRAINED,
        reason=_reason(chosen, row, counts),
        estimator=model,
        parameters={
            **counts,
            "segment_count": chosen,
            "n_bootstrap": n_bootstrap,
            "n_init": model.n_init,
            "random_state": random_state,
            "min_agreement": MIN_AGREEMENT,
            "min_share": MIN_SHARE,
        },
        evaluation=_evaluation(period, evidence, chosen, ruling),
        figures=draw_all(evidence, chosen, profile, assigned),
        tables={"profile": profile, "search": evidence},
        gate=GateInputs(
            model="segments",
            figures={"adjusted_rand_index": float(row["adjusted_rand_index"])},
        ),
    )


class _Champion(NamedTuple):
    """The champion on today's customers."""

    bootstrap_ari: float  # with refits at the champion's own number of segments
    agreement: float  # adjusted Rand index with the candidate
    segment_count: int


def _measure(
    champion: SegmentModel,
    model: SegmentModel,
    sample: pd.DataFrame,
    points: FloatArray,
    n_bootstrap: int,
) -> _Champion:
    labels, _ = assign(champion.transform(sample), champion.centres_)
    count = len(champion.centres_)
    candidate, _ = assign(points, model.centres_)
    return _Champion(
        stability(points, labels, count, n_bootstrap=n_bootstrap).mean,
        float(adjusted_rand_score(candidate, labels)),
        count,
    )


def _period(features: pd.DataFrame) -> str:
    if "cut_off_on" not in features.columns or features.empty:
        return "all"
    days = pd.to_datetime(features["cut_off_on"]).unique()
    if len(days) != 1:
        raise ValueError(f"customer features hold {len(days)} cut-offs: pass one")
    return pd.Timestamp(days[0]).date().isoformat()


def _reason(chosen: int, row: pd.Series, counts: dict[str, float | str | int]) -> str:
    measured = (
        f"bootstrap adjusted Rand index {row['adjusted_rand_index']:.3f} "
        f"(lower 95 % bound {row['adjusted_rand_index_lower']:.3f}), "
        f"smallest share {row['smallest_share']:.1%}"
    )
    if counts["searched_customer_count"] != counts["customer_count"]:
        measured += (
            f"; searched on a sample of {counts['searched_customer_count']} of "
            f"{counts['customer_count']} customers"
        )
    rule = f"is stable (index of at least {MIN_AGREEMENT}, no segment below {MIN_SHARE:.0%})"
    if chosen > FALLBACK:
        return f"{chosen} segments, the largest number that {rule}: {measured}"
    return f"{chosen} segments, as no larger number {rule}: {measured}"


def _profile(assigned: pd.DataFrame, model: SegmentModel) -> pd.DataFrame:
    """Return one row a segment: size, mean and median of each feature, centre."""
    groups = assigned.groupby("segment_id")
    every = pd.RangeIndex(1, len(model.names_) + 1, name="segment_id")
    profile = pd.DataFrame({"segment_name": model.names_}, index=every)
    profile["customer_count"] = groups.size().reindex(every, fill_value=0)
    profile["customer_share"] = profile["customer_count"] / len(assigned)
    for name in FEATURES:
        profile[f"mean_{name}"] = groups[name].mean()
        profile[f"median_{name}"] = groups[name].median()
    for column, name in enumerate(FEATURES):
        profile[f"{name}_deviation"] = model.centres_[:, column]
    return profile.reset_index()


def _evaluation(
    period: str, evidence: pd.DataFrame, chosen: int, ruling: _Champion | None
) -> pd.DataFrame:
    """Return the chosen model's figures, then those of every k (``<metric>_k<k>``).

    There is no naive baseline for a partition, so ``baseline_value`` is empty throughout.
    """
    row = evidence.set_index("segment_count").loc[chosen]
    rows: list[tuple[str, str, float, float | None, float | None]] = [
        (period, "segment_count", chosen, None, ruling.segment_count if ruling else None)
    ]
    for column, metric in _METRICS.items():
        rival = ruling.bootstrap_ari if ruling and metric == "bootstrap_ari" else None
        rows.append((period, metric, row[column], None, rival))
    if ruling:
        rows.append((period, "agreement_with_champion", ruling.agreement, None, None))
    for _, each in evidence.iterrows():
        rows.extend(
            (period, f"{metric}_k{int(each['segment_count'])}", each[column], None, None)
            for column, metric in _METRICS.items()
        )
    return evaluation_frame(rows)
