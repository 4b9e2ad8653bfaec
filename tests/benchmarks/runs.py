"""One ``crm run`` on a home of its own, and what its own records say about each stage."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.datasets import CHECKOUT
from tests.benchmarks.processes import FailedError, Watched, environment, watch

DBT_STEPS = ("build_marts", "build_customer_360", "build_offer_audiences")
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Span:
    """Something with a beginning and an end, in seconds since 1970."""

    name: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Run:
    """A finished ``crm run``: the whole, its steps, and the nodes of its dbt stages."""

    home: Path
    whole: Watched
    steps: list[Span]
    nodes: dict[str, list[Span]] = field(default_factory=dict)

    def dbt(self, step: str) -> Span:
        """From the start of a dbt stage's first node to the end of its last."""
        spans = self.nodes[step]
        return Span(step, min(s.start for s in spans), max(s.end for s in spans))

    def working(self) -> list[Span]:
        """The spans in which data is worked on: steps, and of dbt stages the nodes' span."""
        found = []
        for step in self.steps:
            if step.name not in DBT_STEPS:
                found.append(step)
            elif step.name in self.nodes:
                found.append(self.dbt(step.name))
        return found

    def nodes_cpu(self) -> float:
        """CPU seconds of the dbt processes between their first node's start and last node's end."""
        spans = [self.dbt(step) for step in self.nodes]
        return sum(self.whole.children_cpu_between(s.start, s.end) for s in spans)

    def outside_cpu(self) -> float:
        """CPU seconds outside all work: start-up, parsing, planning, events between steps.

        Work is every step but the two of dbt, and of these what dbt's own process does from the
        first node's start to the last node's end.
        """
        steps = (s for s in self.steps if s.name not in DBT_STEPS)
        inside = sum(self.whole.cpu_between(s.start, s.end) for s in steps)
        return self.whole.cpu_seconds - inside - self.nodes_cpu()

    def seconds(self, *, training: bool) -> float:
        """Seconds of working spans: of those that train models, or of all the others."""
        spans = (s for s in self.working() if s.name.endswith("_candidate") == training)
        return sum(s.seconds for s in spans)

    def target(self, step: str) -> Path:
        """The target folder of a dbt stage."""
        return newest(self.home / "tmp" / "dbt", f"{step}-*")


def crm_run(home: Path, sources: str) -> Run:
    """Run everything in ``home`` and read its records.

    Raises:
        FailedError: The run failed.
    """
    before = _run_ids(home)
    whole = watch(
        [str(BIN / "crm"), "run"],
        cwd=CHECKOUT,
        env=environment(CRM_HOME=str(home), CRM_SOURCES=sources),
    )
    if whole.exit_code != 0:
        raise FailedError(f"crm run failed in {home}:\n{whole.output}")
    [run_id] = _run_ids(home) - before
    run = Run(home, whole, _steps(home, run_id))
    for step in DBT_STEPS:
        run.nodes[step] = dbt_nodes(run.target(step) / "run_results.json")
    return run


def dbt_nodes(run_results: Path) -> list[Span]:
    """Return when each node of a dbt invocation was worked on, data tests included."""
    spans = []
    for result in json.loads(run_results.read_bytes())["results"]:
        times = [_instant(t[side]) for t in result["timing"] for side in _SIDES if t.get(side)]
        if times:
            spans.append(Span(result["unique_id"], min(times), max(times)))
    return spans


_SIDES = ("started_at", "completed_at")


def _instant(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def newest(folder: Path, pattern: str) -> Path:
    """Return the youngest match of a pattern in a folder."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def _instance(home: Path) -> Any:
    import dagster as dg

    return dg.DagsterInstance.from_config(str(home / "dagster"))


def _run_ids(home: Path) -> set[str]:
    if not (home / "dagster" / "dagster.yaml").is_file():
        return set()
    with _instance(home) as instance:
        return set(instance.get_run_ids())


def _steps(home: Path, run_id: str) -> list[Span]:
    begun: dict[str, float] = {}
    spans = []
    with _instance(home) as instance:
        for entry in instance.all_logs(run_id):
            event = entry.dagster_event
            if event is None or event.step_key is None:
                continue
            if event.event_type_value == "STEP_START":
                begun.setdefault(event.step_key, entry.timestamp)
            elif event.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
                start = begun.get(event.step_key, entry.timestamp)
                spans.append(Span(event.step_key, start, entry.timestamp))
    return spans
