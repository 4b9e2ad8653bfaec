"""What each column of ``kpi_monthly`` is made of: facts, and the equation over their totals.

This states every definition a second time, over the published facts alone, on purpose: the two
statements are compared whenever somebody asks for an explanation, and by the tests for all months.
"""

from __future__ import annotations

from dataclasses import dataclass

# What the terms read: $month is its first day, $horizon_days that of the churn definition.
_NAMES = """
with span as (
    select as_of, least(last_day($month), as_of) as ended_on from meta.build),
known as (
    select * from marts.fct_orders where customer_key is not null),
orders as (
    select * from marts.fct_orders where date_trunc('month', ordered_on) = $month),
returns as (
    select * from marts.fct_returns where date_trunc('month', returned_on) = $month),
lines as (
    select items.*, orders.ordered_on as counted_on
    from marts.fct_order_items as items inner join orders using (order_key)),
active as (
    select customer_key, min_by(order_key, (ordered_at, order_key)) as order_key,
        min(ordered_on) as ordered_on
    from orders where customer_key is not null group by customer_key),
active_before as (
    select customer_key, min_by(order_key, (ordered_at, order_key)) as order_key,
        min(ordered_on) as ordered_on
    from known where date_trunc('month', ordered_on) = $month - interval 1 month
    group by customer_key),
first_orders as (
    select customer_key, min(ordered_on) as first_order_on from known group by customer_key),
recent as (
    select customer_key, count(*) as order_count,
        max_by(order_key, (ordered_at, order_key)) as order_key, max(ordered_on) as ordered_on
    from known cross join span
    where ordered_on <= ended_on and ended_on - ordered_on < 365 group by customer_key),
days as (
    select customer_key, ordered_on, min(order_key) as order_key,
        lead(ordered_on, 1, date '9999-12-31') over (
            partition by customer_key order by ordered_on) as next_order_on
    from known group by customer_key, ordered_on),
at_start as (
    select * from days
    where ordered_on < $month and next_order_on >= $month
        and cast($month as date) - 1 - ordered_on < $horizon_days),
churned as (
    select customer_key from days cross join span
    where date_trunc('month', ordered_on + $horizon_days::integer) = $month
        and ordered_on + $horizon_days::integer <= as_of
        and next_order_on - ordered_on > $horizon_days)
"""
_LINES = """
select 'line' as kind, order_key as fact_key, line_number, product_key,
    row_number() over (partition by order_key, product_key order by line_number) as ordinal,
    customer_key, counted_on as happened_on, line_amount as amount
from lines"""
_RETURNS = r"""
select 'return' as kind, return_key as fact_key, null as line_number, product_key,
    row_number() over (partition by regexp_replace(return_key, '-\d+$', ''), product_key
        order by length(return_key), return_key) as ordinal,
    customer_key, returned_on as happened_on, returned_amount as amount
from returns"""


def _one_each(relation: str) -> str:
    return (
        "select 'order' as kind, order_key as fact_key, null as line_number, null as product_key, "
        "1 as ordinal, customer_key, ordered_on as happened_on, 1 as amount "
        f"from {relation}"
    )


@dataclass(frozen=True)
class Term:
    """One total: what its facts are, and SQL that selects them, each with its ``amount``."""

    text: str
    facts: str

    @property
    def sql(self) -> str:
        """A whole query: kind, fact_key, line_number, product_key, ordinal, customer_key, ..."""
        return f"{_NAMES} {self.facts}"


TERMS = {
    "gross": Term("order lines of the month's orders", _LINES),
    "returned": Term("returns of the month", _RETURNS),
    "orders": Term("orders of the month", _one_each("orders")),
    "active": Term("customers with an order in the month", _one_each("active")),
    "new": Term(
        "customers whose first order is in the month",
        _one_each("active semi join (from first_orders "
                  "where date_trunc('month', first_order_on) = $month) using (customer_key)"),
    ),
    "active_before": Term(
        "customers with an order in the month before", _one_each("active_before")
    ),
    "retained": Term(
        "customers with an order in the month before and in this one",
        _one_each("active semi join active_before using (customer_key)"),
    ),
    "recent": Term(
        "customers with an order in the 365 days to the month's end", _one_each("recent")
    ),
    "repeated": Term(
        "customers with two or more orders in those 365 days",
        _one_each("(from recent where order_count >= 2)"),
    ),
    "at_start": Term("customers not churned when the month began", _one_each("at_start")),
    "churned": Term(
        "of those, customers whose last order became CRM_HORIZON_DAYS old in the month",
        _one_each("at_start semi join churned using (customer_key)"),
    ),
}  # fmt: skip
_MONEY = "cast({} as decimal(18, 2))"


@dataclass(frozen=True)
class Metric:
    """One figure: the terms whose totals it takes, the equation for people, and in SQL."""

    terms: tuple[str, ...]
    equation: str
    sql: str


def _rate(above: str, below: str) -> Metric:
    return Metric(
        (above, below), f"{above} / {below}", f"cast({above} as double) / nullif({below}, 0)"
    )


METRICS = {
    "order_count": Metric(("orders",), "orders", "orders"),
    "active_customers": Metric(("active",), "active", "active"),
    "new_customers": Metric(("new",), "new", "new"),
    "returning_customers": Metric(("active", "new"), "active - new", "active - new"),
    "gross_amount": Metric(("gross",), "gross", _MONEY.format("gross")),
    "returned_amount": Metric(("returned",), "returned", _MONEY.format("returned")),
    "net_amount": Metric(
        ("gross", "returned"), "gross - returned", _MONEY.format("gross - returned")
    ),
    "average_order_amount": Metric(
        ("gross", "orders"), "gross / orders", _MONEY.format("gross / nullif(orders, 0)")
    ),
    "repeat_customers": Metric(("repeated",), "repeated", "repeated"),
    "recent_customers": Metric(("recent",), "recent", "recent"),
    "repurchase_rate": _rate("repeated", "recent"),
    "churned_customers": Metric(("churned",), "churned", "churned"),
    "customers_at_start": Metric(("at_start",), "at_start", "at_start"),
    "churn_rate": _rate("churned", "at_start"),
    "retained_customers": Metric(("retained",), "retained", "retained"),
    "previous_active_customers": Metric(("active_before",), "active_before", "active_before"),
    "retention_rate": _rate("retained", "active_before"),
}
"""Every column of ``kpi_monthly`` that is a figure."""
