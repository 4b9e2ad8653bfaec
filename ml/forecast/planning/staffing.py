"""Agents needed in each hour of the week, by channel, from when contacts came.

The rate of an hour of the week is the mean over the last weeks, drawn towards what the hour of the
day and the day of the week say (a few weeks of one hour are few contacts): a gamma prior whose mean
is the product of both, whose weight is estimated from how much more the hours differ than chance.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ml.forecast.planning.erlang import agents_needed

FloatArray = NDArray[np.float64]

WEEKS = 13
MIN_WEEKS = 4
MIN_CONTACTS = 30
"""Of a channel in those weeks: fewer say little of 168 hours."""
BUSY_SHARE = 0.9
"""Of the hours of that weekday and time, a busy one is exceeded by one in ten."""
MIN_TIMED = 20
"""Contacts with a duration, from which on their mean stands for the seed's handling time."""
DIGITS = 4
SCORED, TOO_LITTLE = "scored", "too_little_data"

COLUMNS = (
    "channel", "weekday", "hour_of_day", "status", "week_count", "contacts_per_hour",
    "busy_contacts_per_hour", "handling_seconds", "target_rate", "target_seconds", "load_erlangs",
    "agents_needed", "busy_agents_needed", "scheduled_agents", "expected_service_rate",
    "mean_wait_seconds", "occupancy_rate",
)  # fmt: skip


def plan_agents(
    hours: pd.DataFrame, durations: pd.DataFrame, targets: pd.DataFrame, as_of: object
) -> pd.DataFrame:
    """Plan the agents of each channel with a target, for each hour of the week.

    Args:
        hours: Rows of ``features.contact_hours``: ``channel, date_on, hour_of_day, contact_count``.
        durations: Rows of ``features.contact_durations``: ``channel, date_on, timed_count,
            duration_seconds``.
        targets: The seed ``staffing_targets``.
        as_of: Last day that counts; the weeks before it are whole.

    Returns:
        168 rows a channel that had enough contacts; one row with ``too_little_data`` (weekday 1,
        hour 0) for one that had some. Hours in which nobody called need no agent.
    """
    day = pd.Timestamp(as_of)  # type: ignore[arg-type]
    dated = hours.assign(day=pd.to_datetime(hours["date_on"]))
    dated = dated[dated["day"] <= day]
    parts = []
    for target in targets.sort_values("channel").to_dict("records"):
        mine = dated[dated["channel"] == target["channel"]]
        if mine.empty:
            continue
        weeks = _weeks(mine["day"].min(), day)
        recent = mine[mine["day"] > day - pd.Timedelta(days=7 * weeks)]
        if weeks < MIN_WEEKS or recent["contact_count"].sum() < MIN_CONTACTS:
            parts.append(_too_little(target, weeks))
            continue
        handling = _handling(durations, target, day)
        parts.append(_channel(recent, weeks, handling, target))
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _weeks(first: pd.Timestamp, last: pd.Timestamp) -> int:
    return min(WEEKS, ((last - first).days + 1) // 7)


def _handling(durations: pd.DataFrame, target: dict, day: pd.Timestamp) -> float:
    on = pd.to_datetime(durations["date_on"])
    recent = (on <= day) & (on > day - pd.Timedelta(days=7 * WEEKS))
    mine = durations[recent & (durations["channel"] == target["channel"])]
    count, seconds = float(mine["timed_count"].sum()), float(mine["duration_seconds"].sum())
    return seconds / count if count >= MIN_TIMED else float(target["handling_seconds"])


def hourly_rates(counts: FloatArray, weeks: int) -> tuple[FloatArray, float]:
    """Return contacts an hour for each weekday (row) and hour (column), and the prior's weeks.

    Args:
        counts: Contacts of ``weeks`` weeks; shape (7, 24).
        weeks: How many weeks were counted.
    """
    total = counts.sum()
    if total == 0:
        return np.zeros_like(counts), 0.0
    # what weekday and hour of the day say together
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / total
    seen = expected > 0
    # var(count) = expected + expected^2 / shape where rates differ from the product
    excess = ((counts - expected)[seen] ** 2 - expected[seen]).sum()
    shape = float((expected[seen] ** 2).sum() / excess) if excess > 0 else math.inf
    if math.isinf(shape):
        return expected / weeks, math.inf
    posterior = (counts + shape) / (np.where(seen, shape / np.where(seen, expected, 1.0), 1.0) + 1)
    return np.where(seen, posterior, 0.0) / weeks, shape


def _channel(recent: pd.DataFrame, weeks: int, handling: float, target: dict) -> pd.DataFrame:
    counts = np.zeros((7, 24))
    weekday = recent["day"].dt.day_of_week.to_numpy()
    np.add.at(
        counts,
        (weekday, recent["hour_of_day"].to_numpy(dtype=int)),
        recent["contact_count"].to_numpy(dtype=float),
    )
    rates, _ = hourly_rates(counts, weeks)
    goal = (float(target["target_rate"]), float(target["target_seconds"]))
    most = float(target["max_occupancy_rate"])
    rows = []
    # the scatter of one hour around its rate; the rate's own error is small beside it
    peaks = np.where(rates > 0, stats.poisson.ppf(BUSY_SHARE, np.maximum(rates, 1e-12)), 0.0)
    for number, (rate, peak) in enumerate(zip(rates.ravel(), peaks.ravel(), strict=True)):
        busy = float(peak)
        needed = agents_needed(rate, handling, *goal, most)
        at_peak = agents_needed(busy, handling, *goal, most)
        present = 1 - float(target["shrinkage_rate"])
        rows.append(
            {
                "channel": target["channel"],
                "weekday": number // 24 + 1,
                "hour_of_day": number % 24,
                "status": SCORED,
                "week_count": weeks,
                "contacts_per_hour": round(float(rate), DIGITS),
                "busy_contacts_per_hour": busy,
                "handling_seconds": round(handling, 2),
                "target_rate": goal[0],
                "target_seconds": goal[1],
                "load_erlangs": round(float(rate) * handling / 3600, DIGITS),
                "agents_needed": needed.agents,
                "busy_agents_needed": max(at_peak.agents, needed.agents),
                "scheduled_agents": math.ceil(needed.agents / present - 1e-9),
                "expected_service_rate": round(needed.service_rate, DIGITS),
                "mean_wait_seconds": round(needed.mean_wait_seconds, 2),
                "occupancy_rate": round(needed.occupancy_rate, DIGITS),
            }
        )
    return pd.DataFrame(rows)


def _too_little(target: dict, weeks: int) -> pd.DataFrame:
    row = dict.fromkeys(COLUMNS)
    row |= {
        "channel": target["channel"], "weekday": 1, "hour_of_day": 0, "status": TOO_LITTLE,
        "week_count": weeks, "target_rate": target["target_rate"],
        "target_seconds": target["target_seconds"],
    }  # fmt: skip
    return pd.DataFrame([row])
