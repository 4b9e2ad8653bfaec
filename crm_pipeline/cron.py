"""Whether a text is a cron schedule, told without importing a scheduler."""

from __future__ import annotations

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, _MONTHS),
    (0, 7, _DAYS),
)
"""Lowest and highest value, and names, of minute, hour, day, month and weekday."""

_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def is_cron(text: str) -> bool:
    """Return whether ``text`` is five fields of numbers, names, lists, ranges and steps."""
    fields = text.lower().split()
    return len(fields) == len(_FIELDS) and all(
        _is_part(part, *bounds)
        for field, bounds in zip(fields, _FIELDS, strict=True)
        for part in field.split(",")
    )


def _is_part(part: str, lowest: int, highest: int, names: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    if match is None or match[3] == "0":
        return False
    ends = [_number(end, lowest, names) for end in (match[1], match[2]) if end is not None]
    return all(end is not None and lowest <= end <= highest for end in ends)


def _number(text: str, lowest: int, names: tuple[str, ...]) -> int | None:
    if text in names:
        return names.index(text) + lowest
    return int(text) if text.isdecimal() else None
