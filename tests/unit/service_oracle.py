"""Time of a help desk, counted minute by minute: what the SQL is held against.

Slow on purpose, and nothing like the models: each minute of UTC is looked up on the desk's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)

Hours = Mapping[int, tuple[str, str]]
"""ISO weekday -> when the desk opens and closes, HH:MM."""


class Desk:
    """When a desk is open.

    Attributes:
        zone: Where its clock hangs.
        hours: Its opening hours.
        holidays: Days on which it stays closed.
    """

    def __init__(self, zone: str, hours: Hours, holidays: Collection[date]) -> None:
        self.zone = ZoneInfo(zone)
        self.hours = hours
        self.holidays = frozenset(holidays)

    def is_open(self, instant: datetime) -> bool:
        """Whether it is open in the minute that begins at a UTC instant."""
        local = instant.replace(tzinfo=UTC).astimezone(self.zone)
        if local.date() in self.holidays or local.isoweekday() not in self.hours:
            return False
        opens, closes = self.hours[local.isoweekday()]
        return _minute(opens) <= 60 * local.hour + local.minute < _minute(closes)


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return 60 * int(hour) + int(minute)


class Minutes:
    """The minutes of a span of days, each looked up once."""

    def __init__(self, desk: Desk, first: date, last: date) -> None:
        self.begin = datetime.combine(first, time())
        count = (last - first).days * 24 * 60
        flags = (desk.is_open(self.begin + n * MINUTE) for n in range(count))
        self.before = [0, *accumulate(map(int, flags))]

    def between(self, start: datetime, end: datetime) -> int:
        """Minutes open from one whole minute of UTC to another."""
        places = [(moment - self.begin) // MINUTE for moment in (start, end)]
        return self.before[places[1]] - self.before[places[0]]


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval: the rates within z standard errors of the one seen.

    Solved from its definition, (seen - p)^2 = z^2 p (1 - p) / n, as a quadratic equation.
    """
    z, seen = 1.959963984540054, successes / count
    a, b, c = 1 + z * z / count, -(2 * seen + z * z / count), seen * seen
    root = (max(b * b - 4 * a * c, 0.0)) ** 0.5
    return (-b - root) / (2 * a), (-b + root) / (2 * a)
