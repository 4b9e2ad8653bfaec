"""Campaigns of the demo company: who was sent what, by lot, and which orders that caused.

Campaigns that win customers (advertising by channel and month) are in ``advertising.py``.

Of the customers who know the shop and allow it, part is chosen for each campaign; of these,
``CONTROL_RATE`` are a control group by lot and get nothing. A treated customer who has not dropped
out places one more order within ``WINDOW_DAYS`` with the probability

    effect = lift of the campaign * by acquisition channel * by age, at most .5,

known before the lot is drawn. Those orders are extra: the process of ``behaviour.py`` goes on as
if they had not been.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.demo.behaviour import ORDER_AMOUNT_SHAPE, Calendar, Floats, Ints, Latents
from crm_pipeline.demo.people import Records
from crm_pipeline.demo.persons import Persons
from crm_pipeline.demo.sales import CHANNEL_SHARES as SHOP_CHANNEL_SHARES
from crm_pipeline.demo.sales import Orders
from crm_pipeline.demo.tables import DAY_SECONDS, amounts, instants, local_seconds, text

CAMPAIGN_MONTHS = (2, 5, 8, 11)
CHOSEN_RATE = 0.95
CONTROL_RATE = 0.4
"""Large, so that a company of some thousand customers can learn whom its campaigns move."""
WINDOW_DAYS = 21
MEAN_DELAY_DAYS = 4.0
CHANNEL_FACTORS = (0.1, 0.05, 4.0, 0.05, 3.0)
"""By ``catalogue.CHANNELS``: search, referral, social, fair, catalogue."""
YOUNG_FACTOR, OLD_FACTOR = 1.6, 0.1
LIFTS = (0.14, 0.16, 0.18)
COST_CENTS = {"email": 2, "letter": 85, "sms": 7}
HOUR = 3600
LATEST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Campaign:
    """One campaign."""

    number: str
    name: str
    channel: str
    purpose: str
    begins: date
    lift: float


@dataclass(frozen=True)
class Touches:
    """Who was chosen for which campaign; ``order_at`` is ``LATEST`` where no order was caused.

    ``would_order`` says whom treatment makes order, those in the control group included.
    """

    campaign: Ints
    customer: Ints
    at: Ints
    is_control: np.ndarray
    effect: Floats
    order_at: Ints
    would_order: np.ndarray


def plan(calendar: Calendar) -> list[Campaign]:
    """The company's campaigns, one a quarter."""
    names = ("Spring planting", "早夏促销", "Herbst für Zuhause", "Winter lights")
    channels = ("email", "letter", "email", "sms")
    found: list[Campaign] = []
    for year in range(calendar.start.year, calendar.end.year + 1):
        for quarter, month in enumerate(CAMPAIGN_MONTHS):
            begins = date(year, month, 12)
            if calendar.start < begins < calendar.end - timedelta(days=WINDOW_DAYS):
                n = len(found)
                purpose = "winback" if quarter == 3 else "cross_sell"
                found.append(
                    Campaign(
                        f"C{n + 1:03d}", f"{names[quarter]} {year}", channels[quarter], purpose,
                        begins, LIFTS[n % len(LIFTS)],
                    )
                )  # fmt: skip
    return found


def effect_factors(records: Records, size: int, start_year: int) -> Floats:
    """How much stronger than on the average a campaign works on each customer; 0 unrecorded."""
    factor = np.zeros(size)
    age = start_year - records.birth_year
    by_age = np.where(age < 40, YOUNG_FACTOR, np.where(age >= 60, OLD_FACTOR, 1.0))
    factor[records.customer] = np.asarray(CHANNEL_FACTORS)[records.channel] * by_age
    return factor


def permissions(records: Records, size: int) -> tuple[Ints, np.ndarray, Ints]:
    """First permission's instant (``LATEST`` unrecorded), its value, and when it turned."""
    since, value = np.full(size, LATEST), np.zeros(size, dtype=bool)
    turned = np.full(size, LATEST)
    for who, at, allowed in zip(
        records.customer.tolist(), records.updated.tolist(), records.permission.tolist(),
        strict=True,
    ):  # fmt: skip
        if since[who] == LATEST:
            since[who], value[who] = at, allowed
        elif allowed != value[who]:
            turned[who] = at
    return since, value, turned


