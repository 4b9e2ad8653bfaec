"""Rules over the whole dbt project: what newcomers break first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.sql_harness import PROJECT, SqlWarehouse, project_manifest

MODELS = sorted((PROJECT / "models").rglob("*.sql"))
SQL = [*MODELS, *sorted((PROJECT / "macros").rglob("*.sql"))]
MOST_DATA_TESTS_PER_MART = 3
"""On average: each costs a run 40 to 60 ms of events."""


def _nodes(kind: str) -> list[Any]:
    return [node for node in project_manifest().nodes.values() if node.resource_type == kind]


def _public() -> list[Any]:
    return [node for node in _nodes("model") if node.access == "public"]


def published_nodes() -> list[Any]:
    nodes = [*_public(), *project_manifest().sources.values()]
    return [node for node in nodes if node.schema in ("marts", "scores")]


def test_providers_are_the_entities_that_staging_has():
    listed = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["providers"]
    staged: dict[str, list[str]] = {}
    for path in sorted((PROJECT / "models/staging").rglob("stg_*.sql")):
        source, _, entity = path.stem.removeprefix("stg_").partition("__")
        assert path.parent.name == source, f"{path.name} belongs into staging/{source}/"
        staged.setdefault(source, []).append(entity)
    assert {source: sorted(entities) for source, entities in listed.items()} == staged


def test_no_clock_decides_a_number():
    clock = re.compile(r"current_date|current_timestamp|now\(\)|today\(\)|localtimestamp", re.I)
    assert [path.name for path in SQL if clock.search(path.read_text())] == []


@pytest.mark.parametrize(
    "only_duckdb",
    [
        "asof join", "pivot", "quantile_cont", "date_diff", "json_extract_string", "//", "exclude",
        "strftime", "list(", "epoch", "isodow", "timezone(", "::", "strptime", "arg_max",
        "filter (",
    ],
)  # fmt: skip
def test_models_speak_sql_that_spark_knows_too(only_duckdb: str):
    found = [path.name for path in MODELS if only_duckdb in _statement(path)]
    assert found == [], "use a macro of macros/portable.sql"


def _statement(path: Path) -> str:
    """SQL without comments and without the expressions that dbt fills in."""
    text = re.sub(r"\{\{.*?\}\}|\{#.*?#\}|\{%.*?%\}", "", path.read_text(), flags=re.S)
    return re.sub(r"--[^\n]*", "", text).lower()


def test_settings_are_read_while_compiling_so_that_changing_one_parses_nothing():
    assert set(project_manifest().env_vars) == set()


def test_models_with_a_case_or_a_window_have_a_unit_test():
    tested = {test.model for test in project_manifest().unit_tests.values()}
    risky = re.compile(r"\bcase\b|\bover\b|_score\(|lifecycle_stage\(|spell_covers\(")
    risky_models = {path.stem for path in MODELS if risky.search(path.read_text())}
    # they read more tables than a unit test can show: tests/unit/test_metrics.py
    assert risky_models - tested == {"kpi_monthly", "metrics_monthly"}
    assert len(risky_models) > 15


def test_every_public_column_is_explained_and_typed():
    assert len(_public()) > 16
    for model in _public():
        assert model.config.contract.enforced, model.name
        assert "Grain:" in model.description, model.name
        for column in model.columns.values():
            assert len(column.description) > 5, f"{model.name}.{column.name}"
            assert column.data_type, f"{model.name}.{column.name}"


def test_every_published_table_names_its_key():
    published = published_nodes()
    assert len(published) > 20
    for node in published:
        key = node.config.meta["key"]
        assert set(key) <= set(node.columns), node.name


def test_amounts_prices_and_days_have_the_types_their_names_promise():
    types = {"_amount": "decimal(18,", "_on": "date", "_at": "timestamp", "_rate": "double"}
    for model in _public():
        for column in model.columns.values():
            for suffix, kind in types.items():
                if column.name.endswith(suffix):
                    assert column.data_type.startswith(kind), f"{model.name}.{column.name}"


def test_data_tests_stay_few():
    assert 25 < len(_nodes("test")) <= MOST_DATA_TESTS_PER_MART * len(published_nodes())


def test_nothing_made_before_the_models_reads_what_they_made():
    for model in _nodes("model"):
        reads = [parent for parent in model.depends_on.nodes if ".scores." in parent]
        assert not reads or "activation" in model.fqn, model.name


def test_the_segment_grid_has_each_cell_once():
    rows = [
        line.split(",") for line in (PROJECT / "seeds/rfm_segments.csv").read_text().split("\n")
    ]
    cells = [(row[0], row[1]) for row in rows[1:] if len(row) == 3]
    assert sorted(cells) == [(str(r), str(f)) for r in range(1, 6) for f in range(1, 6)]
    assert len({row[2] for row in rows[1:] if len(row) == 3}) == 10


def test_a_source_that_feeds_nothing_is_named_and_so_is_the_remedy(tmp_path: Path):
    warehouse = SqlWarehouse(tmp_path, sources=("demo", "demmo"))
    with pytest.raises(AssertionError, match=r'"demmo", which feeds no entity; known are .*demo'):
        warehouse.dbt("compile", "--select", "int_orders__unioned")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> tuple[SqlWarehouse, Any]:
    """A company without a row, built, and what dbt said of each node."""
    warehouse = SqlWarehouse(tmp_path_factory.mktemp("empty"))
    return warehouse, warehouse.build()


def test_an_empty_company_builds(empty):
    warehouse, _ = empty
    assert warehouse.value("select count(*) from marts.dim_dates") == 365
    assert warehouse.value("select count(*) from marts.kpi_monthly") == 0


def test_customer_360_is_built_after_scores_that_are_tested(empty):
    warehouse, result = empty
    first = {node.node.unique_id for node in result.results}
    after = warehouse.build("--select", "source:scores+")
    second = {node.node.unique_id for node in after.results}
    assert "model.crm.customer_360" in second
    assert not first & second
    every = {node.unique_id for node in [*_nodes("model"), *_nodes("test"), *_nodes("seed")]}
    assert first | second == every
