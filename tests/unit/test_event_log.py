"""A run's event log, kept open: the same events, seen at once, and as before afterwards."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import dagster as dg
from sqlalchemy import event as on
from sqlalchemy.engine import Engine

from crm_pipeline.resources.event_log import kept_open


@dg.asset
def bought() -> int:
    """Something with a log line of its own."""
    dg.get_dagster_logger().info("seven")
    return 7


@dg.asset_check(asset=bought, blocking=True)
def is_positive(bought: int) -> dg.AssetCheckResult:
    """Something that is checked."""
    return dg.AssetCheckResult(passed=bought > 0)


def instance_of(folder: Path) -> dg.DagsterInstance:
    """The instance of a home, made where there is none."""
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return dg.DagsterInstance.from_config(str(folder))


def make(instance: dg.DagsterInstance) -> str:
    """Materialise and check the asset; return the run's number."""
    return dg.materialize([bought, is_positive], instance=instance).run_id


def make_some(folder: Path) -> list[str]:
    """Do so three times, with the log kept open."""
    with instance_of(folder) as instance, kept_open(instance):
        return [make(instance) for _ in range(3)]


def told(folder: Path, run: str) -> list[str]:
    """What another process reads of a run: kinds of events, or words of log lines, in order."""
    with instance_of(folder) as reader:
        entries = [one.event_log_entry for one in reader.get_records_for_run(run).records]
    return [
        one.get_dagster_event().event_type_value if one.is_dagster_event else one.user_message
        for one in entries
        if "storage" not in one.user_message
    ]


def test_others_see_the_same_events_at_once(tmp_path):
    with instance_of(tmp_path / "plain") as plain:
        want = told(tmp_path / "plain", make(plain))
    with instance_of(tmp_path / "kept") as kept, kept_open(kept):
        runs = [make(kept) for _ in range(2)]
        assert [told(tmp_path / "kept", run) for run in runs] == [want, want]
    assert {"seven", "ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION"} < set(want)
    assert told(tmp_path / "kept", runs[1]) == want


def test_a_connection_serves_all_events_of_a_run(tmp_path):
    opened = []
    on.listen(Engine, "connect", lambda *_: opened.append(1))
    counts = []
    for name, keep in (("plain", False), ("kept", True)):
        with instance_of(tmp_path / name) as instance:
            make(instance)
            with kept_open(instance) if keep else instance:
                opened.clear()
                make(instance)
                counts.append(len(opened))
    assert counts[1] < counts[0] / 2


def test_afterwards_the_log_is_dagsters_own_again(tmp_path):
    with instance_of(tmp_path) as instance:
        before = instance.event_log_storage._connect
        with kept_open(instance):
            make(instance)
            assert instance.event_log_storage._connect != before
        assert instance.event_log_storage._connect == before
        make(instance)


def test_two_that_write_at_once_lose_nothing(tmp_path):
    instance_of(tmp_path).dispose()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        runs = [run for made in pool.map(make_some, [tmp_path] * 2) for run in made]
    with instance_of(tmp_path) as reader:
        assert {len(reader.all_logs(run)) for run in runs} == {len(reader.all_logs(runs[0]))}
        seen = reader.fetch_materializations(bought.key, limit=10).records
    assert sorted(record.run_id for record in seen) == sorted(runs)


def test_a_log_in_memory_is_left_alone():
    with dg.DagsterInstance.ephemeral() as instance, kept_open(instance):
        assert make(instance)
