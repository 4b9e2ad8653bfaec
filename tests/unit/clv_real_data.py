"""Public data as the value models see it: ``customer_features`` and ``customer_labels``.

CDNOW counts every day with an order as a purchase day, also a day whose goods cost nothing: only
so do the published figures come out (``test_zero_dollar_days_belong_to_the_published_fit``).
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd

CALIBRATION_END = "1997-09-30"
HOLDOUT_DAYS = 273


def features_at(days: pd.DataFrame, cut_off: str) -> pd.DataFrame:
    """``customer_features`` from one row a customer and purchase day (key, day, amount)."""
    end = pd.Timestamp(cut_off)
    past = days[days["day"] <= end].sort_values(["customer_key", "day"])
    by_customer = past.groupby("customer_key")
    first = by_customer["day"].transform("min")
    frame = by_customer.agg(
        first=("day", "min"),
        last=("day", "max"),
        count=("day", "size"),
        gross_amount=("amount", "sum"),
    )
    recency = (end - frame["last"]).dt.days
    gaps = by_customer["day"].diff().dt.days.groupby(past["customer_key"])
    lately = {}
    for days_back in (30, 90, 180, 365):
        recent = past[past["day"] > end - pd.Timedelta(days=days_back)].groupby("customer_key")
        lately[f"order_count_{days_back}d"] = recent.size().reindex(frame.index).fillna(0)
        lately[f"gross_amount_{days_back}d"] = (
            recent["amount"].sum().reindex(frame.index).fillna(0.0)
        )
    return pd.DataFrame(
        {
            "recency_days": recency,
            "repeat_count": frame["count"] - 1,
            "last_repeat_age_days": (frame["last"] - frame["first"]).dt.days,
            "observed_age_days": (end - frame["first"]).dt.days,
            "repeat_mean_amount": past[past["day"] > first]
            .groupby("customer_key")["amount"]
            .mean()
            .reindex(frame.index),
            "gross_amount": frame["gross_amount"],
            "average_order_amount": frame["gross_amount"] / frame["count"],
            "mean_gap_days": gaps.mean(),
            "stddev_gap_days": gaps.std(),
            "latest_gap_days": gaps.last(),
            "recency_to_gap_ratio": recency / gaps.mean(),
            **lately,
        }
    ).reset_index()


def labels_at(days: pd.DataFrame, cut_off: str, horizon: int) -> pd.DataFrame:
    """``customer_labels`` of the customers known at the cut-off."""
    begin = pd.Timestamp(cut_off)
    known = days.loc[days["day"] <= begin, "customer_key"].unique()
    end = begin + pd.Timedelta(days=horizon)
    window = days[(days["day"] > begin) & (days["day"] <= end)].groupby("customer_key")["amount"]
    return pd.DataFrame(
        {
            "customer_key": known,
            "horizon_days": horizon,
            "future_purchase_day_count": window.size().reindex(known).fillna(0).to_numpy(),
            "future_gross_amount": window.sum().reindex(known).fillna(0).to_numpy(),
        }
    )


def read_cdnow(path: Path) -> pd.DataFrame:
    with gzip.open(path, "rt") as lines:
        rows = [line.split() for line in lines]
    log = pd.DataFrame(rows, columns=["master", "customer_key", "day", "units", "amount"])
    log["day"] = pd.to_datetime(log["day"], format="%Y%m%d")
    log["amount"] = log["amount"].astype(float)
    return log.groupby(["customer_key", "day"], as_index=False)["amount"].sum()


def read_online_retail(path: Path) -> pd.DataFrame:
    """Positive gross per known customer and day: neither cancellations nor adjustments."""
    lines = pd.read_csv(
        path,
        usecols=["InvoiceNo", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
        dtype={"InvoiceNo": str, "CustomerID": str},
    )
    sold = lines[
        lines["CustomerID"].notna()
        & ~lines["InvoiceNo"].str[0].isin(["C", "A"])
        & (lines["Quantity"] > 0)
    ]
    days = (
        sold.assign(
            day=pd.to_datetime(sold["InvoiceDate"].str[:10]),
            amount=sold["Quantity"] * sold["UnitPrice"],
        )
        .groupby(["CustomerID", "day"], as_index=False)["amount"]
        .sum()
        .rename(columns={"CustomerID": "customer_key"})
    )
    return days[days["amount"] > 0]


def periods(days: pd.DataFrame, cut_offs: list[tuple[str, int, str]]) -> dict[str, pd.DataFrame]:
    """``past_features``, ``past_labels`` and ``cut_offs`` of (cut-off, days, purpose)."""
    dates = sorted({cut_off for cut_off, _, _ in cut_offs})
    pairs = sorted({(cut_off, horizon) for cut_off, horizon, _ in cut_offs})
    named = pd.DataFrame(cut_offs, columns=["cut_off_on", "horizon_days", "purpose"])
    return {
        "past_features": pd.concat(
            [features_at(days, day).assign(cut_off_on=pd.Timestamp(day)) for day in dates]
        ),
        "past_labels": pd.concat(
            [
                labels_at(days, day, horizon).assign(cut_off_on=pd.Timestamp(day))
                for day, horizon in pairs
            ]
        ),
        "cut_offs": named.assign(cut_off_on=pd.to_datetime(named["cut_off_on"])),
    }
