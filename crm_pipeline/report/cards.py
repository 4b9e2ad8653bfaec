"""Headline numbers: the last complete month, its change, and a line of the months before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crm_pipeline.report.page import Card, Cards
from crm_pipeline.report.reading import Rows
from crm_pipeline.report.words import Words

MONTHS = 13
"""A year and the month it is compared with."""
_WIDTH, _HEIGHT, _MARGIN = 120.0, 32.0, 3.0


@dataclass(frozen=True)
class Change:
    """A change against an earlier month: ``tone`` is ``good``, ``bad`` or ``flat``."""

    text: str
    tone: str


@dataclass(frozen=True)
class ShownCard:
    """A headline number as it is shown; ``points`` is the line's path in SVG.

    ``column`` and ``exact`` tell programs that read the page which figure it is, unrounded.
    """

    column: str
    exact: str
    label: str
    value: str
    when: str
    changes: Sequence[Change]
    points: str
    last: tuple[float, float] | None


def show_cards(cards: Cards, found: Rows, words: Words) -> list[ShownCard]:
    """Return the cards whose last value is known."""
    if not found.rows:
        return []
    months = found.column("month")
    shown = []
    for card in cards.cards:
        values = found.column(card.column)
        if values[-1] is None:
            continue
        line, last = sparkline(values[-MONTHS:])
        shown.append(
            ShownCard(
                column=card.column,
                exact=str(values[-1]),
                label=words.label(card.column, card.format),
                value=_short(values[-1], card.format, words),
                when=words.month(months[-1]),
                changes=[
                    change
                    for steps, name in ((1, "since_month"), (12, "since_year"))
                    if (change := _change(card, values, steps, name, words))
                ],
                points=line,
                last=last,
            )
        )
    return shown


def _short(value: Any, kind: str, words: Words) -> str:
    """Return a headline's number: amounts without the cents that nobody reads there."""
    if kind == "amount" and abs(value) >= 1000:
        return f"{round(value):,}"
    return words.write(value, kind)


def _change(
    card: Card, values: Sequence[Any], steps: int, name: str, words: Words
) -> Change | None:
    if len(values) <= steps or values[-1 - steps] is None:
        return None
    now, then = float(values[-1]), float(values[-1 - steps])
    if card.format in ("rate", "share", "number", "score"):
        difference = now - then
        text = words.change(difference, card.format)
    elif then > 0:
        difference = now / then - 1
        text = words.change(difference, "relative")
    else:
        return None
    direction = (difference > 0) - (difference < 0)
    tone = {0: "flat", 1: "good", -1: "bad"}[direction * card.good]
    return Change(words.text("shell", name, change=text), tone)


def sparkline(values: Sequence[Any]) -> tuple[str, tuple[float, float] | None]:
    """Return an SVG path through the known values, and its last point."""
    known = [(at, float(value)) for at, value in enumerate(values) if value is not None]
    if len(known) < 3:
        return "", None
    low, high = min(v for _, v in known), max(v for _, v in known)
    span, steps = (high - low) or 1.0, max(len(values) - 1, 1)
    points = [
        (
            round(_MARGIN + at / steps * (_WIDTH - 2 * _MARGIN), 1),
            round(_HEIGHT - _MARGIN - (value - low) / span * (_HEIGHT - 2 * _MARGIN), 1),
        )
        for at, value in known
    ]
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points), points[-1]
