"""The help desk: tickets of orders, how well they went, and who leaves for it.

Each known customer's order brings a ticket with ``TICKET_RATE``. How long the desk takes and
whether it is a complaint or has to be reopened decides the satisfaction,

    s = 4.7 - .8 log(1 + first answer in hours / 6) - .8 [complaint] - .9 [reopened],  1 <= s <= 5,

the score (s and noise, rounded), and with it the probability that the customer leaves for good
when the ticket is closed, ``dropout_probability(s)``. All that decides it is on record, so the
oracle may know it. What a ticket is about does not depend on the customer's rates or on whether
the customer has dropped out before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar, Floats, Ints
from crm_pipeline.demo.comments import comment
from crm_pipeline.demo.persons import CHINESE_NAMES, Persons
from crm_pipeline.demo.sales import Orders
from crm_pipeline.demo.tables import DAY_SECONDS, instants, local_seconds, text

TICKET_RATE = 0.10
SURVEY_RATE = 0.55
LOYALTY_SURVEY_RATE = 0.05
WITHOUT_EVENTS_RATE = 0.01
"""Tickets whose history was lost."""
NEVER = np.iinfo(np.int64).max
HOUR = 3600
CHANNELS = ("email", "phone", "chat", "web_form")
CHANNEL_SHARES = (0.40, 0.30, 0.18, 0.12)
TYPICAL_HOURS = (9.0, 1.2, 0.4, 14.0)
"""Median hours to the first answer, by channel."""
CATEGORIES = ("delivery", "product", "invoice", "return", "account")
CATEGORY_SHARES = (0.38, 0.24, 0.14, 0.16, 0.08)
ABOUT_GOODS = ("product", "return")
COMPLAINT_RATES = (0.40, 0.35, 0.15, 0.10, 0.05)
PRIORITIES = ("low", "medium", "high", "urgent")
AGENTS = 14


@dataclass(frozen=True)
class Tickets:
    """Tickets of a block, by time; instants are UTC seconds."""

    order: Ints
    customer: Ints
    opened: Ints
    answered: Ints
    resolved: Ints
    closed: Ints
    channel: Ints
    category: Ints
    agent: Ints
    complaint: np.ndarray
    reopened: np.ndarray
    satisfaction: Floats
    dropout_probability: Floats
    leaves: np.ndarray

    def take(self, which: np.ndarray) -> Tickets:
        """Those tickets only."""
        return Tickets(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Subject:
    """What tickets are about, one entry a ticket; ``sku`` is None unless about goods."""

    ticket_no: np.ndarray
    order_no: np.ndarray
    sku: np.ndarray


def satisfaction(hours: Floats, complaint: np.ndarray, reopened: np.ndarray) -> Floats:
    """How content a customer is with a ticket, from 1 to 5, before what cannot be told."""
    return np.clip(4.7 - 0.8 * np.log1p(hours / 6) - 0.8 * complaint - 0.9 * reopened, 1, 5)


def dropout_probability(content: Floats) -> Floats:
    """Probability of leaving for good over one ticket: .55 at worst, below .01 at best."""
    return 0.6 / (1 + np.exp(2.4 * (content - 2.0)))


def serve(rng: np.random.Generator, orders: Orders, size: int) -> tuple[Tickets, Ints]:
    """Draw the tickets of a block's orders.

    Returns:
        The tickets, and for each customer of the block the instant of leaving over one of them
        (``NEVER`` where none was that bad).
    """
    known = orders.customer >= 0
    order = np.flatnonzero(known & (rng.random(len(known)) < TICKET_RATE))
    count = len(order)
    days = 1 + rng.geometric(0.25, count)
    at_work = (7 * HOUR + 12 * HOUR * rng.random(count)).astype(np.int64)
    opened = (orders.at[order] // DAY_SECONDS + days) * DAY_SECONDS + at_work
    channel = rng.choice(len(CHANNELS), count, p=CHANNEL_SHARES)
    category = rng.choice(len(CATEGORIES), count, p=CATEGORY_SHARES)
    agent = rng.integers(0, AGENTS, count)
    slow = 0.6 + 1.6 * agent / AGENTS
    hours = np.asarray(TYPICAL_HOURS)[channel] * slow * rng.lognormal(0, 1.0, count)
    complaint = rng.random(count) < np.asarray(COMPLAINT_RATES)[category]
    reopened = rng.random(count) < 0.05 + 0.10 * complaint
    answered = opened + np.maximum(hours * HOUR, 60).astype(np.int64)
    resolved = answered + (rng.lognormal(1.5, 1.1, count) * HOUR).astype(np.int64)
    closed = resolved + rng.integers(1, 4, count) * DAY_SECONDS
    content = satisfaction((answered - opened) / HOUR, complaint, reopened)
    leaving = dropout_probability(content)
    leaves = rng.random(count) < leaving
    by_time = np.lexsort((order, opened))
    tickets = Tickets(
        order, orders.customer[order], opened, answered, resolved, closed, channel, category,
        agent, complaint, reopened, content, leaving, leaves,
    ).take(by_time)  # fmt: skip
    gone = np.full(size, NEVER)
    np.minimum.at(gone, tickets.customer[tickets.leaves], tickets.closed[tickets.leaves])
    return tickets, gone


def desk_tables(
    rng: np.random.Generator,
    block: int,
    tickets: Tickets,
    order_numbers: np.ndarray,
    order_skus: np.ndarray,
    persons: Persons,
    calendar: Calendar,
) -> tuple[dict[str, pa.Table], pa.Table]:
    """Rows as delivered (tickets, ticket_events, interactions, survey_responses), and the truth.

    Tickets about goods name an article of the order, and so does the answer after them.
    """
    end = local_seconds(calendar.end) + DAY_SECONDS - HOUR
    tickets = tickets.take(tickets.opened < end)
    size = len(tickets.opened)
    numbers = np.asarray([f"T{block:05d}{i + 1:05d}" for i in range(size)], dtype=object)
    customer = persons.number[tickets.customer]
    agents = agent_numbers()[tickets.agent]
    of_goods = np.isin(tickets.category, [CATEGORIES.index(name) for name in ABOUT_GOODS])
    skus = order_skus[tickets.order].astype(object)
    skus[~of_goods] = None
    about = Subject(numbers, order_numbers[tickets.order], skus)
    priority = np.clip(tickets.complaint + rng.integers(0, 3, size), 0, 3)
    truth = pa.table(
        {
            "ticket_no": text(numbers),
            "customer_no": text(customer),
            "opened_at": instants(tickets.opened),
            "closed_at": instants(tickets.closed),
            "response_hours": pa.array((tickets.answered - tickets.opened) / HOUR),
            "is_complaint": pa.array(tickets.complaint),
            "is_reopened": pa.array(tickets.reopened),
            "satisfaction": pa.array(tickets.satisfaction),
            "dropout_probability": pa.array(tickets.dropout_probability),
            "made_leave": pa.array(tickets.leaves),
        }
    )
    tables = {
        "tickets": pa.table(
            {
                "ticket_no": text(numbers),
                "customer_no": text(customer),
                "order_no": text(about.order_no),
                "sku": text(about.sku),
                "agent_no": text(agents),
                "opened_at": instants(tickets.opened),
                "channel": text(np.asarray(CHANNELS, dtype=object)[tickets.channel]),
                "category": text(np.asarray(CATEGORIES, dtype=object)[tickets.category]),
                "priority": text(np.asarray(PRIORITIES, dtype=object)[priority]),
                "is_complaint": pa.array(tickets.complaint),
                "requester_name": text(persons.full_name[tickets.customer]),
                "requester_email": text(persons.emails(tickets.customer)),
                "requester_phone": text(persons.phones(tickets.customer)),
            }
        ),
        "ticket_events": _events(rng, numbers, agents, tickets, end),
        "interactions": _interactions(rng, block, numbers, customer, tickets, end),
        "survey_responses": _answers(rng, block, about, tickets, persons, calendar, end),
    }
    return tables, truth


def _events(
    rng: np.random.Generator, numbers: np.ndarray, agents: np.ndarray, tickets: Tickets, end: int
) -> pa.Table:
    size = len(numbers)
    lost = rng.random(size) < WITHOUT_EVENTS_RATE
    again = tickets.resolved + 5 * HOUR
    steps = [
        ("new", tickets.opened, np.ones(size, dtype=bool), False),
        ("open", tickets.answered, np.ones(size, dtype=bool), True),
        ("waiting", tickets.answered + HOUR // 2, rng.random(size) < 0.3, False),
        ("resolved", np.maximum(tickets.resolved, tickets.answered + HOUR), ~lost, False),
        ("reopened", again + HOUR, tickets.reopened, False),
        ("resolved", again + 9 * HOUR, tickets.reopened, False),
        ("closed", tickets.closed, ~lost, False),
    ]
    which = np.tile(np.arange(size), len(steps))
    step = np.repeat(np.arange(len(steps)), size)
    at = np.concatenate([moment for _, moment, _, _ in steps])
    happens = np.concatenate([there & ~lost for _, _, there, _ in steps]) & (at < end)
    order = np.lexsort((step, at, which))
    order = order[happens[order]]
    which, step, at = which[order], step[order], at[order]
    first = np.searchsorted(which, np.arange(size))
    return pa.table(
        {
            "ticket_no": text(numbers[which]),
            "event_no": pa.array(np.arange(len(which)) - first[which] + 1),
            "occurred_at": instants(at),
            "state": text(np.asarray([name for name, *_ in steps], dtype=object)[step]),
            "agent_no": text(np.where(step == 0, None, agents[which])),
            "is_response": pa.array(np.asarray([answer for *_, answer in steps])[step]),
        }
    )


def _interactions(
    rng: np.random.Generator,
    block: int,
    numbers: np.ndarray,
    customer: np.ndarray,
    tickets: Tickets,
    end: int,
) -> pa.Table:
    """What customer and desk said to each other: the request, the answer, now and then a call."""
    size = len(numbers)
    called = np.flatnonzero(rng.random(size) < 0.15)
    which = np.concatenate([np.arange(size), np.arange(size), called])
    inbound = np.arange(len(which)) < size
    later = tickets.resolved[called] + rng.integers(HOUR, 20 * HOUR, len(called))
    at = np.concatenate([tickets.opened, tickets.answered, later])
    phone_call = CHANNELS.index("phone")
    channel = np.concatenate([tickets.channel, tickets.channel, np.full(len(called), phone_call)])
    kind = np.repeat([0, 1, 2], [size, size, len(called)])
    seconds = np.where(channel == phone_call, 30 + rng.gamma(2, 180, len(which)), -1).astype(int)
    order = np.lexsort((kind, which, at))
    order = order[at[order] < end]
    talk = seconds[order]
    names = [f"I{block:05d}{i + 1:06d}" for i in range(len(order))]
    return pa.table(
        {
            "interaction_no": text(names),
            "customer_no": text(customer[which[order]]),
            "ticket_no": text(numbers[which[order]]),
            "occurred_at": instants(at[order]),
            "channel": text(np.asarray(CHANNELS, dtype=object)[channel[order]]),
            "direction": text(np.where(inbound[order], "inbound", "outbound")),
            "kind": text(np.asarray(("request", "answer", "follow_up"), dtype=object)[kind[order]]),
            "duration_seconds": pa.array(talk, mask=talk < 0),
        }
    )


def _answers(
    rng: np.random.Generator,
    block: int,
    about: Subject,
    tickets: Tickets,
    persons: Persons,
    calendar: Calendar,
    end: int,
) -> pa.Table:
    """Answers after a ticket (1 to 5), and to whether one would recommend the shop (0 to 10)."""
    asked = np.flatnonzero(rng.random(len(about.ticket_no)) < SURVEY_RATE)
    noisy = tickets.satisfaction[asked] + rng.normal(0, 0.5, len(asked))
    score = np.clip(np.round(noisy), 1, 5).astype(int)
    at = tickets.resolved[asked] + rng.integers(2 * HOUR, 60 * HOUR, len(asked))
    other = np.flatnonzero(rng.random(len(persons.number)) < LOYALTY_SURVEY_RATE)
    worst = np.full(len(persons.number), 4.4)
    np.minimum.at(worst, tickets.customer, tickets.satisfaction)
    loyal = np.clip(np.round(2.1 * worst[other] - 0.6 + rng.normal(0, 1.2, len(other))), 0, 10)
    day = rng.integers(0, calendar.days, len(other))
    other_at = local_seconds(calendar.start) + day * DAY_SECONDS + 12 * HOUR
    who = np.concatenate([tickets.customer[asked], other])
    when = np.concatenate([at, other_at])
    scores = np.concatenate([score, loyal.astype(int)])
    is_csat = np.arange(len(who)) < len(asked)
    nothing = np.full(len(other), None, dtype=object)
    ticket, order_no, sku = (
        np.concatenate([part[asked], nothing])
        for part in (about.ticket_no, about.order_no, about.sku)
    )
    category = np.concatenate([tickets.category[asked], np.full(len(other), 1)])
    lot = rng.random(len(who))
    comments = [
        comment(
            persons, int(who[i]), CATEGORIES[category[i]], scores[i] / (5 if is_csat[i] else 10),
            lot[i], i,
        )
        for i in range(len(who))
    ]  # fmt: skip
    rows = pa.table(
        {
            "response_no": text([f"S{block:05d}{i + 1:05d}" for i in range(len(who))]),
            "customer_no": text(persons.number[who]),
            "ticket_no": text(ticket),
            "order_no": text(order_no),
            "sku": text(sku),
            "survey": text(np.where(is_csat, "csat", "nps")),
            "question": text(np.where(is_csat, "satisfaction", "recommendation")),
            "channel": text(np.where(is_csat, "email", "web")),
            "responded_at": instants(when),
            "score": pa.array(scores),
            "comment": text(comments),
        }
    )
    return rows.filter(pa.array(when < end))


def agent_numbers() -> np.ndarray:
    """Numbers of those who answer at the help desk."""
    return np.asarray([f"AG{i + 1:02d}" for i in range(AGENTS)], dtype=object)


def agents_table() -> pa.Table:
    """Who answers at the help desk."""
    rows = range(AGENTS)
    return pa.table(
        {
            "agent_no": text(agent_numbers()),
            "full_name": text([CHINESE_NAMES[i % len(CHINESE_NAMES)] for i in rows]),
            "team": text(["first line" if i % 3 else "second line" for i in rows]),
            "region": text(["DE" if i % 4 else "CN" for i in rows]),
            "role": text(["lead" if i % 7 == 0 else "agent" for i in rows]),
        }
    )
