"""Backup, restore, rollback and quarantine on a real home; the drill of a lost home is slow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.publication import swap
from crm_pipeline.errors import UserError
from crm_pipeline.repair import backup, doctor, manifest, restore
from crm_pipeline.resources.warehouse import RESTORING, exclusive
from crm_pipeline.vault.keys import KEY_FILE
from tests.pipeline.support import (
    crm,
    different,
    parquet_digests,
    publication,
    published,
    start_crm,
    succeeded,
)
from tests.pipeline.test_bad_input import call
from tests.pipeline.test_doctor import damage, publish_again, settings_of

WRITER = """
import os, sys, duckdb
db = duckdb.connect(sys.argv[1])
db.execute("create table control.seen as select 1 as n")
db.execute("checkpoint")
db.execute("insert into control.seen values (2)")
os._exit(9)
"""


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, locks excepted."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def ledger(home: Path) -> list[tuple]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        return db.execute("from control.files order by landing_number").fetchall()


@pytest.fixture(scope="module")
def saved(tiny_home, tmp_path_factory) -> Path:
    """A backup of the tiny home. Read it; to change it, copy it."""
    return backup.make(settings_of(tiny_home), tmp_path_factory.mktemp("backups") / "one")


@pytest.fixture
def saved_copy(saved, tmp_path) -> Path:
    shutil.copytree(saved, tmp_path / "saved")
    return tmp_path / "saved"


# Backup


def test_a_backup_holds_the_state_and_says_what_it_is(tiny_home, saved):
    said = json.loads((saved / "manifest.json").read_text())
    assert said["as_of"]
    assert said["duckdb"] == duckdb.__version__
    assert said["schema_version"] == 1
    assert said["code_version"].startswith("0.")
    files = {file["path"]: file for file in said["files"]}
    assert files.keys() == tree(saved).keys() - {"manifest.json"}
    assert all(file["size"] == (saved / path).stat().st_size for path, file in files.items())
    assert not [path for path in files if path.startswith("/") or ".." in path]
    assert {path.partition("/")[0] for path in files} == {
        "warehouse.duckdb", "vault.duckdb", "archive", "mlflow", "published",
    }  # fmt: skip
    assert parquet_digests(saved / "published" / "parquet") == publication(tiny_home)
    assert ledger(saved) == ledger(tiny_home)


def test_only_its_owner_can_read_it(saved):
    for path in [saved, *saved.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_no_secret_and_no_delivered_file_is_in_it(tiny_copy, tmp_path):
    for folder in (tiny_copy, tiny_copy / "mlflow", tiny_copy / "archive", tiny_copy / "published"):
        (folder / ".env").write_text("CRM_MASTER_KEY=secret")
    made = backup.make(settings_of(tiny_copy), tmp_path / "b", history=True)
    names = tree(made)
    assert [name for name, content in names.items() if b"CRM_MASTER_KEY" in content] == []
    assert [name for name in names if "inbox" in name or ".env" in name] == []
    assert [name for name in names if name.startswith("dagster/history/")]


def test_what_a_killed_writer_left_in_its_log_is_in_the_backup(tiny_copy, tmp_path):
    file = tiny_copy / "warehouse.duckdb"
    subprocess.run([sys.executable, "-c", WRITER, str(file)], check=False)
    assert file.with_name("warehouse.duckdb.wal").exists()
    made = backup.make(settings_of(tiny_copy), tmp_path / "b")
    with duckdb.connect(str(made / "warehouse.duckdb"), read_only=True) as db:
        assert db.execute("from control.seen order by n").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("fault", ["truncated", "unequal"])
def test_a_copy_that_does_not_verify_is_no_backup(tiny_copy, tmp_path, monkeypatch, fault):
    def copy(source: Path, target: Path) -> None:
        shutil.copyfile(source, target)
        if target.name == "warehouse.duckdb":
            with duckdb.connect(str(target)) as db:
                db.execute("delete from control.quarantine")

    if fault == "unequal":
        monkeypatch.setattr(backup, "_copy_warehouse", copy)
    else:
        write = manifest.write
        monkeypatch.setattr(
            manifest, "write", lambda f, m: (write(f, m), damage(f / "warehouse.duckdb"))
        )
    with pytest.raises(UserError, match=r"does not verify .*(quarantine holds|is damaged)"):
        backup.make(settings_of(tiny_copy), tmp_path / "b")
    assert list(tmp_path.glob("*b*")) == []


def test_a_backup_waits_for_the_writer_and_says_so(tiny_copy, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "WAIT_SECONDS", 0.3)
    with exclusive(tiny_copy / "warehouse.duckdb.lock", wait_seconds=0):
        with pytest.raises(UserError, match=r"another process holds warehouse\.duckdb\.lock"):
            backup.make(settings_of(tiny_copy), tmp_path / "b")
    assert list(tmp_path.glob("*b*")) == []


def test_mistakes_of_a_backup_name_the_remedy(tiny_copy, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists already"):
        backup.make(settings_of(tiny_copy), tmp_path / "there")
    with pytest.raises(UserError, match="nothing to back up"):
        backup.make(settings_of(tmp_path / "empty"), tmp_path / "b")


# Restore


def test_an_empty_home_becomes_the_one_that_was_saved(tiny_home, saved, tmp_path):
    home = tmp_path / "home"
    (home / "archive").mkdir(parents=True)
    assert restore.restore(saved, home) is None
    assert different(publication(tiny_home), publication(home)) == []
    assert ledger(home) == ledger(tiny_home)
    assert tree(home / "archive") == tree(tiny_home / "archive")
    assert swap.recorded_digests(home / "published" / ".versions" / "000001")
    assert not (home / RESTORING).exists()
    assert (home / "published" / "crm.duckdb").stat().st_mode & 0o222 == 0
    [finding] = doctor.examine(settings_of(home), 0.3).findings
    assert "master.key is not there" in finding.what
    shutil.copy2(tiny_home / "master.key", home)
    assert doctor.examine(settings_of(home), 0.3).findings == ()


def test_a_damaged_backup_names_every_file_and_changes_nothing(saved_copy, tiny_copy):
    damage(saved_copy / "warehouse.duckdb")
    lost = next((saved_copy / "archive").rglob("*.gz"))
    lost.unlink()
    (saved_copy / "archive" / "stranger").write_text("x")
    before = tree(tiny_copy)
    with pytest.raises(UserError) as error:
        restore.restore(saved_copy, tiny_copy, force=True)
    for words in (
        "warehouse.duckdb is damaged",
        f"{lost.relative_to(saved_copy).as_posix()} is missing",
        "archive/stranger is not of this backup",
        "nothing was changed",
    ):
        assert words in str(error.value)
    assert tree(tiny_copy) == before


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "it has no manifest.json"),
        ("{", "cannot be read"),
        ('{"format": 2}', "another format"),
        ('{"format": 1}', "cannot be read"),
        ({"schema_version": 99}, "schema version 99"),
        ({"files": [{"path": "../x", "sha256": "", "size": 0}]}, "outside the backup"),
        ({"files": [{"path": "/x", "sha256": "", "size": 0}]}, "outside the backup"),
    ],
)
def test_a_manifest_that_cannot_be_followed_is_refused(saved_copy, tmp_path, said, words):
    file = saved_copy / "manifest.json"
    if said is None:
        file.unlink()
    elif isinstance(said, dict):
        file.write_text(json.dumps(json.loads(file.read_text()) | said))
    else:
        file.write_text(said)
    with pytest.raises(UserError, match=words):
        restore.restore(saved_copy, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_existing_state_is_replaced_only_by_force_and_kept(saved, tiny_copy):
    with duckdb.connect(str(tiny_copy / "warehouse.duckdb")) as db:
        db.execute("create table control.later as select 1 as n")
    publish_again(tiny_copy)
    inbox, before = tree(tiny_copy / "inbox"), tree(tiny_copy)
    with pytest.raises(
        UserError, match=r"is not empty \(warehouse\.duckdb, vault\.duckdb, archive, mlflow"
    ):
        restore.restore(saved, tiny_copy)
    assert tree(tiny_copy) == before
    with published(tiny_copy) as reader:
        aside = restore.restore(saved, tiny_copy, force=True)
        assert reader.execute("select count(*) from meta.build").fetchone() == (1,)
    assert aside is not None
    kept = tree(aside)
    assert kept["warehouse.duckdb"] == before["warehouse.duckdb"]
    assert kept["landed.json"] == before["landed.json"]
    for part in ("archive", "mlflow"):
        assert tree(aside / part) == {
            name.removeprefix(f"{part}/"): content
            for name, content in before.items()
            if name.startswith(f"{part}/")
        }
    assert parquet_digests(aside / "published" / "parquet") == publication(tiny_copy)
    assert tree(tiny_copy / "inbox") == inbox
    with duckdb.connect(str(tiny_copy / "warehouse.duckdb"), read_only=True) as db:
        assert (
            db.execute("select 1 from duckdb_tables() where table_name = 'later'").fetchall() == []
        )
    assert doctor.examine(settings_of(tiny_copy), 0.3).findings == ()


def test_nothing_is_restored_under_a_run(saved, tiny_copy):
    before = tree(tiny_copy / "published")
    for lock in ("warehouse.duckdb.run", "warehouse.duckdb.lock", "published/.publication.lock"):
        with exclusive(tiny_copy / lock, wait_seconds=0):
            with pytest.raises(UserError, match=rf"process {os.getpid()} works in .* then restore"):
                restore.restore(saved, tiny_copy, force=True)
    assert tree(tiny_copy / "published") == before


@pytest.mark.parametrize(
    "moves", [n if n in (1, 5, 8) else pytest.param(n, marks=pytest.mark.slow) for n in range(1, 9)]
)
def test_a_restore_killed_between_any_two_moves_is_completed(
    saved, tiny_copy, monkeypatch, tiny_home, moves
):
    """Eight moves: the first decides it; killed before that, nothing has changed."""
    with duckdb.connect(str(tiny_copy / "warehouse.duckdb")) as db:
        db.execute("create table control.later as select 1 as n")
    before = tree(tiny_copy / "mlflow")
    rename, left = Path.rename, moves

    def killed(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            restore.restore(saved, tiny_copy, force=True)
    if moves == 1:
        assert tree(tiny_copy / "mlflow") == before
        assert doctor.examine(settings_of(tiny_copy), 0.3).findings == ()
        return
    found = doctor.examine(settings_of(tiny_copy), 0.3)
    assert [str(f).partition(":")[0] for f in found.findings] == ["a restore was interrupted"]
    assert doctor.mend(found) == ["mended: a restore was interrupted."]
    assert doctor.examine(settings_of(tiny_copy), 0.3).findings == ()
    assert ledger(tiny_copy) == ledger(tiny_home)
    assert different(publication(tiny_home), publication(tiny_copy)) == []
    [aside] = tiny_copy.glob("replaced-*")
    assert tree(aside / "mlflow") == before
    with duckdb.connect(str(aside / "warehouse.duckdb"), read_only=True) as db:
        assert db.execute("from control.later").fetchall() == [(1,)]


# Rollback and quarantine


@pytest.fixture
def say(monkeypatch, capsys) -> Callable[..., str]:
    """Call the command in this process: what it printed with exit code 0, or said when refusing."""

    def said(home: Path, *arguments: str, code: int = 0) -> str:
        assert call(home, monkeypatch, *arguments) == code
        out, err = capsys.readouterr()
        return err if code else out

    return said


def test_readers_go_back_to_an_older_publication_and_no_further(tiny_copy, say):
    assert "readers see this one" in succeeded(crm(tiny_copy, "rollback"))
    say(tiny_copy, "rollback", "--to", "1", code=2)
    publish_again(tiny_copy)
    listed = say(tiny_copy, "rollback").splitlines()
    assert [line.split()[0] for line in listed[:2]] == ["2", "1"]
    assert "readers see" in listed[0]
    assert "number 3 now" in say(tiny_copy, "rollback", "--to", "1")
    assert [v.name for v in swap.versions(tiny_copy / "published")] == ["000002", "000003"]
    assert "no publication 1; kept are 3, 2" in say(tiny_copy, "rollback", "--to", "1", code=2)
    damage(tiny_copy / "published/.versions/000002/parquet/marts/fct_orders.parquet")
    said = say(tiny_copy, "rollback", "--to", "2", code=2)
    assert "publication 2 is damaged (parquet/marts/fct_orders.parquet has changed)" in said


def test_every_line_that_was_set_aside_is_listed_without_its_value(tiny_home, say):
    rows = json.loads(say(tiny_home, "quarantine", "--format", "json"))
    with duckdb.connect(str(tiny_home / "warehouse.duckdb"), read_only=True) as db:
        kept = db.execute(
            "select count(*) from control.quarantine "
            "semi join control.current_contents using (source, table_name, digest)"
        ).fetchone()
    assert (len(rows),) == kept
    assert set(rows[0]) == {
        "source", "table_name", "file_name", "line_number", "column_name", "reason",
    }  # fmt: skip
    with published(tiny_home) as db:
        lines = {(row["file_name"], row["line_number"]) for row in rows}
        assert (len(lines),) == db.execute("select sum(row_count) from meta.quarantine").fetchone()
    name = "customers_2024.csv"
    header, *content = (tiny_home / "inbox/demo" / name).read_text("latin-1").splitlines()
    column = header.split(";").index("customer_no")
    missing = [
        row["line_number"]
        for row in rows
        if row["file_name"] == name and row["reason"] == "missing_value"
        and row["column_name"] == "customer_no"
    ]  # fmt: skip
    assert missing
    assert [content[line - 2].split(";")[column] for line in missing] == [""] * len(missing)
    some = say(tiny_home, "quarantine", "--file", name, "--limit", "2", "--format", "csv")
    assert len(some.splitlines()) == 3
    said = say(tiny_home, "quarantine", "--file", "customers_2042.csv", code=2)
    assert "near are customers_2026.csv, customers_2025.csv, customers_2024.csv" in said


# The drill


def start_run(home: Path, after: str) -> subprocess.Popen[str]:
    process = start_crm(home, "run")
    assert process.stdout is not None
    for line in process.stdout:
        if after in line:
            return process
    raise AssertionError(f"no line names {after}")


@pytest.mark.slow
@pytest.mark.parametrize("after", ["land_files", "build_marts", "score_truths"])
def test_a_home_lost_after_a_backup_during_a_run_publishes_the_same_bytes(
    tiny_home, tmp_path, after
):
    """Its first run, so that the backup has no publication; and no file is delivered again."""
    home, saved = tmp_path / "home", tmp_path / "saved"
    shutil.copytree(tiny_home / "inbox", home / "inbox")
    process = start_run(home, after)
    made = crm(home, "backup", "--to", str(saved))
    was_on = process.poll() is None
    succeeded(made)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert was_on, "the run was over before the backup was"
    # no backup holds the key: who runs the home keeps it elsewhere
    key = shutil.copy2(home / KEY_FILE, tmp_path)
    shutil.rmtree(home)
    succeeded(crm(home, "restore", str(saved)))
    shutil.copy2(key, home / KEY_FILE)
    succeeded(crm(home, "run"))
    assert different(publication(tiny_home), publication(home)) == []
    succeeded(crm(home, "doctor"))


@pytest.mark.slow
def test_a_restored_home_is_read_at_once_and_runs_go_on_from_it(tiny_copy, tiny_home, tmp_path):
    """A second run is on while it is saved; the restored home is another folder."""
    process = start_run(tiny_copy, "build_marts")
    succeeded(crm(tiny_copy, "backup", "--to", str(tmp_path / "saved"), "--history"))
    process.communicate()
    home = tmp_path / "elsewhere"
    succeeded(crm(tiny_copy, "restore", str(tmp_path / "saved"), "--into", str(home)))
    shutil.copy2(tiny_copy / KEY_FILE, home / KEY_FILE)
    shutil.rmtree(tiny_copy)
    assert different(publication(tiny_home), publication(home)) == []
    succeeded(crm(home, "run"))
    assert different(publication(tiny_home), publication(home)) == []
    succeeded(crm(home, "doctor"))


@pytest.mark.slow
def test_the_next_run_publishes_anew_after_a_rollback(tiny_copy):
    publish_again(tiny_copy)
    before = publication(tiny_copy)
    succeeded(crm(tiny_copy, "rollback", "--to", "1"))
    with published(tiny_copy) as db:
        [old] = db.execute("select built_at from meta.build").fetchall()
    time.sleep(0.1)
    succeeded(crm(tiny_copy, "run"))
    with published(tiny_copy) as db:
        [new] = db.execute("select built_at from meta.build").fetchall()
    assert new > old
    assert publication(tiny_copy) == before
    assert [v.name for v in swap.versions(tiny_copy / "published")] == [
        "000002",
        "000003",
        "000004",
    ]