def run_campaigns(
    rng: np.random.Generator,
    campaigns: list[Campaign],
    records: Records,
    first_order: Ints,
    leaves: Ints,
    calendar: Calendar,
) -> Touches:
    """Choose, draw the lot, and draw the orders that treatment causes.

    Args:
        rng: The block's stream for campaigns.
        campaigns: What ``plan`` returned.
        records: Customer records.
        first_order: Instant of each customer's first order, ``LATEST`` without one.
        leaves: Instant of each customer's dropout, for whatever reason.
        calendar: The days of the records.
    """
    size = len(first_order)
    since, value, turned = permissions(records, size)
    factor = effect_factors(records, size, calendar.start.year)
    end = local_seconds(calendar.end) + DAY_SECONDS
    parts: list[list[np.ndarray]] = [[] for _ in range(7)]
    for position, campaign in enumerate(campaigns):
        at = local_seconds(campaign.begins) + 9 * HOUR
        allowed = (since <= at) & (value ^ (turned <= at)) & (first_order < at)
        lots = rng.random((4, size))
        who = np.flatnonzero(allowed & (lots[0] < CHOSEN_RATE))
        control = lots[1, who] < CONTROL_RATE
        effect = np.minimum(campaign.lift * factor[who], 0.5)
        days = 1 + np.minimum(-np.log1p(-lots[3, who]) * MEAN_DELAY_DAYS, WINDOW_DAYS - 2)
        late = (days.astype(np.int64) * DAY_SECONDS) + ((days % 1) * 11 * HOUR).astype(np.int64)
        order_at = at + late
        moved = (lots[2, who] < effect) & (order_at < leaves[who]) & (order_at < end)
        found = (
            np.full(len(who), position), who, at + rng.integers(0, 3 * HOUR, len(who)), control,
            effect, np.where(~control & moved, order_at, LATEST), moved,
        )  # fmt: skip
        for part, values in zip(parts, found, strict=True):
            part.append(values)
    if not campaigns:
        nobody = np.zeros(0, dtype=np.int64)
        no = nobody.astype(bool)
        return Touches(nobody, nobody, nobody, no, nobody.astype(float), nobody, no)
    return Touches(*(np.concatenate(part) for part in parts))


def caused_orders(rng: np.random.Generator, touches: Touches, latents: Latents) -> Orders:
    """The orders that campaigns caused, of the customers' usual amounts."""
    which = np.flatnonzero(touches.order_at < LATEST)
    customer = touches.customer[which]
    size = len(which)
    by_time = np.argsort(touches.order_at[which], kind="stable")
    amount = rng.gamma(ORDER_AMOUNT_SHAPE, size=size) / latents.spend_rate[customer]
    return Orders(
        customer[by_time],
        touches.order_at[which][by_time],
        amount[by_time],
        rng.choice(len(SHOP_CHANNEL_SHARES), size, p=SHOP_CHANNEL_SHARES),
        np.full(size, -1),
        touches.campaign[which][by_time],
        np.arange(size),
    )


