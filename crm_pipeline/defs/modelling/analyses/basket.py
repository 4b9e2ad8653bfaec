"""Product rules: who buys this also buys that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.defs.modelling.spec import AnalysisSpec, Frames
from crm_pipeline.defs.modelling.store import RunSettings

if TYPE_CHECKING:
    import pandas as pd

HISTORY_DAYS = 365
"""A year: every season once, and no product that has long gone."""


def _frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    return {
        "lines": con.execute(
            "select distinct items.order_key, items.product_key "
            "from marts.fct_order_items as items inner join marts.dim_products as products "
            "on items.product_key = products.product_key and products.is_merchandise "
            "where items.quantity > 0 and items.ordered_on <= $as_of "
            f"and items.ordered_on > $as_of - {HISTORY_DAYS} "
            "order by items.order_key, items.product_key",
            {"as_of": settings.as_of},
        ).df(),
        "products": con.execute(
            "select product_key, product_name from marts.dim_products order by product_key"
        ).df(),
    }


def _compute(frames: Frames, settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.basket.product_rules import product_rules

    rules = product_rules(frames["lines"], frames["products"])
    return {"product_rules": rules.assign(as_of=settings.as_of)}


SPEC = AnalysisSpec(
    name="basket",
    package="basket",
    tables={
        "product_rules": {
            "antecedent_product_key": "varchar",
            "antecedent_2_product_key": "varchar",
            "consequent_product_key": "varchar",
            "as_of": "date",
            "antecedent_name": "varchar",
            "consequent_name": "varchar",
            "order_count": "bigint",
            "antecedent_count": "bigint",
            "consequent_count": "bigint",
            "rule_count": "bigint",
            "support_rate": "double",
            "confidence_rate": "double",
            "lift": "double",
            "leverage": "double",
            "conviction": "double",
            "p_value": "double",
            "adjusted_p_value": "double",
            "improvement": "double",
        }
    },
    description="Which products are bought together more often than by chance, and by how much. "
    "Grain: one row per rule.",
    reads=("marts.fct_order_items", "marts.dim_products"),
    frames=_frames,
    compute=_compute,
)
