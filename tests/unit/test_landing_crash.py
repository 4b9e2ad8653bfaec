"""kill -9 at any moment, then land again: the same state as without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from tests.unit.landing_support import Company, shop

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
from tests.unit.landing_support import Company, shop
{stop}
company = Company(Path(sys.argv[1]), shop())
print("ready", flush=True)
company.land()
print("done", flush=True)
"""
STOPS = {
    "before the archive": "archive.Archive.keep",
    "after the archive": "store.insert_content",
    "before the ledger": "ledger.append",
    "before the schema history": "schema_history.record_drift",
}


def deliver(company: Company, lines: int = 50) -> None:
    for number in range(4):
        rows = "".join(f"{number * lines + n},name {n},{n}\n" for n in range(lines))
        company.put(f"orders_{number}.csv", "id,name,amount\n" + rows + "bad,row,here\n")


def state(company: Company) -> tuple:
    return (
        company.rows(),
        company.accounts(),
        company.quarantine(),
        company.con.execute("select count(*) from landing.shop__orders").fetchone(),
        company.con.execute("select count(distinct file_name) from control.files").fetchone(),
        sorted(path.name for path in (company.home / "archive").rglob("*.gz")),
        list((company.home / "tmp").iterdir()),
    )


def expected_state(home: Path, lines: int = 50) -> tuple:
    home.mkdir()
    company = Company(home, shop())
    deliver(company, lines)
    company.land()
    result = state(company)
    company.con.close()
    return result


def start(home: Path, stop: str = "") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(stop=stop), str(home)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize("where", STOPS)
def test_killed_at_a_step(tmp_path, where):
    module, _, rest = STOPS[where].partition(".")
    owner, _, name = f"{module}.{rest}".rpartition(".")
    stop = f"""
import os, signal
from crm_pipeline.defs.landing import archive, ledger, schema_history, store
calls = []
plain = {owner}.{name}
def killed(*arguments, **named):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*arguments, **named)
{owner}.{name} = killed
"""
    wanted = expected_state(tmp_path / "whole")
    home = tmp_path / "killed"
    home.mkdir()
    company = Company(home, shop(), in_memory=True)
    deliver(company)
    process = start(home, stop)
    assert process.wait(60) == -signal.SIGKILL
    company.con = duckdb.connect(str(home / "warehouse.duckdb"))
    company.land()
    assert state(company) == wanted


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    lines = 60_000
    wanted = expected_state(tmp_path / "whole", lines)
    for number in range(25):
        home = tmp_path / f"killed{number}"
        home.mkdir()
        company = Company(home, shop(), in_memory=True)
        deliver(company, lines)
        process = start(home)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.08 * number)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
        company.con = duckdb.connect(str(home / "warehouse.duckdb"))
        company.land()
        assert state(company) == wanted
        company.con.close()
