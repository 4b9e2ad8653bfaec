"""What the champion says of the opportunities and leads that are open now, as rows to publish."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.forecast.opportunities.durations import durations_of
from ml.forecast.opportunities.kinds import LEAD
from ml.forecast.opportunities.leads import as_states
from ml.forecast.opportunities.model import WinModel
from ml.forecast.opportunities.snapshots import checked, outcomes, snapshot

DIGITS = 6
SCORED, LAPSED = "scored", "lapsed"
MIN_DECIDED = 30
"""Decisions, from which on the company's durations say when one is due."""
SHARES = {"expected_close_on": 0.5, "close_low_on": 0.1, "close_high_on": 0.9}
COLUMNS = ("opportunity_key", "status", "win_probability", "base_win_rate", *SHARES)
LEAD_SHARES = {"expected_conversion_on": 0.5, "conversion_low_on": 0.1, "conversion_high_on": 0.9}
LEAD_COLUMNS = (
    "lead_key", "status", "conversion_probability", "base_conversion_rate",
    "expected_conversion_days", *LEAD_SHARES,
)  # fmt: skip


def score_opportunities(
    model: WinModel | None, states: pd.DataFrame, as_of: object, status: str = SCORED
) -> pd.DataFrame:
    """Return one row per open opportunity, by key.

    When one will be decided is what happened to those that had waited as long, which needs no
    champion; the probability is null without one.

    Args:
        model: The champion, or None.
        states: Rows of ``features.opportunity_states``.
        as_of: The scoring day.
        status: Of the rows; ``scored`` with a champion.
    """
    day = pd.Timestamp(as_of)  # type: ignore[arg-type]
    frame = checked(states)
    ones = outcomes(frame)
    if len(ones) == 0:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    rows = snapshot(frame, ones, day)
    found = pd.DataFrame({"opportunity_key": rows.index, "status": status})
    found["win_probability"] = (
        np.round(model.predict_proba(rows)[:, 1], DIGITS) if model is not None else np.nan
    )
    found["base_win_rate"] = np.round(rows["base_rate"].to_numpy(dtype=float), DIGITS)
    durations = durations_of(ones, day)
    age = rows["age_days"].to_numpy(dtype=float)
    for name, share in SHARES.items():
        left = durations.remaining(age, share)
        if durations.decided_count_ < MIN_DECIDED:
            left = np.full(len(rows), np.nan)
        found[name] = day + pd.to_timedelta(left, unit="D")
    return found[list(COLUMNS)]


def score_leads(
    model: WinModel | None,
    leads: pd.DataFrame,
    as_of: object,
    horizon_days: int,
    status: str = SCORED,
) -> pd.DataFrame:
    """Return one row per lead that is open, by key.

    When one converts is what happened to those that had waited as long and converted in time; that
    needs no champion. One that came longer ago than the horizon is ``lapsed``, without values.

    Args:
        model: The champion, or None.
        leads: Rows of ``features.lead_states``.
        as_of: The scoring day.
        horizon_days: Days after it came in which a lead must convert.
        status: Of the rows that have not lapsed; ``scored`` with a champion.
    """
    day = pd.Timestamp(as_of)  # type: ignore[arg-type]
    frame = checked(as_states(leads, horizon_days), LEAD)
    ones = outcomes(frame, LEAD)
    first = leads.drop_duplicates("lead_key").set_index("lead_key").sort_index()
    is_open = first["converted_on"].isna() & ~first["is_given_up"].astype(bool)
    if not is_open.any():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in LEAD_COLUMNS})
    rows = snapshot(frame, ones, day, LEAD)
    rows = rows[rows.index.isin(first.index[is_open])]
    known = pd.DataFrame({"lead_key": rows.index, "status": status})
    known["conversion_probability"] = (
        np.round(model.predict_proba(rows)[:, 1], DIGITS) if model is not None else np.nan
    )
    known["base_conversion_rate"] = np.round(rows["base_rate"].to_numpy(dtype=float), DIGITS)
    durations = durations_of(ones, day, only_won=True)
    age = rows["age_days"].to_numpy(dtype=float)
    for name, share in LEAD_SHARES.items():
        left = durations.remaining(age, share, float(horizon_days))
        if durations.decided_count_ < MIN_DECIDED:
            left = np.full(len(rows), np.nan)
        known[name] = day + pd.to_timedelta(left, unit="D")
    known["expected_conversion_days"] = (known["expected_conversion_on"] - day).dt.days
    found = pd.DataFrame({"lead_key": first.index[is_open]}).merge(known, how="left", on="lead_key")
    found["status"] = found["status"].fillna(LAPSED)
    return found[list(LEAD_COLUMNS)]
