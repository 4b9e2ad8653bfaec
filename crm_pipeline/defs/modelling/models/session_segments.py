"""Kinds of visits: web sessions grouped by what happened in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.models.segments import COMPARISON_TYPES
from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult

SESSIONS_READ = 10_000
"""Sessions that training and profiles look at; of more, a fixed sample."""

MEASURED = ("page_count", "product_page_count", "duration_seconds", "bounce_rate", "exit_rate")


def _frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    # what cannot be is not known; a source's own contract need not say so
    measured = ", ".join(f"if({name} >= 0, {name}, null) as {name}" for name in MEASURED)
    sessions = frame(
        con,
        f"select session_key, customer_key, {measured}, has_order::integer::double as has_order "
        "from marts.fct_sessions "
        "where started_on is null or started_on <= ? "
        "order by md5(session_key), session_key limit ?",
        [settings.as_of, SESSIONS_READ],
    )
    return {"features": sessions.sort_values("session_key", ignore_index=True)}


def _train(frames: Frames, _settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.segmentation.sessions import train_session_segments

    return train_session_segments(frames["features"], champion=champion)


def _score(estimator: Any, frames: Frames, _settings: RunSettings) -> Scored:
    from ml.segmentation.report import comparison
    from ml.segmentation.sessions import profile_sessions

    return Scored(
        profile_sessions(estimator, frames["features"]),
        {"session_segment_comparison": comparison(estimator)},
    )


def _types() -> Sequence[str]:
    from ml.segmentation.sessions import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="session_segments",
    package="segmentation",
    table="session_segments",
    types={
        "segment_id": "integer",
        "segment_name": "varchar",
        "session_count": "bigint",
        "session_share": "double",
        "mean_page_count": "double",
        "mean_product_page_count": "double",
        "mean_duration_seconds": "double",
        "mean_bounce_rate": "double",
        "mean_exit_rate": "double",
        "order_rate": "double",
    },
    further={"session_segment_comparison": COMPARISON_TYPES},
    description="Kinds of visits, by pages, time and bounce and exit rates; and how else they "
    "could be formed. Grain of the main table: one row for every kind.",
    limits=(
        "A kind of visit is not a kind of visitor: one person makes visits of several kinds.",
        "order_rate is what visits of the kind ended in, not what the kind causes.",
    ),
    follows_champion=True,
    training_reads=("marts.fct_sessions",),
    scoring_reads=("marts.fct_sessions",),
    settings=lambda _s: {},
    training_frames=_frames,
    train=_train,
    scoring_frames=_frames,
    score=_score,
    trusted_types=_types,
    is_of_customers=False,
)
