"""Rules over all assets: what is added later must obey them by being there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from crm_pipeline.dbt_command import PROJECT
from crm_pipeline.defs.landing.assets import CHECK
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.modelling.registered import ANALYSES, MODELS
from crm_pipeline.defs.publication.assets import OWN_CHECK
from crm_pipeline.defs.quality.accountable import accountable
from crm_pipeline.defs.quality.closed_months import CLOSED_MONTHS
from crm_pipeline.defs.quality.history_checks import RESEMBLES
from crm_pipeline.defs.quality.truths import TRUTHS
from crm_pipeline.resources.warehouse import WRITER_POOL
from crm_pipeline.settings import CHECKOUT
from tests.pipeline.harness.chain import STEPS

STAGES = ("landing", "transformation", "modelling", "activation", "publication")
UNSCORED = ("landing", "transformation", "publication")
READ_WHOLE = (
    "stg_cdnow__",
    # rows without a number of their own
    "stg_email_experiment__",
    "stg_online_shoppers__",
    "stg_reviews_zh__survey_responses",
    "stg_reviews_zh__comments",
    # six touches a row
    "stg_marketing_campaign__campaign_touches",
)
"""Staging models that name nothing to rebuild them by: any change rebuilds everything."""
OWN_KEY = r"customer_key\('\w+',\s*'(?:\w+\.)?(\w+)'\)\s*\}\}\s+as customer_key"
SOURCES = sorted(path.name for path in (PROJECT / "models/staging").iterdir() if path.is_dir())


def _assets(repository):
    graph = repository.asset_graph
    return [graph.get(key) for key in graph.get_all_asset_keys()]


def test_every_step_holds_the_writers_slot(repository):
    steps = {
        d.op.name: d.op.pool for d in repository.assets_defs_by_key.values() if d.is_executable
    }
    steps |= {
        d.op.name: d.op.pool
        for d in repository.asset_checks_defs_by_key.values()
        if d.is_executable
    }
    assert steps
    assert {name for name, pool in steps.items() if pool != WRITER_POOL} == set()


def test_every_step_that_changes_data_without_the_models_is_killed_by_itself(repository):
    """Models and what is built on scores are killed in whole runs (``test_kills.py``)."""
    graph = repository.asset_graph
    steps = {
        definition.op.name
        for definition in repository.assets_defs_by_key.values()
        if definition.is_executable
        and {graph.get(key).group_name for key in definition.keys} & set(UNSCORED)
    }
    assert steps == set(STEPS)


def test_no_asset_is_an_external_stub(repository):
    """A misspelled key passes validation as an external asset: none may exist."""
    graph = repository.asset_graph
    strangers = graph.get_all_asset_keys() - set(graph.executable_asset_keys)
    assert strangers == set()


def test_every_asset_has_group_description_owner_and_kind(repository):
    for node in _assets(repository):
        name = node.key.to_user_string()
        assert node.group_name in STAGES, name
        assert node.description, name
        assert node.owners, name
        assert node.kinds, name


def test_every_check_has_an_owner_and_a_severity_and_learned_bounds_only_warn(repository):
    """Blocking is what makes an error: a check that blocks nothing can only warn."""
    found = accountable(repository.asset_graph)
    assert len(found) > 90
    for key, check in found.items():
        assert check.owner.startswith("team:"), key
        assert check.severity in ("error", "warn"), key
    warns = {key.name for key, check in found.items() if check.severity == "warn"}
    assert {RESEMBLES, "candidate_earned_its_place"} <= warns
    hard = {truth.name for truth in TRUTHS} | {CHECK, CLOSED_MONTHS, OWN_CHECK}
    assert hard <= {key.name for key in found} - warns
    undescribed = {
        key.name
        for key, check in found.items()
        if not check.description and not _is_dbt_test(repository, key)
    }
    assert undescribed == set()


def _is_dbt_test(repository, key):
    spec = repository.asset_graph.get_check_spec(key)
    return any("dbt" in name for name in spec.metadata)


def test_every_raw_table_is_held_against_its_history(repository):
    graph = repository.asset_graph
    raw = {key for key in graph.get_all_asset_keys() if key.path[0] == "raw"}
    assert {key.asset_key for key in graph.asset_check_keys if key.name == RESEMBLES} == raw


def test_the_schemas_are_the_documented_ones(repository):
    first = {key.path[0] for key in repository.asset_graph.get_all_asset_keys()}
    assert first == {
        "raw", "control", "seeds", "staging", "intermediate", "marts", "features",
        "models", "scores", "published",
    }  # fmt: skip


def test_nothing_reads_what_is_made_after_it(repository):
    """Data goes one way: the stages are ordered."""
    graph = repository.asset_graph
    for node in _assets(repository):
        for parent in node.parent_keys:
            before, after = graph.get(parent).group_name, node.group_name
            assert STAGES.index(before) <= STAGES.index(after), node.key


def test_public_marts_are_contracted_keyed_and_late_when_old(repository, manifest):
    marts = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] == "marts"
    ]
    assert len(marts) >= 14
    for node in marts:
        name = node["name"]
        assert node["access"] == "public", name
        assert node["config"]["contract"]["enforced"], name
        assert node["config"]["meta"].get("key"), name
        assert "rain:" in node["description"], f"{name}'s description states no grain"
        for column in node["columns"].values():
            assert column["description"], f"{name}.{column['name']}"
            assert column["data_type"], f"{name}.{column['name']}"


TESTED_OTHERWISE = {"dim_dates", "kpi_daily", "kpi_monthly", "metrics_monthly"}
"""The first's smallest result is 365 rows: test_sql_marts.py holds it against Python. The
others read more tables than a unit test can show: tests/unit/test_metrics.py."""


@pytest.fixture(scope="module")
def manifest():
    from crm_pipeline.resources.dbt import ensure_manifest

    return ensure_manifest()


def test_providers_equal_the_staging_models(manifest):
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    declared = {
        (source, entity)
        for source, entities in project["vars"]["providers"].items()
        for entity in entities
    }
    built = {
        tuple(node["name"].removeprefix("stg_").split("__", 1))
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["name"].startswith("stg_")
    }
    assert declared == built
    assert {source for source, _ in built} == set(SOURCES)


def test_no_clock_in_sql():
    pattern = re.compile(r"current_date|current_timestamp|now\(\)|today\(\)", re.IGNORECASE)
    files = [*PROJECT.glob("models/**/*.sql"), *PROJECT.glob("macros/**/*.sql")]
    assert len(files) > 30
    assert [f.name for f in files if pattern.search(f.read_text())] == []


def test_every_conditional_model_has_a_unit_test(manifest):
    tested = {
        node for test in manifest["unit_tests"].values() for node in test["depends_on"]["nodes"]
    }
    pattern = re.compile(r"\bcase\b|\bover\s*\(|cast\(", re.IGNORECASE)
    untested = [
        node["name"]
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
        and pattern.search(node["raw_code"])
        and unique_id not in tested
        and node["depends_on"]["nodes"]
        and node["name"] not in TESTED_OTHERWISE
    ]
    assert untested == []


def _incremental(manifest):
    return {
        unique_id: node
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["config"]["materialized"] == "incremental"
    }


def test_incremental_models_say_what_they_replace(manifest):
    """Columns of the model, each with the model that lists touched keys, which it reads."""
    models = _incremental(manifest)
    assert len(models) > 10
    for node in models.values():
        touched = node["config"]["meta"]["touched"]
        assert node["config"]["incremental_strategy"] == "touched", node["name"]
        for column, keys_model in touched.items():
            assert f"model.crm.{keys_model}" in node["depends_on"]["nodes"], node["name"]
            assert f"'{keys_model}'" in node["raw_code"].split("config(")[1], node["name"]
            assert column in node["raw_code"], node["name"]


def test_no_incremental_model_depends_on_the_run_s_settings(manifest):
    """What it holds of untouched keys was computed for another as-of date."""
    settings = "source.crm.control.run_settings"

    def ancestors(unique_id):
        for parent in manifest["parent_map"].get(unique_id, []):
            yield parent
            if not parent.startswith("source."):
                yield from ancestors(parent)

    for unique_id, node in _incremental(manifest).items():
        assert settings not in set(ancestors(unique_id)), node["name"]


def test_what_incremental_models_keep_is_read_from_touched_keys_only(manifest):
    """A staging model that says nothing of what it is rebuilt by makes every change rebuild all.

    Of small look-up tables that is meant: whose rows they explain is not on them.
    """
    declared = [
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["name"].startswith("stg_")
        and not node["config"]["meta"].get("rebuilt_by")
    ]
    # look-ups that no incremental model reads: a handful of rows, all read at each build
    # and rates: any row may depend on a changed one, so all is rebuilt
    look_ups = ("__campaigns", "__companies", "__customer_links", "__exchange_rates", "__owners")
    declared = [name for name in declared if not name.endswith(look_ups)]
    assert all(name.startswith(READ_WHOLE) for name in declared), declared


def test_whoever_a_row_is_of_can_be_forgotten(manifest):
    """The column that a staging model makes its customer's key of is the one that identifies."""
    contracts = sources_from_manifest(manifest)
    tables = {(t.source, t.name): t for source in contracts.values() for t in source.tables}
    checked = 0
    for unique_id, node in manifest["nodes"].items():
        if not node["name"].startswith("stg_") or node["resource_type"] != "model":
            continue
        parents = [manifest["sources"].get(one) for one in manifest["parent_map"][unique_id]]
        raw = [tables[p["source_name"], p["name"]] for p in parents if p and p["schema"] == "raw"]
        identify = {column.name for t in raw if (column := t.identity_of("customer"))}
        made = set(re.findall(OWN_KEY, node["raw_code"])) if raw else set()
        assert made <= identify, node["name"]
        checked += len(made)
    assert checked > 20


