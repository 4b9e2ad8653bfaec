"""Value: what a customer will spend over the horizon."""

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
    scoring_features,
)
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult


def _clv_frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    labels = frame(
        con,
        "select * from features.customer_labels where horizon_days = ? and cut_off_on in "
        "(select cut_off_on from features.cut_offs where purpose = 'clv_evaluation') "
        "order by customer_key",
        [settings.clv_holdout_days],
    )
    return {
        "now": features_at(con, "scoring"),
        "cut_off": features_at(con, "clv_evaluation"),
        "labels": labels,
    }


def _train_clv(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.clv.training import train_clv

    return train_clv(
        frames["now"],
        frames["cut_off"],
        frames["labels"],
        holdout_days=settings.clv_holdout_days,
        horizon_days=settings.clv_horizon_days,
        discount_rate=settings.discount_rate,
        champion=champion,
    )


def _score_clv(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    predictions = estimator.predict(
        frames["features"],
        horizon_days=settings.clv_horizon_days,
        discount_rate=settings.discount_rate,
    )
    return Scored(predictions.assign(horizon_days=settings.clv_horizon_days))


def _clv_types() -> Sequence[str]:
    from ml.clv.value import TRUSTED_TYPES

    return TRUSTED_TYPES


SPEC = ModelSpec(
    name="clv",
    package="clv",
    table="customer_clv",
    types={
        "horizon_days": "integer",
        "alive_probability": "double",
        "expected_orders": "double",
        "expected_order_amount": "decimal(18,2)",
        "clv_amount": "decimal(18,2)",
        "clv_low_amount": "decimal(18,2)",
        "clv_high_amount": "decimal(18,2)",
    },
    description="BG/NBD x Gamma-Gamma. Grain: one row for every customer with an order.",
    limits=(
        "It knows purchases only: a price change, a campaign or a season not yet seen is not in "
        "it.",
        "A single customer's interval is wide; sums over many customers are what it is good at.",
        "Gross amounts per purchase day: returns and costs are not deducted.",
    ),
    training_reads=(*CUSTOMER_FEATURES, "features.customer_labels"),
    scoring_reads=CUSTOMER_FEATURES,
    settings=lambda s: {
        "holdout_days": s.clv_holdout_days,
        "horizon_days": s.clv_horizon_days,
        "discount_rate": s.discount_rate,
    },
    horizon_days=lambda s: s.clv_horizon_days,
    training_frames=_clv_frames,
    train=_train_clv,
    scoring_frames=scoring_features,
    score=_score_clv,
    trusted_types=_clv_types,
)
