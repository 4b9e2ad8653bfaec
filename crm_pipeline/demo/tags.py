"""Tags that the demo company's help desk gives customers, and takes away again.

What a tag says follows from a ticket that is on record. What is exported is a log of changes: a row
when a tag is given, and one when it is taken away. Agents write the same tag in several ways.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar
from crm_pipeline.demo.persons import Persons
from crm_pipeline.demo.service import CHANNELS, Tickets, agent_numbers
from crm_pipeline.demo.tables import DAY_SECONDS, instants, local_seconds, text

GIVEN_RATE = 0.6
"""Tickets with a reason for a tag after which the agent gives it."""
PHONE_RATE = 0.25
"""The same where the reason is that the customer called."""
TAKEN_AWAY_RATE = 0.4
BAD_SATISFACTION = 2.0
TAGS = ("complained", "at risk", "handle with care", "prefers phone")
HOUR = 3600


def _typed(tag: str, position: int) -> str:
    """A tag as agents write it."""
    if position % 7 == 3:
        return tag.capitalize()
    if position % 11 == 5:
        return f"{tag} "
    return tag.upper() if position % 13 == 8 else tag


def customer_tags_table(
    rng: np.random.Generator, block: int, tickets: Tickets, persons: Persons, calendar: Calendar
) -> pa.Table:
    """Rows as delivered: one per tag and change of it, by time of change."""
    end = local_seconds(calendar.end) + DAY_SECONDS - HOUR
    reasons = [
        tickets.complaint,
        tickets.satisfaction < BAD_SATISFACTION,
        tickets.reopened,
        tickets.channel == CHANNELS.index("phone"),
    ]
    rates = (GIVEN_RATE, GIVEN_RATE, GIVEN_RATE, PHONE_RATE)
    given = [
        np.flatnonzero(reason & (rng.random(len(reason)) < rate) & (tickets.closed < end))
        for reason, rate in zip(reasons, rates, strict=True)
    ]
    tag = np.repeat(np.arange(len(TAGS)), [len(which) for which in given])
    ticket = np.concatenate(given)
    by_time = np.lexsort((tag, ticket, tickets.closed[ticket]))
    tag, ticket = tag[by_time], ticket[by_time]
    size = len(tag)
    tagged = tickets.closed[ticket]
    later = tagged + rng.integers(30, 150, size) * DAY_SECONDS
    away = np.flatnonzero((rng.random(size) < TAKEN_AWAY_RATE) & (later < end))
    numbers = np.asarray([f"G{block:05d}{i + 1:05d}" for i in range(size)], dtype=object)
    names = np.asarray([_typed(TAGS[n], i) for i, n in enumerate(tag.tolist())], dtype=object)

    which = np.concatenate([np.arange(size), away])
    is_over = np.arange(len(which)) >= size
    changed = np.where(is_over, later[which], tagged[which])
    order = np.lexsort((which, is_over, changed))
    which, is_over, changed = which[order], is_over[order], changed[order]
    return pa.table(
        {
            "tag_no": text(numbers[which]),
            "customer_no": text(persons.number[tickets.customer[ticket[which]]]),
            "agent_no": text(agent_numbers()[tickets.agent[ticket[which]]]),
            "tag": text(names[which]),
            "tagged_at": instants(tagged[which]),
            "untagged_at": pa.array(np.asarray(changed, dtype="datetime64[s]"), mask=~is_over),
            "changed_at": instants(changed),
        }
    )
