"""The demo company's club: memberships of a year that few customers take and some give up.

A customer may join after any order but the first (``JOIN_RATE``). At the end of each year the
membership goes on unless the member gives it up, with a probability that the worst ticket of that
year raises; it is in the truth. Both depend on orders and tickets that are on record, and neither
changes what a customer buys: a membership says nothing of the future that the records do not, so
``oracle.py`` need not know of it. Few join, since a contract decides whether its holder is churned.

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

JOIN_RATE = 0.01
"""Part of the orders after the first that a membership follows, of customers who have none yet."""
PLUS_RATE = 0.3
CANCEL_RATE = 0.2
"""Members who give up after a year without any ticket."""
TERM_DAYS, TERM_MONTHS = 365, 12
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
    # instant, position of the member, years charged, whether it ends
    changes: list[tuple[int, int, int, bool]] = []
    ended, chances = np.full(size, -1), np.full(size, np.nan)
    for i in range(size):
        at, years = int(began[i]), 1
        changes.append((at, i, years, False))
        theirs = tickets.customer == customer[i]
        while (at := at + TERM_DAYS * DAY_SECONDS) < end:
            in_term = (tickets.closed < at) & (tickets.closed >= at - TERM_DAYS * DAY_SECONDS)
            worst = tickets.satisfaction[theirs & in_term].min(initial=5.0)
            chances[i] = CANCEL_RATE + float(dropout_probability(worst))
            if rng.random() < chances[i]:
                ended[i] = at
                changes.append((at, i, years, True))
                break
            years += 1
            changes.append((at, i, years, False))
    changes.sort()
    log = np.asarray(changes, dtype=np.int64).reshape(-1, 4)
    changed, which, charged, over = log[:, 0], log[:, 1], log[:, 2], log[:, 3] > 0
    numbers = np.asarray([f"C{block:05d}{i + 1:04d}" for i in range(size)], dtype=object)
    cents = np.asarray([round(price * CENTS) for _, _, price, _ in PLANS], dtype=np.int64)
    monthly = cents[plan[which]]
    skus = np.asarray([sku for sku, *_ in PLANS], dtype=object)
    table = pa.table(
        {
            "membership_no": text(numbers[which]),
            "customer_no": text(customer_numbers[customer[which]]),
            "sku": text(skus[plan[which]]),
            "payment_method": text(np.asarray(METHODS, dtype=object)[method[which]]),
            "started_at": instants(began[which]),
            "ended_at": pa.array(np.asarray(changed, dtype="datetime64[s]"), mask=~over),
            "months": pa.array((changed - began[which]) // (TERM_DAYS * DAY_SECONDS) * TERM_MONTHS),
            "monthly_price": amounts(monthly),
            "charged_amount": amounts(monthly * TERM_MONTHS * charged),
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
