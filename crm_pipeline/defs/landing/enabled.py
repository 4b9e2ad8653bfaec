"""Which sources are enabled: checked against what is declared, wherever they are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crm_pipeline.defs.landing.sources import SourceContract
from crm_pipeline.errors import UserError


def check_enabled(
    contracts: Mapping[str, SourceContract], enabled: Sequence[str], named: Sequence[str] = ()
) -> None:
    """Raise if an enabled or named source is not declared, or a named one is not enabled.

    Args:
        contracts: The declared sources.
        enabled: ``CRM_SOURCES``.
        named: Sources that a command or a launchpad names.

    Raises:
        UserError: The message lists what is known.
    """
    for setting, names in (("CRM_SOURCES", enabled), ("--source", named)):
        unknown = [name for name in names if name not in contracts]
        if unknown:
            raise UserError(
                f"{setting} names {', '.join(unknown)}, which no folder of "
                f"dbt_project/models/staging declares; known are {', '.join(sorted(contracts))}."
            )
    disabled = [name for name in named if name not in enabled]
    if disabled:
        raise UserError(f"{', '.join(disabled)} is not enabled: add it to CRM_SOURCES.")
