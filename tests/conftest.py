"""What every test may use: real data where it is present, settings that touch no real home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside():
    """A developer's own CRM_* settings must not decide what a test sees."""
    kept = {"CRM_SHARED_DATA"}
    for name in [n for n in os.environ if n.startswith("CRM_") and n not in kept]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a file of the shared real data, or skip with the reason."""
    root = Path(os.environ.get("CRM_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"real data not here: ../shared/data/{name} (or $CRM_SHARED_DATA)")
        return path

    return find
