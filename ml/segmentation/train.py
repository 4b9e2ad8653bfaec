"""Train segments: search k, compare methods, fit, learn, and compare with the champion.

Belongs here: the one public function and what it reports. Does not: the gate's thresholds, or what
a table looks like (``report.py``).
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
from ml.segmentation.classifier import Learned, learn_segments
from ml.segmentation.comparison import KMEANS, pick
from ml.segmentation.features import FEATURES, KEY, FloatArray, check_features
from ml.segmentation.figures import draw_all
from ml.segmentation.kmeans import SAMPLE_SIZE, subsample
from ml.segmentation.model import SegmentModel
from ml.segmentation.naming import profile_names, seeded_descriptions
from ml.segmentation.report import as_lists, compare_customers, profile
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
    pages: pd.DataFrame | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    random_state: int = 0,
) -> TrainingResult:
    """Return segments of the customers, with the evidence for their number.

    The number is the largest from 3 to 8 whose bootstrap adjusted Rand index reaches
    ``MIN_AGREEMENT`` (by its lower 95 % bound, so that the seed of the resampling does not
    decide) and whose smallest share reaches ``MIN_SHARE``; else 2, which the gate accepts or
    refuses. The search runs on at most ``SAMPLE_SIZE`` customers, a fixed sample; all customers
    enter the final fit and are assigned. K-means is taken, unless another method clearly wins on
    a sample (``comparison.pick``).

    Args:
        features: One row a customer at one cut-off: ``customer_key``, ``recency_days``,
            ``order_count``, ``net_amount``; ``cut_off_on``, if there, names the period.
        profiles: The seed table ``segment_profiles``; without it, names are descriptions.
        champion: The ``SegmentModel`` that rules now; it is measured on the same resamples, and
            segments that are still the same keep its numbers and names.
        pages: What customers looked at, one row a customer with a session: ``customer_key`` and
            ``PAGES``. Only compared, never published; customers without a row saw nothing.
        n_bootstrap: Refits per number of segments.
        random_state: Seed of K-means.

    Returns:
        ``estimator``: a ``SegmentModel``. ``tables``: ``profile`` (one row a segment),
        ``search`` (one row a k), ``comparison`` (one row a data set and method),
        ``comparison_profile`` (one row a segment of each) and ``rules`` (one row a leaf of the
        readable tree); ``comparison`` and ``rules`` are in the estimator's ``tables_`` too.
        ``figures``: elbow, stability, silhouette, scatter, sizes.

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
    compared = compare_customers(frame, pages, chosen, n_bootstrap=n_bootstrap, seed=random_state)
    method = pick(compared.table[compared.table["data"] == "purchases"], chosen)
    row = evidence.set_index("segment_count").loc[chosen]
    if method != KMEANS:
        row = compared.published(method)
        chosen = int(row["segment_count"])
    if chosen != FALLBACK or method != KMEANS:
        model = SegmentModel(chosen, method=method, names=names, random_state=random_state)
        model.fit(frame)
    ruling = None
    if champion is not None:
        model.follow(champion)
        ruling = _measure(champion, model, frame.iloc[sampled], points, n_bootstrap)
    assigned = frame.merge(model.predict(frame), on=KEY, validate="one_to_one")
    segments = profile(assigned, model)
    segments["description"] = seeded_descriptions(model.names_, profiles)
    learned = learn_segments(
        model.transform(frame), frame[list(FEATURES)], assigned["segment_id"].to_numpy()
    )
    comparison = compared.choose(method)
    model.tables_ = {"comparison": as_lists(comparison), "rules": as_lists(learned.rules)}
    return TrainingResult(
        status=TRAINED,
        reason=_reason(method, chosen, row, counts),
        estimator=model,
        parameters={
            **counts,
            "method": method,
            "segment_count": chosen,
            "n_bootstrap": n_bootstrap,
            "n_init": model.n_init,
            "random_state": random_state,
            "min_agreement": MIN_AGREEMENT,
            "min_share": MIN_SHARE,
        },
        evaluation=_evaluation(period, evidence, row, learned, ruling),
        figures=draw_all(evidence, chosen, segments, assigned),
        tables={
            "profile": segments,
            "search": evidence,
            "comparison": comparison,
            "comparison_profile": compared.profile,
            "rules": learned.rules,
        },
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
    kept: int  # segments of the candidate that are the champion's


def _measure(
    champion: SegmentModel,
    model: SegmentModel,
    sample: pd.DataFrame,
    points: FloatArray,
    n_bootstrap: int,
) -> _Champion:
    labels = champion.locate(champion.transform(sample))
    count = len(champion.centres_)
    return _Champion(
        stability(points, labels, count, n_bootstrap=n_bootstrap).mean,
        float(adjusted_rand_score(model.locate(points), labels)),
        count,
        len(set(model.ids_.tolist()) & set(champion.ids_.tolist())),
    )


def _period(features: pd.DataFrame) -> str:
    if "cut_off_on" not in features.columns or features.empty:
        return "all"
    days = pd.to_datetime(features["cut_off_on"]).unique()
    if len(days) != 1:
        raise ValueError(f"customer features hold {len(days)} cut-offs: pass one")
    return pd.Timestamp(days[0]).date().isoformat()


def _reason(method: str, chosen: int, row: pd.Series, counts: dict[str, float | str | int]) -> str:
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
    if method != KMEANS:
        return (
            f"{chosen} segments by {method}, which {rule} and separates customers clearly better "
            f"than K-means (silhouette {row['silhouette']:.3f}, K-means "
            f"{row['kmeans_silhouette']:.3f}): {measured}"
        )
    if chosen > FALLBACK:
        return f"{chosen} segments, the largest number that {rule}: {measured}"
    return f"{chosen} segments, as no larger number {rule}: {measured}"


def _evaluation(
    period: str,
    evidence: pd.DataFrame,
    row: pd.Series,
    learned: Learned,
    ruling: _Champion | None,
) -> pd.DataFrame:
    """Return the chosen model's figures, then those of every k (``<metric>_k<k>``).

    There is no naive baseline for a partition; that of the accuracies is the largest segment's
    share, which is right for so many if everybody is put there.
    """
    count = int(row.name) if "segment_count" not in row else int(row["segment_count"])
    rows: list[tuple[str, str, float, float | None, float | None]] = [
        (period, "segment_count", count, None, ruling.segment_count if ruling else None)
    ]
    for column, metric in _METRICS.items():
        rival = ruling.bootstrap_ari if ruling and metric == "bootstrap_ari" else None
        if column in row:
            rows.append((period, metric, row[column], None, rival))
    rows.append((period, "classifier_accuracy", learned.accuracy, learned.largest_share, None))
    rows.append((period, "tree_accuracy", learned.tree_accuracy, learned.largest_share, None))
    if ruling:
        rows.append((period, "agreement_with_champion", ruling.agreement, None, None))
        rows.append((period, "kept_segment_count", ruling.kept, None, None))
    for _, each in evidence.iterrows():
        rows.extend(
            (period, f"{metric}_k{int(each['segment_count'])}", each[column], None, None)
            for column, metric in _METRICS.items()
        )
    return evaluation_frame(rows)
