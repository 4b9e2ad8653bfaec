"""The commands on a finished home: asking, health, trying a file, taking one back."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from crm_pipeline.commands.status import last_runs, overdue
from crm_pipeline.settings import load_settings
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.support import copy_home, crm, published, succeeded
from tests.pipeline.test_bad_input import call

ROW = (
    "select date '2026-01-02' as day, 1.50::decimal(18,2) as amount, null as nothing, "
    "'a,\"b\"' as text, true as yes, 'inf'::double as endless, 'ü' as letter, "
    "timestamp '2026-01-02 10:00:00' as at, 12345678901234567.89::decimal(20,2) as large"
)


@pytest.fixture
def ask(tiny_home, monkeypatch, capsys):
    """Ask the published file as `crm query` does; return exit code, output, complaint."""

    def query(sql: str, form: str = "json") -> tuple[int, str, str]:
        code = call(tiny_home, monkeypatch, "query", sql, "--format", form)
        out = capsys.readouterr()
        return code, out.out, out.err

    return query


def test_query_prints_json_that_keeps_every_digit(ask):
    code, out, _ = ask(ROW)
    assert code == 0
    assert json.loads(out) == [
        {
            "day": "2026-01-02", "amount": 1.5, "nothing": None, "text": 'a,"b"', "yes": True,
            "endless": None, "letter": "ü", "at": "2026-01-02 10:00:00",
            "large": "12345678901234567.89",
        }
    ]  # fmt: skip


def test_query_prints_csv(ask):
    code, out, _ = ask(ROW, "csv")
    assert code == 0
    [header, row] = list(csv.reader(io.StringIO(out)))
    assert header[:3] == ["day", "amount", "nothing"]
    assert row[:5] == ["2026-01-02", "1.50", "", 'a,"b"', "true"]


def test_query_prints_a_table_of_the_real_thing(tiny_home):
    with published(tiny_home) as db:
        row = db.execute("select count(*) from marts.dim_customers").fetchone()
    out = succeeded(crm(tiny_home, "query", "select count(*) as n from marts.dim_customers"))
    assert row[0] >= 120
    assert str(row[0]) in out
    assert "│" in out


def test_query_of_nothing_is_an_empty_answer(ask):
    assert ask("select 1 as a where false") == (0, "[]\n", "")
    assert ask("select 1 as a where false", "csv") == (0, "a\n", "")


@pytest.mark.parametrize(
    "sql",
    [
        "delete from marts.dim_dates",
        "drop table meta.build",
        "create table t as select 1",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "copy (select 1) to '/tmp/x.csv'",
        "export database '/tmp/x'",
        "attach '/tmp/x.duckdb'",
        "install httpfs",
        "set lock_configuration = false",
        "set enable_external_access = true",
        "selec 1",
        "select nothing from marts.dim_dates",
        "select 'a'::integer",
        "select 1; drop table meta.build",
        "",
    ],
)
def test_query_refuses_what_is_no_question(ask, sql):
    for form in ("json", "csv", "table"):
        code, out, err = ask(sql, form)
        assert code == 2
        assert err.startswith("crm: ")
        assert out in ("", "a\n") or form == "csv"


def test_status_of_a_healthy_home(demo_home):
    out = succeeded(crm(demo_home, "status"))
    assert out.startswith("healthy, as of 2026-06-30")
    assert "ended: run" in out
    assert "champions: churn" in out
    assert "quarantine: demo.orders" in out


def test_status_as_json(tiny_home, monkeypatch, capsys):
    assert call(tiny_home, monkeypatch, "status", "--json") == 0
    state = json.loads(capsys.readouterr().out)
    assert state["healthy"] is True
    assert state["build"]["as_of"] == "2026-06-30"
    assert set(state["champions"]) == {"segments", "session_segments", "forecast"}
    assert {c["check_name"] for c in state["failed_checks"]} == {"candidate_earned_its_place"}
    assert {row["table_name"] for row in state["quarantine"]} >= {
        "customers", "order_items", "orders", "products", "returns", "tickets", "campaign_touches",
    }  # fmt: skip
    assert state["runs"]["ended"]["status"] == "success"


def test_overdue_tables_are_those_older_than_promised_or_never_seen():
    now = datetime.now(UTC).replace(tzinfo=None)
    landed = {"a.new": now - timedelta(hours=1), "a.old": now - timedelta(days=3)}
    rows = overdue(landed, {"a.new": 1, "a.old": 2, "a.never": 1})
    assert [row["table"] for row in rows] == ["a.never", "a.old"]
    assert rows[0]["age_days"] is None
    assert 2.9 < rows[1]["age_days"] < 3.1


def test_an_overdue_source_is_not_healthy(tiny_home, tmp_path, monkeypatch, capsys):
    """A contract that expects a file a day, in a home whose last one came a week ago."""
    monkeypatch.setattr(
        "crm_pipeline.commands.status.overdue",
        lambda *_: [{"table": "demo.orders", "expected_every_days": 1, "age_days": 7.0}],
    )
    assert call(tiny_home, monkeypatch, "status") == 1
    out = capsys.readouterr().out
    assert out.startswith("NOT HEALTHY")
    assert "overdue: demo.orders: 7.0 days old, expected every 1" in out


def run_of(home: Path, job_name: str, *, fails: bool) -> None:
    @dg.op
    def step() -> None:
        if fails:
            raise dg.Failure("the disk is full")

    job = dg.GraphDefinition(name=job_name, node_defs=[step]).to_job()
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        job.execute_in_process(instance=instance, raise_on_error=False)


def test_a_failed_run_is_not_healthy_until_one_succeeds(tiny_home, tmp_path, monkeypatch, capsys):
    """What is published is whole, but it is not what somebody meant to publish."""
    home = copy_home(tiny_home, tmp_path / "home")
    run_of(home, "refresh", fails=True)
    assert call(home, monkeypatch, "status") == 1
    assert "of refresh: failure" in capsys.readouterr().out
    run_of(home, "just_trying", fails=False)
    assert call(home, monkeypatch, "status") == 1
    run_of(home, "refresh", fails=False)
    assert call(home, monkeypatch, "status") == 0
    runs = last_runs(load_settings({"CRM_HOME": str(home)}))
    assert runs["running"] is None
    assert runs["ended"] is not None
    assert runs["ended"]["job"] == "refresh"


def test_a_file_can_be_tried_without_landing_it(tiny_home, tmp_path, monkeypatch, capsys):
    file = tmp_path / "demo" / "orders_2030-01.csv"
    file.parent.mkdir()
    file.write_text(
        "order_no,customer_no,ordered_at,channel,delivery_instruction\n"
        + "".join(f'"O{n}","K1","2026-06-01 10:00:00","web",\n' for n in range(9))
        + '"O10","K1","yesterday","web",\n'
    )
    before = (tiny_home / "warehouse.duckdb").read_bytes()
    assert call(tiny_home, monkeypatch, "source", "check", str(file)) == 0
    out = capsys.readouterr().out
    assert "ordered_at" in out
    assert "bad_type" in out
    assert (tiny_home / "warehouse.duckdb").read_bytes() == before
    file.write_text("a,b\n1,2\n")
    assert call(tiny_home, monkeypatch, "source", "check", str(file)) == 1


def test_a_sources_file_can_be_drafted(tmp_path, monkeypatch, capsys):
    file = tmp_path / "orders.csv"
    file.write_text("id;day;amount\n1;2026-01-02;1.50\n2;2026-01-03;2.25\n")
    assert call(tmp_path / "home", monkeypatch, "source", "draft", str(file)) == 0
    out = capsys.readouterr().out
    assert "version: 2" in out
    assert "data_type: date" in out
    assert 'delimiter: ";"' in out or "delimiter: ';'" in out


def test_a_retracted_file_no_longer_counts(tiny_home, tmp_path, monkeypatch, capsys):
    home = copy_home(tiny_home, tmp_path / "home")
    name = "orders_2026-06.csv"
    june = "select count(*) from raw.demo__orders where _file = ?"
    warehouse = LandedWarehouse(home, time_zone="UTC")
    assert warehouse.value(june, name) > 0
    assert call(home, monkeypatch, "retract", f"demo/{name}") == 0
    assert f"demo/{name} no longer counts in orders" in capsys.readouterr().out
    assert warehouse.value(june, name) == 0
    report = warehouse.land()
    assert {f.outcome for f in report.files if f.file_name == name} == {"retracted"}
    assert warehouse.value(june, name) == 0


@pytest.mark.slow
def test_after_a_retraction_the_next_run_publishes_without_the_file(tiny_copy):
    """The file named whose orders they were; the lines, which are in another, still count."""

    def orders() -> tuple[int, int]:
        with published(tiny_copy) as db:
            found = db.table("marts.fct_orders").aggregate("count(*), count(customer_key)")
            row = found.fetchone()
        assert row is not None
        return row

    before = orders()
    succeeded(crm(tiny_copy, "retract", "demo/orders_2025-12.csv.gz"))
    succeeded(crm(tiny_copy, "run"))
    after = orders()
    assert after[0] == before[0]
    assert after[1] < before[1]


def test_every_command_has_its_help(capsys, monkeypatch, tmp_path):
    for command in ("run", "demo", "sample", "source", "status", "query", "retract", "dev"):
        assert call(tmp_path, monkeypatch, command, "--help") == 0
        assert capsys.readouterr().out.startswith(f"usage: crm {command}")