def test_disabling_a_source_changes_neither_keys_nor_lineage(repository):
    raw = {key.path[1].partition("__")[0] for key in repository.asset_graph.get_all_asset_keys()
           if key.path[0] == "raw"}  # fmt: skip
    assert raw == set(SOURCES)
    assert len(SOURCES) > 4


def test_dbt_builds_in_three_steps(repository):
    """A table of scores made of others has its suite only: a dbt test would cut the build."""
    steps = repository.get_job("everything").graph.node_dict
    assert {name for name in steps if name.startswith("build_")} == {
        "build_marts", "build_customer_360", "build_offer_audiences",
    }  # fmt: skip


def test_every_table_of_scores_is_counted_so_that_its_tests_show_as_checks(manifest):
    """dagster-dbt shows a source's tests only where a model reads the source."""
    counted = manifest["nodes"]["model.crm.score_coverage"]["depends_on"]["nodes"]
    late = {
        f"source.crm.scores.{table}"
        for analysis in ANALYSES
        if analysis.is_late
        for table in analysis.tables
    }
    scores = {key for key in manifest["sources"] if key.startswith("source.crm.scores.")}
    assert scores - late == {key for key in counted if key.startswith("source.crm.scores.")}


def test_models_read_what_is_whole():
    """In a partial build an intermediate model may hold the touched rows only."""
    whole = ("marts.", "features.", "seeds.", "scores.", "models.", "control.audience_assignments")
    reads = [r for m in MODELS for r in (*m.training_reads, *m.scoring_reads)]
    reads += [r for analysis in ANALYSES for r in analysis.reads]
    assert [read for read in reads if not read.startswith(whole)] == []
    folder = CHECKOUT / "crm_pipeline" / "defs" / "modelling"
    assert [f.name for f in folder.rglob("*.py") if "intermediate." in f.read_text()] == []


