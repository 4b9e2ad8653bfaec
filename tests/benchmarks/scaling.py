"""Online Retail 1, 4, 16, 32 times over: the pipeline, the script, and dbt beside straight SQL."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from tests.benchmarks import dbt_ratio
from tests.benchmarks.datasets import CHECKOUT, into_inbox, online_retail, repeated_online_retail
from tests.benchmarks.processes import MEGABYTE, FailedError, Watched, environment, watch
from tests.benchmarks.report import Report, table
from tests.benchmarks.runs import Run, crm_run

SOURCE = "online_retail"
SCRIPT = Path(__file__).with_name("baseline_script.py")
SAME_ROWS = (
    "fct_orders", "fct_order_items", "fct_returns", "fct_adjustments", "dim_customers",
    "dim_products", "customer_rfm", "customer_value", "customer_lifecycle", "kpi_daily",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Both sides on one size."""

    times: int
    lines: int
    run: Run
    script: Watched
    dbt: dict[str, Any]
    differences: dict[str, tuple[int, int]]


def run_sizes(report: Report, folder: Path, sizes: Sequence[int], *, keep: bool) -> None:
    """Measure every size and hold the figures against the targets."""
    if online_retail() is None:
        print("Online Retail: skipped, ../shared/data/online_retail is not here")
        return
    measured = []
    for times in sizes:
        try:
            measured.append(measure(times, folder, keep=keep))
        except FailedError as error:  # what the smaller sizes showed is worth printing
            print(error)
            break
        show_stages(measured[-1])
    if not measured:
        return
    show_sizes(measured)
    show_dbt(report, measured)
    show_promises(report, measured)
    report.note("online_retail", [as_data(size) for size in measured])


def measure(times: int, folder: Path, *, keep: bool) -> Size:
    """Run the pipeline, then dbt beside straight SQL, then the script."""
    given = repeated_online_retail(times, folder / "data")
    home, script_out = folder / f"home_x{times}", folder / f"script_x{times}"
    for old in (home, script_out):
        shutil.rmtree(old, ignore_errors=True)
    print(f"\n{given.name}: {given.size:,} lines", flush=True)
    into_inbox(given.path, home, SOURCE)
    run = crm_run(home, SOURCE)
    print(f"  pipeline {run.whole.seconds:.0f} s", flush=True)
    dbt = dbt_ratio.compare(run, folder / "copy", SOURCE, 3 if times <= 16 else 1)
    print(f"  dbt beside straight SQL {dbt['ratio']:.2f}", flush=True)
    script = watch(
        [sys.executable, str(SCRIPT), str(given.path), str(script_out)],
        cwd=CHECKOUT,
        env=environment(),
    )
    if script.exit_code != 0:
        raise FailedError(f"the script failed:\n{script.output}")
    print(f"  script {script.seconds:.0f} s", flush=True)
    differences = row_differences(home / "published" / "crm.duckdb", script_out)
    if not keep:
        shutil.rmtree(home)
        shutil.rmtree(script_out)
    return Size(times, given.size, run, script, dbt, differences)


def row_differences(published: Path, script: Path) -> dict[str, tuple[int, int]]:
    """Return rows (pipeline, script) of tables in which both sides must agree but do not."""
    found = {}
    with duckdb.connect(str(published), read_only=True) as con:

        def count(relation: str) -> int:
            row = con.execute(f"select count(*) from {relation}").fetchone()
            assert row is not None
            return int(row[0])

        for name in SAME_ROWS:
            theirs = count(f"read_parquet('{script / name}.parquet')")
            ours = count(f"marts.{name}")
            if ours != theirs:
                found[name] = (ours, theirs)
        differing = count(
            "marts.customer_rfm as a full join "
            f"read_parquet('{script / 'customer_rfm'}.parquet') as b "
            "on a.customer_key = b.customer_key and a.as_of = b.as_of::date "
            "where a.recency_days is distinct from b.recency_days "
            "or a.order_count is distinct from b.order_count or a.net_amount is null "
            "or abs(a.net_amount - b.net_amount) > .011 "
            "or a.recency_score is distinct from b.recency_score"
        )
        if differing:
            found["customer_rfm, differing rows"] = (differing, 0)
        differing = count(
            "marts.customer_lifecycle as a full join "
            f"read_parquet('{script / 'customer_lifecycle'}.parquet') as b "
            "on a.customer_key = b.customer_key and a.as_of = b.as_of::date "
            "where a.lifecycle_stage is distinct from b.lifecycle_stage "
            "or a.stage_since_on is distinct from b.stage_since_on::date "
            "or a.previous_stage is distinct from b.previous_stage"
        )
        if differing:
            found["customer_lifecycle, differing rows"] = (differing, 0)
    return found


def show_stages(size: Size) -> None:
    """Seconds, CPU seconds and peak memory of each step of a run."""
    whole = size.run.whole
    rows: list[list[object]] = []
    for step in size.run.steps:
        cpu = whole.cpu_between(step.start, step.end)
        rows.append([step.name, step.seconds, cpu, whole.peak_between(step.start, step.end) >> 20])
    before = size.run.steps[0].start - whole.times[0]
    after = whole.times[-1] - size.run.steps[-1].end
    rows.append(["(before the first step)", before, whole.cpu_between(0, size.run.steps[0].start)])
    rows.append(["(after the last step)", after, whole.cpu_between(size.run.steps[-1].end, 9e12)])
    rows.append(["whole run", whole.seconds, whole.cpu_seconds, whole.peak_bytes >> 20])
    rows = [[*row, ""][:4] for row in rows]
    table(f"Online Retail x {size.times}", ["step", "seconds", "CPU s", "peak MB"], rows)
    print("  the script:\n" + size.script.output.rstrip())
    if size.differences:
        print(f"  rows that differ (pipeline, script): {size.differences}")


