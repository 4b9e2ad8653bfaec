"""What `crm run` does before its run begins."""

from __future__ import annotations

import shutil
import threading

from crm_pipeline.commands.run import opened_instance
from crm_pipeline.resources.warehouse import exclusive, is_held
from crm_pipeline.settings import CHECKOUT


def test_of_two_runs_on_a_new_home_the_second_waits_for_the_databases(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copyfile(CHECKOUT / "dagster.yaml", tmp_path / "dagster.yaml")
    opened = threading.Event()

    def second() -> None:
        with opened_instance(tmp_path) as instance:
            assert instance.get_runs(limit=1) == []
            opened.set()

    with exclusive(tmp_path / ".opening.lock", wait_seconds=0):
        thread = threading.Thread(target=second)
        thread.start()
        assert not opened.wait(0.5)
        assert not (tmp_path / "storage").exists()
    thread.join(60)
    assert opened.is_set()


def test_who_works_keeps_nobody_from_opening(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copyfile(CHECKOUT / "dagster.yaml", tmp_path / "dagster.yaml")
    with opened_instance(tmp_path):
        assert not is_held(tmp_path / ".opening.lock")
