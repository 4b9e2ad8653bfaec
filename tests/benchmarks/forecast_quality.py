"""Forecasts beside naive ones on made-up companies."""

from __future__ import annotations

import time

import numpy as np

from ml.forecast.sales.training import train_forecast
from tests.benchmarks.report import Report
from tests.unit.forecast_company import lines, periods_of

COMPANIES = 20


def run(report: Report, *, quick: bool = False) -> None:
    """Measure them; fewer companies if ``quick``."""
    _forecasts(report, 4 if quick else COMPANIES)


def _forecasts(report: Report, companies: int) -> None:
    ratios, held = [], []
    began = time.process_time()
    for seed in range(companies):
        result = train_forecast(periods_of(lines(seed=seed)), as_of="2025-05-10")
        row = result.evaluation.set_index("metric").loc["mase_weeks"]
        ratios.append(row["value"] / row["baseline_value"])
        held.append([result.gate.figures[name] for name in ("coverage_80", "coverage_95")])
    seconds = (time.process_time() - began) / companies
    mean = np.mean(held, axis=0)
    print(
        f"forecast of {companies} companies: error over the seasonal naive one's "
        f"{np.mean(ratios):.3f}, intervals of 80 and 95 % held {mean[0]:.3f} and {mean[1]:.3f}, "
        f"{seconds:.2f} s CPU a company"
    )
    report.promise("forecast error over the seasonal naive one's", np.mean(ratios), most=0.85)
    # many series count few whole orders a day: of such no interval holds exactly 80 %, but more
    report.promise("share that 80 % intervals hold", mean[0], least=0.75, most=0.88)
    report.promise("share that 95 % intervals hold", mean[1], least=0.92, most=0.98)
