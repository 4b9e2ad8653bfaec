"""The demo company's club: memberships of a quarter or a year that some take and some give up.

A customer may join after any order but the first (``JOIN_RATE``). At the end of each term the
membership goes on unless the member gives it up, with a probability that the worst ticket of that
term raises, and that is higher for those who have not ordered of late; it is in the truth. Both
depend on orders and tickets that are on record, and neither changes what a customer buys: a
membership says nothing of the future that the records do not, so ``oracle.py`` need not know of
it. A contract decides whether its holder is churned: members are a minority.

What is exported is a log of changes: a row when a membership begins, is charged again, or ends.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar
from crm_pipeline.demo.catalogue import PLANS
from crm_pipeline.demo.sales import Orders
from crm_pipeline.demo.service import Tickets, dropout_probability
from crm_pipeline.demo.tables import CENTS, DAY_SECONDS, amounts, instants, local_seconds, text

JOIN_RATE = 0.04
"""Part of the orders after the first that a membership follows, of customers who have none yet."""
PLUS_RATE = 0.3
YEARLY_RATE = 0.35
"""Members whose term is a year; that of the others is a quarter."""
TERM_DAYS, TERM_MONTHS = (91, 365), (3, 12)
CANCEL_RATES = (0.06, 0.15)
"""Members who give up after a term without any ticket, by its length, while they buy."""
IDLE_DAYS, IDLE_RATE = 90, 0.20
"""So much more often gives up who has ordered nothing in the last days of the term."""
_TERMS = (TERM_DAYS, TERM_MONTHS)
METHODS = ("direct_debit", "card")


def memberships_tables(
    rng: np.random.Generator,
    block: int,
    orders: Orders,
    tickets: Tickets,
    customer_numbers: np.ndarray,
    calendar: Calendar,
) -> tuple[pa.Table, pa.Table]:
    """Rows as delivered, by time of change, and the truth: one row per membership."""
    end = local_seconds(calendar.end) + DAY_SECONDS
    joined = _joiners(rng, orders)
    customer = np.asarray(list(joined), dtype=np.int64)
    began = np.asarray(list(joined.values()), dtype=np.int64)
    size = len(customer)
    plan = (rng.random(size) < PLUS_RATE).astype(np.int64)
    method = rng.integers(0, len(METHODS), size)
    term = (rng.random(size) < YEARLY_RATE).astype(np.int64)
    # instant, position of the member, terms charged, whether it ends
    changes: list[tuple[int, int, int, bool]] = []
    ended, chances, hazards = np.full(size, -1), np.full(size, np.nan), np.zeros(size)
    for i in range(size):
        at, charged_terms, length = int(began[i]), 1, TERM_DAYS[term[i]] * DAY_SECONDS
        changes.append((at, i, charged_terms, False))
        theirs = tickets.customer == customer[i]
        closed, content = tickets.closed[theirs], tickets.satisfaction[theirs]
        placed = orders.at[orders.customer == customer[i]]
        while (at := at + length) < end:
            worst = content[(closed < at) & (closed >= at - length)].min(initial=5.0)
            idle = not ((placed < at) & (placed >= at - IDLE_DAYS * DAY_SECONDS)).any()
            chances[i] = (
                CANCEL_RATES[term[i]] + IDLE_RATE * idle + float(dropout_probability(worst))
            )
            hazards[i] += chances[i]
            if rng.random() < chances[i]:
                ended[i] = at
                changes.append((at, i, charged_terms, True))
                break
            charged_terms += 1
            changes.append((at, i, charged_terms, False))
    changes.sort()
    log = np.asarray(changes, dtype=np.int64).reshape(-1, 4)
    changed, which, charged, over = log[:, 0], log[:, 1], log[:, 2], log[:, 3] > 0
    numbers = np.asarray([f"C{block:05d}{i + 1:04d}" for i in range(size)], dtype=object)
    cents = np.asarray([round(price * CENTS) for _, _, price, _ in PLANS], dtype=np.int64)
    monthly = cents[plan[which]]
    skus = np.asarray([sku for sku, *_ in PLANS], dtype=object)
    days, months = (np.asarray(parts, dtype=np.int64)[term[which]] for parts in _TERMS)
    table = pa.table(
        {
            "membership_no": text(numbers[which]),
            "customer_no": text(customer_numbers[customer[which]]),
            "sku": text(skus[plan[which]]),
            "payment_method": text(np.asarray(METHODS, dtype=object)[method[which]]),
            "started_at": instants(began[which]),
            "ended_at": pa.array(np.asarray(changed, dtype="datetime64[s]"), mask=~over),
            "term_months": pa.array(months),
            "months": pa.array((changed - began[which]) // (days * DAY_SECONDS) * months),
            "monthly_price": amounts(monthly),
            "charged_amount": amounts(monthly * months * charged),
            "changed_at": instants(changed),
        }
    )
    truth = pa.table(
        {
            "membership_no": text(numbers),
            "customer_no": text(customer_numbers[customer]),
            "started_at": instants(began),
            "ended_at": pa.array(np.asarray(ended, dtype="datetime64[s]"), mask=ended < 0),
            "cancel_probability": pa.array(chances, mask=np.isnan(chances)),
            "cancel_hazard": pa.array(hazards),
        }
    )
    return table, truth


def _joiners(rng: np.random.Generator, orders: Orders) -> dict[int, int]:
    """Who joins, and when, in the order of joining."""
    lots = rng.random(len(orders.at))
    joined: dict[int, int] = {}
    known: set[int] = set()
    for position, customer in enumerate(orders.customer.tolist()):
        if customer < 0:
            continue
        if customer in known and customer not in joined and lots[position] < JOIN_RATE:
            joined[customer] = int(orders.at[position]) + 600
        known.add(customer)
    return joined
