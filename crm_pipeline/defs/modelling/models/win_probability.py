"""Win probability: how likely each open opportunity is won, and when it will be decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

    from ml.evaluation.result import TrainingResult

STATES = "select * from features.opportunity_states order by opportunity_key, state_number"


def _states(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {"states": frame(con, STATES)}


def _train(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.forecast.opportunities.training import train_win_probability

    return train_win_probability(frames["states"], as_of=settings.as_of, champion=champion)


def _score(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    from ml.forecast.opportunities.scoring import score_opportunities

    return Scored(score_opportunities(estimator, frames["states"], settings.as_of))


def _without(con: duckdb.DuckDBPyConnection, settings: RunSettings, status: str) -> pd.DataFrame:
    from ml.forecast.opportunities.scoring import score_opportunities

    return score_opportunities(None, frame(con, STATES), settings.as_of, status)


def _types() -> Sequence[str]:
    from ml.forecast.opportunities.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="win_probability",
    package="forecast/opportunities",
    borrows=("churn",),
    table="opportunity_scores",
    types={
        "opportunity_key": "varchar",
        "status": "varchar",
        "win_probability": "double",
        "base_win_rate": "double",
        "expected_close_on": "date",
        "close_low_on": "date",
        "close_high_on": "date",
    },
    description="Win probability and expected decision of open opportunities. "
    "Grain: one row per opportunity that is open on the as-of date.",
    limits=(
        "The amount is no feature: several sources write it down only for what is won.",
        "Owners differ in the opportunities that they are given, so their rates are no judgement.",
        "Where nobody waited as long and was decided, no day of decision is given.",
    ),
    subject="states",
    training_reads=("features.opportunity_states",),
    scoring_reads=("features.opportunity_states",),
    settings=lambda s: {"as_of": s.as_of.isoformat()},
    training_frames=_states,
    train=_train,
    scoring_frames=_states,
    score=_score,
    trusted_types=_types,
    is_of_customers=False,
    without_champion=_without,
)
