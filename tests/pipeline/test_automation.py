"""Jobs, schedules and sensors: what starts by itself, when, and what it may touch."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from crm_pipeline.defs.automation import (
    daily_refresh,
    files_arrived,
    models_drifted,
    run_failed,
    weekly_training,
)
from crm_pipeline.defs.modelling import registered
from crm_pipeline.defs.publication.meta_tables import META_TABLES
from tests.pipeline.support import environment

NAME = "orders_2026-01.csv"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the sensors look."""
    for name, value in environment(tmp_path).items():
        if name.startswith("CRM_"):
            monkeypatch.setenv(name, value)
    (tmp_path / "inbox" / "demo").mkdir(parents=True)
    return tmp_path


def put(home: Path, text: str, name: str = NAME, *, complete: bool = True) -> None:
    file = home / "inbox" / "demo" / name
    file.write_text(text)
    if complete:
        file.with_name(name + ".done").touch()


def landed(home: Path, text: str, landings: int, name: str = NAME) -> None:
    """Leave the index as landing would (its own tests say that it does)."""
    import hashlib

    digest = hashlib.sha256(text.encode()).hexdigest()
    index = {f"demo/{name}": {"digest": digest, "landings": landings}}
    (home / "landed.json").write_text(json.dumps(index))


def tick(cursor: str | None = None) -> dg.SensorResult:
    result = files_arrived(dg.build_sensor_context(cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    return result


def keys(result: dg.SensorResult) -> list[str | None]:
    return [request.run_key for request in result.run_requests or []]


def test_an_empty_inbox_requests_nothing(home):
    result = tick()
    assert keys(result) == []
    assert "no complete file" in str(result.skip_reason)


def test_a_complete_file_requests_one_run_and_an_unchanged_one_keeps_its_key(home):
    put(home, "one")
    first = tick()
    [key] = keys(first)
    assert key.startswith(f"demo/{NAME}:")
    assert key.endswith(":0")
    assert keys(tick(first.cursor)) == [key]


def test_a_file_that_is_still_being_written_is_left_alone(home):
    put(home, "one", complete=False)
    assert keys(tick()) == []


def test_what_landed_is_skipped(home):
    put(home, "one")
    landed(home, "one", 1)
    assert keys(tick()) == []


def test_a_changed_file_and_a_return_to_older_content_are_new_keys(home):
    put(home, "one")
    seen = keys(tick())
    landed(home, "one", 1)
    put(home, "two")
    seen += keys(tick())
    landed(home, "two", 2)
    put(home, "one")
    seen += keys(tick())
    assert len(seen) == len(set(seen)) == 3


def test_several_files_are_one_run(home):
    put(home, "one")
    put(home, "two", "orders_2026-02.csv")
    [key] = keys(tick())
    assert key.startswith("2 files:")
    put(home, "three", "orders_2026-03.csv")
    assert keys(tick()) != [key]


def test_the_cursor_saves_reading_a_file_twice_and_forgets_what_is_gone(home):
    put(home, "one")
    cursor = json.loads(tick().cursor)
    assert [name.rpartition(":")[0].rpartition(":")[0] for name in cursor] == [f"demo/{NAME}"]
    forged = json.dumps(dict.fromkeys(cursor, "f" * 64))
    assert "ffff" in keys(tick(forged))[0]
    (home / "inbox" / "demo" / NAME).unlink()
    assert json.loads(tick(forged).cursor) == {}


def test_files_of_sources_that_are_not_enabled_start_nothing(home):
    folder = home / "inbox" / "cdnow"
    folder.mkdir()
    (folder / "CDNOW_master.txt").write_text("x")
    (folder / "CDNOW_master.txt.done").touch()
    assert keys(tick()) == []


def failed_run() -> tuple[dg.DagsterInstance, dg.ExecuteInProcessResult]:
    @dg.op
    def breaks() -> None:
        raise dg.Failure("the disk is full")

    @dg.job
    def nightly() -> None:
        breaks()

    instance = dg.DagsterInstance.ephemeral()
    return instance, nightly.execute_in_process(instance=instance, raise_on_error=False)


def test_a_failed_run_is_written_down_and_posted(home, monkeypatch):
    posted: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("CRM_ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/")
    instance, result = failed_run()
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failed",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    )
    run_failed(context.for_run_failure())
    server.shutdown()
    server.server_close()
    [line] = (home / "alerts.jsonl").read_text().splitlines()
    assert posted == [json.loads(line)]
    assert posted[0]["title"] == "run nightly failed"
    assert posted[0]["run_id"] == result.run_id


def test_schedules_request_one_run_each():
    for schedule in (daily_refresh, weekly_training):
        with dg.build_schedule_context() as context:
            data = schedule.evaluate_tick(context)
        assert len(data.run_requests) == 1


def test_schedules_follow_the_settings(tmp_path):
    code = (
        "from crm_pipeline.defs.automation import daily_refresh as d, weekly_training as w; "
        "print(d.cron_schedule, '|', d.execution_timezone, '|', w.cron_schedule, '|', "
        "w.execution_timezone)"
    )
    settings = {
        "CRM_TIMEZONE": "Europe/Berlin",
        "CRM_REFRESH_CRON": "30 6 * * *",
        "CRM_TRAINING_CRON": "0 2 * * 6",
    }
    out = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert out == "30 6 * * * | Europe/Berlin | 0 2 * * 6 | Europe/Berlin"


def test_everything_is_off_until_somebody_switches_it_on(repository):
    for thing in [*repository.schedule_defs, *repository.sensor_defs]:
        assert "STOPPED" in str(thing.default_status), thing.name


def selected(repository: dg.RepositoryDefinition, job: str) -> set[str]:
    layer = repository.get_job(job).asset_layer
    return {key.to_user_string() for key in layer.selected_asset_keys}


def test_every_job_publishes_and_each_selects_what_it_says(repository):
    everything = selected(repository, "everything")
    graph = repository.asset_graph
    assert everything == {key.to_user_string() for key in graph.get_all_asset_keys()}
    refresh = selected(repository, "refresh")
    assert everything - refresh == {name for name in everything if name.startswith("models/")}
    training = selected(repository, "training")
    made = {f"scores/{t}" for m in registered.MODELS for t in (m.table, *m.further)}
    assert made | {name for name in everything if name.startswith("models/")} <= training
    assert not {name for name in training if name.startswith(("raw/", "staging/", "control/run"))}
    assert "marts/customer_360" in training
    for job in (everything, refresh, training):
        assert "published/crm_duckdb" in job


def test_every_job_runs_the_checks_of_what_it_makes(repository):
    for job in ("everything", "refresh", "training"):
        layer = repository.get_job(job).asset_layer
        expected = {
            key
            for key in repository.asset_graph.asset_check_keys
            if key.asset_key in layer.selected_asset_keys
        }
        assert expected <= set(layer.asset_graph.asset_check_keys), job


# --- models that are wanting ------------------------------------------------------------------


def publish_monitoring(home: Path, drift: list[tuple], grades: list[tuple]) -> None:
    """Leave a published file whose monitoring says this, of champion churn v2."""
    file = home / "published" / "crm.duckdb"
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    with duckdb.connect(str(file)) as con:
        con.execute("create schema meta")
        con.execute('create table meta.build as select \'{"churn": "v2"}\' as champions')
        for name, given in (("model_drift", drift), ("model_scorecard", grades)):
            columns = ", ".join(f"{c} {t}" for c, t in META_TABLES[name].types.items())
            con.execute(f"create table meta.{name} ({columns})")
            for row in given:
                marks = ", ".join("?" for _ in row)
                con.execute(f"insert into meta.{name} values ({marks})", list(row))


def drifted(version: str, reading: str) -> tuple:
    return ("churn", version, "2026-01-31", "2026-06-30", 0.3, reading)


def off(version: str, as_of: str, value: float) -> tuple:
    return ("churn", version, as_of, 90, "is_off", value, None)


@pytest.mark.parametrize(
    ("drift", "grades", "asked"),
    [
        ([], [], []),
        ([drifted("v2", "noticeable")], [off("v2", "2026-01-31", 0)], []),
        ([drifted("v2", "drifted")], [], ["churn v2 drifted 2026-06-30"]),
        ([], [off("v2", "2026-01-31", 1)], ["churn v2 off 2026-01-31"]),
        # an older grade, and those of a version that rules no more, ask for nothing
        ([], [off("v2", "2026-01-31", 1), off("v2", "2026-02-28", 0)], []),
        ([drifted("v1", "drifted")], [off("v1", "2026-01-31", 1)], []),
        (
            [drifted("v2", "drifted")],
            [off("v2", "2026-01-31", 1)],
            ["churn v2 drifted 2026-06-30,churn v2 off 2026-01-31"],
        ),
    ],
)
def test_a_wanting_champion_asks_for_one_training(home, drift, grades, asked):
    publish_monitoring(home, drift, grades)
    result = models_drifted(dg.build_sensor_context())
    assert isinstance(result, dg.SensorResult)
    assert keys(result) == asked


def test_without_a_publication_nothing_is_wanting(home):
    assert keys(models_drifted(dg.build_sensor_context())) == []
