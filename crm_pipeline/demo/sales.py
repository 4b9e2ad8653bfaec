"""Orders, order lines and returns of the demo company.

The behaviour (who, when, how much) comes from ``behaviour.py``; this file finds goods that add
up to each order's amount, so that amounts stay Gamma-Gamma to the cent. Everything drawn here is
independent of the customer's segment once time and amount are given. Money is in whole cents.

Orders are placed between 7 and 23 o'clock local time, so the local day is the UTC day too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar, Floats, Ints
from crm_pipeline.demo.catalogue import CATEGORIES, LOWEST_PRICE, PRICE_RISE, SERVICES, Catalogue
from crm_pipeline.demo.tables import CENTS, DAY_SECONDS, amounts, instants, local_seconds, text

CHANNELS = ("web", "app", "store")
CHANNEL_SHARES = (0.60, 0.25, 0.15)
EXTRA_LINES = 1.6
"""Mean number of goods lines after the first."""
QUANTITIES = (1, 2, 3, 4)
QUANTITY_SHARES = (0.70, 0.20, 0.06, 0.04)
FAVOURITE_RATE = 0.6
"""Part of a customer's orders whose theme is the customer's favourite category."""
FREE_SHIPPING_AMOUNT = 50.0
RETURN_RATE = 0.06
"""Part of the goods lines that come back, in whole or in part."""
NAMED_RETURN_RATE = 0.7
"""Part of known customers' returns that name the order."""
OLD_GOODS_RATE = 0.012
"""Customers who bring back something bought before the records begin, dearer than their first
order: with few orders, their net amount is negative."""
INSTRUCTIONS = ("Leave with neighbour", "Ring twice,\nsecond floor", 'Gate code "4711"')
INSTRUCTION_RATE = 0.02
REASONS = ("too small", "damaged", "changed my mind")


@dataclass(frozen=True)
class Orders:
    """Orders by time; ``customer`` is -1 for guests, ``at`` local seconds, ``target`` EUR.

    ``campaign`` is the position of the campaign that caused the order, -1 for all others, and
    ``number`` what the order number is made of.
    """

    customer: Ints
    at: Ints
    target: Floats
    channel: Ints
    instruction: Ints
    campaign: Ints
    number: Ints


@dataclass(frozen=True)
class Lines:
    """Order lines, by order and line; ``product`` counts goods first, then services."""

    order: Ints
    line: Ints
    product: Ints
    quantity: Ints
    unit_cents: Ints
    cost_cents: Ints


@dataclass(frozen=True)
class Returns:
    """Returned lines by time; ``order`` is -1 where none is named, ``customer`` for guests.

    ``source`` is the order that the goods came from, named or not.
    """

    order: Ints
    source: Ints
    customer: Ints
    product: Ints
    at: Ints
    quantity: Ints
    cents: Ints
    reason: Ints
    names_order: np.ndarray


def opening_seconds(rng: np.random.Generator, size: int) -> Ints:
    """Seconds of the day between 7 and 23 o'clock, most around three in the afternoon."""
    return (7 * 3600 + 16 * 3600 * rng.beta(2, 2, size)).astype(np.int64)


def place_orders(
    rng: np.random.Generator, customer: Ints, time: Floats, amount: Floats, calendar: Calendar
) -> Orders:
    """Give each order a minute, a channel and sometimes a delivery instruction."""
    size = len(customer)
    day = np.minimum(time.astype(np.int64), calendar.days - 1)
    at = local_seconds(calendar.start) + day * DAY_SECONDS + opening_seconds(rng, size)
    channel = rng.choice(len(CHANNELS), size, p=CHANNEL_SHARES)
    instructed = rng.random(size) < INSTRUCTION_RATE
    instruction = np.where(instructed, rng.integers(0, len(INSTRUCTIONS), size), -1)
    order = np.lexsort((customer, at))
    return Orders(
        customer[order], at[order], amount[order], channel[order], instruction[order],
        np.full(size, -1), np.arange(size),
    )  # fmt: skip


def _price_level(at: Ints, calendar: Calendar) -> Floats:
    years = at.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
    return PRICE_RISE ** (years - calendar.start.year).astype(float)


