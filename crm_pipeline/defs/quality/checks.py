"""Checks that dbt does not own: Great Expectations at the edges, and truths across tables."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from crm_pipeline.defs.landing.assets import CONTRACTS
from crm_pipeline.defs.modelling.registered import ANALYSES
from crm_pipeline.defs.quality.closed_months import (
    CLOSED_MONTHS,
    Moved,
    closed_months,
    tables_behind_totals,
)
from crm_pipeline.defs.quality.expectations_bridge import read_for_suite, validate
from crm_pipeline.defs.quality.metric_agreement import Agreement, metrics_agree, tables_compared
from crm_pipeline.defs.quality.previous import read_previous
from crm_pipeline.defs.quality.truths import LAST_MART, TRUTHS
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse
from expectations import suite_names

EXPECTATIONS = "great_expectations"


def _suites(schema: str) -> dict[dg.AssetKey, str]:
    names = [name for name in suite_names() if name.startswith(f"{schema}.")]
    return {dg.AssetKey(name.split(".")): name for name in names}


def _source_of(suite: str) -> str:
    return suite.removeprefix("raw.").partition("__")[0]


def _expectation_checks(
    schema: str, name: str, suites: Mapping[dg.AssetKey, str]
) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(
                EXPECTATIONS,
                asset=key,
                blocking=True,
                description=f"The suite expectations/{suite.replace('.', '/')}.json.",
            )
            for key, suite in suites.items()
        ],
        can_subset=True,
        pool=WRITER_POOL,
    )
    def expectations_hold(
        context: dg.AssetCheckExecutionContext, warehouse: Warehouse, home: Home
    ) -> Iterator[dg.AssetCheckResult]:
        enabled = home.settings().sources
        # opening the file takes longer than looking at a small table
        with plain_failures(), warehouse.reader() as db:
            for check in context.selected_asset_check_keys:
                suite = suites[check.asset_key]
                if schema == "raw" and _source_of(suite) not in enabled:
                    yield dg.AssetCheckResult(
                        check_name=EXPECTATIONS,
                        asset_key=check.asset_key,
                        passed=True,
                        description="not looked at: the source is not enabled",
                    )
                    continue
                frame, rows = read_for_suite(db, suite)
                verdict = validate(suite, frame, rows)
                yield dg.AssetCheckResult(
                    check_name=EXPECTATIONS,
                    asset_key=check.asset_key,
                    passed=verdict.passed and not verdict.warned,
                    severity=(
                        dg.AssetCheckSeverity.WARN
                        if verdict.passed
                        else dg.AssetCheckSeverity.ERROR
                    ),
                    description="; ".join(verdict.failed) or None,
                    metadata={
                        "rows": verdict.rows,
                        "rows_checked": verdict.rows_checked,
                        "failed_expectations": len(verdict.failed),
                    },
                )

    return expectations_hold


_LATE = {
    dg.AssetKey(["scores", table])
    for analysis in ANALYSES
    if analysis.is_late
    for table in analysis.tables
}
_SCORES = _suites("scores")

landed_expectations = _expectation_checks("raw", "landed_expectations", _suites("raw"))
score_expectations = _expectation_checks(
    "scores", "score_expectations", {k: s for k, s in _SCORES.items() if k not in _LATE}
)
late_score_expectations = _expectation_checks(
    "scores", "late_score_expectations", {k: s for k, s in _SCORES.items() if k in _LATE}
)


_KPIS = dg.AssetCheckKey(dg.AssetKey(LAST_MART.split(".")), "kpis_equal_the_metrics")
_CLOSED_MONTHS = dg.AssetCheckKey(dg.AssetKey(LAST_MART.split(".")), CLOSED_MONTHS)
_BEHIND_TOTALS = tables_behind_totals(ensure_manifest())


def _closed_months_spec() -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        CLOSED_MONTHS,
        asset=_CLOSED_MONTHS.asset_key,
        blocking=True,
        description="A published total of a complete month changes only where a file landed, was "
        "corrected or retracted that touches the month. If not: `crm run --full-refresh` builds "
        "everything anew and publishes what that gives.",
    )


def _asked_for_a_rebuild(run_config: Mapping[str, Any]) -> bool:
    config = run_config.get("ops", {}).get("build_marts", {}).get("config", {})
    return bool(config.get("full_refresh", False))


def _closed_months_result(moved: Moved, *, is_rebuild: bool) -> dg.AssetCheckResult:
    """Return the result: an error, unless everything was built anew on request, which is right."""
    months = ", ".join(f"{month:%Y-%m}" for month in moved.unexplained)
    said = f"{moved.compared} closed months compared, {len(moved.changed)} changed"
    if moved.unexplained:
        said = (
            f"the totals of {months} differ from the last publication, and no file that landed "
            "since touches them: `crm run --full-refresh` builds everything anew and publishes it"
        )
    elif moved.reason:
        said += f": {moved.reason}"
    return dg.AssetCheckResult(
        check_name=CLOSED_MONTHS,
        asset_key=_CLOSED_MONTHS.asset_key,
        passed=not moved.unexplained,
        severity=dg.AssetCheckSeverity.WARN if is_rebuild else dg.AssetCheckSeverity.ERROR,
        description=said,
        metadata={
            "months_compared": moved.compared,
            "months_changed": len(moved.changed),
            "exceptions": len(moved.unexplained),
        },
    )


def _kpis_spec() -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        _KPIS.name,
        asset=_KPIS.asset_key,
        additional_deps=[
            dg.AssetKey(table.split(".")) for table in tables_compared() if table != LAST_MART
        ],
        blocking=True,
        description="Each figure of the KPI marts is what its metric means, computed a second time "
        "from the facts. If not: where a definition was changed on purpose, change it in "
        "crm_pipeline/defs/quality/metric_routes.py too; else `crm run --full-refresh`.",
    )


def _kpis_result(agreement: Agreement) -> dg.AssetCheckResult:
    wrong = [f"{column} in {rows} rows" for column, rows in agreement.wrong.items()]
    said = f"{agreement.compared} figures of {agreement.metrics} metrics compared"
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        said = f"not what their metrics say: {', '.join(wrong[:5])}{more}"
    return dg.AssetCheckResult(
        check_name=_KPIS.name,
        asset_key=_KPIS.asset_key,
        passed=not wrong,
        description=said,
        metadata={
            "figures_compared": agreement.compared,
            "metrics": agreement.metrics,
            "exceptions": sum(agreement.wrong.values()),
        },
    )


def _truth_checks(schema: str, name: str) -> dg.AssetChecksDefinition:
    truths = [truth for truth in TRUTHS if truth.asset.startswith(f"{schema}.")]

    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(
                truth.name,
                asset=dg.AssetKey(truth.asset.split(".")),
                additional_deps=[dg.AssetKey(table.split(".")) for table in truth.also],
                blocking=True,
                description=truth.description,
            )
            for truth in truths
        ]
        + ([_kpis_spec(), _closed_months_spec()] if schema == "marts" else []),
        can_subset=True,
        pool=WRITER_POOL,
    )
    def truths_hold(
        context: dg.AssetCheckExecutionContext, warehouse: Warehouse, home: Home
    ) -> Iterator[dg.AssetCheckResult]:
        sources = home.settings().sources
        with plain_failures(), warehouse.reader() as db:
            for truth in truths:
                key = dg.AssetKey(truth.asset.split("."))
                if dg.AssetCheckKey(key, truth.name) not in context.selected_asset_check_keys:
                    continue
                exceptions = truth.exceptions(db, CONTRACTS, sources)
                yield dg.AssetCheckResult(
                    check_name=truth.name,
                    asset_key=key,
                    passed=exceptions == 0,
                    description=truth.description,
                    metadata={"exceptions": exceptions},
                )
            if _KPIS in context.selected_asset_check_keys:
                yield _kpis_result(metrics_agree(db))
            if _CLOSED_MONTHS in context.selected_asset_check_keys:
                previous = read_previous(home.settings().published)
                moved = closed_months(db, previous, home.settings(), CONTRACTS, _BEHIND_TOTALS)
                is_rebuild = _asked_for_a_rebuild(context.run.run_config)
                yield _closed_months_result(moved, is_rebuild=is_rebuild)

    return truths_hold


mart_truths = _truth_checks("marts", "mart_truths")
score_truths = _truth_checks("scores", "score_truths")
