"""The demo company's truth: kept beside the inbox, never in it.

Files: ``company.json`` (what was asked for), ``customers.parquet`` (latent parameters and totals),
``orders.parquet`` (every order's day and amount), ``tickets.parquet`` (satisfaction, and what it
does), ``touches.parquet`` (lot and effect of campaigns), ``opportunities.parquet`` (probability of
winning), ``memberships.parquet`` (probability of giving up), ``dirt.parquet`` (faulty rows by file
and kind), ``files.parquet`` (rows by file). Tests and benchmarks read them; the pipeline does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from crm_pipeline.demo.behaviour import Calendar
from crm_pipeline.demo.company import DemoCompany
from crm_pipeline.errors import UserError


@dataclass(frozen=True)
class DemoTruth:
    """What the generator knows.

    Attributes:
        company: The company asked for.
        customers: One row a customer: customer_no, segment, order_rate and dropout_rate (a day),
            spend_rate (per EUR), mean_order_amount (EUR), first_order_time and dropout_time (days
            since the first day), order_count, gross_amount, returned_amount (EUR, whole records),
            has_record, payer, left_over_service. Latents are null for customers who never order;
            dropout_time is that of the process or over service, whichever is first.
        orders: One row an order: order_no, customer_no (null for guests), ordered_at (naive,
            local), ordered_on (datetime64), amount (EUR, float), is_caused (by a campaign).
        dirt: One row per file and kind of faulty row: source, table_name, file_name, kind,
            column_name, is_quarantined, row_count.
        files: One row a file: source, table_name, file_name, row_count (faulty ones included),
            quarantined_count.
        tickets: One row a ticket: ticket_no, customer_no, opened_at, closed_at, response_hours,
            is_complaint, is_reopened, satisfaction, dropout_probability, made_leave.
        touches: One row per campaign and chosen customer: touch_no, campaign_no, customer_no,
            touched_at, is_control, effect (probability of one more order where treated and not
            dropped out), caused_order, ordered_at; and, known to nobody in life, would_order
            (treatment makes them order, or would) and buys_anyway (an order in the window that
            no campaign caused). Mean would_order and not buys_anyway is the true lift.
        opportunities: One row an opportunity: opportunity_no, account_size, owner_no,
            win_probability (when opened), is_won (null while open).
        memberships: One row a membership: membership_no, customer_no, started_at, ended_at (null
            while it runs), cancel_probability (at its last term's end; null before the first),
            cancel_hazard (sum of those of all its terms' ends).
    """

    company: DemoCompany
    customers: pd.DataFrame
    orders: pd.DataFrame
    dirt: pd.DataFrame
    files: pd.DataFrame
    tickets: pd.DataFrame = field(default_factory=pd.DataFrame)
    touches: pd.DataFrame = field(default_factory=pd.DataFrame)
    opportunities: pd.DataFrame = field(default_factory=pd.DataFrame)
    memberships: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def calendar(self) -> Calendar:
        """The days of the records, with their season."""
        return self.company.calendar


def write_company(truth: Path, company: DemoCompany) -> None:
    """Note what was asked for."""
    fields = {
        "customers": company.customers,
        "years": company.years,
        "seed": company.seed,
        "end": company.end.isoformat(),
    }
    (truth / "company.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def read_company(truth: Path) -> DemoCompany:
    """The company whose truth lies in ``truth``.

    Raises:
        UserError: There is none.
    """
    path = truth / "company.json"
    if not path.exists():
        raise UserError(f"no demo company in {truth}: write one with `make demo` first")
    fields = json.loads(path.read_text(encoding="utf-8"))
    return DemoCompany(
        customers=fields["customers"],
        years=fields["years"],
        seed=fields["seed"],
        end=date.fromisoformat(fields["end"]),
    )


def read_truth(truth: Path) -> DemoTruth:
    """Read all of the truth folder.

    Raises:
        UserError: There is no demo company there.
    """
    company = read_company(truth)
    frames = {
        name: pq.read_table(truth / f"{name}.parquet").to_pandas()
        for name in (
            *("customers", "orders", "dirt", "files"),
            *("tickets", "touches", "opportunities", "memberships"),
        )
    }
    frames["orders"]["ordered_on"] = pd.to_datetime(frames["orders"]["ordered_on"])
    frames["orders"]["amount"] = frames["orders"]["amount"].astype(float)
    for name in ("gross_amount", "returned_amount"):
        frames["customers"][name] = frames["customers"][name].astype(float)
    return DemoTruth(company=company, **frames)
