"""By what each metric can be asked, as the semantic models say, and the joins that this takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crm_pipeline.resources.dbt import ensure_manifest
from tests.unit.sql_harness import PROJECT


@dataclass(frozen=True)
class Joined:
    """Dimensions of one table, and how facts reach it.

    Attributes:
        columns: What MetricFlow calls a dimension, and its column.
        sql: The join; empty for the facts' own.
    """

    columns: tuple[tuple[str, str], ...]
    sql: str


@dataclass(frozen=True)
class Model:
    """A semantic model: its table, and the entities that it names."""

    table: str
    primary: str
    entities: dict[str, str]
    categories: tuple[str, ...]
    has_measures: bool


def _models() -> dict[str, Model]:
    ensure_manifest()
    said = json.loads((PROJECT / "target" / "semantic_manifest.json").read_text())
    return {model["name"]: _model(model) for model in said["semantic_models"]}


def _model(said: dict[str, Any]) -> Model:
    entities = {one["name"]: one["expr"] or one["name"] for one in said["entities"]}
    own = [one["name"] for one in said["entities"] if one["type"] == "primary"]
    return Model(
        table=f"{said['node_relation']['schema_name']}.{said['node_relation']['alias']}",
        primary=said["primary_entity"] or own[0],
        entities=entities,
        categories=tuple(d["name"] for d in said["dimensions"] if d["type"] == "categorical"),
        has_measures=bool(said["measures"]),
    )


def _dimensions(model: Model) -> Iterator[Joined]:
    if model.categories:
        yield Joined(
            tuple((f"{model.primary}__{name}", f"facts.{name}")
                  for name in model.categories), "",
        )  # fmt: skip
    for entity, column in model.entities.items():
        for other in MODELS.values():
            if other.primary != entity or other is model or not other.categories:
                continue
            yield Joined(
                tuple((f"{entity}__{name}", f"other.{name}") for name in other.categories),
                f"left join {other.table} as other "
                f"on facts.{column} = other.{other.entities[entity]}",
            )


MODELS = _models()
"""Every semantic model, by name."""
DIMENSIONS = {name: tuple(_dimensions(m)) for name, m in MODELS.items() if m.has_measures}
DIMENSIONS = {name: joined for name, joined in DIMENSIONS.items() if joined}
"""Semantic model with measures -> its own dimensions, and those of each table that it joins."""
