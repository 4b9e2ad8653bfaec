"""What service and campaigns add to the process: known times at which customers may leave or order.

``oracle.py`` says what a mark does to the likelihood of a history.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import pandas as pd

from crm_pipeline.demo.behaviour import Floats, Ints
from crm_pipeline.demo.marketing import MEAN_DELAY_DAYS
from crm_pipeline.demo.truth import DemoTruth


@dataclass(frozen=True)
class Marks:
    """Marks of customers, one entry a mark, by customer and time.

    Attributes:
        customer: Position of the customer in the history.
        time: Days since the calendar's start.
        factor: Probability of passing the mark alive and without an order.
        mass: Probability of dropping out at the mark.
        before: Product of the factors of the customer's marks before this one.
    """

    customer: Ints
    time: Floats
    factor: Floats
    mass: Floats
    before: Floats

    def take(self, which: np.ndarray) -> Marks:
        """Those marks only."""
        return Marks(*(getattr(self, part.name)[which] for part in fields(self)))

    def since(self, alive_at: Floats) -> Marks:
        """The marks after the last sign of life; those before it were passed for certain."""
        if not len(self.time):
            return self
        later = self.take(self.time > alive_at[self.customer])
        before = np.ones(len(later.time))
        for at in range(1, len(before)):
            if later.customer[at] == later.customer[at - 1]:
                before[at] = before[at - 1] * later.factor[at - 1]
        return Marks(later.customer, later.time, later.factor, later.mass, before)

    def until(self, edge: Floats) -> Marks:
        """The marks not after each customer's ``edge``."""
        return self.take(self.time <= edge[self.customer])

    def layers(self) -> list[Marks]:
        """Everybody's first mark, everybody's second, and so on."""
        if not len(self.time):
            return []
        first = np.searchsorted(self.customer, self.customer)
        rank = np.arange(len(self.customer)) - first
        return [self.take(rank == n) for n in range(int(rank.max()) + 1)]


_NOTHING = np.zeros(0)
NO_MARKS = Marks(_NOTHING.astype(np.int64), _NOTHING, _NOTHING, _NOTHING, _NOTHING)


def marks_at(truth: DemoTruth, cut_off: date, history: pd.DataFrame) -> Marks:
    """The marks that can be known at the end of ``cut_off``.

    Tickets opened by then, and all treatments, later ones included: who gets one is drawn by lot
    among all who are known. A treatment that has caused an order by then is a sign of life, and
    no mark.
    """
    place = pd.Series(np.arange(len(history)), index=history["customer_no"])
    parts = []
    start, end = pd.Timestamp(truth.calendar.start), pd.Timestamp(cut_off) + pd.Timedelta(days=1)
    if len(truth.tickets):
        asked = truth.tickets[truth.tickets["opened_at"] < end]
        leaving = asked["dropout_probability"].to_numpy()
        parts.append((asked["customer_no"], asked["closed_at"], 1 - leaving, leaving))
    if len(truth.touches):
        sent = truth.touches[~truth.touches["is_control"]]
        sent = sent[~(sent["caused_order"] & (sent["ordered_at"] < end))]
        ordered = sent["touched_at"] + pd.Timedelta(days=MEAN_DELAY_DAYS)
        parts.append((sent["customer_no"], ordered, 1 - sent["effect"].to_numpy(), 0.0))
    if not parts:
        return NO_MARKS
    every = pd.concat(
        [
            pd.DataFrame(
                {
                    "customer": customer.map(place).to_numpy(),
                    "time": (at - start).dt.total_seconds().to_numpy() / 86_400,
                    "factor": factor,
                    "mass": mass,
                }
            )
            for customer, at, factor, mass in parts
        ]
    )
    every = every.dropna(subset="customer").sort_values(["customer", "time"], kind="stable")
    return Marks(
        every["customer"].to_numpy(dtype=np.int64),
        every["time"].to_numpy(),
        every["factor"].to_numpy(),
        every["mass"].to_numpy(),
        np.ones(len(every)),
    )
