"""``crm doctor`` on a real home: silent while it is well; each fault is found, mended or not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from crm_pipeline.activation.ledger import open_ledger
from crm_pipeline.defs.publication import swap
from crm_pipeline.repair import contents, doctor, home, vault
from crm_pipeline.resources.leaks import PROCESS_TAG
from crm_pipeline.resources.warehouse import WRITER_POOL, exclusive
from crm_pipeline.settings import Settings, load_settings
from tests.pipeline.support import crm, published, refused
from tests.pipeline.test_bad_input import call

HOLDER = """
import sys, time
from pathlib import Path
from crm_pipeline.resources.warehouse import exclusive
with exclusive(Path(sys.argv[1]), wait_seconds=0):
    print("held", flush=True)
    time.sleep(120)
"""


def settings_of(folder: Path) -> Settings:
    return load_settings({"CRM_HOME": str(folder)})


def said(folder: Path) -> list[str]:
    return [str(finding) for finding in doctor.examine(settings_of(folder), 0.3).findings]


def write(folder: Path, *statements: str) -> None:
    with duckdb.connect(str(folder / "warehouse.duckdb")) as db:
        for statement in statements:
            db.execute(statement)


def publish_again(folder: Path) -> None:
    """Make a second publication, of files of its own."""
    place = folder / "published"
    version = swap.new_version(place)
    current = swap.current_version(place)
    assert current is not None
    shutil.copytree(current, version, dirs_exist_ok=True)
    swap.publish(place, version)


def replace(file: Path, content: bytes) -> None:
    """Put another file in its place: the old one may have a second name."""
    file.unlink()
    file.write_bytes(content)


def damage(file: Path) -> None:
    content = file.read_bytes()
    middle = len(content) // 2
    replace(file, content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])


def current(folder: Path) -> Path:
    found = swap.current_version(folder / "published")
    assert found is not None
    return found


def claim(folder: Path) -> None:
    """Leave a run that was killed and holds the writer's slot."""
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:

        @dg.job
        def nightly() -> None:
            """Do nothing."""

        run = instance.create_run_for_job(
            nightly, tags={PROCESS_TAG: "gone"}, status=dg.DagsterRunStatus.STARTED
        )
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default(WRITER_POOL)
        storage.claim_concurrency_slot(WRITER_POOL, run.run_id, "step")
        lock = folder / "dagster" / "alive" / "gone"
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
        os.utime(lock, (time.time() - 120,) * 2)


def leave(name: str) -> Callable[[Path], None]:
    """Leave a folder with a file."""

    def do(folder: Path) -> None:
        (folder / name).mkdir(parents=True)
        (folder / name / "part").write_text("half")

    return do


def leave_link(folder: Path) -> None:
    (folder / "published" / ".current.new").symlink_to(".versions/000009")


def leave_upload(folder: Path) -> None:
    file = folder / "inbox" / "demo" / "orders_2030-01.csv.part"
    file.write_text("order_no")
    os.utime(file, (time.time() - 7200,) * 2)


def archived(folder: Path) -> Path:
    return sorted((folder / "archive" / "demo" / "orders").glob("*.gz"))[0]


def drop_archived_and_inbox(folder: Path) -> None:
    archived(folder).unlink()
    shutil.rmtree(folder / "inbox" / "demo")


def damage_publication(folder: Path) -> None:
    publish_again(folder)
    damage(current(folder) / "parquet" / "marts" / "fct_orders.parquet")


def damage_only_publication(folder: Path) -> None:
    for version in swap.versions(folder / "published"):
        damage(version / "parquet" / "marts" / "fct_orders.parquet")


def change_database(folder: Path) -> None:
    """The file opens, and is another than its Parquet."""
    publish_again(folder)
    file = current(folder) / swap.FILE
    file.chmod(0o644)
    with duckdb.connect(str(file)) as db:
        db.execute("update marts.fct_orders set gross_amount = gross_amount + 1")
    file.chmod(0o444)


def truncate_database(folder: Path) -> None:
    publish_again(folder)
    file = current(folder) / swap.FILE
    replace(file, file.read_bytes()[:9000])
    file.chmod(0o444)


def damage_older(folder: Path) -> None:
    publish_again(folder)
    damage(swap.versions(folder / "published")[-2] / "parquet" / "marts" / "fct_orders.parquet")


def lose_link(folder: Path) -> None:
    (folder / "published" / ".current").unlink()


def move_link_back(folder: Path) -> None:
    older = current(folder)
    publish_again(folder)
    swap.point_at(folder / "published", older)


def lose_digests(folder: Path) -> None:
    publish_again(folder)
    (current(folder) / swap.DIGESTS).unlink()


