"""What a reader reads: texts of one language, numbers and dates, always written the same way."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from crm_pipeline.report.shapes import world

TEXTS = Path(__file__).parent / "texts"
LANGUAGES = ("en", "zh")
MISSING = "–"

D3_FORMATS = {
    "count": ",d",
    "amount": ",.0f",
    "rate": ".1~%",
    "share": ".1~%",
    "number": ",.2~f",
    "score": ".2~f",
    "days": ",d",
    "hours": ",.1~f",
}
"""How an axis writes what a table writes in full."""


@cache
def catalogue(language: str, name: str) -> dict[str, Any]:
    """Return the texts of a page, or ``common``, in one language."""
    text = (TEXTS / language / f"{name}.yml").read_text(encoding="utf-8")
    # everything is a text here: `yes`, `new` and `2024-01-01` too
    content: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)
    return content


class Words:
    """The texts of one page in one language, over those common to all."""

    def __init__(self, language: str, page: str, *, currency: str | None = None) -> None:
        """Read the texts of ``page`` and those common to all pages."""
        self.language = language
        self.page = page
        self.currency = currency
        self._layers = [catalogue(language, name) for name in dict.fromkeys((page, "common"))]

    def find(self, *path: str) -> Any:
        """Return the text under ``path``, the page's own before the common one, or ``None``."""
        for texts in self._layers:
            found: Any = texts
            for part in path:
                found = found.get(part) if isinstance(found, dict) else None
            if found is not None:
                return found
        return None

    def text(self, *path: str, **values: str) -> str:
        """Return the text under ``path`` with ``{names}`` filled in.

        Raises:
            KeyError: No catalogue of this language has it.
        """
        found = self.find(*path)
        if not isinstance(found, str):
            raise KeyError(f"texts/{self.language}/{self.page}.yml lacks {'.'.join(path)}")
        return found.format(**values) if values else found

    def value(self, column: str, value: Any) -> str:
        """Return a name that the data uses (a stage, a segment) in this language.

        A company may rename them: what the catalogue does not know is shown as it is. Countries
        have their names from the map's list.
        """
        if value is None:
            return MISSING
        known = self.find("values", column, str(value))
        if known is None and column == "country" and (code := world.code_of(str(value))):
            return world.countries()[code].name(self.language)
        return str(value) if known is None else str(known)

    def label(self, column: str, kind: str = "text") -> str:
        """Return what a column is called, with its unit: an axis title, a table's head."""
        name = self.text("columns", column)
        unit = self.unit(kind)
        return f"{name} ({unit})" if unit else name

    def unit(self, kind: str) -> str:
        """Return the unit of a format, or nothing."""
        if kind == "amount":
            return self.currency or ""
        return str(self.find("units", kind) or "")

    def write(self, value: Any, kind: str, column: str = "") -> str:
        """Return a value as the tables, cards and findings write it."""
        if value is None or (isinstance(value, float) and value != value):
            return MISSING
        if kind == "text":
            return self.value(column, value)
        if kind == "yes_no":
            return self.text("shell", "yes" if value else "no")
        if kind == "date":
            return value.date().isoformat() if isinstance(value, datetime) else value.isoformat()
        if kind == "month":
            return self.month(value)
        return _number(value, kind)

    def month(self, value: date) -> str:
        """Return a month as ``Jun 2026`` or ``2026年6月``."""
        names = self.text("shell", "months").split()
        return self.text("shell", "month", name=names[value.month - 1], year=str(value.year))

    def money(self, value: float) -> str:
        """Return an amount within a sentence, with its currency; cents only where they count."""
        number = f"{round(value):,}" if abs(value) >= 1000 else f"{_plain(value, 2):,.2f}"
        return f"{number} {self.currency}" if self.currency else number

    def change(self, value: float, kind: str) -> str:
        """Return a difference with its sign: of rates in percentage points, else as it is given.

        ``relative`` is a change as a share of what was before.
        """
        if kind in ("rate", "share"):
            return self.text("shell", "points", value=signed(100 * value, 1))
        return f"{signed(100 * value, 1)}%" if kind == "relative" else signed(value, 2)


def signed(value: float, digits: int) -> str:
    """Return a number with its sign, a real minus where it is below zero."""
    return f"{_plain(value, digits):+,.{digits}f}".replace("-", "\u2212")


def _plain(value: float, digits: int) -> float:
    """Round, and leave no minus before a zero."""
    return round(float(value), digits) + 0.0


def _number(value: float | Decimal, kind: str) -> str:
    if kind in ("count", "days"):
        return f"{round(value):,}"
    if kind == "amount":
        return f"{_plain(float(value), 2):,.2f}"
    if kind in ("rate", "share"):
        return f"{_plain(100 * float(value), 1):.1f}%"
    if kind == "hours":
        return f"{_plain(float(value), 1):,.1f}"
    if kind == "score":
        return f"{_plain(float(value), 3):,.3f}"
    return f"{_plain(float(value), 2):,.2f}"
