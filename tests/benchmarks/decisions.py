"""Allocation: how near the bound, and how fast."""

from __future__ import annotations

import time

from ml.allocation.exact import linear_bound
from ml.allocation.genetic import GeneticSettings, allocate_genetically
from ml.allocation.greedy import allocate_greedy
from tests.benchmarks.report import Report
from tests.unit.test_allocation import company

CUSTOMERS, OFFERS = 20_000, 5
COMPARED = 2_000
"""Customers at which HiGHS solves the relaxation in seconds."""


def allocation(report: Report) -> None:
    """Greedy at 20,000 customers by 5 offers; beside HiGHS at 2,000; the genetic gap at 1,000."""
    asked = company(CUSTOMERS, OFFERS)
    began = time.process_time()
    found = allocate_greedy(asked)
    seconds = time.process_time() - began
    report.promise("allocation 20,000 x 5: gap to the bound", found.gap_rate, most=1e-4)
    report.promise("allocation 20,000 x 5: CPU seconds", seconds, most=1.0)
    smaller = company(COMPARED, OFFERS)
    began = time.process_time()
    bound = linear_bound(smaller)
    by_solver = time.process_time() - began
    began = time.process_time()
    ours = allocate_greedy(smaller)
    report.promise(
        "allocation 2,000 x 5: HiGHS' time for the bound / ours for bound and answer",
        by_solver / (time.process_time() - began),
        least=5,
    )
    report.promise("the two bounds, relative", abs(ours.bound / bound - 1), most=1e-6)
    genetic = allocate_genetically(
        company(1_000, OFFERS), settings=GeneticSettings(from_greedy=False)
    )
    report.promise("genetic from scratch, 1,000 x 5: gap", genetic.gap_rate, most=0.0225)
