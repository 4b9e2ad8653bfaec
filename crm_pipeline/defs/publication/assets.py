"""The publication: one DuckDB file and its Parquet, written aside and swapped in whole."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pandas as pd

from crm_pipeline.code_version import code_version
from crm_pipeline.defs.landing import erasure
from crm_pipeline.defs.landing.ledger import (
    landed_files,
    quarantine_lines,
    quarantine_summary,
)
from crm_pipeline.defs.landing.schema_history import contract_versions, schema_drift
from crm_pipeline.defs.landing.settings_table import currency_of_the_run
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.modelling.store import champion_versions
from crm_pipeline.defs.publication import records, writing
from crm_pipeline.defs.publication.catalogue import published_tables
from crm_pipeline.defs.publication.knowledge import learn_documents, write_fact_knowledge
from crm_pipeline.defs.publication.meta_tables import META_TABLES
from crm_pipeline.defs.publication.notices import tell_new_warnings, warnings_of
from crm_pipeline.defs.publication.provenance import last_check_results
from crm_pipeline.defs.publication.questions import metric_definitions, sample_queries
from crm_pipeline.defs.publication.restatements import find_restatements, tables_behind
from crm_pipeline.defs.publication.swap import (
    FILE,
    REPORT,
    changing,
    new_version,
    parquet_digests,
    prune,
    publish,
)
from crm_pipeline.defs.quality.accountable import Accountable, accountable
from crm_pipeline.errors import UserError
from crm_pipeline.report.build import INDEX, build_report
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse
from crm_pipeline.settings import Settings

_MANIFEST = ensure_manifest()
_TABLES = published_tables(_MANIFEST)
_CONTRACTS = sources_from_manifest(_MANIFEST)
_BEHIND_KPIS = tables_behind(_MANIFEST)
_KEPT = (
    "audience_ledger", "check_bounds", "model_cards", "model_drift", "model_scorecard",
    "score_history",
)  # fmt: skip
"""Tables of ``control`` that are published as they are."""


def _meta(con: duckdb.DuckDBPyConnection, name: str, rows: pd.DataFrame | str) -> None:
    table = META_TABLES[name]
    writing.write_meta(
        con,
        name,
        rows,
        types=table.types,
        description=table.description,
        columns=table.meanings,
    )


def write_publication(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    settings: Settings,
    checks: pd.DataFrame,
    built_at: datetime,
    run_id: str,
) -> dict[str, int]:
    """Fill the new file on ``con`` from the warehouse attached as ``w``, Parquet beside it.

    ``folder`` is the publication's own, whose name is its number.

    Returns:
        Rows by published table.
    """
    for schema in ("marts", "scores", "meta"):
        con.execute(f"create schema {schema}")
    counts: dict[str, int] = {}
    for table in _TABLES:
        counts[f"{table.schema}.{table.name}"] = writing.copy_table(con, table, folder / "parquet")
    evaluations = con.execute("select * from w.control.model_evaluations order by all").df()
    kept = {name: writing.control_table(con, name, META_TABLES[name].types) for name in _KEPT}
    con.execute("use w")
    landed = landed_files(con).df()
    quarantined = pd.concat([quarantine_summary(con).df(), writing.without_rate(con)])
    lines = quarantine_lines(con).df()
    drift, versions = schema_drift(con).df(), contract_versions(con).df()
    made_for = con.execute("select as_of, horizon_days from control.run_settings").fetchone()
    assert made_for is not None
    currency = currency_of_the_run(con)
    this = records.Publication(
        publication=int(folder.name),
        run_id=run_id,
        built_at=built_at,
        as_of=made_for[0],
        landing_number=records.landing_reached(con),
        settings=records.deciding_settings(settings),
        champions=champion_versions(con),
        model_statuses=records.model_statuses(con),
        code_version=code_version(),
        digests=json.dumps(parquet_digests(folder)),
    )
    digest, earlier = writing.input_digest(con), records.publications(con)
    restated_before = con.execute("select * from control.restatements").df()
    con.execute("use p")
    restated = find_restatements(con, this, _CONTRACTS, _BEHIND_KPIS, settings.time_zone)
    build = {
        "as_of": this.as_of,
        "built_at": built_at,
        "horizon_days": made_for[1],
        "code_version": this.code_version,
        "sources": ",".join(settings.sources),
        "champions": this.champions,
        "input_digest": digest,
        "time_zone": settings.time_zone,
        "currency": currency,
    }
    _meta(con, "build", pd.DataFrame([build]))
    _meta(con, "publications", pd.DataFrame([vars(one) for one in (*earlier, this)]))
    _meta(con, "restatements", pd.concat([restated_before, restated]))
    write_fact_knowledge(con, _CONTRACTS, settings.time_zone)
    _meta(con, "landed_files", landed)
    _meta(con, "quarantine", quarantined)
    _meta(con, "quarantine_lines", lines)
    _meta(con, "schema_drift", drift)
    _meta(con, "contract_versions", versions)
    _meta(con, "quality", checks)
    for name, rows in kept.items():
        _meta(con, name, rows)
    _meta(con, "runs_since", pd.DataFrame(columns=list(META_TABLES["runs_since"].types)))
    _meta(con, "model_evaluations", evaluations)
    _meta(con, "metrics", metric_definitions(_MANIFEST))
    _meta(con, "sample_queries", pd.DataFrame([vars(one) for one in sample_queries()]))
    _meta(con, "freshness", writing.freshness(con, _TABLES))
    for _ in ("without itself", "with itself"):
        _meta(con, "dictionary", writing.dictionary(con, _TABLES))
    return counts


def _count(con: duckdb.DuckDBPyConnection, what: str, *parameters: object) -> int:
    row = con.execute(f"select count(*) from {what}", list(parameters)).fetchone()
    return int(row[0]) if row else 0


PUBLISHED = dg.AssetKey(["published", "crm_duckdb"])
REPORTED = dg.AssetKey(["published", "report"])
OWN_CHECK = "publication_equals_warehouse"
OWNER = "team:data-platform"


def check_results(
    instance: dg.DagsterInstance,
    answerable: Mapping[dg.AssetCheckKey, Accountable],
    built_at: datetime,
) -> pd.DataFrame:
    """Return ``meta.quality``: the last result of every check, and that of the publication's own.

    The publication's own check is made on the finished file; a file that anybody can read has
    passed it, so the file may say so.
    """
    own = dg.AssetCheckKey(PUBLISHED, OWN_CHECK)
    checks = last_check_results(instance, {k: a for k, a in answerable.items() if k != own})
    values = (OWN_CHECK, ".".join(PUBLISHED.path), "error", True, None, built_at, OWNER)
    return pd.concat([checks, pd.DataFrame([values], columns=checks.columns)], ignore_index=True)


def differences(con: duckdb.DuckDBPyConnection, parquet: Path) -> list[str]:
    """Return the tables whose Parquet is not row for row what the warehouse holds."""
    found = []
    for table in _TABLES:
        place = f"{writing.quoted(table.schema)}.{writing.quoted(table.name)}"
        file = writing.text(str(writing.parquet_file(parquet, table)))
        columns = ", ".join(writing.quoted(column.name) for column in table.columns)
        # sums of hashes are equal for equal rows whatever their order, duplicates included
        total = f"select count(*), sum(hash({columns})::hugeint)"
        if (
            con.execute(f"{total} from w.{place}").fetchone()
            != con.execute(f"{total} from read_parquet({file})").fetchone()
        ):
            found.append(f"{table.schema}.{table.name}")
    return found


def publish_warehouse(
    warehouse: Warehouse, settings: Settings, checks: pd.DataFrame, built_at: datetime, run_id: str
) -> tuple[Path, dict[str, int], int]:
    """Write a publication of the warehouse as it is, its report with it, and swap it in.

    Returns:
        Its folder, rows by table, and how many figures it restates.

    Raises:
        UserError: What was written is not what the warehouse holds; the last one stays.
    """
    with warehouse.writer() as db:
        records.remember(db, settings.published / FILE)
        learn_documents(db, _CONTRACTS)
        made = records.publications(db)
    folder = new_version(settings.published, after=made[-1].publication if made else 0)
    with warehouse.publishing(folder / FILE) as db:
        counts = write_publication(db, folder, settings, checks, built_at, run_id)
        restated = _count(db, "meta.restatements where publication = ?", int(folder.name))
        wrong = differences(db, folder / "parquet")
    if wrong:
        raise UserError(
            f"the new publication differs from the warehouse in {', '.join(wrong)}; "
            "the last one stays. Check the disk, then run again."
        )
    # before the swap: a report that readers see is always of the file that they see
    build_report(folder / FILE, folder / REPORT, settings.language)
    publish(settings.published, folder)
    with warehouse.writer() as db:
        records.remember(db, settings.published / FILE)
        holds_erased = erasure.is_pending(db, "gone")
    if holds_erased:
        # the publications before hold who was erased, and so do the warehouse's free blocks
        prune(settings.published, keep=1)
        warehouse.rewrite(erasure.GONE)
    return folder, counts, restated


@dg.multi_asset(
    name="published__crm_duckdb",
    specs=[
        dg.AssetSpec(
            PUBLISHED,
            deps=[
                *(dg.AssetKey([table.schema, table.name]) for table in _TABLES),
                dg.AssetKey(["control", "model_monitoring"]),
                dg.AssetKey(["control", "audience_assignments"]),
            ],
            group_name="publication",
            owners=[OWNER],
            kinds={"duckdb", "parquet"},
            description="published/crm.duckdb and published/parquet: marts, scores, meta; "
            "replaced whole.",
        ),
        dg.AssetSpec(
            REPORTED,
            deps=[PUBLISHED],
            group_name="publication",
            owners=[OWNER],
            kinds={"html"},
            description="published/report/index.html: the report for managers, made from the "
            "published file alone and swapped in with it.",
        ),
    ],
    pool=WRITER_POOL,
    retry_policy=dg.RetryPolicy(max_retries=1, delay=2),
    check_specs=[
        dg.AssetCheckSpec(
            OWN_CHECK,
            asset=PUBLISHED,
            blocking=True,
            description="Every published table is row for row what the warehouse holds.",
        )
    ],
)
def publication(
    context: dg.AssetExecutionContext, warehouse: Warehouse, home: Home
) -> tuple[dg.MaterializeResult, dg.MaterializeResult]:
    """Write the publication aside, hold it against the warehouse, report on it, swap it in."""
    with plain_failures():
        settings = home.settings()
        built_at = datetime.now(UTC).replace(tzinfo=None)
        answerable = accountable(context.job_def.asset_layer.asset_graph)
        checks = check_results(context.instance, answerable, built_at)
        with changing(settings.published):
            before = warnings_of(settings.published)
            folder, counts, restated = publish_warehouse(
                warehouse, settings, checks, built_at, context.run_id
            )
        tell_new_warnings(settings, before, run_id=context.run_id)
    published: dg.MaterializeResult = dg.MaterializeResult(
        asset_key=PUBLISHED,
        metadata={
            "tables": len(counts),
            "rows": sum(counts.values()),
            "version": folder.name,
            "figures_restated": restated,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=OWN_CHECK,
                passed=True,
                metadata={"tables": len(counts), "rows": sum(counts.values())},
            )
        ],
    )
    size = (folder / REPORT / INDEX).stat().st_size
    reported: dg.MaterializeResult = dg.MaterializeResult(
        asset_key=REPORTED, metadata={"bytes": size, "language": settings.language}
    )
    return published, reported
