"""Who answers for a check, and what its failing means: for every check, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph


@dataclass(frozen=True)
class Accountable:
    """One check's owner and severity.

    Attributes:
        owner: Team of the asset that it guards, unless the check's metadata name an ``owner``.
        severity: ``error`` for a check that blocks what comes after, else ``warn``.
        description: What it says must be true.
    """

    owner: str
    severity: str
    description: str


def accountable(graph: AssetGraph) -> dict[dg.AssetCheckKey, Accountable]:
    """Return owner, severity and meaning of every check of ``graph``, sorted by check."""
    found = {}
    for key in sorted(graph.asset_check_keys):
        spec = graph.get_check_spec(key)
        owners = graph.get(key.asset_key).owners if graph.has(key.asset_key) else []
        found[key] = Accountable(
            owner=str(spec.metadata.get("owner") or next(iter(owners), "")),
            severity="error" if spec.blocking else "warn",
            description=spec.description or "",
        )
    return found
