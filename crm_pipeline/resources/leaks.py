"""What a killed run leaves in Dagster: pool slots and runs that look alive. Cleared at start.

A run killed with -9 keeps its slot of the writer's pool, and its record says that it is still
going: whoever comes next would wait for ever. So every ``crm run`` holds a lock that the kernel
releases when it dies, and names it in its run's tags.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from crm_pipeline.resources.warehouse import WRITER_POOL, exclusive, is_held

PROCESS_TAG = "crm/process"
"""Names the lock, below ``$DAGSTER_HOME/alive``, of the process that a run lives in."""

SILENT_SECONDS = 300.0
"""Dagster's daemon reports every 30 s; after so long without, nobody runs the UI's runs."""

_FOLDER = "alive"
_TAKING_SECONDS = 60.0
"""A lock's file is there a moment before it is held: a young one says nothing."""


@contextmanager
def living_process(dagster_home: Path) -> Iterator[dict[str, str]]:
    """Hold a lock for as long as this process works; yield the tags of the runs it starts."""
    name = uuid.uuid4().hex
    lock = dagster_home / _FOLDER / name
    with exclusive(lock, wait_seconds=0):
        yield {PROCESS_TAG: name}
        lock.unlink(missing_ok=True)


def _is_process_alive(dagster_home: Path, name: str) -> bool:
    return is_held(dagster_home / _FOLDER / name)


def dead_locks(dagster_home: Path) -> list[Path]:
    """Return the lock files of processes that were killed; not one that may be about to be held."""
    folder = dagster_home / _FOLDER
    if not folder.is_dir():
        return []
    with os.scandir(folder) as listing:
        old = sorted(e.name for e in listing if e.stat().st_mtime < time.time() - _TAKING_SECONDS)
    return [folder / name for name in old if not _is_process_alive(dagster_home, name)]


def _is_daemon_alive(instance: dg.DagsterInstance) -> bool:
    """Whether ``make dev`` or a deployment is there, whose runs only it can judge."""
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    return max(beats, default=0.0) > time.time() - SILENT_SECONDS


_GOING = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True)
class Leak:
    """What a run left that ended without a word.

    Attributes:
        run_id: The run.
        run: Its record where that says it is still going, ``None`` where it knows of the end.
    """

    run_id: str
    run: dg.DagsterRun | None


def find_leaks(instance: dg.DagsterInstance, dagster_home: Path) -> list[Leak]:
    """Return the runs that hold the writer's slot or look alive, and are dead."""
    runs = _holders(instance)
    runs += [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=list(_GOING)))]
    leaks = []
    for run_id in dict.fromkeys(runs):
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            leaks.append(Leak(run_id, None))
            continue
        name = run.tags.get(PROCESS_TAG)
        alive = _is_process_alive(dagster_home, name) if name else _is_daemon_alive(instance)
        if not alive:
            leaks.append(Leak(run_id, run))
    return leaks


def _holders(instance: dg.DagsterInstance) -> list[str]:
    """Return the runs that hold the writer's slot or wait for it."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return []
    info = storage.get_concurrency_info(WRITER_POOL)
    return [*(s.run_id for s in info.claimed_slots), *(s.run_id for s in info.pending_steps)]


def free_leaked_slots(instance: dg.DagsterInstance, dagster_home: Path) -> list[str]:
    """Free the writer's slot and the queue of runs that ended without a word.

    Such a run is recorded as failed, so that its page says so and the sensor on failed runs can
    tell somebody.

    Returns:
        One sentence for each run that was found dead.
    """
    notes = []
    for leak in find_leaks(instance, dagster_home):
        if leak.run is not None:
            instance.report_run_failed(leak.run, "its process was killed before it ended")
            notes.append(
                f"run {leak.run_id[:8]} was killed before it ended; its place is free again"
            )
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(leak.run_id)
    for lock in dead_locks(dagster_home):
        lock.unlink(missing_ok=True)
    return notes
