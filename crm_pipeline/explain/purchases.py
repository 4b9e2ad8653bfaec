"""What the figures of purchases are made of: orders, their lines, returns."""

from __future__ import annotations

from crm_pipeline.explain.terms import MONEY, Metric, Term, mean, money, total

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


def _term(text: str, facts: str) -> Term:
    return Term(text, facts, _NAMES)


TERMS = {
    "gross": _term("order lines of the month's orders", _LINES),
    "returned": _term("returns of the month", _RETURNS),
    "orders": _term("orders of the month", _one_each("orders")),
    "active": _term("customers with an order in the month", _one_each("active")),
    "new": _term(
        "customers whose first order is in the month",
        _one_each("active semi join (from first_orders "
                  "where date_trunc('month', first_order_on) = $month) using (customer_key)"),
    ),
    "active_before": _term(
        "customers with an order in the month before", _one_each("active_before")
    ),
    "retained": _term(
        "customers with an order in the month before and in this one",
        _one_each("active semi join active_before using (customer_key)"),
    ),
    "recent": _term(
        "customers with an order in the 365 days to the month's end", _one_each("recent")
    ),
    "repeated": _term(
        "customers with two or more orders in those 365 days",
        _one_each("(from recent where order_count >= 2)"),
    ),
    "at_start": _term("customers not churned when the month began", _one_each("at_start")),
    "churned": _term(
        "of those, customers whose last order became CRM_HORIZON_DAYS old in the month",
        _one_each("at_start semi join churned using (customer_key)"),
    ),
}  # fmt: skip
METRICS = {
    "order_count": total("orders"),
    "active_customers": total("active"),
    "new_customers": total("new"),
    "returning_customers": Metric(("active", "new"), "active - new", "active - new"),
    "gross_amount": money("gross"),
    "returned_amount": money("returned"),
    "net_amount": Metric(
        ("gross", "returned"), "gross - returned", MONEY.format("gross - returned")
    ),
    "average_order_amount": Metric(
        ("gross", "orders"), "gross / orders", MONEY.format("gross / nullif(orders, 0)")
    ),
    "repeat_customers": total("repeated"),
    "recent_customers": total("recent"),
    "repurchase_rate": mean("repeated", "recent"),
    "churned_customers": total("churned"),
    "customers_at_start": total("at_start"),
    "churn_rate": mean("churned", "at_start"),
    "retained_customers": total("retained"),
    "previous_active_customers": total("active_before"),
    "retention_rate": mean("retained", "active_before"),
}
"""The figures of ``kpi_monthly`` that tell of purchases."""
