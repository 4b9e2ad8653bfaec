"""Which tables are published, under which key, and what every column means: from dbt's manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crm_pipeline.errors import UserError

PUBLISHED_SCHEMAS = ("marts", "scores")

_UNITS = (
    ("_amount", "reporting currency"),
    ("_price", "reporting currency"),
    ("_cost", "reporting currency"),
    ("_days", "days"),
    ("_rate", "0 to 1"),
    ("_share", "share of the total, may be negative"),
    ("_probability", "probability, 0 to 1"),
    ("_at", "UTC instant"),
    ("_on", "business day"),
    ("_count", "count"),
    ("_score", "1 (worst) to 5 (best)"),
)
"""Units are part of a column's name (design.md, Names), so the dictionary reads them there."""


@dataclass(frozen=True)
class Column:
    """One published column."""

    name: str
    description: str
    unit: str | None


@dataclass(frozen=True)
class PublishedTable:
    """One published table: its columns as declared, and the key that orders its rows."""

    schema: str
    name: str
    key: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]
    event_time: str | None


def unit_of(column: str) -> str | None:
    """Return the unit that a column's name states, or ``None``."""
    return next((unit for suffix, unit in _UNITS if column.endswith(suffix)), None)


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**node.get("meta", {}), **node.get("config", {}).get("meta", {})}


def _nodes(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for node in manifest["nodes"].values():
        public = node["resource_type"] == "model" and node.get("access") == "public"
        if public and node["schema"] in PUBLISHED_SCHEMAS:
            yield node["name"], node
    for source in manifest["sources"].values():
        if source["schema"] in PUBLISHED_SCHEMAS:
            yield source["identifier"], source


def published_tables(manifest: Mapping[str, Any]) -> list[PublishedTable]:
    """Return every published table, sorted by schema and name.

    Raises:
        UserError: A public table states no key, so its rows would have no order.
    """
    tables = []
    for name, node in _nodes(manifest):
        meta = _meta(node)
        if not meta.get("key"):
            raise UserError(f"{node['schema']}.{name} states no config.meta.key in its yaml.")
        columns = tuple(
            Column(
                column["name"],
                column["description"],
                _meta(column).get("unit") or unit_of(column["name"]),
            )
            for column in node["columns"].values()
        )
        names = {column.name for column in columns}
        tables.append(
            PublishedTable(
                schema=node["schema"],
                name=name,
                key=tuple(meta["key"]),
                description=node["description"],
                columns=columns,
                event_time=meta.get("event_time") or ("as_of" if "as_of" in names else None),
            )
        )
    return sorted(tables, key=lambda table: (table.schema, table.name))
