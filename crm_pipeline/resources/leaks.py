"""What a killed run leaves in Dagster: pool slots and runs that look alive. Cleared at start.

A run killed with -9 keeps its slot of the writer's pool, and its record says that it is still
going: whoever comes next would wait for ever. So every ``crm run`` holds a lock that the kernel
releases when it dies, and names it in its run's tags.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from crm_pipeline.resources.warehouse import WRITER_POOL, exclusive

PROCESS_TAG = "crm/process"
"""Names the lock, below ``$DAGSTER_HOME/alive``, of the process that a run lives in."""

SILENT_SECONDS = 300.0
"""Dagster's daemon reports every 30 s; after so long without, nobody runs the UI's runs."""

_FOLDER = "alive"


@contextmanager
def living_process(dagster_home: Path) -> Iterator[dict[str, str]]:
    """Hold a lock for as long as this process works; yield the tags of the runs it starts."""
    name = uuid.uuid4().hex
    lock = dagster_home / _FOLDER / name
    with exclusive(lock, wait_seconds=0):
        yield {PROCESS_TAG: name}
        lock.unlink(missing_ok=True)


def _is_process_alive(dagster_home: Path, name: str) -> bool:
    lock = dagster_home / _FOLDER / name
    try:
        with lock.open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    lock.unlink(missing_ok=True)
    return False


def _is_daemon_alive(instance: dg.DagsterInstance) -> bool:
    """Whether ``make dev`` or a deployment is there, whose runs only it can judge."""
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    return max(beats, default=0.0) > time.time() - SILENT_SECONDS


def free_leaked_slots(instance: dg.DagsterInstance, dagster_home: Path) -> list[str]:
    """Free the writer's slot and the queue of runs that ended without a word.

    Such a run is recorded as failed, so that its page says so and the sensor on failed runs can
    tell somebody.

    Returns:
        One sentence for each run that was found dead.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return []
    notes = []
    info = storage.get_concurrency_info(WRITER_POOL)
    runs = [slot.run_id for slot in info.claimed_slots]
    runs += [step.run_id for step in info.pending_steps]
    for run_id in dict.fromkeys(runs):
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            name = run.tags.get(PROCESS_TAG)
            alive = _is_process_alive(dagster_home, name) if name else _is_daemon_alive(instance)
            if alive:
                continue
            instance.report_run_failed(run, "its process was killed before it ended")
            notes.append(f"run {run_id[:8]} was killed before it ended; its place is free again")
        storage.free_concurrency_slots_for_run(run_id)
    return notes