def fill_baskets(
    rng: np.random.Generator, orders: Orders, catalogue: Catalogue, calendar: Calendar
) -> Lines:
    """Find services and goods whose sum is each order's target amount, to some cents."""
    size = len(orders.customer)
    shipped = orders.channel != CHANNELS.index("store")
    small = (orders.target < FREE_SHIPPING_AMOUNT) & (orders.target > 15)
    express = (orders.target >= FREE_SHIPPING_AMOUNT) & (rng.random(size) < 0.05)
    wrapped = (orders.target > 20) & (rng.random(size) < 0.03)
    has_service = np.stack([shipped & small, shipped & express, wrapped])
    service_price = np.asarray([service[2] for service in SERVICES])
    goods_target = orders.target - service_price @ has_service

    count = np.minimum(1 + rng.poisson(EXTRA_LINES, size), goods_target // 3).astype(np.int64)
    count = np.maximum(count, 1)
    order = np.repeat(np.arange(size), count)
    weight = rng.gamma(2.0, size=len(order))
    share = goods_target[order] * weight / np.bincount(order, weight, minlength=size)[order]
    quantity = rng.choice(QUANTITIES, len(order), p=QUANTITY_SHARES)
    quantity = np.where(share / quantity < LOWEST_PRICE, 1, quantity)
    unit = share / quantity

    favourites = rng.integers(0, len(CATEGORIES), int(orders.customer.max(initial=0)) + 1)
    anything = rng.integers(0, len(CATEGORIES), size)
    loyal = (rng.random(size) < FAVOURITE_RATE) & (orders.customer >= 0)
    theme = np.where(loyal, favourites[orders.customer], anything)
    level = _price_level(orders.at, calendar)
    product = catalogue.draw(rng, unit / level[order], theme[order])
    cost = catalogue.cost[product] * level[order]

    which, served = np.nonzero(has_service)
    service_cost = np.asarray([service[3] for service in SERVICES])
    order = np.concatenate([order, served])
    product = np.concatenate([product, len(catalogue.sku) + which])
    quantity = np.concatenate([quantity, np.ones(len(served), dtype=np.int64)])
    unit = np.concatenate([unit, service_price[which]])
    cost = np.concatenate([cost, service_cost[which]])
    position = np.lexsort((product >= len(catalogue.sku), order))
    order = order[position]
    starts = np.searchsorted(order, np.arange(size))
    return Lines(
        order=order,
        line=np.arange(len(order)) - starts[order] + 1,
        product=product[position],
        quantity=quantity[position],
        unit_cents=np.maximum(np.round(unit[position] * CENTS), 1).astype(np.int64),
        cost_cents=np.round(cost[position] * CENTS).astype(np.int64),
    )


def bring_back(
    rng: np.random.Generator,
    orders: Orders,
    lines: Lines,
    buyers: int,
    catalogue: Catalogue,
    calendar: Calendar,
) -> Returns:
    """Draw which lines come back, and who brings back goods from before the records."""
    goods = np.flatnonzero(lines.product < len(catalogue.sku))
    line = goods[rng.random(len(goods)) < RETURN_RATE]
    quantity = 1 + (rng.random(len(line)) * lines.quantity[line]).astype(np.int64)
    customer = orders.customer[lines.order[line]]
    named = (rng.random(len(line)) < NAMED_RETURN_RATE) | (customer < 0)
    days = 1 + rng.geometric(0.12, len(line))

    old = np.flatnonzero(rng.random(buyers) < OLD_GOODS_RATE)
    known = np.flatnonzero(orders.customer >= 0)
    firsts = known[np.unique(orders.customer[known], return_index=True)[1]][old]
    worth = orders.target[firsts] * rng.uniform(1.1, 1.8, len(old))
    old_goods = np.searchsorted(catalogue.price, worth).clip(max=len(catalogue.sku) - 1)

    source = np.concatenate([lines.order[line], firsts])
    days = np.concatenate([days, rng.integers(5, 26, len(old))])
    at = (orders.at[source] // DAY_SECONDS + days) * DAY_SECONDS + opening_seconds(rng, len(source))
    kept = at < local_seconds(calendar.end) + DAY_SECONDS
    position = np.flatnonzero(kept)[np.argsort(at[kept], kind="stable")]
    every = Returns(
        order=np.concatenate([np.where(named, lines.order[line], -1), np.full(len(old), -1)]),
        source=source,
        customer=np.concatenate([customer, old]),
        product=np.concatenate([lines.product[line], old_goods]),
        at=at,
        quantity=np.concatenate([quantity, np.ones(len(old), dtype=np.int64)]),
        cents=np.concatenate(
            [lines.unit_cents[line] * quantity, np.round(worth * CENTS).astype(np.int64)]
        ),
        reason=rng.integers(0, len(REASONS), len(source)),
        names_order=np.concatenate([named, np.zeros(len(old), dtype=bool)]),
    )
    return Returns(*(getattr(every, name)[position] for name in Returns.__dataclass_fields__))


def with_campaigns(
    orders: Orders, lines: Lines, returns: Returns, stay: np.ndarray, extra: Orders, more: Lines
) -> tuple[Orders, Lines, Returns]:
    """The orders that ``stay``, with their lines and returns, and the extra ones, by time."""
    size = len(orders.at)
    kept = np.flatnonzero(stay)
    fields = {
        name: np.concatenate([getattr(orders, name)[kept], getattr(extra, name)])
        for name in Orders.__dataclass_fields__
    }
    fields["number"][len(kept) :] += size
    order = np.lexsort((fields["number"], fields["at"]))
    place = np.full(size + len(extra.at), -1)
    place[fields["number"][order]] = np.arange(len(order))
    joined = {
        name: np.concatenate([getattr(lines, name), getattr(more, name)])
        for name in Lines.__dataclass_fields__
    }
    joined["order"][len(lines.order) :] += size
    joined["order"] = place[joined["order"]]
    there = np.flatnonzero(joined["order"] >= 0)
    there = there[np.lexsort((joined["line"][there], joined["order"][there]))]
    theirs = np.flatnonzero(stay[returns.source])
    back = {name: getattr(returns, name)[theirs] for name in Returns.__dataclass_fields__}
    back["order"] = np.where(back["order"] >= 0, place[back["order"]], -1)
    back["source"] = place[back["source"]]
    return (
        Orders(**{name: values[order] for name, values in fields.items()}),
        Lines(**{name: values[there] for name, values in joined.items()}),
        Returns(**back),
    )


def order_cents(orders: Orders, lines: Lines) -> Ints:
    """What each order comes to."""
    cents = np.bincount(lines.order, lines.quantity * lines.unit_cents, minlength=len(orders.at))
    return cents.astype(np.int64)


def order_numbers(block: int, orders: Orders) -> np.ndarray:
    """Order numbers of a block."""
    return np.asarray([f"A{block:05d}{i + 1:05d}" for i in orders.number.tolist()], dtype=object)


def _named(numbers: np.ndarray, positions: Ints, hidden: np.ndarray) -> pa.Array:
    """Take ``numbers`` at ``positions``; null where ``hidden``."""
    return pa.array(numbers[np.where(hidden, 0, positions)], mask=hidden, type=pa.string())


def _skus(product: Ints, catalogue: Catalogue) -> pa.Array:
    names = np.asarray([*catalogue.sku, *(service[0] for service in SERVICES)], dtype=object)
    return text(names[product])


def first_skus(orders: Orders, lines: Lines, catalogue: Catalogue) -> np.ndarray:
    """Article of each order's first line, which is goods."""
    skus = np.full(len(orders.at), None, dtype=object)
    first = lines.line == 1
    skus[lines.order[first]] = np.asarray(catalogue.sku, dtype=object)[lines.product[first]]
    return skus


def orders_table(block: int, orders: Orders, customer_numbers: np.ndarray) -> pa.Table:
    """Rows as delivered: one per order, by time."""
    instructions = np.asarray([*INSTRUCTIONS, None], dtype=object)
    return pa.table(
        {
            "order_no": text(order_numbers(block, orders)),
            "customer_no": _named(customer_numbers, orders.customer, orders.customer < 0),
            "ordered_at": instants(orders.at),
            "channel": text(np.asarray(CHANNELS, dtype=object)[orders.channel]),
            "delivery_instruction": text(instructions[orders.instruction]),
        }
    )


def order_items_table(block: int, orders: Orders, lines: Lines, catalogue: Catalogue) -> pa.Table:
    """Rows as delivered: one per order line, by order and line."""
    return pa.table(
        {
            "order_no": text(order_numbers(block, orders)[lines.order]),
            "line_no": pa.array(lines.line),
            "ordered_at": instants(orders.at[lines.order]),
            "sku": _skus(lines.product, catalogue),
            "quantity": pa.array(lines.quantity),
            "unit_price": amounts(lines.unit_cents),
            "unit_cost": amounts(lines.cost_cents),
            "line_amount": amounts(lines.quantity * lines.unit_cents),
        }
    )


def returns_table(
    block: int,
    orders: Orders,
    returns: Returns,
    customer_numbers: np.ndarray,
    catalogue: Catalogue,
) -> pa.Table:
    """Rows as delivered: one per returned line, by time."""
    numbers = order_numbers(block, orders)
    return pa.table(
        {
            "return_no": text([f"R{block:05d}{i + 1:05d}" for i in range(len(returns.at))]),
            "order_no": _named(numbers, returns.order, ~returns.names_order),
            "customer_no": _named(customer_numbers, returns.customer, returns.customer < 0),
            "sku": _skus(returns.product, catalogue),
            "returned_at": instants(returns.at),
            "quantity": pa.array(returns.quantity),
            "amount": amounts(returns.cents),
            "reason": text(np.asarray(REASONS, dtype=object)[returns.reason]),
        }
    )


def true_orders_table(
    block: int, orders: Orders, lines: Lines, customer_numbers: np.ndarray
) -> pa.Table:
    """The truth of orders: number, customer (null for guests), local instant and day, amount.

    ``is_caused`` says that a campaign caused it.
    """
    cents = order_cents(orders, lines)
    days = orders.at.astype("datetime64[s]").astype("datetime64[D]")
    return pa.table(
        {
            "order_no": text(order_numbers(block, orders)),
            "customer_no": _named(customer_numbers, orders.customer, orders.customer < 0),
            "ordered_at": instants(orders.at),
            "ordered_on": pa.array(days),
            "amount": amounts(cents),
            "is_caused": pa.array(orders.campaign >= 0),
        }
    )
