"""The door to the metrics: MetricFlow in-process, which turns names into SQL.

Belongs here: what metrics and dimensions there are, and the SQL of a question. Does not: running
it. The one definition of each metric is in ``dbt_project/models/semantic``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from crm_pipeline.errors import UserError
from crm_pipeline.resources import metric_conditions
from crm_pipeline.resources.dbt import PROJECT, ensure_manifest
from crm_pipeline.resources.metric_conditions import TIME
from crm_pipeline.settings import no_telemetry

KEYS = frozenset({"campaign", "customer", "owner", "product"})
"""What facts name by a key and a metric can be asked by."""
PERIODS = ("day", "week", "month", "quarter", "year")


@dataclass(frozen=True)
class Metric:
    """One metric: its name, what a page calls it, what it is, and by what it can be asked.

    Attributes:
        name: As in the metrics file.
        label: For people.
        description: The definition.
        periods: Those of ``PERIODS`` that it is counted by.
        dimensions: What else ``--by`` takes.
    """

    name: str
    label: str
    description: str
    periods: tuple[str, ...]
    dimensions: tuple[str, ...]


class _Dialect:
    """The part of MetricFlow's SqlClient that compiling needs."""

    def __init__(self) -> None:
        from metricflow.protocols.sql_client import SqlEngine
        from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer

        self.sql_engine_type = SqlEngine.DUCKDB
        self.sql_plan_renderer = DuckDbSqlPlanRenderer()


@cache
def semantic_manifest() -> Any:
    """Return the project's semantic models and metrics."""
    from metricflow_semantic_interfaces.implementations.semantic_manifest import (
        PydanticSemanticManifest,
    )
    from metricflow_semantic_interfaces.transformations.semantic_manifest_transformer import (
        PydanticSemanticManifestTransformer,
    )

    ensure_manifest()
    text = (PROJECT / "target" / "semantic_manifest.json").read_text(encoding="utf-8")
    manifest = PydanticSemanticManifest.parse_raw(text)
    return PydanticSemanticManifestTransformer.transform(manifest)


@cache
def engine() -> Any:
    """Return MetricFlow over the project's semantic models."""
    no_telemetry()
    from metricflow.engine.metricflow_engine import MetricFlowEngine
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    dialect: Any = _Dialect()
    return MetricFlowEngine(SemanticManifestLookup(semantic_manifest()), dialect)


def metrics() -> list[Metric]:
    """Return every metric, by name."""
    found = [
        Metric(
            name=metric.name,
            label=metric.label or metric.name,
            description=" ".join((metric.description or "").split()),
            periods=_periods((metric.name,)),
            dimensions=tuple(sorted(_dimensions((metric.name,)))),
        )
        for metric in engine().list_metrics()
    ]
    return sorted(found, key=lambda metric: metric.name)


def metric_names() -> list[str]:
    """Return every metric's name, sorted."""
    return sorted(metric.name for metric in engine().list_metrics())


def _dimensions(names: Sequence[str]) -> dict[str, str]:
    """Return short name -> MetricFlow's name of what these metrics can be asked by.

    That is each dimension, and what facts name by a key: customer, product, campaign, owner. A
    short name is the dimension's own. Of several with one name the nearest has it: the channel of
    the answer, not that of its ticket; the country of the line's customer, not that of its order's
    customer. Two as near as each other have none.
    """
    own = _own_models(names)
    known = {
        dimension.dunder_name: (
            dimension.dunder_name.count("__"),
            dimension.semantic_model_reference.semantic_model_name not in own,
        )
        for dimension in engine().simple_dimensions_for_metrics(list(names))
        if dimension.name != TIME and dimension.type.value == "categorical"
    }
    nearest: dict[str, list[str]] = {}
    for name in sorted(known, key=lambda name: (known[name], name)):
        same = nearest.setdefault(name.rpartition("__")[2], [])
        if not same or known[same[0]] == known[name]:
            same.append(name)
    short = {own: full for own, (full, *others) in nearest.items() if not others}
    # a fact's own: MetricFlow lists those of what it names too, and then cannot resolve them
    entities = {
        entity.name
        for model in semantic_manifest().semantic_models
        if model.name in own
        for entity in model.entities
    }
    listed = {entity.name for entity in engine().entities_for_metrics(list(names))}
    keys = {name: name for name in sorted(entities & listed & KEYS)}
    return keys | short | {name: name for name in sorted(known) if name not in short.values()}


