"""Visits to the site of the demo company's shop.

Every order of the web or the app ends a session; in the days before and after it there are sessions
without one, through a funnel of view, cart and checkout.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar
from crm_pipeline.demo.sales import CHANNELS as ORDER_CHANNELS
from crm_pipeline.demo.sales import Orders
from crm_pipeline.demo.tables import DAY_SECONDS, instants, local_seconds, text

OTHER_SESSIONS = 2.0
"""Mean number of sessions without an order for each order of web or app."""
ANONYMOUS_RATE = 0.45
CART_RATE, CHECKOUT_RATE = 0.25, 0.40
DEVICES = ("desktop", "phone", "tablet")
SOURCES = ("direct", "search", "email", "social")
AROUND_DAYS = 8
"""How far before or after an order the sessions without one lie, in days."""


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
    before = np.where(bought, rng.integers(120, 1500, size), rng.integers(1800, 20_000, size))
    at = orders.at[source] - before
    days = rng.integers(-AROUND_DAYS, AROUND_DAYS + 1, size)
    day = at // DAY_SECONDS + np.where(bought, 0, days)
    # what would lie beyond the records comes back from their edge: all days are alike to the last
    last = local_seconds(calendar.end) // DAY_SECONDS
    day = np.where(day > last, 2 * last + 1 - day, day)
    at = day * DAY_SECONDS + at % DAY_SECONDS
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
