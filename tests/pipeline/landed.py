"""A warehouse that the pipeline's own landing filled, with dbt on top: whole stages, no models."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from crm_pipeline.defs.landing.changes import Scope, begin_build, end_build, readers
from crm_pipeline.defs.landing.ledger import event_span
from crm_pipeline.defs.landing.loader import land
from crm_pipeline.defs.landing.report import LandingReport
from crm_pipeline.defs.landing.settings_table import write_run_settings
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.publication.catalogue import PublishedTable, published_tables
from crm_pipeline.defs.publication.writing import copy_table
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.warehouse import Warehouse
from crm_pipeline.settings import Settings, load_settings
from tests.pipeline.support import parquet_digests
from tests.unit.sql_harness import BEFORE_SCORES, SqlWarehouse, environment_of

AFTER_SCORES = (
    "customer_360", "score_coverage", "audience_high_value_at_risk", "audience_next_offer_by_email",
    "audience_next_offer_by_sms", "audiences",
)  # fmt: skip
"""Marts that are made of scores, and of other marts by Python."""


@dataclass
class LandedWarehouse(SqlWarehouse):
    """The file of a home, into which its inbox lands; ``folder`` is the home."""

    time_zone: str = "Europe/Berlin"

    def __post_init__(self) -> None:
        """Landing makes the tables."""
        (self.folder / "inbox").mkdir(parents=True, exist_ok=True)

    @property
    def company(self) -> Settings:
        return load_settings(
            {
                "CRM_HOME": str(self.folder),
                "CRM_SOURCES": ",".join(self.sources),
                "CRM_TIMEZONE": self.time_zone,
            }
        )

    def clock(self) -> datetime:
        """Return the present, naive UTC."""
        return datetime.now(UTC).replace(tzinfo=None)

    def land(self, contracts=None) -> LandingReport:
        """Land the inbox as the asset ``land_files`` does."""
        with self.connection() as db:
            return land(
                db,
                home=self.folder,
                contracts=contracts or sources_from_manifest(ensure_manifest()),
                enabled=self.sources,
                time_zone=self.time_zone,
                clock=self.clock,
            )

    def settle(self, as_of: date | None = None) -> date:
        """Write ``control.run_settings`` as its asset does; return the as-of date."""
        contracts = sources_from_manifest(ensure_manifest())
        with self.connection() as db:
            span = event_span(db, contracts, self.sources, self.time_zone)
            row = write_run_settings(db, self.company, contracts, asked=as_of, span=span)
        found = row["as_of"]
        assert isinstance(found, date)
        return found

    def build_marts(self, *, everything: str | None = None) -> Scope:
        """Run every model before the scores as the asset ``build_marts`` does."""
        manifest = ensure_manifest()
        contracts = sources_from_manifest(manifest)
        with self.connection() as db:
            scope = begin_build(
                db, contracts, self.company, readers(manifest, contracts), everything=everything
            )
        self.make(scope)
        with self.connection() as db:
            end_build(
                db, contracts, scope, keep_days=self.company.keep_history_days, now=self.clock()
            )
        return scope

    def make(self, scope: Scope) -> None:
        """Have dbt make the tables of a build."""
        arguments = ["--exclude-resource-type", "unit_test", "test", *BEFORE_SCORES]
        if not scope.is_part:
            arguments.append("--full-refresh")
        with environment_of({"CRM_SCOPE": "touched" if scope.is_part else "all"}):
            self.dbt("build", *arguments)

    def check(self, *models: str) -> None:
        """Run the data tests of some models; raises with the first that fail."""
        self.dbt("test", "--select", *models, "--exclude", "test_type:unit")

    def copy(self, folder: Path) -> LandedWarehouse:
        """Return a copy of the file, without dbt's artefacts, in another home."""
        folder.mkdir(parents=True)
        shutil.copyfile(self.path, folder / self.path.name)
        return type(self)(folder, sources=self.sources, time_zone=self.time_zone)

    def marts(self) -> dict[str, str]:
        """Table -> SHA-256 of its Parquet, as the publication would write it."""
        folder = self.folder / "publication"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        door = Warehouse(path=str(self.path), scratch=str(self.folder))
        with door.publishing(folder / "crm.duckdb") as db:
            db.execute("create schema marts")
            for table in marts_before_scores():
                copy_table(db, table, folder / "parquet")
        return parquet_digests(folder / "parquet")


def marts_before_scores() -> list[PublishedTable]:
    """Return the published marts that need no model."""
    tables = published_tables(ensure_manifest())
    return [t for t in tables if t.schema == "marts" and t.name not in AFTER_SCORES]
