"""A small company to land files for: contracts from yaml text, a home, one call to land."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml

from crm_pipeline.defs.landing.ledger import landed_files, quarantine_summary, retract
from crm_pipeline.defs.landing.loader import land
from crm_pipeline.defs.landing.report import LandingReport
from crm_pipeline.defs.landing.sources import SourceContract, sources_from_manifest

START = datetime.fromisoformat("2026-01-01 12:00:00")


def manifest_of(text: str) -> dict[str, Any]:
    """Build the part of dbt's manifest that landing reads, as dbt 1.11 writes it."""
    nodes: dict[str, Any] = {}
    for source in yaml.safe_load(text)["sources"]:
        shared = (source.get("config") or {}).get("meta") or {}
        for table in source["tables"]:
            own = (table.get("config") or {}).get("meta") or {}
            nodes[f"source.crm.{source['name']}.{table['name']}"] = {
                "name": table["name"],
                "source_name": source["name"],
                "schema": source.get("schema", "raw"),
                "identifier": table.get("identifier", f"{source['name']}__{table['name']}"),
                "original_file_path": f"models/staging/{source['name']}/_sources.yml",
                "source_meta": shared,
                "config": {"meta": {**shared, **own}},
                "columns": {column["name"]: column for column in table["columns"]},
            }
    return {"sources": nodes}


def contracts_of(text: str) -> dict[str, SourceContract]:
    return sources_from_manifest(manifest_of(text))


def shop(
    columns: str | None = None, *, time_zone: str = "UTC", **settings: object
) -> dict[str, SourceContract]:
    """Return a source ``shop`` with one table ``orders``; ``settings`` are the table's."""
    table = {"files": ["orders*"], **settings}
    declared = yaml.safe_load(
        columns
        or """
        - {name: id, data_type: bigint, config: {meta: {required: true}}}
        - {name: name, data_type: varchar}
        - {name: amount, data_type: "decimal(10,2)"}
        """
    )
    document = {
        "sources": [
            {
                "name": "shop",
                "config": {"meta": {"time_zone": time_zone}},
                "tables": [{"name": "orders", "config": {"meta": table}, "columns": declared}],
            }
        ]
    }
    return contracts_of(yaml.safe_dump(document))


class Company:
    """A throw-away home and its warehouse."""

    def __init__(
        self, home: Path, contracts: dict[str, SourceContract], *, in_memory: bool = False
    ) -> None:
        self.home = home
        self.contracts = contracts
        self.con = duckdb.connect(":memory:" if in_memory else str(home / "warehouse.duckdb"))
        self.now = START

    def put(self, name: str, data: bytes | str, source: str = "shop") -> Path:
        """Deliver a complete file, at the company's own time."""
        path = self.home / "inbox" / source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        at = self.clock().replace(tzinfo=UTC).timestamp()
        path.with_name(name + ".done").touch()
        for written in (path, path.with_name(name + ".done")):
            os.utime(written, (at, at))
        return path

    def remove(self, name: str, source: str = "shop") -> None:
        path = self.home / "inbox" / source / name
        path.unlink()
        path.with_name(name + ".done").unlink(missing_ok=True)

    def clock(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def land(self, **changes: Any) -> LandingReport:
        arguments: dict[str, Any] = {
            "home": self.home,
            "contracts": self.contracts,
            "enabled": list(self.contracts),
            "time_zone": "UTC",
            "clock": self.clock,
        }
        return land(self.con, **(arguments | changes))

    def retract(self, name: str, source: str = "shop") -> list[str]:
        return retract(self.con, self.contracts, source, name, now=self.clock())

    def rows(self, columns: str = "*", table: str = "shop__orders") -> list[tuple[Any, ...]]:
        return self.con.execute(f"select {columns} from raw.{table} order by all").fetchall()

    def quarantine(self) -> list[tuple[Any, ...]]:
        return self.con.execute(
            "select line_number, column_name, reason, raw_value from control.quarantine "
            "order by line_number, column_position"
        ).fetchall()

    def accounts(self) -> list[tuple[Any, ...]]:
        """File name, rows read, accepted, quarantined."""
        return [(row[2], *row[4:7]) for row in landed_files(self.con).fetchall()]

    def summary(self) -> list[tuple[Any, ...]]:
        return quarantine_summary(self.con).fetchall()


def outcomes(report: LandingReport) -> dict[str, str]:
    return {file.file_name: file.outcome for file in report.files}


def utc(text: str) -> datetime:
    """Return a naive UTC time, as DuckDB does."""
    return datetime.fromisoformat(text)


def land_text(
    home: Path, data: str | bytes, columns: str | None = None, **settings: object
) -> tuple[Company, LandingReport]:
    """Land one file of one table."""
    company = Company(home, shop(columns, **settings))
    company.put("orders.csv", data)
    return company, company.land()


def parquet(path: Path, query: str) -> bytes:
    """A Parquet file of what a query returns, written to ``path``."""
    with duckdb.connect() as con:
        con.execute(f"copy ({query}) to '{path}' (format parquet)")
    return path.read_bytes()
