"""A warehouse in memory: the pipeline's own landing and bookkeeping, dbt's recorded SQL."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from crm_pipeline.defs.landing.changes import Readers, Scope, begin_build, end_build, readers
from crm_pipeline.defs.landing.contracts import SourceContract
from crm_pipeline.defs.landing.ledger import event_span
from crm_pipeline.defs.landing.loader import land
from crm_pipeline.defs.landing.report import LandingReport
from crm_pipeline.defs.landing.settings_table import write_run_settings
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.publication.catalogue import PublishedTable, published_tables
from crm_pipeline.defs.publication.writing import write_parquet
from crm_pipeline.settings import Settings, load_settings
from tests.pipeline.harness.generate import hints
from tests.pipeline.harness.recording import Node, manifest_of, recording
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.support import shuffle
from tests.unit.sql_harness import BEFORE_SCORES, PROJECT, environment_of

ZONE = "Pacific/Auckland"
"""Half a day from the sources' own zones: an instant's day is hardly ever UTC's."""

RATES = "exchange_rates"
"""Together with it sources keep their own currencies, and are converted or lack a rate."""

COMPANYS = "EUR"

FIRST_LANDING = datetime.fromisoformat("2020-01-01")
SCHEMAS = ("intermediate", "marts", "features")

_TABLE_MADE = re.compile(
    r'\s*create\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?table\s+((?:"\w+"\.)*"\w+")', re.IGNORECASE
)


class Plan:
    """What is the same for every warehouse of one project, set of sources and time zone."""

    def __init__(self, sources: Sequence[str], time_zone: str, project: Path = PROJECT) -> None:
        self.sources = tuple(sources)
        self.time_zone = time_zone
        self.project = project
        manifest = manifest_of(project)
        self.currency = COMPANYS if RATES in sources else ""
        self.recorded = recording(sources, time_zone, project, currency=self.currency)
        self.contracts = {
            name: _for_small_files(contract, has_currency=bool(self.currency))
            for name, contract in sources_from_manifest(manifest).items()
        }
        self.enabled = {name: self.contracts[name] for name in self.sources}
        self.readers: Readers = readers(manifest, self.contracts)
        models = [n for n in manifest["nodes"].values() if n["resource_type"] == "model"]
        self.incremental = {
            f"{n['schema']}.{n['alias']}": (n["config"].get("meta") or {}).get("touched", {})
            for n in models
            if n["config"]["materialized"] == "incremental"
        }
        self.relations = {
            unique_id: f"{node['schema']}.{node['alias']}"
            for unique_id, node in manifest["nodes"].items()
        }
        self.hints = {name: hints(manifest, name) for name in self.sources}
        # they list what a partial build replaces, so a rebuild has them empty
        self.lists = {name for touched in self.incremental.values() for name in touched.values()}
        self.rebuilt_by = {
            f"{n['schema']}.{n['alias']}": str(n["config"]["meta"]["rebuilt_by"])
            for n in models
            if (n["config"].get("meta") or {}).get("rebuilt_by") and n["fqn"][2] in self.sources
        }
        built = {node.unique_id.split(".")[-1] for node in self.recorded.part}
        self.published: list[PublishedTable] = [
            table
            for table in published_tables(manifest)
            if table.schema == "marts" and table.name in built
        ]

    def settings(self, home: Path) -> Settings:
        return load_settings(
            {
                "CRM_HOME": str(home),
                "CRM_SOURCES": ",".join(self.sources),
                "CRM_TIMEZONE": self.time_zone,
                "CRM_CURRENCY": COMPANYS,
            }
        )


def _for_small_files(contract: SourceContract, *, has_currency: bool) -> SourceContract:
    """Let any sources stand together, and one bad line be half a file."""
    tables = tuple(dataclasses.replace(t, max_quarantine_rate=None) for t in contract.tables)
    currency = contract.currency if has_currency else None
    return dataclasses.replace(contract, currency=currency, tables=tables)


@cache
def plan(sources: tuple[str, ...], time_zone: str, project: Path = PROJECT) -> Plan:
    """Return a plan; each is made once a session."""
    return Plan(sources, time_zone, project)


def all_sources() -> tuple[str, ...]:
    """Every source of the project."""
    nodes = manifest_of()["sources"].values()
    return tuple(sorted({node["source_name"] for node in nodes if node["schema"] == "raw"}))


def sources_in_part() -> tuple[str, ...]:
    """The sources with a model that can be rebuilt in part: together they are, most of the time."""
    models = manifest_of()["nodes"].values()
    named = {n["fqn"][2] for n in models if (n["config"].get("meta") or {}).get("rebuilt_by")}
    return tuple(sorted(named))


