"""Staffing: agents needed in each hour of the week, so that contacts are answered in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.defs.modelling.spec import AnalysisSpec, Frames
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd


def _frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {
        "hours": frame(
            con, "select * from features.contact_hours order by channel, date_on, hour_of_day"
        ),
        "durations": frame(
            con, "select * from features.contact_durations order by channel, date_on"
        ),
        "targets": frame(con, "select * from seeds.staffing_targets order by channel"),
    }


def _compute(frames: Frames, settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.forecast.planning.staffing import plan_agents

    return {"agents_needed": plan_agents(**frames, as_of=settings.as_of)}


SPEC = AnalysisSpec(
    name="staffing",
    package="forecast/planning",
    tables={
        "agents_needed": {
            "channel": "varchar",
            "weekday": "integer",
            "hour_of_day": "integer",
            "as_of": "date",
            "status": "varchar",
            "week_count": "integer",
            "contacts_per_hour": "double",
            "busy_contacts_per_hour": "double",
            "handling_seconds": "double",
            "target_rate": "double",
            "target_seconds": "double",
            "load_erlangs": "double",
            "agents_needed": "integer",
            "busy_agents_needed": "integer",
            "scheduled_agents": "integer",
            "expected_service_rate": "double",
            "mean_wait_seconds": "double",
            "occupancy_rate": "double",
        }
    },
    description="Agents needed by Erlang C for the targets of the seed staffing_targets. "
    "Grain: one row per channel, weekday and hour.",
    reads=("features.contact_hours", "features.contact_durations", "seeds.staffing_targets"),
    frames=_frames,
    compute=_compute,
)
