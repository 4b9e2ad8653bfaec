"""What was bought, sold and counted, and what of it was known at a cut-off.

Belongs here: keys to numbers, and the one place where time is cut. Does not: any model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Keys = NDArray[np.object_]

REQUIRED = {
    "purchases": ("customer_key", "product_key", "ordered_on"),
    "sales": ("product_key", "ordered_on", "order_count"),
    "inventory": ("product_key", "counted_on", "on_hand_quantity"),
    "products": ("product_key", "product_name", "category", "subcategory"),
}
"""Frames and the columns they must have.

* ``purchases``: customer x product x day, merchandise of known customers.
* ``sales``: product x day, merchandise of everybody.
* ``inventory``: counts of stock; may be empty.
* ``products``: merchandise; names and categories may be null.
"""
MAX_PRODUCTS = 10_000
"""Products that are ranked: the most bought, after all that were never sold yet. A product beyond
them is not offered; what a customer buys of it counts as missed."""
NEW_PRODUCTS = 1_000
"""Of these at most so many were never sold."""


def days(values: pd.Series) -> IntArray:
    """Return days since 1970."""
    return pd.to_datetime(values).to_numpy().astype("datetime64[D]").astype(np.int64)


def day_number(day: date) -> int:
    """Return one day as days since 1970."""
    return int(np.datetime64(day, "D").astype(np.int64))


def is_known(days: IntArray, cut_off: int) -> BoolArray:
    """Whether something that happened on these days was known at the end of ``cut_off``."""
    return days <= cut_off


@dataclass(frozen=True)
class History:
    """The frames as arrays: customers and products are numbered in the order of their keys.

    Attributes:
        customers: Keys, sorted.
        products: Keys of merchandise, sorted.
        texts: Name, category and subcategory of each product, in lower case.
        names: Name of each product, else its key's own part.
        customer, product, day: One entry a customer, product and day.
        sold_product, sold_day: One entry a product and day of sale, to anybody.
        counted_product, counted_day, on_hand: One entry a count of stock, by product and day.
    """

    customers: Keys
    products: Keys
    texts: list[str]
    names: list[str]
    customer: IntArray
    product: IntArray
    day: IntArray
    sold_product: IntArray
    sold_day: IntArray
    counted_product: IntArray
    counted_day: IntArray
    on_hand: FloatArray

    @property
    def first_day(self) -> int:
        """Day of the first purchase."""
        return int(self.day.min())

    @property
    def last_day(self) -> int:
        """Day of the last purchase."""
        return int(self.day.max())


def make_history(
    purchases: pd.DataFrame,
    sales: pd.DataFrame,
    inventory: pd.DataFrame,
    products: pd.DataFrame,
    *,
    customers: pd.Series | None = None,
) -> History:
    """Return the frames as arrays; rows of products that are not in ``products`` are left out.

    Args:
        purchases: See ``REQUIRED``.
        sales: Likewise.
        inventory: Likewise.
        products: Likewise; keys must be unique.
        customers: Further customers, who may have bought nothing that is merchandise.

    Raises:
        ValueError: Columns are missing, a key is null or a product is there twice.
    """
    given = {"purchases": purchases, "sales": sales, "inventory": inventory, "products": products}
    for name, frame in given.items():
        missing = [column for column in REQUIRED[name] if column not in frame.columns]
        if missing:
            raise ValueError(f"{name} need the columns {missing}")
        nulls = [c for c in frame.columns if c.endswith("_key") and frame[c].isna().any()]
        if nulls:
            raise ValueError(f"{name} have nulls in {nulls}: drop those rows first")
    ordered = products.sort_values("product_key", ignore_index=True)
    if ordered["product_key"].duplicated().any():
        raise ValueError("products hold a product_key twice")
    keys = pd.Index(ordered["product_key"].astype(object))
    known = [purchases["customer_key"], *([] if customers is None else [customers])]
    people = pd.Index(np.unique(np.concatenate([f.unique().astype(object) for f in known])))
    customer, product, day = _distinct(
        _places(purchases["customer_key"], people),
        _places(purchases["product_key"], keys),
        days(purchases["ordered_on"]),
    )
    counted = inventory[inventory["on_hand_quantity"].notna()]
    counted = counted.sort_values(["product_key", "counted_on", "on_hand_quantity"])
    counted_product = _places(counted["product_key"], keys)
    sold_product = _places(sales["product_key"], keys)
    is_counted, is_sold = counted_product >= 0, sold_product >= 0
    return History(
        customers=people.to_numpy(),
        products=keys.to_numpy(),
        texts=_texts(ordered),
        names=_names(ordered),
        customer=customer,
        product=product,
        day=day,
        sold_product=sold_product[is_sold],
        sold_day=days(sales["ordered_on"])[is_sold],
        counted_product=counted_product[is_counted],
        counted_day=days(counted["counted_on"])[is_counted],
        on_hand=counted["on_hand_quantity"].astype(float).to_numpy()[is_counted],
    )


def _places(values: pd.Series, keys: pd.Index) -> IntArray:
    """Return where each value stands in ``keys``, -1 where it does not.

    Each distinct text becomes an object once: of millions of rows they would fill gigabytes.
    """
    codes, distinct = pd.factorize(values)
    return keys.get_indexer(pd.Index(distinct.astype(object)))[codes]


def _distinct(
    customer: IntArray, product: IntArray, day: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the entries in their order, each once, without those of unknown products."""
    order = np.lexsort((day, product, customer))
    order = order[product[order] >= 0]
    entries = customer[order], product[order], day[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.any([values[1:] != values[:-1] for values in entries], axis=0)
    return entries[0][first], entries[1][first], entries[2][first]


def _texts(products: pd.DataFrame) -> list[str]:
    """Return the words that describe each product; a category is one word of its own."""
    texts = []
    for name, category, subcategory in zip(
        products["product_name"], products["category"], products["subcategory"], strict=True
    ):
        words = [str(name).lower()] if isinstance(name, str) else []
        for kind, value in (("category", category), ("subcategory", subcategory)):
            if isinstance(value, str) and value:
                words.append(f"{kind}_{''.join(c for c in value.lower() if c.isalnum())}")
        texts.append(" ".join(words))
    return texts


def _names(products: pd.DataFrame) -> list[str]:
    pairs = zip(products["product_key"], products["product_name"], strict=True)
    return [
        name if isinstance(name, str) and name else str(key).partition(":")[2] or str(key)
        for key, name in pairs
    ]


@dataclass(frozen=True)
class Snapshot:
    """What was known at the end of a day.

    Attributes:
        history: Whose numbers are used.
        cut_off: Days since 1970.
        customer, product, age: One entry a customer, product and day until then; age in days.
        is_available: Whether a product can be offered: the last count of stock says so; where
            none is known, it was sold within ``unsold_days``.
        customer_counts: Customers who bought each product.
        is_ranked: The products that a ranking holds at most (``MAX_PRODUCTS``).
        is_learned: These, and the most bought of the others: what is learned from.
    """

    history: History
    cut_off: int
    customer: IntArray
    product: IntArray
    age: IntArray
    is_available: BoolArray
    customer_counts: IntArray
    is_ranked: BoolArray
    is_learned: BoolArray

    @property
    def shape(self) -> tuple[int, int]:
        """Customers and products."""
        return len(self.history.customers), len(self.history.products)

    def bought(self) -> sparse.csr_matrix:
        """Return customers x products: 1 where it was ever bought."""
        matrix = self.habit(None)
        matrix.data[:] = 1.0
        return matrix

    def interest(self, half_life_days: float | None) -> sparse.csr_matrix:
        """Return customers x products: 1 on the day of the customer's last purchase.

        A half-life before that day it is half. So who was long away is still known by the past.
        """
        last = is_last(self.customer, self.product)
        return self._matrix(self.customer[last], self.product[last], self.age[last], half_life_days)

    def customers_of(self, window_days: int) -> IntArray:
        """Return the customers who bought each product within so many days, by product."""
        lately = self.age < window_days
        return buyers(self.customer[lately], self.product[lately], self.shape[1])

    def habit(self, half_life_days: float | None) -> sparse.csr_matrix:
        """Return customers x products: days on which it was bought, older ones worth less."""
        return self._matrix(self.customer, self.product, self.age, half_life_days)

    def _matrix(
        self, customer: IntArray, product: IntArray, age: IntArray, half_life: float | None
    ) -> sparse.csr_matrix:
        latest = np.full(self.shape[0], np.iinfo(np.int64).max)
        np.minimum.at(latest, customer, age)
        older = age - latest[customer]
        worth = np.ones(len(age)) if half_life is None else np.exp2(-older / half_life)
        matrix = sparse.csr_matrix((worth, (customer, product)), shape=self.shape)
        matrix.sum_duplicates()
        matrix.sort_indices()
        return matrix


def is_last(customer: IntArray, product: IntArray) -> BoolArray:
    """Return which entry is the last of its customer and product: entries lie in that order."""
    last = np.ones(len(customer), dtype=bool)
    last[:-1] = (customer[1:] != customer[:-1]) | (product[1:] != product[:-1])
    return last


def buyers(customer: IntArray, product: IntArray, count: int) -> IntArray:
    """Return how many customers bought each of ``count`` products, of entries in their order."""
    return np.bincount(product[is_last(customer, product)], minlength=count)


def snapshot(history: History, cut_off: int, *, unsold_days: int) -> Snapshot:
    """Return what was known at the end of ``cut_off``; nothing later enters."""
    known = is_known(history.day, cut_off)
    customer, product = history.customer[known], history.product[known]
    count = len(history.products)
    counts = buyers(customer, product, count)
    sold_known = is_known(history.sold_day, cut_off)
    last_sold = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(last_sold, history.sold_product[sold_known], history.sold_day[sold_known])
    available = last_sold > cut_off - unsold_days
    counted = is_known(history.counted_day, cut_off)
    # ordered by product and day, so the last count stays
    stock = np.full(count, np.nan)
    stock[history.counted_product[counted]] = history.on_hand[counted]
    available = np.where(np.isnan(stock), available, stock > 0)
    ranked = _ranked(counts, available)
    return Snapshot(
        history=history,
        cut_off=cut_off,
        customer=customer,
        product=product,
        age=cut_off - history.day[known],
        is_available=available,
        customer_counts=counts,
        is_ranked=ranked,
        is_learned=ranked
        | (
            (counts > 0)
            & (np.argsort(np.argsort(-counts, kind="stable"), kind="stable") < MAX_PRODUCTS)
        ),
    )


def _ranked(counts: IntArray, available: BoolArray) -> BoolArray:
    """Return the most bought of the available products, and some that nobody bought yet."""
    order = np.lexsort((np.arange(len(counts)), -counts))
    order = order[available[order]]
    fresh = order[counts[order] == 0][:NEW_PRODUCTS]
    sold = order[counts[order] > 0][: MAX_PRODUCTS - len(fresh)]
    ranked = np.zeros(len(counts), dtype=bool)
    ranked[np.concatenate([sold, fresh])] = True
    return ranked


def bought_between(history: History, after: int, until: int) -> sparse.csr_matrix:
    """Return customers x products: 1 where bought after ``after`` and by ``until``."""
    chosen = (history.day > after) & (history.day <= until)
    shape = len(history.customers), len(history.products)
    cells = (history.customer[chosen], history.product[chosen])
    matrix = sparse.csr_matrix((np.ones(int(chosen.sum())), cells), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    matrix.sort_indices()
    return matrix


def repeat_share(snapshot: Snapshot) -> float:
    """Return the share of purchases (customer, product, day) that were not the first of it."""
    entries = len(snapshot.customer)
    if not entries:
        return 0.0
    return 1 - int(is_last(snapshot.customer, snapshot.product).sum()) / entries
