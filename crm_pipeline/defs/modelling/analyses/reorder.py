"""Reorder: which products to order again, when, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.defs.modelling.spec import AnalysisSpec, Frames
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd


def _frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {
        "demand": frame(con, "select * from features.product_demand order by product_key, sold_on"),
        "levels": frame(con, "select * from marts.inventory_levels order by product_key"),
        "products": frame(
            con,
            "select product_key, category from marts.dim_products where product_key in "
            "(select product_key from marts.inventory_levels) order by product_key",
        ),
        "policies": frame(con, "select * from seeds.reorder_policies order by category"),
    }


def _compute(frames: Frames, settings: RunSettings) -> Mapping[str, pd.DataFrame]:
    from ml.forecast.planning.reorder import plan_reorders

    return {"product_reorder": plan_reorders(**frames, as_of=settings.as_of)}


SPEC = AnalysisSpec(
    name="reorder",
    package="forecast/planning",
    tables={
        "product_reorder": {
            "product_key": "varchar",
            "as_of": "date",
            "status": "varchar",
            "counted_on": "date",
            "on_hand_quantity": "decimal(18,3)",
            "on_order_quantity": "decimal(18,3)",
            "sold_since_count_quantity": "decimal(18,3)",
            "available_quantity": "decimal(18,3)",
            "lead_time_days": "integer",
            "review_days": "integer",
            "service_rate": "double",
            "daily_units": "double",
            "lead_time_units": "double",
            "safety_stock_quantity": "decimal(18,3)",
            "reorder_point_quantity": "decimal(18,3)",
            "cover_days": "double",
            "is_reorder_due": "boolean",
            "order_quantity": "decimal(18,3)",
            "method": "varchar",
        }
    },
    description="Expected demand until the next delivery, safety stock, reorder point. "
    "Grain: one row per product that is counted in stock.",
    reads=(
        "features.product_demand",
        "marts.inventory_levels",
        "marts.dim_products",
        "seeds.reorder_policies",
    ),
    frames=_frames,
    compute=_compute,
)
