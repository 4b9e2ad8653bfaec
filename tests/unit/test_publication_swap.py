"""The swap: readers see one publication, whole, from one moment on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.publication.swap import (
    FILE,
    changing,
    current_version,
    new_version,
    parquet_digests,
    point_at,
    publish,
    recorded_digests,
    republish,
    unfinished,
    versions,
)
from crm_pipeline.errors import UserError


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


def test_the_digests_are_those_of_the_parquet_files(tmp_path):
    version = publish_number(tmp_path, 1)
    digest = hashlib.sha256(b"1").hexdigest()
    assert recorded_digests(version) == {"parquet/t.parquet": digest} == parquet_digests(version)
    (version / "parquet" / "t.parquet").write_text("2")
    assert recorded_digests(version) != parquet_digests(version)


def names(published: Path) -> list[int]:
    return [int(folder.name) for folder in versions(published)]


def test_a_whole_publication_above_the_link_is_kept_and_the_next_one_lies_above_it(tmp_path):
    """Somebody moved the link back by hand: what lies above was published, not left half done."""
    for number in (1, 2, 3):
        publish_number(tmp_path, number)
    point_at(tmp_path, tmp_path / ".versions" / "000001")
    assert read(tmp_path / FILE) == 1
    assert names(tmp_path) == [1, 2, 3]
    assert publish_number(tmp_path, 4).name == "000004"
    assert names(tmp_path) == [2, 3, 4]


def test_no_publication_is_lost_with_the_link(tmp_path):
    for number in (1, 2):
        publish_number(tmp_path, number)
    (tmp_path / ".current").unlink()
    assert publish_number(tmp_path, 3).name == "000003"
    assert names(tmp_path) == [1, 2, 3]


def test_an_older_publication_becomes_the_newest_and_none_is_lost(tmp_path):
    for number in (1, 2, 3):
        publish_number(tmp_path, number)
    folder = republish(tmp_path, 2)
    assert read(tmp_path / FILE) == 2
    assert (tmp_path / "parquet" / "t.parquet").read_text() == "2"
    assert folder.name == "000004"
    assert folder == current_version(tmp_path)
    assert names(tmp_path) == [1, 3, 4]
    assert unfinished(tmp_path) == []
    republish(tmp_path, 3)
    assert read(tmp_path / FILE) == 3
    assert names(tmp_path) == [1, 4, 5]
    publish_number(tmp_path, 6)
    assert read(tmp_path / FILE) == 6
    assert names(tmp_path) == [4, 5, 6]


def test_a_reader_of_the_newer_one_keeps_it_through_a_rollback(tmp_path):
    for number in (1, 2):
        publish_number(tmp_path, number)
    with duckdb.connect(str(tmp_path / FILE), read_only=True) as reader:
        republish(tmp_path, 1)
        assert reader.execute("select n from t").fetchone() == (2,)


def test_going_back_to_what_is_not_there_names_what_is(tmp_path):
    publish_number(tmp_path, 1)
    with pytest.raises(UserError, match="no publication 7; kept are 1"):
        republish(tmp_path, 7)


@pytest.mark.parametrize("step", ["copytree", "rename", "point_at", "remove"])
def test_a_rollback_killed_at_any_step_loses_nothing(tmp_path, monkeypatch, step):
    for number in (1, 2, 3):
        publish_number(tmp_path, number)

    def killed(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    place = {"copytree": "shutil.copytree", "rename": "pathlib.Path.rename"}.get(
        step, f"crm_pipeline.defs.publication.swap.{step}"
    )
    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        with pytest.raises(KeyboardInterrupt):
            republish(tmp_path, 1)
    assert read(tmp_path / FILE) == (1 if step == "remove" else 3)
    numbers = [read(folder / FILE) for folder in versions(tmp_path)]
    assert set(numbers) == {1, 2, 3}
    publish_number(tmp_path, 5)
    assert read(tmp_path / FILE) == 5
    assert unfinished(tmp_path) == []


def test_two_cannot_change_the_publications_at_once(tmp_path):
    with changing(tmp_path):
        with (
            pytest.raises(UserError, match="another process holds"),
            changing(tmp_path, wait_seconds=0),
        ):
            pass


def test_the_report_is_always_that_of_the_published_file(tmp_path):
    for number in (1, 2):
        version = new_version(tmp_path)
        write(version, number)
        (version / "report").mkdir()
        (version / "report" / "index.html").write_text(str(number))
        publish(tmp_path, version)
        assert (tmp_path / "report" / "index.html").read_text() == str(number)
    republish(tmp_path, 1)
    assert (tmp_path / "report" / "index.html").read_text() == "1"
    assert read(tmp_path / FILE) == 1


def test_a_publication_of_before_there_were_reports_shows_none(tmp_path):
    older = publish_number(tmp_path, 1)
    newer = new_version(tmp_path)
    write(newer, 2)
    (newer / "report").mkdir()
    publish(tmp_path, newer)
    assert (tmp_path / "report").is_dir()
    point_at(tmp_path, older)
    assert not (tmp_path / "report").is_symlink()
    assert read(tmp_path / FILE) == 1
