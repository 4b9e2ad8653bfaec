"""dbt's documentation, as one page that opens from disk: ``make docs`` calls this module.

Belongs here: the catalogue that the page shows, made of empty tables as they are declared, so that
it needs neither a run nor a network.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb

from crm_pipeline.dbt_command import PREPARED, PROJECT
from crm_pipeline.resources.dbt import ensure_manifest, every_source, invoke

FOLDER = PROJECT / "target" / "docs"
PAGE = "static_index.html"


def write_docs(folder: Path = FOLDER) -> Path:
    """Write dbt's documentation with lineage and every published table, and return its page."""
    manifest = ensure_manifest()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # what is parsed already need not be parsed again
    shutil.copyfile(PREPARED, folder / PREPARED.name)
    warehouse = folder / "warehouse.duckdb"
    create_declared(warehouse, manifest)
    invoke(["docs", "generate", "--static"], folder, every_source(manifest))
    warehouse.unlink()
    return folder / PAGE


def create_declared(file: Path, manifest: dict[str, Any]) -> None:
    """Create every published table and every source, empty, as its yaml declares it."""
    nodes = [*manifest["sources"].values(), *manifest["nodes"].values()]
    with duckdb.connect(str(file)) as db:
        for node in nodes:
            columns = [c for c in node["columns"].values() if c["data_type"]]
            if node["schema"] not in ("marts", "scores", "raw", "control") or not columns:
                continue
            name = node.get("identifier") or node["name"]
            listed = ", ".join(f'"{c["name"]}" {c["data_type"]}' for c in columns)
            db.execute(f'create schema if not exists "{node["schema"]}"')
            db.execute(f'create table "{node["schema"]}"."{name}" ({listed})')


if __name__ == "__main__":
    print(f"dbt documentation, opens from disk: {write_docs()}")