class ReplayedWarehouse:
    """One company's warehouse, on which the stages before the scores are driven directly."""

    def __init__(self, plan: Plan, home: Path) -> None:
        self.plan = plan
        self.home = home
        self.settings = plan.settings(home)
        home.mkdir(parents=True, exist_ok=True)
        self.con = self.connect()
        self._views: dict[str, str] = {}
        self._has_all = False
        self.keep_days = self.settings.keep_history_days
        self.landed_at = FIRST_LANDING
        (home / "inbox").mkdir(parents=True, exist_ok=True)
        # all sources have their tables; those that are not enabled stay empty
        self.land(FIRST_LANDING, plan.contracts)
        for sql in plan.recorded.schemas:
            self.con.execute(sql)

    def connect(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(config={"threads": 1})
        con.execute("attach ':memory:' as warehouse")
        con.execute("use warehouse")
        con.execute("set TimeZone = 'UTC'")
        return con

    def close(self) -> None:
        self.con.close()

    def land(
        self, now: datetime, contracts: dict[str, SourceContract] | None = None
    ) -> LandingReport:
        """Land the inbox as the asset ``land_files`` does, at ``now``."""
        self.landed_at = now
        return land(
            self.con,
            home=self.home,
            contracts=contracts or self.plan.enabled,
            enabled=self.plan.sources,
            time_zone=self.plan.time_zone,
            clock=lambda: now,
        )

    def settle(self, as_of: date | None) -> date:
        """Write the run's settings as their asset does; return the as-of date."""
        span = event_span(self.con, self.plan.contracts, self.plan.sources, self.plan.time_zone)
        if as_of is not None and span[0] is not None:
            as_of = max(as_of, span[0])
        row = write_run_settings(
            self.con, self.settings, self.plan.contracts, asked=as_of, span=span
        )
        found = row["as_of"]
        assert isinstance(found, date)
        return found

    def begin(self, everything: str | None = None) -> Scope:
        return begin_build(
            self.con, self.plan.contracts, self.settings, self.plan.readers, everything=everything
        )

    def statements(self, *, is_part: bool) -> Iterator[str]:
        """Yield the SQL of a build; what dbt would look up in the catalogue is looked up here.

        A view that is there already, of the same text, is not made again: half of dbt's
        statements, which change nothing.
        """
        recorded = self.plan.recorded
        if is_part:
            nodes: Sequence[Node] = recorded.part
        elif self._has_all:
            nodes = recorded.everything
        else:
            present, left = self._relations()
            yield from left
            existing = {node.unique_id: node for node in recorded.everything}
            relations = self.plan.relations
            nodes = [
                existing[node.unique_id] if relations[node.unique_id] in present else node
                for node in recorded.first
            ]
        for node in nodes:
            view = node.view
            if view is not None and self._views.get(node.unique_id) == view:
                continue
            if node.unique_id.startswith("seed.") and self._has_all:
                continue
            yield from node.statements
            if view is not None:
                self._views[node.unique_id] = view

    def make(self, scope: Scope, *, stop_at: float | None = None) -> None:
        """Execute dbt's statements for a build; all of them, or be killed after a share."""
        statements = self.statements(is_part=scope.is_part)
        if stop_at is not None:
            everything = list(statements)
            statements = iter(everything[: int(stop_at * len(everything))])
        for sql in statements:
            self._execute(sql)
        if stop_at is not None:
            self._interrupted()
        self._drop_temporary()

    def end(self, scope: Scope) -> None:
        end_build(self.con, self.plan.enabled, scope, keep_days=self.keep_days, now=self.landed_at)
        self._has_all = True

    def build(self, *, stop_at: float | None = None, everything: str | None = None) -> Scope:
        """Build as the asset ``build_marts`` does; or be killed after a share of the statements."""
        scope = self.begin(everything)
        self.make(scope, stop_at=stop_at)
        if stop_at is None:
            self.end(scope)
        return scope

    def _execute(self, sql: str) -> None:
        try:
            self.con.execute(sql)
        except duckdb.Error as error:
            raise AssertionError(f"{error}\n{sql[:2000]}") from error

    def _interrupted(self) -> None:
        """What a killed process leaves: no open transaction, and who knows which views."""
        try:
            self.con.rollback()
        except duckdb.TransactionException:
            pass
        self._views.clear()
        self._has_all = False

    def _drop_temporary(self) -> None:
        """Temporary tables end with dbt's connection."""
        for (name,) in self.con.execute(
            "select table_name from duckdb_tables() where temporary"
        ).fetchall():
            self.con.execute(f'drop table temp."{name}"')

    def _relations(self) -> tuple[set[str], list[str]]:
        """What is there, and the statements by which dbt clears what a killed build left."""
        rows = self.con.execute(
            "select schema_name || '.' || table_name as name, 'table' as kind from duckdb_tables() "
            "union all select schema_name || '.' || view_name, 'view' from duckdb_views() "
            "where not internal"
        ).fetchall()
        left = [(name, kind) for name, kind in rows if "__dbt_" in name]
        return {name for name, _ in rows}, [f"drop {kind} {name} cascade" for name, kind in left]

    # What came out

    def tables(self) -> dict[str, tuple[Any, ...]]:
        """Table -> rows and their digest in any order, of all that dbt builds before the scores."""
        names = self.con.execute(
            "select schema_name || '.' || table_name from duckdb_tables() "
            "where not temporary and list_contains(?, schema_name) order by all",
            [list(SCHEMAS)],
        ).fetchall()
        return {
            name: self.digest(name)
            for (name,) in names
            if name.split(".")[1] not in self.plan.lists
        }

    def digest(self, table: str) -> tuple[Any, ...]:
        return (
            self.con.execute(f"select count(*), sum(hash(t)::hugeint) from {table} as t").fetchone()
            or ()
        )

    def tables_with_equal_rows(self) -> list[str]:
        """Tables replaced in part that hold a row twice: of such, one could stay for two."""
        return [
            table
            for table in self.plan.incremental
            if self.con.execute(
                f"select t from {table} as t group by t having count(*) > 1 limit 1"
            ).fetchone()
        ]

    def marts(self) -> dict[str, str]:
        """Table -> SHA-256 of its Parquet, as the publication would write it."""
        folder = self.home / "parquet"
        digests = {}
        for table in self.plan.published:
            file = write_parquet(self.con, table, folder, database="warehouse")
            digests[table.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return digests

    def failing_tests(self) -> list[str]:
        """Data tests that fail."""
        failing = []
        for name, sql in self.plan.recorded.tests.items():
            row = self.con.execute(sql).fetchone()
            if row and row[2]:
                failing.append(f"{name}: {row[0]}")
        return failing


class ShuffledWarehouse(ReplayedWarehouse):
    """The same with the rows of every table, as soon as it is made, in an order by chance.

    What is built must not depend on it: of rows that tie, none may be taken because it lies first.
    """

    _shuffles = 0

    def make(self, scope: Scope, *, stop_at: float | None = None) -> None:
        for (name,) in self.con.execute(
            "select view_name from duckdb_views() where schema_name = 'raw'"
        ).fetchall():
            self.con.execute(f'create temp table rows as from raw."{name}"')
            self.con.execute(f'drop view raw."{name}"')
            self.con.execute(f'create table raw."{name}" as from rows')
            self.con.execute("drop table rows")
            self._shuffle(f'raw."{name}"')
        before = self._shuffles
        super().make(scope, stop_at=stop_at)
        (held,) = self.con.execute(
            "select count(*) from duckdb_tables() where list_contains(?, schema_name)",
            [list(SCHEMAS)],
        ).fetchone() or (0,)
        assert 0 < held <= self._shuffles - before, "dbt spells its tables in another way now"

    def _execute(self, sql: str) -> None:
        super()._execute(sql)
        if made := _TABLE_MADE.match(sql):
            self._shuffle(made[1])

    def _shuffle(self, table: str) -> None:
        self._shuffles += 1
        shuffle(self.con, table, self._shuffles)


class FileWarehouse(ReplayedWarehouse):
    """The same in the file of a home, as far as it came: what is there is used."""

    def connect(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(str(self.home / "warehouse.duckdb"))
        con.execute("set TimeZone = 'UTC'")
        return con


class DbtWarehouse(FileWarehouse):
    """The same with dbt itself in the place of its recorded SQL."""

    def make(self, scope: Scope, *, stop_at: float | None = None) -> None:
        assert stop_at is None, "dbt is not killed here"
        self.con.close()
        dbt = LandedWarehouse(
            self.home,
            sources=self.plan.sources,
            time_zone=self.plan.time_zone,
            project=self.plan.project,
        )
        arguments = [] if scope.is_part else ["--full-refresh"]
        settings = {
            "CRM_SCOPE": "touched" if scope.is_part else "all",
            "CRM_CURRENCY": self.plan.currency,
        }
        with environment_of(settings):
            dbt.build(*BEFORE_SCORES, *arguments)
        self.con = self.connect()
