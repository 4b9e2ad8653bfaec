"""The whole examination of a home, in the order in which faults hide other faults."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.errors import UserError
from crm_pipeline.repair import audiences, contents, home, publications, restore, vault
from crm_pipeline.repair.findings import Finding
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.tracking import Tracking
from crm_pipeline.resources.tracking_store import DATABASE
from crm_pipeline.resources.warehouse import BusyError
from crm_pipeline.settings import Settings


@dataclass(frozen=True)
class Examination:
    """What was found, and how many things were looked at."""

    findings: tuple[Finding, ...]
    parts: int


def examine(settings: Settings, wait_seconds: float = home.PATIENCE_SECONDS) -> Examination:
    """Look at everything; where a fault makes the rest meaningless, stop there.

    Raises:
        UserError: There is no home.
    """
    if not settings.home.is_dir():
        raise UserError(f"there is no home in {settings.home}: set CRM_HOME, or call `crm run`.")
    if found := restore.interrupted(settings.home):
        return Examination((found,), 1)
    settings.scratch.mkdir(exist_ok=True)
    if not (found_locks := home.held_locks(settings, wait_seconds)):
        parts: list[Callable[[], list[Finding]]] = [
            lambda: home.orphans(settings),
            lambda: contents.examine(settings, sources_from_manifest(ensure_manifest())),
            lambda: vault.examine(settings, sources_from_manifest(ensure_manifest())),
        ]
    else:
        parts = [lambda: found_locks]
    parts += [
        lambda: home.dead_runs(settings),
        lambda: publications.examine(settings.home, settings.published, wait_seconds),
        lambda: _champions(settings),
        lambda: audiences.examine(settings),
        lambda: home.disk_space(settings),
    ]
    # one fault, as a lost key, may keep several parts from looking: it is said once
    distinct = dict.fromkeys(finding for part in parts for finding in _of(part))
    return Examination(tuple(distinct), len(parts))


def _of(part: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a part found, or why it could not look; a run may have its lock meanwhile."""
    try:
        return part()
    except BusyError as error:
        what, _, remedy = str(error).rstrip(".").partition("; ")
        return [Finding(what, f"{remedy}; then call `crm doctor` again")]
    except UserError as error:
        what, _, remedy = str(error).rstrip(".").partition(": ")
        return [Finding(what, remedy or "mend it and call `crm doctor` again")]


def _champions(settings: Settings) -> list[Finding]:
    folder = settings.home / "mlflow"
    try:
        with closing(sqlite3.connect(f"{(folder / DATABASE).as_uri()}?mode=ro", uri=True)) as db:
            sound = db.execute("pragma quick_check").fetchone() == ("ok",)
    except sqlite3.Error:
        sound = not (folder / DATABASE).is_file()
        if sound:
            return []
    if not sound:
        return [Finding(f"mlflow/{DATABASE} cannot be read", "`crm restore` a backup")]
    tracking = Tracking(folder=str(folder))
    remedy = "`crm restore` a backup, or remove its champion alias in MLflow and train again"
    return [
        Finding(f"the stored {model} model is gone or not the one that was registered", remedy)
        for model in tracking.damaged_champions()
    ]


def mend(found: Examination) -> list[str]:
    """Do what is safe; return one sentence for each thing that was mended, or could not be."""
    done = []
    for finding in found.findings:
        if finding.mend is None:
            continue
        try:
            finding.mend()
        except (UserError, OSError) as error:
            done.append(f"not mended: {finding.what}: {error}")
        else:
            done.append(f"mended: {finding.what}.")
    return done
