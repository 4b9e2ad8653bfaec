"""Leads in the shape of opportunities: good is a conversion within the horizon after it came.

When a lead was given up is not known, only that it was. So a lead counts as waiting until its
horizon is over, in training as in examination, whatever its source says of it today: a status that
was written later may not choose the rows of an earlier day.
"""

from __future__ import annotations

import pandas as pd

RENAMED = {"lead_key": "key", "created_on": "opened_on", "touch_count": "stage_order"}
COLUMNS = (
    "lead_key", "state_number", "source", "customer_key", "owner_key", "channel", "team", "region",
    "industry", "employee_count", "prior_order_count", "created_on", "converted_on", "is_given_up",
    "entered_on", "touch_count",
)  # fmt: skip


def as_states(leads: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
    """Return leads as states that ``snapshots.checked`` takes.

    Args:
        leads: Rows of ``features.lead_states``.
        horizon_days: Days in which one must convert.

    Returns:
        ``closed_on`` is the conversion or, without one in time, the end of the horizon; ``is_won``
        whether it converted in time; ``known_on`` the end of the horizon, from which on the outcome
        counts: before, only those that convert would be known.

    Raises:
        ValueError: Columns are missing.
    """
    if missing := set(COLUMNS) - set(leads.columns):
        raise ValueError(f"the lead states lack columns: {sorted(missing)}")
    frame = leads[list(COLUMNS)].rename(columns=RENAMED)
    for column in ("opened_on", "converted_on", "entered_on"):
        frame[column] = pd.to_datetime(frame[column])
    lapses = frame["opened_on"] + pd.Timedelta(days=horizon_days)
    in_time = frame["converted_on"] <= lapses
    return frame.assign(
        closed_on=frame["converted_on"].where(in_time, lapses),
        is_won=in_time.astype(object),
        known_on=lapses,
    )