def show_sizes(measured: Sequence[Size]) -> None:
    """Both sides by size."""
    rows = [
        [
            f"x {s.times}",
            s.lines,
            s.run.whole.seconds,
            s.script.seconds,
            s.run.whole.cpu_seconds,
            s.script.cpu_seconds,
            s.run.whole.peak_bytes // MEGABYTE,
            s.script.peak_bytes // MEGABYTE,
            s.run.outside_cpu(),
        ]
        for s in measured
    ]
    header = ["Online Retail", "lines", "pipeline s", "script s", "pipeline CPU", "script CPU"]
    header += ["pipeline MB", "script MB", "CPU outside steps"]
    table("The whole run beside the script", header, rows)


def show_dbt(report: Report, measured: Sequence[Size]) -> None:
    """The dbt stage beside its SQL."""
    rows = [
        [
            f"x {s.times}",
            s.dbt["dbt_in_run_seconds"],
            s.dbt["dbt_seconds"],
            s.dbt["straight_seconds"],
            s.dbt["ratio"],
            s.dbt["cpu_ratio"],
            s.dbt["straight_seconds"] / (s.lines / 1e6),
        ]
        for s in measured
    ]
    header = ["dbt stage", "in the run s", "dbt s", "straight SQL s", "ratio", "CPU ratio"]
    table("First node's start to last node's end", [*header, "SQL s a million lines"], rows)
    for s in measured:
        most = 1.2 if s.times >= 16 else 2.0
        report.promise(f"dbt stage / straight SQL, x {s.times}", s.dbt["ratio"], most=most)


def slope(lines: Sequence[int], seconds: Sequence[float]) -> float:
    """Least-squares slope of log time over log size."""
    return float(np.polyfit(np.log(lines), np.log(seconds), 1)[0])


def show_promises(report: Report, measured: Sequence[Size]) -> None:
    """Targets that compare sizes or sides."""
    by_times = {s.times: s for s in measured}
    lines = [s.lines for s in measured]
    for low, high in itertools.pairwise(measured):
        further = (high.lines - low.lines) / 1e6
        ours = (high.run.whole.seconds - low.run.whole.seconds) / further
        theirs = (high.script.seconds - low.script.seconds) / further
        cpu = (high.run.whole.cpu_seconds - low.run.whole.cpu_seconds) / (
            high.script.cpu_seconds - low.script.cpu_seconds
        )
        report.promise(
            f"cost of a further million lines, x {low.times} to {high.times}: pipeline / script",
            ours / theirs,
            most=0.5,
            note=f"{ours:.2f} s / {theirs:.2f} s; CPU {cpu:.2f}",
        )
    if 16 in by_times:
        size = by_times[16]
        report.promise(
            "peak memory at x 16: pipeline / script",
            size.run.whole.peak_bytes / size.script.peak_bytes,
            most=0.5,
            note=f"{size.run.whole.peak_bytes >> 20} MB / {size.script.peak_bytes >> 20} MB",
        )
    if 32 in by_times:
        size = by_times[32]
        report.promise(
            "whole run at x 32: pipeline / script",
            size.run.whole.seconds / size.script.seconds,
            most=1.0,
            note=f"{size.run.whole.seconds:.0f} s / {size.script.seconds:.0f} s",
        )
    if len(measured) > 1:
        data = [s.run.seconds(training=False) for s in measured]
        whole = [s.run.whole.seconds for s in measured]
        report.promise("slope of log time over log size, data work", slope(lines, data), most=1)
        report.promise("slope of log time over log size, whole run", slope(lines, whole), most=1)
        low, high = measured[0], measured[-1]
        last = slope([s.lines for s in measured[-2:]], data[-2:])
        report.promise("the same between the two largest sizes, data work", last, most=1)
        report.promise(
            f"CPU outside steps, x {high.times} / x {low.times} (constant in size)",
            high.run.outside_cpu() / low.run.outside_cpu(),
            most=1.25,
            note=f"{high.run.outside_cpu():.1f} s / {low.run.outside_cpu():.1f} s",
        )


def as_data(size: Size) -> dict[str, Any]:
    """Return what is kept of a size in the JSON file."""
    whole = size.run.whole
    return {
        "times": size.times,
        "lines": size.lines,
        "pipeline_seconds": whole.seconds,
        "pipeline_cpu_seconds": whole.cpu_seconds,
        "pipeline_peak_bytes": whole.peak_bytes,
        "script_seconds": size.script.seconds,
        "script_cpu_seconds": size.script.cpu_seconds,
        "script_peak_bytes": size.script.peak_bytes,
        "cpu_outside_steps_seconds": size.run.outside_cpu(),
        "steps": {
            step.name: {
                "seconds": step.seconds,
                "cpu_seconds": whole.cpu_between(step.start, step.end),
                "peak_bytes": whole.peak_between(step.start, step.end),
            }
            for step in size.run.steps
        },
        "dbt_nodes": {
            node.name: node.seconds for nodes in size.run.nodes.values() for node in nodes
        },
        "dbt": size.dbt,
        "differences": size.differences,
    }
