"""Names and values as SQL text: the only place where either is quoted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def identifier(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Return ``texts`` as a SQL list literal."""
    return "[" + ", ".join(literal(text) for text in texts) + "]"


def path_literal(path: Path) -> str:
    """Return ``path`` as a SQL literal for a table function, its pattern characters escaped."""
    text = str(path).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")
    return literal(text)
