"""``crm source draft|check`` and ``crm retract``: helping with files before and after landing."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.errors import UserError
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import load_settings, prepare_home


def source(options: argparse.Namespace) -> int:
    """Draft a sources file from a data file, or tell what of a file would be quarantined."""
    from crm_pipeline.defs.landing.preview import check_file, draft_source

    settings = load_settings()
    prepare_home(settings)
    file = Path(options.file)
    if options.action == "draft":
        print(draft_source(file, scratch=settings.scratch, source=options.source), end="")
        return 0
    contracts = sources_from_manifest(ensure_manifest())
    report = check_file(file, contracts, scratch=settings.scratch, source=options.source)
    print(report)
    return 0 if report.refusal is None else 1


def retract(options: argparse.Namespace) -> int:
    """Take back what a landed file brought; the next run publishes without it."""
    from crm_pipeline.defs.landing.ledger import retract as retract_file
    from crm_pipeline.resources.warehouse import Warehouse

    settings = load_settings()
    prepare_home(settings)
    name, separator, file = options.file.partition("/")
    if not separator or not file:
        raise UserError(f"{options.file!r} is not SOURCE/FILE; write demo/orders_2025-03.csv.")
    contracts = sources_from_manifest(ensure_manifest())
    warehouse = Warehouse(path=str(settings.warehouse), scratch=str(settings.scratch))
    with warehouse.writer() as db:
        now = datetime.now(UTC).replace(tzinfo=None)
        tables = retract_file(db, contracts, name, file, now=now)
    print(f"crm: {options.file} no longer counts in {', '.join(tables)}; publish with `crm run`.")
    return 0
