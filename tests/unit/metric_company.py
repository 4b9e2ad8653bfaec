"""Tables that metrics are made of, filled at random with every awkward value their types allow."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb

from tests.unit.sql_harness import SqlWarehouse, filled_once, project_manifest

AS_OF = date(2025, 6, 17)
FIRST = date(2025, 1, 1)
ROWS = {
    "fct_orders": 150, "fct_order_items": 250, "fct_returns": 40, "fct_tickets": 150,
    "service_contacts_monthly": 12, "fct_survey_responses": 200, "web_sessions": 200,
    "sales_opportunities": 120, "sales_open_opportunities": 30, "fct_leads": 90,
    "fct_campaign_touches": 200, "campaign_performance": 9, "acquisition_cost": 12,
    "dim_owners": 5, "dim_companies": 9, "dim_products": 6, "customer_360": 9,
    "customer_rfm": 9, "dim_campaigns": 9,
}  # fmt: skip
"""Mart -> how many rows."""
OWN_KEYS = {
    "fct_orders": "order_key", "fct_returns": "return_key", "fct_tickets": "ticket_key",
    "fct_survey_responses": "response_key", "web_sessions": "session_key",
    "sales_opportunities": "opportunity_key", "sales_open_opportunities": "opportunity_key",
    "fct_leads": "lead_key", "fct_campaign_touches": "touch_key",
    "campaign_performance": "campaign_key", "dim_owners": "owner_key",
    "dim_companies": "customer_key", "dim_products": "product_key",
    "customer_360": "customer_key", "customer_rfm": "customer_key",
    "dim_campaigns": "campaign_key",
}  # fmt: skip
SCALES = ((1, 5), (0, 10), (0, 10), (1, 3), (0, 100))
# what the marts promise of their columns together, and chance would break
CONSISTENT = """
update marts.fct_tickets set
    first_response_on = least(opened_on + (first_response_hours::int % 40), date '2025-06-17')
    where opened_on is not null;
update marts.fct_tickets set first_response_on = null where first_response_hours is null;
update marts.fct_tickets set first_response_hours = null, first_response_business_hours = null
    where first_response_on is null;
update marts.fct_tickets set
    resolved_on = if(opened_on + resolution_hours::int is null, null,
        least(opened_on + (resolution_hours::int % 40), date '2025-06-17'));
update marts.fct_tickets set resolution_hours = null, resolution_business_hours = null
    where resolved_on is null;
update marts.fct_survey_responses set
    is_top_box = score >= if(highest_score - lowest_score >= 3, highest_score - 1, highest_score),
    nps_class = case when lowest_score = 0 and highest_score = 10 and score is not null then
        case when score >= 9 then 'promoter' when score >= 7 then 'passive' else 'detractor' end
        end;
update marts.sales_opportunities set is_open = is_won is null,
    closed_on = if(is_won is null, null, closed_on), as_of = date '2025-06-17',
    won_amount = if(is_won, opportunity_amount, 0);
update marts.sales_opportunities set cycle_days = closed_on - opened_on;
update marts.customer_rfm set as_of = date '2025-06-17';
create table intermediate.int_opportunities__as_of as
    select *, stage as open_stage from marts.sales_opportunities;
create table intermediate.int_customer_days as
    select customer_key, ordered_on, max(next_on) as next_order_on,
        max_by(previous_on, number) as penultimate_order_on
    from (
        select customer_key, ordered_on,
            row_number() over w as number, lag(ordered_on) over w as previous_on,
            coalesce(lead(ordered_on) over (partition by customer_key order by ordered_on range
                between 1 following and unbounded following), date '9999-12-31') as next_on
        from marts.fct_orders where customer_key is not null
        window w as (partition by customer_key order by ordered_on, order_key))
    group by all;
create table intermediate.int_customer_months as
    select customer_key, order_month,
        lag(order_month) over (partition by customer_key order by order_month)
            as previous_order_month
    from (select distinct customer_key, date_trunc('month', ordered_on)::date as order_month
          from marts.fct_orders where customer_key is not null);
