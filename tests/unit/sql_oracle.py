"""The definitions of the contract, computed the slow and plain way from a company's facts.

No SQL and no tricks: a definition that an analyst doubts can be read here, day by day.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from statistics import median

from tests.unit.sql_company import (
    AS_OF,
    DISCOUNT_RATE,
    HORIZON_DAYS,
    Company,
    Order,
    Return,
    business_day,
)

CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """Round half away from zero, as the warehouse does."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def as_of_dates() -> list[date]:
    """The current as-of date and the twelve month-ends before it."""
    first, dates = AS_OF.replace(day=1), [AS_OF]
    for _ in range(12):
        dates.append(first - timedelta(days=1))
        first = (first - timedelta(days=1)).replace(day=1)
    return dates


def month_end(month: date) -> date:
    """Last day of a month given by its first."""
    return (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)


class Books:
    """A company's facts by customer."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.orders: dict[str, list[Order]] = defaultdict(list)
        self.returns: dict[str, list[Return]] = defaultdict(list)
        buyers = {order.number: order.customer for order in company.orders}
        for order in sorted(company.orders, key=lambda o: (o.at, o.number)):
            if order.customer:
                self.orders[order.customer].append(order)
        for item in company.returns:
            customer = item.customer or buyers.get(item.order or "")
            if customer:
                self.returns[customer].append(item)

    def customers(self) -> set[str]:
        """Everybody that a record, an order or a return names."""
        return set(self.orders) | set(self.returns) | set(self.company.registered)

    def first_seen(self, customer: str) -> date | None:
        """Day on which the company first knew the customer."""
        known = self.company.registered.get(customer)
        seen = [o.at for o in self.orders.get(customer, [])]
        seen += [r.at for r in self.returns.get(customer, [])] + ([known] if known else [])
        return business_day(min(seen)) if seen else None

    def order_days(self, customer: str, by: date) -> list[date]:
        """Days of the customer's orders by a day, one entry an order."""
        return [o.on for o in self.orders.get(customer, []) if o.on <= by]

    def gaps(self, customer: str, by: date) -> list[int]:
        """Days between the customer's orders by a day."""
        return [(b - a).days for a, b in pairwise(self.order_days(customer, by))]

    def returned(self, customer: str, by: date) -> Decimal:
        """Amount the customer sent back by a day."""
        amounts = (r.amount for r in self.returns.get(customer, []) if r.on <= by)
        return sum(amounts, Decimal(0))


def rfm(books: Books, as_of: date) -> dict[str, tuple[int, int, Decimal, int, int, int]]:
    """Recency, orders, net amount and the three scores of every buyer."""
    values = {}
    for customer, orders in books.orders.items():
        known = [o for o in orders if o.on <= as_of]
        if known:
            net = sum((o.gross for o in known), Decimal(0)) - books.returned(customer, as_of)
            values[customer] = ((as_of - known[-1].on).days, len(known), cents(net))

    def score(value: tuple[int, int, Decimal], place: int) -> int:
        others = [other[place] for other in values.values()]
        mine = value[place]
        worse = sum(o > mine for o in others) if place == 0 else sum(o < mine for o in others)
        return 1 + 5 * worse // len(others)

    return {c: (*v, score(v, 0), score(v, 1), score(v, 2)) for c, v in values.items()}


def stage_on(days: list[date], day: date, rhythm: float | None) -> str:
    """Lifecycle stage at the end of ``day`` of a customer who ordered on ``days``, in order."""
    known = days[: bisect_right(days, day)]
    if not known:
        return "introduction"
    if rhythm is not None and (day - known[-1]).days > 3 * rhythm:
        return "leaving"
    if len(known) == 1:
        return "confirmation"
    if len(known) >= 3 and known[-1] - known[-2] < known[-2] - known[-3]:
        return "growth"
    if rhythm is not None and (day - known[1]).days < 2 * rhythm:
        return "growth"
    return "maintenance"


