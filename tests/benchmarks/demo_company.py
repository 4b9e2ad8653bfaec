"""Demo companies: stages by size, and how near churn comes to the best possible forecast."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from tests.benchmarks.processes import MEGABYTE
from tests.benchmarks.report import Report, table
from tests.benchmarks.runs import Run, crm_run

CHURN_CUSTOMERS = 20_000


def company_home(folder: Path, customers: int) -> Path:
    """Return a new home whose inbox holds a demo company."""
    from crm_pipeline.demo import write_demo

    home = folder / f"home_demo_{customers}"
    shutil.rmtree(home, ignore_errors=True)
    write_demo(home / "inbox" / "demo", home / "demo_truth", customers=customers)
    for file in sorted((home / "inbox" / "demo").iterdir()):
        file.with_name(file.name + ".done").touch()
    return home


def run_companies(report: Report, folder: Path, sizes: Sequence[int], *, keep: bool) -> None:
    """Run the pipeline on demo companies; examine churn on the one of 20,000 customers."""
    runs: dict[int, Run] = {}
    for customers in sizes:
        runs[customers] = crm_run(company_home(folder, customers), "demo")
        print(f"demo company, {customers:,} customers: {runs[customers].whole.seconds:.0f} s")
    names = [step.name for step in next(iter(runs.values())).steps]
    rows: list[list[object]] = []
    for name in names:
        row: list[object] = [name]
        for run in runs.values():
            step = next((s for s in run.steps if s.name == name), None)
            peak = run.whole.peak_between(step.start, step.end) if step else 0
            row += [step.seconds if step else 0.0, peak // MEGABYTE]
        rows.append(row)
    total: list[object] = ["whole run"]
    header = ["demo company"]
    for customers, run in runs.items():
        total += [run.whole.seconds, run.whole.peak_bytes // MEGABYTE]
        header += [f"{customers:,}: s", "peak MB"]
    table("Demo companies by customers", header, [*rows, total])
    report.note(
        "demo_company",
        {
            customers: {
                "seconds": run.whole.seconds,
                "cpu_seconds": run.whole.cpu_seconds,
                "peak_bytes": run.whole.peak_bytes,
                "steps": {step.name: step.seconds for step in run.steps},
            }
            for customers, run in runs.items()
        },
    )
    if CHURN_CUSTOMERS in runs:
        examine_churn(report, runs[CHURN_CUSTOMERS].home)
    if not keep:
        for run in runs.values():
            shutil.rmtree(run.home)


def examine_churn(report: Report, home: Path) -> None:
    """Hold the published log-loss against that of the true probabilities, same customers."""
    with duckdb.connect(str(home / "published" / "crm.duckdb"), read_only=True) as con:
        found = dict(
            con.execute(
                "select metric, value from meta.model_evaluations "
                "where model = 'churn' and period like '%days'"
            ).fetchall()
        )
    best = oracle(home)
    ratio = found["log_loss"] / best["log_loss"]
    customers = f"{best['customers']:,} customers at {best['cut_off_on']}"
    table(
        f"Churn on the demo company, {customers}",
        ["", "log-loss", "calibration error", "AUC"],
        [
            ["the pipeline's model", *_figures(found)],
            ["the true probabilities, given the records", *_figures(best)],
        ],
    )
    report.promise("churn log-loss / that of the true probabilities", ratio, most=1.02)
    report.promise("churn calibration error", found["calibration_error"], most=0.03)
    report.note("churn", {"model": found, "oracle": best, "log_loss_ratio": ratio})


def _figures(found: dict[str, Any]) -> list[str]:
    return [f"{found[name]:.5f}" for name in ("log_loss", "calibration_error", "roc_auc")]


def oracle(home: Path) -> dict[str, Any]:
    """Return the figures of the true probabilities on the customers that the model was tested on.

    Customers and labels are the warehouse's, probabilities the generator's: those of no order in
    the horizon, given all that the records say at the cut-off.
    """
    from crm_pipeline.demo import oracle_probabilities, read_truth
    from ml.evaluation.metrics import calibration_error, log_loss, roc_auc

    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        labels = con.execute(
            "select split_part(customer_key, ':', 2) as customer_no, "
            "cut_off_on, horizon_days, is_churned from features.customer_labels "
            "where (cut_off_on, horizon_days) in (select (cut_off_on, horizon_days) "
            "from features.cut_offs where purpose = 'churn_evaluation') "
            "and is_churned is not null order by customer_no"
        ).df()
    cut_off: date = labels["cut_off_on"].iloc[0].date()
    horizon = int(labels["horizon_days"].iloc[0])
    known = oracle_probabilities(read_truth(home / "demo_truth"), cut_off, horizon)
    both = labels.set_index("customer_no").join(known, how="inner")
    p = both["no_order_probability"].to_numpy()
    y = both["is_churned"].to_numpy(dtype=np.float64)
    return {
        "customers": len(both),
        "customers_without_truth": len(labels) - len(both),
        "cut_off_on": cut_off.isoformat(),
        "log_loss": float(log_loss(y, p)),
        "calibration_error": float(calibration_error(y, p)),
        "roc_auc": float(roc_auc(y, p)),
    }