update marts.campaign_performance set
    response_rate = response_count / nullif(reached_count, 0),
    conversion_rate = conversion_count / nullif(reached_count, 0),
    return_on_spend = revenue_amount / nullif(cost_amount, 0);
delete from marts.acquisition_cost where rowid not in (
    select min(rowid) from marts.acquisition_cost group by acquisition_channel, month);
update marts.acquisition_cost set
    cost_per_customer_amount = cost_amount / nullif(new_customers, 0),
    value_over_cost = value_amount / nullif(cost_amount, 0);
create table marts.dim_dates as
    select date_on::date as date_on, date_trunc('month', date_on)::date as month
    from range(timestamp '2025-01-01', timestamp '2026-01-01', interval 1 day) as days (date_on);
"""
BUILT = ("service_monthly", "web_daily", "web_funnel", "sales_opportunities", "sales_monthly",
         "sales_pipeline", "int_satisfaction__sums", "satisfaction_monthly", "kpi_monthly",
         "kpi_daily", "metrics_monthly")  # fmt: skip


def _value(draw: random.Random, name: str, kind: str) -> Any:
    """Draw a value of a column's type, of few different ones where it is a name."""
    if kind == "varchar":
        stem = name.removesuffix("_key")
        return f"{stem}{draw.randrange(1, 8)}"
    if kind == "boolean":
        return draw.random() < 0.4
    if kind in ("date", "timestamp"):
        day = FIRST + timedelta(days=draw.randrange((AS_OF - FIRST).days + 1))
        if name == "month":
            day = day.replace(day=1)
        return day if kind == "date" else datetime.combine(day, time(draw.randrange(24)))
    if kind == "double":
        return round(draw.uniform(-1, 1), 6)
    if kind.startswith("decimal"):
        return Decimal(draw.randrange(0, 90000)) / 100
    return draw.randrange(0, 5)


def _rows(draw: random.Random, table: str) -> Iterator[dict[str, Any]]:
    model = project_manifest().nodes[f"model.crm.{table}"]
    columns = {
        column.name: (column.data_type, bool(column.constraints))
        for column in model.columns.values()
    }
    for number in range(ROWS[table]):
        row = {
            name: None if not required and draw.random() < 0.15 else _value(draw, name, kind)
            for name, (kind, required) in columns.items()
        }
        if table in OWN_KEYS:
            own = OWN_KEYS[table]
            row[own] = f"{own.removesuffix('_key')}{number + 1}"
        if table == "fct_survey_responses":
            low, high = draw.choice(SCALES)
            score = None if draw.random() < 0.1 else Decimal(draw.randint(low, high))
            row |= {"lowest_score": low, "highest_score": high, "score": score}
        yield row


def create_mart(db: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create a mart as its contract says, empty, unless it is there."""
    columns = project_manifest().nodes[f"model.crm.{table}"].columns.values()
    types = ", ".join(f"{column.name} {column.data_type}" for column in columns)
    db.execute(f"create table if not exists marts.{table} ({types})")


@cache
def random_company() -> SqlWarehouse:
    """Return a warehouse of random facts, with the marts that metrics are held against."""
    return filled_once(
        "random_company", lambda folder: SqlWarehouse(folder, settings={"as_of": AS_OF}), _fill
    )


def _fill(warehouse: SqlWarehouse) -> None:
    draw = random.Random(4)
    with warehouse.connection() as db:
        db.execute("create schema if not exists marts; create schema if not exists intermediate")
        for table in ROWS:
            create_mart(db, table)
            rows = [tuple(row.values()) for row in _rows(draw, table)]
            marks = ", ".join("?" * len(rows[0]))
            db.executemany(f"insert into marts.{table} values ({marks})", rows)
        db.execute(CONSISTENT)
        create_mart(db, "sales_stage_conversion")
    warehouse.run(*BUILT)
