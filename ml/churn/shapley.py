"""What each fact adds to a log-odds: exactly additive for every family of models.

* Linear: coefficient times the distance from the training mean.
* Trees: Shapley values along the paths (Lundberg et al. 2020, Nature Machine Intelligence 2), by
  the library shap.
* Anything else: Shapley values of the game in which a fact either has its value or that of the
  average training row. Up to ``EXACT_FACTS`` facts all coalitions are valued; beyond, orders are
  drawn, each with its reverse. In either case the parts sum to the score less the average row's,
  because along each order the differences telescope.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from math import factorial

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from ml.churn.estimators import LogOddsTrees, Resampled

FloatArray = NDArray[np.float64]
Score = Callable[[FloatArray], FloatArray]

EXACT_FACTS = 8
"""256 coalitions a row at most."""
DRAWN_ORDERS = 16
"""And as many reversed."""


def contributions(
    classifier: BaseEstimator, x: FloatArray, fact: NDArray[np.intp], facts: int
) -> tuple[FloatArray, float]:
    """Explain the score of each row.

    Args:
        classifier: The last step of a fitted pipeline.
        x: What that step sees. Scaled columns have the training mean 0.
        fact: Number of the fact that each column of ``x`` speaks about.
        facts: How many facts there are.

    Returns:
        One row a row of ``x`` and one column a fact; and the intercept. Row sum plus intercept is
        the score.
    """
    if isinstance(classifier, Resampled):
        parts, intercept = contributions(classifier.estimator_, x, fact, facts)
        return parts, intercept + classifier.shift_
    if isinstance(classifier, LogisticRegression):
        return _by_fact(x * classifier.coef_[0], fact, facts), float(classifier.intercept_[0])
    if isinstance(classifier, HistGradientBoostingClassifier):
        parts, intercept = _of_trees(classifier, x)
        return _by_fact(parts, fact, facts), intercept
    if isinstance(classifier, LogOddsTrees):
        parts, intercept = _of_trees(_described(classifier), x)
        return _by_fact(parts, fact, facts), intercept
    return coalition_values(classifier.decision_function, x, fact, facts)


def _by_fact(parts: FloatArray, fact: NDArray[np.intp], facts: int) -> FloatArray:
    out = np.zeros((len(parts), facts))
    for column, number in enumerate(fact):
        out[:, number] += parts[:, column]
    return out


def _of_trees(model: object, x: FloatArray) -> tuple[FloatArray, float]:
    """Shapley values of trees' raw score; shap is imported here because it is slow to."""
    import shap

    explainer = shap.TreeExplainer(model)
    values = np.asarray(explainer.shap_values(x, check_additivity=False), dtype=float)
    return values.reshape(x.shape), float(np.ravel(explainer.expected_value)[-1])


def _described(model: LogOddsTrees) -> dict[str, object]:
    """The trees in the form that shap reads, leaves in log-odds and divided by their number."""
    trees = []
    for member, scores in zip(model.members_, model.scores_, strict=True):
        tree = member.tree_
        trees.append(
            {
                "children_left": tree.children_left,
                "children_right": tree.children_right,
                "children_default": tree.children_left,
                "features": tree.feature,
                "thresholds": tree.threshold,
                "values": scores.reshape(-1, 1) / len(model.members_),
                "node_sample_weight": tree.weighted_n_node_samples,
            }
        )
    return {"trees": trees, "internal_dtype": np.float64, "input_dtype": np.float32}


def coalition_values(
    score: Score, x: FloatArray, fact: NDArray[np.intp], facts: int
) -> tuple[FloatArray, float]:
    """Return Shapley values against the average row (all zeros), and that row's score."""
    intercept = float(score(np.zeros((1, x.shape[1])))[0])
    used = np.unique(fact)
    values = _exact if len(used) <= EXACT_FACTS else _sampled
    out = np.zeros((len(x), facts))
    out[:, used] = values(score, x, [fact == number for number in used], intercept)
    return out, intercept


def _exact(
    score: Score, x: FloatArray, columns: list[NDArray[np.bool_]], empty: float
) -> FloatArray:
    players = len(columns)
    worth = np.empty((2**players, len(x)))
    worth[0] = empty
    for coalition in range(1, 2**players):
        present = np.any([c for player, c in enumerate(columns) if coalition >> player & 1], axis=0)
        worth[coalition] = score(np.where(present, x, 0.0))
    out = np.zeros((len(x), players))
    for coalition in range(2**players):
        size = coalition.bit_count()
        for player in range(players):
            if not coalition >> player & 1:
                weight = factorial(size) * factorial(players - size - 1) / factorial(players)
                gain = worth[coalition | 1 << player] - worth[coalition]
                out[:, player] += weight * gain
    return out


def _sampled(
    score: Score, x: FloatArray, columns: list[NDArray[np.bool_]], empty: float
) -> FloatArray:
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(len(columns)) for _ in range(DRAWN_ORDERS)]
    orders = list(chain.from_iterable((order, order[::-1]) for order in drawn))
    out = np.zeros((len(x), len(columns)))
    for order in orders:
        row, before = np.zeros_like(x), np.full(len(x), empty)
        for player in order:
            row[:, columns[player]] = x[:, columns[player]]
            after = score(row)
            out[:, player] += (after - before) / len(orders)
            before = after
    return out
