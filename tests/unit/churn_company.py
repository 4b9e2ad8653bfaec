"""A small company that buys till it dies, whose true churn probabilities are known.

BG/NBD (Fader, Hardie & Lee 2005): after the first order, orders come with a customer's own gamma
rate; after each repeat order the customer drops out with an own beta probability. Time is in days;
a season, if any, only changes the speed at which operational time passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

R, ALPHA, A, B = 0.8, 40.0, 0.6, 2.2
START = date(2024, 1, 1)


@dataclass(frozen=True)
class Company:
    """``orders`` (customer_key, ordered_on, amount), the records' length, operational time."""

    orders: pd.DataFrame
    days: int
    clock: np.ndarray

    @property
    def as_of(self) -> date:
        return START + timedelta(days=self.days - 1)

    def elapsed(self, day: np.ndarray | float) -> np.ndarray:
        return np.interp(day, np.arange(len(self.clock)), self.clock)

    def true_probability(self, cut_off: date, horizon_days: int) -> pd.Series:
        """P(no order in the horizon | history at ``cut_off``), by customer."""
        now = (cut_off - START).days + 1
        known = self.orders[self.orders["time"] < now].groupby("customer_key")["time"]
        first, last, count = known.min(), known.max(), known.size()
        x = (count - 1).to_numpy()
        t_x = self.elapsed(last.to_numpy()) - self.elapsed(first.to_numpy())
        age = self.elapsed(now) - self.elapsed(first.to_numpy())
        ahead = self.elapsed(now + horizon_days) - self.elapsed(now)
        silent = ((ALPHA + age) / (ALPHA + age + ahead)) ** (R + x)
        odds_dead = np.where(
            x > 0, A / (B + x - 1) * ((ALPHA + age) / (ALPHA + t_x)) ** (R + x), 0.0
        )
        alive = 1 / (1 + odds_dead)
        return pd.Series(1 - alive + alive * silent, index=count.index)


def company(customers: int = 3000, days: int = 730, season: float = 0.0, seed: int = 1) -> Company:
    """Draw a company; ``season`` is the amplitude of a yearly wave of the order rates."""
    rng = np.random.default_rng(seed)
    day = np.arange(days + 400)
    clock = np.concatenate([[0.0], np.cumsum(1 + season * np.sin(2 * np.pi * (day - 60) / 365.25))])
    born = rng.uniform(0, days - 1, customers)
    rate, leaves = rng.gamma(R, 1 / ALPHA, customers), rng.beta(A, B, customers)
    who, when = [np.arange(customers)], [born]
    alive, now = np.arange(customers), np.interp(born, np.arange(len(clock)), clock)
    while len(alive):
        now = now + rng.exponential(1 / np.maximum(rate[alive], 1e-9))
        inside = now < clock[days]
        alive, now = alive[inside], now[inside]
        who.append(alive)
        when.append(np.interp(now, clock, np.arange(len(clock))))
        stay = rng.random(len(alive)) > leaves[alive]
        alive, now = alive[stay], now[stay]
    orders = pd.DataFrame({"number": np.concatenate(who), "time": np.concatenate(when)})
    orders["customer_key"] = "demo:" + orders["number"].astype(str).str.zfill(6)
    orders["ordered_on"] = pd.Timestamp(START) + pd.to_timedelta(
        np.floor(orders["time"]).astype(int), unit="D"
    )
    orders["amount"] = np.round(rng.gamma(4, 10, len(orders)) + 1, 2)
    orders = orders.sort_values(["customer_key", "time"], ignore_index=True)
    return Company(orders.drop(columns="number"), days, clock)


def features_at(orders: pd.DataFrame, cut_off: date) -> pd.DataFrame:
    """``customer_features`` at one cut-off, from orders by then."""
    day = pd.Timestamp(cut_off)
    known = orders[orders["ordered_on"] <= day].sort_values(["customer_key", "ordered_on"])
    group = known.groupby("customer_key", sort=True)
    out = group.agg(
        first_order_on=("ordered_on", "min"),
        last_order_on=("ordered_on", "max"),
        order_count=("amount", "size"),
        purchase_day_count=("ordered_on", "nunique"),
        gross_amount=("amount", "sum"),
    )
    out["recency_days"] = (day - out["last_order_on"]).dt.days
    out["age_days"] = (day - out["first_order_on"]).dt.days
    out["observed_age_days"] = out["age_days"]
    out["repeat_count"] = out["purchase_day_count"] - 1
    out["last_repeat_age_days"] = (out["last_order_on"] - out["first_order_on"]).dt.days
    out["average_order_amount"] = out["gross_amount"] / out["order_count"]
    for window in (30, 90, 180, 365):
        recent = known[known["ordered_on"] > day - pd.Timedelta(days=window)]
        counts = recent.groupby("customer_key").size().reindex(out.index, fill_value=0)
        out[f"order_count_{window}d"] = counts
    days = known.drop_duplicates(["customer_key", "ordered_on"])
    gaps = days.groupby("customer_key")["ordered_on"].diff().dt.days
    out["median_gap_days"] = gaps.groupby(days["customer_key"]).median()
    out["distinct_product_count"] = out["order_count"]
    out["return_count"] = 0
    out.insert(0, "cut_off_on", cut_off)
    return out.reset_index()


def frames(
    of: Company, horizon_days: int = 90, training: int = 6
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Features, labels and cut-offs as the warehouse gives them to ``train_churn``."""
    as_of = of.as_of
    purpose = {as_of: "scoring", as_of - timedelta(days=horizon_days): "churn_evaluation"}
    for j in range(1, 3):
        purpose[as_of - timedelta(days=horizon_days + 30 * j)] = "churn_refit"
    for j in range(training):
        purpose[as_of - timedelta(days=2 * horizon_days + 30 * j)] = "churn_training"
    features = pd.concat([features_at(of.orders, day) for day in purpose], ignore_index=True)
    labels = []
    for day in purpose:
        part = features.loc[features["cut_off_on"] == day, ["cut_off_on", "customer_key"]].copy()
        until = day + timedelta(days=horizon_days)
        on = of.orders["ordered_on"]
        later = of.orders[(on > pd.Timestamp(day)) & (on <= pd.Timestamp(until))]
        churned = ~part["customer_key"].isin(later["customer_key"])
        part["is_churned"] = churned.astype("boolean") if until <= as_of else pd.NA
        labels.append(part.assign(horizon_days=horizon_days))
    cut_offs = pd.DataFrame({"cut_off_on": list(purpose), "purpose": list(purpose.values())})
    return features, pd.concat(labels, ignore_index=True), cut_offs
