"""A refused run is told once, in the publication that stays and in one alert; a warning too."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from crm_pipeline.defs.publication.meta_tables import META_TABLES
from crm_pipeline.defs.publication.notices import (
    Attempt,
    add_notice,
    standing,
    tell_new_warnings,
    warnings_of,
)
from crm_pipeline.defs.publication.swap import FILE, new_version, publish, versions
from crm_pipeline.defs.quality.accountable import Accountable, accountable
from crm_pipeline.refusals import report_failure
from crm_pipeline.settings import load_settings

BUILT = datetime.fromisoformat("2026-11-20 06:00:00")
REFUSED = Attempt(
    run_id="0123456789abcdef",
    ended_at=datetime.fromisoformat("2026-11-21 06:00:00"),
    job="everything",
    outcome="refused",
    reason="error: marts.fct_orders: it's so (team:a): 3 rows",
)


def make(
    home: Path,
    *,
    warns: tuple[str, ...] = (),
    unusual: tuple[str, ...] = (),
    built_at: datetime = BUILT,
) -> Path:
    """Publish a file that holds nothing but meta; ``warns`` are checks, ``unusual`` measures."""
    published = home / "published"
    folder = new_version(published)
    with duckdb.connect(str(folder / FILE)) as db:
        db.execute("create schema meta")
        for name in ("build", "quality", "check_bounds", "runs_since"):
            types = ", ".join(f'"{c}" {kind}' for c, kind in META_TABLES[name].types.items())
            db.execute(f"create table meta.{name} ({types})")
        db.execute(
            "insert into meta.build (built_at, as_of) values (?, date '2026-11-19')", [built_at]
        )
        for check in warns:
            db.execute(
                "insert into meta.quality (check_name, table_name, severity, passed, owner, "
                "observed) values (?, 'raw.s__t', 'warn', false, 'team:a', '{\"n\": 3}')",
                [check],
            )
        for measure in unusual:
            db.execute(
                "insert into meta.check_bounds (source, table_name, measure, observed, lower, "
                "upper, is_within) values ('s', 't', ?, 5, 1, 2, false)",
                [measure],
            )
    (folder / "parquet").mkdir()
    (folder / "parquet" / "t.parquet").write_text("bytes")
    publish(published, folder)
    return published


def notices(published: Path) -> list[tuple]:
    with duckdb.connect(str(published / FILE), read_only=True) as db:
        return db.execute("from meta.runs_since order by ended_at").fetchall()


def alerts(home: Path) -> list[dict]:
    log = home / "alerts.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# --- the notice ---


def test_a_healthy_publication_has_no_notice(tmp_path):
    assert notices(make(tmp_path)) == []


def test_the_publication_that_stays_tells_of_each_refused_run_once(tmp_path):
    published = make(tmp_path)
    parquet = published / "parquet" / "t.parquet"
    before = parquet.stat()
    second = replace(REFUSED, run_id="f" * 16, outcome="failed", ended_at=BUILT + timedelta(days=2))
    assert [add_notice(published, a) for a in (REFUSED, REFUSED, second)] == [True, False, True]
    first, last = notices(published)
    assert first == ("01234567", REFUSED.ended_at, "everything", "refused", REFUSED.reason)
    assert last[0] == "ffffffff"
    after = parquet.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_notice_is_no_publication_of_its_own(tmp_path):
    for _ in range(4):
        published = make(tmp_path)
    before = versions(published)
    for number in range(5):
        add_notice(published, replace(REFUSED, run_id=f"{number}" * 16))
    assert versions(published) == before
    assert len(notices(published)) == 5
    assert make(tmp_path) == published
    assert notices(published) == []
    assert len(versions(published)) == 3


def test_an_open_reader_keeps_its_file_and_nobody_can_write_the_new_one(tmp_path):
    published = make(tmp_path)
    with duckdb.connect(str(published / FILE), read_only=True) as reader:
        # through another name: DuckDB opens a path only once in a process
        add_notice(tmp_path / "published", REFUSED)
        assert reader.execute("select count(*) from meta.build").fetchone() == (1,)
    assert (published / FILE).stat().st_mode & 0o222 == 0
    assert not (published / ".current" / f"{FILE}.wal").exists()


@pytest.mark.parametrize("step", ["copyfile", "chmod", "replace"])
def test_killed_while_it_is_told_the_publication_is_whole_and_the_next_try_tells(
    tmp_path, monkeypatch, step
):
    published = make(tmp_path)
    places = {
        "copyfile": "crm_pipeline.defs.publication.swap.shutil.copyfile",
        "chmod": "crm_pipeline.defs.publication.swap.Path.chmod",
        "replace": "crm_pipeline.defs.publication.swap.os.replace",
    }

    def killed(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(places[step], killed)
        with pytest.raises(KeyboardInterrupt):
            add_notice(published, REFUSED)
    assert notices(published) == []
    assert len(versions(published)) == 1
    assert add_notice(published, REFUSED)
    assert len(notices(published)) == 1


def test_nothing_is_told_before_the_first_publication_or_of_a_run_before_it(tmp_path):
    assert not add_notice(tmp_path / "published", REFUSED)
    published = make(tmp_path, built_at=datetime.fromisoformat("2026-11-22 06:00:00"))
    assert not add_notice(published, REFUSED)
    assert notices(published) == []


def test_a_publication_from_before_there_were_notices_is_left_alone(tmp_path):
    published = tmp_path / "published"
    folder = new_version(published)
    with duckdb.connect(str(folder / FILE)) as db:
        db.execute("create schema meta")
        db.execute("create table meta.build as select timestamp '2020-01-01' as "
                   "built_at, date '2020-01-01' as as_of")  # fmt: skip
    (folder / "parquet").mkdir()
    publish(published, folder)
    assert standing(published) is not None
    assert not add_notice(published, replace(REFUSED, ended_at=BUILT + timedelta(days=2)))
    assert warnings_of(published) == {}


# --- a failed run ---


def run(name: str, *, passed: bool = False, publishes: bool = False, breaks: bool = False):
    """Run a job called ``name`` whose one check fails, or whose step breaks."""

    @dg.asset(
        owners=["team:a"],
        check_specs=[
            dg.AssetCheckSpec("adds_up", asset="table", blocking=True, description="It adds up."),
            dg.AssetCheckSpec("late", asset="table"),
        ],
    )
    def table():
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(check_name="adds_up", passed=passed)
        yield dg.AssetCheckResult(
            check_name="late", passed=False, severity=dg.AssetCheckSeverity.WARN
        )
        if breaks:
            raise ValueError("jane@example.com is not a number")

    @dg.asset(key=["published", "crm_duckdb"])
    def publication():
        return None

    @dg.asset(deps=["table"])
    def consumer():
        """What the blocking check keeps from running."""

    assets = [table, consumer, *([publication] if publishes else [])]
    job = dg.define_asset_job(name, selection="*")
    definitions = dg.Definitions(assets=assets, jobs=[job])
    instance = dg.DagsterInstance.ephemeral()
    resolved = definitions.resolve_job_def(name)
    result = resolved.execute_in_process(instance=instance, raise_on_error=False)
    graph = definitions.get_repository_def().asset_graph
    return instance, result, accountable(graph)


def settings(home: Path):
    return load_settings({"CRM_HOME": str(home)})


def test_the_owner_is_the_assets_and_what_blocks_is_an_error():
    _, _, found = run("everything")
    assert {key.name: (a.owner, a.severity) for key, a in found.items()} == {
        "adds_up": ("team:a", "error"),
        "late": ("team:a", "warn"),
    }
    spec = dg.AssetCheckSpec("x", asset="table", metadata={"owner": "team:b"})

    @dg.multi_asset_check(specs=[spec])
    def x():
        yield dg.AssetCheckResult(passed=True)

    graph = dg.Definitions(asset_checks=[x]).get_repository_def().asset_graph
    assert list(accountable(graph).values()) == [Accountable("team:b", "warn", "")]


def test_a_refused_run_is_told_and_alerted_once_with_check_owner_and_what_stays(tmp_path):
    published = make(tmp_path)
    instance, result, answerable = run("everything")
    assert not result.success
    for _ in ("the command", "the sensor"):
        report_failure(settings(tmp_path), instance, result.dagster_run, answerable)
    [(run_id, _, job, outcome, reason)] = notices(published)
    assert result.run_id.startswith(run_id)
    assert (job, outcome) == ("everything", "refused")
    assert reason == "error: table: adds_up (team:a): It adds up."
    [alert] = alerts(tmp_path)
    assert alert["title"] == "run everything failed"
    assert alert["text"] == (
        f"run everything failed: {reason}. "
        "The publication of 2026-11-20 06:00 UTC, as of 2026-11-19 stays."
    )
    assert "late" not in alert["text"]


def test_a_broken_step_is_told_without_what_a_library_said(tmp_path):
    published = make(tmp_path)
    instance, result, answerable = run("refresh", passed=True, breaks=True)
    report_failure(settings(tmp_path), instance, result.dagster_run, answerable)
    [(_, _, _, outcome, reason)] = notices(published)
    assert outcome == "failed"
    assert reason == "table failed: see the run in the Dagster UI"
    assert "jane" not in alerts(tmp_path)[0]["text"]


@pytest.mark.parametrize(("job", "publishes"), [("try_one_asset", False), ("everything", True)])
def test_a_run_that_was_to_publish_nothing_or_did_publish_is_only_alerted(tmp_path, job, publishes):
    published = make(tmp_path)
    instance, result, answerable = run(job, publishes=publishes)
    report_failure(settings(tmp_path), instance, result.dagster_run, answerable)
    assert notices(published) == []
    assert len(alerts(tmp_path)) == 1


def test_a_first_run_that_fails_says_that_nothing_is_published(tmp_path):
    instance, result, answerable = run("everything")
    report_failure(settings(tmp_path), instance, result.dagster_run, answerable)
    assert alerts(tmp_path)[0]["text"].endswith("Nothing is published yet.")


def test_a_full_disk_does_not_hide_why_the_run_failed(tmp_path, monkeypatch, caplog):
    make(tmp_path)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crm_pipeline.defs.publication.swap.shutil.copyfile", full)
    instance, result, answerable = run("everything")
    report_failure(settings(tmp_path), instance, result.dagster_run, answerable)
    assert "No space left" in caplog.text
    assert len(alerts(tmp_path)) == 1


# --- warnings ---


def test_a_warning_is_alerted_when_it_is_new_and_not_again_while_unchanged(tmp_path):
    told = []
    for warns, unusual in [
        ((), ()),
        (("gate",), ()),
        (("gate",), ()),
        (("gate", "resembles_its_history"), ("volume",)),
        (("gate", "resembles_its_history"), ("volume", "freshness")),
        ((), ()),
        (("gate",), ()),
    ]:
        before = warnings_of(tmp_path / "published")
        make(tmp_path, warns=warns, unusual=unusual)
        told.append(tell_new_warnings(settings(tmp_path), before, run_id="1"))
    gate = "warn: raw.s__t: gate (team:a): n 3"
    volume, freshness = (
        f"warn: raw.s__t: resembles_its_history (team:a): {measure} 5, usual 1 to 2"
        for measure in ("volume", "freshness")
    )
    assert told == [[], [gate], [], [volume], [freshness], [], [gate]]
    assert [alert["title"] for alert in alerts(tmp_path)] == ["published with 1 new warning"] * 4


def test_a_run_that_warned_and_then_failed_alerts_both(tmp_path):
    make(tmp_path, warns=("gate",))
    instance, result, answerable = run("everything")
    tell_new_warnings(settings(tmp_path), {}, run_id=result.run_id)
    report_failure(settings(tmp_path), instance, result.dagster_run, answerable)
    assert len(alerts(tmp_path)) == 2
