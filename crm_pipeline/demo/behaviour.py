"""How the demo company's customers behave: the process whose truth is known.

A Pareto/NBD company with seasons, in the notation of Schmittlein, Morrison & Colombo (1987),
"Counting your customers", Management Science 33(1), and of Fader & Hardie's Gamma-Gamma note:

* a customer belongs to one of a few segments, which no attribute but behaviour betrays;
* after the first order, orders come as a Poisson process with rate ``lambda_i * s(t)``, where
  ``lambda_i ~ Gamma(r, alpha)`` and ``s(t)`` is the month's season factor, the same for all;
* the customer drops out, unseen, after an Exponential(``mu_i``) time, ``mu_i ~ Gamma(s, beta)``;
* an order's amount is ``Gamma(p, nu_i)`` with ``nu_i ~ Gamma(q, v)`` (rates, not scales).

Because the season is a deterministic change of time (``operational time``), the probability of
every future is computable exactly: see ``oracle.py``. What is sold, to whom, and what goes wrong
in the files is not in this file.

Time is measured in days since the first day's midnight, as a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """A kind of customer: the priors from which each of its customers is drawn.

    Attributes:
        name: For the truth tables only; the company itself does not know it.
        share: Part of all customers.
        rate_shape: ``r`` of the order rate's gamma prior; the greater, the more alike.
        mean_gap_days: Inverse of the mean order rate.
        dropout_shape: ``s`` of the dropout rate's gamma prior.
        mean_life_days: Inverse of the mean dropout rate.
        spend_shape: ``q`` of the prior of the spend rate ``nu``; above 1.
        mean_order_amount: Mean of an order's amount over the segment's customers, in EUR.
    """

    name: str
    share: float
    rate_shape: float
    mean_gap_days: float
    dropout_shape: float
    mean_life_days: float
    spend_shape: float
    mean_order_amount: float

    @property
    def rate_days(self) -> float:
        """``alpha``, in days."""
        return self.rate_shape * self.mean_gap_days

    @property
    def dropout_days(self) -> float:
        """``beta``, in days."""
        return self.dropout_shape * self.mean_life_days

    @property
    def spend_amount(self) -> float:
        """``v``, in EUR: E[p / nu] = p v / (q - 1) is the mean order amount."""
        return (self.spend_shape - 1) * self.mean_order_amount / ORDER_AMOUNT_SHAPE


ORDER_AMOUNT_SHAPE = 4.0
"""``p`` of the order amounts, the same for all: coefficient of variation 1/2 within a customer."""

SEGMENTS = (
    Segment("regular", 0.22, 5, 26, 3, 1200, 6, 70),
    Segment("occasional", 0.30, 5, 85, 3, 500, 6, 45),
    Segment("big_spender", 0.18, 5, 80, 3, 700, 8, 210),
    Segment("trial", 0.30, 4, 160, 1.5, 60, 6, 32),
)
"""Apart enough that K-means on log recency, order count and net amount is stable (bootstrap
adjusted Rand index above .85 for k = 3 and 4), near enough that some customers are hard to tell."""

MONTH_FACTORS = (0.92, 0.90, 0.98, 1.00, 1.02, 0.98, 0.92, 0.90, 1.00, 1.04, 1.16, 1.18)
"""Season, January to December; mean 1. Mild: a model without season stays near the truth."""

ARRIVAL_POWER = 1.5
"""First orders come at ``span * U ** power``: more in the beginning, some until the end."""


class Calendar:
    """The days of the records, and their operational time.

    Operational time runs at speed ``s(t)``: in it the order process has a constant rate.
    """

    def __init__(
        self, start: date, end: date, month_factors: tuple[float, ...] = MONTH_FACTORS
    ) -> None:
        """Cover ``start`` to ``end``, both inclusive."""
        self.start = start
        self.end = end
        self.month_factors = month_factors
        self.days = (end - start).days + 1
        self._elapsed = self._elapsed_to(self.days)

    def _elapsed_to(self, days: int) -> Floats:
        months = [(self.start + timedelta(days=day)).month for day in range(days)]
        factors = np.asarray(self.month_factors)[np.asarray(months, dtype=np.int64) - 1]
        return np.concatenate([[0.0], np.cumsum(factors)])

    def operational(self, time: Floats) -> Floats:
        """Operational time at ``time`` (days since the start; may lie after the end)."""
        needed = int(np.max(time, initial=0.0)) + 1
        if needed >= len(self._elapsed):
            self._elapsed = self._elapsed_to(needed)
        return np.interp(time, np.arange(len(self._elapsed), dtype=float), self._elapsed)

    def factor(self, time: Floats) -> Floats:
        """Speed of operational time at ``time``: the season factor of its month."""
        days = np.asarray(time, dtype=np.int64)
        self.operational(time)
        return np.diff(self._elapsed)[days]

    def time_of(self, operational: Floats) -> Floats:
        """Inverse of ``operational``, within the records."""
        return np.interp(operational, self._elapsed, np.arange(len(self._elapsed), dtype=float))

    def day_of(self, on: date) -> int:
        """Days from the start to ``on``."""
        return (on - self.start).days

    def month_breaks(self, until: float) -> Floats:
        """Ascending times of month beginnings, from the start to at least ``until``."""
        breaks, year, month = [0.0], self.start.year, self.start.month
        while breaks[-1] < until:
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
            breaks.append(float(self.day_of(date(year, month, 1))))
        return np.asarray(breaks)


@dataclass(frozen=True)
class Latents:
    """What drives each customer, one entry a customer.

    Attributes:
        segment: Index into ``SEGMENTS``.
        order_rate: ``lambda``, orders a day while alive, before season.
        dropout_rate: ``mu``, a day.
        spend_rate: ``nu``, per EUR; the customer's mean order amount is p / nu.
        first_order: Time of the first order.
        dropout: Time of the dropout; may lie after the end.
    """

    segment: Ints
    order_rate: Floats
    dropout_rate: Floats
    spend_rate: Floats
    first_order: Floats
    dropout: Floats

    @property
    def mean_order_amount(self) -> Floats:
        """Each customer's own mean order amount, ``p / nu``."""
        return ORDER_AMOUNT_SHAPE / self.spend_rate


