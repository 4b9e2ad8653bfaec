"""Churn: how likely it is that a customer buys nothing within the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.models.contract_churn import let_contracts_decide
from crm_pipeline.defs.modelling.spec import (
    CUSTOMER_FEATURES,
    FEATURES,
    Frames,
    ModelSpec,
    Scored,
    scoring_features,
)
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult

_COSTS = "select * from seeds.churn_costs where model = 'churn'"


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
        "costs": frame(con, _COSTS),
    }


def _train_churn(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.churn.costs import contact_costs
    from ml.churn.training import train_churn

    return train_churn(
        frames["features"],
        frames["labels"],
        frames["cut_offs"],
        horizon_days=settings.horizon_days,
        champion=champion,
        costs=contact_costs(frames["costs"], "churn"),
    )


def _churn_scoring(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    bands = frame(con, "select * from seeds.risk_bands order by all")
    return {**scoring_features(con, settings), "bands": bands, "costs": frame(con, _COSTS)}


def _score_churn(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    from ml.churn.costs import contact_costs
    from ml.churn.scoring import score_churn

    predictions, reasons = score_churn(
        estimator, frames["features"], frames["bands"], contact_costs(frames["costs"], "churn")
    )
    reasons = reasons.assign(as_of=settings.as_of, model="churn")
    return Scored(
        predictions.assign(horizon_days=settings.horizon_days), {"customer_reasons": reasons}
    )


def _churn_types() -> Sequence[str]:
    from ml.churn.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="churn",
    package="churn",
    table="customer_churn",
    types={
        "horizon_days": "integer",
        "churn_probability": "double",
        "risk_band": "varchar",
        "is_contact_worthwhile": "boolean",
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
    limits=(
        "Churn without a contract is a definition (no order within the horizon), not an event.",
        "The probability says who will probably stay away, not whom an offer would keep.",
        "Reasons are contributions to the model's score, not causes.",
    ),
    training_reads=(*CUSTOMER_FEATURES, "features.customer_labels", "seeds.churn_costs"),
    scoring_reads=(
        *CUSTOMER_FEATURES,
        "seeds.risk_bands",
        "seeds.churn_costs",
        "models.contract_churn_champion",
        "features.subscription_features",
    ),
    afterwards=let_contracts_decide,
    settings=lambda s: {"horizon_days": s.horizon_days},
    horizon_days=lambda s: s.horizon_days,
    training_frames=_churn_frames,
    train=_train_churn,
    scoring_frames=_churn_scoring,
    score=_score_churn,
    trusted_types=_churn_types,
)
