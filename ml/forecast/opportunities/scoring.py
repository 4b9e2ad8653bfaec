"""What the champion says of the opportunities that are open now, as rows to publish."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.forecast.opportunities.model import WinModel
from ml.forecast.opportunities.snapshots import checked, outcomes, snapshot
from ml.forecast.opportunities.training import durations_of

DIGITS = 6
SCORED = "scored"
MIN_DECIDED = 30
"""Decisions, from which on the company's durations say when one is due."""
SHARES = {"expected_close_on": 0.5, "close_low_on": 0.1, "close_high_on": 0.9}
COLUMNS = ("opportunity_key", "status", "win_probability", "base_win_rate", *SHARES)


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
