"""From one to thirty million order lines: how time and memory of a whole run grow, step by step."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.datasets import LINES, into_inbox, online_retail, repeated_online_retail
from tests.benchmarks.processes import MEGABYTE
from tests.benchmarks.report import Report, table
from tests.benchmarks.runs import Run, crm_run
from tests.benchmarks.scaling import SOURCE, slope

SIZES = (2, 8, 56)
"""Times Online Retail: 1.1, 4.3 and 30.3 million lines."""

MOST = 1.05
SHOWN_SECONDS = 2.0
"""At the largest size; shorter steps are start-up."""


def run(report: Report, folder: Path, sizes: Sequence[int] = SIZES, *, keep: bool) -> None:
    """Run the pipeline on an empty home of each size and hold the slopes against the target."""
    if online_retail() is None:
        print("Online Retail: skipped, ../shared/data/online_retail is not here")
        return
    runs = []
    for times in sizes:
        runs.append(_run(times, folder, keep=keep))
        print(f"x {times}: {runs[-1].whole.seconds:.0f} s", flush=True)
    lines = [times * LINES for times in sizes]
    _show_steps(lines, runs)
    _show_sizes(lines, runs)
    whole = [one.whole.seconds for one in runs]
    work = [one.seconds(training=False) for one in runs]
    between = f"{lines[0] / 1e6:.1f} to {lines[-1] / 1e6:.1f} million lines"
    report.promise(f"slope of the whole run, {between}", slope(lines, whole), most=MOST)
    report.promise("the same of the data work", slope(lines, work), most=MOST)
    last = slope(lines[-2:], whole[-2:])
    report.promise("the whole run's between the two largest sizes", last, most=MOST)
    report.note(
        "slope",
        [
            {
                "lines": size,
                "seconds": one.whole.seconds,
                "peak_bytes": one.whole.peak_bytes,
                "steps": {step.name: step.seconds for step in one.steps},
            }
            for size, one in zip(lines, runs, strict=True)
        ],
    )


def _run(times: int, folder: Path, *, keep: bool) -> Run:
    given = repeated_online_retail(times, folder / "data")
    home = folder / f"slope_x{times}"
    shutil.rmtree(home, ignore_errors=True)
    into_inbox(given.path, home, SOURCE)
    found = crm_run(home, SOURCE)
    if not keep:
        shutil.rmtree(home)
    return found


def _show_steps(lines: Sequence[int], runs: Sequence[Run]) -> None:
    """What grows, steepest last; a step's slope is between the smallest and the largest size."""
    seconds = [{step.name: step.seconds for step in one.steps} for one in runs]
    rows = []
    for name, longest in seconds[-1].items():
        if longest >= SHOWN_SECONDS and all(name in of for of in seconds):
            taken = [of[name] for of in seconds]
            rows.append([name, *taken, slope(lines, taken)])
    rows.sort(key=lambda row: row[-1])
    header = ["step", *(f"{size / 1e6:.1f} million, s" for size in lines), "slope"]
    table("Steps by size", header, rows)


def _show_sizes(lines: Sequence[int], runs: Sequence[Run]) -> None:
    rows = [
        [
            size,
            one.whole.seconds,
            one.seconds(training=True),
            one.seconds(training=False),
            one.whole.cpu_seconds,
            one.whole.peak_bytes // MEGABYTE,
        ]
        for size, one in zip(lines, runs, strict=True)
    ]
    header = ["lines", "whole s", "training s", "data work s", "CPU s", "peak MB"]
    table("The whole run by size", header, [[str(row[0]), *row[1:]] for row in rows])
