"""The N best of every row, and how good they were: full rankings, ties by product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ml.recommendation.purchases import BoolArray, FloatArray, IntArray

SCORE_DIGITS = 6
NOBODY = -1
"""Stands where a row has fewer products to offer than asked for."""


def best(
    scores: NDArray[np.floating[Any]], allowed: BoolArray, count: int
) -> tuple[IntArray, FloatArray]:
    """Return (columns, scores) of the ``count`` highest allowed scores of each row, best first.

    Scores are rounded first; of equal ones the earlier column wins, so the result depends on
    nothing else. Rows with fewer allowed columns end in ``NOBODY`` and NaN.
    """
    scores = np.where(allowed, scores.round(SCORE_DIGITS), -np.inf)
    rows, columns = scores.shape
    found = np.full((rows, count), NOBODY, dtype=np.int64)
    values = np.full((rows, count), np.nan)
    if columns == 0 or count == 0:
        return found, values
    kept = min(count, columns)
    least = -np.partition(-scores, kept - 1, axis=1)[:, kept - 1]
    for row in range(rows):
        some = np.flatnonzero((scores[row] >= least[row]) & allowed[row])
        some = some[np.argsort(-scores[row, some], kind="stable")][:kept]
        found[row, : len(some)] = some
        values[row, : len(some)] = scores[row, some]
    return found, values


def hits(found: IntArray, targets: sparse.csr_matrix) -> BoolArray:
    """Return whether each place of each row holds one of the row's targets."""
    row = np.arange(found.shape[0])[:, None]
    codes = np.where(found == NOBODY, -1, row * targets.shape[1] + found)
    wanted = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr)) * targets.shape[1]
    return np.isin(codes, wanted + targets.indices)


def ndcg(hit: BoolArray, target_counts: IntArray) -> FloatArray:
    """Return each row's normalised discounted gain: 1 where the targets come first."""
    gain = 1 / np.log2(np.arange(2, hit.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gain)])
    most = ideal[np.minimum(target_counts, hit.shape[1])]
    return np.where(most > 0, (hit * gain).sum(axis=1) / np.where(most > 0, most, 1.0), 0.0)


def figures(
    found: IntArray, targets: sparse.csr_matrix, *, customer_shares: FloatArray, offered: int
) -> dict[str, float]:
    """Return the means over customers, and how much of the range was offered to anybody.

    Args:
        found: Products by customer and rank.
        targets: What each bought later.
        customer_shares: Share of the customers who had bought each product.
        offered: Products that could have been recommended.

    Returns:
        ``precision``, ``recall``, ``ndcg``, ``hit_rate``; ``coverage``: share of the products
        that could be that were recommended to somebody; ``novelty``: mean -log2 of the share of
        customers who had bought what was recommended (bits; higher is less obvious).
    """
    hit = hits(found, targets)
    counts = np.diff(targets.indptr)
    places = found[found != NOBODY]
    surprise = -np.log2(np.maximum(customer_shares[places], 1e-9)) if places.size else np.zeros(1)
    return {
        "ndcg": float(ndcg(hit, counts).mean()),
        "precision": float(hit.mean()),
        "recall": float((hit.sum(axis=1) / np.maximum(counts, 1)).mean()),
        "hit_rate": float(hit.any(axis=1).mean()),
        "coverage": float(len(np.unique(places)) / max(offered, 1)),
        "novelty": float(surprise.mean()),
    }
