"""The dbt stage beside the same compiled SQL, alternating, on copies of one warehouse."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.datasets import CHECKOUT
from tests.benchmarks.processes import FailedError, environment, watch
from tests.benchmarks.runs import BIN, Run, dbt_nodes
from tests.benchmarks.straight_sql import clear, connect

STEP = "build_marts"


def compare(run: Run, folder: Path, sources: str, repeats: int) -> dict[str, Any]:
    """Return the seconds of both sides and their ratios; medians of ``repeats``.

    The side of dbt is timed from its first node's start to its last node's end. The ratio of CPU
    seconds is shown beside: other load on the machine moves it less.
    """
    target = run.target(STEP)
    dbt: list[tuple[float, float]] = []
    straight: list[tuple[float, float]] = []
    details: dict[str, Any] = {}
    for number in range(repeats):
        for side in ("dbt", "straight"):
            copy = folder / "warehouse.duckdb"  # the name is the catalogue's in the SQL
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.home / "warehouse.duckdb", copy)
            if side == "straight":
                details = _straight(copy, target)
                straight.append((details["seconds"], details["cpu_seconds"]))
            else:
                with connect(copy) as con:
                    clear(con, target)
                dbt.append(_dbt(copy, folder / f"target-{number}", sources))
            shutil.rmtree(folder)
    (dbt_seconds, dbt_cpu), (sql_seconds, sql_cpu) = (
        tuple(statistics.median(column) for column in zip(*side, strict=True))
        for side in (dbt, straight)
    )
    return {
        "dbt_in_run_seconds": run.dbt(STEP).seconds,
        "dbt_seconds": dbt_seconds,
        "straight_seconds": sql_seconds,
        "ratio": dbt_seconds / sql_seconds,
        "cpu_ratio": dbt_cpu / sql_cpu,
        "slowest": details["slowest"],
        "tests_seconds": details["tests_seconds"],
    }


def _straight(copy: Path, target: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.straight_sql", str(copy), str(target)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def straight_cpu(run: Run, folder: Path, steps: tuple[str, ...]) -> float:
    """Return the CPU seconds of the stages' SQL alone, on a copy of the run's warehouse."""
    total = 0.0
    for step in steps:
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / "warehouse.duckdb"
        shutil.copyfile(run.home / "warehouse.duckdb", copy)
        total += _straight(copy, run.target(step))["cpu_seconds"]
        shutil.rmtree(folder)
    return total


def _dbt(copy: Path, target: Path, sources: str) -> tuple[float, float]:
    scratch = target.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    done = watch(
        [
            *(str(BIN / "crm-dbt"), "--quiet", "build", "--exclude-resource-type", "unit_test"),
            *("--exclude", "source:scores+", "--target-path", str(target)),
            *("--log-path", str(target)),
        ],
        cwd=CHECKOUT / "dbt_project",
        env=environment(
            CRM_WAREHOUSE=str(copy),
            CRM_SOURCES=sources,
            CRM_SCRATCH=str(scratch),
            CRM_MEMORY_LIMIT="4GB",
            DBT_PROFILES_DIR=str(CHECKOUT / "dbt_project"),
            DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        ),
    )
    if done.exit_code != 0:
        raise FailedError(f"dbt build failed on {copy}:\n{done.output}")
    spans = dbt_nodes(target / "run_results.json")
    start, end = min(s.start for s in spans), max(s.end for s in spans)
    return end - start, done.cpu_between(start, end)
