"""Raw tables as assets: whatever waits in the inbox lands, typed by its source's contract."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from crm_pipeline.defs.landing.contracts import meaning_of
from crm_pipeline.defs.landing.enabled import check_enabled
from crm_pipeline.defs.landing.ledger import event_span
from crm_pipeline.defs.landing.loader import land
from crm_pipeline.defs.landing.pending import write_index
from crm_pipeline.defs.landing.settings_table import write_run_settings
from crm_pipeline.defs.landing.sources import TableContract, sources_from_manifest
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse
from crm_pipeline.settings import Settings, parse_date

OWNERS = ["team:data-platform"]
CHECK = "every_record_accounted_for"
DRIFT_CHECK = "schema_as_declared"
_MANIFEST = ensure_manifest()
CONTRACTS = sources_from_manifest(_MANIFEST)
RUN_SETTINGS = dg.AssetKey(["control", "run_settings"])


def _key(table: TableContract) -> dg.AssetKey:
    return dg.AssetKey(["raw", table.identifier])


_TABLES = [table for source in CONTRACTS.values() for table in source.tables]
_DESCRIBED = {
    node["identifier"]: node for node in _MANIFEST["sources"].values() if node["schema"] == "raw"
}


def _schema(table: TableContract) -> dg.TableSchema:
    described = _DESCRIBED[table.identifier]["columns"]
    return dg.TableSchema(
        [
            dg.TableColumn(
                stored.name,
                stored.data_type,
                description=meaning_of(column, stored, described[column.name]["description"]),
            )
            for column in table.columns
            for stored in column.stored
        ]
    )


def _specs() -> list[dg.AssetSpec]:
    # a list at module level would be loaded a second time, as assets of its own
    return [
        dg.AssetSpec(
            _key(table),
            group_name="landing",
            owners=OWNERS,
            kinds={"duckdb", table.format},
            description=_DESCRIBED[table.identifier]["description"],
            skippable=True,
            metadata={"dagster/column_schema": _schema(table)},
        )
        for table in _TABLES
    ]


def _check_specs() -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            CHECK,
            asset=_key(table),
            blocking=True,
            description="Every file landed; records read = accepted + quarantined = stored.",
        )
        for table in _TABLES
    ] + [
        dg.AssetCheckSpec(
            DRIFT_CHECK,
            asset=_key(table),
            description="The files have the columns that the source declares, and no others.",
        )
        for table in _TABLES
    ]


class LandingConfig(dg.Config):
    """Launchpad options: which sources to land; none named means all enabled."""

    sources: list[str] = Field(default_factory=list)


def check_sources(settings: Settings, named: list[str]) -> None:
    """Raise if an enabled or named source has no folder below ``models/staging``."""
    check_enabled(CONTRACTS, settings.sources, named)


@dg.multi_asset(
    specs=_specs(),
    check_specs=_check_specs(),
    can_subset=True,
    pool=WRITER_POOL,
    retry_policy=dg.RetryPolicy(max_retries=1, delay=2),
)
def land_files(
    context: dg.AssetExecutionContext, config: LandingConfig, warehouse: Warehouse, home: Home
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Land every complete file of the chosen sources; report each file's fate."""
    with plain_failures():
        settings = home.settings()
        check_sources(settings, config.sources)
        selected = {t.source for t in _TABLES if _key(t) in context.selected_asset_keys}
        only = (set(config.sources) or set(settings.sources)) & selected
        with warehouse.writer() as db:
            report = land(
                db,
                home=settings.home,
                contracts=CONTRACTS,
                enabled=settings.sources,
                only=only,
                time_zone=settings.time_zone,
                clock=lambda: datetime.now(UTC).replace(tzinfo=None),
                master_key=settings.master_key,
            )
            write_index(db, settings.home)
    for file in report.files:
        context.log.info(str(file))
    for problem in report.problems:
        context.log.warning(problem)
    for table in _TABLES:
        key = _key(table)
        if key not in context.selected_asset_keys:
            continue
        outcome = report.tables[table.identifier]
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "dagster/row_count": outcome.rows_current,
                "files_landed": outcome.files_landed,
                "rows_accepted": outcome.rows_accepted,
                "rows_quarantined": outcome.rows_quarantined,
            },
        )
        yield dg.AssetCheckResult(
            check_name=CHECK,
            asset_key=key,
            passed=outcome.is_ok,
            description=outcome.message,
            metadata={
                "rows_read": outcome.rows_read,
                "rows_accepted": outcome.rows_accepted,
                "rows_quarantined": outcome.rows_quarantined,
                "files_refused": outcome.files_refused,
            },
        )
        yield dg.AssetCheckResult(
            check_name=DRIFT_CHECK,
            asset_key=key,
            passed=not outcome.drift,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(outcome.drift) or "Every file has the declared columns.",
            metadata={"columns": len(outcome.drift)},
        )


class AsOfConfig(dg.Config):
    """Launchpad option: the as-of date, as 2026-11-22; empty means the setting or the data's."""

    as_of: str = ""


@dg.asset(
    key=RUN_SETTINGS,
    deps=[_key(table) for table in _TABLES],
    group_name="landing",
    owners=OWNERS,
    kinds={"duckdb"},
    pool=WRITER_POOL,
)
def run_settings(
    context: dg.AssetExecutionContext, config: AsOfConfig, warehouse: Warehouse, home: Home
) -> dg.MaterializeResult:
    """The one clock: what day, horizon, rate, currency and zone everything after is made for."""
    with plain_failures():
        settings = home.settings()
        asked = parse_date(config.as_of, "as_of") if config.as_of else settings.as_of
        with warehouse.writer() as db:
            span = event_span(db, CONTRACTS, settings.sources, settings.time_zone)
            row = write_run_settings(db, settings, CONTRACTS, asked=asked, span=span)
    context.log.info(f"as of {row['as_of']}")
    return dg.MaterializeResult(metadata={name: str(value) for name, value in row.items()})
