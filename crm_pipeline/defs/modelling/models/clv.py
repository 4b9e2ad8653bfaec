"""Value: what a customer will spend over the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import (
    CUSTOMER_FEATURES,
    FEATURES,
    Frames,
    ModelSpec,
    Scored,
    features_at,
    scoring_features,
)
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult


PAST = "purpose in ('clv_selection', 'clv_learning', 'clv_season_evaluation', 'clv_season')"


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
        "past_features": frame(
            con,
            f"{FEATURES} where cut_off_on in (select cut_off_on from features.cut_offs "
            f"where {PAST}) order by cut_off_on, customer_key",
        ),
        "past_labels": frame(
            con,
            "select * from features.customer_labels semi join "
            f"(select cut_off_on, horizon_days from features.cut_offs where {PAST}) "
            "using (cut_off_on, horizon_days) order by cut_off_on, horizon_days, customer_key",
        ),
        "cut_offs": frame(
            con,
            f"select * from features.cut_offs where {PAST} "
            "order by cut_off_on, horizon_days, purpose",
        ),
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
        past_features=frames["past_features"],
        past_labels=frames["past_labels"],
        cut_offs=frames["cut_offs"],
    )


def _clv_scoring(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    horizons = frame(con, "select horizon_days from seeds.value_horizons order by horizon_days")
    return {**scoring_features(con, settings), "horizons": horizons}


def _score_clv(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    features, rate = frames["features"], settings.discount_rate
    predictions = estimator.predict(
        features, horizon_days=settings.clv_horizon_days, discount_rate=rate
    )
    horizons = estimator.predict_horizons(
        features, frames["horizons"]["horizon_days"].tolist(), discount_rate=rate
    )
    return Scored(
        predictions.assign(horizon_days=settings.clv_horizon_days),
        {
            "customer_clv_horizons": horizons,
            "customer_next_order": estimator.next_orders(features, settings.as_of),
        },
    )


def _clv_types() -> Sequence[str]:
    from ml.clv.published import TRUSTED_TYPES

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
    further={
        "customer_clv_horizons": {
            "customer_key": "varchar",
            "as_of": "date",
            "horizon_days": "integer",
            "expected_orders": "double",
            "purchase_probability": "double",
            "clv_amount": "decimal(18,2)",
            "clv_low_amount": "decimal(18,2)",
            "clv_high_amount": "decimal(18,2)",
            "model_version": "varchar",
        },
        "customer_next_order": {
            "customer_key": "varchar",
            "as_of": "date",
            "next_order_on": "date",
            "next_order_low_on": "date",
            "next_order_high_on": "date",
            "model_version": "varchar",
        },
    },
    description="The best of BG/NBD, MBG/NBD, Pareto/NBD with Gamma-Gamma, a boosted hurdle model "
    "and their blend. Grain: one row for every customer with an order.",
    limits=(
        "It knows purchases only: a price change, a campaign or a season not yet seen is not in "
        "it.",
        "A single customer's interval is wide; sums over many customers are what it is good at.",
        "Gross amounts per purchase day: returns and costs are not deducted.",
    ),
    subject="now",
    training_reads=(*CUSTOMER_FEATURES, "features.customer_labels"),
    scoring_reads=(*CUSTOMER_FEATURES, "seeds.value_horizons"),
    settings=lambda s: {
        "holdout_days": s.clv_holdout_days,
        "horizon_days": s.clv_horizon_days,
        "discount_rate": s.discount_rate,
    },
    horizon_days=lambda s: s.clv_horizon_days,
    training_frames=_clv_frames,
    train=_train_clv,
    scoring_frames=_clv_scoring,
    score=_score_clv,
    trusted_types=_clv_types,
)
