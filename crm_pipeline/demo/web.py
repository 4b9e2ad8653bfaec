"""Visits to the site, bills and stock of the demo company's shop.

Every order of the web or the app ends a session; before and beside it there are sessions without
one, through a funnel of view, cart and checkout. Whether bills are paid late, or not at all, is a
matter of the customer's kind of payer, which is in the truth.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar, Ints
from crm_pipeline.demo.catalogue import Catalogue
from crm_pipeline.demo.sales import CHANNELS as ORDER_CHANNELS
from crm_pipeline.demo.sales import Orders
from crm_pipeline.demo.tables import DAY_SECONDS, amounts, instants, local_seconds, text

OTHER_SESSIONS = 2.0
"""Mean number of sessions without an order for each order of web or app."""
ANONYMOUS_RATE = 0.45
CART_RATE, CHECKOUT_RATE = 0.25, 0.40
DEVICES = ("desktop", "phone", "tablet")
SOURCES = ("direct", "search", "email", "social")
METHODS = ("card", "wallet", "invoice", "direct_debit")
METHOD_SHARES = (0.35, 0.25, 0.28, 0.12)
PAYERS = ("punctual", "late", "bad")
PAYER_SHARES = (0.80, 0.15, 0.05)
FAILURE_RATES = (0.01, 0.03, 0.25)
DUE_DAYS = 14
HOUR = 3600


def sessions_table(
    rng: np.random.Generator,
    block: int,
    orders: Orders,
    order_numbers: np.ndarray,
    customer_numbers: np.ndarray,
    calendar: Calendar,
) -> pa.Table:
    """Rows as delivered: one per session, by time."""
    online = np.flatnonzero(orders.channel != ORDER_CHANNELS.index("store"))
    count = rng.poisson(OTHER_SESSIONS, len(online))
    like = np.repeat(online, count)
    size = len(online) + len(like)
    bought = np.arange(size) < len(online)
    source = np.concatenate([online, like])
    days = rng.integers(0, 9, size)
    at = orders.at[source] - np.where(
        bought, rng.integers(120, 1500, size), days * DAY_SECONDS + rng.integers(1800, 20_000, size)
    )
    customer = np.where(~bought & (rng.random(size) < ANONYMOUS_RATE), -1, orders.customer[source])
    cart = bought | (rng.random(size) < CART_RATE)
    checkout = bought | (cart & (rng.random(size) < CHECKOUT_RATE))
    bounced = ~cart & (rng.random(size) < 0.45)
    products = np.where(bounced, 1, 1 + rng.poisson(3.0, size))
    pages = products + np.where(bounced, 0, rng.poisson(2.0, size)) + cart + 2 * checkout
    seconds = np.where(bounced, 0, 20 + rng.gamma(2, 45, size) * pages).astype(np.int64)
    lots = rng.random((2, size))
    order = np.lexsort((source, bought, at))
    order = order[at[order] >= local_seconds(calendar.start)]
    known = customer[order]
    return pa.table(
        {
            "session_no": text([f"W{block:05d}{i + 1:06d}" for i in range(len(order))]),
            "customer_no": pa.array(
                customer_numbers[np.maximum(known, 0)], mask=known < 0, type=pa.string()
            ),
            "started_at": instants(at[order]),
            "traffic_source": text(
                np.asarray(SOURCES, dtype=object)[(lots[0, order] * len(SOURCES)).astype(int)]
            ),
            "device": text(
                np.asarray(DEVICES, dtype=object)[(lots[1, order] ** 1.5 * 3).astype(int)]
            ),
            "visitor_type": text(np.where(known < 0, "new_visitor", "returning_visitor")),
            "page_count": pa.array(pages[order]),
            "product_page_count": pa.array(products[order]),
            "duration_seconds": pa.array(seconds[order]),
            "has_cart": pa.array(cart[order]),
            "has_checkout": pa.array(checkout[order]),
            "order_no": pa.array(
                order_numbers[source[order]], mask=~bought[order], type=pa.string()
            ),
        }
    )


def draw_payers(rng: np.random.Generator, size: int) -> Ints:
    """What kind of payer each customer is: an index into ``PAYERS``."""
    return rng.choice(len(PAYERS), size, p=PAYER_SHARES)


def payments_table(
    rng: np.random.Generator,
    orders: Orders,
    order_numbers: np.ndarray,
    customer_numbers: np.ndarray,
    cents: Ints,
    payer: Ints,
    calendar: Calendar,
) -> pa.Table:
    """Rows as delivered: one per bill, in the state in which it was at the end of the records."""
    size = len(orders.at)
    end = local_seconds(calendar.end) + DAY_SECONDS
    kind = np.where(orders.customer >= 0, payer[orders.customer], 0)
    method = rng.choice(len(METHODS), size, p=METHOD_SHARES)
    later = method >= METHODS.index("invoice")
    due = orders.at + np.where(later, DUE_DAYS * DAY_SECONDS, 0)
    early = rng.integers(0, 10 * DAY_SECONDS, size)
    delay = (rng.gamma(1.5, 8, size) * DAY_SECONDS).astype(np.int64) + DAY_SECONDS
    is_late = rng.random(size) < np.asarray((0.04, 0.55, 0.75))[kind]
    paid = np.where(later, np.where(is_late, due + delay, due - early), orders.at + 60)
    failed = rng.random(size) < np.asarray(FAILURE_RATES)[kind]
    is_open = ~failed & (paid >= end)
    failed = failed & (due + 30 * DAY_SECONDS < end)
    is_open = is_open | (~failed & (paid >= end))
    status = np.where(failed, "failed", np.where(is_open, "open", "paid"))
    known = orders.customer
    return pa.table(
        {
            "payment_no": text(["P" + number[1:] for number in order_numbers]),
            "order_no": text(order_numbers),
            "customer_no": pa.array(
                customer_numbers[np.maximum(known, 0)], mask=known < 0, type=pa.string()
            ),
            "billed_at": instants(orders.at),
            "method": text(np.asarray(METHODS, dtype=object)[method]),
            "status": text(status),
            "due_at": instants(due),
            "paid_at": pa.array(np.asarray(paid, dtype="datetime64[s]"), mask=status != "paid"),
            "amount": amounts(cents),
        }
    )


def inventory_table(rng: np.random.Generator, catalogue: Catalogue, calendar: Calendar) -> pa.Table:
    """Rows as delivered: what lies in stock of each article, counted once a quarter."""
    breaks = calendar.month_breaks(float(calendar.days))
    days = [int(day) for day in breaks if day < calendar.days][::3]
    goods = len(catalogue.sku)
    size = goods * len(days)
    day = np.repeat(np.asarray(days, dtype=np.int64), goods)
    sku = np.tile(np.asarray(catalogue.sku, dtype=object), len(days))
    at = local_seconds(calendar.start) + day * DAY_SECONDS + 20 * HOUR
    number = np.asarray([f"Z{i + 1:07d}" for i in range(size)], dtype=object)
    return pa.table(
        {
            "count_no": text(number),
            "sku": text(sku),
            "counted_at": instants(at),
            "on_hand": pa.array(rng.negative_binomial(2, 0.03, size)),
            "on_order": pa.array(np.where(rng.random(size) < 0.2, 40, 0)),
            "lead_time_days": pa.array(rng.integers(3, 30, size)),
        }
    )
