"""Classifiers whose ``decision_function`` is a log-odds: trees, support vectors, a network.

scikit-learn's own give probabilities (trees), margins (support vectors) or nothing but rounded
probabilities (network). All of these are deterministic for a seed and use one thread.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

FloatArray = NDArray[np.float64]

SMALLEST_LEAF = 20
PRIOR_ROWS = 2.0
"""A leaf's rate is shrunk to the overall rate as by this many rows, so that none is certain."""


class LogOddsTrees(ClassifierMixin, BaseEstimator):
    """A decision tree, or a random forest, whose leaves hold log-odds.

    A forest's score is the mean of its trees' log-odds (the usual forest averages probabilities),
    so that Shapley values of the trees add up to it exactly.

    Parameters:
        trees: 1 for a decision tree.
        leaves: Most leaves of a tree.
        seed: Of the bootstrap and the choice of columns.
    """

    def __init__(self, trees: int = 1, leaves: int = 16, seed: int = 0) -> None:
        """See the class."""
        self.trees = trees
        self.leaves = leaves
        self.seed = seed

    def fit(self, x: FloatArray, y: FloatArray) -> LogOddsTrees:
        """Grow the trees, then turn each leaf's rate into log-odds."""
        shape = {
            "max_leaf_nodes": self.leaves,
            "min_samples_leaf": SMALLEST_LEAF,
            "random_state": self.seed,
        }
        if self.trees == 1:
            self.members_ = [DecisionTreeClassifier(**shape).fit(x, y)]
        else:
            forest = RandomForestClassifier(n_estimators=self.trees, n_jobs=1, **shape).fit(x, y)
            self.members_ = list(forest.estimators_)
        rate = float(np.mean(y))
        self.scores_ = [_leaf_scores(member, rate) for member in self.members_]
        return self

    def decision_function(self, x: FloatArray) -> FloatArray:
        """Return the mean log-odds of the trees."""
        values = np.ascontiguousarray(x, dtype=np.float32)
        total = np.zeros(len(values))
        for member, scores in zip(self.members_, self.scores_, strict=True):
            total += scores[member.tree_.apply(values)]
        return total / len(self.members_)


def _leaf_scores(tree: DecisionTreeClassifier, rate: float) -> FloatArray:
    rows = np.asarray(tree.tree_.weighted_n_node_samples)
    churned = np.asarray(tree.tree_.value)[:, 0, 1] * rows
    return logit((churned + PRIOR_ROWS * rate) / (rows + PRIOR_ROWS))


class KernelMachine(ClassifierMixin, BaseEstimator):
    """A support vector machine with a Gaussian kernel, its margin turned into log-odds.

    The kernel is Nystroem's approximation by some of the rows (Williams & Seeger 2001), which
    costs rows x landmarks instead of rows squared. Platt's sigmoid makes the margin log-odds.

    Parameters:
        strength: Inverse penalty per row.
        landmarks: Rows by which the kernel is approximated.
        seed: Of their choice.
    """

    def __init__(self, strength: float = 100.0, landmarks: int = 80, seed: int = 0) -> None:
        """See the class."""
        self.strength = strength
        self.landmarks = landmarks
        self.seed = seed

    def fit(self, x: FloatArray, y: FloatArray) -> KernelMachine:
        """Choose the landmarks, find the widest margin, turn it into log-odds."""
        kernel = Nystroem(
            gamma=0.1 / x.shape[1],
            n_components=min(self.landmarks, len(x)),
            random_state=self.seed,
        )
        self.kernel_ = kernel.fit(x)
        near = self.kernel_.transform(x)
        machine = LinearSVC(C=self.strength / len(x), dual=False, tol=1e-6, max_iter=1000)
        self.machine_ = machine.fit(near, y)
        margin = self.machine_.decision_function(near).reshape(-1, 1)
        platt = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-8).fit(margin, y)
        self.slope_ = float(platt.coef_[0, 0])
        self.shift_ = float(platt.intercept_[0])
        return self

    def decision_function(self, x: FloatArray) -> FloatArray:
        """Return log-odds."""
        margin = self.machine_.decision_function(self.kernel_.transform(x))
        return np.asarray(self.slope_ * margin + self.shift_, dtype=float)


class Network(ClassifierMixin, BaseEstimator):
    """A neural network with one hidden layer, fitted by L-BFGS for a fixed number of steps.

    Parameters:
        strength: Inverse penalty per row.
        width: Hidden units.
        steps: Most steps of the optimiser; stopping early is part of the recipe.
        seed: Of the first weights.
    """

    def __init__(
        self, strength: float = 100.0, width: int = 8, steps: int = 80, seed: int = 0
    ) -> None:
        """See the class."""
        self.strength = strength
        self.width = width
        self.steps = steps
        self.seed = seed

    def fit(self, x: FloatArray, y: FloatArray) -> Network:
        """Fit the weights."""
        network = MLPClassifier(
            (self.width,),
            activation="tanh",
            solver="lbfgs",
            alpha=len(x) / self.strength,
            max_iter=self.steps,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(x, y)
        self.weights_ = [np.asarray(weights, dtype=float) for weights in network.coefs_]
        self.biases_ = [np.asarray(biases, dtype=float) for biases in network.intercepts_]
        return self

    def decision_function(self, x: FloatArray) -> FloatArray:
        """Return log-odds: what the last unit sums up, before its sigmoid."""
        hidden = np.tanh(np.asarray(x, dtype=float) @ self.weights_[0] + self.biases_[0])
        return (hidden @ self.weights_[1] + self.biases_[1])[:, 0]


class Resampled(ClassifierMixin, BaseEstimator):
    """A classifier fitted on balanced classes, its log-odds brought back to the true rate.

    The rows are resampled inside ``fit``, after every preprocessing step: there is no way to hand
    resampled rows to a fold that is measured.

    Parameters:
        estimator: An unfitted classifier with log-odds.
        method: ``"oversample"`` or ``"smote"`` (Chawla et al. 2002, five neighbours).
        seed: Of the drawing.
    """

    def __init__(self, estimator: BaseEstimator, method: str = "smote", seed: int = 0) -> None:
        """See the class."""
        self.estimator = estimator
        self.method = method
        self.seed = seed

    def fit(self, x: FloatArray, y: FloatArray) -> Resampled:
        """Balance the classes, then fit."""
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        rng = np.random.default_rng(self.seed)
        rare = float(np.mean(y) < 0.5)
        few = x[y == rare]
        lacking = len(y) - 2 * len(few)
        drawn = rng.integers(0, len(few), lacking)
        new = few[drawn]
        if self.method == "smote" and len(few) > 1:
            count = min(6, len(few))
            places = NearestNeighbors(n_neighbors=count).fit(few).kneighbors(few)[1]
            other = few[places[drawn, rng.integers(1, count, lacking)]]
            new = new + rng.random((lacking, 1)) * (other - new)
        balanced = np.concatenate([y, np.full(lacking, rare)])
        self.estimator_ = clone(self.estimator).fit(np.concatenate([x, new]), balanced)
        self.shift_ = float(logit(np.mean(y)) - logit(np.mean(balanced)))
        return self

    def decision_function(self, x: FloatArray) -> FloatArray:
        """Return log-odds at the true rate."""
        return np.asarray(self.estimator_.decision_function(x)) + self.shift_
