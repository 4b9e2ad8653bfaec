"""A full disk, a machine that lost its power: one clear message, and the next run mends it.

What a killed process leaves is in ``test_landing_crash.py``.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.landing import archive as archive_module
from crm_pipeline.defs.publication.swap import new_version, publish
from crm_pipeline.disk import is_full, plain_if_full
from crm_pipeline.errors import UserError
from tests.unit.landing_support import Company, shop
from tests.unit.test_landing_crash import CHECKOUT, state

SCRIPT = """
import resource, sys
from pathlib import Path
from crm_pipeline.errors import UserError
from tests.unit.landing_support import Company, shop
company = Company(Path(sys.argv[1]), shop())
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    company.land()
except UserError as error:
    print(error)
    sys.exit(2)
"""
COLUMNS = """
- {name: id, data_type: bigint, config: {meta: {required: true}}}
- {name: name, data_type: varchar}
- {name: amount, data_type: double}
"""


def deliver(company: Company, lines: int = 30_000) -> None:
    rnd = random.Random(1)
    for number in range(3):
        rows = "".join(
            f"{number * lines + n},name {rnd.random()},{n}\n" for n in range(lines)
        )  # fmt: skip
        company.put(f"orders_{number}.csv", "id,name,amount\n" + rows)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple:
    company = Company(tmp_path_factory.mktemp("whole"), shop())
    deliver(company)
    company.land()
    return state(company)


def check_message(text: str, home: Path) -> None:
    assert text.startswith(f"nothing more can be written below {home}: its disk is full (")
    assert "Make room there, or move CRM_HOME to a larger disk, then run again" in text
    assert len(text.splitlines()) == 1


# 10 kB: DuckDB's own tables; 200 and 500 kB: the scratch copy, the archive; above: the log
@pytest.mark.parametrize("limit", [10_000, 200_000, 500_000, 900_000, 1_300_000, 2_200_000])
def test_a_file_that_cannot_grow(tmp_path, undisturbed, limit):
    company = Company(tmp_path, shop(), in_memory=True)
    deliver(company)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(limit)],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    check_message(done.stdout.strip(), tmp_path)
    company.con = duckdb.connect(str(tmp_path / "warehouse.duckdb"))
    assert company.land().is_ok
    assert state(company) == undisturbed


FULL_DISK = """
set -e
mount -t tmpfs -o size={size} tmpfs {home}
cp -a {inbox} {home}/inbox
{python} -c '{script}' {home} 0 && exit 9 || [ $? = 2 ]
mount -o remount,size=64m {home}
{python} -c '{script}' {home} 0
rm -rf {home}/inbox
cp -a {home}/. {result}
"""


@pytest.mark.parametrize("size", ["5m", "8m", "11m"])
def test_a_disk_that_is_full(tmp_path, undisturbed, size):
    """The real thing, on a small disk of its own: for this one has to be root."""
    home, result, delivered = (tmp_path / name for name in ("home", "result", "delivered"))
    for folder in (home, result, delivered):
        folder.mkdir()
    company = Company(delivered, shop(), in_memory=True)
    deliver(company)
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    script = FULL_DISK.format(
        size=size, home=home, inbox=delivered / "inbox", result=result,
        python=sys.executable, script=SCRIPT,
    )  # fmt: skip
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check_message(done.stdout.strip(), home)
    company = Company(result, shop())
    assert state(company) == undisturbed


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        duckdb.IOException('Could not write file "x": No space left on device'),
        duckdb.OutOfMemoryException("failed to offload ... max_temp_directory_size"),
    ],
)
def test_what_is_told_as_a_full_disk(tmp_path, fault):
    with pytest.raises(UserError, match="its disk is full"), plain_if_full(tmp_path):
        raise fault
    # what is met while cleaning up must not hide it
    later = duckdb.FatalException("database has been invalidated")
    later.__context__ = fault
    with pytest.raises(UserError, match="its disk is full"), plain_if_full(tmp_path):
        raise later


@pytest.mark.parametrize("fault", [OSError(errno.EACCES, "no"), duckdb.IOException("no")])
def test_other_faults_stay_what_they_are(tmp_path, fault):
    assert not is_full(fault)
    with pytest.raises(type(fault)), plain_if_full(tmp_path):
        raise fault


# A machine that loses its power


class Disk:
    """What of each file would be left after a power cut: what was fsynced."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.safe: dict[tuple[int, int], int] = {}
        self.events: list[tuple[str, Path]] = []
        fsync, replace = os.fsync, os.replace

        def traced_fsync(descriptor: int) -> None:
            fsync(descriptor)
            status = os.fstat(descriptor)
            self.safe[status.st_dev, status.st_ino] = status.st_size
            self.events.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink()))

        def traced_replace(source, target, **named) -> None:
            replace(source, target, **named)
            self.events.append(("replace", Path(target)))

        patch.setattr(os, "fsync", traced_fsync)
        patch.setattr(os, "replace", traced_replace)

    def cut_the_power(self, folder: Path) -> list[Path]:
        """Truncate every file below ``folder`` to what had been fsynced; return those cut."""
        cut = []
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                size = self.safe.get((status.st_dev, status.st_ino), 0)
                if size < status.st_size:
                    path.chmod(0o644)
                    os.truncate(path, size)
                    cut.append(path)
        return cut


