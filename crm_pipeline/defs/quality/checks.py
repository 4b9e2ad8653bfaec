"""Checks that dbt does not own: Great Expectations at the edges, and truths across tables."""

from collections.abc import Iterator

import dagster as dg

from crm_pipeline.defs.landing.assets import CONTRACTS
from crm_pipeline.defs.quality.expectations_bridge import read_for_suite, validate
from crm_pipeline.defs.quality.truths import TRUTHS
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse
from expectations import suite_names

EXPECTATIONS = "great_expectations"


def _suites(schema: str) -> dict[dg.AssetKey, str]:
    names = [name for name in suite_names() if name.startswith(f"{schema}.")]
    return {dg.AssetKey(name.split(".")): name for name in names}


def _source_of(suite: str) -> str:
    return suite.removeprefix("raw.").partition("__")[0]


def suites_of(sources: tuple[str, ...]) -> list[str]:
    """Return the suites of enabled sources' raw tables."""
    return [name for name in _suites("raw").values() if _source_of(name) in sources]


def _expectation_checks(schema: str, name: str) -> dg.AssetChecksDefinition:
    suites = _suites(schema)

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
        with plain_failures():
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
                with warehouse.reader() as db:
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


landed_expectations = _expectation_checks("raw", "landed_expectations")
score_expectations = _expectation_checks("scores", "score_expectations")


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
        ],
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

    return truths_hold


mart_truths = _truth_checks("marts", "mart_truths")
score_truths = _truth_checks("scores", "score_truths")
