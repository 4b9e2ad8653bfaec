"""Days of operation end as one batch does; so do two runs started at one moment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crm_pipeline.settings import CHECKOUT
from crm_pipeline.vault.keys import KEY_FILE
from tests.pipeline.support import different, environment, publication, start_crm
from tests.pipeline.test_killed import fresh

WHOLE = 20
"""Histories that go through whole Dagster runs."""


def new_home(home: Path, of: Path) -> Path:
    """An empty home of the same company: tokens depend on its key."""
    home.mkdir()
    shutil.copy2(of / KEY_FILE, home)
    return home


def operate(module: str, home: Path, *arguments: object) -> str:
    result = subprocess.run(
        [sys.executable, "-m", f"tests.pipeline.harness.{module}", *map(str, arguments)],
        env=environment(home),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-4000:]}"
    return result.stdout


@pytest.mark.slow
def test_two_days_of_operation_end_as_one_batch_does(tiny_home, tmp_path):
    """A file an hour, late, out of order, corrected; five hours without the daemon."""
    home = new_home(tmp_path / "home", tiny_home)
    said = operate("two_days", home, tiny_home / "inbox", 48)
    print(said.splitlines()[-1])
    for run in ("refresh (files_arrived)", "refresh (daily_refresh)", "training (weekly_training)"):
        assert run in said.splitlines()[-1]
    operate("two_days", home, "train-anew")
    assert different(publication(tiny_home), publication(home)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(WHOLE))
def test_histories_through_whole_runs(seed, tiny_home, tmp_path):
    """Three refreshes, or one of the files that count: the same Parquet, scores included."""
    inbox = tiny_home / "inbox"
    homes = {way: new_home(tmp_path / way, tiny_home) for way in ("one-by-one", "at-once")}
    for way, home in homes.items():
        operate("whole_runs", home, inbox, seed, way)
    assert different(*(publication(home) for home in homes.values())) == []


@pytest.mark.slow
def test_two_runs_at_the_same_moment(tiny_home, tmp_path):
    """One follows the other, or says why not; together they are one run."""
    home = fresh(tiny_home, tmp_path / "home")
    runs = [start_crm(home, "run") for _ in range(2)]
    for run in runs:
        out, err = run.communicate()
        assert "Traceback" not in out + err
        assert run.returncode == 0, out + err
    assert different(publication(tiny_home), publication(home)) == []
