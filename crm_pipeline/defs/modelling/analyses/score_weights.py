"""Weights of the customer score learned from what customers then spent, beside the given ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.defs.modelling.spec import (
    CUSTOMER_FEATURES,
    AnalysisSpec,
    Frames,
    features_at,
    scoring_features,
)
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd


def _frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    return {
        **scoring_features(con, settings),
        "past": features_at(con, "clv_evaluation"),
        "labels": frame(
            con,
            "select customer_key, future_gross_amount from features.customer_labels "
            "where horizon_days = ? and cut_off_on in (select cut_off_on from features.cut_offs "
            "where purpose = 'clv_evaluation') order by customer_key",
            [settings.clv_holdout_days],
        ),
        "given": frame(con, "select * from seeds.customer_score_weights order by component"),
    }


def _compute(frames: Frames, _settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.scoring.weights import learn_weights, learned_scores

    table = learn_weights(frames["past"], frames["labels"], frames["given"])
    return {
        "customer_score_weights": table,
        "customer_learned_score": learned_scores(frames["features"], table),
    }


SPEC = AnalysisSpec(
    name="score_weights",
    package="scoring",
    tables={
        "customer_score_weights": {
            "component": "varchar",
            "as_of": "date",
            "given_weight": "double",
            "learned_weight": "double",
            "learned_low": "double",
            "learned_high": "double",
            "customer_count": "bigint",
            "given_gini": "double",
            "learned_gini": "double",
        },
        "customer_learned_score": {
            "customer_key": "varchar",
            "as_of": "date",
            "learned_score": "double",
        },
    },
    description="Weights of the customer score learned by regression, and the score they give.",
    reads=(*CUSTOMER_FEATURES, "features.customer_labels", "seeds.customer_score_weights"),
    frames=_frames,
    compute=_compute,
)
