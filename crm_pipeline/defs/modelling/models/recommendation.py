"""Recommendations: which products to offer to whom next, and why."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult

HISTORY_DAYS = 730
"""Two years: every season twice; what was bought before says little of what is wanted now."""

_READS = (
    "marts.fct_order_items",
    "marts.dim_products",
    "marts.fct_inventory",
    "seeds.recommendation_rules",
)


def _frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    sold = (
        "from marts.fct_order_items as items inner join marts.dim_products as products "
        "on items.product_key = products.product_key and products.is_merchandise "
        "where items.quantity > 0 and items.ordered_on <= $as_of "
        f"and items.ordered_on > $as_of - {HISTORY_DAYS}"
    )
    as_of = {"as_of": settings.as_of}
    return {
        "products": con.execute(
            "select product_key, coalesce(product_name, '') as product_name, "
            "coalesce(category, '') as category, coalesce(subcategory, '') as subcategory "
            "from marts.dim_products where is_merchandise order by product_key"
        ).df(),
        "purchases": con.execute(
            "select distinct items.customer_key, items.product_key, items.ordered_on "
            f"{sold} and items.customer_key is not null "
            "order by items.customer_key, items.product_key, items.ordered_on",
            as_of,
        ).df(),
        "sales": con.execute(
            "select items.product_key, items.ordered_on, "
            f"cast(count(distinct items.order_key) as integer) as order_count {sold} "
            "group by items.product_key, items.ordered_on "
            "order by items.product_key, items.ordered_on",
            as_of,
        ).df(),
        # one count a product and day: the last
        "inventory": con.execute(
            "select product_key, counted_on, "
            "cast(arg_max(on_hand_quantity, (counted_at, inventory_key)) as double) "
            "as on_hand_quantity from marts.fct_inventory "
            "where product_key is not null and on_hand_quantity is not null "
            "and counted_on <= $as_of group by all order by all",
            as_of,
        ).df(),
        "rules": frame(con, "select * from seeds.recommendation_rules order by all"),
    }


def _train(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.recommendation.shop import shop_of
    from ml.recommendation.training import train_recommendations

    return train_recommendations(
        frames["purchases"],
        frames["sales"],
        frames["inventory"],
        frames["products"],
        as_of=settings.as_of,
        horizon_days=settings.horizon_days,
        shop=shop_of(frames["rules"]),
        champion=champion,
    )


def _scoring(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    customers = frame(
        con,
        "select customer_key from features.customer_features where cut_off_on = ? "
        "order by customer_key",
        [settings.as_of],
    )
    return {**_frames(con, settings), "customers": customers}


def _score(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    from ml.recommendation.scoring import score_recommendations
    from ml.recommendation.shop import shop_of

    return Scored(
        score_recommendations(
            estimator,
            frames["purchases"],
            frames["sales"],
            frames["inventory"],
            frames["products"],
            frames["customers"],
            as_of=settings.as_of,
            shop=shop_of(frames["rules"]),
        )
    )


def _types() -> Sequence[str]:
    from ml.recommendation.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="recommendation",
    package="recommendation",
    table="customer_recommendations",
    types={
        "customer_key": "varchar",
        "recommendation_rank": "integer",
        "product_key": "varchar",
        "score": "double",
        "reason": "varchar",
        "reason_product_key": "varchar",
    },
    description="What to offer to whom next, best first, each with its reason. Grain: one row per "
    "customer with an order and rank; empty while no recommender has earned its place.",
    limits=(
        "It ranks what customers would buy anyway; what an offer adds is for an experiment to say.",
        "The score orders the products of one customer; it is no probability.",
        "A reason is the purchase that weighed most in the score, not why somebody buys.",
        "What it did not see it does not know: prices, margins, seasons of a first year.",
    ),
    subject="purchases",
    training_reads=_READS,
    scoring_reads=(*_READS, "features.customer_features"),
    settings=lambda s: {
        "as_of": s.as_of,
        "horizon_days": s.horizon_days,
        "implicit": version("implicit"),
    },
    training_frames=_frames,
    train=_train,
    scoring_frames=_scoring,
    score=_score,
    trusted_types=_types,
    is_of_customers=False,
)
