"""What an allocation is: the question, the answer, and how an answer is measured.

Belongs here: shapes and checks that all solvers share. Each solver has its own module.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NOBODY = -1
"""In place of an offer: this customer gets none."""

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Problem:
    """At most one offer a customer; the best total gain that keeps to the limits.

    Attributes:
        gain: Customers by offers: expected gain, before the cost. NaN: not to be offered.
        cost: The same shape: what the offer costs with this customer; never negative.
        budget: Most that all may cost together.
        max_contacts: Most customers who get an offer; ``None`` for all.
        minimum: Fewest customers a offer must get; one number an offer, or ``None``.
        capacity: Most customers an offer can get; one number an offer, or ``None``.
        channel: Number of each offer's channel, or ``None``.
        channel_capacity: Most customers a channel can reach; by channel number.
    """

    gain: FloatArray
    cost: FloatArray
    budget: float
    max_contacts: int | None = None
    minimum: IntArray | None = None
    capacity: IntArray | None = None
    channel: IntArray | None = None
    channel_capacity: IntArray | None = None

    @property
    def is_allowed(self) -> NDArray[np.bool_]:
        """Which customer may get which offer, and could gain by it within the budget."""
        return np.isfinite(self.gain) & (self.cost <= self.budget + TOLERANCE)

    @property
    def has_side_constraints(self) -> bool:
        """Whether offers or channels have limits of their own, which greedy cannot keep."""
        limits = (self.minimum, self.capacity, self.channel_capacity)
        return any(limit is not None for limit in limits)


def problem(
    gain: ArrayLike,
    cost: ArrayLike,
    budget: float,
    *,
    max_contacts: int | None = None,
    minimum: ArrayLike | None = None,
    capacity: ArrayLike | None = None,
    channel: ArrayLike | None = None,
    channel_capacity: ArrayLike | None = None,
) -> Problem:
    """Return a checked problem.

    Args:
        gain: Customers by offers; NaN where an offer must not be made.
        cost: The same shape, or one number an offer.
        budget: Most that all may cost together; infinity for no limit.
        max_contacts: Most customers who get an offer.
        minimum: Fewest customers of each offer.
        capacity: Most customers of each offer.
        channel: Number of each offer's channel, from 0.
        channel_capacity: Most customers of each channel.

    Raises:
        ValueError: Shapes do not fit, a cost is negative or missing, or the budget is.
    """
    gains = np.asarray(gain, dtype=float)
    if gains.ndim != 2:
        raise ValueError("gains must be a table of customers by offers")
    costs = np.broadcast_to(np.asarray(cost, dtype=float), gains.shape)
    if not (np.isfinite(costs) & (costs >= 0)).all():
        raise ValueError("each offer needs a cost of 0 or more")
    if np.isnan(budget) or budget < 0:
        raise ValueError("the budget must be 0 or more")
    if max_contacts is not None and max_contacts < 0:
        raise ValueError("the number of contacts must be 0 or more")
    offers = gains.shape[1]
    whole = {"minimum": minimum, "capacity": capacity, "channel": channel}
    limits = {name: _whole(name, values, offers) for name, values in whole.items()}
    if (limits["channel"] is None) != (channel_capacity is None):
        raise ValueError("channels and their capacities come together")
    channels = None
    if channel_capacity is not None and limits["channel"] is not None:
        channels = _whole("channel_capacity", channel_capacity, None)
        if limits["channel"].size and limits["channel"].max() >= channels.size:  # type: ignore[union-attr]
            raise ValueError("each offer's channel needs a capacity")
    return Problem(
        gains, np.ascontiguousarray(costs), float(budget), max_contacts,
        limits["minimum"], limits["capacity"], limits["channel"], channels,
    )  # fmt: skip


def _whole(name: str, values: ArrayLike | None, size: int | None) -> IntArray | None:
    if values is None:
        return None
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or (size is not None and numbers.size != size):
        raise ValueError(f"{name} needs one number an offer")
    if not (np.isfinite(numbers) & (numbers >= 0) & (numbers == np.floor(numbers))).all():
        raise ValueError(f"{name} must be whole numbers of 0 or more")
    return numbers.astype(np.int64)


@dataclass(frozen=True)
class Allocation:
    """An answer.

    Attributes:
        offer: Number of each customer's offer; ``NOBODY`` for none.
        gain: Total gain.
        cost: Total cost.
        bound: No allocation can gain more than this.
        method: How it was found.
        is_feasible: False where the limits contradict each other, or none was found in time.
        details: What else the solver can say.
    """

    offer: IntArray
    gain: float
    cost: float
    bound: float
    method: str
    is_feasible: bool = True
    details: dict[str, float] = field(default_factory=dict)

    @property
    def gap_rate(self) -> float:
        """How far below the bound the gain is, as a rate of the bound; 0 is proven best."""
        if not self.bound > 0:
            return 0.0
        return max(0.0, (self.bound - self.gain) / self.bound)


def totals(asked: Problem, offer: IntArray) -> tuple[float, float]:
    """Return (gain, cost) of an allocation."""
    who = np.flatnonzero(offer != NOBODY)
    return float(asked.gain[who, offer[who]].sum()), float(asked.cost[who, offer[who]].sum())


def answer(
    asked: Problem, offer: IntArray, bound: float, method: str, **details: float
) -> Allocation:
    """Return an allocation with its totals; a bound below the gain is rounding."""
    gain, cost = totals(asked, offer)
    return Allocation(offer, gain, cost, max(bound, gain), method, True, details)


def violations(asked: Problem, offer: IntArray) -> list[str]:
    """Return the limits that an allocation breaks; for tests, and for whoever changes a solver."""
    found = []
    who = np.flatnonzero(offer != NOBODY)
    _, cost = totals(asked, offer)
    count = np.bincount(offer[who], minlength=asked.gain.shape[1])
    if cost > asked.budget * (1 + TOLERANCE) + TOLERANCE:
        found.append("budget")
    if not asked.is_allowed[who, offer[who]].all():
        found.append("an offer that is not allowed")
    if asked.max_contacts is not None and who.size > asked.max_contacts:
        found.append("contacts")
    if asked.minimum is not None and (count < asked.minimum).any():
        found.append("minimum")
    if asked.capacity is not None and (count > asked.capacity).any():
        found.append("capacity")
    if asked.channel is not None and asked.channel_capacity is not None:
        reached = np.bincount(asked.channel, weights=count, minlength=asked.channel_capacity.size)
        if (reached > asked.channel_capacity).any():
            found.append("channel capacity")
    return found
