"""What a killed run leaves in Dagster: pool slots and runs that look alive. Cleared at start."""

from __future__ import annotations

import dagster as dg

from crm_pipeline.resources.warehouse import WRITER_POOL


def free_leaked_slots(instance: dg.DagsterInstance) -> int:
    """Free the writer's slot where its run has ended without giving it back; return how many.

    A run killed with -9 keeps its slot, and its record says that it is still going. Who really
    works holds the file lock beside the warehouse, which the kernel releases.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return 0
    freed = 0
    info = storage.get_concurrency_info(WRITER_POOL)
    for run_id in {slot.run_id for slot in info.claimed_slots}:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
            freed += 1
    return freed
