"""What landing a few new lines costs beside making everything: landing, facts, customers.

The full run's data work is landing, ``begin_build``, the statements of the dbt nodes that a refresh
replaces in part and of their data tests, and closing the warehouse after them. The constant
start-up of each is measured on a company of 200 lines and taken off both sides. As-of tables, which
change whole, are shown apart, and made in the first round only.

A refresh takes a second or two more than its start-up, and a machine that slows down by a fifth in
between is worth as much: each round measures all of it anew and side by side, every refresh right
after its own start-up, and the median round counts.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
from tests.benchmarks.refresh_stage import RUN_SETTINGS
from tests.benchmarks.report import Report, table

SOURCE = "online_retail"
SHARES = ((0.001, 0.05), (0.01, 0.12))
"""Share of new lines, and the most that a refresh may cost of the full run's data work."""

ROUNDS = 7
"""How often all of it is measured: one refresh alone may be off by a quarter."""

FACTS, TESTS, AS_OF, OTHER = "facts and customers", "their tests", "as-of tables", "other"
DATA_WORK = ("landing", "settling", FACTS, TESTS, "closing")
PARTS = (*DATA_WORK, AS_OF, OTHER)


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
        return sum(self.seconds[part] for part in DATA_WORK)


@dataclass(frozen=True)
class Round:
    """Everything once: both full builds, and of each share its start-up and its refresh."""

    full: Stage
    full_start: Stage
    parts: dict[float, Stage]
    starts: dict[float, Stage]

    def seconds(self, share: float) -> float:
        """Seconds of a refresh's data work beyond its start-up."""
        return self.parts[share].data_work - self.starts[share].data_work

    @property
    def full_seconds(self) -> float:
        """Seconds of the full build's data work beyond its start-up."""
        return self.full.data_work - self.full_start.data_work

    def ratio(self, share: float) -> float:
        """What a refresh costs of the full build's data work."""
        return self.seconds(share) / self.full_seconds


def run(report: Report, folder: Path, times: int, *, keep: bool) -> None:
    """Measure a full build and two refreshes of ``times`` x Online Retail."""
    if online_retail() is None:
        print("refresh: skipped, ../shared/data/online_retail is not here")
        return
    given = repeated_online_retail(times, folder / "data")
    homes = folder / "home_refresh", folder / "home_tiny"
    rounds = [_round(given, *homes, with_as_of=number == 0) for number in range(ROUNDS)]
    for share, most in SHARES:
        seconds = statistics.median(one.seconds(share) for one in rounds)
        whole = statistics.median(one.full_seconds for one in rounds)
        ratios = ", ".join(f"{one.ratio(share):.3f}" for one in rounds)
        report.promise(
            f"landing {share:.1%} new lines into {given.size / 1e6:.1f} million / full data work",
            statistics.median(one.ratio(share) for one in rounds),
            most=most,
            note=f"{seconds:.2f} s / {whole:.2f} s beyond start-up, rounds {ratios}; "
            f"{rounds[0].parts[share].reason}",
        )
        report.promise(
            f"peak memory of that refresh, GiB ({share:.1%})",
            max(one.parts[share].peak_bytes for one in rounds) / 2**30,
            most=4,
        )
    report.promise(
        "peak memory of the full build, GiB",
        max(one.full.peak_bytes for one in rounds) / 2**30,
        most=4,
    )
    measured: dict[str, list[Stage]] = {
        "everything": [one.full for one in rounds],
        **{f"{share:.1%} new": [one.parts[share] for one in rounds] for share, _ in SHARES},
        "one invoice, everything": [one.full_start for one in rounds],
        "one more invoice": [start for one in rounds for start in one.starts.values()],
    }
    rows = [[name, *_medians(stages)] for name, stages in measured.items()]
    table(f"Refreshing {given.size:,} lines, median seconds", ["", *PARTS], rows)
    seconds_of = {name: [stage.seconds for stage in stages] for name, stages in measured.items()}
    report.note("refresh", {"lines": given.size, "seconds": seconds_of})
    if not keep:
        for home in homes:
            shutil.rmtree(home)


def _round(given: Input, home: Path, tiny: Path, *, with_as_of: bool) -> Round:
    """Make both homes anew, and refresh them in turn."""
    for old in (home, tiny):
        shutil.rmtree(old, ignore_errors=True)
    new_lines(200, given, 0, tiny / "inbox" / SOURCE / "first.csv")
    into_inbox(given.path, home, SOURCE)
    full_start, full = stage(tiny, with_as_of), stage(home, with_as_of)
    parts, starts = {}, {}
    for day, (share, _) in enumerate(SHARES, start=1):
        starts[share] = _refresh(given, tiny, 20, day, with_as_of)
        parts[share] = _refresh(given, home, int(share * given.size), day, with_as_of)
    return Round(full, full_start, parts, starts)


def _refresh(given: Input, home: Path, lines: int, day: int, with_as_of: bool) -> Stage:
    """Land new lines of a later day, and build."""
    new_lines(lines, given, day, home / "inbox" / SOURCE / f"new_{day}.csv")
    part = stage(home, with_as_of)
    if not part.is_part:
        raise FailedError(f"the refresh was not partial: {part.reason}")
    return part


def _medians(stages: list[Stage]) -> list[float]:
    """Median seconds of each part, of the rounds that made it."""
    return [
        statistics.median(stage.seconds[part] for stage in stages if part in stage.seconds)
        for part in PARTS
    ]


def stage(home: Path, with_as_of: bool) -> Stage:
    """Land and build ``home`` in a process of its own."""
    asked = ["as-of"] if with_as_of else []
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.refresh_stage", str(home), SOURCE, *asked],
        cwd=CHECKOUT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FailedError(f"landing and building failed:\n{done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    seconds = dict.fromkeys((part for part in PARTS if with_as_of or part != AS_OF), 0.0)
    for part in ("landing", "settling", "closing"):
        seconds[part] = said["took"][part]
    seconds["settling"] += said["took"]["ending"]
    kinds = node_kinds()
    for unique_id, took in said["nodes"].items():
        seconds[kinds[unique_id]] += took
    return Stage(seconds, said["peak_bytes"], said["is_part"], said["reason"])


def node_kinds() -> dict[str, str]:
    """dbt node -> the part it belongs to, by what it is: incremental, on the as-of date, other."""
    manifest = ensure_manifest()
    nodes = manifest["nodes"]
    settings = f"source.{RUN_SETTINGS}"

    def reads_settings(unique_id: str) -> bool:
        parents = manifest["parent_map"].get(unique_id, [])
        return settings in parents or any(reads_settings(parent) for parent in parents)

    kinds = {}
    for unique_id, node in nodes.items():
        tested = node.get("attached_node") if node["resource_type"] == "test" else unique_id
        is_replaced = tested in nodes and nodes[tested]["config"]["materialized"] == "incremental"
        if is_replaced:
            kinds[unique_id] = FACTS if tested == unique_id else TESTS
        elif unique_id.split(".")[-1].endswith("__touched"):
            kinds[unique_id] = FACTS
        else:
            kinds[unique_id] = AS_OF if reads_settings(unique_id) else OTHER
    return kinds
