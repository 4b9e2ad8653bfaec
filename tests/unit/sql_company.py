"""A small company with every awkward case, drawn from a seed, as raw tables of the demo source.

Several orders a day, orders worth nothing, headers without lines, lines with times of their own,
unknown buyers, returns before any order, customers without a record, records without a date.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd

AS_OF = date(2025, 11, 17)
TIME_ZONE = ZoneInfo("America/New_York")
HORIZON_DAYS = 45
HOLDOUT_DAYS = 60
DISCOUNT_RATE = 0.10
START = date(2024, 2, 3)
LINE_COLUMNS = "order_no line_no ordered_at sku quantity unit_price unit_cost line_amount".split()
RETURN_COLUMNS = "return_no order_no customer_no sku returned_at quantity amount".split()


def business_day(at: datetime) -> date:
    """Return the company's day of a UTC instant."""
    return at.replace(tzinfo=UTC).astimezone(TIME_ZONE).date()


@dataclass(frozen=True)
class Line:
    """One order line."""

    sku: str
    quantity: int
    amount: Decimal
    cost: Decimal | None
    at: datetime


@dataclass(frozen=True)
class Order:
    """One order; ``at`` is the time of its first line."""

    number: str
    customer: str | None
    at: datetime
    lines: tuple[Line, ...]

    @property
    def on(self) -> date:
        return business_day(self.at)

    @property
    def gross(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))

    @property
    def cost(self) -> Decimal | None:
        known = [line.cost for line in self.lines if line.cost is not None]
        return sum(known, Decimal(0)) if self.lines and len(known) == len(self.lines) else None


@dataclass(frozen=True)
class Return:
    """One returned line."""

    number: str
    order: str | None
    customer: str | None
    at: datetime
    amount: Decimal

    @property
    def on(self) -> date:
        return business_day(self.at)


@dataclass
class Company:
    """All facts, and the raw tables that say them."""

    orders: list[Order] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    registered: dict[str, datetime | None] = field(default_factory=dict)

    def raw(self) -> dict[str, pd.DataFrame]:
        """Return the raw tables of the demo source, by name."""
        headers, lines = [], []
        for order in self.orders:
            headers.append((order.number, order.customer, order.at, "web"))
            for number, line in enumerate(order.lines, start=1):
                own_time = None if line.at == order.at and number % 2 == 0 else line.at
                unit_cost = None if line.cost is None else line.cost / line.quantity
                price = line.amount / line.quantity
                row = (order.number, number, own_time, line.sku, line.quantity, price)
                lines.append((*row, unit_cost, line.amount))
        returns = [(r.number, r.order, r.customer, "S1", r.at, 1, r.amount) for r in self.returns]
        return {
            "demo__customers": pd.DataFrame(
                [(name, at) for name, at in self.registered.items()],
                columns=["customer_no", "registered_at"],
            ).astype({"registered_at": "datetime64[us]"}),
            "demo__products": pd.DataFrame({"sku": ["S1", "S2"], "is_merchandise": [True, False]}),
            "demo__orders": pd.DataFrame(
                headers, columns=["order_no", "customer_no", "ordered_at", "channel"]
            ),
            "demo__order_items": pd.DataFrame(
                lines,
                columns=LINE_COLUMNS,
            ).astype({"ordered_at": "datetime64[us]"}),
            "demo__returns": pd.DataFrame(
                returns,
                columns=RETURN_COLUMNS,
            ),
        }


def _instant(day: date, rng: random.Random) -> datetime:
    at = datetime(
        day.year, day.month, day.day, rng.randrange(24), rng.randrange(60), tzinfo=TIME_ZONE
    )
    return at.astimezone(UTC).replace(tzinfo=None)


def _gaps(count: int, rng: random.Random) -> list[int]:
    kind = rng.choice(["steady", "faster", "slower", "random", "random"])
    base = rng.choice([3, 8, 20, 45])
    if kind == "steady":
        gaps = [base] * count
    elif kind == "faster":
        gaps = [max(1, base * 3 - 2 * i) for i in range(count)]
    elif kind == "slower":
        gaps = [base + 3 * i for i in range(count)]
    else:
        gaps = [int(rng.expovariate(1 / base)) for _ in range(count)]
    return [0 if rng.random() < 0.12 else gap for gap in gaps]


