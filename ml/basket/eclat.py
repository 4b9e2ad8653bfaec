"""Eclat on bit sets: the default miner, as it is the fastest of the three here.

Item by item, rarest first, the orders that hold it are projected onto the commoner items that
still reach ``min_count`` with it: a bit an order, so most projections are a few machine words wide.
Within a projection all sets of one size are intersected and counted at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ml.basket.baskets import Baskets, IntArray, Itemsets, make_itemsets

MAX_CELLS = 1 << 15
"""Cells that are projected at a time: as many as stay in a processor's cache."""
MAX_WORDS = 1 << 20
"""Machine words (8 MB) that one step intersects at a time."""

Bits = NDArray[np.uint64]


class TooManySetsError(ValueError):
    """More frequent sets than the caller allowed."""


def eclat(
    baskets: Baskets, min_count: int, *, max_length: int = 10, max_sets: int | None = None
) -> Itemsets:
    """Return all sets of at most ``max_length`` items that are in ``min_count`` orders or more.

    Raises:
        TooManySetsError: There are more than ``max_sets``.
    """
    counts = baskets.item_counts
    frequent = np.flatnonzero(counts >= max(min_count, 1))
    frequent = frequent[np.argsort(counts[frequent], kind="stable")]
    found: list[list[tuple[IntArray, IntArray]]] = [[] for _ in range(max_length)]
    if len(frequent) and max_length:
        found[0].append((frequent[:, None], counts[frequent]))
    if max_length > 1:
        budget = None if max_sets is None else max_sets - len(frequent)
        _mine(baskets, frequent, max(min_count, 1), found, budget)
    merged = [
        (np.concatenate([s for s, _ in parts]), np.concatenate([c for _, c in parts]))
        for parts in found
        if parts
    ]
    return make_itemsets(baskets, min_count, max_length, merged)


def _mine(
    baskets: Baskets,
    frequent: IntArray,
    min_count: int,
    found: list[list[tuple[IntArray, IntArray]]],
    budget: int | None,
) -> None:
    by_order = sparse.csr_matrix(baskets.matrix[:, frequent])
    by_order.sort_indices()
    by_order.data = np.arange(by_order.nnz)
    by_item = by_order.tocsc()
    later = by_order.indptr[by_item.indices + 1] - by_item.data - 1
    cells = np.add.reduceat(later, by_item.indptr[:-1]) + len(frequent)
    seat = np.empty(len(frequent), dtype=np.int64)
    total = 0
    for firsts in _batches(cells):
        first, order, item = _projections(by_order, by_item, firsts)
        place = (first - firsts.start) * len(frequent) + item
        together = np.bincount(place, minlength=len(firsts) * len(frequent))
        pairs = np.flatnonzero(together >= min_count)
        if not len(pairs):
            continue
        head, tails = np.divmod(pairs, len(frequent))
        head += firsts.start
        sets = np.column_stack([frequent[head], frequent[tails]])
        found[1].append((sets, together[pairs]))
        total += len(pairs)
        _check(total, budget)
        if len(found) == 2:
            continue
        heads, starts, sizes = np.unique(head, return_index=True, return_counts=True)
        begins, ends = np.searchsorted(first, heads), np.searchsorted(first, heads + 1)
        for one, start, size, begin, end in zip(heads, starts, sizes, begins, ends, strict=True):
            if size == 1:
                continue
            tail = tails[start : start + size]
            seat[:] = -1
            seat[tail] = np.arange(size)
            row = seat[item[begin:end]]
            kept = row >= 0
            orders = by_item.indptr[one + 1] - by_item.indptr[one]
            bits = _bit_sets(row[kept], order[begin:end][kept], size, orders)
            left = None if budget is None else budget - total
            total += _extend(frequent[tail], frequent[one], bits, min_count, found, left)


def _check(total: int, budget: int | None) -> None:
    if budget is not None and total > budget:
        raise TooManySetsError("more frequent sets than allowed")


