"""Which columns a model's column comes from: read off the compiled SQL once, at set-up.

dagster-dbt can ask the warehouse for this after every build; that costs seconds of each run and
leaves a connection open. The answer only changes with the SQL, so it is prepared beside dbt's
manifest and attached to every materialisation for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_pipeline.defs.landing.contracts import stored_as

VERSIONS = "__versions"
Lineage = dict[str, dict[str, list[tuple[str, str]]]]
"""Model's unique id -> column -> (parent's unique id, parent's column)."""


def _name(node: Mapping[str, Any]) -> str:
    return str(node.get("identifier") or node.get("alias") or node["name"])


def _relations(manifest: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    found = {
        (node["schema"], _name(node)): node["unique_id"]
        for node in nodes
        if node["resource_type"] in ("model", "seed", "source")
    }
    # beside a raw table lies the view of its versions, with the same columns
    versions = {(schema, f"{name}{VERSIONS}"): key for (schema, name), key in found.items()}
    return versions | found


def _in_order(manifest: Mapping[str, Any]) -> list[str]:
    models = {k for k, n in manifest["nodes"].items() if n["resource_type"] == "model"}
    ordered: list[str] = []
    seen: set[str] = set()

    def visit(unique_id: str) -> None:
        if unique_id in seen or unique_id not in models:
            return
        seen.add(unique_id)
        for parent in sorted(manifest["nodes"][unique_id]["depends_on"]["nodes"]):
            visit(parent)
        ordered.append(unique_id)

    for unique_id in sorted(models):
        visit(unique_id)
    return ordered


def column_lineage(manifest: Mapping[str, Any], seed_columns: Mapping[str, list[str]]) -> Lineage:
    """Return every model column's direct parents.

    Args:
        manifest: dbt's manifest after ``dbt compile``, with all sources enabled.
        seed_columns: Seed's unique id -> its columns, which dbt does not know.

    Returns:
        One entry a model; a column that comes from no other (a literal) has no parents.
    """
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify

    relations = _relations(manifest)
    schema: dict[str, dict[str, dict[str, str]]] = {}

    def learn(node: Mapping[str, Any], columns: list[str]) -> None:
        schema.setdefault(node["schema"], {})[_name(node)] = dict.fromkeys(columns, "text")

    for node in manifest["sources"].values():
        columns = [
            name
            for column in node["columns"].values()
            for name, _ in stored_as(
                column["name"], "", (column.get("config") or {}).get("meta") or {}
            )
        ]
        learn(node, [*columns, "_file", "_line"] if node["schema"] == "raw" else columns)
        if node["schema"] == "raw":
            schema["raw"][_name(node) + VERSIONS] = schema["raw"][_name(node)]
    for unique_id, columns in seed_columns.items():
        learn(manifest["nodes"][unique_id], columns)
    found: Lineage = {}
    for unique_id in _in_order(manifest):
        node = manifest["nodes"][unique_id]
        try:
            tree = parse_one(node["compiled_code"], dialect="duckdb")
            for table in tree.find_all(exp.Table):
                table.set("catalog", None)
            query: Any = qualify(
                tree,
                dialect="duckdb",
                schema=dict[Any, Any](schema),
                validate_qualify_columns=False,
            )
            columns = [column.alias_or_name for column in query.selects]
        except (SqlglotError, KeyError):
            learn(node, list(node["columns"]))
            continue
        learn(node, columns)
        found[unique_id] = {}
        for column in columns:
            try:
                root = lineage(
                    column, query.copy(), dialect="duckdb", schema=dict[Any, Any](schema)
                )
            except (SqlglotError, ValueError):
                continue
            parents = set()
            for leaf in root.walk():
                if isinstance(leaf.expression, exp.Table):
                    parent = relations.get((leaf.expression.db, leaf.expression.name))
                    if parent:
                        parents.add((parent, leaf.name.rpartition(".")[2].strip('"')))
            found[unique_id][column] = sorted(parents)
    return found