def skops(folder: Path) -> Path:
    return next((folder / "mlflow").rglob("*.skops"))


def lose_models(folder: Path) -> None:
    for file in (folder / "mlflow").rglob("*.skops"):
        file.unlink()


TABLE = "landing.demo__orders"
MENDED = {
    "a killed run": (claim, "was killed and is recorded as running"),
    "what landing left": (leave("tmp/landing-x"), "tmp/landing-x was left by a killed process"),
    "a half publication": (leave("published/.versions/000099"), "000099 was left by a killed run"),
    "a link not moved": (leave_link, ".current.new was left by a killed run"),
    "a half backup": (leave("backups/.unfinished-x"), "backups/.unfinished-x is a backup that was"),
    "an archive copy damaged": (
        lambda f: damage(archived(f)),
        "the archive's copy of demo/orders_",
    ),
    "an archive copy gone": (lambda f: archived(f).unlink(), "is missing"),
    "Parquet damaged": (damage_publication, "fct_orders.parquet has changed"),
    "the file is another": (change_database, "crm.duckdb differs from parquet/marts/fct_orders"),
    "the file truncated": (truncate_database, "crm.duckdb cannot be read"),
    "an older one damaged": (damage_older, "kept to go back to, is damaged"),
    "the link lost": (lose_link, "published/.current leads nowhere"),
    "an entry lost": (
        lambda f: (f / "published" / "parquet").unlink(),
        "published/parquet does not",
    ),
    "a log": (lambda f: (f / "published/crm.duckdb.wal").write_text("x"), "DuckDB would replay it"),
    "writable": (lambda f: (current(f) / swap.FILE).chmod(0o644), "can be written"),
    "an older schema": (lambda f: write(f, "drop table control.schema_version"), "version 0, this"),
}
LEFT = {
    "an upload": (leave_upload, "orders_2030-01.csv.part has not grown"),
    "no copy to be had": (drop_archived_and_inbox, "is missing: `crm restore` a backup"),
    "no good publication": (damage_only_publication, "publish anew with `crm run`"),
    "no digests": (lose_digests, "cannot be verified"),
    "one above": (move_link_back, "lies above the one that readers see: `crm rollback --to"),
    "a row lost": (
        lambda f: write(f, f"delete from {TABLE} where rowid = (select min(rowid) from {TABLE})"),
        "demo.orders stores",
    ),
    "rows doubled": (lambda f: write(f, f"insert into {TABLE} from {TABLE} limit 3"), "stores"),
    "a content lost": (
        lambda f: write(
            f,
            "delete from control.contents where table_name = 'returns'",
        ),
        "holds nothing of returns_",
    ),
    "a fault lost": (lambda f: write(f, "delete from control.quarantine"), "quarantine holds 0"),
    "a newer schema": (
        lambda f: write(f, "update control.schema_version set version = 99"),
        "schema version 99, written by a newer",
    ),
    "a truncated warehouse": (
        lambda f: replace(f / "warehouse.duckdb", (f / "warehouse.duckdb").read_bytes()[:9000]),
        "the warehouse cannot be opened",
    ),
    "a damaged model": (lambda f: damage(skops(f)), "model is gone or not"),
    "a lost model": (lose_models, "model is gone or not"),
    "a damaged database of models": (
        lambda f: replace(f / "mlflow" / "mlflow.db", b"x" * 9000),
        "mlflow/mlflow.db cannot be read",
    ),
}


def test_a_home_that_is_well_is_well(tiny_home):
    assert said(tiny_home) == []


TOGETHER = (
    "Parquet damaged",  # first, because a publication clears away what half ones left
    "a killed run", "what landing left", "a half publication", "a link not moved",
    "a half backup", "an archive copy damaged", "an entry lost", "a log", "an older schema",
)  # fmt: skip


def test_many_faults_at_once_are_found_and_mended(tiny_copy):
    for case in TOGETHER:
        MENDED[case][0](tiny_copy)
    found = doctor.examine(settings_of(tiny_copy), 0.3)
    lines = "\n".join(str(finding) for finding in found.findings)
    assert [case for case in TOGETHER if MENDED[case][1] not in lines] == []
    done = doctor.mend(found)
    assert all(line.startswith("mended: ") for line in done), done
    assert said(tiny_copy) == []


