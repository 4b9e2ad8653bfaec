"""MetricFlow in-process, as SQL only: metrics by dimensions, to be run on any warehouse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

from crm_pipeline.resources.dbt import ensure_manifest
from tests.unit.sql_harness import PROJECT


class _Dialect:
    """The part of MetricFlow's SqlClient that compiling needs."""

    def __init__(self) -> None:
        from metricflow.protocols.sql_client import SqlEngine
        from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer

        self.sql_engine_type = SqlEngine.DUCKDB
        self.sql_plan_renderer = DuckDbSqlPlanRenderer()


@cache
def engine() -> Any:
    """Return MetricFlow over the project's semantic models."""
    os.environ["DO_NOT_TRACK"] = "1"
    from metricflow.engine.metricflow_engine import MetricFlowEngine
    from metricflow_semantic_interfaces.implementations.semantic_manifest import (
        PydanticSemanticManifest,
    )
    from metricflow_semantic_interfaces.transformations.semantic_manifest_transformer import (
        PydanticSemanticManifestTransformer,
    )
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    ensure_manifest()
    text = (PROJECT / "target" / "semantic_manifest.json").read_text()
    manifest = PydanticSemanticManifest.parse_raw(text)
    manifest = PydanticSemanticManifestTransformer.transform(manifest)
    return MetricFlowEngine(SemanticManifestLookup(manifest), _Dialect())


def metric_names() -> list[str]:
    """Return every metric's name, sorted."""
    return sorted(metric.name for metric in engine().list_metrics())


def metric_sql(metrics: Sequence[str], by: Sequence[str]) -> str:
    """Return the SQL of some metrics by some dimensions; it names tables without their database."""
    from metricflow.engine.metricflow_engine import MetricFlowQueryRequest

    request = MetricFlowQueryRequest.create(metric_names=metrics, group_by_names=by)
    return str(engine().explain(request).sql_statement.sql)
