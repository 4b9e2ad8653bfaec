"""The customer records of the demo company: who they are, where they live, what changed.

Nothing in a record depends on the customer's segment, so only behaviour can tell segments apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar, Floats, Ints
from crm_pipeline.demo.catalogue import (
    CHANNEL_SHARES,
    CHANNELS,
    COUNTRIES,
    COUNTRY_SHARES,
    FIRST_NAMES,
    LAST_NAMES,
)
from crm_pipeline.demo.sales import Orders, opening_seconds
from crm_pipeline.demo.tables import DAY_SECONDS, instants, local_seconds, text

UNRECORDED_RATE = 0.005
"""Buyers whose customer record was never exported: known by their orders only."""
CHANGE_RATE = 0.08
"""Customers who moved once: their record has two versions."""
PERMISSION_RATE = 0.62


@dataclass(frozen=True)
class Records:
    """Customer records, one row a version, the older first.

    Attributes:
        customer: Position in the block.
        registered, updated: Local seconds.
        place: Index into ``_PLACES``.
        channel, birth_year, first_name, last_name: Immutable.
        gender: 0 female, 1 male, 2 other, 3 unknown.
        permission: Whether marketing is allowed.
        has_record: One entry a customer of the block.
    """

    customer: Ints
    registered: Ints
    updated: Ints
    place: Ints
    channel: Ints
    birth_year: Ints
    first_name: Ints
    last_name: Ints
    gender: Ints
    permission: np.ndarray
    has_record: np.ndarray


_PLACES = [
    (country, region, city) for country, places in COUNTRIES.items() for region, city in places
]
_PLACE_SHARES: Floats = np.asarray(
    [
        share / len(places)
        for share, places in zip(COUNTRY_SHARES, COUNTRIES.values(), strict=True)
        for _ in places
    ]
)
_GENDERS = ("f", "m", "x", None)


def enrol(rng: np.random.Generator, orders: Orders, size: int, calendar: Calendar) -> Records:
    """Draw the records of a block: registered by the first order, or at any time without one."""
    begin, end = local_seconds(calendar.start), local_seconds(calendar.end)
    registered = (
        begin + rng.integers(0, calendar.days, size) * DAY_SECONDS + opening_seconds(rng, size)
    )
    earliest = np.full(size, np.iinfo(np.int64).max)
    known = orders.customer >= 0
    np.minimum.at(earliest, orders.customer[known], orders.at[known])
    buys = earliest < np.iinfo(np.int64).max
    at_checkout = earliest - rng.integers(60, 1800, size)
    days_before = rng.integers(1, 21, size) * DAY_SECONDS
    before = earliest // DAY_SECONDS * DAY_SECONDS - days_before + opening_seconds(rng, size)
    registered = np.where(buys, np.where(rng.random(size) < 0.6, at_checkout, before), registered)

    has_record = ~buys | (rng.random(size) >= UNRECORDED_RATE)
    room = end - registered
    moved = has_record & (rng.random(size) < CHANGE_RATE) & (room > 30 * DAY_SECONDS)
    changed = registered + DAY_SECONDS + (rng.random(size) * (room - DAY_SECONDS)).astype(np.int64)
    changed = changed // DAY_SECONDS * DAY_SECONDS + opening_seconds(rng, size)

    old_place, new_place = (rng.choice(len(_PLACES), size, p=_PLACE_SHARES) for _ in range(2))
    permission = rng.random(size) < PERMISSION_RATE
    fixed = {
        "channel": rng.choice(len(CHANNELS), size, p=CHANNEL_SHARES),
        "birth_year": calendar.start.year - rng.normal(44, 13, size).clip(18, 90).astype(np.int64),
        "first_name": rng.integers(0, len(FIRST_NAMES), size),
        "last_name": rng.integers(0, len(LAST_NAMES), size),
        "gender": rng.choice(4, size, p=[0.46, 0.42, 0.02, 0.10]),
    }
    one, two = np.flatnonzero(has_record), np.flatnonzero(moved)
    customer = np.concatenate([one, two])
    updated = np.concatenate([registered[one], changed[two]])
    place = np.concatenate([old_place[one], new_place[two]])
    allowed = np.concatenate([permission[one], ~permission[two]])
    order = np.lexsort((customer, updated))
    return Records(
        customer=customer[order],
        registered=registered[customer][order],
        updated=updated[order],
        place=place[order],
        permission=allowed[order],
        has_record=has_record,
        **{name: values[customer][order] for name, values in fixed.items()},
    )


def _birthdays(records: Records, numbers: np.ndarray) -> list[str]:
    """Days of birth as a form has them, by the customer's number: no stream is drawn from."""
    days = [int("".join(filter(str.isdigit, number))) * 211 % 365 for number in numbers]
    return [
        (date(1999, 1, 1) + timedelta(days=day)).replace(year=int(year)).strftime("%d.%m.%Y")
        for day, year in zip(days, records.birth_year, strict=True)
    ]


def customers_table(records: Records, numbers: np.ndarray) -> pa.Table:
    """Rows as delivered: one per version of a customer record, by time of change."""
    first = [FIRST_NAMES[i] for i in records.first_name]
    last = [LAST_NAMES[i] for i in records.last_name]
    no = numbers[records.customer]
    names = [f"{a} {b}" for a, b in zip(first, last, strict=True)]
    names[::50] = [f"{b}; {a}" for a, b in zip(first[::50], last[::50], strict=True)]
    return pa.table(
        {
            "customer_no": text(no),
            "full_name": text(names),
            "email": text([f"{number.lower()}@example.com" for number in no]),
            "registered_at": instants(records.registered),
            "updated_at": instants(records.updated),
            "country": text([_PLACES[i][0] for i in records.place]),
            "region": text([_PLACES[i][1] for i in records.place]),
            "city": text([_PLACES[i][2] for i in records.place]),
            "acquisition_channel": text([CHANNELS[i] for i in records.channel]),
            "gender": text([_GENDERS[i] for i in records.gender]),
            "birth_year": pa.array(records.birth_year),
            "birth_date": text(_birthdays(records, no)),
            "marketing_permission": text(["Y" if yes else "N" for yes in records.permission]),
        }
    )