def test_many_faults_that_are_the_users_are_found(tiny_copy):
    together = ("an upload", "one above", "a row lost", "a content lost", "a damaged model")
    for case in together:
        LEFT[case][0](tiny_copy)
    lines = "\n".join(said(tiny_copy))
    assert [case for case in together if LEFT[case][1] not in lines] == []


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(MENDED))
def test_a_fault_is_found_and_mended_and_then_gone(tiny_copy, case):
    harm, words = MENDED[case]
    harm(tiny_copy)
    found = doctor.examine(settings_of(tiny_copy), 0.3)
    lines = [str(finding) for finding in found.findings]
    assert any(words in line for line in lines), lines
    assert all(finding.remedy and finding.mend for finding in found.findings), lines
    done = doctor.mend(found)
    assert all(line.startswith("mended: ") for line in done), done
    assert said(tiny_copy) == []
    with published(tiny_copy) as db:
        row = db.execute("select sum(gross_amount) from marts.fct_orders").fetchone()
        assert row == db.execute("select sum(gross_amount) from marts.kpi_monthly").fetchone()


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(LEFT))
def test_a_fault_that_only_the_user_can_mend_is_found_and_nothing_is_touched(tiny_copy, case):
    harm, words = LEFT[case]
    harm(tiny_copy)
    found = doctor.examine(settings_of(tiny_copy), 0.3)
    lines = [str(finding) for finding in found.findings]
    assert any(words in line for line in lines), lines
    assert doctor.mend(found) == []


def test_mending_deletes_no_data(tiny_copy):
    """What is damaged is moved aside: two publications and an archive copy are still there."""
    damage_publication(tiny_copy)
    damage(archived(tiny_copy))
    broken = [
        (current(tiny_copy) / "parquet/marts/fct_orders.parquet").read_bytes(),
        archived(tiny_copy).read_bytes(),
    ]
    doctor.mend(doctor.examine(settings_of(tiny_copy), 0.3))
    [aside] = (tiny_copy / "damaged").iterdir()
    [kept] = (tiny_copy / "archive").rglob("*.damaged")
    assert [(aside / "parquet/marts/fct_orders.parquet").read_bytes(), kept.read_bytes()] == broken


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        ("warehouse.duckdb.lock", "{} holds warehouse.duckdb.lock: wait for its run to end"),
        (
            "warehouse.duckdb.dbt.lock",
            "{}, dbt of a run that was killed, holds warehouse.duckdb.dbt",
        ),
        ("published/.publication.lock", "another process holds .publication.lock"),
    ],
)
def test_who_holds_a_lock_is_said_and_the_rest_is_examined(tiny_copy, lock, words):
    (tiny_copy / "published" / "parquet").unlink()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tiny_copy / lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        lines = said(tiny_copy)
        assert any(words.format(f"process {process.pid}") in line for line in lines), lines
        assert any("published/parquet does not" in line for line in lines) is (
            "publication" not in lock
        )
    finally:
        process.kill()
        process.wait()
    assert not any("holds" in line for line in said(tiny_copy))


def test_a_run_that_begins_meanwhile_is_waited_for(tiny_copy, monkeypatch):
    """What takes the lock after the first look at it does not make the warehouse a broken one."""
    monkeypatch.setattr(home, "held_locks", lambda *_: [])
    for part in (contents, vault):
        monkeypatch.setattr(part, "door", lambda settings: home.door(settings, 0.1))
    with exclusive(tiny_copy / "warehouse.duckdb.lock", wait_seconds=0):
        [line] = said(tiny_copy)
    assert line.startswith("another process holds warehouse.duckdb.lock: wait for its run to end")
    assert line.endswith("; then call `crm doctor` again.")


def test_a_lost_key_is_said_once_with_its_remedy(tiny_copy):
    """It keeps both the vault and the ledger of audiences from being examined."""
    with open_ledger(tiny_copy):
        pass
    (tiny_copy / "master.key").unlink()
    [line] = said(tiny_copy)
    assert line.startswith(f"{tiny_copy}/master.key is not there")
    assert line.endswith(": put the key back from where you keep it. Nothing was changed.")


def test_a_low_disk_is_found(tiny_home, monkeypatch):
    usage = shutil.disk_usage(tiny_home)
    monkeypatch.setattr(home.shutil, "disk_usage", lambda _: usage._replace(free=10**8))
    assert any("0.1 GB are free" in line for line in said(tiny_home))


def test_the_command_says_it_and_its_exit_code_too(tiny_copy, monkeypatch, capsys):
    """And what is not there is a mistake, not health."""
    leave("tmp/landing-x")(tiny_copy)
    found = crm(tiny_copy, "doctor")
    assert refused(found, code=1) == ""
    assert "tmp/landing-x was left" in found.stdout
    assert call(tiny_copy, monkeypatch, "doctor", "--fix") == 0
    fixed = capsys.readouterr().out.splitlines()
    assert fixed[0].startswith("mended: tmp/landing-x")
    assert fixed[1].startswith("healthy: ")
    assert call(tiny_copy / "nowhere", monkeypatch, "doctor") == 2
    assert "there is no home" in capsys.readouterr().err
