"""What the demo company spends to win customers: advertising by channel and month, costs only.

Customers come through a channel that their record tells; nobody notes which advertisement it was.
So these campaigns have no touches: what a new customer costs is the month's spending in a channel,
by its new customers. Spending follows what the company expects: the customers whom the process of
``behaviour.py`` brings in that month, at the price of the channel, more or less. It changes nobody.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import ARRIVAL_POWER, Calendar
from crm_pipeline.demo.catalogue import CHANNEL_SHARES, CHANNELS
from crm_pipeline.demo.tables import CENTS, amounts, instants, local_seconds, text

NAMES = {
    "search": "Search ads",
    "referral": "Friends bring friends",
    "social": "社交媒体广告",
    "fair": "Messestände",
    "catalogue": "Catalogue to new households",
}
COST_PER_CUSTOMER = {
    "search": 19.0,
    "referral": 8.0,
    "social": 24.0,
    "fair": 46.0,
    "catalogue": 31.0,
}
"""What the company reckons with for each customer expected through the channel, in EUR."""
SPREAD = 0.15
"""Of the month's spending around that, on the log scale."""


def months_of(calendar: Calendar) -> list[tuple[date, date]]:
    """First and last day of each month within the records."""
    found, first = [], calendar.start
    while first <= calendar.end:
        after = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        found.append((first, min(after - timedelta(days=1), calendar.end)))
        first = after
    return found


def expected_share(calendar: Calendar, first: date, last: date) -> float:
    """Part of all buyers whose first order is expected from ``first`` to ``last``."""
    begin, end = calendar.day_of(first) / calendar.days, (calendar.day_of(last) + 1) / calendar.days
    return float(end ** (1 / ARRIVAL_POWER) - begin ** (1 / ARRIVAL_POWER))


def advertising_table(rng: np.random.Generator, customers: int, calendar: Calendar) -> pa.Table:
    """Rows as delivered, beside those of ``marketing.campaigns_table``: one per channel and month.

    Args:
        rng: A stream of its own.
        customers: Size of the company.
        calendar: The days of the records.
    """
    months = months_of(calendar)
    channels = [channel for _ in months for channel in CHANNELS]
    days = [both for both in months for _ in CHANNELS]
    share = np.asarray([expected_share(calendar, *both) for both in days])
    share = share * np.tile(CHANNEL_SHARES, len(months))
    price = np.asarray([COST_PER_CUSTOMER[channel] for channel in channels])
    cost = customers * share * price * rng.lognormal(0, SPREAD, len(days))
    return pa.table(
        {
            "campaign_no": text([f"A{n + 1:03d}" for n in range(len(days))]),
            "campaign_name": text(
                [f"{NAMES[c]} {first:%Y-%m}" for c, (first, _) in zip(channels, days, strict=True)]
            ),
            "channel": text(channels),
            "purpose": text(["acquisition"] * len(days)),
            "started_at": instants(np.asarray([local_seconds(first) for first, _ in days])),
            "ended_at": instants(np.asarray([local_seconds(last) for _, last in days])),
            "cost_amount": amounts(np.round(cost * CENTS)),
            "is_experiment": pa.array([False] * len(days)),
        }
    )
