"""What a killed run leaves behind is found dead, recorded as failed, and freed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from crm_pipeline.resources.leaks import PROCESS_TAG, free_leaked_slots, living_process
from crm_pipeline.resources.warehouse import WRITER_POOL
from crm_pipeline.settings import CHECKOUT

ALIVE = """
import sys, time
from pathlib import Path
from crm_pipeline.resources.leaks import PROCESS_TAG, living_process
with living_process(Path(sys.argv[1])) as tags:
    print(tags[PROCESS_TAG], flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text((CHECKOUT / "dagster.yaml").read_text())
    return tmp_path


@pytest.fixture
def instance(home: Path):
    with dg.DagsterInstance.from_config(str(home)) as found:
        yield found


def claim(instance: dg.DagsterInstance, **tags: str) -> str:
    """Leave a run that is on, holding the writer's slot."""

    @dg.job
    def nightly() -> None:
        """Do nothing."""

    run = instance.create_run_for_job(nightly, tags=tags, status=dg.DagsterRunStatus.STARTED)
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(WRITER_POOL)
    claimed = storage.claim_concurrency_slot(WRITER_POOL, run.run_id, "step")
    assert claimed.is_claimed or claimed.slot_status
    return run.run_id


def holders(instance: dg.DagsterInstance) -> set[str]:
    info = instance.event_log_storage.get_concurrency_info(WRITER_POOL)
    return {s.run_id for s in info.claimed_slots} | {s.run_id for s in info.pending_steps}


def test_the_slot_of_a_dead_process_is_freed_and_its_run_recorded(instance, home):
    process = subprocess.Popen(
        [sys.executable, "-c", ALIVE, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    run_id = claim(instance, **{PROCESS_TAG: name})
    waiting = claim(instance, **{PROCESS_TAG: "of a process that is long gone"})
    notes = free_leaked_slots(instance, home)
    assert [waiting[:8] in note for note in notes] == [True]
    assert holders(instance) == {run_id}
    process.kill()
    process.wait()
    [note] = free_leaked_slots(instance, home)
    assert f"run {run_id[:8]} was killed before it ended" in note
    assert holders(instance) == set()
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert free_leaked_slots(instance, home) == []


def test_our_own_runs_are_alive(instance, home):
    with living_process(home) as tags:
        run_id = claim(instance, **tags)
        assert free_leaked_slots(instance, home) == []
        assert holders(instance) == {run_id}
    assert list((home / "alive").iterdir()) == []


def test_a_run_that_has_ended_gives_its_slot_back_without_a_word(instance, home):
    run_id = claim(instance)
    instance.report_run_failed(instance.get_run_by_id(run_id), "the end")
    assert free_leaked_slots(instance, home) == []
    assert holders(instance) == set()


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_run_of_the_ui_is_judged_by_its_daemon(instance, home, is_alive):
    from dagster._daemon.types import DaemonHeartbeat

    age = 0.0 if is_alive else 3600.0
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, "SENSOR", "d", []))
    run_id = claim(instance)
    assert len(free_leaked_slots(instance, home)) == (0 if is_alive else 1)
    assert (run_id in holders(instance)) is is_alive
