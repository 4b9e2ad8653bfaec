"""Next offers: which customer gets which offer, under the budget and the limit on contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.defs.modelling.spec import AnalysisSpec, Frames
from crm_pipeline.defs.modelling.store import OFFERED_TABLE, RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

ALLOCATION = {
    "customer_key": "varchar",
    "as_of": "date",
    "offer": "varchar",
    "channel": "varchar",
    "uplift": "double",
    "uplift_basis": "varchar",
    "expected_gain_amount": "decimal(18,4)",
    "cost_amount": "decimal(18,4)",
}
SUMMARY = {
    "as_of": "date",
    "method": "varchar",
    "customer_count": "bigint",
    "offered_count": "bigint",
    "budget_amount": "decimal(18,2)",
    "cost_amount": "decimal(18,2)",
    "expected_gain_amount": "decimal(18,2)",
    "bound_amount": "decimal(18,2)",
    "gap_rate": "double",
    "is_feasible": "boolean",
}
CUSTOMERS = """
select
    people.customer_key,
    uplift.uplift,
    cast(coalesce(clv.expected_order_amount, people.average_order_amount) as double)
        as order_amount,
    dim_customers.is_marketing_allowed
from features.uplift_people as people
left join scores.customer_uplift as uplift using (customer_key)
left join scores.customer_clv as clv using (customer_key)
left join marts.dim_customers using (customer_key)
where people.campaign_key = 'today'
order by people.customer_key
"""
EFFECTS = """
select effect, control_mean, treated_count, control_count
from scores.experiment_results
where outcome = 'conversion' and method = 'z' and verdict <> 'sample_ratio_mismatch'
order by campaign_key, experiment_arm
"""


def _frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {
        "customers": frame(con, CUSTOMERS),
        "offers": frame(con, "select * from seeds.offers order by offer"),
        "limits": frame(con, "select * from seeds.offer_limits order by limit_name"),
        "effects": frame(con, EFFECTS),
        "refusals": frame(
            con,
            "select distinct customer_key, channel from marts.customer_consents "
            "where not is_granted order by customer_key, channel",
        ),
    }


def _compute(frames: Frames, _settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.allocation.offers import next_offers

    rows, summary = next_offers(**frames)
    # rounded before it is written: another machine's last bits change no byte
    return {
        "offer_allocation": rows.round({"uplift": 6, "expected_gain_amount": 4}),
        "offer_allocation_summary": summary.round({"gap_rate": 8}),
    }


def remember(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> None:
    """Keep what is expected of today's offers; of earlier ones, what an audience was sent by.

    Where today's were sent already, and are now computed again, what was sent stays.
    """
    con.execute(OFFERED_TABLE)
    con.execute(
        "delete from control.offered where (as_of, customer_key) not in "
        "(select (assigned_on, customer_key) from control.audience_assignments) "
        "or customer_key not in (select customer_key from marts.dim_customers)"
    )
    con.execute(
        "insert or ignore into control.offered select ?, allocation.customer_key, "
        "allocation.offer, allocation.expected_gain_amount, allocation.cost_amount, "
        "offers.margin_rate from scores.offer_allocation as allocation "
        "inner join seeds.offers as offers using (offer)",
        [settings.as_of],
    )


SPEC = AnalysisSpec(
    name="next_offer",
    package="allocation",
    tables={"offer_allocation": ALLOCATION, "offer_allocation_summary": SUMMARY},
    description="Which customer gets which offer, and how far that can be from the best.",
    reads=(
        "features.uplift_people",
        "scores.customer_uplift",
        "scores.customer_clv",
        "scores.experiment_results",
        "marts.dim_customers",
        "marts.customer_consents",
        "seeds.offers",
        "seeds.offer_limits",
        # what was sent decides what is remembered
        "control.audience_assignments",
    ),
    frames=_frames,
    compute=_compute,
    afterwards=remember,
)