def test_a_model_s_version_covers_the_code_that_it_runs():
    """Its own package, those it says it borrows from, and ``evaluation``, which all run."""
    for model in MODELS:
        covered = {model.package, *model.borrows, "evaluation"}
        for file in (CHECKOUT / "ml" / model.package).rglob("*.py"):
            for module in re.findall(
                r"^\s*from ml\.([\w.]+) import", file.read_text(), re.MULTILINE
            ):
                path = module.replace(".", "/")
                assert any(f"{path}/".startswith(f"{package}/") for package in covered), (
                    f"{file.name} imports ml.{module}: {model.name} must borrow it"
                )


def test_jobs_schedules_and_sensors(repository):
    assert {"everything", "refresh", "training"} <= set(repository.job_names)
    schedules = {s.name: s for s in repository.schedule_defs}
    assert set(schedules) == {"daily_refresh", "weekly_training"}
    assert {s.execution_timezone for s in schedules.values()} == {"UTC"}
    assert {s.name for s in repository.sensor_defs} == {
        "files_arrived", "models_drifted", "run_failed",
    }  # fmt: skip
    asked = [*repository.sensor_defs, *repository.schedule_defs]
    assert [one.name for one in asked if not one.description] == []
    refreshed = repository.get_job("refresh").asset_layer.selected_asset_keys
    assert not [key for key in refreshed if key.path[0] == "models"]
    assert [key for key in refreshed if key.path == ["published", "crm_duckdb"]]


def test_importing_the_definitions_stays_light():
    """The UI's process must not wait for what only a running step needs."""
    code = (
        "import sys, crm_pipeline.definitions as d; d.defs(); "
        "print([m for m in ('mlflow', 'sklearn', 'great_expectations', 'shap', 'matplotlib') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().splitlines()[-1] == "[]"


def test_definitions_fit_on_a_page():
    root = Path(__file__).parents[2]
    assert len((root / "crm_pipeline" / "definitions.py").read_text().splitlines()) <= 40
