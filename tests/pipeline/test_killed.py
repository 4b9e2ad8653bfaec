"""Killed with -9 at any moment: the next run publishes what an undisturbed one publishes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from crm_pipeline.vault.keys import KEY_FILE
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.support import (
    crm,
    different,
    environment,
    publication,
    published,
    start_crm,
    succeeded,
)

LANDING = """
import sys
from pathlib import Path
from tests.pipeline.landed import LandedWarehouse
warehouse = LandedWarehouse(Path(sys.argv[1]))
print("ready", flush=True)
warehouse.land()
print("done", flush=True)
"""

LEDGER = (
    "select source, table_name, file_name, digest, rows_read, rows_accepted, rows_quarantined "
    "from control.current_contents join control.contents using (source, table_name, digest) "
    "order by all"
)


def fresh(home: Path, target: Path) -> Path:
    """Return a home with nothing but the inbox and the key of ``home``: tokens are the same."""
    shutil.copytree(home / "inbox", target / "inbox")
    if (home / KEY_FILE).exists():
        shutil.copy2(home / KEY_FILE, target)
    return target


def kill_landing(home: Path, seconds: float) -> bool:
    """Land in a process of its own and kill it after ``seconds``; return whether it was done."""
    process = subprocess.Popen(
        [sys.executable, "-c", LANDING, str(home)],
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.kill()
    process.wait()
    return "done" in process.stdout.read()


def contents(warehouse: LandedWarehouse) -> dict[str, list[tuple]]:
    """Ledger and rows of every landing table, without the times of landing."""
    with warehouse.connection() as db:
        tables = db.execute(
            "select table_name from duckdb_tables() where schema_name = 'landing' order by 1"
        ).fetchall()
        found = {"ledger": db.execute(LEDGER).fetchall()}
        for (table,) in tables:
            found[table] = db.execute(
                f"select count(*), sum(hash(t)::hugeint) from landing.{table} as t"
            ).fetchall()
    return found


@pytest.mark.slow
def test_landing_killed_again_and_again_loses_and_doubles_nothing(tiny_home, tmp_path):
    undisturbed = LandedWarehouse(fresh(tiny_home, tmp_path / "one"))
    started = time.monotonic()
    undisturbed.land()
    whole = time.monotonic() - started
    home = fresh(tiny_home, tmp_path / "two")
    done = [kill_landing(home, whole * share) for share in (0.05, 0.25)]
    assert not done[0], "the first kill came too late to test anything"
    killed = LandedWarehouse(home)
    killed.land()
    assert contents(killed) == contents(undisturbed)
    assert not list((home / "tmp").glob("landing-*"))


def kill_run(home: Path, after: str, seconds: float, *, group: bool = True) -> None:
    """Start ``crm run`` and kill it ``seconds`` after the line that names step ``after``."""
    process = start_crm(home, "run")
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if after in line:
            break
    else:
        raise AssertionError(f"no line names {after}:\n{''.join(said)}")
    time.sleep(seconds)
    assert process.poll() is None, "the run was over before the kill"
    (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    process.communicate()


def is_failed_run_recorded(home: Path) -> bool:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return any(run.status == dg.DagsterRunStatus.FAILURE for run in instance.get_runs())


@pytest.mark.slow
def test_a_run_killed_while_dbt_works_is_made_up_for_by_the_next(tiny_home, tmp_path):
    """Only the run dies: its dbt goes on for a moment, and the next run waits for that."""
    home = fresh(tiny_home, tmp_path / "home")
    kill_run(home, "control__run_settings", 1.0, group=False)
    assert not (home / "published" / "crm.duckdb").exists()
    out = succeeded(crm(home, "run"))
    assert "was killed before it ended" in out
    assert is_failed_run_recorded(home)
    assert different(publication(tiny_home), publication(home)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("crm: running", 3.0),
        ("land_files", 0.5),
        ("control__run_settings", 0.2),
        ("control__run_settings", 3.0),
        ("mart_truths", 0.5),
        ("models__churn_candidate", 0.1),
        ("models__segments_champion", 0.3),
        ("score_segments", 1.0),
        ("score_truths", 0.2),
        ("score_truths", 0.8),
    ],
)
def test_a_run_killed_at_any_stage(tiny_home, tmp_path, after, seconds):
    home = fresh(tiny_home, tmp_path / "home")
    kill_run(home, after, seconds)
    succeeded(crm(home, "run"))
    assert different(publication(tiny_home), publication(home)) == []


@pytest.mark.slow
def test_readers_see_only_whole_publications_while_runs_are_killed(tiny_copy):
    """Killed while it publishes: the old file stays, readable, with its Parquet."""
    before = publication(tiny_copy)
    for seconds in (0.1, 0.4, 0.7, 1.0):
        process = start_crm(tiny_copy, "run")
        assert process.stdout is not None
        for line in process.stdout:
            if "score_truths" in line:
                break
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with published(tiny_copy) as db:
                    assert db.execute("select count(*) from meta.build").fetchone() == (1,)
            except duckdb.Error as error:
                raise AssertionError(str(error)) from error
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert publication(tiny_copy) == before
