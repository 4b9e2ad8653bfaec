"""``crm source draft|check`` and ``crm retract``: helping with files before and after landing."""

from __future__ import annotations

import argparse
from pathlib import Path

from crm_pipeline.errors import UserError
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import export_environment, load_settings, prepare_home


def source(options: argparse.Namespace) -> int:
    """Draft a sources file from a data file, or tell what of a file would be quarantined."""
    file = Path(options.file)
    if not file.is_file():
        raise UserError(f"{file} is not a file: name a data file, plain or gzip-compressed.")
    return _draft(file) if options.action == "draft" else _check(file, options.source)


def _draft(file: Path) -> int:
    from crm_pipeline.defs.landing.drafting import draft_source

    print(draft_source(file), end="")
    return 0


def _check(file: Path, name: str | None) -> int:
    from crm_pipeline.defs.landing.drafting import check_file
    from crm_pipeline.defs.landing.sources import sources_from_manifest

    contracts = sources_from_manifest(ensure_manifest())
    name = name or file.resolve().parent.name
    if name not in contracts:
        raise UserError(
            f"no source is called {name!r}: pass --source NAME; known are "
            f"{', '.join(sorted(contracts))}."
        )
    verdict = check_file(file, contracts[name], load_settings())
    print(verdict.text)
    return 0 if verdict.is_ok else 1


def retract(options: argparse.Namespace) -> int:
    """Take back what a landed file brought; the next run publishes without it."""
    from crm_pipeline.defs.landing.ledger import retract as retract_file
    from crm_pipeline.resources.warehouse import Warehouse

    settings = load_settings()
    prepare_home(settings)
    export_environment(settings)
    name, separator, file = options.file.partition("/")
    if not separator or not file:
        raise UserError(f"{options.file!r} is not SOURCE/FILE, for example demo/orders_2025-03.csv.")
    warehouse = Warehouse(path=str(settings.warehouse), scratch=str(settings.scratch))
    with warehouse.writer() as db:
        retract_file(db, name, file)
    print(f"crm: {options.file} is retracted; `crm run` publishes without it.")
    return 0
