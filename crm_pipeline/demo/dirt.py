"""What goes wrong on the way into the demo company's files: a known number of rows of each kind.

A faulty row is an extra row, a broken copy of a good one that is delivered too. So quarantining
exactly the faulty rows, and keeping one row a key, restores the clean records to the cent, and
tests can compare what was published with the truth. Each kind of fault stays below .3 % of a
table's rows (duplicates .5 %), all together below 3 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crm_pipeline.demo.behaviour import Ints

FAULT_RATE = 0.002
DUPLICATE_RATE = 0.005


@dataclass(frozen=True)
class Fault:
    """One kind of faulty row.

    Attributes:
        kind: The reason that landing gives: bad_type, missing_value, out_of_range, ragged_line,
            bad_json; or duplicate_row, unknown_customer, erased_customer, which land.
        column: The column at fault; empty where the whole row is.
        value: What the column holds instead.
    """

    kind: str
    column: str = ""
    value: Any = None

    @property
    def is_quarantined(self) -> bool:
        """Whether landing must set the row aside.

        A duplicate lands and loses to its twin; a row that names nobody known lands and stays.
        """
        return self.kind != "duplicate_row" and self.kind not in STRANGERS

    @property
    def rate(self) -> float:
        """Faulty rows for each good one."""
        return FAULT_RATE if self.is_quarantined else DUPLICATE_RATE


FAULTS: dict[str, tuple[Fault, ...]] = {
    "customers": (
        Fault("bad_type", "birth_year", "19x4"),
        Fault("bad_type", "updated_at", "31.02.2025 10:00:00"),
        Fault("missing_value", "customer_no"),
        Fault("out_of_range", "birth_year", 1091),
        Fault("duplicate_row"),
    ),
    "products": (
        Fault("missing_value", "sku"),
        Fault("out_of_range", "list_price", -1),
        Fault("duplicate_row"),
    ),
    "orders": (
        Fault("bad_type", "ordered_at", "not recorded"),
        Fault("out_of_range", "ordered_at", "2999-01-01 00:00:00"),
        Fault("missing_value", "order_no"),
        Fault("ragged_line"),
        Fault("duplicate_row"),
    ),
    "order_items": (
        Fault("bad_type", "quantity", "two"),
        Fault("bad_type", "unit_price", "12,50 EUR"),
        Fault("missing_value", "line_no"),
        Fault("missing_value", "sku"),
        Fault("out_of_range", "quantity", -1),
        Fault("ragged_line"),
        Fault("duplicate_row"),
    ),
    "returns": (
        Fault("bad_type", "returned_at", "yesterday"),
        Fault("bad_type", "quantity", "three"),
        Fault("missing_value", "return_no"),
        Fault("out_of_range", "quantity", 0),
        Fault("bad_json"),
        Fault("duplicate_row"),
    ),
    "payments": (
        Fault("bad_type", "amount", "forty"),
        Fault("bad_type", "paid_at", "soon"),
        Fault("missing_value", "payment_no"),
        Fault("duplicate_row"),
    ),
    "sessions": (
        Fault("missing_value", "session_no"),
        Fault("out_of_range", "page_count", -1),
        Fault("duplicate_row"),
    ),
    "inventory": (Fault("bad_type", "on_hand", "some"), Fault("duplicate_row")),
    "adjustments": (
        Fault("bad_type", "booked_amount", "see file"),
        Fault("missing_value", "adjustment_no"),
        Fault("duplicate_row"),
    ),
    "memberships": (
        Fault("bad_type", "changed_at", "next year"),
        Fault("bad_json"),
        Fault("duplicate_row"),
    ),
    "tickets": (
        Fault("bad_type", "opened_at", "last week"),
        Fault("missing_value", "ticket_no"),
        Fault("ragged_line"),
        Fault("unknown_customer", "customer_no", "K9999999"),
        Fault("duplicate_row"),
    ),
    "ticket_events": (
        Fault("bad_type", "occurred_at", "after lunch"),
        Fault("missing_value", "state"),
        Fault("bad_json"),
        Fault("duplicate_row"),
    ),
    "interactions": (
        Fault("bad_type", "duration_seconds", "5 min"),
        Fault("missing_value", "interaction_no"),
        Fault("duplicate_row"),
    ),
    "survey_responses": (
        Fault("out_of_range", "score", 99),
        Fault("bad_type", "score", "好"),
        Fault("missing_value", "response_no"),
        Fault("duplicate_row"),
    ),
    "customer_tags": (
        Fault("missing_value", "tag"),
        Fault("bad_type", "tagged_at", "Monday"),
        Fault("duplicate_row"),
    ),
    "campaign_touches": (
        Fault("bad_type", "touched_at", "tomorrow"),
        Fault("missing_value", "campaign_no"),
        Fault("erased_customer", "customer_no", "K9999998"),
        Fault("duplicate_row"),
    ),
    "profiles": (
        Fault("bad_type", "income", "approx. 40k"),
        Fault("out_of_range", "income", -1),
        Fault("missing_value", "customer_no"),
        Fault("ragged_line"),
        Fault("duplicate_row"),
    ),
    "consents": (
        Fault("bad_type", "changed_at", "2025-02-30T10:00:00"),
        Fault("missing_value", "consent_no"),
        Fault("duplicate_row"),
    ),
    "accounts": (
        Fault("missing_value", "account_no"),
        Fault("bad_type", "created_at", "30.02.2025 10:00:00"),
        Fault("bad_type", "employee_count", "about 20"),
        Fault("duplicate_row"),
    ),
    "customer_links": (Fault("missing_value", "account_no"), Fault("duplicate_row")),
    "leads": (
        Fault("bad_type", "created_at", "n/a"),
        Fault("missing_value", "lead_no"),
        Fault("bad_json"),
        Fault("duplicate_row"),
    ),
    "opportunities": (
        Fault("bad_type", "amount", "TBD"),
        Fault("out_of_range", "amount", -1),
        Fault("missing_value", "opportunity_no"),
        Fault("ragged_line"),
        Fault("duplicate_row"),
    ),
    "opportunity_stages": (
        Fault("missing_value", "stage"),
        Fault("bad_type", "entered_at", "Q3"),
        Fault("duplicate_row"),
    ),
}
STRANGERS = {"unknown_customer": "T9", "erased_customer": "M9"}
"""Rows that land but name nobody known: the prefix of the number of their own that they get."""


def choose_rows(
    rng: np.random.Generator, table: str, size: int, *, at_least: int
) -> list[tuple[Fault, Ints]]:
    """Choose which rows get a faulty copy, without replacement within a kind.

    Args:
        rng: The block's stream for dirt.
        table: A key of ``FAULTS``.
        size: Good rows of the block.
        at_least: Rows of each kind, where there are as many; 1 in the first block, so that even
            a small company shows every kind.

    Returns:
        Each fault with the ascending positions of the rows to copy.
    """
    chosen = []
    for fault in FAULTS[table]:
        count = min(max(round(fault.rate * size), at_least), size)
        chosen.append((fault, np.sort(rng.choice(size, count, replace=False))))
    return chosen


def broken_copy(fault: Fault, row: Mapping[str, Any]) -> dict[str, Any]:
    """The faulty copy of ``row``; cutting the written line is up to the writer."""
    if fault.kind in STRANGERS:
        key = next(iter(row))
        return {**row, key: STRANGERS[fault.kind] + str(row[key])[1:], fault.column: fault.value}
    return dict(row) if not fault.column else {**row, fault.column: fault.value}
