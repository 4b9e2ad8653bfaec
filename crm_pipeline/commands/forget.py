"""``crm forget``: a customer's key is destroyed now, their rows leave with the next run."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from crm_pipeline.errors import UserError
from crm_pipeline.settings import export_environment, load_settings


def forget(options: argparse.Namespace) -> int:
    """Destroy a customer's data key and write a tombstone."""
    from crm_pipeline.defs.landing.sources import sources_from_manifest
    from crm_pipeline.repair.forgetting import forget as forget_customer
    from crm_pipeline.resources.dbt import ensure_manifest

    settings = load_settings()
    export_environment(settings)
    if not settings.warehouse.is_file():
        raise UserError("there is no warehouse yet: nobody is known who could be forgotten.")
    done = forget_customer(
        settings,
        sources_from_manifest(ensure_manifest()),
        options.customer_key,
        now=datetime.now(UTC).replace(tzinfo=None),
    )
    if done.was_forgotten:
        print("crm: this customer was forgotten before; the tombstone holds.")
    else:
        print(
            f"crm: the key of {done.numbers} customer number(s) is destroyed, with {done.values} "
            "encrypted values; a tombstone is written."
        )
    print("crm: their rows leave the tables and the published file with the next `crm run`.")
    for one in done.lists:
        print(f"crm: {one} may hold them: `crm audience send` takes them off there.")
    if done.backups:
        print(
            f"crm: {done.backups} backup(s) and replaced states in this home still hold them: "
            "delete these when they are no longer needed (docs/privacy.md)."
        )
    return 0
