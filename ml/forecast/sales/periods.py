"""Days, weeks and months: which are complete on a day, which lie ahead of it.

Belongs here: the calendar. Does not: any value.
"""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.datetime64]

DAY, WEEK, MONTH = "day", "week", "month"
GRAINS = (DAY, WEEK, MONTH)
MONTHS_AHEAD = 3
"""The running month (where the as-of date cuts one) counts as the first."""
MAX_HORIZON = {DAY: 92, WEEK: 14, MONTH: MONTHS_AHEAD}
"""Most periods that three months can hold; the running ones count."""

_ONE = np.timedelta64(1, "D")
_MONDAY = np.datetime64("1970-01-05", "D")


def as_day(day: date | np.datetime64 | str) -> np.datetime64:
    """Return a day as numpy counts it."""
    return np.datetime64(day, "D")


def month_start(day: np.datetime64, months: int = 0) -> np.datetime64:
    """Return the first day of the month that lies ``months`` after that of ``day``."""
    return (day.astype("datetime64[M]") + months).astype("datetime64[D]")


def week_start(day: np.datetime64) -> np.datetime64:
    """Return the Monday of a day's week."""
    return _MONDAY + 7 * ((day - _MONDAY) // np.timedelta64(7, "D")) * _ONE


def months_before(day: np.datetime64, months: int) -> np.datetime64:
    """Return the same day of an earlier month; a month's last day goes to a month's last day."""
    last = month_start(day, 1 - months) - _ONE
    if month_start(day, 1) - _ONE == day:
        return last
    return min(month_start(day, -months) + (day - month_start(day)), last)


def starts_between(grain: str, first: np.datetime64, last: np.datetime64) -> Days:
    """Return the starts of the periods that begin on ``first`` or later and end by ``last``."""
    if grain == DAY:
        return np.arange(first, last + _ONE, dtype="datetime64[D]")
    if grain == WEEK:
        monday = week_start(first - _ONE) + 7 * _ONE
        starts = np.arange(monday, last + _ONE, 7 * _ONE, dtype="datetime64[D]")
    else:
        begin = month_start(first - _ONE, 1)
        if begin > last:
            return np.array([], dtype="datetime64[D]")
        months = np.arange(begin.astype("datetime64[M]"), last.astype("datetime64[M]") + 1)
        starts = months.astype("datetime64[D]")
    return starts[period_ends(grain, starts) <= last]


def period_ends(grain: str, starts: Days) -> Days:
    """Return the last day of each period."""
    if grain == DAY:
        return starts
    if grain == WEEK:
        return starts + 6 * _ONE
    return (starts.astype("datetime64[M]") + 1).astype("datetime64[D]") - _ONE


def last_day_ahead(origin: np.datetime64) -> np.datetime64:
    """Return the last day that is forecast on ``origin``: the end of the last month ahead."""
    running = 0 if month_start(origin, 1) - _ONE != origin else 1
    return month_start(origin, running + MONTHS_AHEAD) - _ONE


def starts_ahead(grain: str, origin: np.datetime64) -> Days:
    """Return the periods ahead: the running one first, where ``origin`` cuts it."""
    end = last_day_ahead(origin)
    if grain == DAY:
        return starts_between(DAY, origin + _ONE, end)
    running = week_start(origin + _ONE) if grain == WEEK else month_start(origin + _ONE)
    return starts_between(grain, running, end)
