"""Experiments: what each arm of each campaign with a control group changed, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.defs.modelling.spec import AnalysisSpec, Frames
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "campaign_key": "varchar",
    "as_of": "date",
    "experiment_arm": "varchar",
    "outcome": "varchar",
    "method": "varchar",
    "treated_count": "bigint",
    "control_count": "bigint",
    "treated_mean": "double",
    "control_mean": "double",
    "effect": "double",
    "effect_low": "double",
    "effect_high": "double",
    "p_value": "double",
    "adjusted_p_value": "double",
    "always_valid_p_value": "double",
    "variance_removed_share": "double",
    "sample_ratio_p_value": "double",
    "detectable_effect": "double",
    "verdict": "varchar",
}
DIGITS = 8
"""Scores are rounded, so that another machine's last bits change no byte."""


def _frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {
        "people": frame(
            con,
            "select campaign_key, person_key, source, arm, is_control, responses, conversions, "
            "response_amount, "
            # of a known customer without an order that is what they spent
            "if(customer_key is null, null, coalesce(gross_amount_365d, 0)) as gross_amount_365d "
            "from features.uplift_people "
            "where campaign_key <> 'today' order by campaign_key, person_key",
        ),
        "designs": frame(con, "select * from seeds.experiment_designs order by all"),
    }


def _compute(frames: Frames, _settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.experiments.campaigns import experiment_results

    found = experiment_results(frames["people"], frames["designs"])
    return {"experiment_results": found.round(DIGITS)}


SPEC = AnalysisSpec(
    name="experiments",
    package="experiments",
    tables={"experiment_results": TYPES},
    description="What each arm of an experiment changed, with tests and a verdict. Grain: one row "
    "per campaign, arm, outcome and method.",
    reads=("features.uplift_people", "seeds.experiment_designs"),
    frames=_frames,
    compute=_compute,
)
