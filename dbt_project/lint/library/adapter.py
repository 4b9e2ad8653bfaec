"""The adapter as sqlfluff sees it: a dispatched macro is a function call of the same name."""

from __future__ import annotations

from collections.abc import Callable


def dispatch(name: str) -> Callable[..., str]:
    """Return what renders the macro's name and arguments."""
    return lambda *arguments: f"{name}({', '.join(map(str, arguments))})"
