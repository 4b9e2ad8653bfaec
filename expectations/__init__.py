"""Great Expectations suites as data: ``expectations/<schema>/<table>.json``, loaded by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def suite_names() -> list[str]:
    """Return the names of all suites, ``<schema>.<table>``, sorted."""
    return sorted(f"{path.parent.name}.{path.stem}" for path in FOLDER.glob("*/*.json"))


def load_suite(name: str) -> dict[str, Any]:
    """Return the suite ``<schema>.<table>`` as the keyword arguments of ``ExpectationSuite``.

    Raises:
        KeyError: There is no such suite; the message lists those there are.
    """
    schema, _, table = name.partition(".")
    path = FOLDER / schema / f"{table}.json"
    if name not in suite_names():
        raise KeyError(f"no suite {name!r}; there are {suite_names()}")
    suite: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return suite
