"""Orders as sets of items, and sets of items with their counts: what all miners share.

Belongs here: the two shapes, and how a set's count is looked up. Does not: how frequent sets are
found (``eclat.py``, ``miners.py``) or what follows from them (``rules.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Baskets:
    """Which items are in which orders; an item counts once an order.

    Attributes:
        items: Keys, sorted; an item's number is its place here.
        matrix: Orders x items, CSR with sorted indices; what is stored is 1.
    """

    items: NDArray[np.object_]
    matrix: sparse.csr_matrix

    @property
    def order_count(self) -> int:
        """Orders, each with at least one item."""
        return int(self.matrix.shape[0])

    @property
    def item_counts(self) -> IntArray:
        """In how many orders each item is."""
        return np.bincount(self.matrix.indices, minlength=len(self.items)).astype(np.int64)


def make_baskets(
    lines: pd.DataFrame, *, order: str = "order_key", item: str = "product_key"
) -> Baskets:
    """Return the orders of ``lines`` (one row an order line); neither column may be null.

    Raises:
        ValueError: A column is missing, or holds nulls.
    """
    for name in (order, item):
        if name not in lines.columns:
            raise ValueError(f"order lines need the column {name!r}")
        if lines[name].isna().any():
            raise ValueError(f"order lines with a null {name!r}: drop them first")
    item_numbers, items = pd.factorize(lines[item], sort=True)
    order_numbers, orders = pd.factorize(lines[order], sort=True)
    matrix = sparse.csr_matrix(
        (np.ones(len(lines), dtype=np.int32), (order_numbers, item_numbers)),
        shape=(len(orders), len(items)),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    matrix.sort_indices()
    return Baskets(np.asarray(items, dtype=object), matrix)


def min_count(support: float, order_count: int) -> int:
    """Return the smallest count whose share of ``order_count`` is at least ``support``."""
    if not 0 <= support <= 1:
        raise ValueError(f"support is {support}; it is a share of the orders, 0 to 1")
    count = max(math.floor(support * order_count) - 1, 1)
    while order_count and count / order_count < support:
        count += 1
    return count


@dataclass(frozen=True)
class Level:
    """All frequent sets of one size.

    Attributes:
        sets: Item numbers, shape (sets, size): ascending in a row, rows in lexical order.
        counts: Orders that hold the whole set.
        codes: Place of the set without its last item among the smaller sets, times the number of
            items, plus the last item: ascending, so that a set is found by bisection.
    """

    sets: IntArray
    counts: IntArray
    codes: IntArray


@dataclass(frozen=True)
class Itemsets:
    """Every set of items that is in at least ``min_count`` orders, by size.

    Attributes:
        items: Keys of all items, sorted.
        order_count: Orders that were searched.
        min_count: Orders that a set must be in.
        max_length: Largest size that was searched.
        levels: Sets of one item, of two, and so on, as far as there are any.
    """

    items: NDArray[np.object_]
    order_count: int
    min_count: int
    max_length: int
    levels: tuple[Level, ...]

    @property
    def frequent_item_count(self) -> int:
        """Items that are in at least ``min_count`` orders."""
        return len(self.levels[0].counts) if self.levels else 0

    def __len__(self) -> int:
        """Sets of all sizes."""
        return sum(len(level.counts) for level in self.levels)

    def counts(self, sets: IntArray) -> IntArray:
        """Return the counts of frequent sets, rows ascending; of the empty set, all orders."""
        size = sets.shape[1]
        if size == 0:
            return np.full(len(sets), self.order_count, dtype=np.int64)
        place = np.zeros(len(sets), dtype=np.int64)
        for column in range(size):
            code = sets[:, column] + (place * len(self.items) if column else 0)
            place = np.searchsorted(self.levels[column].codes, code)
        return self.levels[size - 1].counts[place]

    def as_dict(self) -> dict[frozenset[str], int]:
        """Return each set's keys with its count; for comparisons, not for speed."""
        return {
            frozenset(self.items[row]): int(count)
            for level in self.levels
            for row, count in zip(level.sets, level.counts, strict=True)
        }


def make_itemsets(
    baskets: Baskets,
    min_count: int,
    max_length: int,
    found: Sequence[tuple[IntArray, IntArray]],
) -> Itemsets:
    """Return itemsets in their one order, whatever the order they were found in.

    Args:
        baskets: What was searched.
        min_count: As searched.
        max_length: As searched.
        found: (sets, counts) by size, from one item on; all subsets of a set are among them.
    """
    levels: list[Level] = []
    for sets, counts in found:
        if not len(counts):
            break
        ordered = np.sort(sets.astype(np.int64), axis=1)
        by_row = np.lexsort(ordered.T[::-1])
        ordered = ordered[by_row]
        place = np.zeros(len(ordered), dtype=np.int64)
        for column, level in enumerate(levels):
            code = ordered[:, column] + (place * len(baskets.items) if column else 0)
            place = np.searchsorted(level.codes, code)
        codes = ordered[:, -1] + (place * len(baskets.items) if levels else 0)
        levels.append(Level(ordered, counts.astype(np.int64)[by_row], codes))
    return Itemsets(baskets.items, baskets.order_count, min_count, max_length, tuple(levels))
