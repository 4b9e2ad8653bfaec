"""Running again on the same inbox: the same bytes, nothing landed, nothing trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from crm_pipeline.defs.modelling import registered
from crm_pipeline.resources.dbt import ensure_manifest
from tests.pipeline.support import crm, different, publication, published, succeeded

MODELS = tuple(spec.name for spec in registered.MODELS)


def trainings(home: Path, model: str) -> list[dict]:
    """What each materialisation of a candidate said, the newest first."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        key = dg.AssetKey(["models", f"{model}_candidate"])
        records = instance.fetch_materializations(key, limit=5).records
        return [
            {name: entry.value for name, entry in record.asset_materialization.metadata.items()}
            for record in records
        ]


def built_on_scores() -> set[str]:
    """Files of the marts that rest on a score: another champion may have earned its place."""
    manifest = ensure_manifest()
    nodes = manifest["nodes"]
    found: set[str] = set()
    left = [name for name, source in manifest["sources"].items() if source["schema"] == "scores"]
    while left:
        children = set(manifest["child_map"][left.pop()]) - found
        found |= children
        left += children
    models = {f"marts/{nodes[name]['alias']}.parquet" for name in found if name in nodes}
    return models | {"marts/audiences.parquet"}  # which counts them


def one_row(home: Path, sql: str) -> tuple:
    with published(home) as db:
        row = db.execute(sql).fetchone()
    assert row is not None
    return row


def test_it_publishes_the_same_bytes(second_run):
    assert different(second_run.before, publication(second_run.home)) == []


def test_it_lands_nothing(second_run, demo_home):
    landed = "select count(*), max(landed_at), sum(rows_read) from meta.landed_files"
    assert one_row(second_run.home, landed) == one_row(demo_home, landed)
    index = "landed.json"
    assert (second_run.home / index).read_text() == (demo_home / index).read_text()


@pytest.mark.parametrize("model", MODELS)
def test_it_trains_nothing(second_run, model):
    second, first = trainings(second_run.home, model)
    assert (first["trained_now"], second["trained_now"]) == (True, False)
    assert first["model_version"] == second["model_version"]


def test_the_champions_stay(second_run, demo_home):
    champions = "select champions, as_of, input_digest, code_version from meta.build"
    assert one_row(second_run.home, champions) == one_row(demo_home, champions)


def test_figures_of_a_version_are_republished_not_made_against_itself(second_run, demo_home):
    figures = "select * from meta.model_evaluations order by all"
    with published(second_run.home) as one, published(demo_home) as other:
        assert one.execute(figures).fetchall() == other.execute(figures).fetchall()


def test_the_file_can_be_read_at_every_moment(second_run, demo_home):
    assert second_run.faults == []
    assert len(second_run.builds) > 20
    assert len(set(second_run.builds)) <= 2
    assert second_run.builds == sorted(second_run.builds)


def test_who_has_the_old_file_open_keeps_it(second_run, demo_home):
    built = "select built_at from meta.build"
    assert second_run.old_file == [one_row(demo_home, built)]
    assert one_row(second_run.home, built) != one_row(demo_home, built)


def test_a_folder_of_no_source_is_left_alone_and_named(second_run):
    assert "inbox/nonsense/ belongs to no declared source" in second_run.output
    assert "demo" in second_run.output.partition("nonsense")[2]


@pytest.mark.slow
def test_a_fresh_home_with_the_same_inbox_publishes_the_same_bytes(demo_home, tmp_path):
    """Another home, files in another order of landing, the same champions by content."""
    home = tmp_path / "elsewhere"
    shutil.copytree(demo_home / "inbox", home / "inbox")
    succeeded(crm(home, "run"))
    assert different(publication(demo_home), publication(home)) == []
    assert one_row(home, "select champions, input_digest from meta.build") == one_row(
        demo_home, "select champions, input_digest from meta.build"
    )


@pytest.mark.slow
def test_another_as_of_is_published_and_back_again(demo_copy):
    """The as-of date decides everything; returning to it returns to the same bytes."""
    before = publication(demo_copy)
    succeeded(crm(demo_copy, "run", "--as-of", "2026-04-30"))
    assert one_row(demo_copy, "select as_of::varchar from meta.build") == ("2026-04-30",)
    assert one_row(demo_copy, "select max(ordered_on)::varchar from marts.fct_orders") <= (
        "2026-04-30",
    )
    succeeded(crm(demo_copy, "run", CRM_AS_OF="2026-06-30"))
    after = publication(demo_copy)
    marts = {name for name in different(before, after) if name.startswith("marts/")}
    assert marts <= built_on_scores()
    assert "marts/customer_360.parquet" in built_on_scores()
    assert not {"marts/fct_orders.parquet", "marts/customer_rfm.parquet"} & built_on_scores()
