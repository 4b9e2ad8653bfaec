"""Population stability index: how far a distribution has moved from where it was.

Belongs here: the index and its reading. Does not: which distributions are compared, or what
follows from a drift.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

BINS = 10
NOTICEABLE = 0.1
"""Below it a move is commonly called none, from it on moderate (Siddiqi 2006, Credit Risk
Scorecards, section 9)."""
DRIFTED = 0.25
"""From here on it is called large: the model works on another population than it began with."""


def population_stability_index(
    reference: ArrayLike, current: ArrayLike, *, bins: int = BINS
) -> float:
    """Return the population stability index of ``current`` against ``reference``.

    PSI = sum over bins of (q - p) ln(q / p), with p and q the shares of reference and current in
    it: the symmetrised Kullback-Leibler divergence of the two histograms (Yurdakul 2018,
    Statistical Properties of Population Stability Index). Bins are quantiles of the reference, so
    equal values share one; missing values are a bin of their own. Each count is raised by one
    half, so that an empty bin gives a finite figure.

    Args:
        reference: Values when the model began to rule; NaN stands for missing.
        current: Values now; lengths may differ.
        bins: Most quantile bins.

    Returns:
        At least 0; invariant to the order of the values and to any increasing transformation of
        both.

    Raises:
        ValueError: One of the two has no rows.
    """
    before = np.asarray(reference, dtype=float)
    after = np.asarray(current, dtype=float)
    if before.size == 0 or after.size == 0:
        raise ValueError("a population stability index needs rows on both sides")
    present = before[~np.isnan(before)]
    edges = (
        np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
        if present.size
        else np.empty(0)
    )
    p, q = _shares(before, edges), _shares(after, edges)
    return float(np.sum((q - p) * np.log(q / p)))


def _shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    missing = np.isnan(values)
    bins = np.bincount(np.searchsorted(edges, values[~missing]), minlength=edges.size + 1)
    counts = np.append(bins, missing.sum()) + 0.5
    return counts / counts.sum()


def reading(index: float) -> str:
    """Return what the index is commonly called: ``stable``, ``noticeable`` or ``drifted``."""
    if index >= DRIFTED:
        return "drifted"
    return "noticeable" if index >= NOTICEABLE else "stable"
