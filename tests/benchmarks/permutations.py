"""Permuted labels of every model that foretells customers, run as a program of its own."""

from __future__ import annotations

import re

from tests.benchmarks.permuted_labels import MOST_PROMOTIONS
from tests.benchmarks.report import Report
from tests.benchmarks.value_models import run_module


def measure(report: Report, count: int) -> None:
    """Promotions among permutations of the labels, through the real trainings and gates."""
    output = run_module("permuted_labels", "--permutations", str(count))
    report.note("permuted_labels", output.splitlines())
    counts = re.findall(r"^(\w+): (\d+) of \d+ permutations were promoted", output, re.MULTILINE)
    for model, promoted in counts:
        name = f"{model}: promotions among {count} permutations of the labels"
        report.promise(name, float(promoted), most=MOST_PROMOTIONS * count / 200)
