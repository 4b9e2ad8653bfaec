"""Truths across tables, each as a query that counts its exceptions. No Dagster in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from crm_pipeline.defs.landing.sources import SourceContract
from crm_pipeline.defs.modelling.registered import MODELS

Contracts = Mapping[str, SourceContract]
Counter = Callable[[duckdb.DuckDBPyConnection, Contracts, Sequence[str]], int]

LAST_MART = "marts.metrics_monthly"
"""Where truths about facts are shown: a mart that no other mart reads. Blocking on one in the
middle would cut the dbt build in two, and only what leaves the pipeline has to wait."""


@dataclass(frozen=True)
class Truth:
    """One truth.

    Attributes:
        name: Check name.
        asset: The table it guards, ``schema.table``.
        also: Other tables it reads.
        description: What must be true, and what to do if it is not.
        exceptions: Counts the rows, customers or sources for which it is not.
    """

    name: str
    asset: str
    also: tuple[str, ...]
    description: str
    exceptions: Counter


def _count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0


def _accounting(
    con: duckdb.DuckDBPyConnection, contracts: Contracts, sources: Sequence[str]
) -> int:
    """Count the sources whose facts do not add up to the source's own total.

    The total is stated by the source's contract, table by table, as ``meta.control_total``: an
    expression over raw columns, so it is a second route to the figure that shares no staging SQL.
    """
    wrong = 0
    row = con.execute("select currency from control.run_settings").fetchone()
    for name in sources:
        parts = [
            f'select sum({table.control_total}) as total from raw."{table.identifier}"'
            for table in contracts[name].tables
            if table.control_total
        ]
        if not parts:
            continue
        is_foreign = row is not None and contracts[name].currency not in (None, row[0])
        facts = " union all ".join(
            _converted_back(*part, name) if is_foreign else _as_booked(*part, name)
            for part in _PARTS_OF_THE_TOTAL
        )
        wrong += _count(
            con,
            f"""
            with own as (
                select coalesce(sum(total), 0) as amount from ({" union all ".join(parts)})),
            facts as (
                select coalesce(sum(amount), 0) as amount, coalesce(sum(rounding), 0) as rounding
                from ({facts}))
            select count(*) from own, facts
            where abs(own.amount - facts.amount) >= 0.005 + facts.rounding
            """,
        )
    return wrong


_PARTS_OF_THE_TOTAL = (
    ("line_amount", "marts.fct_order_items"),
    ("line_amount", "intermediate.int_order_items__orphaned"),
    ("-returned_amount", "marts.fct_returns"),
    ("adjusted_amount", "marts.fct_adjustments"),
    ("own_amount", "intermediate.int_without_rate"),
)


def _as_booked(amount: str, table: str, source: str) -> str:
    return f"select sum({amount}) as amount, 0 as rounding from {table} where source = '{source}'"


def _converted_back(amount: str, table: str, source: str) -> str:
    """SQL for a foreign source's amounts in its own currency, and how far rounding may move them.

    A converted amount is off by half of the fourth decimal at most.
    """
    if table.startswith("intermediate."):
        return _as_booked(amount, table, source)
    return (
        f"select sum({amount} / exchange_factor) as amount, "
        "sum(0.00005 / exchange_factor) as rounding "
        f"from {table} where source = '{source}'"
    )


def _fixed(sql: str) -> Counter:
    def count(
        con: duckdb.DuckDBPyConnection, _contracts: Contracts, _sources: Sequence[str]
    ) -> int:
        return _count(con, sql)

    return count


def _coverage(table: str) -> Truth:
    return Truth(
        name="scores_every_buyer_once",
        asset=f"scores.{table}",
        also=("marts.customer_rfm",),
        description="One row for every customer with an order at the as-of date, and no other. "
        "If not: materialise the scores again.",
        exceptions=_fixed(
            f"""
            with buyers as (
                select customer_key from marts.customer_rfm
                where as_of = (select as_of from control.run_settings)),
            scored as (select customer_key, as_of from scores.{table})
            select (select count(*) from buyers anti join scored using (customer_key))
                 + (select count(*) from scored anti join buyers using (customer_key))
                 + (select count(*) - count(distinct customer_key) from scored)
                 + (select count(*) from scored
                    where as_of <> (select as_of from control.run_settings))
            """
        ),
    )


TRUTHS = (
    Truth(
        name="facts_equal_the_sources_total",
        asset=LAST_MART,
        also=("marts.fct_order_items", "marts.fct_returns", "marts.fct_adjustments"),
        description="Lines - returns + adjustments equal each source's own total, to the cent. "
        "If not: a staging model drops or doubles records.",
        exceptions=_accounting,
    ),
    Truth(
        name="orders_equal_their_lines",
        asset=LAST_MART,
        also=("marts.fct_orders", "marts.fct_order_items"),
        description="Every order's gross amount is the sum of its lines, rounded to the cent.",
        exceptions=_fixed(
            """
            select count(*) from marts.fct_orders as o
            full join (select order_key, sum(line_amount) as amount, count(*) as lines
                       from marts.fct_order_items group by order_key) as i using (order_key)
            where abs(coalesce(o.gross_amount, -1) - coalesce(i.amount, 0)) > 0.005
               or coalesce(o.line_count, -1) <> coalesce(i.lines, 0)
            """
        ),
    ),
    Truth(
        name="months_equal_the_facts",
        asset=LAST_MART,
        also=("marts.fct_order_items", "marts.fct_returns"),
        description="The months' gross and returned amounts add up to the facts'.",
        exceptions=_fixed(
            """
            with months as (
                select coalesce(sum(gross_amount), 0) as gross,
                       coalesce(sum(returned_amount), 0) as returned,
                       0.01 * greatest(count(*), 1) as rounding
                from marts.kpi_monthly),
            lines as (
                select coalesce(sum(line_amount), 0) as gross from marts.fct_order_items),
            back as (
                select coalesce(sum(returned_amount), 0) as returned from marts.fct_returns)
            select (abs(months.gross - lines.gross) > rounding)::int
                 + (abs(months.returned - back.returned) > rounding)::int
            from months, lines, back
            """
        ),
    ),
    *(_coverage(model.table) for model in MODELS if model.is_of_customers),
    Truth(
        name="contributions_are_unique",
        asset="scores.customer_reasons",
        also=("marts.dim_customers",),
        description="One row a customer, model and feature, and every customer is known. If not: "
        "materialise the churn scores again.",
        exceptions=_fixed(
            """
            with reasons as (select customer_key, model, feature from scores.customer_reasons)
            select (select count(*) from reasons) - (select count(*) from (
                        select distinct customer_key, model, feature from reasons))
                 + (select count(*) from reasons anti join marts.dim_customers using (customer_key))
            """
        ),
    ),
)