def _batches(cells: IntArray) -> Iterator[range]:
    """Yield runs of items whose projections hold at most ``MAX_CELLS`` cells, or one item."""
    ends = np.cumsum(cells)
    begin = 0
    while begin < len(cells) - 1:
        before = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, before + MAX_CELLS, side="right")), begin + 1)
        yield range(begin, end)
        begin = end


def _projections(
    by_order: sparse.csr_matrix, by_item: sparse.csc_matrix, firsts: range
) -> tuple[IntArray, IntArray, IntArray]:
    """Return (first, which of its orders, item) of each item after the first in its orders.

    ``by_item`` holds the place of each item in ``by_order``.
    """
    edges = by_item.indptr[firsts.start : firsts.stop + 1]
    held = slice(edges[0], edges[-1])
    starts = by_item.data[held] + 1
    lengths = by_order.indptr[by_item.indices[held] + 1] - starts
    first = np.repeat(np.arange(firsts.start, firsts.stop), np.diff(edges))
    order = np.arange(len(first)) - np.repeat(edges[:-1] - edges[0], np.diff(edges))
    before = np.cumsum(lengths) - lengths
    item = by_order.indices[np.arange(lengths.sum()) + np.repeat(starts - before, lengths)]
    return np.repeat(first, lengths), np.repeat(order, lengths), item


def _bit_sets(row: IntArray, column: IntArray, rows: int, columns: int) -> Bits:
    """Return one row of bits for each item: a bit an order, in 64-bit words."""
    words = -(-columns // 64)
    dense = np.zeros((rows, words * 64), dtype=bool)
    dense[row, column] = True
    return np.packbits(dense, axis=1).view(np.uint64)


def _extend(
    tail: IntArray,
    first: int,
    bits: Bits,
    min_count: int,
    found: list[list[tuple[IntArray, IntArray]]],
    budget: int | None,
) -> int:
    """Append all frequent sets of ``first`` and two or more of ``tail``; return how many."""
    sets = tail[:, None]
    last = np.arange(len(tail))
    group = np.zeros(len(tail), dtype=np.int64)
    total = 0
    for size in range(3, len(found) + 1):
        left, right = _pairs(group)
        step = max(MAX_WORDS // bits.shape[1], 1)
        kept_left, kept_right, kept_bits, kept_counts = [], [], [], []
        for start in range(0, len(left), step):
            one, other = left[start : start + step], right[start : start + step]
            common = bits[one] & bits[other]
            counts = np.bitwise_count(common).sum(axis=1, dtype=np.int64)
            passed = np.flatnonzero(counts >= min_count)
            kept_left.append(one[passed])
            kept_right.append(other[passed])
            kept_bits.append(common[passed])
            kept_counts.append(counts[passed])
            total += len(passed)
            _check(total, budget)
        if not any(map(len, kept_left)):
            break
        group, right = np.concatenate(kept_left), np.concatenate(kept_right)
        bits = np.concatenate(kept_bits)
        last = last[right]
        sets = np.column_stack([sets[group], tail[last]])
        whole = np.column_stack([np.full(len(sets), first), sets])
        found[size - 1].append((whole, np.concatenate(kept_counts)))
        if len(group) < 2:
            break
    return total


def _pairs(group: IntArray) -> tuple[IntArray, IntArray]:
    """Return all pairs (left before right) of rows with one group; groups are contiguous."""
    edges = np.concatenate([[0], 1 + np.flatnonzero(group[1:] != group[:-1]), [len(group)]])
    edges, sizes = edges[:-1], np.diff(edges)
    end = np.repeat(edges + sizes, sizes)
    following = end - np.arange(len(group)) - 1
    left = np.repeat(np.arange(len(group)), following)
    offset = np.arange(following.sum()) - np.repeat(np.cumsum(following) - following, following)
    return left, left + 1 + offset