def _lines(at: datetime, is_costed: bool, rng: random.Random) -> tuple[Line, ...]:
    lines = []
    for number in range(rng.choice([0, 1, 1, 2, 3, 4])):
        quantity = rng.randint(1, 5)
        price = Decimal(0) if rng.random() < 0.1 else Decimal(rng.randint(100, 99999)) / 1000
        cost = (price / 2).quantize(Decimal("0.0001")) * quantity if is_costed else None
        later = timedelta(minutes=0 if number == 0 else rng.choice([0, 0, 2]))
        lines.append(Line(f"S{rng.randint(1, 9)}", quantity, price * quantity, cost, at + later))
    return tuple(lines)


def draw_company(seed: int, customers: int = 160) -> Company:
    """Return a company drawn from ``seed``; nothing happens after ``AS_OF``."""
    rng = random.Random(seed)
    company = Company()
    for number in range(customers):
        name = f"K{number:04d}"
        day = START + timedelta(days=rng.randrange((AS_OF - START).days))
        for gap in [0, *_gaps(rng.choice([0, 0, 1, 2, 3, 6, 14]), rng)]:
            day += timedelta(days=gap)
            if day > AS_OF or rng.random() < 0.08:
                break
            _add_order(company, name, day, number % 3 == 0 and rng.random() < 0.97, rng)
        if rng.random() < 0.85:
            known = START + timedelta(days=rng.randrange((AS_OF - START).days))
            company.registered[name] = _instant(known, rng) if rng.random() < 0.9 else None
    # whoever is lost on the very last day
    _add_order(company, f"K{customers:04d}", AS_OF - timedelta(days=HORIZON_DAYS), False, rng)
    for _ in range(25):
        day = START + timedelta(days=rng.randrange((AS_OF - START).days))
        _add_order(company, None, day, False, rng)
    _add_returns(company, customers, rng)
    return company


def _add_order(
    company: Company, name: str | None, day: date, is_costed: bool, rng: random.Random
) -> None:
    at = _instant(day, rng)
    number = f"A{len(company.orders):05d}"
    company.orders.append(Order(number, name, at, _lines(at, is_costed, rng)))


def _add_returns(company: Company, customers: int, rng: random.Random) -> None:
    for order in rng.sample(company.orders, len(company.orders) // 6):
        day = min(AS_OF, order.on + timedelta(days=rng.randrange(40)))
        names_order, names_customer = rng.choice([(True, True), (True, False), (False, True)])
        company.returns.append(
            Return(
                f"R{len(company.returns):05d}",
                order.number if names_order else None,
                order.customer if names_customer else None,
                max(order.at, _instant(day, rng)),
                (order.gross / 3).quantize(Decimal("0.0001")),
            )
        )
    for _ in range(12):
        day = START + timedelta(days=rng.randrange((AS_OF - START).days))
        name = f"K{rng.randrange(customers):04d}"
        number = f"R{len(company.returns):05d}"
        company.returns.append(Return(number, None, name, _instant(day, rng), Decimal("4.25")))


def changed_after(company: Company, day: date, seed: int) -> Company:
    """Return the company with everything after ``day`` drawn anew; what was before is the same."""
    other, rng = draw_company(seed), random.Random(seed)
    later = [order for order in other.orders if order.on > day and rng.random() < 0.7]
    renamed = [Order(f"B{o.number}", o.customer, o.at, o.lines) for o in later]
    orders = [order for order in company.orders if order.on <= day] + renamed
    kept = {order.number for order in orders}
    returns = [r for r in company.returns if r.on <= day]
    returns += [
        Return(f"B{r.number}", None, r.customer, r.at, r.amount)
        for r in other.returns
        if r.on > day
    ]
    # a return names only orders that are there
    returns = [
        r if r.order in kept else Return(r.number, None, r.customer, r.at, r.amount)
        for r in returns
    ]
    return Company(orders, returns, company.registered)