def campaigns_table(campaigns: list[Campaign], customers: int) -> pa.Table:
    """Rows as delivered: one per campaign."""
    ends = [campaign.begins + timedelta(days=WINDOW_DAYS) for campaign in campaigns]
    begins = [local_seconds(campaign.begins) for campaign in campaigns]
    fixed = [
        60_000 + customers * (60 + COST_CENTS[campaign.channel] // 2) for campaign in campaigns
    ]
    return pa.table(
        {
            "campaign_no": text([campaign.number for campaign in campaigns]),
            "campaign_name": text([campaign.name for campaign in campaigns]),
            "channel": text([campaign.channel for campaign in campaigns]),
            "purpose": text([campaign.purpose for campaign in campaigns]),
            "started_at": instants(np.asarray(begins, dtype=np.int64)),
            "ended_at": instants(np.asarray([local_seconds(day) for day in ends], dtype=np.int64)),
            "cost_amount": amounts(np.asarray(fixed, dtype=np.int64)),
            "is_experiment": pa.array([True] * len(campaigns), type=pa.bool_()),
        }
    )


def marketing_tables(
    rng: np.random.Generator,
    block: int,
    campaigns: list[Campaign],
    touches: Touches,
    records: Records,
    orders: Orders,
    cents: Ints,
    persons: Persons,
) -> tuple[dict[str, pa.Table], pa.Table]:
    """Rows as delivered (campaign_touches, consents), and the truth of the touches.

    Args:
        rng: The block's stream for what campaigns caused.
        block: Position of the block.
        campaigns: What ``plan`` returned.
        touches: Who was chosen.
        records: Customer records.
        orders: All orders of the block.
        cents: What each of them comes to.
        persons: Who the customers are.
    """
    size = len(touches.at)
    numbers = [f"M{block:05d}{i + 1:05d}" for i in range(size)]
    customer = persons.number[touches.customer]
    control = touches.is_control
    bought = _bought_within(touches, orders, orders.customer >= 0)
    spent = _spent_within(touches, orders, cents)
    anyway = _bought_within(touches, orders, (orders.customer >= 0) & (orders.campaign < 0))
    caused = touches.order_at < LATEST
    opened = ~control & (caused | (rng.random(size) < 0.35))
    clicked = opened & (caused | (rng.random(size) < 0.18))
    clicked_at = touches.at + rng.integers(60, 18 * HOUR, size)
    labels = np.asarray([c.number for c in campaigns], dtype=object)
    channels = np.asarray([c.channel for c in campaigns], dtype=object)
    costs = np.asarray([COST_CENTS[c.channel] for c in campaigns], dtype=np.int64)
    seconds = pa.array(np.asarray(clicked_at, dtype="datetime64[s]"), mask=~clicked)
    campaign_no: list[str] = labels[touches.campaign].tolist() if size else []
    rows = pa.table(
        {
            "touch_no": text(numbers),
            "campaign_no": text(campaign_no),
            "customer_no": text(customer),
            "email": text(persons.emails(touches.customer)),
            "touched_at": instants(touches.at),
            "channel": text(channels[touches.campaign] if size else []),
            "arm": text(np.where(control, "control", "treated")),
            "is_opened": pa.array(opened, mask=control),
            "is_clicked": pa.array(clicked, mask=control),
            "clicked_at": seconds,
            "is_converted": pa.array(bought),
            "order_amount": pc.if_else(pa.array(bought), amounts(spent), None),
            "cost_amount": amounts(
                np.where(control, 0, costs[touches.campaign]) if size else np.zeros(0)
            ),
        }
    )
    truth = pa.table(
        {
            "touch_no": text(numbers),
            "campaign_no": text(campaign_no),
            "customer_no": text(customer),
            "touched_at": instants(touches.at),
            "is_control": pa.array(control),
            "effect": pa.array(touches.effect),
            "caused_order": pa.array(caused),
            "ordered_at": pa.array(
                np.asarray(np.where(caused, touches.order_at, 0), dtype="datetime64[s]"),
                mask=~caused,
            ),
            "would_order": pa.array(touches.would_order),
            "buys_anyway": pa.array(anyway),
        }
    )
    return {"campaign_touches": rows, "consents": _consents(block, records, persons)}, truth


def _within(touches: Touches, customer: Ints, at: Ints) -> tuple[Ints, Ints, Ints]:
    """Place orders in the windows of touches.

    Returns:
        The orders' positions by customer and time; for each touch, where in that sequence the
        orders within its window begin, and where they are over.
    """
    # one number that grows with customer and time
    span = np.int64(1) << 33
    placed = customer * span + at
    order = np.argsort(placed, kind="stable")
    begin = touches.customer * span + touches.at
    first = np.searchsorted(placed[order], begin, side="right")
    last = np.searchsorted(placed[order], begin + WINDOW_DAYS * DAY_SECONDS, side="right")
    return order, first, last


def _bought_within(touches: Touches, orders: Orders, known: np.ndarray) -> np.ndarray:
    """Whether any of some orders followed within the window."""
    _, first, last = _within(touches, orders.customer[known], orders.at[known])
    return last > first


def _spent_within(touches: Touches, orders: Orders, cents: Ints) -> Ints:
    """What the orders that followed within the window come to."""
    known = orders.customer >= 0
    order, first, last = _within(touches, orders.customer[known], orders.at[known])
    total = np.concatenate([[0], np.cumsum(cents[known][order])])
    return total[last] - total[first]


def _consents(block: int, records: Records, persons: Persons) -> pa.Table:
    """Consents to e-mails and letters as given, withdrawn, given again."""
    who = np.repeat(records.customer, 2)
    size = len(who)
    channel = np.tile(np.asarray(["email", "phone"], dtype=object), size // 2)
    granted = np.repeat(records.permission, 2) & ((channel == "email") | (who % 3 == 0))
    return pa.table(
        {
            "consent_no": text([f"N{block:05d}{i + 1:05d}" for i in range(size)]),
            "customer_no": text(persons.number[who]),
            "channel": text(channel),
            "purpose": text(["marketing"] * size),
            "changed_at": instants(np.repeat(records.updated, 2)),
            "is_granted": pa.array(granted),
            "email": text(persons.emails(who)),
            "phone": text(persons.phones(who)),
        }
    )
