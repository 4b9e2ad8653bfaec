"""Past periods of the value model: what was known of customers, and what they did next.

Belongs here: cutting frames into periods, and when a period is worth looking at. Not here: models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.clv.value import FEATURES
from ml.evaluation.result import FloatArray

LEAST_REPEAT_BUYERS = 100
"""Below this number of customers with a second purchase day before the holdout, the standard
error of the purchase rates' shape r exceeds a third of it even without dropout."""
OUTCOMES = ("future_gross_amount", "future_purchase_day_count")


class TooLittleDataError(Exception):
    """Carries the plain sentence that says why."""


@dataclass(frozen=True)
class Period:
    """Customers with a purchase day at a cut-off, sorted by key, and the ``days`` after it."""

    features: pd.DataFrame
    amount: FloatArray
    orders: FloatArray
    days: int


@dataclass(frozen=True)
class YearBefore:
    """The cut-off a year before another, with what followed within each of several days."""

    features: pd.DataFrame
    amounts: Mapping[int, FloatArray]


def buyers(features: pd.DataFrame) -> pd.DataFrame:
    """Customers with a purchase day, sorted by key.

    Raises:
        ValueError: A column is missing, or a customer has two rows.
    """
    if missing := [name for name in FEATURES if name not in features.columns]:
        raise ValueError(f"the customer features lack the columns {missing}")
    bought = features.loc[features["observed_age_days"].notna()]
    if bought["customer_key"].duplicated().any():
        raise ValueError("the customer features have two rows of one customer at a cut-off")
    return bought.sort_values("customer_key", ignore_index=True)


def labelled(features: pd.DataFrame, labels: pd.DataFrame, days: int) -> pd.DataFrame:
    """Buyers with what they did in the ``days`` after.

    Raises:
        TooLittleDataError: There are none, or the days are not fully observed.
    """
    labels = labels.loc[labels["horizon_days"] == days, ["customer_key", *OUTCOMES]]
    known = buyers(features).merge(labels, on="customer_key", how="left", validate="one_to_one")
    if known.empty:
        raise TooLittleDataError("no customer had a purchase day before the holdout")
    if known[list(OUTCOMES)].isna().any(axis=None):
        raise TooLittleDataError(
            f"the {days} days of the holdout are not fully observed for every customer"
        )
    return known


def period(features: pd.DataFrame, labels: pd.DataFrame, days: int) -> Period:
    """Return the period after a cut-off; see ``labelled``."""
    known = labelled(features, labels, days)
    amount, orders = (known[name].astype(float).to_numpy() for name in OUTCOMES)
    return Period(known.drop(columns=list(OUTCOMES)), amount, orders, days)


def past_periods(
    features: pd.DataFrame | None,
    labels: pd.DataFrame | None,
    cut_offs: pd.DataFrame | None,
    purpose: str,
) -> list[Period]:
    """Periods of one purpose that can be used, the latest first.

    Args:
        features: ``customer_features`` at several cut-offs.
        labels: ``customer_labels`` of the same.
        cut_offs: ``cut_off_on``, ``horizon_days``, ``purpose``.
        purpose: Which of them.

    Returns:
        Those with enough repeat buyers, in which somebody bought something.
    """
    found = []
    for cut_off_on, days in _dates(cut_offs, purpose):
        assert features is not None
        assert labels is not None
        there = features.loc[features["cut_off_on"] == cut_off_on]
        after = labels.loc[labels["cut_off_on"] == cut_off_on]
        try:
            one = period(there, after, days)
        except TooLittleDataError:
            continue
        repeaters = int((one.features["repeat_count"] > 0).sum())
        if repeaters >= LEAST_REPEAT_BUYERS and np.ptp(one.amount) > 0:
            found.append(one)
    return found


def year_before(
    features: pd.DataFrame | None,
    labels: pd.DataFrame | None,
    cut_offs: pd.DataFrame | None,
    purpose: str,
) -> YearBefore | None:
    """Return the cut-off a year before with all its outcomes, or None where it is too early."""
    dates = _dates(cut_offs, purpose)
    if not dates:
        return None
    assert features is not None
    assert labels is not None
    cut_off_on = dates[0][0]
    there = buyers(features.loc[features["cut_off_on"] == cut_off_on])
    if int((there["repeat_count"] > 0).sum()) < LEAST_REPEAT_BUYERS:
        return None
    amounts = {}
    for _, days in dates:
        after = labels.loc[labels["cut_off_on"] == cut_off_on]
        try:
            amounts[days] = period(there, after, days).amount
        except TooLittleDataError:  # not over yet
            continue
    return YearBefore(there, amounts)


def _dates(cut_offs: pd.DataFrame | None, purpose: str) -> list[tuple[pd.Timestamp, int]]:
    if cut_offs is None or cut_offs.empty:
        return []
    own = cut_offs.loc[cut_offs["purpose"] == purpose]
    own = own.sort_values(["cut_off_on", "horizon_days"], ascending=[False, True])
    return [(row.cut_off_on, int(row.horizon_days)) for row in own.itertuples()]
