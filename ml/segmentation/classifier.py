"""Who would be put where: a classifier for new customers, and rules that a person can follow.

Belongs here: learning given segments from features, and how well that goes for customers who were
not seen. Does not: finding the segments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from ml.segmentation.features import FloatArray
from ml.segmentation.kmeans import IntArray, one_thread, subsample

FOLDS = 5
SEED = 7
LEARNING_SIZE = 5_000
"""Customers from whom segments are learned: more do not move a border between clear segments."""

MAX_DEPTH = 4
MIN_LEAF_SHARE = 0.01
CENTS = 100

RULE_COLUMNS = ("segment_id", "rule_number", "rule", "customer_count", "precision_rate")


def linear_classifier(points: FloatArray, labels: IntArray) -> ClassifierMixin:
    """Return a logistic regression of segments on scaled features.

    Borders between nearest centres are planes, so it can follow them as closely as data allow.
    """
    if len(np.unique(labels)) < 2:
        return DummyClassifier().fit(points, labels)
    with one_thread(), warnings.catch_warnings():
        # borders of separate groups may be anywhere between them: the last digits do not matter
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=100.0, max_iter=100).fit(points, labels)


def readable_tree(values: FloatArray, labels: IntArray) -> DecisionTreeClassifier:
    """Return a tree of at most ``MAX_DEPTH`` questions on features as they are."""
    leaf = max(1, int(np.ceil(MIN_LEAF_SHARE * len(values))))
    tree = DecisionTreeClassifier(max_depth=MAX_DEPTH, min_samples_leaf=leaf, random_state=SEED)
    return tree.fit(values, labels)


def cross_fitted_accuracy(
    fit: Callable[[FloatArray, IntArray], ClassifierMixin], values: FloatArray, labels: IntArray
) -> float:
    """Return the share of rows whose label a model that has not seen them finds."""
    fold = np.random.default_rng(SEED).permutation(len(values)) % FOLDS
    right = 0
    for number in range(FOLDS):
        held = fold == number
        if held.any() and not held.all():
            model = fit(values[~held], labels[~held])
            right += int((model.predict(values[held]) == labels[held]).sum())
    return right / len(values)


@dataclass(frozen=True)
class Learned:
    """How well segments can be told from features.

    Attributes:
        accuracy: Cross-fitted, of the classifier.
        tree_accuracy: Cross-fitted, of the readable tree.
        largest_share: What naming the largest segment for everybody would get right.
        rules: One row a leaf of the tree, columns ``RULE_COLUMNS``; of a segment the rule that
            covers most customers comes first.
    """

    accuracy: float
    tree_accuracy: float
    largest_share: float
    rules: pd.DataFrame


def learn_segments(
    points: FloatArray, values: pd.DataFrame, segment_ids: IntArray, seed: int = SEED
) -> Learned:
    """Return how well segments can be learned, and the rules of the readable tree.

    Args:
        points: Scaled features, rows as in ``values``.
        values: The same customers' features in their own units.
        segment_ids: Their segments.
        seed: Of the sample of ``LEARNING_SIZE`` customers where there are more.
    """
    chosen = subsample(len(points), LEARNING_SIZE, seed)
    some, raw, labels = points[chosen], values.iloc[chosen], segment_ids[chosen]
    numbers = raw.to_numpy(dtype=float)
    _, counts = np.unique(labels, return_counts=True)
    return Learned(
        accuracy=cross_fitted_accuracy(linear_classifier, some, labels),
        tree_accuracy=cross_fitted_accuracy(readable_tree, numbers, labels),
        largest_share=float(counts.max() / len(labels)),
        rules=tree_rules(readable_tree(numbers, labels), list(raw.columns), numbers, labels),
    )


def tree_rules(
    tree: DecisionTreeClassifier, names: Sequence[str], values: FloatArray, labels: IntArray
) -> pd.DataFrame:
    """Return the leaves as sentences, each feature named once with its bounds.

    Bounds are cut to whole numbers where the feature has no others, else to cents.
    """
    parts = [1 if (column == np.floor(column)).all() else CENTS for column in values.T]
    leaves = tree.apply(values)
    rows = []
    for leaf, bounds in _bounds(tree).items():
        reached = leaves == leaf
        segment = tree.classes_[int(np.argmax(tree.tree_.value[leaf][0]))]
        rows.append(
            (
                int(segment),
                " and ".join(_condition(names[i], *bounds[i], parts[i]) for i in sorted(bounds))
                or "always",
                int(reached.sum()),
                float((labels[reached] == segment).mean()) if reached.any() else 0.0,
            )
        )
    frame = pd.DataFrame(rows, columns=["segment_id", "rule", "customer_count", "precision_rate"])
    frame = frame.sort_values(
        ["segment_id", "customer_count", "rule"], ascending=[True, False, True], ignore_index=True
    )
    frame["rule_number"] = frame.groupby("segment_id").cumcount() + 1
    return frame[list(RULE_COLUMNS)]


def _bounds(tree: DecisionTreeClassifier) -> dict[int, dict[int, tuple[float, float]]]:
    """Return of each leaf, for each feature on its path, (more than, at most)."""
    nodes = tree.tree_
    found: dict[int, dict[int, tuple[float, float]]] = {}
    waiting: list[tuple[int, dict[int, tuple[float, float]]]] = [(0, {})]
    while waiting:
        node, bounds = waiting.pop()
        if nodes.children_left[node] == nodes.children_right[node]:
            found[node] = bounds
            continue
        feature, threshold = int(nodes.feature[node]), float(nodes.threshold[node])
        low, high = bounds.get(feature, (-np.inf, np.inf))
        below = {**bounds, feature: (low, min(high, threshold))}
        above = {**bounds, feature: (max(low, threshold), high)}
        left, right = int(nodes.children_left[node]), int(nodes.children_right[node])
        waiting += [(left, below), (right, above)]
    return found


def _condition(name: str, low: float, high: float, parts: int) -> str:
    words = []
    if np.isfinite(low):
        words.append(f"{name} > {_cut(low, parts)}")
    if np.isfinite(high):
        words.append(f"{name} <= {_cut(high, parts)}")
    return " and ".join(words)


def _cut(bound: float, parts: int) -> str:
    return f"{np.floor(bound * parts) / parts:.{0 if parts == 1 else 2}f}"
