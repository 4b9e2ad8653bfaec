"""Five ways to form segments behind one interface: points in, a partition out.

Belongs here: each method and how it assigns points it has not seen. Does not: judging them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree
from sklearn.cluster import HDBSCAN
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ml.segmentation.features import FloatArray
from ml.segmentation.kmeans import REFIT_STARTS, IntArray, assign, fit_centres, one_thread

NOISE = -1
MIN_DENSE_SHARE = 0.03
"""Smallest share of customers that density takes for a segment: the smallest that is eligible."""

COVARIANCE_FLOOR = 0.01
"""Added to each variance of a mixture, in squared standard deviations: a third of customers have
exactly one order, and a component on them alone would shrink without bound."""

SCORES = 5
_GRID = (
    # frequency 1, 2, 3, 4, 5; one row a recency score; references.md section 3
    (0, 0, 1, 1, 2),
    (0, 0, 1, 1, 2),
    (3, 3, 4, 5, 5),
    (6, 7, 7, 5, 5),
    (8, 7, 7, 9, 9),
)
GRID_NAMES = (
    "hibernating",
    "at risk",
    "can't lose",
    "about to sleep",
    "need attention",
    "loyal",
    "promising",
    "potential loyalist",
    "new",
    "champions",
)


@dataclass(frozen=True)
class Partition:
    """Labels from 0 of the points fitted (-1: noise), and how others are labelled."""

    labels: IntArray
    assign: Callable[[FloatArray], IntArray]


Method = Callable[[FloatArray, int, int], Partition]
"""Points in standard deviations, the number of segments (where the method does not find it), and a
seed, give a partition."""


def rfm_grid(points: FloatArray, _n_clusters: int, _seed: int) -> Partition:
    """Return the ten cells of the recency by frequency grid; columns 0 and 1 of ``points``.

    Scaled logs keep the order of recency and orders, which is all that scores depend on.
    """
    recency = score_edges(-points[:, 0])
    frequency = score_edges(points[:, 1])

    def cells(others: FloatArray) -> IntArray:
        rows = scores(-others[:, 0], recency) - 1
        columns = scores(others[:, 1], frequency) - 1
        return np.asarray(_GRID, dtype=np.intp)[rows, columns]

    return Partition(cells(points), cells)


def score_edges(values: FloatArray) -> FloatArray:
    """Return the four values that a score from 2 to 5 must exceed.

    Score = 1 + floor(5 x customers strictly worse / n): equal values get equal scores.
    """
    ordered = np.sort(values)
    worse = -(-len(ordered) * np.arange(1, SCORES) // SCORES)  # rounded up
    return np.asarray(ordered[worse - 1], dtype=float)


def scores(values: FloatArray, edges: FloatArray) -> IntArray:
    """Return each value's score, 1 (worst) to 5."""
    return 1 + (values[:, None] > edges).sum(axis=1)


def kmeans(points: FloatArray, n_clusters: int, seed: int) -> Partition:
    """Return the K-means partition; others go to the nearest centre."""
    centres = fit_centres(points, n_clusters, n_init=REFIT_STARTS, random_state=seed)
    return _by_centre(points, centres)


def ward(points: FloatArray, n_clusters: int, _seed: int) -> Partition:
    """Return the hierarchical partition of least within-cluster variance, cut into ``n_clusters``.

    Others go to the nearest mean. Memory grows with the square of the points: pass a sample.
    """
    labels = fcluster(linkage(points, "ward"), n_clusters, "maxclust").astype(np.intp) - 1
    nearest = _by_centre(points, means(points, labels))
    return Partition(labels, nearest.assign)


def density(points: FloatArray, _n_clusters: int, _seed: int) -> Partition:
    """Return the dense regions that HDBSCAN finds, and noise; others are as their nearest point.

    Points that occur several times enter once: a resample's copies would be dense by themselves.
    """
    distinct, place = np.unique(points, axis=0, return_inverse=True)
    smallest = max(5, int(np.ceil(MIN_DENSE_SHARE * len(distinct))))
    if len(distinct) <= smallest:
        found = np.full(len(distinct), NOISE, dtype=np.intp)
    else:
        model = HDBSCAN(min_cluster_size=smallest, n_jobs=1, copy=True)
        found = model.fit(distinct).labels_.astype(np.intp)
    tree = cKDTree(distinct)
    return Partition(found[place.ravel()], lambda others: found[tree.query(others)[1]])


def gaussian_mixture(points: FloatArray, n_clusters: int, seed: int) -> Partition:
    """Return the components of a Gaussian mixture with full covariances."""
    model = GaussianMixture(n_clusters, reg_covar=COVARIANCE_FLOOR, random_state=seed, max_iter=50)
    with warnings.catch_warnings():
        # few distinct points or slow convergence make it unstable, which is then measured
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points)

    def components(others: FloatArray) -> IntArray:
        return np.asarray(model.predict(others), dtype=np.intp)

    return Partition(components(points), components)


METHODS: Mapping[str, Method] = {
    "rfm_grid": rfm_grid,
    "kmeans": kmeans,
    "ward": ward,
    "hdbscan": density,
    "gaussian_mixture": gaussian_mixture,
}


def partition(method: str, points: FloatArray, n_clusters: int, seed: int = 0) -> Partition:
    """Return the partition of ``points`` by one of ``METHODS``.

    Raises:
        ValueError: There is no such method.
    """
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r}: use one of {', '.join(METHODS)}")
    with one_thread():
        return METHODS[method](points, n_clusters, seed)


def means(points: FloatArray, labels: IntArray) -> FloatArray:
    """Return the mean of each cluster's points, in the order of labels; noise has none."""
    return np.stack(
        [points[labels == label].mean(axis=0) for label in np.unique(labels[labels >= 0])]
    )


def _by_centre(points: FloatArray, centres: FloatArray) -> Partition:
    return Partition(assign(points, centres)[0], lambda others: assign(others, centres)[0])
