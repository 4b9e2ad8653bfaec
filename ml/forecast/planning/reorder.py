"""When to order a product again: demand until the next delivery, and what must lie in reserve.

Units of a day are forecast by the mean of the last weeks, or by simple smoothing of the weeks'
demand, whichever missed less in the past. Between an order and its delivery, and until the stock is
looked at again, L days pass; their demand has the mean m = L x daily rate and a variance v that is
learned from what forecasts missed over whole weeks. The reorder point is the quantile of a negative
binomial distribution with m and v (Poisson where v <= m) at the service rate: units are whole and
few, so a bell curve would promise what it does not keep.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

WEEKS = 52
MIN_WEEKS = 8
MIN_WEEKS_SOLD = 4
TEST_WEEKS = 26
ALPHAS = (0.05, 0.1, 0.2, 0.4)
RECENT_WEEKS = 13
DEFAULT = "*"
DIGITS = 3
SCORED, TOO_LITTLE = "scored", "too_little_data"

COLUMNS = (
    "product_key", "status", "counted_on", "on_hand_quantity", "on_order_quantity",
    "sold_since_count_quantity", "available_quantity", "lead_time_days", "review_days",
    "service_rate", "daily_units", "lead_time_units", "safety_stock_quantity",
    "reorder_point_quantity", "cover_days", "is_reorder_due", "order_quantity", "method",
)  # fmt: skip


def plan_reorders(
    demand: pd.DataFrame,
    levels: pd.DataFrame,
    products: pd.DataFrame,
    policies: pd.DataFrame,
    as_of: object,
) -> pd.DataFrame:
    """Plan every product that was counted in stock.

    Args:
        demand: ``product_key, sold_on, sold_quantity``, days with a sale.
        levels: ``product_key, counted_on, on_hand_quantity, on_order_quantity, lead_time_days``,
            one row a product.
        products: ``product_key, category``.
        policies: The seed ``reorder_policies``.
        as_of: Last day that counts.

    Returns:
        One row a product, by key. What was sold since the count is taken off, what was on order
        then is taken as delivered. ``too_little_data`` where it sold in fewer than
        ``MIN_WEEKS_SOLD`` of the last ``WEEKS`` weeks.

    Raises:
        ValueError: No policy for ``*``.
    """
    if DEFAULT not in set(policies["category"]):
        raise ValueError("seed reorder_policies has no row for '*', which any other category takes")
    if levels.empty:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    day = pd.Timestamp(as_of)  # type: ignore[arg-type]
    plan = levels.sort_values("product_key", ignore_index=True)
    plan = plan.merge(products.drop_duplicates("product_key"), on="product_key", how="left")
    plan = _with_policies(plan, policies)
    weekly, known = weekly_demand(demand, plan["product_key"], day)
    rate, method, error = forecast_weeks(weekly, known)
    plan["daily_units"] = rate / 7
    plan["method"] = method
    days = (plan["lead_time_days"] + plan["review_days"]).to_numpy(dtype=float)
    mean = days * rate / 7
    # errors of weeks that follow each other add up: variance grows with the time
    variance = np.maximum(days / 7 * error**2, mean)
    point = demand_quantile(mean, variance, plan["service_rate"].to_numpy(dtype=float))
    sold = (weekly > 0).sum(axis=1)
    is_known = (known >= MIN_WEEKS) & (sold >= MIN_WEEKS_SOLD)
    plan["lead_time_units"] = mean
    plan["reorder_point_quantity"] = point
    plan["safety_stock_quantity"] = np.maximum(point - mean, 0.0)
    plan["sold_since_count_quantity"] = _sold_since(demand, plan, day)
    has = plan[["on_hand_quantity", "on_order_quantity"]].astype(float).fillna(0.0)
    available = has.sum(axis=1) - plan["sold_since_count_quantity"]
    plan["available_quantity"] = available.clip(lower=0.0)
    per_day = plan["daily_units"].to_numpy()
    plan["cover_days"] = np.where(
        per_day > 0, plan["available_quantity"] / np.where(per_day > 0, per_day, 1.0), np.nan
    )
    due = plan["available_quantity"].to_numpy() < point
    plan["is_reorder_due"] = pd.Series(due).astype(object)
    order = np.where(
        due, np.ceil(point + per_day * plan["review_days"] - available.clip(lower=0)), 0
    )
    plan["order_quantity"] = order.astype(float)
    plan["status"] = np.where(is_known, SCORED, TOO_LITTLE)
    said = ["daily_units", "lead_time_units", "safety_stock_quantity", "reorder_point_quantity",
            "cover_days", "order_quantity"]  # fmt: skip
    plan.loc[~is_known, said] = np.nan
    plan.loc[~is_known, ["is_reorder_due", "method"]] = None
    rounded = [*said, "sold_since_count_quantity", "available_quantity"]
    plan[rounded] = plan[rounded].astype(float).round(DIGITS)
    return plan[list(COLUMNS)]


def weekly_demand(
    demand: pd.DataFrame, keys: pd.Series, day: pd.Timestamp
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return units of the last weeks (rows as ``keys``), and how many weeks each was on sale."""
    weekly = np.zeros((len(keys), WEEKS))
    sold_on = pd.to_datetime(demand["sold_on"])
    place = pd.Index(keys).get_indexer(pd.Index(demand["product_key"]))
    back = ((day - sold_on).dt.days // 7).to_numpy()
    units = demand["sold_quantity"].to_numpy(dtype=float)
    inside = (place >= 0) & (back >= 0) & (back < WEEKS)
    np.add.at(weekly, (place[inside], WEEKS - 1 - back[inside]), units[inside])
    past = (place >= 0) & (back >= 0)
    first = np.full(len(keys), -1)
    np.maximum.at(first, place[past], back[past])
    return np.maximum(weekly, 0.0), np.minimum(first + 1, WEEKS)


def forecast_weeks(
    weekly: FloatArray, known: NDArray[np.int64]
) -> tuple[FloatArray, list[str], FloatArray]:
    """Forecast the units of a week.

    Returns:
        The forecast, the method that missed least in the last ``TEST_WEEKS``, and the root mean
        square of what it missed; each from what was known before the week.
    """
    size = weekly.shape[1]
    weeks = np.arange(size)
    born = size - np.maximum(known, 1)
    on_sale = weeks[None] >= born[:, None]
    tested = on_sale & (weeks[None] >= born[:, None] + MIN_WEEKS // 2)
    tested &= weeks[None] >= size - TEST_WEEKS
    errors, forecasts, names = [], [], []
    total = np.concatenate([np.zeros((len(weekly), 1)), weekly.cumsum(axis=1)], axis=1)
    start = np.maximum(np.maximum(weeks - RECENT_WEEKS, 0)[None], born[:, None])
    span = np.maximum(weeks[None] - start, 1)
    means = (total[:, :-1] - np.take_along_axis(total, np.minimum(start, weeks[None]), 1)) / span
    last = np.minimum(RECENT_WEEKS, np.maximum(known, 1))
    now = (total[:, -1] - total[np.arange(len(weekly)), size - last]) / last
    candidates = [("mean_of_weeks", means, now)]
    for alpha in ALPHAS:
        level = np.zeros(len(weekly))
        before = np.zeros_like(weekly)
        for week in range(size):
            before[:, week] = level
            begins = week == born
            moved = level + alpha * (weekly[:, week] - level)
            level = np.where(begins, weekly[:, week], np.where(on_sale[:, week], moved, level))
        candidates.append((f"smoothing_{alpha}", before, level))
    for name, before, after in candidates:
        gap = np.where(tested, weekly - before, 0.0)
        errors.append(np.sqrt((gap**2).sum(axis=1) / np.maximum(tested.sum(axis=1), 1)))
        forecasts.append(after)
        names.append(name)
    best = np.argmin(np.round(np.stack(errors), 9), axis=0)
    rows = np.arange(len(weekly))
    chosen = [names[i] for i in best]
    return np.stack(forecasts)[best, rows], chosen, np.stack(errors)[best, rows]


def demand_quantile(mean: FloatArray, variance: FloatArray, share: FloatArray) -> FloatArray:
    """Return the units that demand exceeds with probability 1 - share at most."""
    safe = np.maximum(mean, 1e-9)
    over = np.maximum(variance, safe * (1 + 1e-9)) - safe
    size = safe**2 / over
    negative = stats.nbinom.ppf(share, size, size / (size + safe))
    poisson = stats.poisson.ppf(share, safe)
    is_wide = variance > safe * (1 + 1e-6)
    return np.where(mean > 0, np.where(is_wide, negative, poisson), 0.0)


def _with_policies(plan: pd.DataFrame, policies: pd.DataFrame) -> pd.DataFrame:
    known = policies.rename(columns={"lead_time_days": "usual_lead_time_days"})
    rules = plan["category"].where(plan["category"].isin(set(known["category"])), DEFAULT)
    taken = known.set_index("category").loc[rules.astype(object)].reset_index(drop=True)
    plan = plan.assign(**{name: taken[name].to_numpy() for name in taken})
    lead = plan["lead_time_days"].astype(float).fillna(plan["usual_lead_time_days"].astype(float))
    return plan.assign(lead_time_days=lead.clip(lower=0).astype(int))


def _sold_since(demand: pd.DataFrame, plan: pd.DataFrame, day: pd.Timestamp) -> FloatArray:
    counted = pd.to_datetime(plan.set_index("product_key")["counted_on"])
    on = pd.to_datetime(demand["sold_on"])
    later = demand[(on > demand["product_key"].map(counted)) & (on <= day)]
    units = later.groupby("product_key")["sold_quantity"].sum().astype(float)
    return plan["product_key"].map(units).fillna(0.0).to_numpy()
