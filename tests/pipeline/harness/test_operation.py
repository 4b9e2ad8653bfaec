"""Days of operation end as one batch does; so do two runs started at one moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crm_pipeline.settings import CHECKOUT
from tests.pipeline.support import different, environment, publication, start_crm
from tests.pipeline.test_killed import fresh


def operate(home: Path, inbox: Path, hours: int) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.harness.two_days", str(inbox), str(hours)],
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
    home = tmp_path / "home"
    home.mkdir()
    said = operate(home, tiny_home / "inbox" / "demo", hours=48)
    print(said.splitlines()[-1])
    for run in ("refresh (files_arrived)", "refresh (daily_refresh)", "training (weekly_training)"):
        assert run in said.splitlines()[-1]
    assert different(publication(tiny_home), publication(home)) == []


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
