"""Forecast: sales, orders and active customers by day, week and month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

    from ml.evaluation.result import TrainingResult

PERIODS = (
    "select period_grain, period_start_on, dimension, dimension_value, "
    "cast(gross_amount as double) as gross_amount, order_count, active_customers "
    "from features.sales_periods "
    "order by period_grain, period_start_on, dimension, dimension_value"
)


def _periods(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {"periods": frame(con, PERIODS)}


def _train(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.forecast.sales.training import train_forecast

    return train_forecast(frames["periods"], as_of=settings.as_of, champion=champion)


def _score(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    from ml.forecast.sales.scoring import accuracy_rows, score_forecast

    rows = score_forecast(estimator, frames["periods"], settings.as_of)
    return Scored(rows, {"sales_forecast_accuracy": accuracy_rows(estimator)})


def _without(_con: duckdb.DuckDBPyConnection, settings: RunSettings, status: str) -> pd.DataFrame:
    from ml.forecast.sales.scoring import without_champion

    return without_champion(status, settings.as_of)


def _types() -> Sequence[str]:
    from ml.forecast.sales.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


KEY = {
    "measure": "varchar",
    "dimension": "varchar",
    "dimension_value": "varchar",
    "period_grain": "varchar",
}

SPEC = ModelSpec(
    name="forecast",
    package="forecast/sales",
    table="sales_forecast",
    types={
        **KEY,
        "period_start_on": "date",
        "horizon": "integer",
        "status": "varchar",
        "forecast": "double",
        "low_80": "double",
        "high_80": "double",
        "low_95": "double",
        "high_95": "double",
        "method": "varchar",
        "is_reconciled": "boolean",
    },
    further={
        "sales_forecast_accuracy": {
            **KEY,
            "as_of": "date",
            "method": "varchar",
            "forecast_count": "integer",
            "mase": "double",
            "naive_mase": "double",
            "smape": "double",
            "naive_smape": "double",
            "coverage_80_rate": "double",
            "coverage_95_rate": "double",
            "model_version": "varchar",
        }
    },
    description="Gross amount, orders and active customers of the days, weeks and months ahead. "
    "Grain: one row per series, period grain and period.",
    limits=(
        "Gross amounts: what comes back is not taken off.",
        "With less than two years of history no season of the year is known, and no Christmas.",
        "Active customers sum over nothing, orders not over categories.",
        "It goes on as before: no campaign, price or shortage that is planned is known to it.",
    ),
    subject="periods",
    training_reads=("features.sales_periods",),
    scoring_reads=("features.sales_periods",),
    # which periods are complete depends on the day
    settings=lambda s: {"as_of": s.as_of.isoformat()},
    training_frames=_periods,
    train=_train,
    scoring_frames=_periods,
    score=_score,
    trusted_types=_types,
    is_of_customers=False,
    without_champion=_without,
)
