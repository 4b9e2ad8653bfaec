"""What the ledger tells the warehouse: assignments to experiments, and counts. No person's hash.

Belongs here: the copies in schema ``control``. They are made anew in every run, so the warehouse
may be lost: the ledger is the record.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import duckdb

from crm_pipeline.activation.ledger import ASSIGNMENT_COLUMNS, FILE, open_ledger

ASSIGNMENTS = f"create or replace table control.audience_assignments ({ASSIGNMENT_COLUMNS})"
LEDGER = """
create or replace table control.audience_ledger (
    audience varchar not null, destination varchar not null, held_count bigint not null,
    unsure_count bigint not null, delivered_batches bigint not null, dead_batches bigint not null,
    sent_count bigint not null, removed_count bigint not null, last_delivered_at timestamp,
    last_as_of date)
"""
_COUNTS = """
with held_now as (
    select audience, destination, count(*) as held_count,
        count(*) filter (batch_id is not null) as unsure_count
    from held group by all),
ended as (
    select audience, destination, count(*) filter (status = 'delivered') as delivered_batches,
        count(*) filter (status = 'dead') as dead_batches,
        coalesce(sum(added + changed) filter (status = 'delivered'), 0) as sent_count,
        coalesce(sum(removed) filter (status = 'delivered'), 0) as removed_count,
        max(ended_at) filter (status = 'delivered') as last_delivered_at,
        max(as_of) filter (status = 'delivered') as last_as_of
    from batches group by all)
select audience, destination, coalesce(held_count, 0) as held_count,
    coalesce(unsure_count, 0) as unsure_count, coalesce(delivered_batches, 0) as delivered_batches,
    coalesce(dead_batches, 0) as dead_batches, coalesce(sent_count, 0) as sent_count,
    coalesce(removed_count, 0) as removed_count, last_delivered_at, last_as_of
from held_now full join ended using (audience, destination) order by audience, destination
"""


def copy_to_warehouse(con: duckdb.DuckDBPyConnection, home: Path, as_of: date) -> tuple[int, int]:
    """Copy assignments up to ``as_of`` and counts; return how many rows of each."""
    con.execute("create schema if not exists control")
    con.execute(ASSIGNMENTS)
    con.execute(LEDGER)
    if not (home / FILE).is_file():
        return 0, 0
    with open_ledger(home) as ledger:
        assignments = ledger.con.execute(
            "select * exclude recorded_at from assignments where assigned_on <= ? "
            "order by experiment, customer_key",
            [as_of],
        ).to_arrow_table()
        counts = ledger.con.execute(_COUNTS).to_arrow_table()
    for table, rows in (("audience_assignments", assignments), ("audience_ledger", counts)):
        con.register("incoming", rows)
        con.execute(f"insert into control.{table} by name select * from incoming")
        con.unregister("incoming")
    return assignments.num_rows, counts.num_rows


def copy_ledger(company: Path, home: Path, known_at: datetime | None) -> None:
    """Give another home the assignments that were known at a moment, and nothing to be sent."""
    if not (company / FILE).is_file():
        return
    with open_ledger(company) as ledger:
        rows = ledger.con.execute(
            "select * from assignments where recorded_at <= coalesce(?, recorded_at)", [known_at]
        ).to_arrow_table()
    with open_ledger(home) as ledger:
        ledger.con.register("incoming", rows)
        ledger.con.execute("insert into assignments by name select * from incoming")
        ledger.con.unregister("incoming")


def status(home: Path) -> list[dict[str, object]]:
    """Return one row an audience and destination: the counts, and why the last batch was dead."""
    if not (home / FILE).is_file():
        return []
    with open_ledger(home) as ledger:
        found = ledger.con.execute(
            f"select counts.*, (select max_by(reason, sequence) from batches where status = 'dead' "
            "and batches.audience = counts.audience and batches.destination = counts.destination "
            "and ended_at > coalesce(last_delivered_at, timestamp '1970-01-01')) as last_fault "
            f"from ({_COUNTS}) as counts order by audience, destination"
        )
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
