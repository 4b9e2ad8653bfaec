"""One customer's published figures, and the orders and returns they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from crm_pipeline.errors import UserError

_FIGURES = (
    "order_count", "gross_amount", "returned_amount", "net_amount", "average_order_amount",
    "last_order_on",
)  # fmt: skip

_RECOMPUTED = """
with orders as (select * from marts.fct_orders where customer_key = $key),
lines as (select items.* from marts.fct_order_items as items semi join orders using (order_key)),
returns as (select * from marts.fct_returns where customer_key = $key),
sums as (
    select (select count(*) from orders) as order_count,
        (select coalesce(sum(line_amount), 0) from lines) as gross,
        (select coalesce(sum(returned_amount), 0) from returns) as returned,
        (select max(ordered_on) from orders) as last_order_on,
        (select count(*) from returns) as return_count)
select order_count, cast(gross as decimal(18, 2)) as gross_amount,
    cast(returned as decimal(18, 2)) as returned_amount,
    cast(gross - returned as decimal(18, 2)) as net_amount,
    cast(gross / nullif(order_count, 0) as decimal(18, 2)) as average_order_amount, last_order_on
from sums
"""
_LINES = """
select 'line' as kind, order_key as fact_key, line_number, product_key,
    row_number() over (partition by order_key, product_key order by line_number) as ordinal,
    orders.customer_key, orders.ordered_on as happened_on, quantity, line_amount as amount
from marts.fct_order_items as items
inner join marts.fct_orders as orders using (order_key)
where orders.customer_key = $key order by happened_on desc, fact_key, line_number
"""
_RETURNS = r"""
select 'return' as kind, return_key as fact_key, null as line_number, product_key,
    row_number() over (partition by regexp_replace(return_key, '-\d+$', ''), product_key
        order by length(return_key), return_key) as ordinal,
    customer_key, returned_on as happened_on, quantity, returned_amount as amount
from marts.fct_returns
qualify customer_key = $key order by happened_on desc, fact_key
"""


@dataclass(frozen=True)
class Customer:
    """What is published of one customer.

    Attributes:
        key: The customer's key.
        row: The row of ``customer_360``: column -> value.
        figures: Figure -> (published, recomputed from orders and returns).
        orders: The newest orders, ``order_key, ordered_on, line_count, gross_amount``.
        order_count: How many there are.
        lines: The lines of those orders, as ``trace.facts_of`` takes them.
        returns: The newest returns, likewise.
        return_count: How many there are.
    """

    key: str
    row: dict[str, Any]
    figures: dict[str, tuple[Any, Any]]
    orders: pd.DataFrame
    order_count: int
    lines: pd.DataFrame
    returns: pd.DataFrame
    return_count: int

    @property
    def holds(self) -> bool:
        """Whether every figure is what its facts give."""
        return all(published == recomputed for published, recomputed in self.figures.values())


def look_up(db: duckdb.DuckDBPyConnection, key: str, limit: int) -> Customer:
    """Return a customer's figures and the newest ``limit`` orders and returns behind them.

    Raises:
        UserError: No such customer; the message names the nearest keys.
    """
    relation = db.execute("select * from marts.customer_360 where customer_key = ?", [key])
    names = [column[0] for column in relation.description or []]
    values = relation.fetchone()
    if values is None:
        near = db.execute(
            "select customer_key from marts.dim_customers "
            "order by jaro_winkler_similarity(customer_key, ?) desc, customer_key limit 3",
            [key],
        ).fetchall()
        listed = ", ".join(found for (found,) in near) or "none"
        raise UserError(f"no customer {key!r} is published; near are {listed}.")
    row = dict(zip(names, values, strict=True))
    recomputed = db.execute(_RECOMPUTED, {"key": key}).fetchone()
    assert recomputed is not None
    # a customer without order or return has no amounts, rather than amounts of 0
    has_facts = row["gross_amount"] is not None
    figures = {
        name: (row[name], value)
        for name, value in zip(_FIGURES, recomputed, strict=True)
        if has_facts or name == "order_count"
    }
    orders = db.execute(
        "select order_key, ordered_on, line_count, gross_amount from marts.fct_orders "
        "where customer_key = ? order by ordered_at desc, order_key",
        [key],
    ).df()
    lines = db.execute(_LINES, {"key": key}).df()
    returns = db.execute(_RETURNS, {"key": key}).df()
    shown = orders.head(limit)
    return Customer(
        key=key,
        row=row,
        figures=figures,
        orders=shown,
        order_count=len(orders),
        lines=lines[lines["fact_key"].isin(shown["order_key"])],
        returns=returns.head(limit),
        return_count=len(returns),
    )
