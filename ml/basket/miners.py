"""Apriori and FP-growth: two other ways to the same sets, written plainly; Eclat is faster."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from ml.basket.baskets import Baskets, IntArray, Itemsets, make_itemsets

Set = tuple[int, ...]


def apriori(baskets: Baskets, min_count: int, *, max_length: int = 10) -> Itemsets:
    """Level by level: join sets that differ in their last item, drop those with a rare subset."""
    transposed = baskets.matrix.tocsc()
    holders = {
        item: frozenset(
            transposed.indices[transposed.indptr[item] : transposed.indptr[item + 1]].tolist()
        )
        for item in range(len(baskets.items))
    }
    least = max(min_count, 1)
    level: dict[Set, int] = {
        (item,): len(orders) for item, orders in holders.items() if len(orders) >= least
    }
    levels: list[dict[Set, int]] = []
    while level and len(levels) < max_length:
        levels.append(level)
        level = {}
        for candidate in _joined(levels[-1]):
            orders = frozenset.intersection(*(holders[item] for item in candidate))
            if len(orders) >= least:
                level[candidate] = len(orders)
    return make_itemsets(baskets, min_count, max_length, [_arrays(level) for level in levels])


def _joined(level: dict[Set, int]) -> Iterable[Set]:
    by_prefix: dict[Set, list[int]] = defaultdict(list)
    for items in sorted(level):
        by_prefix[items[:-1]].append(items[-1])
    for prefix, lasts in by_prefix.items():
        for one, other in combinations(lasts, 2):
            candidate = (*prefix, one, other)
            if all(subset in level for subset in combinations(candidate, len(candidate) - 1)):
                yield candidate


def _arrays(level: dict[Set, int]) -> tuple[IntArray, IntArray]:
    return np.array(list(level), dtype=np.int64), np.array(list(level.values()), dtype=np.int64)


@dataclass
class _Node:
    item: int
    parent: _Node | None
    count: int = 0
    children: dict[int, _Node] = field(default_factory=dict)


def fp_growth(baskets: Baskets, min_count: int, *, max_length: int = 10) -> Itemsets:
    """Grow sets from their last item backwards, in prefix trees of what precedes it."""
    rows = np.split(baskets.matrix.indices, baskets.matrix.indptr[1:-1])
    found: dict[int, dict[Set, int]] = defaultdict(dict)
    least = max(min_count, 1)
    if baskets.order_count and max_length:
        _grow([(row.tolist(), 1) for row in rows], (), least, max_length, found)
    levels = [_arrays(found[size]) for size in sorted(found)]
    return make_itemsets(baskets, min_count, max_length, levels)


def _grow(
    paths: list[tuple[list[int], int]],
    suffix: Set,
    min_count: int,
    max_length: int,
    found: dict[int, dict[Set, int]],
) -> None:
    totals: Counter[int] = Counter()
    for items, count in paths:
        for item in items:
            totals[item] += count
    rank = {
        item: place
        for place, item in enumerate(sorted(totals, key=lambda item: (-totals[item], item)))
        if totals[item] >= min_count
    }
    nodes = _tree(paths, rank)
    for item in sorted(rank, key=lambda item: -rank[item]):
        grown = tuple(sorted((*suffix, item)))
        found[len(grown)][grown] = totals[item]
        if len(grown) < max_length:
            before = [(_ancestors(node), node.count) for node in nodes[item]]
            _grow([path for path in before if path[0]], grown, min_count, max_length, found)


def _tree(paths: list[tuple[list[int], int]], rank: dict[int, int]) -> dict[int, list[_Node]]:
    root = _Node(-1, None)
    nodes: dict[int, list[_Node]] = defaultdict(list)
    for items, count in paths:
        node = root
        for item in sorted((i for i in items if i in rank), key=rank.__getitem__):
            child = node.children.get(item)
            if child is None:
                child = node.children[item] = _Node(item, node)
                nodes[item].append(child)
            child.count += count
            node = child
    return nodes


def _ancestors(node: _Node) -> list[int]:
    items = []
    parent = node.parent
    while parent is not None and parent.parent is not None:
        items.append(parent.item)
        parent = parent.parent
    return items
