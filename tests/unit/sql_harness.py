"""A throw-away warehouse for tests of the SQL: raw tables that a test fills, and dbt on top.

Nothing here knows how files are landed: a test hands over the rows that landing would have left.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb
import pandas as pd

from crm_pipeline.dbt_command import (
    leave_out_unheard_events,
    share_macro_contexts,
    show_metrics_to_unit_tests,
)
from crm_pipeline.defs.landing.contracts import stored_as
from tests.once import made_once, run_folder

PROJECT = Path(__file__).parents[2] / "dbt_project"
BEFORE_SCORES = ("--exclude", "source:scores+")
RUN_SETTINGS: dict[str, Any] = {
    "as_of": date(2025, 12, 31),
    "horizon_days": 90,
    "clv_horizon_days": 365,
    "clv_holdout_days": 90,
    "discount_rate": 0.10,
    "currency": "EUR",
    "time_zone": "UTC",
}


@cache
def as_crm_dbt_does() -> None:
    """Once a process: change dbt as ``crm-dbt`` does."""
    show_metrics_to_unit_tests()
    leave_out_unheard_events()
    share_macro_contexts()


@cache
def project_manifest(project: Path = PROJECT) -> Any:
    """Return a parsed project: ours as set-up prepared it, a changed copy parsed once a process."""
    from dbt.cli.main import dbtRunner

    if project == PROJECT:
        return _prepared_manifest()
    with environment_of({"CRM_WAREHOUSE": "warehouse.duckdb"}):
        result = dbtRunner().invoke(["parse", *places_of(Path(mkdtemp()), project)])
    if not result.success:
        raise AssertionError(f"the dbt project does not parse: {result.exception}")
    return result.result


def _prepared_manifest() -> Any:
    """Return the manifest that ``crm-dbt`` runs on; parsing again costs seconds a process."""
    from dbt.contracts.graph.manifest import Manifest

    from crm_pipeline.dbt_command import PREPARED
    from crm_pipeline.resources.dbt import ensure_manifest

    ensure_manifest()
    manifest = Manifest.from_msgpack(PREPARED.read_bytes())
    manifest.build_flat_graph()
    # it stays to the end: no later collection looks through its objects
    gc.collect()
    gc.freeze()
    return manifest


def declared_tables(project: Path = PROJECT) -> dict[str, list[tuple[str, str]]]:
    """Return ``schema.table`` -> (column, type) of every source, direct identifiers left out."""
    tables = {}
    for source in project_manifest(project).sources.values():
        columns = [
            stored
            for column in source.columns.values()
            for stored in stored_as(
                column.name, column.data_type, column.config.meta or column.meta
            )
        ]
        if source.schema == "raw":
            columns += [("_file", "varchar"), ("_line", "bigint")]
        tables[f"{source.schema}.{source.identifier}"] = columns
    return tables


def versioned_tables(project: Path = PROJECT) -> list[str]:
    """Return ``schema.table`` of the sources that keep versions of a key."""
    return [
        f"{source.schema}.{source.identifier}"
        for source in project_manifest(project).sources.values()
        if source.schema == "raw" and (source.config.meta or {}).get("version")
    ]


def project_with_source(
    folder: Path, source: str, sources_file: str, staging: Mapping[str, str]
) -> Path:
    """Return a copy of the project, below ``folder``, to which a source is added as a user would.

    Args:
        folder: Where the copy goes.
        source: The source's name.
        sources_file: Its sources file.
        staging: Entity -> SQL of the staging model that feeds it.
    """
    project = folder / "dbt_project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "lint"))
    place = project / "models/staging" / source
    place.mkdir()
    (place / f"_{source}__sources.yml").write_text(sources_file)
    for entity, sql in staging.items():
        (place / f"stg_{source}__{entity}.sql").write_text(sql)
    provided = f"    {source}: [{', '.join(sorted(staging))}]\n"
    file = project / "dbt_project.yml"
    file.write_text(file.read_text().replace("  providers:\n", f"  providers:\n{provided}"))
    return project


@contextmanager
def environment_of(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def places_of(scratch: Path, project: Path) -> list[str]:
    folders = ["--project-dir", str(project), "--profiles-dir", str(project)]
    # a log and a manifest that nobody reads are a sixth of a build
    silent = ["--quiet", "--log-level-file", "none", "--no-write-json"]
    return [*folders, "--target-path", str(scratch), "--log-path", str(scratch), *silent]


@dataclass
class SqlWarehouse:
    """One DuckDB file with every declared table, empty until a test fills it; or one made before.

    Attributes:
        folder: Where the file and dbt's artefacts go.
        sources: Enabled sources.
        time_zone: Business time zone.
        settings: Columns of ``control.run_settings`` that differ from ``RUN_SETTINGS``.
        project: The dbt project; ours, or a changed copy of it.
    """

    folder: Path
    sources: Sequence[str] = ("demo",)
    time_zone: str = "UTC"
    settings: dict[str, Any] = field(default_factory=dict)
    project: Path = PROJECT

    def __post_init__(self) -> None:
        if self.path.exists():
            return
        with self.connection() as db:
            for table, columns in declared_tables(self.project).items():
                db.execute(f"create schema if not exists {table.split('.')[0]}")
                types = ", ".join(f'"{name}" {kind}' for name, kind in columns)
                db.execute(f"create table {table} ({types})")
            for table in versioned_tables(self.project):
                db.execute(f"create view {table}__versions as from {table}")
            self._write_settings(db)

    @property
    def path(self) -> Path:
        """The file; its name is the one the project was parsed with."""
        return self.folder / "warehouse.duckdb"

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection to the file while dbt has none."""
        with duckdb.connect(str(self.path)) as db:
            db.execute("set TimeZone = 'UTC'")
            yield db

    def _write_settings(self, db: duckdb.DuckDBPyConnection) -> None:
        values = {**RUN_SETTINGS, "time_zone": self.time_zone, **self.settings}
        db.execute("delete from control.run_settings")
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        db.execute(
            f"insert into control.run_settings ({names}) values ({marks})", list(values.values())
        )

    def set(self, **settings: Any) -> None:
        """Change the run's settings."""
        self.settings.update(settings)
        with self.connection() as db:
            self._write_settings(db)

    def fill(self, table: str, rows: pd.DataFrame, schema: str = "raw") -> None:
        """Replace a table's rows; raw frames get a ``_file`` and a ``_line`` if they lack them."""
        if schema == "raw" and "_line" not in rows:
            rows = rows.assign(_file="rows.csv", _line=range(2, len(rows) + 2))
        with self.connection() as db:
            db.register("rows", rows)
            db.execute(f"delete from {schema}.{table}")
            db.execute(f"insert into {schema}.{table} by name select * from rows")

    def dbt(self, command: str, *arguments: str) -> Any:
        """Run dbt and return its result; raises with the first failures unless all went well."""
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        environment = {
            "CRM_WAREHOUSE": str(self.path),
            "CRM_SOURCES": ",".join(self.sources),
            "CRM_TIMEZONE": self.time_zone,
        }
        as_crm_dbt_does()
        with environment_of(environment):
            # as crm-dbt: collecting garbage is a tenth of its work
            gc.disable()
            try:
                result = dbtRunner(manifest=project_manifest(self.project)).invoke(
                    [command, *places_of(self.folder / "target", self.project), *arguments]
                )
            finally:
                # dbt keeps the file open for its next call; a test wants to read it
                if DuckDBConnectionManager._ENV is not None:
                    DuckDBConnectionManager._ENV.close()
                DuckDBConnectionManager.close_all_connections()
                gc.enable()
                gc.collect()
        if not result.success:
            failed = [
                f"{r.node.name}: {r.message}"
                for r in getattr(result.result, "results", [])
                if r.status not in ("success", "pass", "skipped", "no-op")
            ]
            raise AssertionError("\n".join(failed[:5]) or str(result.exception))
        return result.result

    def build(self, *arguments: str) -> Any:
        """Build everything before the scores, data tests included; or what ``arguments`` select."""
        selection = arguments or BEFORE_SCORES
        return self.dbt("build", "--exclude-resource-type", "unit_test", *selection)

    def build_part(self, *models: str) -> Any:
        """Build some models as ``run`` does, with the data tests that look at no others."""
        return self.build("--select", *models, "--indirect-selection", "cautious")

    def run(self, *models: str) -> Any:
        """Build models without their data tests; ``+name`` brings what it reads, seeds too."""
        return self.dbt(
            "build", "--exclude-resource-type", "unit_test", "test", "--select", *models
        )

    def frame(self, sql: str, *parameters: Any) -> pd.DataFrame:
        """Return a query's rows."""
        with self.connection() as db:
            return db.execute(sql, list(parameters)).df()

    def value(self, sql: str, *parameters: Any) -> Any:
        """Return the first column of a query's first row."""
        with self.connection() as db:
            row = db.execute(sql, list(parameters)).fetchone()
        return row[0] if row else None


def filled_once(
    name: str, empty: Callable[[Path], SqlWarehouse], fill: Callable[[SqlWarehouse], object]
) -> SqlWarehouse:
    """Return this process's own copy of a warehouse that one process of the session filled.

    Args:
        name: What it is called among all that the session makes.
        empty: Makes the warehouse in a folder, or finds it there.
        fill: Fills and builds it.
    """

    def make(place: Path) -> None:
        place.mkdir()
        fill(empty(place))

    own = Path(mkdtemp(prefix="crm-sql-"))
    file = "warehouse.duckdb"
    shutil.copyfile(made_once(run_folder(), name, make) / file, own / file)
    return empty(own)