def _prior(name: str) -> Floats:
    return np.asarray([getattr(segment, name) for segment in SEGMENTS], dtype=float)


def draw_latents(rng: np.random.Generator, size: int, calendar: Calendar) -> Latents:
    """Draw ``size`` customers from the mixture of segments."""
    segment = rng.choice(len(SEGMENTS), size, p=_prior("share"))
    order_rate = rng.gamma(_prior("rate_shape")[segment]) / _prior("rate_days")[segment]
    dropout_rate = rng.gamma(_prior("dropout_shape")[segment]) / _prior("dropout_days")[segment]
    spend_rate = rng.gamma(_prior("spend_shape")[segment]) / _prior("spend_amount")[segment]
    first_order = calendar.days * rng.random(size) ** ARRIVAL_POWER
    dropout = first_order + rng.standard_exponential(size) / dropout_rate
    return Latents(segment, order_rate, dropout_rate, spend_rate, first_order, dropout)


def draw_orders(
    rng: np.random.Generator, latents: Latents, calendar: Calendar
) -> tuple[Ints, Floats, Floats]:
    """Draw every customer's orders, the first one included.

    Returns:
        Customer position, time (days since the start) and amount aimed at (EUR) of each order,
        sorted by customer and time.
    """
    born = calendar.operational(latents.first_order)
    last = calendar.operational(np.minimum(latents.dropout, float(calendar.days)))
    repeats = rng.poisson(latents.order_rate * (last - born))
    who = np.repeat(np.arange(len(born)), repeats)
    when = calendar.time_of(born[who] + rng.random(len(who)) * (last - born)[who])
    customer = np.concatenate([np.arange(len(born)), who])
    time = np.concatenate([latents.first_order, when])
    order = np.lexsort((time, customer))
    customer, time = customer[order], time[order]
    amount = rng.gamma(ORDER_AMOUNT_SHAPE, size=len(customer)) / latents.spend_rate[customer]
    return customer, time, amount
