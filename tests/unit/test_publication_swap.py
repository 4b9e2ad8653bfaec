"""The swap: readers see one publication, whole, from one moment on."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.publication.swap import FILE, current_version, new_version, publish


def write(folder: Path, number: int) -> None:
    with duckdb.connect(str(folder / FILE)) as db:
        db.execute(f"create table t as select {number} as n")
    (folder / "parquet").mkdir()
    (folder / "parquet" / "t.parquet").write_text(str(number))


def publish_number(published: Path, number: int) -> Path:
    version = new_version(published)
    write(version, number)
    publish(published, version)
    return version


def read(file: Path) -> int:
    with duckdb.connect(str(file), read_only=True) as db:
        row = db.execute("select n from t").fetchone()
    assert row is not None
    return int(row[0])


def test_nothing_is_published_at_first(tmp_path):
    assert current_version(tmp_path) is None


def test_file_and_parquet_change_together(tmp_path):
    for number in (1, 2):
        publish_number(tmp_path, number)
        assert read(tmp_path / FILE) == number
        assert (tmp_path / "parquet" / "t.parquet").read_text() == str(number)


def test_an_open_reader_keeps_the_old_file_and_the_next_one_gets_the_new(tmp_path):
    publish_number(tmp_path, 1)
    opened = (tmp_path / FILE).open("rb")
    old = opened.read()
    opened.seek(0)
    publish_number(tmp_path, 2)
    with opened:
        assert opened.read() == old
    assert read(tmp_path / FILE) == 2


def test_only_three_versions_are_kept(tmp_path):
    folders = [publish_number(tmp_path, number).name for number in range(5)]
    kept = sorted(p.name for p in (tmp_path / ".versions").iterdir())
    assert kept == folders[-3:]
    assert read(tmp_path / FILE) == 4


def test_a_stale_write_ahead_log_is_removed(tmp_path):
    """DuckDB replays a log that lies beside a replaced file, silently."""
    publish_number(tmp_path, 1)
    wal = tmp_path / f"{FILE}.wal"
    wal.write_bytes(b"what another process left")
    publish_number(tmp_path, 2)
    assert not wal.exists()
    assert read(tmp_path / FILE) == 2


def test_the_published_file_cannot_be_written(tmp_path):
    version = publish_number(tmp_path, 1)
    assert (version / FILE).stat().st_mode & 0o222 == 0


def test_what_a_killed_run_left_is_cleared_and_what_is_published_stays(tmp_path):
    publish_number(tmp_path, 1)
    half = new_version(tmp_path)
    (half / FILE).write_bytes(b"half a file")
    (half.parent / "rubbish").mkdir()
    fresh = new_version(tmp_path)
    assert list(fresh.iterdir()) == []
    assert not (half.parent / "rubbish").exists()
    assert read(tmp_path / FILE) == 1


def test_killed_before_the_link_moved_the_old_one_is_still_seen(tmp_path, monkeypatch):
    publish_number(tmp_path, 1)
    version = new_version(tmp_path)
    write(version, 2)

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("crm_pipeline.defs.publication.swap._point", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path, version)
    assert read(tmp_path / FILE) == 1
    publish_number(tmp_path, 3)
    assert read(tmp_path / FILE) == 3
