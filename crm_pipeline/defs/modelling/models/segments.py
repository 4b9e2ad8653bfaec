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
    import pandas as pd

    from ml.evaluation.result import TrainingResult

COMPARISON_TYPES = {
    "as_of": "date",
    "data": "varchar",
    "method": "varchar",
    "row_count": "bigint",
    "segment_count": "integer",
    "adjusted_rand_index": "double",
    "adjusted_rand_index_lower": "double",
    "silhouette": "double",
    "kmeans_silhouette": "double",
    "smallest_share": "double",
    "noise_share": "double",
    "assigner_accuracy": "double",
    "is_eligible": "boolean",
    "is_chosen": "boolean",
    "model_version": "varchar",
}
"""One row a data set and method."""


MOVES_FOLLOWED = 50_000
"""Customers whose moves are counted; of more, a fixed sample: shares are then true to .5 %."""


def _profiles(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    return frame(con, "select * from seeds.segment_profiles order by all")


def _training_frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    # visits without a date may lie after the day we stand on
    pages = frame(
        con,
        "select customer_key, count(*) as session_count, "
        "coalesce(sum(greatest(page_count, 0)), 0)::bigint as page_count, "
        "coalesce(sum(greatest(product_page_count, 0)), 0)::bigint as product_page_count "
        "from marts.fct_sessions where customer_key is not null and started_on <= ? "
        "group by customer_key order by customer_key",
        [settings.as_of],
    )
    return {"features": features_at(con, "scoring"), "profiles": _profiles(con), "pages": pages}


def _scoring_frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    history = frame(
        con,
        "select customer_key, as_of, recency_days, order_count, net_amount from marts.customer_rfm "
        "where customer_key in (select customer_key from marts.customer_rfm group by customer_key "
        "order by md5(customer_key), customer_key limit ?) order by as_of, customer_key",
        [MOVES_FOLLOWED],
    )
    return {"features": features_at(con, "scoring"), "profiles": _profiles(con), "history": history}


def _train_segments(frames: Frames, _settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.segmentation.train import train_segments

    return train_segments(
        frames["features"], frames["profiles"], pages=frames["pages"], champion=champion
    )


def _score_segments(estimator: Any, frames: Frames, _settings: RunSettings) -> Scored:
    from ml.segmentation.scoring import score_segments

    return Scored(
        *score_segments(estimator, frames["features"], frames["profiles"], frames["history"])
    )


def _segment_types() -> Sequence[str]:
    from ml.segmentation.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="segments",
    package="segmentation",
    table="customer_segments",
    types={"segment_id": "integer", "segment_name": "varchar", "distance": "double"},
    further={
        "segment_profiles": {
            "as_of": "date",
            "segment_id": "integer",
            "segment_name": "varchar",
            "description": "varchar",
            "customer_count": "bigint",
            "customer_share": "double",
            "mean_recency_days": "double",
            "median_recency_days": "double",
            "mean_order_count": "double",
            "median_order_count": "double",
            "mean_net_amount": "decimal(18,2)",
            "median_net_amount": "decimal(18,2)",
            "model_version": "varchar",
        },
        "segment_comparison": COMPARISON_TYPES,
        "segment_rules": {
            "as_of": "date",
            "segment_id": "integer",
            "segment_name": "varchar",
            "rule_number": "integer",
            "rule": "varchar",
            "customer_count": "bigint",
            "precision_rate": "double",
            "model_version": "varchar",
        },
        "segment_transitions": {
            "as_of": "date",
            "from_on": "date",
            "to_on": "date",
            "from_segment_id": "integer",
            "from_segment_name": "varchar",
            "to_segment_id": "integer",
            "to_segment_name": "varchar",
            "customer_count": "bigint",
            "customer_share": "double",
            "model_version": "varchar",
        },
        "segment_drift": {
            "as_of": "date",
            "from_on": "date",
            "to_on": "date",
            "customer_count": "bigint",
            "moved_count": "bigint",
            "moved_share": "double",
            "new_customer_count": "bigint",
            "population_stability_index": "double",
            "model_version": "varchar",
        },
    },
    description="Segments by recency, orders and amount: who is in which, what marks them, how "
    "else they could be formed, who moved. Grain of the main table: one row for every customer "
    "with an order.",
    limits=(
        "Segments describe what customers did; they do not say what would change it.",
        "K-means cuts a continuum: customers near a border could be in either segment.",
    ),
    follows_champion=True,
    training_reads=(*CUSTOMER_FEATURES, "seeds.segment_profiles", "marts.fct_sessions"),
    scoring_reads=(*CUSTOMER_FEATURES, "seeds.segment_profiles", "marts.customer_rfm"),
    settings=lambda _s: {},
    training_frames=_training_frames,
    train=_train_segments,
    scoring_frames=_scoring_frames,
    score=_score_segments,
    trusted_types=_segment_types,
)
