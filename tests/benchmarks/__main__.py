"""``make bench``: every speed and model benchmark, each figure a ratio within one run.

    python -m tests.benchmarks [NAME...] [--sizes 1,4,16,32] [--quick]

Names: scaling (Online Retail repeated: the pipeline, the script, dbt beside straight SQL), refresh
(new lines landed into ten million), demo (demo companies; churn beside the true probabilities),
orchestration, speed (BG/NBD beside lifetimes), coverage (200 simulated fits), forecast (20 made-up
companies, 200 permuted win models). All by default, about
three quarters of an hour on two cores;
``--quick``: sizes 1 and 4, 20 fits. A target that is missed is printed, never an error.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from tests.benchmarks import (
    demo_company,
    forecast_quality,
    orchestration,
    refresh,
    scaling,
    value_models,
)
from tests.benchmarks.datasets import CHECKOUT
from tests.benchmarks.processes import FailedError
from tests.benchmarks.report import Report

NAMES = ("orchestration", "scaling", "refresh", "demo", "speed", "coverage", "forecast")
REFRESHED = 18
"""Times Online Retail: ten million lines."""

DEMO_SIZES = (5_000, demo_company.CHURN_CUSTOMERS)


def main() -> None:
    """Run what was asked for; print tables and targets, write ``benchmarks.json``."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--sizes", default="", help="repeats of Online Retail, such as 1,4")
    parser.add_argument("--quick", action="store_true", help="sizes 1 and 4, 20 fits")
    parser.add_argument("--keep", action="store_true", help="keep homes and results")
    parser.add_argument("--folder", type=Path, default=_default_folder())
    options = parser.parse_args()
    names = options.names or list(NAMES)
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(NAMES)}")
    sizes = options.sizes or ("1,4" if options.quick else "1,4,16,32")
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    started = time.monotonic()
    for name in names:
        print(f"\n=== {name} ===", flush=True)
        try:
            if name == "orchestration":
                orchestration.measure(report, folder, keep=options.keep)
            elif name == "scaling":
                scaling.run_sizes(report, folder, _numbers(sizes), keep=options.keep)
            elif name == "refresh":
                times = 2 if options.quick else REFRESHED
                refresh.run(report, folder, times, keep=options.keep)
            elif name == "demo":
                demo_company.run_companies(report, folder, DEMO_SIZES, keep=options.keep)
            elif name == "speed":
                value_models.speed(report)
            elif name == "forecast":
                forecast_quality.run(report, quick=options.quick)
            else:
                value_models.coverage(report, 20 if options.quick else 200)
        except FailedError as error:
            print(f"{name}: {error}")
        report.save(folder / "benchmarks.json")
    print(f"\n=== targets ===\n{report.summary()}")
    print(f"{time.monotonic() - started:.0f} s; figures: {folder / 'benchmarks.json'}")


def _numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def _default_folder() -> Path:
    return Path(os.environ.get("CRM_HOME", CHECKOUT / ".crm")) / "benchmarks"


if __name__ == "__main__":
    main()
