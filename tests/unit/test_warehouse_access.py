"""The doors to the warehouse: one process at a time, whatever became of the last one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.dbt_command import DBT_LOCK, PROJECT, RUN_BY
from crm_pipeline.errors import UserError
from crm_pipeline.resources.warehouse import Warehouse, exclusive

BIN = Path(sys.executable).parent

HOLDER = """
import sys, time
from pathlib import Path
from crm_pipeline.resources.warehouse import exclusive
with exclusive(Path(sys.argv[1]), wait_seconds=0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(
        path=str(tmp_path / "w.duckdb"), scratch=str(tmp_path), memory_limit="1GB",
        wait_seconds=0.3,
    )  # fmt: skip


def hold(lock: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_written_rows_are_read(warehouse):
    with warehouse.writer() as db:
        db.execute("create table t as select 1 as n")
    with warehouse.reader() as db:
        assert db.execute("select n from t").fetchone() == (1,)
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            db.execute("insert into t values (2)")


def test_sessions_agree_on_the_time_zone(warehouse):
    with warehouse.writer() as db:
        assert db.execute("select current_setting('TimeZone')").fetchone() == ("UTC",)


def test_no_extension_is_fetched(warehouse):
    with warehouse.writer() as db:
        for name in ("autoinstall_known_extensions", "autoload_known_extensions"):
            assert db.execute(f"select current_setting('{name}')").fetchone() == (False,)


def test_reading_before_anything_landed_names_the_remedy(warehouse):
    with pytest.raises(UserError, match="no warehouse yet"), warehouse.reader():
        pass


def test_another_process_is_waited_for_then_named_and_a_dead_one_holds_nothing(warehouse, tmp_path):
    lock = tmp_path / "w.duckdb.lock"
    process = hold(lock)
    try:
        with (
            pytest.raises(UserError, match=r"another process holds w\.duckdb\.lock"),
            warehouse.writer(),
        ):
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with warehouse.writer() as db:
        db.execute("create table t as select 1 as n")


def test_dbt_that_outlives_its_killed_run_is_waited_for(warehouse, tmp_path):
    process = hold(tmp_path / f"w.duckdb{DBT_LOCK}")
    try:
        with pytest.raises(UserError, match=r"holds w\.duckdb\.dbt\.lock"), warehouse.slot():
            pass
    finally:
        process.kill()
        process.wait()
    with warehouse.slot():
        pass


def test_waiting_ends_when_the_lock_is_free(tmp_path):
    lock = tmp_path / "lock"
    process = hold(lock)
    started = time.monotonic()
    process.kill()
    with exclusive(lock, wait_seconds=10):
        process.wait()
    assert time.monotonic() - started < 5


def test_an_error_inside_closes_the_file(warehouse):
    with pytest.raises(ZeroDivisionError), warehouse.writer():
        _ = 1 / 0
    with warehouse.writer() as db:
        assert db.execute("select 1").fetchone() == (1,)


def test_a_publication_cannot_change_the_warehouse(warehouse, tmp_path):
    with warehouse.writer() as db:
        db.execute("create table t as select 1 as n")
    with warehouse.publishing(tmp_path / "p.duckdb") as db:
        db.execute("create table t as select n + 1 as n from w.t")
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            db.execute("delete from w.t")
    with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as db:
        assert db.execute("select n from t").fetchone() == (2,)
    assert not (tmp_path / "p.duckdb.wal").exists()


@pytest.mark.parametrize("waits", [True, False])
def test_dbt_builds_only_for_a_run_that_waits_for_it(tmp_path, waits):
    """A run killed while its dbt still starts: the next run may be at work by then."""
    run_by = os.getpid() if waits else 1
    result = subprocess.run(
        [str(BIN / "crm-dbt"), "run-operation", "no_such_macro", f"{RUN_BY}{run_by}"],
        env=os.environ | {"CRM_WAREHOUSE": str(tmp_path / "w.duckdb")},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert ("is gone" in result.stderr) is not waits
    assert ("no_such_macro" in result.stdout) is waits
