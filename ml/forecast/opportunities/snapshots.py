"""Opportunities (or leads) as they stood on a day, from what was known on it.

Belongs here: what is open on a day, its features, (later) its outcome, and for how many it stands
once others are still open. Does not: any model.
What an opportunity is worth is no feature: several sources write it down only when it is won.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.forecast.opportunities.kinds import LEAD, OPPORTUNITY, Kind

FloatArray = NDArray[np.float64]

PRIOR_DECISIONS = 20.0
"""A group's rate is drawn towards the company's as by so many decisions."""
FEATURES = OPPORTUNITY.features
MAX_WEIGHT = 10.0
"""A rare late decision stands for so many at most, or a few would decide everything."""
DAYS = ("opened_on", "closed_on", "entered_on", "known_on")


def checked(states: pd.DataFrame, kind: Kind = OPPORTUNITY) -> pd.DataFrame:
    """Return the states in the order of ``key``, days as timestamps.

    Raises:
        ValueError: Columns are missing.
    """
    frame = states.rename(columns={kind.key: "key"})
    if missing := set(kind.columns) - set(frame.columns):
        named = sorted(kind.key if name == "key" else name for name in missing)
        raise ValueError(f"the {kind.name} states lack columns: {named}")
    frame = frame[list(kind.columns)].sort_values(["key", "state_number"])
    frame = frame.drop_duplicates(["key", "state_number"]).reset_index(drop=True)
    for column in set(DAYS) & set(frame.columns):
        frame[column] = pd.to_datetime(frame[column])
    return frame


def outcomes(states: pd.DataFrame, kind: Kind = OPPORTUNITY) -> pd.DataFrame:
    """Return one row a key: who, what, when opened, when and how decided, when that is known."""
    first = states.drop_duplicates("key")
    frame = first.drop(columns=["state_number", "entered_on", "stage_order"]).copy()
    # decided is what has a day and a result
    decided = frame["closed_on"].notna() & frame["is_won"].notna()
    frame["is_decided"] = decided
    frame["won"] = np.where(decided, frame["is_won"].astype(object) == True, np.nan).astype(float)  # noqa: E712
    if "known_on" not in frame:
        frame["known_on"] = frame["closed_on"]
    for name in kind.groups:
        frame[f"{name}_code"] = pd.factorize(frame[name])[0]
    return frame.drop(columns="is_won").set_index("key")


def snapshot(
    states: pd.DataFrame, ones: pd.DataFrame, day: pd.Timestamp, kind: Kind = OPPORTUNITY
) -> pd.DataFrame:
    """Return what was open on ``day``, with its features.

    Args:
        states: As ``checked`` returns them.
        ones: As ``outcomes`` returns them.
        day: Last day that is known.
        kind: What they are.

    Returns:
        Index ``key``, ascending; the kind's features, ``cut_off_on``, ``base_rate`` (of the
        decisions by then), and what ``ones`` holds.
    """
    is_open = (ones["opened_on"] <= day) & ~(ones["closed_on"] <= day)
    rows = ones[is_open].copy()
    known = states[states["key"].isin(rows.index)]
    known = known[(known["entered_on"] <= day) | known["entered_on"].isna()]
    last = known.drop_duplicates("key", keep="last").set_index("key")
    rows["stage_order"] = last["stage_order"].reindex(rows.index).astype(float)
    entered = last["entered_on"].reindex(rows.index).fillna(rows["opened_on"])
    rows["days_in_stage"] = (day - entered).dt.days.astype(float)
    rows["age_days"] = (day - rows["opened_on"]).dt.days.astype(float)
    rows["log_age"] = np.log1p(rows["age_days"])
    rows["log_employees"] = np.log1p(rows["employee_count"].astype(float).clip(lower=0))
    # of a lead a state is a day on which it was contacted
    rows["touch_count"], rows["days_since_touch"] = rows["stage_order"], rows["days_in_stage"]
    if "prior_order_count" in rows:
        rows["log_prior_orders"] = np.log1p(rows["prior_order_count"].astype(float).clip(lower=0))
    owners = rows["owner_key_code"].to_numpy()
    open_count = np.bincount(owners + 1, minlength=1)[owners + 1]
    rows["owner_open_count"] = np.where(owners >= 0, open_count, np.nan)
    decided = ones[ones["is_decided"] & (ones["known_on"] <= day)]
    won = decided["won"].to_numpy()
    base = (won.sum() + 1) / (len(won) + 2)
    rows["base_rate"] = base
    for name in kind.groups:
        code, size = decided[f"{name}_code"].to_numpy() + 1, int(ones[f"{name}_code"].max()) + 2
        count = np.bincount(code, minlength=size)
        wins = np.bincount(code, weights=won, minlength=size)
        # whose group is not known is like everybody
        count[0], wins[0] = 0, 0.0
        rate = (wins + PRIOR_DECISIONS * base) / (count + PRIOR_DECISIONS)
        rows[f"{name}_log_odds"] = _log_odds(rate)[rows[f"{name}_code"].to_numpy() + 1]
    rows["cut_off_on"] = day
    return rows.sort_index()


def _log_odds(rate: FloatArray) -> FloatArray:
    clipped = np.clip(rate, 1e-3, 1 - 1e-3)
    return np.log(clipped / (1 - clipped))


def labelled(
    states: pd.DataFrame,
    ones: pd.DataFrame,
    days: Sequence[pd.Timestamp],
    known_on: pd.Timestamp,
    kind: Kind = OPPORTUNITY,
) -> pd.DataFrame:
    """Return the snapshots of several days, where the outcome is known by ``known_on``.

    Later decisions and stages are not looked at. What is decided slowly is known less often, and
    may be lost more often: each row has a ``weight``, the inverse share of all snapshots that have
    been followed for as long as its decision took (inverse probability of censoring: Robins &
    Rotnitzky 1992; Graf et al. 1999). Of leads all whose horizon is over are known: each weighs 1.
    """
    parts = [snapshot(states, ones, day, kind) for day in days]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame({"key": [], "won": []})
    rows = pd.concat(parts).reset_index()
    is_known = (rows["is_decided"] & (rows["known_on"] <= known_on)).to_numpy()
    known = rows[is_known].reset_index(drop=True)
    if kind is LEAD:
        return known.assign(weight=1.0)
    followed = np.sort((known_on - rows["cut_off_on"]).dt.days.to_numpy(dtype=float))
    took = (known["known_on"] - known["cut_off_on"]).dt.days.to_numpy(dtype=float)
    reach = 1 - np.searchsorted(followed, took, side="left") / len(followed)
    return known.assign(weight=np.minimum(1 / reach, MAX_WEIGHT))
