"""MetricFlow's own SQL: metrics by its own names of dimensions and entities, on any warehouse."""

from __future__ import annotations

from collections.abc import Sequence

from crm_pipeline.resources.metrics import engine, metric_names

__all__ = ["metric_names", "metric_sql"]


def metric_sql(metrics: Sequence[str], by: Sequence[str]) -> str:
    """Return the SQL of some metrics by some dimensions; it names tables without their database."""
    from metricflow.engine.metricflow_engine import MetricFlowQueryRequest

    request = MetricFlowQueryRequest.create(metric_names=metrics, group_by_names=by)
    return str(engine().explain(request).sql_statement.sql)
