"""The recommender that is registered: a weighted sum of parts, each a sum over what was bought.

Belongs here: fitting the parts, ranking, and which bought product counted most. Does not: which
parts with which weights (``training.py``).
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ml.evaluation.sampling import key_hash
from ml.recommendation import als
from ml.recommendation.purchases import BoolArray, FloatArray, IntArray, Snapshot
from ml.recommendation.ranking import NOBODY, best
from ml.recommendation.similarity import (
    MAX_EASE_PRODUCTS,
    cosine_weights,
    ease_weights,
    spread,
    text_weights,
)

SKOPS_TRUSTED_TYPES = ["ml.recommendation.model.Recommender"]
"""What skops must trust to load the model; everything inside it is numpy and plain Python."""

POPULARITY, HABIT, CONTENT, ALS = "popularity", "habit", "content", "als"
COSINE, COSINE_RECENT = "cosine", "cosine_recent"
EASE_PENALTIES = (100.0, 500.0)
EASE = {f"ease_{penalty:.0f}": penalty for penalty in EASE_PENALTIES}
HALF_LIVES: dict[str, float | None] = {
    COSINE: None,
    COSINE_RECENT: 60.0,
    CONTENT: 60.0,
    **dict.fromkeys(EASE, None),
}
"""Days after which a purchase counts for half, by part; ``None``: it never loses weight."""
HABIT_HALF_LIFE_DAYS = 60.0

MAX_FIT_CUSTOMERS = 20_000
"""Similarities are learned from at most so many customers, chosen by a hash of their keys."""
MAX_OWN_PRODUCTS = 200
"""Of more, the cosine looks at those that a customer bought last: its cost is their square."""
LATEST = 3650.0
"""A half-life so long that it orders purchases by day and drops none."""
SCALE_CUSTOMERS = 300
CELLS = 4_000_000
"""Scores that are dense at a time: 32 MB."""
EXPLAINED_PAIRS = 20_000


class Recommender(BaseEstimator):
    """Scores products for customers as a weighted sum of parts.

    Parts: ``popularity`` (customers who bought it lately), ``habit`` (how often and how lately the
    customer bought it; for shops where goods are bought again), ``cosine``, ``cosine_recent``,
    ``ease_<penalty>``, ``als`` and ``content``. Each is divided by the mean of its customers' best
    scores, so that weights are comparable. Nothing of a customer is kept.

    Args:
        weights: Part -> weight.
        repeats: Whether what a customer bought before may be recommended again.
        window_days: What "lately" means for popularity.
        seed: Of ALS.

    Attributes:
        products_: Keys of the products that the parts were learned on, sorted.
        matrices_: Part -> products x products, as ``data``, ``indices``, ``indptr``.
        factors_: Products x factors of ALS, ``None`` without it.
        scales_: Part -> mean of the customers' best scores.
        fitted_until_: Last day that was known, days since 1970.
        evaluated_: The same recipe fitted on the past only, whose figures were reported; a later
            candidate is compared with it. ``None`` in that copy itself.
    """

    def __init__(
        self,
        weights: dict[str, float] | None = None,
        *,
        repeats: bool = False,
        window_days: int = 90,
        seed: int = 0,
    ) -> None:
        """Keep the settings, as scikit-learn's ``clone`` requires."""
        self.weights = weights
        self.repeats = repeats
        self.window_days = window_days
        self.seed = seed

    def fit(self, X: Snapshot, y: None = None) -> Self:
        """Learn the parts that have a weight from what was known at a day."""
        names = sorted(self.weights or {POPULARITY: 1.0})
        parts = Parts(X, window_days=self.window_days, seed=self.seed).fit(names)
        self.products_ = [str(key) for key in X.history.products]
        self.matrices_ = {
            name: [matrix.data, matrix.indices, matrix.indptr]
            for name, matrix in parts.matrices.items()
            if name != CONTENT  # made from the texts of the day
        }
        self.factors_ = parts.factors
        self.scales_ = {name: parts.scale(name) for name in names}
        self.fitted_until_ = int(X.cut_off)
        self.evaluated_: Recommender | None = None
        return self

    def parts(self, X: Snapshot) -> Parts:
        """Return the learned parts, in the numbers of this snapshot's products."""
        check_is_fitted(self, "scales_")
        place = pd.Index(X.history.products).get_indexer(pd.Index(self.products_))
        parts = Parts(X, window_days=self.window_days, seed=self.seed)
        count = len(self.products_)
        for name, (data, indices, indptr) in self.matrices_.items():
            matrix = sparse.csr_matrix((data, indices, indptr), shape=(count, count))
            parts.matrices[name] = spread(matrix, place, len(X.history.products))
        if self.factors_ is not None:
            parts.factors = np.zeros((len(X.history.products), self.factors_.shape[1]))
            parts.factors[place[place >= 0]] = self.factors_[place >= 0]
        parts.scales = dict(self.scales_)
        if CONTENT in self.scales_:
            parts.fit([CONTENT])
        return parts

    def recommend(
        self, X: Snapshot, rows: IntArray | None = None, count: int = 10, *,
        repeats: bool | None = None,
    ) -> tuple[IntArray, FloatArray]:  # fmt: skip
        """Return (products, scores) of the best ``count``, for customers ``rows`` (all).

        Only available products are ranked and, unless ``repeats``, none that was bought before.
        """
        parts = self.parts(X)
        rows = np.arange(X.shape[0]) if rows is None else rows
        allow = self.repeats if repeats is None else repeats
        weights = self.weights or {POPULARITY: 1.0}
        return ranked(parts, weights, rows, count, repeats=allow)

    def offers(
        self, X: Snapshot, rows: IntArray, count: int
    ) -> tuple[IntArray, FloatArray, IntArray]:
        """Return (products, scores, the bought product that added most to each score)."""
        parts = self.parts(X)
        weights = self.weights or {POPULARITY: 1.0}
        found, scores = ranked(parts, weights, rows, count, repeats=self.repeats)
        return found, scores, strongest_reasons(parts, weights, rows, found)


