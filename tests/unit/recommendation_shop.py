"""A small shop whose customers have tastes, for the tests of recommendations."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

AS_OF = date(2026, 6, 30)
KINDS = ("garden", "kitchen", "living", "bath")
EMPTY_INVENTORY = pd.DataFrame(
    {
        "product_key": pd.Series(dtype=object),
        "counted_on": pd.Series(dtype="datetime64[s]"),
        "on_hand_quantity": pd.Series(dtype=float),
    }
)


def shop(
    customers: int = 160, products: int = 60, *, seed: int = 0, taste: float = 0.85, days: int = 360
) -> dict[str, pd.DataFrame]:
    """Each customer likes one kind of goods: a share ``taste`` of what they buy is of that kind."""
    rng = np.random.default_rng(seed)
    kind = np.arange(products) % len(KINDS)
    liking = rng.integers(0, len(KINDS), customers)
    rows = []
    for customer in range(customers):
        for day in np.sort(rng.choice(days, 12, replace=False)):
            for _ in range(2):
                mine = rng.random() < taste
                chosen = np.flatnonzero(kind == liking[customer]) if mine else np.arange(products)
                product = int(rng.choice(chosen))
                rows.append((f"s:C{customer:04d}", f"s:P{product:03d}", int(day)))
    frame = pd.DataFrame(rows, columns=["customer_key", "product_key", "day"]).drop_duplicates()
    ordered_on = [AS_OF - timedelta(days=days - 1 - day) for day in frame["day"]]
    purchases = frame.assign(ordered_on=pd.to_datetime(ordered_on)).drop(columns="day")
    return {
        "purchases": purchases.reset_index(drop=True),
        "sales": sales_of(purchases),
        "inventory": EMPTY_INVENTORY,
        "products": pd.DataFrame(
            {
                "product_key": [f"s:P{number:03d}" for number in range(products)],
                "product_name": [f"{KINDS[k]} {n}" for n, k in enumerate(kind)],
                "category": [KINDS[k] for k in kind],
                "subcategory": "",
            }
        ),
    }


def sales_of(purchases: pd.DataFrame) -> pd.DataFrame:
    """What known customers bought is all that was sold."""
    counts = purchases.groupby(["product_key", "ordered_on"], as_index=False).size()
    return counts.rename(columns={"size": "order_count"})
