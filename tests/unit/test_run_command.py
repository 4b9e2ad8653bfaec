"""What `crm run` does before its run begins."""

from __future__ import annotations

import shutil
import threading

import dagster as dg

from crm_pipeline.commands.run import opened_instance, skipped
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


def test_a_run_that_passed_over_a_step_says_so():
    """A table that dbt was to make and did not was once told as a publication."""

    @dg.multi_asset(
        specs=[dg.AssetSpec("made", skippable=True), dg.AssetSpec("not_made", skippable=True)]
    )
    def tables():
        yield dg.MaterializeResult(asset_key="made")

    @dg.asset(deps=["made"])
    def model():
        pass

    @dg.asset(deps=["not_made"])
    def publication():
        pass

    assert skipped(dg.materialize([tables, model])) == ""
    result = dg.materialize([tables, model, publication])
    assert result.success
    assert "publication had nothing to work on" in skipped(result)
