"""Natural cubic splines as one pipeline step: curves for a linear model, straight in the tails."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin

FloatArray = NDArray[np.float64]

QUANTILES = (0.05, 0.275, 0.5, 0.725, 0.95)
"""Five knots at Harrell's quantiles (Regression Modeling Strategies, 2nd ed., table 2.3)."""


class NaturalSplines(TransformerMixin, BaseEstimator):
    """Append ``len(QUANTILES) - 2`` curve columns for each of some input columns.

    The curves are Harrell's restricted cubic splines (section 2.4.5): zero below the first knot,
    linear beyond the last, so nothing explodes outside the range that was trained on. A column
    with fewer than three different knots (a constant, a flag) gets zeros.

    Parameters:
        columns: Positions of the columns to bend.

    Attributes:
        knots_: Ascending knots, one row a bent column.
    """

    def __init__(self, columns: tuple[int, ...] = ()) -> None:
        """See the class."""
        self.columns = columns

    def fit(self, x: ArrayLike, y: object = None) -> NaturalSplines:
        """Place the knots at quantiles of the training rows."""
        values = np.asarray(x, dtype=float)[:, list(self.columns)]
        self.knots_ = np.quantile(values, QUANTILES, axis=0).T
        return self

    def transform(self, x: ArrayLike) -> FloatArray:
        """Return the input's columns, then the curves, column by column."""
        values = np.asarray(x, dtype=float)
        curves = [
            _curve(values[:, column], knots)
            for column, knots in zip(self.columns, self.knots_, strict=True)
        ]
        return np.column_stack([values, *curves])


def _curve(x: FloatArray, knots: FloatArray) -> FloatArray:
    distinct = np.unique(knots)
    out = np.zeros((len(x), len(QUANTILES) - 2))
    if len(distinct) < 3:
        return out
    before, last = distinct[-2], distinct[-1]
    scale = (last - distinct[0]) ** 2

    def cube(knot: float) -> FloatArray:
        return np.maximum(x - knot, 0.0) ** 3

    for number, knot in enumerate(distinct[:-2]):
        bent = cube(knot) - cube(before) * (last - knot) / (last - before)
        bent += cube(last) * (before - knot) / (last - before)
        out[:, number] = bent / scale
    return out
