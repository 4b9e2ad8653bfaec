"""Greedy on each customer's convex frontier: fast, and it yields the linear bound exactly.

The multiple-choice knapsack (Sinha & Zoltners 1979, "The multiple-choice knapsack problem",
Operations Research 27): of a customer's offers only those on the upper convex hull of gain over
cost can be in the best fractional answer. Steps along all hulls, steepest first, until the budget
is used, give that answer; only its last step is a fraction, so what greedy loses is less than one
step. A limit on contacts is priced (Lagrange): each contact costs the price, the bound is the
lowest over all prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.allocation.problem import (
    NOBODY,
    TOLERANCE,
    Allocation,
    FloatArray,
    IntArray,
    Problem,
    answer,
)

PRICES = 60
"""Halvings of the price's interval."""


@dataclass(frozen=True)
class _Steps:
    """Steps along all customers' frontiers, steepest first."""

    customer: IntArray
    offer: IntArray
    gain: FloatArray
    cost: FloatArray
    start: IntArray
    """Offer of each customer that costs nothing, or ``NOBODY``."""
    start_gain: float


def _frontiers(gain: FloatArray, cost: FloatArray) -> _Steps:
    """Walk all customers' upper hulls at once, one step a round: as many rounds as offers."""
    customers, offers = gain.shape
    free = np.where((cost <= 0) & (gain > 0), gain, -np.inf)
    start = np.full(customers, NOBODY, dtype=np.int64)
    level_gain, level_cost = np.zeros(customers), np.zeros(customers)
    if offers:
        best = free.argmax(axis=1)
        has = np.isfinite(free[np.arange(customers), best])
        start[has] = best[has]
        level_gain[has] = free[np.flatnonzero(has), best[has]]
    start_gain = float(level_gain.sum())
    parts: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
    active = np.arange(customers)
    for _ in range(offers):
        more_gain = gain[active] - level_gain[active, None]
        more_cost = cost[active] - level_cost[active, None]
        is_step = (more_cost > 0) & (more_gain > 0)
        slope = np.where(is_step, more_gain, -1.0) / np.where(is_step, more_cost, 1.0)
        # of equally steep steps the longest: the others lie on its line
        top = slope.max(axis=1, keepdims=True)
        chosen = np.where(slope == top, more_cost, -1.0).argmax(axis=1)
        going = np.flatnonzero(top[:, 0] > 0)
        if not going.size:
            break
        active, chosen = active[going], chosen[going]
        parts.append((active, chosen, more_gain[going, chosen], more_cost[going, chosen]))
        level_gain[active] = gain[active, chosen]
        level_cost[active] = cost[active, chosen]
    if not parts:
        nothing = np.zeros(0)
        return _Steps(nothing.astype(int), nothing.astype(int), nothing, nothing, start, start_gain)
    customer, offer, gains, costs = (np.concatenate(column) for column in zip(*parts, strict=True))
    # stable: a customer's later step is never before the earlier one
    order = np.argsort(-gains / costs, kind="stable")
    return _Steps(customer[order], offer[order], gains[order], costs[order], start, start_gain)


def _walk(steps: _Steps, budget: float) -> tuple[IntArray, float]:
    """Take steps while they fit; return the offers and the linear bound."""
    offer = steps.start.copy()
    used = np.cumsum(steps.cost)
    fits = int(np.searchsorted(used, budget + TOLERANCE, side="right"))
    offer[steps.customer[:fits]] = steps.offer[:fits]
    bound = steps.start_gain + float(steps.gain[:fits].sum())
    if fits == len(used):
        return offer, bound
    left = budget - (float(used[fits - 1]) if fits else 0.0)
    bound += max(left, 0.0) * float(steps.gain[fits] / steps.cost[fits])
    # what is left of the budget goes to later steps that still fit, of customers not held up
    blocked: set[int] = set()
    at = fits
    while at < len(used):
        affordable = np.flatnonzero(steps.cost[at:] <= left + TOLERANCE)
        if not affordable.size:
            break
        for held_up in steps.customer[at : at + affordable[0]].tolist():
            blocked.add(held_up)
        at += int(affordable[0])
        who = int(steps.customer[at])
        if who not in blocked:
            offer[who] = steps.offer[at]
            left -= float(steps.cost[at])
        at += 1
    return offer, bound


