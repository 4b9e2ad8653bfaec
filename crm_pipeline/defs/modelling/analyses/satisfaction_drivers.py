"""Drivers of satisfaction: which topics and circumstances go together with the score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.defs.modelling.spec import AnalysisSpec, Frames
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "survey": "varchar",
    "as_of": "date",
    "driver_kind": "varchar",
    "driver": "varchar",
    "response_count": "bigint",
    "driver_count": "bigint",
    "effect_share": "double",
    "effect_low_share": "double",
    "effect_high_share": "double",
    "p_value": "double",
    "adjusted_p_value": "double",
    "verdict": "varchar",
}
DIGITS = 8


def _frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    read = "response_key, survey, score_share, comment_topics, channel, comment_language, category"
    return {"responses": frame(con, f"select {read} from features.comments order by response_key")}


def _compute(frames: Frames, _settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.satisfaction.drivers import satisfaction_drivers

    return {"satisfaction_drivers": satisfaction_drivers(frames["responses"]).round(DIGITS)}


SPEC = AnalysisSpec(
    name="satisfaction_drivers",
    package="satisfaction",
    tables={"satisfaction_drivers": TYPES},
    description="What goes together with satisfaction, other things equal. Grain: one row per "
    "survey, kind of driver and driver.",
    reads=("features.comments",),
    frames=_frames,
    compute=_compute,
)
