"""Business customers: accounts with numbers of their own, leads, and opportunities through stages.

A lead becomes an opportunity with a probability by its channel. An opportunity passes from stage
to stage with ``pass_probability``, whose log-odds add a part for the stage, the account's size,
its owner's skill and, the larger the deal, a little less. All of that is kept in the truth.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar, Floats, Ints
from crm_pipeline.demo.catalogue import Catalogue
from crm_pipeline.demo.firms import firm_columns
from crm_pipeline.demo.persons import CHINESE_NAMES, Persons
from crm_pipeline.demo.sales import opening_seconds
from crm_pipeline.demo.tables import DAY_SECONDS, amounts, instants, local_seconds, text

BUSINESS_RATE = 0.06
"""Customers who are businesses: they have an account and a customer number."""
STRANGER_RATE = 0.03
"""Accounts that have never bought in the shop, as a part of the customers."""
LEADS_PER_ACCOUNT = 4.0
OWNERS = 12
SIZES = ("small", "medium", "large")
SIZE_SHARES = (0.6, 0.3, 0.1)
SIZE_LOG_ODDS = (0.2, 0.0, -0.4)
SIZE_AMOUNTS = (900.0, 4_000.0, 22_000.0)
CHANNELS = ("web", "referral", "fair", "cold_call")
CHANNEL_SHARES = (0.45, 0.25, 0.15, 0.15)
LEAD_RATES = (0.30, 0.70, 0.45, 0.08)
DECISION_DAYS = 22
"""Mean time until a lead that becomes an opportunity does."""
STAGES = ("qualification", "proposal", "negotiation")
STAGE_LOG_ODDS = (1.1, 0.7, 1.0)
STAGE_DAYS = (9, 14, 11)
REGIONS = ("DE", "AT", "CH", "CN")
HOUR = 3600


def owner_skill() -> Floats:
    """Log-odds that an owner adds at every stage."""
    return np.linspace(-0.6, 0.6, OWNERS)


def pass_probability(stage: int, size: Ints, owner: Ints, amount: Floats) -> Floats:
    """Probability of passing a stage."""
    odds = (
        STAGE_LOG_ODDS[stage]
        + np.asarray(SIZE_LOG_ODDS)[size]
        + owner_skill()[owner]
        - 0.15 * np.log(amount / np.asarray(SIZE_AMOUNTS)[size])
    )
    return 1 / (1 + np.exp(-odds))


def owners_table() -> pa.Table:
    """Who sells to businesses."""
    rows = range(OWNERS)
    return pa.table(
        {
            "owner_no": text([f"V{i + 1:02d}" for i in rows]),
            "full_name": text([CHINESE_NAMES[i % len(CHINESE_NAMES)] for i in rows]),
            "team": text(["Key accounts" if i % 3 == 0 else "Geschäftskunden" for i in rows]),
            "region": text([REGIONS[i % len(REGIONS)] for i in rows]),
            "role": text(["manager" if i % 6 == 0 else "representative" for i in rows]),
        }
    )


def business_tables(
    rng: np.random.Generator,
    found: np.random.Generator,
    block: int,
    persons: Persons,
    catalogue: Catalogue,
    calendar: Calendar,
) -> tuple[dict[str, pa.Table], pa.Table]:
    """Rows as delivered (accounts, customer_links, leads, opportunities, opportunity_stages).

    Args:
        rng: The block's stream for sales.
        found: The block's stream for what the firms are.
        block: Position of the block.
        persons: Who the customers are.
        catalogue: What opportunities are about.
        calendar: The days of the records.

    Returns:
        The tables, and the truth: one row per opportunity, its probability of being won when it
        was opened, and what became of it.
    """
    size = len(persons.number)
    begin, end = local_seconds(calendar.start), local_seconds(calendar.end)
    linked = np.sort(rng.choice(size, max(round(BUSINESS_RATE * size), 1), replace=False))
    strangers = round(STRANGER_RATE * size)
    accounts = len(linked) + strangers
    person = np.concatenate([linked, rng.integers(0, size, strangers)])
    account_no = np.asarray([f"B-{block:05d}{i + 1:04d}" for i in range(accounts)], dtype=object)
    how_large = rng.choice(len(SIZES), accounts, p=SIZE_SHARES)
    region = rng.integers(0, 3, accounts)
    created = begin + rng.integers(0, calendar.days, accounts) * DAY_SECONDS
    created = created + 9 * HOUR + rng.integers(0, 8 * HOUR, accounts)
    names = [f"{persons.full_name[i]} & Söhne GmbH" for i in person]
    tables = {
        "accounts": pa.table(
            {
                "account_no": text(account_no),
                "account_name": text(names),
                "contact_name": text(persons.full_name[person]),
                "contact_email": text(persons.emails(person)),
                "contact_phone": text(persons.phones(person)),
                "street": text(persons.streets(person)),
                "country": text(np.asarray(REGIONS, dtype=object)[region]),
                "size": text(np.asarray(SIZES, dtype=object)[how_large]),
                **firm_columns(found, account_no, how_large, calendar.start.year),
                "created_at": instants(created),
            }
        ),
        "customer_links": pa.table(
            {
                "account_no": text(account_no[: len(linked)]),
                "customer_no": text(persons.number[linked]),
            }
        ),
    }
    owner = rng.integers(0, OWNERS, accounts)

    account = np.repeat(np.arange(accounts), rng.poisson(LEADS_PER_ACCOUNT, accounts))
    leads = len(account)
    left = end - created[account]
    lead_day = (created[account] + (rng.random(leads) * left).astype(np.int64)) // DAY_SECONDS
    lead_at = lead_day * DAY_SECONDS + opening_seconds(rng, leads)
    channel = rng.choice(len(CHANNELS), leads, p=CHANNEL_SHARES)
    chance = np.asarray(LEAD_RATES)[channel]
    waited = 1 + rng.geometric(1 / DECISION_DAYS, leads)
    opened = (lead_day + waited) * DAY_SECONDS + opening_seconds(rng, leads)
    converts = (rng.random(leads) < chance) & (opened < end)
    lead_no = np.asarray([f"L{block:05d}{i + 1:05d}" for i in range(leads)], dtype=object)
    lead = np.flatnonzero(converts)
    deals = len(lead)
    deal_no = np.asarray([f"D{block:05d}{i + 1:05d}" for i in range(deals)], dtype=object)
    deal_of = np.full(leads, None, dtype=object)
    deal_of[lead] = deal_no
    old = end - lead_at > 60 * DAY_SECONDS
    status = np.where(converts, "converted", np.where(old, "disqualified", "open"))
    tables["leads"] = pa.table(
        {
            "lead_no": text(lead_no),
            "account_no": text(account_no[account]),
            "owner_no": _owner_numbers(owner[account]),
            "created_at": instants(lead_at),
            "channel": text(np.asarray(CHANNELS, dtype=object)[channel]),
            "status": text(status),
            "converted_at": pa.array(np.asarray(opened, dtype="datetime64[s]"), mask=~converts),
            "opportunity_no": text(deal_of),
            "contact_email": text(persons.emails(person[account])),
            "note": text(
                [f"Spoke to {persons.full_name[i]}, {persons.email[i]}" for i in person[account]]
            ),
        }
    )
    of_deal = account[lead]
    deal_size, deal_owner = how_large[of_deal], owner[of_deal]
    amount = np.asarray(SIZE_AMOUNTS)[deal_size] * rng.lognormal(0, 0.5, deals)
    sku = np.asarray(catalogue.sku, dtype=object)[rng.integers(0, len(catalogue.sku), deals)]
    chances = [pass_probability(n, deal_size, deal_owner, amount) for n in range(len(STAGES))]
    steps: list[tuple[np.ndarray, np.ndarray, str]] = []
    at, alive = opened[lead], np.ones(deals, dtype=bool)
    stage = np.full(deals, STAGES[0], dtype=object)
    closed, won = np.full(deals, -1), np.zeros(deals, dtype=bool)
    for position, name in enumerate(STAGES):
        here = np.flatnonzero(alive & (at < end))
        stage[here] = name
        steps.append((here, at[here], name))
        at = at + rng.geometric(1 / STAGE_DAYS[position], deals) * DAY_SECONDS
        passed = rng.random(deals) < chances[position]
        is_last = position == len(STAGES) - 1
        stops = alive & (at < end) & (~passed | is_last)
        closed = np.where(stops, at, closed)
        won = won | (stops & passed)
        alive = alive & (at < end) & ~stops
    over = np.flatnonzero(closed >= 0)
    stage[over] = np.where(won[over], "won", "lost")
    for name, which in (("won", over[won[over]]), ("lost", over[~won[over]])):
        steps.append((which, closed[which], name))
    expected = (opened[lead] // DAY_SECONDS + rng.integers(20, 70, deals)).astype("datetime64[D]")
    is_open = closed < 0
    tables["opportunities"] = pa.table(
        {
            "opportunity_no": text(deal_no),
            "account_no": text(account_no[of_deal]),
            "lead_no": text(lead_no[lead]),
            "owner_no": _owner_numbers(deal_owner),
            "sku": text(sku),
            "stage": text(stage),
            "opened_at": instants(opened[lead]),
            "closed_at": pa.array(np.asarray(closed, dtype="datetime64[s]"), mask=is_open),
            "expected_close_on": pa.array(expected),
            "amount": amounts(np.round(amount * 100)),
        }
    )
    which = np.concatenate([part[0] for part in steps])
    entered = np.concatenate([part[1] for part in steps])
    label = np.concatenate([np.full(len(part[0]), part[2], dtype=object) for part in steps])
    order = np.lexsort((entered, which))
    tables["opportunity_stages"] = pa.table(
        {
            "opportunity_no": text(deal_no[which[order]]),
            "stage": text(label[order]),
            "entered_at": instants(entered[order]),
        }
    )
    truth = pa.table(
        {
            "opportunity_no": text(deal_no),
            "account_size": text(np.asarray(SIZES, dtype=object)[deal_size]),
            "owner_no": _owner_numbers(deal_owner),
            "win_probability": pa.array(np.prod(chances, axis=0)),
            "is_won": pa.array(won, mask=is_open),
        }
    )
    return tables, truth


def _owner_numbers(owner: Ints) -> pa.Array:
    names = np.asarray([f"V{i + 1:02d}" for i in range(OWNERS)], dtype=object)
    return text(names[owner])
