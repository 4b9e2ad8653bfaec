"""The category that a customer buys next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult

_READS = ("marts.fct_order_items", "marts.dim_products")


def _frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    return {
        "days": con.execute(
            "select items.customer_key, items.ordered_on, products.category, "
            "cast(sum(items.line_amount) as double) as category_amount "
            "from marts.fct_order_items as items inner join marts.dim_products as products "
            "on items.product_key = products.product_key and products.is_merchandise "
            "where items.customer_key is not null and products.category is not null "
            "and items.ordered_on <= ? group by all order by all",
            [settings.as_of],
        ).df()
    }


def _train(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.basket.next_category_training import train_next_category

    return train_next_category(
        frames["days"],
        as_of=settings.as_of,
        horizon_days=settings.horizon_days,
        champion=champion,
    )


def _score(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    from ml.basket.next_category import main_categories

    day = int(np.datetime64(settings.as_of, "D").astype(np.int64))
    return Scored(estimator.predict(main_categories(frames["days"]), day))


def _types() -> Sequence[str]:
    from ml.basket.next_category import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="next_category",
    package="basket",
    table="customer_next_category",
    types={
        "next_category": "varchar",
        "next_category_probability": "double",
        "second_category": "varchar",
        "second_category_probability": "double",
    },
    description="Category of the next purchase. Grain: one row for every customer with an order.",
    limits=(
        "Given that the customer buys again: it does not say whether, nor when.",
        "Only the category of most money of a purchase day counts.",
        "The category of a product is today's, also for old purchases.",
    ),
    subject="days",
    training_reads=_READS,
    scoring_reads=(*_READS, "features.customer_features"),
    settings=lambda s: {"as_of": s.as_of, "horizon_days": s.horizon_days},
    training_frames=_frames,
    train=_train,
    scoring_frames=_frames,
    score=_score,
    trusted_types=_types,
)
