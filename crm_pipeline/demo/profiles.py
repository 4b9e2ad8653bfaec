"""What part of the demo company's customers tell about themselves: income, schooling, occupation.

Marketing asks now and then and keeps the answers as typed, in all sorts of cases; not everybody
tells everything. Nothing of it depends on the customer's segment, so it betrays nobody's future.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.demo.behaviour import Calendar
from crm_pipeline.demo.people import Records
from crm_pipeline.demo.persons import Persons
from crm_pipeline.demo.tables import CENTS, DAY_SECONDS, amounts, instants, local_seconds, text

TOLD_RATE = 0.35
"""Customers with a record who answered."""
UNTOLD_RATES = (0.20, 0.05, 0.10)
"""Answers that leave out income, schooling, occupation."""
EDUCATION = ("primary", "secondary", "vocational", "bachelor", "master", "doctorate")
EDUCATION_SHARES = (0.04, 0.22, 0.32, 0.22, 0.16, 0.04)
YEARLY_INCOMES = (21_000.0, 29_000.0, 35_000.0, 44_000.0, 56_000.0, 68_000.0)
"""Median by schooling, in EUR."""
OCCUPATIONS = ("employee", "civil servant", "self-employed", "craftsperson", "at home", "student")
OCCUPATION_SHARES = (0.48, 0.10, 0.14, 0.14, 0.08, 0.06)
INCOME_FACTORS = (1.0, 1.1, 1.2, 0.95, 0.5, 0.35)
RETIRED, RETIRED_AGE, RETIRED_FACTOR = "retired", 66, 0.6
CARELESS_RATE = 0.12
"""Words typed in capitals or with a blank too many."""


def profiles_table(
    rng: np.random.Generator, records: Records, persons: Persons, calendar: Calendar
) -> pa.Table:
    """Rows as delivered: one per customer who answered, by time.

    Args:
        rng: A stream of its own.
        records: Customer records; the first version says since when the customer is known.
        persons: Who the customers are.
        calendar: The days of the records.
    """
    known, first = np.unique(records.customer, return_index=True)
    lots = rng.random((7, len(known)))
    end = local_seconds(calendar.end)
    since = records.registered[first]
    days = (end - since) // DAY_SECONDS
    asked = np.flatnonzero((lots[0] < TOLD_RATE) & (days > 1))
    at = since[asked] + DAY_SECONDS + (lots[1, asked] * (days[asked] - 1)).astype(int) * DAY_SECONDS
    asked, at = (part[np.argsort(at, kind="stable")] for part in (asked, at))
    school = _drawn(lots[2, asked], EDUCATION_SHARES)
    work = _drawn(lots[3, asked], OCCUPATION_SHARES)
    old = calendar.start.year - records.birth_year[first][asked] >= RETIRED_AGE
    occupation = np.where(old, RETIRED, np.asarray(OCCUPATIONS, dtype=object)[work])
    factor = np.where(old, RETIRED_FACTOR, np.asarray(INCOME_FACTORS)[work])
    income = np.asarray(YEARLY_INCOMES)[school] * factor * rng.lognormal(0, 0.3, len(asked))
    untold = lots[4:, asked] * 1.0 < np.asarray(UNTOLD_RATES)[:, None]
    careless = rng.random((2, len(asked))) < CARELESS_RATE
    told = amounts(np.round(income / 100) * 100 * CENTS)
    return pa.table(
        {
            "customer_no": text(persons.number[known[asked]]),
            "answered_at": instants(at),
            "income": pc.if_else(pa.array(untold[0]), None, told),
            "education": _typed(
                np.asarray(EDUCATION, dtype=object)[school], untold[1], careless[0]
            ),
            "occupation": _typed(occupation, untold[2], careless[1]),
        }
    )


def _drawn(lots: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    return np.searchsorted(np.cumsum(shares)[:-1], lots, side="right")


def _typed(words: np.ndarray, untold: np.ndarray, careless: np.ndarray) -> pa.Array:
    return text(
        [
            None if silent else f"{word.capitalize()} " if hasty else word
            for word, silent, hasty in zip(words, untold, careless, strict=True)
        ]
    )
