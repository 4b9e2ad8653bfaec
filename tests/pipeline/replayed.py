"""The same warehouse without dbt: its SQL, recorded once, takes a fraction of what a build takes.

A test that asks what the SQL makes uses this and is run with dbt itself among the slow ones, as
its second parameter: a recording that left something out would be seen there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crm_pipeline.defs.landing.changes import Scope
from tests.pipeline.days import Days
from tests.pipeline.harness.recording import Node, Recording, manifest_of
from tests.pipeline.harness.warehouse import ZONE, plan, sources_in_part
from tests.pipeline.landed import LandedWarehouse


@dataclass
class ReplayedWarehouse(LandedWarehouse):
    """Recorded for all sources that are built in part: those that are not enabled are empty."""

    views: dict[str, str] = field(default_factory=dict)
    """Views that are there, with their text; none before the first build."""
    edits: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Model -> a piece of its SQL, and what stands there instead."""
    only: tuple[str, ...] = ()
    """Models that a build makes, with all that they read; none given, all models."""

    @property
    def recorded(self) -> Recording:
        missing = set(self.sources) - set(sources_in_part())
        assert not missing, f"no recording has {missing}"
        return plan(sources_in_part(), ZONE).recorded

    def _here(self, sql: str) -> str:
        return sql.replace(ZONE, self.time_zone)

    def make(self, scope: Scope) -> None:
        if not self.value("select count(*) from duckdb_views() where schema_name = 'intermediate'"):
            self.views.clear()  # the file was lost
        if scope.is_part:
            self._replay(self.recorded.part, self.only)
        else:
            recorded = self.recorded
            self._replay(recorded.everything if self.views else recorded.first, self.only)

    def run(self, *models: str) -> None:
        """Make models and all that they read (``+name``) in an empty warehouse."""
        assert not self.views, "there was a build before"
        assert all(model.startswith("+") for model in models), models
        self._replay(self.recorded.first, tuple(model.removeprefix("+") for model in models))

    def _replay(self, nodes: Sequence[Node], only: tuple[str, ...]) -> None:
        wanted = _with_all_they_read(only)
        if only:
            nodes = [node for node in nodes if node.unique_id in wanted]
        edits = {f"model.crm.{model}": edit for model, edit in self.edits.items()}
        with self.connection() as db:
            # tables of a few rows: handing work to a second thread costs more than doing it
            db.execute("set threads = 1")
            for sql in self.recorded.schemas:
                db.execute(sql)
            for node in nodes:
                view = node.view and self._here(node.view)
                if view and self.views.get(node.unique_id) == view:
                    continue
                statements = [self._here(sql) for sql in node.statements]
                if node.unique_id in edits:
                    before = statements
                    statements = [sql.replace(*edits[node.unique_id]) for sql in statements]
                    assert statements != before, f"nothing to edit in {node.unique_id}"
                for sql in statements:
                    db.execute(sql)
                if view:
                    self.views[node.unique_id] = view

    def check(self, *models: str) -> None:
        wanted = {f"model.crm.{model}" for model in models}
        nodes = manifest_of()["nodes"]
        tests = {
            name: sql
            for name, sql in self.recorded.tests.items()
            if wanted & set(nodes[name]["depends_on"]["nodes"])
        }
        assert tests, f"no data test is about {wanted}"
        with self.connection() as db:
            rows = {name: db.execute(self._here(sql)).fetchone() for name, sql in tests.items()}
        failing = [name for name, row in rows.items() if row and row[2]]
        assert not failing, "\n".join(failing)


def _with_all_they_read(models: Sequence[str]) -> set[str]:
    parents = manifest_of()["parent_map"]
    wanted: set[str] = set()
    more = [f"model.crm.{model}" for model in models]
    while more:
        name = more.pop()
        if name not in wanted:
            wanted.add(name)
            more += parents[name]
    return wanted


@dataclass
class ReplayedDays(ReplayedWarehouse, Days):
    """Days whose builds are replayed; what is made of scores is still made by dbt."""
