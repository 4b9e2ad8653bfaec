"""What dbt executes, recorded once a project and settings, to be executed again without dbt.

A dbt build takes seconds, nearly all of them Python's; its SQL takes a fraction of one. So one
build of each kind is listened to, and what changes the warehouse is kept, word for word and in
order, transactions included. Left out is what changes no row: look-ups in the catalogue, comments.
"""

from __future__ import annotations

import gc
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.warehouse import exclusive
from tests.unit.sql_harness import (
    BEFORE_SCORES,
    PROJECT,
    as_crm_dbt_does,
    environment_of,
    places_of,
    project_manifest,
)

_CACHE = PROJECT / "target" / "recorded"
_KEPT = 60
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_WITHOUT_EFFECT = ("select", "describe", "comment", "show")


@dataclass(frozen=True)
class Node:
    """One model or seed and the statements that make it, in order."""

    unique_id: str
    statements: tuple[str, ...]

    @property
    def view(self) -> str | None:
        """The view's text, where it is one: what it is made of, not how it is put in place."""
        found = [s for s in self.statements if re.match(r"create\s+view", s, re.IGNORECASE)]
        return found[0].replace("__dbt_tmp", "") if found else None


@dataclass(frozen=True)
class Recording:
    """The SQL of the builds before the scores, for one set of sources, time zone and currency.

    Attributes:
        schemas: Statements that make the schemas.
        first: Nodes of a build into an empty warehouse.
        everything: Nodes of a full refresh over the tables of an earlier build.
        part: Nodes of a partial build.
        tests: Data test -> its SQL.
    """

    schemas: tuple[str, ...]
    first: tuple[Node, ...]
    everything: tuple[Node, ...]
    part: tuple[Node, ...]
    tests: dict[str, str]


@cache
def manifest_of(project: Path = PROJECT) -> dict[str, Any]:
    """Return the manifest of our project, or of a changed copy of it."""
    if project == PROJECT:
        return ensure_manifest()
    manifest: dict[str, Any] = project_manifest(project).writable_manifest().to_dict()
    return manifest


def _key(project: Path, sources: Sequence[str], time_zone: str, currency: str) -> str:
    parts = [version("dbt-core"), version("dbt-duckdb"), sorted(sources), time_zone, currency]
    digest = hashlib.sha256(json.dumps(parts).encode() + Path(__file__).read_bytes())
    for file in sorted(p for p in project.rglob("*") if p.is_file()):
        name = file.relative_to(project)
        if name.parts[0] not in ("target", "logs"):
            digest.update(name.as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:24]


def recording(
    sources: Sequence[str],
    time_zone: str,
    project: Path = PROJECT,
    *,
    currency: str = "",
    again: bool = False,
) -> Recording:
    """Return what dbt executes; made once, then read from ``dbt_project/target/recorded``."""
    file = _CACHE / f"{_key(project, sources, time_zone, currency)}.json"
    _CACHE.mkdir(parents=True, exist_ok=True)
    # whoever else needs the same one waits for it
    with exclusive(file.with_suffix(".lock"), wait_seconds=600):
        if again or not file.is_file():
            with TemporaryDirectory() as folder:
                with environment_of({"CRM_CURRENCY": currency}):
                    made = _record(Path(folder), sources, time_zone, project)
            temporary = file.with_suffix(".new")
            temporary.write_text(json.dumps(asdict(made)))
            temporary.replace(file)
    for old in sorted(_CACHE.glob("*.json"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
        old.with_suffix(".lock").unlink(missing_ok=True)
    kept = json.loads(file.read_text())
    nodes = {
        name: tuple(Node(node["unique_id"], tuple(node["statements"])) for node in kept[name])
        for name in ("first", "everything", "part")
    }
    return Recording(tuple(kept["schemas"]), tests=kept["tests"], **nodes)


def _record(folder: Path, sources: Sequence[str], time_zone: str, project: Path) -> Recording:
    from crm_pipeline.defs.landing.sources import sources_from_manifest
    from tests.pipeline.landed import LandedWarehouse

    warehouse = LandedWarehouse(folder, sources=sources, time_zone=time_zone, project=project)
    warehouse.land(sources_from_manifest(manifest_of(project)))
    warehouse.set(as_of=date(2024, 6, 1))
    first = _listen(warehouse, ["--full-refresh"])
    everything = _listen(warehouse, ["--full-refresh", "--exclude-resource-type", "test"])
    part = _listen(warehouse, ["--exclude-resource-type", "test"], scope="touched")
    return Recording(
        schemas=tuple(sql for _, sql in first if sql.startswith("create schema")),
        first=_nodes(first),
        everything=_nodes(everything),
        part=_nodes(part),
        tests={node: sql for node, sql in first if node.startswith("test.") and "select" in sql},
    )


def _listen(warehouse: Any, arguments: list[str], scope: str = "all") -> list[tuple[str, str]]:
    """Run dbt in one thread; return (node or nothing, SQL) of what it executed, in order."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    heard: list[tuple[str, str]] = []

    def listen(event: Any) -> None:
        if event.info.name == "SQLQuery":
            node = event.data.node_info.unique_id
            sql = _COMMENT.sub("", event.data.sql).strip()
            first_word = sql.split(maxsplit=1)[0].lower()
            is_test = node.startswith("test.")
            if (first_word not in _WITHOUT_EFFECT) != is_test or " as failures" in sql:
                # the log shows a seed's statement with dots behind it
                heard.append((node, sql.removesuffix("...").strip()))

    environment = {
        "CRM_WAREHOUSE": str(warehouse.path),
        "CRM_SOURCES": ",".join(warehouse.sources),
        "CRM_TIMEZONE": warehouse.time_zone,
        "CRM_SCOPE": scope,
    }
    as_crm_dbt_does()
    with environment_of(environment):
        runner = dbtRunner(manifest=project_manifest(warehouse.project), callbacks=[listen])
        gc.disable()
        try:
            result = runner.invoke(
                [
                    "build", *places_of(warehouse.folder / "target", warehouse.project),
                    "--threads", "1", "--exclude-resource-type", "unit_test",
                    *BEFORE_SCORES, *arguments,
                ]
            )  # fmt: skip
        finally:
            if DuckDBConnectionManager._ENV is not None:
                DuckDBConnectionManager._ENV.close()
            DuckDBConnectionManager.close_all_connections()
            gc.enable()
            gc.collect()
    assert result.success, f"dbt build {' '.join(arguments)} failed: {result.exception}"
    return heard


def _nodes(heard: list[tuple[str, str]]) -> tuple[Node, ...]:
    statements: dict[str, list[str]] = {}
    for node, sql in heard:
        if node.startswith(("model.", "seed.")):
            statements.setdefault(node, []).append(sql)
    return tuple(Node(node, tuple(made)) for node, made in statements.items())
