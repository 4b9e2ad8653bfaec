"""Lead conversion: how likely each open lead converts within the horizon, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

    from ml.evaluation.result import TrainingResult

LEADS = "select * from features.lead_states order by lead_key, state_number"


def _leads(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {"leads": frame(con, LEADS)}


def _train(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.forecast.opportunities.training import train_lead_conversion

    return train_lead_conversion(
        frames["leads"],
        as_of=settings.as_of,
        horizon_days=settings.horizon_days,
        champion=champion,
    )


def _scored(model: Any, leads: pd.DataFrame, settings: RunSettings, status: str) -> pd.DataFrame:
    from ml.forecast.opportunities.scoring import score_leads

    rows = score_leads(model, leads, settings.as_of, settings.horizon_days, status)
    return rows.assign(horizon_days=settings.horizon_days)


def _score(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    return Scored(_scored(estimator, frames["leads"], settings, "scored"))


def _without(con: duckdb.DuckDBPyConnection, settings: RunSettings, status: str) -> pd.DataFrame:
    return _scored(None, frame(con, LEADS), settings, status)


def _types() -> Sequence[str]:
    from ml.forecast.opportunities.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="lead_conversion",
    package="forecast/opportunities",
    borrows=("churn",),
    table="lead_conversion",
    types={
        "lead_key": "varchar",
        "status": "varchar",
        "horizon_days": "integer",
        "conversion_probability": "double",
        "base_conversion_rate": "double",
        "expected_conversion_days": "integer",
        "expected_conversion_on": "date",
        "conversion_low_on": "date",
        "conversion_high_on": "date",
    },
    description="Probability that an open lead converts within the horizon after it came, and when "
    "that is. Grain: one row per lead that is open on the as-of date.",
    limits=(
        "When a lead was given up is not known, so in training it waits until its horizon is over: "
        "where many are given up early, those still followed convert more often than is said.",
        "Owners differ in the leads that they are given, so their rates are no judgement.",
        "The days are of those that convert in time; whether one will, the probability says.",
    ),
    subject="leads",
    training_reads=("features.lead_states",),
    scoring_reads=("features.lead_states",),
    settings=lambda s: {
        "model": "lead_conversion",
        "as_of": s.as_of.isoformat(),
        "horizon_days": s.horizon_days,
    },
    horizon_days=lambda s: s.horizon_days,
    training_frames=_leads,
    train=_train,
    scoring_frames=_leads,
    score=_score,
    trusted_types=_types,
    is_of_customers=False,
    without_champion=_without,
)
