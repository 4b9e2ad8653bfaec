"""Bills of the demo company's shop, how they are paid, and which of them are written off.

Whether bills are paid late, or not at all, is a matter of the customer's kind of payer, which is in
the truth. What bookkeeping exports is a log of changes: a bill appears when it is made, and again
when it is paid or given up; so every month's rows look alike, the newest month's too. Goods that
were sent on a bill that nobody pays are lost: what the bill comes to without what came back by then
is booked as bad debt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crm_pipeline.demo.behaviour import Calendar, Ints
from crm_pipeline.demo.sales import Orders, Returns
from crm_pipeline.demo.tables import DAY_SECONDS, amounts, instants, local_seconds, text

METHODS = ("card", "wallet", "invoice", "direct_debit")
METHOD_SHARES = (0.35, 0.25, 0.28, 0.12)
PAYERS = ("punctual", "late", "bad")
PAYER_SHARES = (0.80, 0.15, 0.05)
LATE_RATES = (0.04, 0.55, 0.75)
FAILURE_RATES = (0.01, 0.03, 0.25)
DUE_DAYS = 14
GIVEN_UP_AFTER_DAYS = 30
"""So long after the due day a bill that nobody pays has failed."""
WRITTEN_OFF_AFTER_DAYS = 45
"""So long after that it is written off."""
HOUR = 3600


@dataclass(frozen=True)
class Bills:
    """One bill an order; instants are local seconds.

    Attributes:
        cents: What is billed.
        method: Index into ``METHODS``.
        on_account: Goods go out before the money comes in.
        due: When it is to be paid.
        settled: When it is paid or, where ``failed``, given up; may lie after the records.
        failed: Nobody pays it.
    """

    cents: Ints
    method: Ints
    on_account: np.ndarray
    due: Ints
    settled: Ints
    failed: np.ndarray


def draw_payers(rng: np.random.Generator, size: int) -> Ints:
    """What kind of payer each customer is: an index into ``PAYERS``."""
    return rng.choice(len(PAYERS), size, p=PAYER_SHARES)


def draw_bills(rng: np.random.Generator, orders: Orders, cents: Ints, payer: Ints) -> Bills:
    """Draw how each order's bill is paid; cards and wallets are charged at once."""
    size = len(orders.at)
    kind = np.where(orders.customer >= 0, payer[orders.customer], 0)
    method = rng.choice(len(METHODS), size, p=METHOD_SHARES)
    later = method >= METHODS.index("invoice")
    due = orders.at + np.where(later, DUE_DAYS * DAY_SECONDS, 0)
    early = -rng.integers(1, 11, size)
    late = 1 + rng.gamma(1.5, 8, size).astype(np.int64)
    days = np.where(rng.random(size) < np.asarray(LATE_RATES)[kind], late, early)
    at_the_bank = 8 * HOUR + rng.integers(0, 10 * HOUR, size)
    paid = (due // DAY_SECONDS + days) * DAY_SECONDS + at_the_bank
    failed = rng.random(size) < np.asarray(FAILURE_RATES)[kind]
    settled = np.where(failed, due + GIVEN_UP_AFTER_DAYS * DAY_SECONDS, paid)
    return Bills(cents, method, later, due, np.where(later, settled, orders.at + 60), failed)


def payments_table(
    bills: Bills,
    orders: Orders,
    order_numbers: np.ndarray,
    customer_numbers: np.ndarray,
    calendar: Calendar,
) -> pa.Table:
    """Rows as delivered: one per bill and state that it was in, by time of change."""
    end = local_seconds(calendar.end) + DAY_SECONDS
    opened = np.flatnonzero(bills.on_account)
    over = np.flatnonzero(bills.settled < end)
    which = np.concatenate([opened, over])
    is_over = np.arange(len(which)) >= len(opened)
    changed = np.where(is_over, bills.settled[which], orders.at[which])
    order = np.lexsort((which, is_over, changed))
    which, is_over, changed = which[order], is_over[order], changed[order]
    status = np.where(~is_over, "open", np.where(bills.failed[which], "failed", "paid"))
    known = orders.customer[which]
    return pa.table(
        {
            "payment_no": text(["P" + number[1:] for number in order_numbers[which]]),
            "order_no": text(order_numbers[which]),
            "customer_no": pa.array(
                customer_numbers[np.maximum(known, 0)], mask=known < 0, type=pa.string()
            ),
            "billed_at": instants(orders.at[which]),
            "changed_at": instants(changed),
            "method": text(np.asarray(METHODS, dtype=object)[bills.method[which]]),
            "status": text(status),
            "due_at": instants(bills.due[which]),
            "paid_at": pa.array(np.asarray(changed, dtype="datetime64[s]"), mask=status != "paid"),
            "amount": amounts(bills.cents[which]),
        }
    )


def bad_debts_table(
    bills: Bills, orders: Orders, order_numbers: np.ndarray, returns: Returns, calendar: Calendar
) -> pa.Table:
    """Rows as delivered: one per bill that is written off, by time; see ``stock.py`` for others."""
    lost = bills.settled // DAY_SECONDS + WRITTEN_OFF_AFTER_DAYS
    at = lost * DAY_SECONDS + 10 * HOUR
    named = returns.names_order & (returns.order >= 0)
    back = np.flatnonzero(named)[returns.at[named] < at[returns.order[named]]]
    returned = np.bincount(returns.order[back], returns.cents[back], minlength=len(bills.cents))
    owed = bills.cents - returned.astype(np.int64)
    written = bills.on_account & bills.failed & (owed > 0)
    which = np.flatnonzero(written & (at < local_seconds(calendar.end) + DAY_SECONDS))
    which = which[np.lexsort((which, at[which]))]
    size = len(which)
    return pa.table(
        {
            "adjustment_no": text(["B" + number[1:] for number in order_numbers[which]]),
            "document_no": text(order_numbers[which]),
            "adjusted_at": instants(at[which]),
            "reason": text(["bad debt"] * size),
            "sku": text([None] * size),
            "quantity": pa.array([None] * size, type=pa.int64()),
            "booked_amount": amounts(-owed[which]),
        }
    )
