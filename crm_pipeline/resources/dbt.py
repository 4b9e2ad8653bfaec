"""The dbt project as Dagster sees it: a prepared manifest and a command that does not parse.

``python -m crm_pipeline.resources.dbt`` prepares the manifest (``make setup`` calls it).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from dagster_dbt import DbtCliResource, DbtProject
from packaging import version

from crm_pipeline.dbt_command import PREPARED, PROJECT
from crm_pipeline.errors import UserError
from crm_pipeline.resources.lineage import Lineage, column_lineage
from crm_pipeline.resources.warehouse import exclusive

MANIFEST = PROJECT / "target" / "manifest.json"
_DIGEST = PROJECT / "target" / "project.sha256"
_LINEAGE = PROJECT / "target" / "column_lineage.json"
_PARTS = ("models", "macros", "seeds", "tests")


def project_digest() -> str:
    """SHA-256 over the names and contents of all files that dbt parses, and dbt's versions."""
    digest = hashlib.sha256()
    for package in ("dbt-core", "dbt-duckdb"):
        digest.update(f"{package}=={installed_version(package)}\n".encode())
    files = [PROJECT / "dbt_project.yml", PROJECT / "profiles.yml"]
    for part in _PARTS:
        files += sorted(p for p in (PROJECT / part).rglob("*") if p.is_file())
    for file in files:
        digest.update(file.relative_to(PROJECT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def invoke(
    arguments: Sequence[str], target: Path = PROJECT / "target", sources: str = "demo"
) -> None:
    """Run dbt in this process on a warehouse below ``target``, where its artefacts go too.

    Raises:
        UserError: It failed; the message is dbt's.
    """
    from dbt.cli.main import dbtRunner

    # The manifest holds the database's name, which DuckDB takes from the file's: whatever home
    # is set, it must be prepared as for $CRM_HOME/warehouse.duckdb.
    settings = {
        "CRM_WAREHOUSE": str(target / "warehouse.duckdb"),
        "CRM_SOURCES": sources,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    places = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    places += ["--target-path", str(target), "--log-path", str(target)]
    try:
        result = dbtRunner().invoke([*arguments, *places, "--quiet"])
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    if not result.success:
        raise UserError(f"dbt {arguments[0]} failed: {result.exception or 'see the lines above'}")


def _is_prepared(digest: str) -> bool:
    files = (MANIFEST, PREPARED, _DIGEST)
    return all(file.is_file() for file in files) and _DIGEST.read_text() == digest


def ensure_manifest() -> dict[str, Any]:
    """Return dbt's manifest, parsing the project first if a file of it changed.

    Raises:
        UserError: The project does not parse; the message is dbt's.
    """
    digest = project_digest()
    if not _is_prepared(digest):
        # two processes that found it stale would read each other's half-written files
        with exclusive(_DIGEST.with_suffix(".lock"), wait_seconds=300):
            if not _is_prepared(digest):
                invoke(["parse"])
                _DIGEST.write_text(digest)
    manifest: dict[str, Any] = json.loads(MANIFEST.read_bytes())
    return manifest


def every_source(manifest: dict[str, Any]) -> str:
    """Return the names of all sources, as ``CRM_SOURCES`` takes them."""
    raw = {n["source_name"] for n in manifest["sources"].values() if n["schema"] == "raw"}
    return ",".join(sorted(raw))


def prepare_lineage(manifest: dict[str, Any]) -> None:
    """Compile every model with all sources enabled, and keep which column comes from which."""
    if _LINEAGE.is_file() and json.loads(_LINEAGE.read_bytes())["digest"] == _DIGEST.read_text():
        return
    with tempfile.TemporaryDirectory() as folder:
        invoke(["compile", "--no-introspect"], Path(folder), every_source(manifest))
        compiled = json.loads((Path(folder) / "manifest.json").read_bytes())
    seeds = {}
    for unique_id, node in compiled["nodes"].items():
        if node["resource_type"] == "seed":
            with (PROJECT / node["original_file_path"]).open(encoding="utf-8", newline="") as file:
                seeds[unique_id] = next(csv.reader(file))
    lineage = column_lineage(compiled, seeds)
    _LINEAGE.write_text(json.dumps({"digest": _DIGEST.read_text(), "lineage": lineage}))


def prepared_lineage() -> Lineage:
    """Return the prepared column lineage; empty where the project changed since set-up."""
    if not _LINEAGE.is_file():
        return {}
    prepared = json.loads(_LINEAGE.read_bytes())
    lineage: Lineage = prepared["lineage"] if prepared["digest"] == _DIGEST.read_text() else {}
    return lineage


class PreparedDbt(DbtCliResource):
    """``DbtCliResource`` without what we do not use: version probe, adapter, parsing."""

    # dagster-dbt would start `dbt --version` in a process of its own: seconds, for one number.
    @property
    def _cli_version(self) -> version.Version:  # type: ignore[override]
        return version.parse(installed_version("dbt-core"))

    # Only the fetch_* methods need an adapter here; it takes seconds and can hold the file open.
    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        return None


def dbt_resource() -> PreparedDbt:
    """Return dbt's command line as a resource that runs on the prepared manifest."""
    return PreparedDbt(
        project_dir=str(PROJECT),
        profiles_dir=str(PROJECT),
        dbt_executable=str(Path(sys.executable).parent / "crm-dbt"),
    )


def dbt_project() -> DbtProject:
    """Return the project's folders, for code references and the manifest's place."""
    return DbtProject(project_dir=PROJECT, profiles_dir=PROJECT)


if __name__ == "__main__":
    prepare_lineage(ensure_manifest())
