"""Putting an audience, a destination and a home together: what the commands and the job call.

Belongs here: finding what is named, with a message where it is not there. Nothing of an audience.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from crm_pipeline.activation.audiences import (
    Audience,
    DestinationSpec,
    audiences_from_manifest,
    declared_destinations,
)
from crm_pipeline.activation.destinations.base import Destination
from crm_pipeline.activation.destinations.files import OUTBOX, FileDestination
from crm_pipeline.activation.destinations.http import HttpDestination
from crm_pipeline.activation.sending import Sender
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.errors import UserError
from crm_pipeline.settings import Endpoint, Settings


def all_audiences(manifest: Mapping[str, Any]) -> dict[str, Audience]:
    """Return every audience by name."""
    return audiences_from_manifest(manifest, declared_destinations())


def find_audience(audiences: Mapping[str, Audience], name: str) -> Audience:
    """Return an audience by its name, with or without ``audience_``.

    Raises:
        UserError: There is none.
    """
    found = audiences.get(name.removeprefix("audience_"))
    if found is None:
        raise UserError(f"there is no audience {name}; there are {', '.join(audiences)}.")
    return found


def open_destination(
    settings: Settings, spec: DestinationSpec, *, sleep: Callable[[float], None] = time.sleep
) -> Destination | None:
    """Return a destination; ``None`` where the setting with its address is missing."""
    endpoint = settings.endpoints.get(spec.name, Endpoint())
    if spec.kind != "http":
        return FileDestination(settings.home / OUTBOX / spec.name, spec.kind, endpoint.secret)
    if endpoint.url is None:
        return None
    return HttpDestination(spec, endpoint.url, endpoint.secret, sleep=sleep)


def senders(
    settings: Settings, manifest: Mapping[str, Any], name: str, to: str | None
) -> tuple[list[Sender], list[str]]:
    """Return a sender for each destination of an audience, and what is not set up.

    Args:
        settings: The company's settings.
        manifest: dbt's.
        name: The audience.
        to: One destination; ``None`` is all that the audience allows and that are set up.

    Raises:
        UserError: There is no such audience, it may not go there, or nothing is set up.
    """
    specs = declared_destinations()
    audience = find_audience(audiences_from_manifest(manifest, specs), name)
    if to is not None and to not in audience.destinations:
        raise UserError(
            f"{audience.model} may not be sent to {to}; its entry allows "
            f"{', '.join(audience.destinations)}."
        )
    contracts = sources_from_manifest(manifest)
    found, missing = [], []
    for one in [to] if to else audience.destinations:
        destination = open_destination(settings, specs[one])
        if destination is None:
            missing.append(f"{one} is not set up: set CRM_DESTINATION_{one.upper()}_URL")
            continue
        clock = _now
        found.append(Sender(settings, contracts, audience, one, destination, clock))
    if not found:
        raise UserError(f"{'; '.join(missing)}.")
    return found, missing


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