class Parts:
    """The parts of a recommender on one snapshot: what each says of customers and products."""

    def __init__(self, known: Snapshot, *, window_days: int, seed: int) -> None:
        """Start without any part."""
        self.known = known
        self.window_days = window_days
        self.seed = seed
        self.matrices: dict[str, sparse.csr_matrix] = {}
        self.factors: FloatArray | None = None
        self.scales: dict[str, float] = {}
        self._interest: dict[float | None, sparse.csr_matrix] = {}
        self._habit: sparse.csr_matrix | None = None
        self._popularity: FloatArray | None = None

    def fit(self, names: list[str]) -> Self:
        """Learn what these parts need, on the products that are worth it."""
        learned = np.flatnonzero(self.known.is_learned)
        targets = self.known.is_ranked[learned]
        found: dict[str, sparse.csr_matrix] = {}
        if set(names) - {POPULARITY, HABIT, CONTENT}:
            bought = self.known.bought()[self._customers()][:, learned]
            if COSINE in names or COSINE_RECENT in names:
                cosine = cosine_weights(self._lately(bought, learned), targets)
                found |= {name: cosine for name in (COSINE, COSINE_RECENT) if name in names}
            penalties = tuple(EASE[name] for name in names if name in EASE)
            if penalties:
                weights = ease_weights(bought, self._most_bought(learned), penalties)
                found |= {f"ease_{penalty:.0f}": weights[penalty] for penalty in penalties}
            if ALS in names:
                self.factors = np.zeros((self.known.shape[1], als.FACTORS))
                self.factors[learned] = als.item_factors(bought, seed=self.seed)
        if CONTENT in names:
            texts = [self.known.history.texts[product] for product in learned]
            found[CONTENT] = text_weights(texts, targets)
        for name, matrix in found.items():
            self.matrices[name] = spread(matrix, learned, self.known.shape[1])
        return self

    def _customers(self) -> IntArray:
        owned = np.bincount(self.known.customer, minlength=self.known.shape[0]) > 0
        return sample(self.known.history.customers, owned, MAX_FIT_CUSTOMERS)

    def _lately(self, bought: sparse.csr_matrix, learned: IntArray) -> sparse.csr_matrix:
        """Return the matrix with at most ``MAX_OWN_PRODUCTS`` a customer, those bought last."""
        if np.diff(bought.indptr).max(initial=0) <= MAX_OWN_PRODUCTS:
            return bought
        latest = self.known.interest(LATEST)[self._customers()][:, learned]
        row = np.repeat(np.arange(latest.shape[0]), np.diff(latest.indptr))
        order = np.lexsort((latest.indices, -latest.data, row))
        rank = np.arange(len(order)) - latest.indptr[row[order]]
        kept = order[rank < MAX_OWN_PRODUCTS]
        cells = (np.ones(len(kept)), (row[kept], latest.indices[kept]))
        return sparse.csr_matrix(cells, shape=latest.shape)

    def _most_bought(self, learned: IntArray) -> IntArray:
        counts = self.known.customer_counts[learned]
        order = np.lexsort((np.arange(len(counts)), -counts))[:MAX_EASE_PRODUCTS]
        return np.sort(order[counts[order] > 0])

    def popularity(self) -> FloatArray:
        """Return customers who bought each product lately, those of all time as a tie-break.

        Made once: every block of customers asks for it.
        """
        if self._popularity is None:
            recent = self.known.customers_of(self.window_days)
            self._popularity = recent + 1e-3 * self.known.customer_counts
        return self._popularity

    def interest(self, half_life: float | None) -> sparse.csr_matrix:
        """Return the snapshot's interest, made once."""
        if half_life not in self._interest:
            self._interest[half_life] = self.known.interest(half_life)
        return self._interest[half_life]

    def habit(self) -> sparse.csr_matrix:
        """Return the snapshot's habits, made once."""
        if self._habit is None:
            self._habit = self.known.habit(HABIT_HALF_LIFE_DAYS)
        return self._habit

    def scores(self, name: str, rows: IntArray, columns: IntArray) -> FloatArray:
        """Return what one part says, unscaled."""
        if name == POPULARITY:
            return np.tile(self.popularity()[columns], (len(rows), 1))
        if name == HABIT:
            return self.habit()[rows][:, columns].toarray()
        if name == ALS:
            assert self.factors is not None
            customers = als.user_factors(self.interest(None)[rows], self.factors)
            return customers @ self.factors[columns].T
        weights = self.matrices[name][:, columns]
        return (self.interest(HALF_LIVES[name])[rows] @ weights).toarray()

    def scale(self, name: str) -> float:
        """Return the mean of the customers' best scores, over a sample of them; 1 without any."""
        if name not in self.scales:
            owned = np.bincount(self.known.customer, minlength=self.known.shape[0]) > 0
            rows = sample(self.known.history.customers, owned, SCALE_CUSTOMERS)
            columns = np.flatnonzero(self.known.is_ranked)
            mean = 0.0
            if len(rows) and len(columns):
                mean = float(self.scores(name, rows, columns).max(axis=1).mean())
            self.scales[name] = float(f"{mean:.6g}") if mean > 0 else 1.0
        return self.scales[name]


