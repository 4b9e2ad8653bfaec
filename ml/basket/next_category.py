"""Which category a customer buys next: a chain of categories, own habits and popularity, mixed.

Belongs here: the estimator that is registered. Does not: how its mixture is chosen and examined
(``next_category_training.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ml.basket.baskets import IntArray

FloatArray = NDArray[np.float64]

SKOPS_TRUSTED_TYPES = ["ml.basket.next_category.NextCategory"]
"""What skops must trust to load the model; everything inside it is numpy and plain Python."""

REQUIRED = ("customer_key", "ordered_on", "category", "category_amount")
PRIOR_DAYS = 2.0
"""Purchase days that popularity is worth beside a customer's own, and beside a transition's."""
POPULARITY_HALF_LIFE_DAYS = 90.0
DIGITS = 6


@dataclass(frozen=True)
class Purchases:
    """One entry a customer and purchase day, by customer and day: the category of most money.

    Attributes:
        customers: Keys, sorted.
        customer, day: Number of the customer, days since 1970.
        category: Name of the main category.
    """

    customers: NDArray[np.object_]
    customer: IntArray
    day: IntArray
    category: NDArray[np.object_]

    def until(self, cut_off: int) -> Purchases:
        """Return what was known at the end of ``cut_off``, with the same customers."""
        return self._where(is_known(self.day, cut_off))

    def _where(self, chosen: NDArray[np.bool_]) -> Purchases:
        return Purchases(
            self.customers, self.customer[chosen], self.day[chosen], self.category[chosen]
        )


def is_known(days: IntArray, cut_off: int) -> NDArray[np.bool_]:
    """Whether something that happened on these days was known at the end of ``cut_off``."""
    return days <= cut_off


def main_categories(days: pd.DataFrame) -> Purchases:
    """Return the category of most money of each purchase day; of equal ones the first by name.

    Args:
        days: Customer x day x category (``REQUIRED``); nulls in none of them.

    Raises:
        ValueError: A column is missing or holds nulls.
    """
    missing = [name for name in REQUIRED if name not in days.columns]
    if missing:
        raise ValueError(f"purchase days need the columns {missing}")
    nulls = [name for name in REQUIRED if days[name].isna().any()]
    if nulls:
        raise ValueError(f"purchase days have nulls in {nulls}: drop those rows first")
    day = pd.to_datetime(days["ordered_on"]).to_numpy().astype("datetime64[D]").astype(np.int64)
    amount = days["category_amount"].to_numpy(dtype=float)
    # numbers sort many times faster than the texts that they stand for
    customer, customers = pd.factorize(days["customer_key"], sort=True)
    category, names = pd.factorize(days["category"], sort=True)
    order = np.lexsort((category, -amount, day, customer))
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (np.diff(customer[order]) != 0) | (np.diff(day[order]) != 0)
    chosen = order[is_first]
    return Purchases(
        np.asarray(customers, dtype=object),
        customer[chosen].astype(np.int64),
        day[chosen],
        np.asarray(names, dtype=object)[category[chosen]],
    )


class NextCategory(BaseEstimator):
    """A mixture of three distributions over categories.

    ``own``: the customer's purchase days, old ones worth less; ``chain``: what followed, at all
    customers, on the category that the customer bought last (a Markov chain of first order);
    ``popularity``: what everybody bought lately, which also smooths the other two. The weights of
    own and chain are arguments, popularity has the rest.

    Args:
        own_weight: 0 to 1.
        chain_weight: 0 to 1, together with ``own_weight`` at most 1.
        half_life_days: Days after which an own purchase counts for half.

    Attributes:
        categories_: Names, sorted.
        popularity_: Share of each, sums to 1.
        transitions_: Purchases of the column's category right after the row's, counts.
        fitted_until_: Last day that was known, days since 1970.
        evaluated_: The same mixture fitted on the past only, whose figures were reported.
    """

    def __init__(
        self,
        own_weight: float = 0.4,
        chain_weight: float = 0.3,
        *,
        half_life_days: float = 180.0,
    ) -> None:
        """Keep the settings, as scikit-learn's ``clone`` requires."""
        self.own_weight = own_weight
        self.chain_weight = chain_weight
        self.half_life_days = half_life_days

    def fit(self, X: Purchases, y: None = None, *, cut_off: int) -> Self:
        """Count what was known at the end of ``cut_off``; at least one purchase must be."""
        known = X.until(cut_off)
        if not len(known.day):
            raise ValueError("no purchase is known: there is nothing to learn from")
        names = np.unique(known.category.astype(str))
        self.categories_ = [str(name) for name in names]
        number = np.searchsorted(names, known.category.astype(str))
        worth = np.exp2((known.day - cut_off) / POPULARITY_HALF_LIFE_DAYS)
        # half a purchase for each category, so that none is impossible
        counts = np.bincount(number, weights=worth, minlength=len(names)) + 0.5
        self.popularity_ = counts / counts.sum()
        follows = known.customer[1:] == known.customer[:-1]
        pairs = number[:-1][follows] * len(names) + number[1:][follows]
        cells = np.bincount(pairs, minlength=len(names) ** 2)
        self.transitions_ = cells.reshape(len(names), len(names)).astype(float)
        self.fitted_until_ = int(cut_off)
        self.evaluated_: NextCategory | None = None
        return self

    def parts(self, X: Purchases, cut_off: int) -> tuple[FloatArray, FloatArray]:
        """Return (own, chain): customers x categories each, rows as in ``X.customers``."""
        check_is_fitted(self, "popularity_")
        known = X.until(cut_off)
        names = np.array(self.categories_)
        place = np.minimum(np.searchsorted(names, known.category.astype(str)), len(names) - 1)
        kept = names[place] == known.category.astype(str)
        customer, number, day = known.customer[kept], place[kept], known.day[kept]
        shape = len(X.customers), len(names)
        own = np.zeros(shape)
        np.add.at(own, (customer, number), np.exp2((day - cut_off) / self.half_life_days))
        prior = PRIOR_DAYS * self.popularity_
        own = (own + prior) / (own.sum(axis=1, keepdims=True) + PRIOR_DAYS)
        rows = (self.transitions_ + prior) / (
            self.transitions_.sum(axis=1, keepdims=True) + PRIOR_DAYS
        )
        chain = np.tile(self.popularity_, (shape[0], 1))
        last = np.ones(len(customer), dtype=bool)
        last[:-1] = customer[1:] != customer[:-1]
        chain[customer[last]] = rows[number[last]]
        return own, chain

    def predict_proba(self, X: Purchases, cut_off: int) -> FloatArray:
        """Return customers x categories: the distribution of each customer's next purchase."""
        own, chain = self.parts(X, cut_off)
        rest = 1 - self.own_weight - self.chain_weight
        return self.own_weight * own + self.chain_weight * chain + rest * self.popularity_

    def predict(self, X: Purchases, cut_off: int) -> pd.DataFrame:
        """Return the likeliest and the second category of each customer, by key.

        Of equally likely ones the first by name; without a second category it is null.
        """
        shares = self.predict_proba(X, cut_off).round(DIGITS)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :2]
        values = np.take_along_axis(shares, order, axis=1)
        names = np.array(self.categories_, dtype=object)
        frame = pd.DataFrame(
            {
                "customer_key": X.customers,
                "next_category": names[order[:, 0]],
                "next_category_probability": values[:, 0],
                "second_category": None,
                "second_category_probability": np.nan,
            }
        )
        if len(names) > 1:
            frame["second_category"] = names[order[:, 1]]
            frame["second_category_probability"] = values[:, 1]
        return frame