def lifecycle(books: Books, as_of: date) -> dict[str, tuple[str, str | None, date]]:
    """Stage, the stage before it and since when, found by walking back day by day."""
    every_gap = [gap for customer in books.orders for gap in books.gaps(customer, as_of)]
    company_rhythm = median(every_gap) if every_gap else None
    result: dict[str, tuple[str, str | None, date]] = {}
    for customer in books.customers():
        seen = books.first_seen(customer)
        if seen is None:
            if as_of == AS_OF:
                result[customer] = ("introduction", None, as_of)
            continue
        if seen > as_of:
            continue
        days = books.order_days(customer, as_of)
        rhythm = median(books.gaps(customer, as_of)) if len(days) >= 3 else company_rhythm
        stage = stage_on(days, as_of, rhythm)
        since = as_of
        while since > seen and stage_on(days, since - timedelta(days=1), rhythm) == stage:
            since -= timedelta(days=1)
        before = stage_on(days, since - timedelta(days=1), rhythm) if since > seen else None
        result[customer] = (stage, before, since)
    return result


def value(books: Books) -> dict[str, dict[str, Decimal | int | None]]:
    """What every customer with an order or a return has brought."""
    result = {}
    for customer in set(books.orders) | set(books.returns):
        orders, returns = books.orders.get(customer, []), books.returns.get(customer, [])
        with_lines = [o for o in orders if o.lines]
        costs = [o.cost for o in with_lines]
        has_costs = bool(with_lines) and None not in costs
        gross = sum((o.gross for o in orders), Decimal(0))
        net = gross - books.returned(customer, AS_OF)
        margin = net - sum((c for c in costs if c is not None), Decimal(0)) if has_costs else None
        start = min([o.on for o in orders] or [r.on for r in returns])
        events = [(o.on, o.gross - ((o.cost or 0) if has_costs else 0)) for o in orders]
        events += [(r.on, -r.amount) for r in returns]
        discounted = sum(
            Decimal(float(amount) * (1 + DISCOUNT_RATE) ** -((day - start).days / 365.0)).quantize(
                Decimal("0.000001"), ROUND_HALF_UP
            )
            for day, amount in events
        )
        result[customer] = {
            "gross_amount": cents(gross),
            "net_amount": cents(net),
            "margin_amount": None if margin is None else cents(margin),
            "order_count": len(orders),
            "single_event_amount": cents(orders[-1].gross) if orders else None,
            "cumulative_amount": cents(net if margin is None else margin),
            "discounted_amount": cents(Decimal(discounted)),
        }
    return result


def months(books: Books) -> list[date]:
    """Months from the first fact to the as-of date, by their first days."""
    facts = [o.on for o in books.company.orders] + [r.on for r in books.company.returns]
    month, found = min(facts).replace(day=1), []
    while month <= AS_OF:
        found.append(month)
        month = month_end(month) + timedelta(days=1)
    return found


def days_of(first: date, last: date) -> list[date]:
    """Days from the first to the last, both included."""
    return [first + timedelta(days=back) for back in range((last - first).days + 1)]


def cohorts(books: Books) -> dict[tuple[date, int], tuple[int, int, bool]]:
    """Customers, active customers and completeness by cohort and month number."""
    active: dict[str, set[date]] = {
        customer: {o.on.replace(day=1) for o in orders} for customer, orders in books.orders.items()
    }
    result = {}
    for cohort in {min(m) for m in active.values()}:
        members = [m for m in active.values() if min(m) == cohort]
        later = [m for m in months(books) if m >= cohort]
        for number, month in enumerate(later):
            count = sum(month in m for m in members)
            result[cohort, number] = (len(members), count, month_end(month) <= AS_OF)
    return result


