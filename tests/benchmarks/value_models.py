"""The value model's own benchmarks, each run as a program of its own."""

from __future__ import annotations

import re
import sys

from tests.benchmarks.datasets import CHECKOUT
from tests.benchmarks.processes import environment, watch
from tests.benchmarks.report import Report


def run_module(module: str, *arguments: str) -> str:
    """Run a module of ``tests.benchmarks``, print and return what it says."""
    done = watch(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments],
        cwd=CHECKOUT,
        env=environment(),
    )
    print(f"\n{module} ({done.seconds:.0f} s)\n{done.output}", flush=True)
    return done.output


def speed(report: Report) -> None:
    """A BG/NBD fit beside lifetimes, at 100,000 customers."""
    output = run_module("clv_speed")
    report.note("clv_speed", output.splitlines())
    if found := re.search(r"at the last size.*: ([\d.,]+)\s*$", output, re.MULTILINE):
        ratio = float(found[1].replace(",", ""))
        report.promise("BG/NBD fit: lifetimes' time / ours, 100,000 customers", ratio, least=50)


def coverage(report: Report, fits: int) -> None:
    """Coverage and width of the parameters' intervals over simulated fits."""
    output = run_module("clv_coverage", "--fits", str(fits))
    report.note("clv_coverage", output.splitlines())
    if found := re.search(r"^(\d+) of (\d+) intervals fall short", output, re.MULTILINE):
        name = f"intervals outside 91-99 % coverage or too wide, of {found[2]}"
        report.promise(name, float(found[1]), most=0)
