"""Stock of the demo company's shop: what is counted once a quarter, what was missing or left over.

A count that does not agree with the books is corrected on the next day, at cost.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar
from crm_pipeline.demo.catalogue import PRICE_RISE, Catalogue
from crm_pipeline.demo.tables import (
    CENTS,
    DAY_SECONDS,
    amounts,
    instants,
    local_seconds,
    text,
)

CORRECTED_RATE = 0.03
"""Part of the counts that do not agree with the books."""
LOSS_RATE = 0.8
"""Part of these that miss goods; the others found some."""
HOUR = 3600


def _counts(catalogue: Catalogue, calendar: Calendar) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, article (position) and instant of every count."""
    breaks = calendar.month_breaks(float(calendar.days))
    days = [int(day) for day in breaks if day < calendar.days][::3]
    goods = len(catalogue.sku)
    day = np.repeat(np.asarray(days, dtype=np.int64), goods)
    number = np.asarray([f"Z{i + 1:07d}" for i in range(len(day))], dtype=object)
    at = local_seconds(calendar.start) + day * DAY_SECONDS + 20 * HOUR
    return number, np.tile(np.arange(goods), len(days)), at


def inventory_table(rng: np.random.Generator, catalogue: Catalogue, calendar: Calendar) -> pa.Table:
    """Rows as delivered: what lies in stock of each article, counted once a quarter."""
    number, article, at = _counts(catalogue, calendar)
    size = len(number)
    return pa.table(
        {
            "count_no": text(number),
            "sku": text(np.asarray(catalogue.sku, dtype=object)[article]),
            "counted_at": instants(at),
            "on_hand": pa.array(rng.negative_binomial(2, 0.03, size)),
            "on_order": pa.array(np.where(rng.random(size) < 0.2, 40, 0)),
            "lead_time_days": pa.array(rng.integers(3, 30, size)),
        }
    )


def corrections_table(
    rng: np.random.Generator, catalogue: Catalogue, calendar: Calendar
) -> pa.Table:
    """Rows as delivered: one per count that the books were corrected to, by time."""
    number, article, at = _counts(catalogue, calendar)
    booked = (at // DAY_SECONDS + 1) * DAY_SECONDS + 11 * HOUR
    last = local_seconds(calendar.end) + DAY_SECONDS
    which = np.flatnonzero((rng.random(len(number)) < CORRECTED_RATE) & (booked < last))
    number, article, booked = number[which], article[which], booked[which]
    size = len(which)
    units = 1 + rng.poisson(1.5, size)
    quantity = np.where(rng.random(size) < LOSS_RATE, -units, units)
    years = booked.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
    cost = catalogue.cost[article] * PRICE_RISE ** (years - calendar.start.year).astype(float)
    return pa.table(
        {
            "adjustment_no": text(["K" + count[1:] for count in number]),
            "document_no": text(number),
            "adjusted_at": instants(booked),
            "reason": text(["stock correction"] * size),
            "sku": text(np.asarray(catalogue.sku, dtype=object)[article]),
            "quantity": pa.array(quantity, type=pa.int64()),
            "booked_amount": amounts(quantity * np.round(cost * CENTS).astype(np.int64)),
        }
    )
