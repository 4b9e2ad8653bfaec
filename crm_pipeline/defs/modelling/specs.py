"""Which models there are, and how each meets its ``ml`` package: read, train, score.

A new model is one ``ModelSpec`` here; ``assets.py`` makes its three assets. Packages of ``ml``
are imported when a step runs: they bring scikit-learn, which the UI's process never needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

    from ml.evaluation.result import TrainingResult

Frames = dict[str, "pd.DataFrame"]
FEATURES = "select * from features.customer_features"


@dataclass(frozen=True)
class Scored:
    """What a champion says: the rows of its main table, and further tables by name."""

    predictions: pd.DataFrame
    further: dict[str, pd.DataFrame]


@dataclass(frozen=True)
class ModelSpec:
    """One model: its names, its tables, and its three functions.

    Attributes:
        name: In the registry and in asset keys.
        package: Below ``ml/``; its code is part of every version.
        table: Its main table in ``scores``.
        types: Value columns of that table, in order.
        further: Further tables in ``scores`` with all their columns.
        description: Grain of the main table.
        settings: What decides the result, besides the data.
        horizon_days: How far it looks; a champion for another horizon does not score.
        training_frames: Reads what training needs, rows in key order.
        train: Trains and evaluates, also the champion on the same rows.
        scoring_frames: Reads what scoring needs.
        score: Applies the champion.
        trusted_types: What skops may construct when the model is loaded.
    """

    name: str
    package: str
    table: str
    types: dict[str, str]
    further: dict[str, dict[str, str]]
    description: str
    settings: Callable[[RunSettings], dict[str, object]]
    horizon_days: Callable[[RunSettings], int]
    training_frames: Callable[[duckdb.DuckDBPyConnection, RunSettings], Frames]
    train: Callable[[Frames, RunSettings, Any], TrainingResult]
    scoring_frames: Callable[[duckdb.DuckDBPyConnection, RunSettings], Frames]
    score: Callable[[Any, Frames, RunSettings], Scored]
    trusted_types: Callable[[], Sequence[str]]


def _at(con: duckdb.DuckDBPyConnection, purpose: str) -> pd.DataFrame:
    return frame(
        con,
        f"{FEATURES} where cut_off_on in (select cut_off_on from features.cut_offs "
        "where purpose = ?) order by customer_key",
        [purpose],
    )


# --- segments ---------------------------------------------------------------------------------


def _segment_frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    profiles = frame(con, "select * from seeds.segment_profiles order by all")
    return {"features": _at(con, "scoring"), "profiles": profiles}


def _train_segments(frames: Frames, _settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.segmentation.train import train_segments

    return train_segments(frames["features"], frames["profiles"], champion=champion)


def _score_segments(estimator: Any, frames: Frames, _settings: RunSettings) -> Scored:
    return Scored(estimator.predict(frames["features"]), {})


def _segment_types() -> Sequence[str]:
    from ml.segmentation.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SEGMENTS = ModelSpec(
    name="segments",
    package="segmentation",
    table="customer_segments",
    types={"segment_id": "integer", "segment_name": "varchar", "distance": "double"},
    further={},
    description="K-means on log RFM. Grain: one row for every customer with an order.",
    settings=lambda _s: {},
    horizon_days=lambda _s: 0,
    training_frames=_segment_frames,
    train=_train_segments,
    scoring_frames=_segment_frames,
    score=_score_segments,
    trusted_types=_segment_types,
)

# --- value ------------------------------------------------------------------------------------


def _clv_frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    labels = frame(
        con,
        "select * from features.customer_labels where horizon_days = ? and cut_off_on in "
        "(select cut_off_on from features.cut_offs where purpose = 'clv_evaluation') "
        "order by customer_key",
        [settings.clv_holdout_days],
    )
    return {"now": _at(con, "scoring"), "cut_off": _at(con, "clv_evaluation"), "labels": labels}


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


def _scoring(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {"features": _at(con, "scoring")}


def _score_clv(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    predictions = estimator.predict(
        frames["features"],
        horizon_days=settings.clv_horizon_days,
        discount_rate=settings.discount_rate,
    )
    return Scored(predictions.assign(horizon_days=settings.clv_horizon_days), {})


def _clv_types() -> Sequence[str]:
    from ml.clv.value import TRUSTED_TYPES

    return TRUSTED_TYPES


CLV = ModelSpec(
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
    further={},
    description="BG/NBD x Gamma-Gamma. Grain: one row for every customer with an order.",
    settings=lambda s: {
        "holdout_days": s.clv_holdout_days,
        "horizon_days": s.clv_horizon_days,
        "discount_rate": s.discount_rate,
    },
    horizon_days=lambda s: s.clv_horizon_days,
    training_frames=_clv_frames,
    train=_train_clv,
    scoring_frames=_scoring,
    score=_score_clv,
    trusted_types=_clv_types,
)

# --- churn ------------------------------------------------------------------------------------


def _churn_frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    cut_offs = frame(
        con,
        "select * from features.cut_offs where purpose like 'churn%' order by cut_off_on, purpose",
    )
    chosen = "cut_off_on in (select cut_off_on from features.cut_offs where purpose like 'churn%')"
    return {
        "features": frame(con, f"{FEATURES} where {chosen} order by cut_off_on, customer_key"),
        "labels": frame(
            con,
            f"select * from features.customer_labels where {chosen} and horizon_days = ? "
            "order by cut_off_on, customer_key",
            [settings.horizon_days],
        ),
        "cut_offs": cut_offs,
    }


def _train_churn(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.churn.training import train_churn

    return train_churn(
        frames["features"],
        frames["labels"],
        frames["cut_offs"],
        horizon_days=settings.horizon_days,
        champion=champion,
    )


def _churn_scoring(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    bands = frame(con, "select * from seeds.risk_bands order by all")
    return {**_scoring(con, settings), "bands": bands}


def _score_churn(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    from ml.churn.scoring import score_churn

    predictions, reasons = score_churn(estimator, frames["features"], frames["bands"])
    reasons = reasons.assign(as_of=settings.as_of, model="churn")
    return Scored(
        predictions.assign(horizon_days=settings.horizon_days), {"customer_reasons": reasons}
    )


def _churn_types() -> Sequence[str]:
    from ml.churn.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


CHURN = ModelSpec(
    name="churn",
    package="churn",
    table="customer_churn",
    types={
        "horizon_days": "integer",
        "churn_probability": "double",
        "risk_band": "varchar",
        "reason_1": "varchar",
        "reason_2": "varchar",
        "reason_3": "varchar",
    },
    further={
        "customer_reasons": {
            "customer_key": "varchar",
            "as_of": "date",
            "model": "varchar",
            "feature": "varchar",
            "value": "double",
            "contribution": "double",
        }
    },
    description="Probability of no order within the horizon. Grain: one row for every customer "
    "with an order.",
    settings=lambda s: {"horizon_days": s.horizon_days},
    horizon_days=lambda s: s.horizon_days,
    training_frames=_churn_frames,
    train=_train_churn,
    scoring_frames=_churn_scoring,
    score=_score_churn,
    trusted_types=_churn_types,
)

MODELS = (SEGMENTS, CLV, CHURN)
