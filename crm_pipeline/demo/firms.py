"""The firms behind the business accounts: trade, people, revenue, age, and who owns whom.

How many people a firm has goes with its account's size, its revenue with its people and trade.
Small and medium firms may belong to a large one. Part of the firms do not tell, and one trade is
now and then misspelt; dbt's seed ``value_corrections`` knows what is meant.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Ints
from crm_pipeline.demo.tables import text

INDUSTRIES = ("retail", "hospitality", "crafts", "real estate", "healthcare", "education")
INDUSTRY_SHARES = (0.28, 0.22, 0.18, 0.12, 0.12, 0.08)
MISSPELT = {"hospitality": "hospitalty"}
MISSPELT_RATE = 0.1
PEOPLE = ((1, 50), (50, 250), (250, 6000))
"""Least and, exclusive, most people by size: small, medium, large."""
THOUSANDS_PER_HEAD = (190.0, 65.0, 95.0, 240.0, 80.0, 60.0)
"""Typical revenue of a year by trade, in thousands of EUR for each person."""
UNTOLD_RATE = 0.08
SUBSIDIARY_RATE = 0.10


def firm_columns(
    rng: np.random.Generator, account_no: np.ndarray, how_large: Ints, start_year: int
) -> dict[str, pa.Array]:
    """Columns of the accounts; ``how_large`` is 0 small, 1 medium, 2 large."""
    size = len(account_no)
    trade = rng.choice(len(INDUSTRIES), size, p=INDUSTRY_SHARES)
    lots = rng.random((5, size))
    least, most = np.asarray(PEOPLE, dtype=float)[how_large].T
    # log-even: most firms of a class are among its smaller ones
    people = np.floor(least * (most / least) ** lots[0]).astype(np.int64)
    revenue = people * np.asarray(THOUSANDS_PER_HEAD)[trade] * rng.lognormal(0, 0.4, size)
    founded = start_year - 1 - (90 * lots[1] ** 2).astype(np.int64)
    names = [INDUSTRIES[i] for i in trade]
    written = [
        MISSPELT.get(name, name) if lot < MISSPELT_RATE else name
        for name, lot in zip(names, lots[2].tolist(), strict=True)
    ]
    parent = np.full(size, None, dtype=object)
    owners = np.flatnonzero(how_large == 2)
    if len(owners):
        owned = np.flatnonzero((how_large < 2) & (lots[3] < SUBSIDIARY_RATE))
        parent[owned] = account_no[owners[rng.integers(0, len(owners), len(owned))]]
    untold = lots[4] < UNTOLD_RATE
    return {
        "industry": text(written),
        "employee_count": pa.array(people, mask=untold),
        "revenue_thousands": pa.array(np.round(revenue).astype(np.int64), mask=untold),
        "founded_year": pa.array(founded),
        "parent_account_no": text(parent),
    }
