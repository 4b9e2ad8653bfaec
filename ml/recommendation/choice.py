"""Which parts, with which weights: chosen by nDCG on a period before the one that is reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from ml.recommendation.model import (
    ALS,
    CELLS,
    CONTENT,
    COSINE,
    COSINE_RECENT,
    EASE,
    HABIT,
    POPULARITY,
    Parts,
    allowed_products,
    sample,
)
from ml.recommendation.purchases import (
    History,
    IntArray,
    Snapshot,
    bought_between,
    snapshot,
)
from ml.recommendation.ranking import NOBODY, best, hits, ndcg

MAX_CUSTOMERS = 1_000
"""Parts and blends are compared on at most so many customers, chosen by a hash of their keys."""
BLEND_WEIGHTS = (0.25, 0.5, 1.0)
"""Tried for each further part, beside the best part's 1."""
MAX_PARTS = 4
MIN_GAIN = 1.005
"""A further part must raise nDCG by this factor, else the simpler recipe rules."""
FLOORS = {POPULARITY: 0.01, CONTENT: 0.03}
"""In every recipe at least: for customers of whom nothing is known, and for new products."""


@dataclass(frozen=True)
class Period:
    """A day at which recommendations are made, and what was bought in the time after it.

    Attributes:
        known: What was known on that day.
        rows: Customers known then who bought something later that could have been recommended.
        targets: What each of them bought, rows as in ``rows``.
        repeats: Whether what they had bought before counts.
        until: Last day of the time after it.
        customer_count: Customers there are; ``rows`` may be a sample of them.
    """

    known: Snapshot
    rows: IntArray
    targets: sparse.csr_matrix
    repeats: bool
    until: int
    customer_count: int


def make_period(
    history: History, cut_off: int, until: int, *, repeats: bool, unsold_days: int, most: int
) -> Period:
    """Return the period; products that were already bought are no targets unless ``repeats``."""
    known = snapshot(history, cut_off, unsold_days=unsold_days)
    later = bought_between(history, cut_off, until)
    bought = known.bought()
    if not repeats:
        later = sparse.csr_matrix(later - later.multiply(bought))
        later.eliminate_zeros()
        later.sort_indices()
    is_known = np.diff(bought.indptr) > 0
    concerned = is_known & (np.diff(later.indptr) > 0)
    rows = sample(history.customers, concerned, most)
    return Period(known, rows, later[rows], repeats, until, int(concerned.sum()))


@dataclass(frozen=True)
class Choice:
    """The recipe, and how all that was tried did.

    Attributes:
        name: Of the recipe.
        weights: Part -> weight.
        table: ``candidate``, ``ndcg``, ``is_winner``.
    """

    name: str
    weights: dict[str, float]
    table: pd.DataFrame


def part_names(period: Period) -> list[str]:
    """Return the parts that are tried: habit where goods come again, text where there is any."""
    names = [POPULARITY, COSINE, COSINE_RECENT, *EASE, ALS]
    names += [HABIT] if period.repeats else []
    names += [CONTENT] if any(period.known.history.texts) else []
    return names


def choose(period: Period, *, count: int, window_days: int, seed: int) -> Choice:
    """Return the best part, or the best blend of it with others where that is clearly better."""
    columns = np.flatnonzero(period.known.is_ranked)
    most = max(min(MAX_CUSTOMERS, CELLS // max(len(columns), 1)), 1)
    kept = sample(
        period.known.history.customers[period.rows], np.ones(len(period.rows), bool), most
    )
    rows, targets = period.rows[kept], period.targets[kept]
    names = part_names(period)
    parts = Parts(period.known, window_days=window_days, seed=seed).fit(names)
    allowed = allowed_products(parts, rows, columns, repeats=period.repeats)
    scores = {
        name: (parts.scores(name, rows, columns) / parts.scale(name)).astype(np.float32)
        for name in names
    }

    def quality(total: NDArray[np.float32]) -> float:
        place, _ = best(total, allowed, count)
        found = np.where(place == NOBODY, NOBODY, columns[place])
        return float(ndcg(hits(found, targets), np.diff(targets.indptr)).mean())

    tried = {name: quality(scores[name]) for name in names}
    first = max(names, key=lambda name: (round(tried[name], 9), -names.index(name)))
    weights, reached, total = {first: 1.0}, tried[first], scores[first]
    while len(weights) < MAX_PARTS:
        further = {
            (name, weight): quality(total + np.float32(weight) * scores[name])
            for name in names
            if name not in weights
            for weight in BLEND_WEIGHTS
        }
        if not further:
            break
        # of equally good ones the first
        (name, weight), value = max(further.items(), key=lambda item: round(item[1], 9))
        if value < MIN_GAIN * reached:
            break
        weights[name], reached = weight, value
        total = total + np.float32(weight) * scores[name]
    recipe = first if len(weights) == 1 else "blend of " + ", ".join(weights)
    tried[recipe] = reached
    table = pd.DataFrame({"candidate": tried.keys(), "ndcg": tried.values()})
    table["is_winner"] = table["candidate"] == recipe
    # where popularity alone is best, nothing disguises that
    for name, floor in FLOORS.items() if list(weights) != [POPULARITY] else ():
        if name in names:
            weights.setdefault(name, floor)
    return Choice(recipe, weights, table)
