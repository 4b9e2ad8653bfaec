"""The churn model's own benchmark: permuted labels, run as a program of its own."""

from __future__ import annotations

import re

from tests.benchmarks.permuted_labels import MOST_PROMOTIONS
from tests.benchmarks.report import Report
from tests.benchmarks.value_models import run_module


def permutations(report: Report, count: int) -> None:
    """Promotions among permutations of the labels, through the real training and gate."""
    output = run_module("permuted_labels", "--permutations", str(count))
    report.note("permuted_labels", output.splitlines())
    if found := re.search(r"^(\d+) of (\d+) permutations were promoted", output, re.MULTILINE):
        name = f"churn: promotions among {found[2]} permutations of the labels"
        report.promise(name, float(found[1]), most=MOST_PROMOTIONS)
