"""The home as a place: who holds its locks, what killed processes left in it, room on the disk."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from crm_pipeline.dbt_command import DBT_LOCK
from crm_pipeline.defs.publication.swap import remove
from crm_pipeline.errors import UserError
from crm_pipeline.repair.findings import Finding
from crm_pipeline.resources.warehouse import Warehouse, is_held
from crm_pipeline.settings import Settings

PATIENCE_SECONDS = 10.0
"""A step of a run that is on holds the warehouse for longer; between two it is free."""

UNFINISHED_BACKUP = ".unfinished-"
_UPLOAD_SECONDS = 3600.0
_LEAST_FREE_BYTES = 1 << 30


def door(settings: Settings, wait_seconds: float = PATIENCE_SECONDS) -> Warehouse:
    """Return the warehouse for a command, which waits for a moment rather than for a run's end."""
    return Warehouse(
        path=str(settings.warehouse),
        scratch=str(settings.scratch),
        memory_limit=settings.memory_limit,
        wait_seconds=wait_seconds,
    )


def holder(lock: Path) -> str:
    """Return ``process <number>`` where the kernel tells who holds the lock."""
    try:
        inode = lock.stat().st_ino
        held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return "another process"
    for line in held:
        # 1: FLOCK  ADVISORY  WRITE 4242 fe:00:131113 0 EOF
        parts = line.split()
        if parts[1] == "FLOCK" and parts[5].rpartition(":")[2] == str(inode):
            return f"process {parts[4]}"
    return "another process"


def held_locks(settings: Settings, wait_seconds: float) -> list[Finding]:
    """Return one finding where the warehouse cannot be had: it was not examined then."""
    try:
        with door(settings, wait_seconds).slot():
            return []
    except UserError:
        pass
    again = "call `crm doctor` again: the warehouse was not examined"
    for suffix, whose, remedy in (
        (".lock", "", "wait for its run to end"),
        (DBT_LOCK, ", dbt of a run that was killed,", "wait for it to end"),
    ):
        lock = Path(str(settings.warehouse) + suffix)
        if is_held(lock):
            who = holder(lock)
            return [
                Finding(f"{who}{whose} holds {lock.name}", f"{remedy} or end {who}, then {again}")
            ]
    return [Finding("the warehouse was in use", again)]


def dead_runs(settings: Settings) -> list[Finding]:
    """Return the runs that were killed: they look alive, and may hold the writer's slot."""
    import dagster as dg

    from crm_pipeline.resources.leaks import dead_locks, find_leaks, free_leaked_slots

    def free() -> None:
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            free_leaked_slots(instance, settings.dagster_home)

    if not (settings.dagster_home / "dagster.yaml").is_file():
        return []
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        found = [
            Finding(
                f"run {leak.run_id[:8]} was killed and is recorded as running"
                if leak.run
                else f"run {leak.run_id[:8]} has ended and still has a place in the writer's pool",
                "the next `crm run` frees its place",
                free,
            )
            for leak in find_leaks(instance, settings.dagster_home)
        ]
    if locks := dead_locks(settings.dagster_home):
        what = f"dagster/alive/ has {len(locks)} lock(s) of killed processes"
        found.append(Finding(what, "the next `crm run` removes them", free))
    return found


def _leftovers(settings: Settings) -> Iterator[Path]:
    """Temporary files of steps, which all hold the warehouse: yours to see only with its slot."""
    yield from settings.scratch.glob("landing-*")
    yield from settings.scratch.glob("doctor-*")
    yield from settings.scratch.glob("duckdb_temp_*")
    yield from settings.home.glob(".*.new")


def orphans(settings: Settings) -> list[Finding]:
    """Return what killed processes left beside the state. Call it with the warehouse free."""

    def clear() -> None:
        with door(settings).slot():
            for path in list(_leftovers(settings)):
                remove(path)

    with door(settings).slot():
        left = sorted(path.relative_to(settings.home).as_posix() for path in _leftovers(settings))
    found = [
        Finding(f"{name} was left by a killed process", "delete it while nothing runs", clear)
        for name in left
    ]
    return found + _unfinished_backups(settings) + _unfinished_uploads(settings)


def _unfinished_backups(settings: Settings) -> list[Finding]:
    found = []
    for folder in sorted((settings.home / "backups").glob(f"{UNFINISHED_BACKUP}*")):
        if not is_held(folder / ".lock"):

            def clear(folder: Path = folder) -> None:
                shutil.rmtree(folder)

            what = f"backups/{folder.name} is a backup that was killed"
            found.append(Finding(what, "delete it and call `crm backup` again", clear))
    return found


def _unfinished_uploads(settings: Settings) -> list[Finding]:
    """Files that somebody began to bring an hour ago or more; they are not ours to delete."""
    old = time.time() - _UPLOAD_SECONDS
    return [
        Finding(
            f"{path.relative_to(settings.home).as_posix()} has not grown for an hour",
            "bring it again under its final name, and delete this one",
        )
        for path in sorted(settings.inbox.glob("*/*.part"))
        + sorted(settings.inbox.glob("*/.*.part"))
        if path.stat().st_mtime < old
    ]


def disk_space(settings: Settings) -> list[Finding]:
    """Return a finding where the next run may not have room for what it writes aside."""
    needed = max(
        _LEAST_FREE_BYTES, _size(settings.warehouse) + _size(settings.published / "crm.duckdb")
    )
    free = shutil.disk_usage(settings.home).free
    if free >= needed:
        return []
    return [
        Finding(
            f"{free / 1e9:.1f} GB are free where CRM_HOME is, a run may need {needed / 1e9:.1f} GB",
            "make room: old backups/, replaced-*/ and logs/ may be moved away",
        )
    ]


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0
