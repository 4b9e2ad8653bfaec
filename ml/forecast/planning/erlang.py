"""Erlang's formulas: how many agents answer how many contacts in time.

Contacts come at random (Poisson) at ``rate`` an hour, an agent is busy with one for a mean of
``handling_seconds`` (exponential), who finds all agents busy waits. The load in erlangs is
a = rate x handling / 3600; with n agents,

    B(n, a) = a B(n - 1, a) / (n + a B(n - 1, a)),  B(0, a) = 1           all busy, nobody waits
    C(n, a) = n B / (n - a (1 - B)),  a < n                              a contact has to wait
    P(wait <= t) = 1 - C exp(-(n - a) t / handling)
    E(wait) = C handling / (n - a)

(Erlang 1917; Cooper, Introduction to Queueing Theory, 1981.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_AGENTS = 100_000


@dataclass(frozen=True)
class Staffing:
    """How a number of agents answers a load.

    Attributes:
        agents: Agents who answer at the same time.
        service_rate: Share of contacts answered within the target's seconds.
        waiting_rate: Share of contacts that wait at all.
        mean_wait_seconds: Of all contacts, those answered at once included.
        occupancy_rate: Part of the time that an agent is busy.
    """

    agents: int
    service_rate: float
    waiting_rate: float
    mean_wait_seconds: float
    occupancy_rate: float


def erlang_b(agents: int, load: float) -> float:
    """Return the probability that all agents are busy where nobody waits.

    Args:
        agents: At least 0.
        load: In erlangs, at least 0.
    """
    blocked = 1.0
    for n in range(1, agents + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked


def erlang_c(agents: int, load: float) -> float:
    """Return the probability that a contact has to wait; 1 where the agents cannot keep up."""
    if load <= 0:
        return 0.0
    if agents <= load:
        return 1.0
    blocked = erlang_b(agents, load)
    return agents * blocked / (agents - load * (1 - blocked))


def staffing(agents: int, rate: float, handling_seconds: float, target_seconds: float) -> Staffing:
    """Return how ``agents`` answer ``rate`` contacts an hour."""
    load = rate * handling_seconds / 3600
    waiting = erlang_c(agents, load)
    if agents <= load:
        return Staffing(agents, 0.0, 1.0, math.inf, 1.0)
    spare = agents - load
    late = waiting * math.exp(-spare * target_seconds / handling_seconds)
    wait = waiting * handling_seconds / spare
    return Staffing(agents, 1 - late, waiting, wait, load / agents if agents else 0.0)


def agents_needed(
    rate: float,
    handling_seconds: float,
    target_rate: float,
    target_seconds: float,
    max_occupancy_rate: float = 1.0,
) -> Staffing:
    """Return the fewest agents that answer ``target_rate`` of the contacts within the target.

    Args:
        rate: Contacts an hour.
        handling_seconds: Mean time an agent is busy with one.
        target_rate: Between 0 and 1, both excluded.
        target_seconds: At least 0.
        max_occupancy_rate: Agents are added until they are busy for no greater part of the time.

    Raises:
        ValueError: A target cannot be met by any number of agents, or is none.
    """
    if not 0 < target_rate < 1:
        raise ValueError(f"the target rate {target_rate} is not between 0 and 1")
    if handling_seconds <= 0 or target_seconds < 0 or not 0 < max_occupancy_rate <= 1:
        raise ValueError("handling time must be above 0, target at least 0, occupancy above 0 to 1")
    if rate <= 0:
        return Staffing(0, 1.0, 0.0, 0.0, 0.0)
    load = rate * handling_seconds / 3600
    first = max(math.floor(load) + 1, math.ceil(load / max_occupancy_rate - 1e-9))
    for agents in range(first, MAX_AGENTS):
        found = staffing(agents, rate, handling_seconds, target_seconds)
        if found.service_rate >= target_rate:
            return found
    raise ValueError(f"more than {MAX_AGENTS} agents: are there {rate} contacts an hour?")
