"""One ``meta`` of a sources file, setting by setting, or the message that a setting cannot be.

Belongs here: reading a setting, and how a file's text is cut into values. What a source, a table
and a column are made of belongs in ``sources``.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from crm_pipeline.errors import UserError


class SettingsReader:
    """Takes settings out of one ``meta`` mapping and complains about the rest.

    Each method returns a setting, its default where it is not given, and raises a ``UserError``
    that names the place and the remedy where it is something else.
    """

    def __init__(self, where: str, meta: Mapping[str, Any], known: frozenset[str]) -> None:
        """Refuse settings that are not ``known``; ``where`` begins every message."""
        self.where = where
        self.meta = meta
        if unknown := sorted(set(meta) - known - {"dagster"}):
            raise self.error(
                f"unknown setting {', '.join(unknown)}", f"known are {', '.join(sorted(known))}"
            )

    def error(self, fault: str, remedy: str) -> UserError:
        """Return the message of a fault."""
        return UserError(f"{self.where}: {fault}; {remedy}.")

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return a text."""
        value = self.meta.get(name, default)
        if value is not None and not isinstance(value, str):
            raise self.error(f"{name} is {value!r}", "write a text in quotes")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.meta.get(name, default)
        if not isinstance(value, bool):
            raise self.error(f"{name} is {value!r}", "write true or false")
        return value

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of texts; one alone is a list of one."""
        value = self.meta.get(name)
        if value is None:
            return default
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise self.error(f"{name} is {value!r}", "write a text or a list of texts in quotes")
        return tuple(values)

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a number within bounds."""
        value = self.meta.get(name)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise self.error(f"{name} is {value!r}", f"write a number from {low:g} to {high:g}")
        return float(value)

    # How a file's text is cut into values

    def delimiters(self) -> tuple[str | None, ...]:
        """Return the delimiter, or those of a list, among which a file's header decides."""
        listed = self.meta.get("delimiter", ",")
        if not isinstance(listed, list):
            return (self._delimiter(listed),)
        delimiters = tuple(self._delimiter(one) for one in listed)
        if not delimiters or None in delimiters or len(set(delimiters)) < len(delimiters):
            raise self.error(
                f"delimiter is {listed!r}", "list different characters, or write one alone"
            )
        if len(delimiters) > 1 and (self.flag("header", True) is False):
            raise self.error(
                f"delimiter is {listed!r} but header is false",
                "several delimiters need a header, which tells them apart",
            )
        if len(delimiters) > 1 and self.text("format", "csv") != "csv":
            raise self.error(f"delimiter is {listed!r}", "only files of format csv have several")
        return delimiters

    def _delimiter(self, delimiter: object) -> str | None:
        if delimiter is not None and not isinstance(delimiter, str):
            raise self.error(f"delimiter is {delimiter!r}", "write a text in quotes")
        if delimiter is None or delimiter == "whitespace":
            return delimiter
        if delimiter == "auto" or not 1 <= len(delimiter.encode()) <= 4:
            raise self.error(
                f"delimiter is {delimiter!r}", "write the character itself, whitespace, or null"
            )
        if set(delimiter) & set('\r\n"'):
            raise self.error(f"delimiter is {delimiter!r}", "it cannot be a quote or a line end")
        return delimiter

    def quote(self) -> str | None:
        """Return the sign around values that hold a delimiter."""
        quote = self.text("quote", '"')
        if quote is not None and (len(quote.encode()) != 1 or quote in "\r\n "):
            raise self.error(f"quote is {quote!r}", "write one character, or null")
        if quote is not None and quote in self.delimiters():
            raise self.error(f"quote is {quote!r}", "it cannot be the delimiter as well")
        return quote

    def encoding(self, name: str, default: str, also: tuple[str, ...] = ()) -> str:
        """Return an encoding by Python's name for it, or one of ``also`` as it stands."""
        encoding = self.text(name, default) or default
        if encoding in also:
            return encoding
        try:
            return codecs.lookup(encoding).name
        except LookupError as fault:
            raise self.error(
                f"{name} {encoding!r} is unknown", "use utf-8, utf-16, latin-1 or cp1252"
            ) from fault