def _within(asked: Problem, price: float) -> tuple[FloatArray, FloatArray]:
    allowed = asked.is_allowed
    return np.where(allowed, asked.gain - price, -np.inf), np.where(allowed, asked.cost, np.inf)


def allocate_greedy(asked: Problem) -> Allocation:
    """Return the greedy allocation and the linear bound.

    Raises:
        ValueError: Offers or channels have limits of their own: that is for ``allocate_exactly``.
    """
    if asked.has_side_constraints:
        raise ValueError("greedy keeps a budget and a limit on contacts only: use allocate_exactly")
    offer, bound = _priced(asked, 0.0)
    limit = asked.max_contacts
    if limit is None or np.count_nonzero(offer != NOBODY) <= limit:
        return answer(asked, _improved(asked, offer), bound, "greedy")
    finite = asked.gain[asked.is_allowed]
    low, high = 0.0, float(finite.max())
    chosen = _cut(asked, offer, limit)
    best_bound = bound
    for _ in range(PRICES):
        price = (low + high) / 2
        offer, bound = _priced(asked, price)
        best_bound = min(best_bound, bound + price * limit)
        count = int(np.count_nonzero(offer != NOBODY))
        candidate = offer if count <= limit else _cut(asked, offer, limit)
        chosen = _better(asked, chosen, candidate)
        low, high = (price, high) if count > limit else (low, price)
        if high - low <= TOLERANCE * max(1.0, high):
            break
    return answer(
        asked, _improved(asked, chosen), best_bound, "greedy, contacts priced", price=high
    )


def _priced(asked: Problem, price: float) -> tuple[IntArray, float]:
    gain, cost = _within(asked, price)
    with np.errstate(invalid="ignore"):
        steps = _frontiers(gain, cost)
    return _walk(steps, asked.budget)


def _value(asked: Problem, offer: IntArray) -> float:
    who = np.flatnonzero(offer != NOBODY)
    return float(asked.gain[who, offer[who]].sum())


def _better(asked: Problem, first: IntArray, second: IntArray) -> IntArray:
    return second if _value(asked, second) > _value(asked, first) else first


def _cut(asked: Problem, offer: IntArray, limit: int) -> IntArray:
    """Leave out those who gain least until the limit is kept."""
    who = np.flatnonzero(offer != NOBODY)
    least = np.argsort(-asked.gain[who, offer[who]], kind="stable")[limit:]
    kept = offer.copy()
    kept[who[least]] = NOBODY
    return kept


def _improved(asked: Problem, offer: IntArray) -> IntArray:
    """Spend what is left on single changes that gain most, also those off the frontier."""
    offer = offer.copy()
    customers, offers = asked.gain.shape
    if not customers or not offers:
        return offer
    rows = np.arange(customers)
    gain, cost = _within(asked, 0.0)
    for _ in range(offers * 4):
        has = offer != NOBODY
        at = np.where(has, offer, 0)
        now_gain = np.where(has, gain[rows, at], 0.0)
        now_cost = np.where(has, cost[rows, at], 0.0)
        left = asked.budget - float(now_cost.sum())
        fits = cost - now_cost[:, None] <= left + TOLERANCE
        if asked.max_contacts is not None and np.count_nonzero(has) >= asked.max_contacts:
            fits &= has[:, None]
        more: NDArray[np.float64] = np.where(fits, gain - now_gain[:, None], 0.0)
        best = int(more.argmax())
        if not more.flat[best] > TOLERANCE:
            break
        offer[best // offers] = best % offers
    return offer