def sample(keys: np.ndarray, chosen: BoolArray, most: int) -> IntArray:
    """Return at most ``most`` of the chosen rows, ascending: the same for the same keys."""
    rows = np.flatnonzero(chosen)
    if len(rows) <= most:
        return rows
    hashes = key_hash(pd.Series(keys[rows]))
    return np.sort(rows[np.lexsort((rows, hashes))[:most]])


def allowed_products(
    parts: Parts, rows: IntArray, columns: IntArray, *, repeats: bool
) -> BoolArray:
    """Return customers x products: whether it may be recommended."""
    known = parts.known
    allowed = np.tile(known.is_available[columns] & known.is_ranked[columns], (len(rows), 1))
    if not repeats:
        # without a half-life every product that was ever bought counts 1
        allowed &= parts.interest(None)[rows][:, columns].toarray() == 0
    return allowed


def ranked(
    parts: Parts, weights: dict[str, float], rows: IntArray, count: int, *, repeats: bool
) -> tuple[IntArray, FloatArray]:
    """Return (products, scores) of the best ``count`` by a weighted sum of parts."""
    columns = np.flatnonzero(parts.known.is_ranked)
    found = np.full((len(rows), count), NOBODY, dtype=np.int64)
    values = np.full((len(rows), count), np.nan)
    step = max(CELLS // max(len(columns), 1), 1)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        total = np.zeros((len(some), len(columns)))
        for name in sorted(weights):
            total += weights[name] / parts.scale(name) * parts.scores(name, some, columns)
        allowed = allowed_products(parts, some, columns, repeats=repeats)
        place, score = best(total, allowed, count)
        if len(columns):
            found[start : start + step] = np.where(place == NOBODY, NOBODY, columns[place])
        values[start : start + step] = score
    return found, values


def strongest_reasons(
    parts: Parts, weights: dict[str, float], rows: IntArray, found: IntArray
) -> IntArray:
    """Return the bought product that added most to each recommendation, else ``NOBODY``.

    Habit counts as the product itself; where nothing added anything, popularity decided.
    """
    reasons = np.full(found.size, NOBODY, dtype=np.int64)
    place = np.flatnonzero(found.ravel() != NOBODY)
    customer = np.repeat(rows, found.shape[1])[place]
    product = found.ravel()[place]
    for start in range(0, len(place), EXPLAINED_PAIRS):
        some = slice(start, start + EXPLAINED_PAIRS)
        added = _contributions(parts, weights, customer[some], product[some])
        best_of = np.asarray(added.argmax(axis=1)).ravel()
        value = np.asarray(added.max(axis=1).todense()).ravel()
        reasons[place[some]] = np.where(value > 0, best_of, NOBODY)
    return reasons.reshape(found.shape)


def _contributions(
    parts: Parts, weights: dict[str, float], customer: IntArray, product: IntArray
) -> sparse.csr_matrix:
    """Return pairs x products: what each bought product adds to the pair's score."""
    shape = (len(customer), parts.known.shape[1])
    total = sparse.csr_matrix(shape)
    for name in sorted(weights):
        factor = weights[name] / parts.scale(name)
        if name == HABIT:
            own = np.asarray(parts.habit()[customer, product]).ravel()
            total = total + sparse.csr_matrix(
                (factor * own, (np.arange(len(customer)), product)), shape=shape
            )
        elif name == ALS:
            total = total + factor * _als_contributions(parts, customer, product)
        elif name in parts.matrices:
            columns = sparse.csr_matrix(parts.matrices[name].T)[product]
            bought = parts.interest(HALF_LIVES[name])[customer]
            total = total + factor * columns.multiply(bought)
    total = sparse.csr_matrix(total)
    total.data = total.data.round(9)
    return total


def _als_contributions(parts: Parts, customer: IntArray, product: IntArray) -> sparse.csr_matrix:
    assert parts.factors is not None
    bought = parts.interest(None)
    gram = als.regularised_gram(parts.factors)
    row, column, data = [], [], []
    # pairs of one customer are adjacent
    starts = np.flatnonzero(np.r_[True, customer[1:] != customer[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(customer)], strict=True):
        held, added = als.contributions(
            bought, customer[start], parts.factors, product[start:end], gram
        )
        for pair in range(end - start):
            row.append(np.full(len(held), start + pair))
            column.append(held)
            data.append(added[:, pair])
    return sparse.csr_matrix(
        (np.concatenate(data), (np.concatenate(row), np.concatenate(column))),
        shape=(len(customer), parts.known.shape[1]),
    )
