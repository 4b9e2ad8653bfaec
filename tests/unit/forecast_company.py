"""Sales of a made-up company, by day, week and month, as ``features.sales_periods`` has them."""

from __future__ import annotations

import numpy as np
import pandas as pd

START = np.datetime64("2024-01-01", "D")
CATEGORIES = ("bread", "cake", "tea")
COUNTRIES = ("AT", "DE")


def lines(days: int = 500, seed: int = 0, level: float = 14.0, growth: float = 0.3) -> pd.DataFrame:
    """One row an order line: day, order, customer, category, country, order kind, amount.

    Weekends sell half, sales grow by ``growth`` a year.
    """
    rng = np.random.default_rng(seed)
    dates = START + np.arange(days)
    weekday = (np.arange(days)) % 7
    rate = level * np.where(weekday >= 5, 0.5, 1.0) * (1 + growth * np.arange(days) / 365)
    count = rng.poisson(rate)
    orders = np.repeat(np.arange(days), count)
    buyers = rng.integers(0, 4000, len(orders))
    of_order = np.repeat(np.arange(len(orders)), 1 + rng.integers(0, 2, len(orders)))
    size = len(of_order)
    customer = buyers[of_order]
    first = ~pd.Series(buyers).duplicated().to_numpy()
    return pd.DataFrame(
        {
            "day": dates[orders[of_order]],
            "order": of_order,
            "customer": customer,
            "category": rng.choice(CATEGORIES, size, p=(0.6, 0.3, 0.1)),
            "country": np.asarray(COUNTRIES)[customer % 2],
            "order_kind": np.where(first[of_order], "first", "repeat"),
            "amount": np.round(rng.gamma(4, 10, size), 2),
        }
    )


def periods_of(sold: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the warehouse would hold."""
    day = sold["day"].to_numpy().astype("datetime64[D]")
    monday = day - (day - np.datetime64("1970-01-05", "D")).astype(int) % 7
    starts = {"day": day, "week": monday, "month": day.astype("datetime64[M]").astype(day.dtype)}
    parts = []
    for grain, start in starts.items():
        for dimension in ("total", "category", "country", "order_kind"):
            value = "total" if dimension == "total" else sold[dimension]
            group = sold.assign(period_start_on=start, dimension_value=value).groupby(
                ["period_start_on", "dimension_value"], as_index=False
            )
            parts.append(
                group.agg(
                    gross_amount=("amount", "sum"),
                    order_count=("order", "nunique"),
                    active_customers=("customer", "nunique"),
                ).assign(period_grain=grain, dimension=dimension)
            )
    return pd.concat(parts, ignore_index=True)
