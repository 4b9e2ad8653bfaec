"""A company whose days are lived through stage by stage: land, build, publish.

No Dagster and no models: a day costs seconds. What a run publishes, this publishes.
"""

from __future__ import annotations

import os
import shutil
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from crm_pipeline.defs.activation.assets import count_audiences
from crm_pipeline.defs.landing.ledger import retract
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.modelling.registered import ANALYSES, MODELS
from crm_pipeline.defs.modelling.store import (
    CHAMPION_TABLE,
    EVALUATION_TABLE,
    replace_table,
    write_scores,
)
from crm_pipeline.defs.publication.assets import publish_warehouse
from crm_pipeline.defs.publication.meta_tables import META_TABLES
from crm_pipeline.defs.publication.swap import parquet_digests
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.warehouse import Warehouse
from tests.pipeline.landed import LandedWarehouse


@dataclass
class Days(LandedWarehouse):
    """A home with a clock of its own; ``folder`` is the home."""

    time_zone: str = "UTC"
    marts_only: bool = False
    """Scores and what is made of them stay as the first day left them, to be quick about it."""
    has_scores: bool = False
    now: datetime = field(default_factory=lambda: datetime.fromisoformat("2026-01-05 06:00:00"))

    def clock(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def put(self, name: str, text: str, source: str = "demo") -> None:
        """Deliver a complete file."""
        path = self.folder / "inbox" / source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
        at = self.clock().replace(tzinfo=UTC).timestamp()
        path.with_name(name + ".done").touch()
        for written in (path, path.with_name(name + ".done")):
            os.utime(written, (at, at))

    def retract(self, name: str, source: str = "demo") -> None:
        contracts = sources_from_manifest(ensure_manifest())
        with self.connection() as db:
            retract(db, contracts, source, name, now=self.clock())

    def build(self, *arguments: str) -> None:
        """Models in proportion to what changed, and scores as they are without a champion."""
        self.build_marts()
        if self.has_scores and self.marts_only:
            return
        with self.connection() as db:
            row = db.execute("select as_of from control.run_settings").fetchone()
            assert row is not None
            db.execute(CHAMPION_TABLE)
            db.execute(EVALUATION_TABLE)
            for spec in MODELS:
                write_scores(
                    db, spec, None, as_of=row[0], model_version=None, status="too_little_data"
                )
            for analysis in ANALYSES:
                for table, types in analysis.tables.items():
                    replace_table(db, table, types, None, row[0])
        self.dbt("run", "--select", "source:scores+")
        with self.connection() as db:
            count_audiences(db)
        self.has_scores = True

    @property
    def door(self) -> Warehouse:
        return Warehouse(path=str(self.path), scratch=str(self.folder))

    def publish(self, run_id: str = "run") -> int:
        """Publish the warehouse as it is; return how many figures that restates."""
        checks = pd.DataFrame(columns=list(META_TABLES["quality"].columns))
        return publish_warehouse(self.door, self.company, checks, self.clock(), run_id)[2]

    def day(self, run_id: str = "run", as_of: date | None = None) -> int:
        """Land, build and publish."""
        self.land()
        self.settle(as_of)
        self.build()
        return self.publish(run_id)

    def published(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.folder / "published" / "crm.duckdb"), read_only=True)

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        with self.published() as db:
            return db.execute(sql).fetchall()

    def digests(self) -> dict[str, str]:
        return parquet_digests(self.folder / "published")

    def twin(self, folder: Path) -> Days:
        """Copy the whole home, publications included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(deepcopy(self), folder=folder)


HEADER = "order_no,customer_no,ordered_at,channel,delivery_instruction\n"
ITEM_HEADER = "order_no,line_no,ordered_at,sku,quantity,unit_price,unit_cost,line_amount\n"


def orders(*rows: tuple[str, str, str]) -> str:
    """An order file: number, customer, time."""
    return HEADER + "".join(f"{no},{customer},{at},web,\n" for no, customer, at in rows)


def items(*rows: tuple[str, str, float]) -> str:
    """A file of one-line orders: number, time, amount."""
    return ITEM_HEADER + "".join(
        f"{no},1,{at},SKU1,1,{amount:.2f},1.00,{amount:.2f}\n" for no, at, amount in rows
    )
