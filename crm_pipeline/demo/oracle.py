"""The best that any model can know about the demo company's future.

``oracle_probabilities`` is the Bayes-optimal forecast under the process of ``behaviour.py``: the
probability given all that could be observed (first and last order, number of orders, amounts),
integrated over the segments' priors. No model that sees the records can beat its expected
log-loss, so it is the yardstick. ``latent_probabilities`` also knows what nobody can observe
(each customer's own rates, and who has dropped out): unfairly sharp, for information.

With A(u) the operational and ``u - t0`` the calendar time since the first order, the likelihood
of x repeat orders, the last at t_x, and none until T is, up to factors that cancel
(Schmittlein, Morrison & Colombo 1987, with operational time for the orders),

    G(T) = sum_z  share_z  spend_z  alpha^r Gamma(r + x) / Gamma(r)
           { (alpha + A(T))^-(r+x) (beta / (beta + T - t0))^s
             + int_{t_x}^{T} (alpha + A(u))^-(r+x) s beta^s / (beta + u - t0)^(s+1) du },

where spend_z is the Gamma-Gamma marginal likelihood of the amounts. No order until T + H is the
same event as the same history seen at T + H, so its probability is G(T + H) / G(T).

What service and campaigns add (``marks.py``) enters as marks at known times u_k. A ticket that ends
in dropout with probability q_k, survived with 1 - q_k, puts the factor 1 - q_k on all that comes
after u_k and the mass q_k (alpha + A(u_k))^-(r+x) (beta / (beta + u_k - t0))^s at u_k; a treatment
that causes an order with probability p_k, and did not, puts the factor 1 - p_k. Orders that
campaigns caused say that the customer was alive, so t_x is the later of both kinds' last order;
they say nothing of the rate, so x counts the others only.

A(u) is linear within a month; there four Gauss-Legendre nodes leave an error
below 1e-7 (measured against sixteen).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from crm_pipeline.demo.behaviour import ORDER_AMOUNT_SHAPE, SEGMENTS, Calendar, Floats, Segment
from crm_pipeline.demo.marks import NO_MARKS, Marks, marks_at
from crm_pipeline.demo.truth import DemoTruth

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


def history_at(truth: DemoTruth, cut_off: date) -> pd.DataFrame:
    """What the records say of each customer at the end of ``cut_off``.

    Returns:
        One row per customer with an order by then, sorted by ``customer_no``:
        ``first_order_on``, ``last_order_on`` (datetime64), ``order_count``, ``amount`` (EUR) of
        the orders that no campaign caused, and ``last_seen_on``, the last order of any kind.
    """
    orders = truth.orders.dropna(subset="customer_no")
    known = orders[orders["ordered_on"] <= pd.Timestamp(cut_off)]
    seen = known.groupby("customer_no")["ordered_on"].max()
    own = known[~known["is_caused"]].groupby("customer_no", as_index=False, sort=True)
    history = own.agg(
        first_order_on=("ordered_on", "min"),
        last_order_on=("ordered_on", "max"),
        order_count=("ordered_on", "size"),
        amount=("amount", "sum"),
    )
    return history.assign(last_seen_on=history["customer_no"].map(seen))


def has_no_order(truth: DemoTruth, cut_off: date, horizon_days: int) -> pd.Series:
    """Whether each customer of ``history_at`` places no order in the horizon (the label).

    Raises:
        ValueError: The horizon reaches beyond the records.
    """
    until = cut_off + timedelta(days=horizon_days)
    if until > truth.calendar.end:
        raise ValueError(f"records end on {truth.calendar.end}; the horizon ends on {until}")
    orders = truth.orders.dropna(subset="customer_no")
    later = orders[
        (orders["ordered_on"] > pd.Timestamp(cut_off)) & (orders["ordered_on"] <= str(until))
    ]
    customers = history_at(truth, cut_off)["customer_no"]
    return pd.Series(
        ~customers.isin(later["customer_no"]).to_numpy(), index=customers, name="has_no_order"
    )


def oracle_probabilities(
    truth: DemoTruth, cut_off: date, horizon_days: int, history: pd.DataFrame | None = None
) -> pd.Series:
    """Probability of no order in (cut_off, cut_off + horizon], given the observed history.

    Args:
        truth: The company's truth; its priors and season are used, and its orders by ``cut_off``.
        cut_off: Last day known, inclusive.
        horizon_days: Length of the window after it.
        history: Other customers' history, in the shape of ``history_at``.

    Returns:
        Float series named ``no_order_probability``, indexed by ``customer_no``.
    """
    known = history_at(truth, cut_off) if history is None else history
    posterior = Posterior.of(truth.calendar, known, marks_at(truth, cut_off, known))
    now = float(truth.calendar.day_of(cut_off) + 1)
    result = posterior.no_order_probability(now, now + horizon_days)
    return pd.Series(result, index=known["customer_no"], name="no_order_probability")


def oracle_expected_orders(
    truth: DemoTruth, cut_off: date, horizon_days: int, history: pd.DataFrame | None = None
) -> pd.Series:
    """Expected number of orders in the horizon that no campaign causes, given the history.

    Returns:
        Float series named ``expected_orders``, indexed by ``customer_no``.
    """
    known = history_at(truth, cut_off) if history is None else history
    posterior = Posterior.of(truth.calendar, known, marks_at(truth, cut_off, known))
    now = float(truth.calendar.day_of(cut_off) + 1)
    result = posterior.expected_orders(now, now + horizon_days)
    return pd.Series(result, index=known["customer_no"], name="expected_orders")


def latent_probabilities(truth: DemoTruth, cut_off: date, horizon_days: int) -> pd.Series:
    """Probability of no order in the horizon, given rates and whether the customer is alive.

    Returns:
        Float series named ``no_order_probability``, indexed by ``customer_no``, for the
        customers of ``history_at``. 1 for those who have dropped out.
    """
    customers = history_at(truth, cut_off)["customer_no"]
    own = truth.customers.set_index("customer_no").loc[customers]
    now = float(truth.calendar.day_of(cut_off) + 1)
    rate, dropout = own["order_rate"].to_numpy(), own["dropout_rate"].to_numpy()
    start = truth.calendar.operational(np.asarray([now]))

    def no_order_until(time: Floats) -> Floats:
        elapsed = truth.calendar.operational(time) - start
        return np.exp(-dropout * (time - now) - rate * elapsed)

    edge = np.full(len(own), now + horizon_days)
    silent = no_order_until(edge) + dropout * _integral(
        truth.calendar, no_order_until, np.full(len(own), now), edge
    )
    result = np.where(own["dropout_time"].to_numpy() <= now, 1.0, silent)
    return pd.Series(result, index=customers, name="no_order_probability")


def _integral(
    calendar: Calendar, function: Callable[[Floats], Floats], lower: Floats, upper: Floats
) -> Floats:
    """Integrate ``function`` from ``lower`` to ``upper``, month by month, all customers at once."""
    breaks = calendar.month_breaks(float(np.max(upper, initial=0.0)))
    total = np.zeros(len(lower))
    for begin, end in pairwise(breaks):
        low, high = np.clip(begin, lower, upper), np.clip(end, lower, upper)
        half = (high - low) / 2
        if not half.any():
            continue
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            total += weight * half * function(low + half * (node + 1))
    return total


@dataclass(frozen=True)
class Posterior:
    """Likelihood of observed histories under a mixture of segments, on the log scale.

    Attributes:
        calendar: The season.
        first, last: Time of the first and last order (days since the calendar's start).
        count: Number of orders, the first included.
        amount: Sum of the orders' amounts.
        segments: The priors and their shares.
        seen: Time at which the customer was last known not to have dropped out; ``last`` where
            ``None``.
        marks: What else decides on dropout and orders.
    """

    calendar: Calendar
    first: Floats
    last: Floats
    count: Floats
    amount: Floats
    segments: tuple[Segment, ...] = SEGMENTS
    seen: Floats | None = None
    marks: Marks = NO_MARKS

    @classmethod
    def of(cls, calendar: Calendar, history: pd.DataFrame, marks: Marks = NO_MARKS) -> Posterior:
        """From rows of ``history_at``: the records tell an order's day, so take its noon."""
        start = pd.Timestamp(calendar.start)
        return cls(
            calendar,
            first=(history["first_order_on"] - start).dt.days.to_numpy(dtype=float) + 0.5,
            last=(history["last_order_on"] - start).dt.days.to_numpy(dtype=float) + 0.5,
            count=history["order_count"].to_numpy(dtype=float),
            amount=history["amount"].to_numpy(dtype=float),
            seen=(history["last_seen_on"] - start).dt.days.to_numpy(dtype=float) + 0.5,
            marks=marks,
        )

    @property
    def alive_at(self) -> Floats:
        """When the customer was last known to be alive."""
        return self.last if self.seen is None else self.seen

    def _of(self, who: NDArray[np.int64]) -> Posterior:
        """Some of the customers, without marks."""
        return Posterior(
            self.calendar, self.first[who], self.last[who], self.count[who], self.amount[who],
            self.segments, self.alive_at[who],
        )  # fmt: skip

    @property
    def born(self) -> Floats:
        """Operational time of the first order."""
        return self.calendar.operational(self.first)

    def _log_weight(self, segment: Segment) -> Floats:
        """Log of share, amounts' likelihood and the rate's constants, given the segment."""
        r, q, v = segment.rate_shape, segment.spend_shape, segment.spend_amount
        shape = ORDER_AMOUNT_SHAPE * self.count + q
        spend = q * np.log(v) - gammaln(q) + gammaln(shape) - shape * np.log(v + self.amount)
        orders = gammaln(r + self.count - 1) - gammaln(r) + r * np.log(segment.rate_days)
        return np.log(segment.share) + spend + orders

    def _rate_power(self, segment: Segment, time: Floats, extra: int = 0) -> Floats:
        """(alpha + A(time))^-(r + x + extra), relative to its value at the last order."""
        power = segment.rate_shape + self.count - 1 + extra
        elapsed = segment.rate_days + self.calendar.operational(time) - self.born
        base = segment.rate_days + self.calendar.operational(self.last) - self.born
        return np.exp(-power * np.log(elapsed / base))

    def _log_base(self, segment: Segment, extra: int = 0) -> Floats:
        power = segment.rate_shape + self.count - 1 + extra
        base = segment.rate_days + self.calendar.operational(self.last) - self.born
        return -power * np.log(base)

    def _alive(self, segment: Segment, time: Floats) -> Floats:
        """(beta / (beta + time - t0))^s: not dropped out by ``time``."""
        beta = segment.dropout_days
        return (beta / (beta + time - self.first)) ** segment.dropout_shape

    def _dropped(self, segment: Segment, since: Floats, edge: Floats) -> Floats:
        """Likelihood of dropping out between two times by the process alone."""

        def dropped_at(time: Floats) -> Floats:
            hazard = segment.dropout_shape / (segment.dropout_days + time - self.first)
            return self._rate_power(segment, time) * self._alive(segment, time) * hazard

        return _integral(self.calendar, dropped_at, since, edge)

    def log_likelihoods(self, now: float, until: float) -> tuple[Floats, Floats]:
        """Log G(now) and log G(until): the history, and no further order until then."""
        parts: tuple[list[Floats], list[Floats]] = ([], [])
        edges = (np.full(len(self.first), now), np.full(len(self.first), until))
        layers = self.marks.since(self.alive_at).layers()
        for segment in self.segments:
            weight = self._log_weight(segment) + self._log_base(segment)
            dropped, since = np.zeros(len(self.first)), self.alive_at
            for found, edge in zip(parts, edges, strict=True):
                dropped = dropped + self._dropped(segment, since, edge)
                alive = self._rate_power(segment, edge) * self._alive(segment, edge)
                total = dropped.copy()
                for layer in layers:
                    here = layer.until(edge)
                    some = self._of(here.customer)
                    # what comes after a mark has its factor
                    lost = here.before * (1 - here.factor)
                    later = some._dropped(segment, here.time, edge[here.customer])
                    at_mark = some._rate_power(segment, here.time) * some._alive(segment, here.time)
                    total[here.customer] += here.before * here.mass * at_mark - lost * later
                    alive[here.customer] *= here.factor
                found.append(weight + np.log(alive + total))
                since = edge
        return logsumexp(parts[0], axis=0), logsumexp(parts[1], axis=0)

    def no_order_probability(self, now: float, until: float) -> Floats:
        """P(no order in (now, until] | history until now) = G(until) / G(now)."""
        known, silent = self.log_likelihoods(now, until)
        return np.exp(silent - known)

    def expected_orders(self, now: float, until: float) -> Floats:
        """E[orders in (now, until]]: each instant's rate among those alive, integrated."""
        parts = []
        edge = np.full(len(self.first), now)
        for segment in self.segments:

            def pace(time: Floats, segment: Segment = segment) -> Floats:
                return self._alive(segment, time) * self.calendar.factor(time)

            season = _integral(self.calendar, pace, edge, np.full(len(self.first), until))
            rate = self._rate_power(segment, edge, extra=1) * (segment.rate_shape + self.count - 1)
            parts.append(
                self._log_weight(segment)
                + self._log_base(segment, extra=1)
                + np.log(np.maximum(rate * season, 1e-300))
            )
        known, _ = self.log_likelihoods(now, now)
        survived = np.ones(len(self.first))
        for layer in self.marks.since(self.alive_at).layers():
            here = layer.until(edge)
            survived[here.customer] *= here.factor
        return survived * np.exp(logsumexp(parts, axis=0) - known)
