"""``crm status``: is the published file fresh, complete and trustworthy?"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from crm_pipeline.commands.query import open_published
from crm_pipeline.defs.publication.notices import JOBS, has_notices
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import Settings, load_settings


def overdue(landed: dict[str, datetime], expected_days: dict[str, float]) -> list[dict[str, Any]]:
    """Return the tables whose newest file is older than their contract expects.

    Args:
        landed: ``source.table`` -> when its newest content landed (UTC, naive).
        expected_days: ``source.table`` -> days between files that the contract promises.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = []
    for table, days in sorted(expected_days.items()):
        age = (now - landed[table]).total_seconds() / 86_400 if table in landed else None
        if age is None or age > days:
            rows.append({"table": table, "expected_every_days": days, "age_days": age})
    return rows


def last_runs(settings: Settings) -> dict[str, dict[str, Any] | None]:
    """Return the run that is on (``running``) and the last one that ended (``ended``), if any.

    Each with ``run_id``, ``job``, ``status`` and ``at`` (UTC). Only whole jobs count: somebody who
    tries one asset in the UI says nothing about the publication.
    """
    import dagster as dg

    found: dict[str, dict[str, Any] | None] = {"running": None, "ended": None}
    if not (settings.dagster_home / "history").is_dir():
        return found
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        for record in instance.get_run_records(limit=50):
            run = record.dagster_run
            kind = "ended" if run.is_finished else "running"
            if run.job_name in JOBS and found[kind] is None:
                at = record.update_timestamp.astimezone(UTC).replace(tzinfo=None)
                found[kind] = {
                    "run_id": run.run_id,
                    "job": run.job_name,
                    "status": run.status.value.lower(),
                    "at": at,
                }
    return found


def collect(settings: Settings) -> dict[str, Any]:
    """Return what the published file says of itself, and whether that is healthy."""
    from crm_pipeline.defs.landing.enabled import check_enabled
    from crm_pipeline.defs.landing.sources import sources_from_manifest

    contracts = sources_from_manifest(ensure_manifest())
    check_enabled(contracts, settings.sources)
    expected = {
        table.label: table.expected_every_days
        for name in settings.sources
        for table in contracts[name].tables
        if table.expected_every_days
    }
    with open_published(settings.published / "crm.duckdb") as db:

        def rows(sql: str) -> list[dict[str, Any]]:
            relation = db.sql(sql)
            return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

        [build] = rows("from meta.build")
        landed = {
            f"{row['source']}.{row['table_name']}": row["at"]
            for row in rows(
                "select source, table_name, max(landed_at) as at "
                "from meta.landed_files group by all"
            )
        }
        failed = rows(
            "from meta.quality where not passed order by severity, table_name, check_name"
        )
        status = {
            "build": build,
            "champions": json.loads(build["champions"]),
            "overdue": overdue(landed, expected),
            "failed_checks": failed,
            "quarantine": rows(
                "select source, table_name, sum(row_count) as records from meta.quarantine "
                "group by all order by all"
            ),
            "schema_drift": rows(
                "select source, table_name, count(distinct digest) as files, string_agg("
                "distinct replace(kind, '_column', '') || ' ' || column_name, ', ' "
                "order by replace(kind, '_column', '') || ' ' || column_name) as columns "
                "from meta.schema_drift where is_standing group by all order by all"
            ),
            "runs_since": rows("from meta.runs_since order by ended_at") if has_notices(db) else [],
            "tables": rows("from meta.freshness order by all"),
            "restatements": rows(
                "select metric, month, old_value, new_value, files, reason from meta.restatements "
                "where publication = (select max(publication) from meta.publications) order by all"
            )
            # a file that an older version published says nothing of it
            if rows("from duckdb_tables() where table_name = 'restatements'")
            else [],
            "runs": last_runs(settings),
        }
    errors = [check for check in failed if check["severity"] == "error"]
    ended = status["runs"]["ended"]
    has_failed = ended is not None and ended["status"] == "failure"
    return {"healthy": not (errors or status["overdue"] or has_failed), **status}


def status(options: argparse.Namespace) -> int:
    """Print the state of the published file; 0 if healthy, 1 if not."""
    state = collect(load_settings())
    if options.json:
        print(json.dumps(state, default=str, indent=1))
        return 0 if state["healthy"] else 1
    build = state["build"]
    print(f"{'healthy' if state['healthy'] else 'NOT HEALTHY'}, as of {build['as_of']}")
    print(f"  built {build['built_at']} UTC by {build['code_version']} from {build['sources']}")
    champions = ", ".join(f"{m} {v}" for m, v in state["champions"].items())
    print(f"  champions: {champions or 'none'}")
    for kind, run in state["runs"].items():
        if run is not None:
            print(f"  {kind}: run {run['run_id'][:8]} of {run['job']}: {run['status']}")
    for row in state["runs_since"]:
        print(f"  {row['outcome']} since: run {row['run_id']} of {row['job']}: {row['reason']}")
    for row in state["overdue"]:
        age = "never landed" if row["age_days"] is None else f"{row['age_days']:.1f} days old"
        print(f"  overdue: {row['table']}: {age}, expected every {row['expected_every_days']:g}")
    for row in state["failed_checks"]:
        owner = f" ({row['owner']})" if row.get("owner") else ""
        print(f"  {row['severity']}: {row['table_name']}: {row['check_name']}{owner}")
    for row in state["quarantine"]:
        print(f"  quarantine: {row['source']}.{row['table_name']}: {row['records']} records")
    for row in state["schema_drift"]:
        print(
            f"  schema drift: {row['source']}.{row['table_name']}: {row['columns']} "
            f"({row['files']} file(s); see meta.schema_drift)"
        )
    if state["restatements"]:
        print(f"  restated: {len(state['restatements'])} published figures (meta.restatements)")
    print(f"  tables: {len(state['tables'])}, rows: {sum(r['row_count'] for r in state['tables'])}")
    return 0 if state["healthy"] else 1
