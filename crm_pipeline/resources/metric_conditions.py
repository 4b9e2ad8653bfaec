"""What ``--where``, ``--from`` and ``--to`` of ``crm metric`` say, as MetricFlow reads it.

Belongs here: reading a condition. Whatever is in a value, it stays a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

from crm_pipeline.errors import UserError

TIME = "metric_time"
_VALUE = r"'(?:[^']|'')*'|-?[\w.\-]+"
_CONDITION = re.compile(
    rf"^\s*(?P<name>\w+)\s*(?:(?P<operator>>=|<=|!=|<>|=|>|<)\s*(?P<value>{_VALUE})"
    rf"|(?P<negated>\bnot\s+)?\bin\s*\((?P<values>\s*(?:{_VALUE})\s*(?:,\s*(?:{_VALUE})\s*)*)\)"
    r"|\bis\s+(?P<present>not\s+)?null)\s*$",
    re.IGNORECASE,
)
_PERIOD = re.compile(r"^(\d{4})(?:-(\d{2})(?:-(\d{2}))?|-?Q([1-4]))?$", re.IGNORECASE)


def condition(text: str, resolve: Callable[[str], str]) -> str:
    """Return one ``--where`` as MetricFlow reads it.

    Args:
        text: ``NAME = VALUE`` (or ``!= < <= > >=``), ``NAME in (VALUE, VALUE)``,
            ``NAME is null``. Of a period, a value is the one that it lies in.
        resolve: Gives MetricFlow's name of what can be asked by; raises for anything else.

    Raises:
        UserError: It cannot be read.
    """
    found = _CONDITION.match(text)
    if found is None:
        raise UserError(
            f"--where {text!r} was not understood: write NAME = VALUE (or != < <= > >=), "
            "NAME in (VALUE, VALUE) or NAME is null, a text with blanks in single quotes; repeat "
            "--where for a further condition."
        )
    if "{" in text or "}" in text:
        raise UserError(f"--where {text!r}: a value cannot hold braces.")
    name = resolve(found["name"])
    is_time = name.startswith(f"{TIME}__")
    period = name.rpartition("__")[2]
    subject = f"{{{{ {_asked(name)} }}}}"
    if is_time:
        subject = f"{{{{ TimeDimension('{TIME}', '{period}') }}}}"

    def literal(value: str) -> str:
        if is_time:
            first = _first_day(value.strip("'"), period, f"--where {text!r}")
            return f"cast('{first}' as date)"
        # in quotes even where it is a number: that fits texts and numbers alike
        return value if value.startswith("'") else f"'{value}'"

    if found["values"] is not None:
        listed = ", ".join(literal(one) for one in re.findall(_VALUE, found["values"]))
        return f"{subject} {'not ' if found['negated'] else ''}in ({listed})"
    if found["operator"] is None:
        return f"{subject} is {'not ' if found['present'] else ''}null"
    return f"{subject} {found['operator']} {literal(found['value'])}"


def _asked(name: str) -> str:
    """Return what a filter calls a key or a dimension: all but the last step to it are a path."""
    *steps, last = name.split("__")
    if not steps:
        return f"Entity('{last}')"
    *path, nearest = steps
    return f"Dimension('{nearest}__{last}'{f', entity_path={path}' if path else ''})"


def between(first: str | None, last: str | None, finest: str) -> list[str]:
    """Return ``--from`` and ``--to``, both inclusive, as MetricFlow reads it.

    Args:
        first: A day, month, quarter or year; from its first day.
        last: Likewise; up to its last day.
        finest: The shortest period that the metric is counted by.

    Raises:
        UserError: One is no date, or cuts a period that the metric is counted by.
    """
    found = []
    subject = f"{{{{ TimeDimension('{TIME}', '{finest}') }}}}"
    for option, text, operator in (("--from", first, ">="), ("--to", last, "<=")):
        if text is None:
            continue
        said = f"{option} {text!r}"
        begin, end = _bounds(text, said)
        day = begin if operator == ">=" else end
        whole = begin if operator == ">=" else end + timedelta(days=1)
        if finest != "day" and whole != _truncated(whole, finest):
            raise UserError(f"{said}: the metric is counted by {finest}; name whole ones.")
        found.append(f"{subject} {operator} cast('{day}' as date)")
    return found


def _first_day(text: str, period: str, said: str) -> date:
    return _truncated(_bounds(text, said)[0], period)


def _bounds(text: str, said: str) -> tuple[date, date]:
    """Return the first and the last day of a day, month, quarter or year."""
    parts = _PERIOD.match(text)
    try:
        if parts is None:
            raise ValueError
        year = int(parts[1])
        if parts[3]:
            day = date(year, int(parts[2]), int(parts[3]))
            return day, day
        months = 12
        month = 1
        if parts[2]:
            month, months = int(parts[2]), 1
        elif parts[4]:
            month, months = 3 * int(parts[4]) - 2, 3
        after = date(year + (month + months > 12), (month + months - 1) % 12 + 1, 1)
        return date(year, month, 1), after - timedelta(days=1)
    except ValueError:
        raise UserError(
            f"{said}: {text} is no date; write 2026-11-22, 2026-11, 2026-Q4 or 2026."
        ) from None


def _truncated(day: date, period: str) -> date:
    """Return the first day of the period that a day lies in."""
    if period == "week":
        return day - timedelta(days=day.weekday())
    if period == "month":
        return day.replace(day=1)
    if period == "quarter":
        return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
    return day.replace(month=1, day=1) if period == "year" else day