def monthly(books: Books) -> dict[date, dict[str, object]]:
    """The monthly figures and rates, each by its sentence in the contract."""
    result = {}
    for month in months(books):
        end = min(month_end(month), AS_OF)
        before = month - timedelta(days=1)
        ordered = [o for o in books.company.orders if month <= o.on <= end]
        active = {
            c for c, orders in books.orders.items() if any(month <= o.on <= end for o in orders)
        }
        start_before = before.replace(day=1)
        active_before = {
            c
            for c, orders in books.orders.items()
            if any(start_before <= o.on <= before for o in orders)
        }
        year = [
            sum(end - timedelta(days=365) < o.on <= end for o in orders)
            for orders in books.orders.values()
        ]
        alive = {
            c
            for c in books.orders
            if (days := books.order_days(c, before)) and (before - days[-1]).days < HORIZON_DAYS
        }
        lost = {
            c
            for c in alive
            for day in days_of(month, end)
            if (day - books.order_days(c, day)[-1]).days == HORIZON_DAYS
        }
        buyers = sum(n >= 1 for n in year)
        result[month] = {
            "order_count": len(ordered),
            "active_customers": len(active),
            "new_customers": sum(books.orders[c][0].on >= month for c in active),
            "gross_amount": cents(sum((o.gross for o in ordered), Decimal(0))),
            "returned_amount": cents(
                sum((r.amount for r in books.company.returns if month <= r.on <= end), Decimal(0))
            ),
            "is_complete": month_end(month) <= AS_OF,
            "repurchase_rate": sum(n >= 2 for n in year) / buyers if buyers else None,
            "churn_rate": len(lost) / len(alive) if alive else None,
            "retention_rate": len(active & active_before) / len(active_before)
            if active_before
            else None,
        }
    return result


def features(books: Books, cut_off: date) -> dict[str, dict[str, object]]:
    """Features of every customer with an order by the cut-off."""
    result = {}
    for customer, every in books.orders.items():
        orders = [o for o in every if o.on <= cut_off]
        if not orders:
            continue
        gross_by_day: dict[date, Decimal] = defaultdict(Decimal)
        for order in orders:
            gross_by_day[order.on] += order.gross
        days = sorted(gross_by_day)
        paid = [gross_by_day[day] for day in days[1:] if gross_by_day[day] > 0]
        gaps = books.gaps(customer, cut_off)
        mean = sum(gaps) / len(gaps) if gaps else None
        spread = (
            math.sqrt(sum((g - mean) ** 2 for g in gaps) / (len(gaps) - 1))
            if mean is not None and len(gaps) > 1
            else None
        )
        gross = sum(gross_by_day.values(), Decimal(0))
        returned = books.returned(customer, cut_off)
        recency = (cut_off - orders[-1].on).days
        row: dict[str, object] = {
            "recency_days": recency,
            "age_days": (cut_off - orders[0].on).days,
            "order_count": len(orders),
            "purchase_day_count": len(days),
            "repeat_count": len(days) - 1,
            "last_repeat_age_days": (days[-1] - days[0]).days,
            "observed_age_days": (cut_off - days[0]).days,
            "repeat_mean_amount": float(sum(paid) / len(paid)) if paid else None,
            "gross_amount": float(gross),
            "net_amount": float(gross - returned),
            "mean_gap_days": mean,
            "median_gap_days": median(gaps) if gaps else None,
            "stddev_gap_days": spread,
            "latest_gap_days": gaps[-1] if gaps else None,
            "recency_to_gap_ratio": recency / mean if mean else None,
            "item_quantity": sum(line.quantity for o in orders for line in o.lines),
            "line_count": sum(len(o.lines) for o in orders),
            "distinct_product_count": len(
                {line.sku for o in orders for line in o.lines if business_day(line.at) <= cut_off}
            ),
            "return_count": sum(r.on <= cut_off for r in books.returns.get(customer, [])),
            "returned_share": float(returned / gross) if gross else 0.0,
        }
        for back in (30, 90, 180, 365):
            recent = [o for o in orders if o.on > cut_off - timedelta(days=back)]
            row[f"order_count_{back}d"] = len(recent)
            row[f"gross_amount_{back}d"] = float(sum((o.gross for o in recent), Decimal(0)))
        result[customer] = row
    return result
