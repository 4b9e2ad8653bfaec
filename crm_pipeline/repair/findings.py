"""What ``crm doctor`` says: one thing that is wrong, what to do, and what it can do itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        what: The thing and its fault.
        remedy: What the user can do; imperative.
        mend: Does the safe part of it; ``None`` where only the user can. It never deletes data.
    """

    what: str
    remedy: str
    mend: Callable[[], object] | None = None

    def __str__(self) -> str:
        """Return the one line that is printed."""
        return f"{self.what}: {self.remedy}{' (or `crm doctor --fix`)' if self.mend else ''}."
