"""What ``crm doctor`` says: one thing that is wrong, what to do, and what it can do itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crm_pipeline.errors import UserError


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


def of_error(error: UserError, remedy: str) -> Finding:
    """Return what an error says, which is ``what: remedy.``; ``remedy`` where it names none."""
    what, _, said = str(error).rstrip(".").partition(": ")
    return Finding(what, said or remedy)
