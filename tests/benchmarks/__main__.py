"""``make bench``: every speed and model benchmark, each figure a ratio within one run.

    python -m tests.benchmarks [NAME...] [--sizes 1,4,16,32] [--quick]

``--help`` lists the names; all by default, some three hours on two cores. ``--quick``: sizes 1
and 4, 20 fits and permutations. A target that is missed is printed, never an error; what could
not be measured is one, once the others are.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import (
    decisions,
    demo_company,
    forecast_quality,
    lift,
    orchestration,
    permutations,
    refresh,
    rules,
    scaling,
    scoring,
    slope,
    uplift_oracle,
    value_models,
)
from tests.benchmarks.datasets import CHECKOUT
from tests.benchmarks.processes import FailedError
from tests.benchmarks.report import Report

REFRESHED = 18
"""Times Online Retail: ten million lines."""

DEMO_SIZES = (5_000, demo_company.CHURN_CUSTOMERS)


@dataclass(frozen=True)
class Options:
    """What was asked for: where files go, how much is measured, whether homes stay."""

    folder: Path
    sizes: list[int]
    quick: bool
    keep: bool

    @property
    def repeats(self) -> int:
        """How often what is random is repeated."""
        return 20 if self.quick else 200


BENCHMARKS: dict[str, tuple[str, Callable[[Report, Options], None]]] = {
    "orchestration": (
        "what Dagster costs beside its bare import",
        lambda report, o: orchestration.measure(report, o.folder, keep=o.keep),
    ),
    "scaling": (
        "Online Retail repeated: the pipeline, the script, dbt beside straight SQL",
        lambda report, o: scaling.run_sizes(report, o.folder, o.sizes, keep=o.keep),
    ),
    "slope": (
        "how a whole run grows to thirty million lines",
        lambda report, o: slope.run(
            report, o.folder, o.sizes if o.quick else slope.SIZES, keep=o.keep
        ),
    ),
    "refresh": (
        "new lines landed into ten million",
        lambda report, o: refresh.run(report, o.folder, 2 if o.quick else REFRESHED, keep=o.keep),
    ),
    "demo": (
        "demo companies; churn beside the true probabilities",
        lambda report, o: demo_company.run_companies(report, o.folder, DEMO_SIZES, keep=o.keep),
    ),
    "rules": ("association rules beside mlxtend", lambda report, _: rules.measure(report)),
    "speed": ("BG/NBD beside lifetimes", lambda report, _: value_models.speed(report)),
    "coverage": (
        "intervals of simulated value models",
        lambda report, o: value_models.coverage(report, o.repeats),
    ),
    "permutations": (
        "how often permuted labels lead to a promotion",
        lambda report, o: permutations.measure(report, o.repeats),
    ),
    "forecast": (
        "made-up companies",
        lambda report, o: forecast_quality.run(report, quick=o.quick),
    ),
    "scoring": (
        "scoring a million customers beside the bare predict calls",
        lambda report, o: scoring.measure(report, 100_000 if o.quick else scoring.CUSTOMERS),
    ),
    "uplift": (
        "Hillstrom's Qini by scikit-uplift",
        lambda report, o: uplift_oracle.measure(report, 1 if o.quick else uplift_oracle.REPEATS),
    ),
    "lift": (
        "measured lift of campaigns beside the demo company's truth",
        lambda report, _: lift.measure(report, lift.SEEDS),
    ),
    "decisions": ("allocation beside its bound", lambda report, _: decisions.allocation(report)),
}


def main() -> None:
    """Run what was asked for; print tables and targets, write ``benchmarks.json``."""
    listed = "; ".join(f"{name}: {text}" for name, (text, _) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__, epilog=listed)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--sizes", default="", help="repeats of Online Retail, such as 1,4")
    parser.add_argument("--quick", action="store_true", help="sizes 1 and 4, 20 fits")
    parser.add_argument("--keep", action="store_true", help="keep homes and results")
    parser.add_argument("--folder", type=Path, default=_default_folder())
    given = parser.parse_args()
    names = given.names or list(BENCHMARKS)
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(BENCHMARKS)}")
    sizes = given.sizes or ("1,4" if given.quick else "1,4,16,32")
    options = Options(given.folder.resolve(), _numbers(sizes), given.quick, given.keep)
    options.folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    started = time.monotonic()
    failed = []
    for name in names:
        print(f"\n=== {name} ===", flush=True)
        try:
            BENCHMARKS[name][1](report, options)
        except FailedError as error:
            failed.append(name)
            print(f"{name}: {error}")
        except Exception:
            # the others take hours: they are not lost for this one
            failed.append(name)
            traceback.print_exc()
        report.save(options.folder / "benchmarks.json")
    print(f"\n=== targets ===\n{report.summary()}")
    print(f"{time.monotonic() - started:.0f} s; figures: {options.folder / 'benchmarks.json'}")
    if failed:
        raise SystemExit(f"could not be measured: {', '.join(failed)}")


def _numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def _default_folder() -> Path:
    return Path(os.environ.get("CRM_HOME", CHECKOUT / ".crm")) / "benchmarks"


if __name__ == "__main__":
    main()
