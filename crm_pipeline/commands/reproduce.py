"""``crm reproduce``: a past report made again, in a scratch home, and held against its record."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from crm_pipeline.errors import UserError
from crm_pipeline.settings import (
    Settings,
    load_settings,
    parse_date,
    prepare_home,
    set_environment,
)


def reproduce(options: argparse.Namespace) -> int:
    """Make a report as of a day as it was known at a moment; 0 if it is what was published then."""
    if options.build is not None and (options.as_of or options.known_at):
        raise UserError("a BUILD has its as-of date and its moment: give it alone.")
    as_of = parse_date(options.as_of, "--as-of").isoformat() if options.as_of else ""
    known_at = _moment(options.known_at) if options.known_at else None
    target = Path(options.into).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is not an empty folder: name a new one with --into.")
    company = load_settings()
    if not company.warehouse.is_file():
        raise UserError("there is no warehouse yet: run `crm run`.")
    company.scratch.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="reproduce-", dir=company.scratch))
    try:
        return _reproduce(company, home, target, options.build, known_at, as_of)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--known-at={text!r} is no time; write 2026-11-01T12:00 (UTC).") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _reproduce(
    company: Settings,
    home: Path,
    target: Path,
    build: int | None,
    known_at: datetime | None,
    as_of: str,
) -> int:
    from crm_pipeline.activation.records import copy_ledger
    from crm_pipeline.commands.run import run_everything
    from crm_pipeline.defs.landing.sources import sources_from_manifest
    from crm_pipeline.defs.publication import past
    from crm_pipeline.defs.publication.swap import current_version
    from crm_pipeline.resources.dbt import ensure_manifest
    from crm_pipeline.resources.warehouse import Warehouse

    contracts = sources_from_manifest(ensure_manifest())
    prepare_home(replace(company, home=home))
    past.copy_archive(company.home, home)
    warehouse = Warehouse(
        path=str(company.warehouse),
        scratch=str(company.scratch),
        memory_limit=company.memory_limit,
    )
    with warehouse.publishing(home / "warehouse.duckdb") as db:
        key = past.copy_vault(company, home)
        publication = past.recorded(db, build) if build is not None else None
        moment = past.Moment(publication, known_at)
        past.write_warehouse(db, moment, contracts, home, key)
        erased = publication is not None and past.erased_since(db, publication)
    past.copy_models(company.home, home)
    copy_ledger(company.home, home, moment.publication.built_at if moment.publication else known_at)
    _appoint_champions(home, moment)
    if publication is not None:
        as_of = publication.as_of.isoformat()
    recorded = json.loads(publication.settings) if publication else {}
    # nobody is alerted by what happens in a scratch home
    then = set_environment(
        {**recorded, "CRM_HOME": str(home), "CRM_ALERT_WEBHOOK": "", "CRM_MASTER_KEY": key or ""}
    )
    code = run_everything(then, sources=[], as_of=as_of, job_name="refresh")
    if code != 0:
        kept = target.with_name(target.name + ".logs")
        shutil.copytree(home / "logs", kept, dirs_exist_ok=True)
        print(f"crm: nothing was written to {target}; the run's log is in {kept}", file=sys.stderr)
        return code
    made = current_version(home / "published")
    assert made is not None
    shutil.copytree(made, target, dirs_exist_ok=True)
    _write_features(home, target / "features")
    print(f"crm: written to {target}; the company's own files were only read")
    return _compare(publication, target, erased) if publication else 0


def _appoint_champions(home: Path, moment: object) -> None:
    """Let those models rule in the scratch home that ruled then."""
    from crm_pipeline.defs.modelling.registered import MODELS
    from crm_pipeline.defs.publication.past import Moment
    from crm_pipeline.resources.tracking import Tracking

    assert isinstance(moment, Moment)
    tracking = Tracking(folder=str(home / "mlflow"))
    for spec in MODELS:
        if moment.publication is not None:
            tracking.appoint(spec.name, json.loads(moment.publication.champions).get(spec.name))
        elif moment.known_at is not None:
            tracking.appoint(spec.name, tracking.champion_at(spec.name, moment.known_at))


def _write_features(home: Path, folder: Path) -> None:
    """Write the features, which are not published, as they were then."""
    from crm_pipeline.defs.publication.writing import quoted, text
    from crm_pipeline.resources.warehouse import Warehouse

    folder.mkdir()
    warehouse = Warehouse(path=str(home / "warehouse.duckdb"), scratch=str(home / "tmp"))
    with warehouse.reader() as db:
        names = db.execute(
            "select table_name from duckdb_tables() where schema_name = 'features' order by all"
        ).fetchall()
        for (name,) in names:
            file = text(str(folder / f"{name}.parquet"))
            db.execute(
                f"copy (from features.{quoted(name)} order by all) to {file} "
                "(format parquet, compression zstd)"
            )


def _compare(publication: object, target: Path, erased: bool) -> int:
    from crm_pipeline.code_version import code_version
    from crm_pipeline.defs.publication.records import Publication
    from crm_pipeline.defs.publication.swap import parquet_digests

    assert isinstance(publication, Publication)
    then, now = json.loads(publication.digests), parquet_digests(target)
    differing = sorted(
        name.removeprefix("parquet/").removesuffix(".parquet").replace("/", ".")
        for name in then.keys() | now.keys()
        if then.get(name) != now.get(name)
    )
    if not differing:
        print(
            f"crm: publication {publication.publication} of {publication.built_at:%Y-%m-%d %H:%M} "
            f"UTC is reproduced exactly: {len(now)} tables, byte for byte"
        )
        return 0
    why = "settings, contents and champions are the same, so is the code: please report this"
    if erased:
        why = "somebody was erased since, whose rows are gone for good"
    elif publication.code_version != code_version():
        why = (
            f"the code was {publication.code_version} and is {code_version()}: check out that "
            "version and reproduce with it"
        )
    print(
        f"crm: publication {publication.publication} is not reproduced: "
        f"{', '.join(differing)} differ{'s' if len(differing) == 1 else ''}; {why}.",
        file=sys.stderr,
    )
    return 1