@pytest.fixture
def disk(monkeypatch) -> Disk:
    return Disk(monkeypatch)


def test_what_is_archived_survives_a_power_cut(tmp_path, disk):
    company = Company(tmp_path, shop())
    company.put("orders.csv", "id,name,amount\n1,Ann,2\n")
    company.land()
    [kept] = (tmp_path / "archive").rglob("*.gz")
    at = disk.events.index(("replace", kept))
    assert disk.events[at - 1][0] == "fsync"  # the file, under its scratch name
    assert disk.events[at + 1] == ("fsync", kept.parent)
    assert disk.cut_the_power(tmp_path / "archive") == []
    company.remove("orders.csv")
    company.contracts = shop(COLUMNS)
    assert company.land().is_ok
    assert company.rows("id, amount") == [(1, 2.0)]


def test_without_the_fsync_the_test_above_would_fail(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(archive_module.os, "fsync", lambda descriptor: None)
    company = Company(tmp_path, shop())
    company.put("orders.csv", "id,name,amount\n1,Ann,2\n")
    company.land()
    assert len(disk.cut_the_power(tmp_path / "archive")) == 1


def test_what_is_published_survives_a_power_cut(tmp_path, disk):
    version = new_version(tmp_path)
    (version / "parquet" / "marts").mkdir(parents=True)
    (version / "parquet" / "marts" / "t.parquet").write_bytes(b"x" * 100_000)
    with duckdb.connect(str(version / "crm.duckdb")) as con:
        con.execute("create table t as select 1 as n")
    publish(tmp_path, version)
    named = disk.events.index(("replace", tmp_path / ".current"))
    before = {path for kind, path in disk.events[:named] if kind == "fsync"}
    everything = {version, *version.rglob("*")}
    assert everything <= before
    assert ("fsync", tmp_path) in disk.events[named:]
    assert disk.cut_the_power(tmp_path) == []


@pytest.fixture
def landed(tmp_path) -> Company:
    company = Company(tmp_path, shop())
    company.put("orders.csv", "id,name,amount\n" + "".join(f"{n},Ann {n},2\n" for n in range(999)))
    company.land()
    return company


def stored_rows(company: Company) -> list[tuple]:
    return company.con.execute("select * from landing.shop__orders order by all").fetchall()


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    if kind == "another file":
        path.write_bytes(b"id,name,amount\n1,Ann,2\n")
    elif kind == "emptied":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        middle = len(data) // 2
        wrong = bytes(byte ^ 255 for byte in data[middle : middle + 8])
        path.write_bytes(data[:middle] + wrong + data[middle + 8 :])


@pytest.mark.parametrize("kind", ["truncated", "emptied", "bytes flipped", "another file"])
def test_a_damaged_archive_copy_is_not_used(landed, kind):
    [kept] = (landed.home / "archive").rglob("*.gz")
    whole = shutil.copy(kept, landed.home / "whole")
    damage(kept, kind)
    landed.remove("orders.csv")
    before = stored_rows(landed)
    landed.contracts = shop(COLUMNS)
    report = landed.land()
    assert not report.is_ok
    message = report.tables["shop__orders"].message
    assert "orders.csv is neither archived nor in inbox/shop/ as it landed" in message
    assert "its archived copy is damaged" in message
    assert stored_rows(landed) == before
    shutil.copy(whole, kept)
    assert landed.land().is_ok
    assert len(landed.rows()) == 999


def test_a_damaged_archive_copy_is_mended_from_the_inbox(landed):
    [kept] = (landed.home / "archive").rglob("*.gz")
    whole = kept.read_bytes()
    damage(kept, "truncated")
    landed.contracts = shop(COLUMNS)
    assert landed.land().is_ok
    assert kept.read_bytes() == whole
    landed.remove("orders.csv")
    landed.contracts = shop()
    assert landed.land().is_ok
    assert len(landed.rows()) == 999
