"""What landing a few new lines costs beside making everything: landing, facts, customers.

The full run's data work is landing, ``begin_build`` and the dbt nodes that a refresh replaces in
part, with their data tests. The constant start-up of each is measured on a company of 200 lines and
taken off both sides. As-of tables, which change whole, are shown apart. Of the refreshes and their
start-up, which take a second or two beside other work, the median one is taken.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_pipeline.resources.dbt import ensure_manifest
from tests.benchmarks.datasets import (
    CHECKOUT,
    Input,
    into_inbox,
    new_lines,
    online_retail,
    repeated_online_retail,
)
from tests.benchmarks.processes import FailedError, environment
from tests.benchmarks.report import Report, table

SOURCE = "online_retail"
SHARES = ((0.001, 0.05), (0.01, 0.12))
"""Share of new lines, and the most that a refresh may cost of the full run's data work."""

ROUNDS = 3
"""How often each refresh is made: one alone may be off by a quarter."""

PARTS = ("landing", "settling", "facts and customers", "their tests", "as-of tables", "other")


@dataclass(frozen=True)
class Stage:
    """One landing and build: seconds by part, greatest resident memory, whether it was partial."""

    seconds: dict[str, float]
    peak_bytes: int
    is_part: bool
    reason: str

    @property
    def data_work(self) -> float:
        """Seconds of landing, facts and per-customer aggregates, their tests included."""
        return sum(self.seconds[part] for part in PARTS[:4])


def run(report: Report, folder: Path, times: int, *, keep: bool) -> None:
    """Measure a full build and two refreshes of ``times`` x Online Retail."""
    if online_retail() is None:
        print("refresh: skipped, ../shared/data/online_retail is not here")
        return
    given = repeated_online_retail(times, folder / "data")
    home, tiny = folder / "home_refresh", folder / "home_tiny"
    for old in (home, tiny):
        shutil.rmtree(old, ignore_errors=True)
    constant = _constant(given, tiny)
    into_inbox(given.path, home, SOURCE)
    full = stage(home)
    rows: list[list[object]] = [_row("everything", full)]
    measured: dict[str, Any] = {"lines": given.size, "full": full.seconds, "constant": {}}
    made: dict[float, list[Stage]] = {share: [] for share, _ in SHARES}
    for number in range(ROUNDS * len(SHARES)):
        share, _ = SHARES[number % len(SHARES)]
        made[share].append(_refresh(given, home, int(share * given.size), number + 1))
    for share, most in SHARES:
        part = _median(made[share])
        rows.append(_row(f"{share:.1%} new", part))
        cost = max(part.data_work - constant["part"].data_work, 0.0)
        whole = full.data_work - constant["full"].data_work
        measured[f"{share}"] = [stage.seconds for stage in made[share]]
        report.promise(
            f"landing {share:.1%} new lines into {given.size / 1e6:.1f} million / full data work",
            cost / whole,
            most=most,
            note=f"{cost:.2f} s / {whole:.2f} s beyond start-up; {part.reason}",
        )
        report.promise(
            f"peak memory of that refresh, GiB ({share:.1%})",
            max(stage.peak_bytes for stage in made[share]) / 2**30,
            most=4,
        )
    report.promise("peak memory of the full build, GiB", full.peak_bytes / 2**30, most=4)
    rows += [_row("one invoice, everything", constant["full"])]
    rows += [_row("one more invoice", constant["part"])]
    table(f"Refreshing {given.size:,} lines, seconds", ["", *PARTS], rows)
    report.note("refresh", measured)
    if not keep:
        shutil.rmtree(home)
        shutil.rmtree(tiny)


def _refresh(given: Input, home: Path, lines: int, day: int) -> Stage:
    """Land new lines of a later day, and build."""
    new_lines(lines, given, day, home / "inbox" / SOURCE / f"new_{day}.csv")
    part = stage(home)
    if not part.is_part:
        raise FailedError(f"the refresh was not partial: {part.reason}")
    return part


def _median(stages: list[Stage]) -> Stage:
    return sorted(stages, key=lambda stage: stage.data_work)[len(stages) // 2]


def _row(name: str, stage: Stage) -> list[object]:
    return [name, *(stage.seconds[part] for part in PARTS)]


def _constant(given: Input, home: Path) -> dict[str, Stage]:
    """The same two stages on a few lines: what is left there is start-up."""
    new_lines(200, given, 0, home / "inbox" / SOURCE / "first.csv")
    full = stage(home)
    return {
        "full": full,
        "part": _median([_refresh(given, home, 20, day + 1) for day in range(ROUNDS)]),
    }


def stage(home: Path) -> Stage:
    """Land and build ``home`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.refresh_stage", str(home), SOURCE],
        cwd=CHECKOUT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FailedError(f"landing and building failed:\n{done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    seconds = dict.fromkeys(PARTS, 0.0)
    seconds["landing"] = said["took"]["landing"]["seconds"]
    seconds["settling"] = said["took"]["settling"]["seconds"] + said["took"]["ending"]["seconds"]
    kinds = node_kinds()
    for unique_id, took in said["nodes"].items():
        seconds[kinds[unique_id]] += took
    return Stage(seconds, said["peak_bytes"], said["is_part"], said["reason"])


def node_kinds() -> dict[str, str]:
    """dbt node -> the part it belongs to, by what it is: incremental, on the as-of date, other."""
    manifest = ensure_manifest()
    nodes = manifest["nodes"]
    settings = "source.crm.control.run_settings"

    def reads_settings(unique_id: str) -> bool:
        parents = manifest["parent_map"].get(unique_id, [])
        return settings in parents or any(reads_settings(parent) for parent in parents)

    kinds = {}
    for unique_id, node in nodes.items():
        tested = node.get("attached_node") if node["resource_type"] == "test" else unique_id
        is_replaced = tested in nodes and nodes[tested]["config"]["materialized"] == "incremental"
        if is_replaced:
            kinds[unique_id] = PARTS[2] if tested == unique_id else PARTS[3]
        elif unique_id.split(".")[-1].endswith("__touched"):
            kinds[unique_id] = PARTS[2]
        else:
            kinds[unique_id] = PARTS[4] if reads_settings(unique_id) else PARTS[5]
    return kinds
