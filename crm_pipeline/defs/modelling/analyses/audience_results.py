"""Did it work: what each audience with a holdout changed, beside what was expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import AnalysisSpec, Frames
from crm_pipeline.defs.modelling.store import OFFERED_TABLE, RunSettings

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "experiment": "varchar",
    "audience": "varchar",
    "audience_version": "integer",
    "as_of": "date",
    "outcome": "varchar",
    "window_days": "integer",
    "first_assigned_on": "date",
    "last_assigned_on": "date",
    "treated_count": "bigint",
    "holdout_count": "bigint",
    "planned_treated_count": "bigint",
    "planned_holdout_count": "bigint",
    "waiting_count": "bigint",
    "later_count": "bigint",
    "sample_ratio_p_value": "double",
    "treated_mean": "double",
    "holdout_mean": "double",
    "effect": "double",
    "effect_low": "double",
    "effect_high": "double",
    "p_value": "double",
    "variance_removed_share": "double",
    "treated_order_rate": "double",
    "holdout_order_rate": "double",
    "treated_net_amount": "decimal(18,2)",
    "holdout_net_amount": "decimal(18,2)",
    "amount_effect": "double",
    "amount_effect_low": "double",
    "amount_effect_high": "double",
    "expected_gain_amount": "decimal(18,2)",
    "measured_gain_amount": "decimal(18,2)",
    "measured_gain_low_amount": "decimal(18,2)",
    "measured_gain_high_amount": "decimal(18,2)",
    "verdict": "varchar",
}
DIGITS = 8
"""Scores are rounded, so that another machine's last bits change no byte."""
PAST_DAYS = 365
"""Orders of this many days before the assignment are what its adjustment knows."""

DESIGN = ("audience", "outcome", "window_days", "holdout_share", "smallest_effect", "is_offer")
PEOPLE = f"""
with planned as (
    select
        assigned.*, cast(designs.window_days as integer) as window_days, designs.is_offer
    from control.audience_assignments as assigned
    -- an audience that is no more has nothing by which to judge it
    inner join audience_designs as designs on assigned.audience = designs.audience
),
summed as (
    select
        planned.experiment, planned.customer_key,
        count(*) filter (orders.ordered_on > planned.assigned_on) as order_count,
        sum(orders.net_amount) filter (orders.ordered_on > planned.assigned_on) as net_amount,
        count(orders.margin_amount) filter (orders.ordered_on > planned.assigned_on)
            as known_margins,
        sum(orders.margin_amount) filter (orders.ordered_on > planned.assigned_on)
            as margin_amount,
        count(*) filter (orders.ordered_on <= planned.assigned_on) as order_count_before,
        sum(orders.gross_amount) filter (orders.ordered_on <= planned.assigned_on)
            as gross_amount_before
    from planned
    inner join marts.fct_orders as orders
        on planned.customer_key = orders.customer_key
        and orders.ordered_on > planned.assigned_on - {PAST_DAYS}
        and orders.ordered_on <= planned.assigned_on + planned.window_days
    group by planned.experiment, planned.customer_key
)
select
    planned.experiment, planned.audience, planned.audience_version, planned.customer_key,
    planned.arm, planned.assigned_on,
    planned.assigned_on + planned.window_days <= cast($as_of as date) as is_complete,
    coalesce(summed.order_count, 0) as order_count,
    cast(coalesce(summed.net_amount, 0) as double) as net_amount,
    -- of an offer: the margin that came in, by its own rate where costs are not known
    case when offered.offer is not null then
        coalesce(
            case when summed.known_margins = summed.order_count
                then cast(summed.margin_amount as double) end,
            cast(coalesce(summed.net_amount, 0) as double) * offered.margin_rate)
        - case when planned.arm = 'treatment' then offered.cost_amount else 0 end
    end as gain_amount,
    coalesce(summed.order_count_before, 0) as order_count_before,
    cast(coalesce(summed.gross_amount_before, 0) as double) as gross_amount_before,
    cast(offered.expected_gain_amount as double) as expected_gain_amount
from planned
left join summed using (experiment, customer_key)
left join control.offered as offered
    on planned.customer_key = offered.customer_key and planned.assigned_on = offered.as_of
    and planned.is_offer
order by planned.experiment, planned.assigned_on, planned.customer_key
"""


def designs_of(manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return what the audiences' yaml entries state of their experiments, by audience.

    An audience that says what it expects of a customer (``expected_gain_amount``) is of offers.
    """
    import pandas as pd

    rows = []
    for node in manifest["nodes"].values():
        said = node.get("config", {}).get("meta", {}).get("audience") or {}
        outcome = said.get("outcome")
        if node["resource_type"] == "model" and outcome:
            rows.append(
                (
                    node["name"].removeprefix("audience_"), outcome["metric"],
                    int(outcome["days"]), float(said["holdout_share"]),
                    float(outcome["smallest_effect"]),
                    "expected_gain_amount" in node["columns"],
                )
            )  # fmt: skip
    found = pd.DataFrame(rows, columns=list(DESIGN))
    found = found.astype({"audience": object, "outcome": object, "is_offer": bool})
    return found.sort_values("audience", ignore_index=True)


def people_of(
    con: duckdb.DuckDBPyConnection, settings: RunSettings, designs: pd.DataFrame
) -> pd.DataFrame:
    """Return everybody who was assigned, with what they did in their window and before."""
    con.execute(OFFERED_TABLE)
    con.register("audience_designs", designs)
    people = con.execute(PEOPLE, {"as_of": settings.as_of}).df()
    con.unregister("audience_designs")
    return people


def _frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    from crm_pipeline.resources.dbt import ensure_manifest

    designs = designs_of(ensure_manifest())
    return {"people": people_of(con, settings, designs), "designs": designs}


def _compute(frames: Frames, _settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.experiments.audiences import audience_results

    found = audience_results(frames["people"], frames["designs"])
    gains = {name: 2 for name, kind in TYPES.items() if kind.startswith("decimal")}
    rates = {name: DIGITS for name, kind in TYPES.items() if kind == "double"}
    return {"audience_results": found.round(gains | rates)}


SPEC = AnalysisSpec(
    name="audience_results",
    package="experiments",
    tables={"audience_results": TYPES},
    description="What each audience with a holdout changed, and whether that is more than chance. "
    "Grain: one row per experiment.",
    reads=("control.audience_assignments", "marts.fct_orders"),
    frames=_frames,
    compute=_compute,
)
