"""The warehouse says which shape it has: older ones are upgraded, newer ones left alone."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.landing.ledger import ensure_control
from crm_pipeline.errors import UserError
from crm_pipeline.resources import warehouse_version
from crm_pipeline.resources.warehouse import RESTORING, Warehouse
from crm_pipeline.resources.warehouse_version import VERSION, schema_version


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(path=str(tmp_path / "w.duckdb"), scratch=str(tmp_path), wait_seconds=0.3)


def test_a_new_warehouse_has_this_codes_version(warehouse):
    with warehouse.writer() as db:
        ensure_control(db)
        assert schema_version(db) == VERSION


def test_an_older_one_is_upgraded_in_place_step_by_step_and_keeps_its_rows(warehouse, monkeypatch):
    with warehouse.writer() as db:
        ensure_control(db)
        db.execute("create table control.old as select 1 as n")
        db.execute("drop table control.schema_version")
        assert schema_version(db) == 0
    step = "alter table control.old add column if not exists m integer default 2"
    monkeypatch.setattr(warehouse_version, "STEPS", (*warehouse_version.STEPS, step))
    monkeypatch.setattr(warehouse_version, "VERSION", VERSION + 1)
    for _ in ("upgraded", "left as it is"):
        with warehouse.writer() as db:
            ensure_control(db)
            assert schema_version(db) == VERSION + 1
            assert db.execute("from control.old").fetchall() == [(1, 2)]


def test_a_step_that_fails_leaves_the_old_version(warehouse, monkeypatch):
    with warehouse.writer() as db:
        ensure_control(db)
        monkeypatch.setattr(
            warehouse_version, "STEPS", ("create table control.new (n integer)", "x")
        )
        monkeypatch.setattr(warehouse_version, "VERSION", VERSION + 1)
        with pytest.raises(duckdb.Error):
            ensure_control(db)
        assert schema_version(db) == VERSION
        assert db.execute("select 1 from duckdb_tables() where table_name = 'new'").fetchall() == []


@pytest.mark.parametrize("door", ["reader", "writer", "publishing"])
def test_a_newer_one_is_refused_at_every_door_until_it_is_known(warehouse, tmp_path, door):
    with warehouse.writer() as db:
        ensure_control(db)
        db.execute("update control.schema_version set version = 99")
    opened = (
        warehouse.publishing(tmp_path / "p") if door == "publishing" else getattr(warehouse, door)()
    )
    with pytest.raises(UserError, match="schema version 99, written by a newer"), opened:
        pass


@pytest.mark.parametrize("door", ["reader", "writer", "publishing"])
def test_a_damaged_file_names_the_remedy_at_every_door(warehouse, tmp_path, door):
    with warehouse.writer() as db:
        ensure_control(db)
    Path(warehouse.path).write_bytes(Path(warehouse.path).read_bytes()[:5000])
    opened = (
        warehouse.publishing(tmp_path / "p") if door == "publishing" else getattr(warehouse, door)()
    )
    with pytest.raises(UserError, match=r"cannot be opened .*crm restore"), opened:
        pass


def test_nobody_works_on_a_half_restored_home(warehouse, tmp_path):
    (tmp_path / RESTORING).mkdir()
    with pytest.raises(UserError, match="restore was interrupted"), warehouse.writer():
        pass
