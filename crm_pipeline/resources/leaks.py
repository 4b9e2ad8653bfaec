"""What a killed run leaves in Dagster: pool slots and runs that look alive. Cleared at start.

A run killed with -9 keeps its slot of the writer's pool, and its record says that it is still
going: whoever comes next would wait for ever. So who starts says which runs cannot be alive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from crm_pipeline.resources.warehouse import WRITER_POOL, exclusive

COMMAND_TAG = "crm/command"
"""Marks the runs of ``crm run``, of which there is one at a time in a home."""

SILENT_SECONDS = 300.0
"""Dagster's daemon reports every 30 s; after so long without, nobody runs the UI's runs."""

_LONGEST_WAIT_SECONDS = 6 * 3600.0


@contextmanager
def only_run(home: Path) -> Iterator[None]:
    """Be the only ``crm run`` of this home, waiting for another one to end.

    The kernel releases the lock when we are killed: whoever holds it knows that every other run
    with ``COMMAND_TAG`` has ended, whatever its record says.
    """
    with exclusive(home / "run.lock", wait_seconds=_LONGEST_WAIT_SECONDS):
        yield


def free_leaked_slots(instance: dg.DagsterInstance) -> int:
    """Free the writer's slot and the queue of runs that ended without a word; return how many.

    Call it inside ``only_run``. Such a run is recorded as failed, so that the sensor on failed
    runs can tell somebody.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return 0
    info = storage.get_concurrency_info(WRITER_POOL)
    steps = [*info.claimed_slots, *info.pending_steps]
    dead = []
    for run_id in dict.fromkeys(step.run_id for step in steps):
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            dead.append(run_id)
        elif COMMAND_TAG in run.tags or not _is_daemon_alive(instance):
            instance.report_run_failed(run, "its process was killed before it ended")
            dead.append(run_id)
    for run_id in dead:
        storage.free_concurrency_slots_for_run(run_id)
    return len(dead)


def _is_daemon_alive(instance: dg.DagsterInstance) -> bool:
    """Whether ``make dev`` or a deployment is there, whose runs only it can judge."""
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    return max(beats, default=0.0) > time.time() - SILENT_SECONDS
