"""Landing and the dbt stage of one home, timed part by part.

``python -m tests.benchmarks.refresh_stage HOME SOURCE [as-of]``: with the last word the tables that
depend on the as-of date are built too. Prints JSON: the seconds of landing, of settling what
changed, of every dbt node in the database, of closing the warehouse, which writes down what the
nodes changed, and of ending the build; and peak memory. A process of its own, so that nothing is
warm, on a disk that has nothing left to write: else a refresh would wait for what the full build
before it wrote.

On an empty table most of a node's own seconds are dbt's, which renders and compiles it: that takes
as long for any number of rows, and a small refresh is lost in how much it varies. Nodes run one at
a time: of two that share the cores, each one's seconds hold the other's.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crm_pipeline.dbt_command import PROJECT, TOUCHED
from crm_pipeline.defs.landing.changes import begin_build, end_build, readers
from crm_pipeline.defs.landing.ledger import event_span
from crm_pipeline.defs.landing.loader import land
from crm_pipeline.defs.landing.settings_table import write_run_settings
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.warehouse import Warehouse
from crm_pipeline.settings import load_settings
from tests.benchmarks.processes import FailedError
from tests.benchmarks.runs import BIN

RUN_SETTINGS = "crm.control.run_settings"
"""What every as-of table descends from, and no model that a refresh replaces in part."""


def main() -> None:
    """Land, settle, build; print what each took."""
    home, source, with_as_of = Path(sys.argv[1]), sys.argv[2], "as-of" in sys.argv[3:]
    settings = load_settings({"CRM_HOME": str(home), "CRM_SOURCES": source})
    manifest = ensure_manifest()
    contracts = sources_from_manifest(manifest)
    reads = readers(manifest, contracts)
    settings.scratch.mkdir(parents=True, exist_ok=True)
    warehouse = Warehouse(
        path=str(settings.warehouse),
        scratch=str(settings.scratch),
        memory_limit=settings.memory_limit,
    )
    os.sync()
    took: dict[str, float] = {}
    nodes: Counter[str] = Counter()

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.monotonic()
        result = work()
        took[name] = time.monotonic() - start
        return result

    def landing() -> None:
        with warehouse.writer() as db:
            land(
                db, home=home, contracts=contracts, enabled=settings.sources,
                time_zone=settings.time_zone,
                clock=lambda: datetime.now(UTC).replace(tzinfo=None),
            )  # fmt: skip

    def settling() -> Any:
        with warehouse.writer() as db:
            span = event_span(db, contracts, settings.sources, settings.time_zone)
            write_run_settings(db, settings, contracts, asked=None, span=span)
            return begin_build(db, contracts, settings, reads)

    def building(is_part: bool, *which: str) -> float:
        """Build, and return the seconds from the last that dbt said to its end."""
        target = home / "dbt"
        log = target / "dbt.log"
        log.unlink(missing_ok=True)
        environment = {
            "CRM_WAREHOUSE": str(settings.warehouse),
            "CRM_SOURCES": source,
            "CRM_SCRATCH": str(settings.scratch),
            "CRM_MEMORY_LIMIT": settings.memory_limit,
            "DBT_PROFILES_DIR": str(PROJECT),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        subprocess.run(
            [
                str(BIN / "crm-dbt"), "--quiet", "build", "--threads", "1",
                "--exclude-resource-type", "unit_test", *which,
                "--target-path", str(target), "--log-path", str(target),
                TOUCHED if is_part else "--full-refresh",
            ],
            cwd=PROJECT, env=os.environ | environment, check=True, stdout=sys.stderr,
        )  # fmt: skip
        closing = time.time() - log.stat().st_mtime
        with log.open(encoding="utf-8") as lines:
            seconds = database_seconds(lines)
        nodes.update(seconds)
        results = json.loads((target / "run_results.json").read_bytes())["results"]
        # else a log that reads otherwise would make a refresh look free
        if untimed := {result["unique_id"] for result in results} - seconds.keys():
            raise FailedError(f"dbt's log has no statement of {', '.join(sorted(untimed))}")
        return closing

    def ending(scope: Any) -> None:
        with warehouse.writer() as db:
            now = datetime.now(UTC).replace(tzinfo=None)
            end_build(db, contracts, scope, keep_days=settings.keep_history_days, now=now)

    timed("landing", landing)
    scope = timed("settling", settling)
    # apart: closing the warehouse after an as-of table, made whole, is not a refresh of the facts
    facts = ["--exclude", f"source:{RUN_SETTINGS}+", "source:scores+"]
    as_of = ["--select", f"source:{RUN_SETTINGS}+", "--exclude", "source:scores+"]
    took["closing"] = building(scope.is_part, *facts)
    if with_as_of:
        building(scope.is_part, *as_of)
    timed("ending", lambda: ending(scope))
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        json.dumps(
            {
                "is_part": scope.is_part,
                "reason": scope.reason,
                "took": took,
                "nodes": nodes,
                "peak_bytes": peak * 1024,
            }
        )
    )


def database_seconds(log: Iterable[str]) -> Counter[str]:
    """Node -> seconds of its statements, as dbt's debug log says."""
    seconds: Counter[str] = Counter()
    asks: dict[str, str] = {}  # thread -> the node whose statement it runs
    for line in log:
        if asked := re.search(r"\[debug\] \[(.+?)\]: On ((?:model|seed|test)\.\S+): ", line):
            asks[asked[1]] = asked[2]
        elif said := re.search(r"\[debug\] \[(.+?)\]: SQL status: OK in ([\d.]+) seconds", line):
            if node := asks.get(said[1]):
                seconds[node] += float(said[2])
    return seconds


if __name__ == "__main__":
    main()
