"""All methods on the same customers in one report, and the rule by which K-means loses its place.

Belongs here: the same figures for every method. Does not: how a method works (``methods.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from ml.segmentation.classifier import cross_fitted_accuracy, linear_classifier
from ml.segmentation.features import FloatArray
from ml.segmentation.kmeans import IntArray
from ml.segmentation.methods import METHODS, partition
from ml.segmentation.selection import (
    MIN_AGREEMENT,
    MIN_SHARE,
    Stability,
    resample,
    silhouettes,
)

COMPARISON_SIZE = 1_000
"""Customers compared: Ward and density take time and memory with their square."""

REFITS = 10
KMEANS = "kmeans"
RIVALS = ("ward", "hdbscan", "gaussian_mixture")
"""What could be published in place of K-means; the RFM grid is published anyhow (customer_rfm)."""

MAX_NOISE_SHARE = 0.05
MIN_GAIN = 0.05
"""Silhouette by which a rival must lie above K-means of as many segments. On Online Retail Ward and
the mixture lie .09 and .14 below it at four segments."""
MIN_ACCURACY = 0.95

COLUMNS = (
    "data",
    "method",
    "row_count",
    "segment_count",
    "adjusted_rand_index",
    "adjusted_rand_index_lower",
    "silhouette",
    "kmeans_silhouette",
    "smallest_share",
    "noise_share",
    "assigner_accuracy",
    "is_eligible",
    "is_chosen",
)


class Comparison(NamedTuple):
    """The report: one row a method, and the labels that it rests on."""

    table: pd.DataFrame
    labels: Mapping[str, IntArray]


def compare(
    points: FloatArray,
    n_clusters: int,
    *,
    data: str,
    methods: Sequence[str] = tuple(METHODS),
    n_bootstrap: int = REFITS,
    seed: int = 0,
) -> Comparison:
    """Return the same figures for every method on the same points.

    K-means, Ward and the mixture form ``n_clusters`` segments, so that silhouettes compare; the
    grid and density find their own number, and ``kmeans_silhouette`` is K-means' with as many.

    Args:
        points: Scaled features of at most a few thousand rows, in a fixed order.
        n_clusters: Segments of the methods that do not find the number.
        data: What the rows are, for the column ``data``.
        methods: Names from ``METHODS``.
        n_bootstrap: Refits per method.
        seed: Of K-means and the mixture.

    Returns:
        The table has the columns ``COLUMNS``; a method that finds fewer than two segments has
        empty figures and is not eligible.
    """
    found = {name: partition(name, points, n_clusters, seed) for name in methods}
    counts = {name: _count(part.labels) for name, part in found.items()}
    distinct = len(np.unique(points, axis=0))
    same = {
        count: partition(KMEANS, points, count, seed).labels
        for count in sorted(set(counts.values()))
        if 2 <= count <= distinct
    }
    values = silhouettes(points, [*(part.labels for part in found.values()), *same.values()])
    separation = dict(zip(found, values[: len(found)], strict=True))
    of_kmeans = dict(zip(same, values[len(found) :], strict=True))
    rows = []
    for name, part in found.items():
        sizes = np.bincount(part.labels[part.labels >= 0])
        is_partition = counts[name] >= 2
        agreement = _agreement(name, points, part.labels, n_clusters, n_bootstrap, is_partition)
        smallest = float(sizes[sizes > 0].min() / len(points)) if is_partition else float("nan")
        noise = float((part.labels < 0).mean())
        rows.append(
            (
                data,
                name,
                len(points),
                counts[name],
                agreement.mean,
                agreement.lower,
                separation[name],
                of_kmeans.get(counts[name], float("nan")),
                smallest,
                noise,
                cross_fitted_accuracy(linear_classifier, points, part.labels)
                if is_partition
                else float("nan"),
                bool(
                    agreement.lower >= MIN_AGREEMENT
                    and smallest >= MIN_SHARE
                    and noise <= MAX_NOISE_SHARE
                ),
                False,
            )
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Comparison(table, {name: part.labels for name, part in found.items()})


def _count(labels: IntArray) -> int:
    return len(np.unique(labels[labels >= 0]))


def _agreement(
    method: str,
    points: FloatArray,
    labels: IntArray,
    n_clusters: int,
    n_bootstrap: int,
    is_partition: bool,
) -> Stability:
    if not is_partition:
        return Stability(np.array([float("nan")]))
    values = []
    for replicate in range(n_bootstrap):
        drawn = points[resample(len(points), replicate)]
        refit = partition(method, drawn, n_clusters, replicate)
        values.append(adjusted_rand_score(labels, refit.assign(points)))
    return Stability(np.array(values))


def pick(table: pd.DataFrame, kmeans_count: int) -> str:
    """Return the method to publish: K-means, unless a rival clearly wins.

    A rival wins with at least as many segments as K-means would have, if it is stable and without
    tiny segments or much noise (``is_eligible``), if new customers can be assigned to it
    (``MIN_ACCURACY``), and if its silhouette exceeds that of K-means with as many segments by
    ``MIN_GAIN``. Of several the one of greatest gain wins.
    """
    gain = table["silhouette"] - table["kmeans_silhouette"]
    wins = (
        table["method"].isin(RIVALS)
        & table["is_eligible"]
        & (table["segment_count"] >= kmeans_count)
        & (table["assigner_accuracy"] >= MIN_ACCURACY)
        & (gain >= MIN_GAIN)
    )
    if not wins.any():
        return KMEANS
    return str(table.loc[gain[wins].idxmax(), "method"])


def segment_means(
    values: pd.DataFrame, labels_of: Mapping[str, IntArray], *, data: str
) -> pd.DataFrame:
    """Return sizes and mean features of every method's segments, one row a segment.

    Args:
        values: Features in their own units, rows as the labels'.
        labels_of: From ``Comparison``.
        data: What the rows are.

    Returns:
        ``data, method, segment_number`` (1 = most rows; 0 = noise), ``row_count, row_share`` and
        ``mean_<feature>``.
    """
    frames = []
    for method, labels in labels_of.items():
        kinds, sizes = np.unique(labels, return_counts=True)
        order = np.lexsort((kinds, -sizes, kinds < 0))
        numbers = np.where(kinds[order] < 0, 0, np.arange(1, len(kinds) + 1))
        means = values.groupby(labels).mean().loc[kinds[order]].add_prefix("mean_")
        means.insert(0, "row_share", sizes[order] / len(labels))
        means.insert(0, "row_count", sizes[order])
        means.insert(0, "segment_number", numbers)
        means.insert(0, "method", method)
        frames.append(means)
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, "data", data)
    return table
