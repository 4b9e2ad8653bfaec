"""Segments: customers grouped by recency, orders and amount."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import (
    CUSTOMER_FEATURES,
    Frames,
    ModelSpec,
    Scored,
    features_at,
)
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult


def _segment_frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    profiles = frame(con, "select * from seeds.segment_profiles order by all")
    return {"features": features_at(con, "scoring"), "profiles": profiles}


def _train_segments(frames: Frames, _settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.segmentation.train import train_segments

    return train_segments(frames["features"], frames["profiles"], champion=champion)


def _score_segments(estimator: Any, frames: Frames, _settings: RunSettings) -> Scored:
    return Scored(estimator.predict(frames["features"]))


def _segment_types() -> Sequence[str]:
    from ml.segmentation.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="segments",
    package="segmentation",
    table="customer_segments",
    types={"segment_id": "integer", "segment_name": "varchar", "distance": "double"},
    description="K-means on log RFM. Grain: one row for every customer with an order.",
    limits=(
        "Segments describe what customers did; they do not say what would change it.",
        "K-means cuts a continuum: customers near a border could be in either segment.",
    ),
    training_reads=(*CUSTOMER_FEATURES, "seeds.segment_profiles"),
    scoring_reads=(*CUSTOMER_FEATURES, "seeds.segment_profiles"),
    settings=lambda _s: {},
    training_frames=_segment_frames,
    train=_train_segments,
    scoring_frames=_segment_frames,
    score=_score_segments,
    trusted_types=_segment_types,
)
