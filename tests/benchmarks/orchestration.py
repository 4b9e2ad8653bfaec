"""What a run costs before any data is worked on, in CPU seconds.

Defined as the CPU seconds of the whole process tree of a ``crm run`` on a tiny company (1,000
customers) with nothing new in the inbox, so that nothing lands and nothing trains, less those of
the dbt processes from their first node's start to their last node's end, which is the dbt stage
that ``dbt_ratio`` measures. Start-up, imports, parsing, planning, events, checks, scoring and the
publication of tiny tables all count. It is held against the bare import of the same libraries in
one process, median of three, in the same run. Also shown, without a target: the same if of dbt's
nodes nothing but their SQL, executed straight, were taken off.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path

from tests.benchmarks.datasets import CHECKOUT
from tests.benchmarks.dbt_ratio import straight_cpu
from tests.benchmarks.demo_company import company_home
from tests.benchmarks.processes import environment, watch
from tests.benchmarks.report import Report, table
from tests.benchmarks.runs import DBT_STEPS, crm_run

TINY = 1_000
LIBRARIES = (
    "dagster",
    "dagster_dbt",
    "dbt.cli.main",
    "dbt.adapters.duckdb",
    "duckdb",
    "great_expectations",
    "matplotlib.figure",
    "mlflow",
    "mlflow.sklearn",
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "skops.io",
)
"""What a run imports, across its processes; shap only where boosted trees rule, so not here."""


def measure(report: Report, folder: Path, *, keep: bool) -> None:
    """Print where the CPU seconds of a run without work go, and hold them against the targets."""
    home = company_home(folder, TINY)
    crm_run(home, "demo")
    runs = [crm_run(home, "demo") for _ in range(3)]
    run = sorted(runs, key=lambda each: each.whole.cpu_seconds)[1]
    sql = straight_cpu(run, folder / "copy", DBT_STEPS)
    bare = [
        watch(
            [sys.executable, "-c", f"import {', '.join(LIBRARIES)}"],
            cwd=CHECKOUT,
            env=environment(),
        ).cpu_seconds
        for _ in range(4)
    ][1:]
    imports = statistics.median(bare)
    cpu = run.whole.cpu_seconds - run.nodes_cpu()
    between = run.whole.cpu_between
    rows: list[list[object]] = [["(before the first step)", between(0, run.steps[0].start)]]
    for step in run.steps:
        rows.append([step.name, between(step.start, step.end)])
        if step.name in DBT_STEPS:
            nodes = run.dbt(step.name)
            used = run.whole.children_cpu_between(nodes.start, nodes.end)
            rows.append(["  of which dbt, first node to last", used])
    steps = sum(between(s.start, s.end) for s in run.steps)
    rows.append(["(between and after steps)", run.whole.cpu_seconds - steps - float(rows[0][1])])
    rows.append(["whole run", run.whole.cpu_seconds])
    rows.append(["less dbt, first node to last", -run.nodes_cpu()])
    rows.append(["orchestration", cpu])
    rows.append(["bare import of the same libraries", imports])
    rows.append(["whole run less the nodes' SQL, executed straight", run.whole.cpu_seconds - sql])
    table(f"A run without work, {TINY} customers", ["", "CPU s"], rows)
    report.promise("CPU seconds of orchestration", cpu, most=25)
    report.promise("orchestration / bare import", cpu / imports, most=2.5)
    report.note(
        "orchestration",
        {
            "cpu_seconds": cpu,
            "runs_cpu_seconds": [each.whole.cpu_seconds for each in runs],
            "wall_seconds": run.whole.seconds,
            "straight_sql_cpu_seconds": sql,
            "bare_import_cpu_seconds": imports,
            "parts": dict((str(name), value) for name, value in rows),
        },
    )
    if not keep:
        shutil.rmtree(home)
