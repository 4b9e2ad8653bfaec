"""Association rules from frequent sets: their figures, their evidence, which are redundant.

Both ways of counting are here. ``consequents="one"``: rules with one item on the right, as R's
arules makes them. ``"all"``: every way to split a set in two, as mlxtend does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.basket.baskets import IntArray, Itemsets
from ml.basket.fisher import fisher_greater

Consequents = Literal["one", "all"]
FloatArray = NDArray[np.float64]

FIGURES = (
    *("antecedent_count", "consequent_count", "rule_count"),
    *("support", "confidence", "lift", "leverage", "conviction"),
    *("p_value", "adjusted_p_value", "improvement", "is_redundant"),
)
RULE_COLUMNS = ("antecedent", "consequent", *FIGURES)


def association_rules(
    itemsets: Itemsets, *, min_confidence: float, consequents: Consequents = "one"
) -> pd.DataFrame:
    """Return every rule "who buys the antecedent also buys the consequent".

    Args:
        itemsets: Frequent sets, with all their subsets.
        min_confidence: Share of the antecedent's orders that must hold the consequent too.
        consequents: ``"one"`` item on the right, or ``"all"`` splits of each set.

    Returns:
        One row a rule, the highest lift first. ``antecedent`` and ``consequent``: tuples of keys.
        Of ``order_count`` n: ``antecedent_count``, ``consequent_count``, ``rule_count`` (orders
        with both); ``support`` = rule_count / n; ``confidence`` = rule_count / antecedent_count;
        ``lift`` = confidence / share of the consequent; ``leverage`` = support minus what
        independence would give; ``conviction`` = (1 - share of the consequent) / (1 - confidence),
        infinite where confidence is 1. ``p_value``: Fisher's exact test, one-sided (as many orders
        together or more, were both sides independent). ``adjusted_p_value``: times all rules of
        that size that could be formed from the frequent items, times the number of sizes searched
        (layered Bonferroni, Webb 2008): it holds however the rules were selected and however they
        depend on each other. ``improvement``: confidence minus the best confidence of a rule with
        the same consequent and a part of the antecedent (or none); ``is_redundant`` where that
        is not above zero.

    Raises:
        ValueError: ``min_confidence`` is no share.
    """
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence is {min_confidence}; it is a share, 0 to 1")
    parts = [
        part
        for size in range(2, len(itemsets.levels) + 1)
        for part in _splits(itemsets, size, min_confidence, consequents)
    ]
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=_dtype(name)) for name in RULE_COLUMNS})
    rules = _figures(itemsets, parts, consequents)
    order = np.lexsort(
        (
            pd.factorize(rules["consequent"], sort=True)[0],
            pd.factorize(rules["antecedent"], sort=True)[0],
            -rules["rule_count"],
            -rules["lift"].round(12),
        )
    )
    return rules.iloc[order].reset_index(drop=True)


def _dtype(name: str) -> str:
    if name in ("antecedent", "consequent"):
        return "object"
    if name == "is_redundant":
        return "bool"
    return "int64" if name.endswith("_count") else "float64"


def _splits(
    itemsets: Itemsets, size: int, min_confidence: float, consequents: Consequents
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the antecedents and consequents of each way to split sets of a size."""
    level = itemsets.levels[size - 1]
    largest = 1 if consequents == "one" else size - 1
    for right_size in range(1, largest + 1):
        for right in combinations(range(size), right_size):
            left = [column for column in range(size) if column not in right]
            antecedents = itemsets.counts(level.sets[:, left])
            passed = np.flatnonzero(level.counts / antecedents >= min_confidence)
            if len(passed):
                rows = level.sets[passed]
                yield rows[:, left], rows[:, list(right)]


def _figures(
    itemsets: Itemsets, parts: Sequence[tuple[IntArray, IntArray]], consequents: Consequents
) -> pd.DataFrame:
    """Return the rules of all parts: counts part by part, what follows from them at once."""
    orders = itemsets.order_count
    antecedent = np.concatenate([itemsets.counts(left) for left, _ in parts])
    consequent = np.concatenate([itemsets.counts(right) for _, right in parts])
    both = np.concatenate([_joint(itemsets, left, right) for left, right in parts])
    simpler = np.concatenate([_best_simpler(itemsets, left, right) for left, right in parts])
    searched = max(min(itemsets.max_length, itemsets.frequent_item_count) - 1, 1)
    compared = [
        float(
            searched
            * possible_rules(
                itemsets.frequent_item_count, left.shape[1] + right.shape[1], consequents
            )
        )
        for left, right in parts
    ]
    confidence = both / antecedent
    share = consequent / orders
    with np.errstate(divide="ignore", invalid="ignore"):
        conviction = np.where(confidence < 1, (1 - share) / (1 - confidence), np.inf)
    p_value = fisher_greater(orders, antecedent, consequent, both)
    adjusted = p_value * np.repeat(compared, [len(left) for left, _ in parts])
    return pd.DataFrame(
        {
            "antecedent": [key for left, _ in parts for key in _keys(itemsets, left)],
            "consequent": [key for _, right in parts for key in _keys(itemsets, right)],
            "antecedent_count": antecedent,
            "consequent_count": consequent,
            "rule_count": both,
            "support": both / orders,
            "confidence": confidence,
            "lift": both * orders / (antecedent * consequent),
            "leverage": both / orders - antecedent / orders * share,
            "conviction": conviction,
            "p_value": p_value,
            "adjusted_p_value": np.minimum(adjusted, 1.0),
            "improvement": confidence - simpler,
            "is_redundant": confidence - simpler <= 0,
        }
    )


def possible_rules(item_count: int, size: int, consequents: Consequents) -> int:
    """Return how many rules of ``size`` items could be formed from ``item_count`` items."""
    splits = size if consequents == "one" else 2**size - 2
    return math.comb(item_count, size) * splits


def _keys(itemsets: Itemsets, sets: IntArray) -> list[tuple[str, ...]]:
    return [tuple(row) for row in itemsets.items[sets]]


def _joint(itemsets: Itemsets, left: IntArray, right: IntArray) -> IntArray:
    return itemsets.counts(np.sort(np.column_stack([left, right]), axis=1))


def _best_simpler(itemsets: Itemsets, left: IntArray, right: IntArray) -> FloatArray:
    """Return the best confidence of the same consequent on a proper part of the antecedent."""
    best = itemsets.counts(right) / itemsets.order_count
    size = left.shape[1]
    for part_size in range(1, size):
        for part in combinations(range(size), part_size):
            some = left[:, list(part)]
            best = np.maximum(best, _joint(itemsets, some, right) / itemsets.counts(some))
    return best
