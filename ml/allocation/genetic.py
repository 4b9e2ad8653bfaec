"""A genetic algorithm, for gains that do not add up: a channel that tires, offers that compete.

Where gains add up the other two solvers are better in every way; this one is for a ``value`` that
only can be asked. It tells its gap to a bound that the caller knows, usually the separable one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.allocation.greedy import allocate_greedy
from ml.allocation.problem import (
    NOBODY,
    TOLERANCE,
    Allocation,
    FloatArray,
    IntArray,
    Problem,
    totals,
)  # fmt: skip

Value = Callable[[IntArray], FloatArray]
"""Allocations (one a row) -> what each is worth."""


@dataclass(frozen=True)
class GeneticSettings:
    """How long and how it searches; the defaults take about a second at 1,000 customers.

    Attributes:
        population: Allocations a generation.
        generations: How many.
        mutation_rate: Share of genes drawn anew, a child.
        elite: How many of the best live on unchanged.
        seed: Seed of every draw.
        from_greedy: Whether the greedy answer to the separable problem is among the first.
    """

    population: int = 60
    generations: int = 150
    mutation_rate: float = 0.004
    elite: int = 4
    seed: int = 0
    from_greedy: bool = True


def allocate_genetically(
    asked: Problem,
    value: Value | None = None,
    *,
    bound: float | None = None,
    settings: GeneticSettings | None = None,
) -> Allocation:
    """Return the best allocation found.

    Args:
        asked: Offers, costs, budget and contacts. Its gains repair allocations that cost too
            much, are the ``value`` where none is given, and the bound where none is given: that
            holds only where a gain is never more than its own part.
        value: What allocations are worth.
        bound: No allocation is worth more.
        settings: How to search.

    Raises:
        ValueError: Offers or channels have limits of their own.
    """
    if asked.has_side_constraints:
        raise ValueError("the genetic algorithm keeps a budget and a limit on contacts only")
    chosen = settings or GeneticSettings()
    rng = np.random.default_rng(chosen.seed)
    greedy = allocate_greedy(asked)
    limit = greedy.bound if bound is None else bound
    worth = value or (lambda found: np.array([totals(asked, one)[0] for one in found]))
    customers, offers = asked.gain.shape
    if customers == 0 or offers == 0 or not asked.is_allowed.any():
        return Allocation(greedy.offer, 0.0, 0.0, limit, "genetic")
    search = _Search(asked, rng, chosen)
    found = search.first()
    if chosen.from_greedy:
        found[0] = greedy.offer
    for _ in range(chosen.generations):
        score = worth(found)
        order = np.argsort(-score, kind="stable")
        found, score = found[order], score[order]
        children = search.children(found, len(found) - chosen.elite)
        found = np.vstack([found[: chosen.elite], children])
    score = worth(found)
    best = int(score.argmax())
    _, cost = totals(asked, found[best])
    gained = float(score[best])
    return Allocation(found[best], gained, cost, max(limit, gained), "genetic")


class _Search:
    """The moves: first population, crossing, mutation, repair."""

    def __init__(self, asked: Problem, rng: np.random.Generator, settings: GeneticSettings) -> None:
        self.asked, self.rng, self.settings = asked, rng, settings
        self.allowed = asked.is_allowed
        self.gain = np.where(self.allowed, asked.gain, -np.inf)
        # what one unit of money brings, for who goes first when there is too little of it
        rate = np.where(self.allowed, asked.gain, 0.0) / np.maximum(asked.cost, TOLERANCE)
        self.rate = np.hstack([rate, np.zeros((len(rate), 1))])
        self.cost = np.hstack([np.where(self.allowed, asked.cost, 0.0), np.zeros((len(rate), 1))])

    def drawn(self, shape: tuple[int, int]) -> IntArray:
        """Offers by chance, none among them; what is not allowed becomes none."""
        offers = self.asked.gain.shape[1]
        genes = self.rng.integers(NOBODY, offers, shape)
        columns = np.arange(shape[1])
        return np.where(self.allowed[columns, genes] | (genes == NOBODY), genes, NOBODY)

    def first(self) -> IntArray:
        """The first population: by chance, and the best offer of each where it can be paid."""
        found = self.drawn((self.settings.population, self.asked.gain.shape[0]))
        gainful = np.where(self.gain.max(axis=1) > 0, self.gain.argmax(axis=1), NOBODY)
        found[-1] = gainful
        return np.vstack([self.repaired(one) for one in found])

    def children(self, parents: IntArray, count: int) -> IntArray:
        """Tournaments of three, uniform crossing, mutation, repair; ``parents`` best first."""
        pick = self.rng.integers(0, len(parents), (2, count, 3)).min(axis=2)
        first, second = parents[pick[0]], parents[pick[1]]
        mixed = np.where(self.rng.random(first.shape) < 0.5, first, second)
        changed = self.rng.random(first.shape) < self.settings.mutation_rate
        mixed = np.where(changed, self.drawn(mixed.shape), mixed)
        return np.vstack([self.repaired(one) for one in mixed])

    def repaired(self, offer: IntArray) -> IntArray:
        """Keep those whose offers bring most for their money, as far as budget and contacts go."""
        who = np.flatnonzero(offer != NOBODY)
        cost = self.cost[who, offer[who]]
        limit = self.asked.max_contacts
        enough = limit is None or who.size <= limit
        if enough and cost.sum() <= self.asked.budget + TOLERANCE:
            return offer
        order = np.argsort(-self.rate[who, offer[who]], kind="stable")
        if limit is not None:
            order = order[:limit]
        fits = np.cumsum(cost[order]) <= self.asked.budget + TOLERANCE
        kept = np.full_like(offer, NOBODY)
        stays = who[order[fits]]
        kept[stays] = offer[stays]
        return kept