def _own_models(names: Sequence[str]) -> set[str]:
    """Return the semantic models that these metrics' measures are in."""
    by_name = {metric.name: metric for metric in semantic_manifest().metrics}
    homes = {
        measure.name: model.name
        for model in semantic_manifest().semantic_models
        for measure in model.measures
    }
    waiting, found = list(names), set()
    while waiting:
        metric = by_name[waiting.pop()]
        waiting += [part.name for part in metric.input_metrics]
        found |= {homes[measure.name] for measure in metric.input_measures}
    return found


def _periods(names: Sequence[str]) -> tuple[str, ...]:
    """Return the periods that all of these metrics are counted by."""
    finest = [
        dimension.type_params.time_granularity.value
        for dimension in engine().simple_dimensions_for_metrics(list(names))
        if dimension.name == TIME
    ]
    return PERIODS[max(map(PERIODS.index, finest), default=0) :]


def metric_sql(
    names: Sequence[str],
    by: Sequence[str] = (),
    where: Sequence[str] = (),
    first: str | None = None,
    last: str | None = None,
) -> str:
    """Return the SQL that answers a question, over the tables of schema ``marts``.

    Args:
        names: Metrics.
        by: Periods (``PERIODS``), short names of dimensions, or MetricFlow's own names.
        where: Conditions, all of which hold, as ``metric_conditions.condition`` reads them; names
            as for ``by``.
        first: Day, month, quarter or year from which facts count.
        last: Day, month, quarter or year up to and including which they count.

    Raises:
        UserError: A metric or dimension is unknown, or a condition cannot be read.
    """
    from metricflow.engine.metricflow_engine import MetricFlowQueryRequest
    from metricflow_semantics.errors.error_classes import InvalidQueryException

    known = metric_names()
    for name in names:
        if name not in known:
            raise UserError(f"there is no metric {name}; `crm metrics` lists the {len(known)}.")
    dimensions = _dimensions(names)
    group_by = [_resolved(name, names, dimensions) for name in by]
    if len(set(group_by)) < len(group_by):
        raise UserError(f"--by {','.join(by)} names one thing twice.")
    constraints = [
        metric_conditions.condition(text, lambda name: _resolved(name, names, dimensions))
        for text in where
    ]
    constraints += metric_conditions.between(first, last, _periods(names)[0])
    request = MetricFlowQueryRequest.create(
        metric_names=list(names), group_by_names=group_by, where_constraints=constraints
    )
    try:
        sql = str(engine().explain(request).sql_statement.sql)
    except InvalidQueryException as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{', '.join(names)} cannot be asked so: {reason}") from None
    sql = re.sub(r'"\w+"\."(marts|scores)"\.', r'"\1".', sql)
    columns = [f"cast({n} as date)" if n.startswith(TIME) else n for n in group_by]
    asked = [f'{column} as "{name}"' for column, name in zip(columns, by, strict=True)]
    order = f"\norder by {', '.join(map(str, range(1, len(asked) + 1)))}" if asked else ""
    return f"select {', '.join([*asked, *names])}\nfrom (\n{sql}\n){order}"


def _resolved(name: str, names: Sequence[str], dimensions: dict[str, str]) -> str:
    periods = _periods(names)
    if name in periods:
        return f"{TIME}__{name}"
    if name.startswith(f"{TIME}__") or name in dimensions.values():
        return name
    if name in dimensions:
        return dimensions[name]
    # what people call it: `segment` for `segment_name`
    longer = [full for short, full in dimensions.items() if short == f"{name}_name"]
    if len(longer) == 1:
        return longer[0]
    offered = ", ".join((*periods, *sorted(dimensions)))
    raise UserError(f"{', '.join(names)} cannot be asked by {name}; by {offered} they can.")
