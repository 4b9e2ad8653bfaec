"""A blocking check fails: the last good publication stays, says so, and somebody is told, once."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from crm_pipeline.defs.automation import run_failed
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import DEMO_COMPANY
from tests.pipeline.support import crm, environment, publication, published, refused, succeeded
from tests.pipeline.test_bad_input import put


def runs_since(home: Path) -> list[tuple]:
    with published(home) as db:
        return db.execute(
            "select run_id, job, outcome, reason from meta.runs_since order by ended_at"
        ).fetchall()


def failures(home: Path) -> list[dict]:
    log = home / "alerts.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return [alert for alert in map(json.loads, lines) if alert["title"].endswith("failed")]


def the_sensor_sees(home: Path, monkeypatch) -> str:
    """Evaluate `run_failed` on the home's last run; return the run's id."""
    for name, value in environment(home).items():
        if name.startswith("CRM_"):
            monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        run = instance.get_runs(limit=1)[0]
        logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failed",
            dagster_event=logs[-1].dagster_event,
            dagster_instance=instance,
            dagster_run=run,
        )
        run_failed(context.for_run_failure())
        return run.run_id


@pytest.mark.slow
def test_a_refused_run_leaves_the_publication_and_its_notice_goes_with_the_next_one(
    tiny_copy, monkeypatch
):
    home = tiny_copy
    assert runs_since(home) == []
    assert failures(home) == []
    before = publication(home)
    bad = put(home, "orders_2026-07.csv.gz", b"\x1f\x8b\x08\x00 cut short")
    refused(crm(home, "run"), code=1)
    assert publication(home) == before
    [(run_id, job, outcome, reason)] = runs_since(home)
    assert (job, outcome) == ("everything", "refused")
    assert "raw.demo__orders: every_record_accounted_for (team:data-platform)" in reason
    assert "orders_2026-07.csv.gz" in reason
    [alert] = failures(home)
    assert alert["run_id"].startswith(run_id)
    assert reason in alert["text"]
    with published(home) as db:
        built_at, as_of = db.execute("select built_at, as_of from meta.build").fetchone()
    assert (
        f"The publication of {built_at:%Y-%m-%d %H:%M} UTC, as of {as_of} stays." in alert["text"]
    )

    # the daemon's sensor sees the same run: nothing twice
    assert the_sensor_sees(home, monkeypatch).startswith(run_id)
    assert len(runs_since(home)) == len(failures(home)) == 1

    said = crm(home, "status")
    assert said.returncode == 1
    assert f"refused since: run {run_id} of everything" in said.stdout
    state = json.loads(crm(home, "status", "--json").stdout)
    assert [row["run_id"] for row in state["runs_since"]] == [run_id]

    for path in (bad, bad.with_name(bad.name + ".done")):
        path.unlink()
    succeeded(crm(home, "run"))
    assert runs_since(home) == []
    assert publication(home) == before
    assert len(failures(home)) == 1
    assert "refused since" not in succeeded(crm(home, "status"))


def test_a_first_publication_alerts_its_warnings_once(tiny_home):
    """The run above published again with the same warnings; here is the first."""
    lines = (tiny_home / "alerts.jsonl").read_text().splitlines()
    [alert] = map(json.loads, lines)
    with published(tiny_home) as db:
        failed = db.execute("select check_name from meta.quality where not passed").fetchall()
    assert set(failed) == {("candidate_earned_its_place",)}
    assert len(failed) > 2
    assert alert["title"] == f"published with {len(failed)} new warnings"
    assert "candidate_earned_its_place (team:data-science)" in alert["text"]


def test_every_check_shows_its_owner_and_every_enabled_table_its_bounds(tiny_home):
    with published(tiny_home) as db:
        assert db.execute(
            "select count(*) from meta.quality where owner not like 'team:%'"
        ).fetchone() == (0,)
        learned = db.execute(
            "select table_name, severity, passed from meta.quality "
            "where check_name = 'resembles_its_history' order by all"
        ).fetchall()
        bounds = db.execute(
            "select table_name, count(*), bool_and(is_within) from meta.check_bounds "
            "where source = 'demo' group by all order by all"
        ).fetchall()
    contracts = sources_from_manifest(ensure_manifest())
    tables = {source: [table.name for table in contracts[source].tables] for source in DEMO_COMPANY}
    named = sorted(f"raw.{source}__{name}" for source in DEMO_COMPANY for name in tables[source])
    assert [(table, severity) for table, severity, _ in learned] == [(n, "warn") for n in named]
    assert [table for table, _, passed in learned if not passed] == []
    assert [table for table, _, _ in bounds] == sorted(tables["demo"])
    assert all(count >= 3 and within for _, count, within in bounds)
