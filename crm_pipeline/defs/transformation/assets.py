"""The dbt project as two assets: the marts before the models, and what is built on scores."""

import datetime
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtCliResource,
    dbt_assets,
)
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from crm_pipeline.dbt_command import RUN_BY, TOUCHED
from crm_pipeline.defs.landing.assets import CONTRACTS
from crm_pipeline.defs.landing.changes import begin_build, end_build, readers
from crm_pipeline.resources.dbt import dbt_project, ensure_manifest, prepared_lineage
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse

AFTER_SCORES = "source:scores+"
"""What is made from scores, and the data tests of the scores themselves."""

AFTER_ALLOCATION = "source:scores.offer_allocation+"
"""What is made from the allocation, which itself waits until the other scores have passed."""

LATEST_DAYS = 2
"""Marts older than this many days are shown as late."""


def asset_key(props: Mapping[str, Any]) -> dg.AssetKey:
    """Return a dbt node's key: its schema and its name in the warehouse."""
    return dg.AssetKey([props["schema"], props.get("identifier") or props["name"]])


def _group(props: Mapping[str, Any]) -> str:
    if props["schema"] == "scores":
        return "modelling"
    return "activation" if "activation" in props["fqn"] else "transformation"


class LayerTranslator(DagsterDbtTranslator):
    """Key and group every dbt node by its schema: ``raw``, ``staging``, ``marts``, ``scores``."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: Any
    ) -> dg.AssetSpec:
        """Add key, group, owner and, for public marts, a freshness policy to the default."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        spec = spec.replace_attributes(
            key=asset_key(props),
            group_name=_group(props),
            owners=["team:analytics-engineering"],
        )
        if props.get("access") == "public" and props["schema"] == "marts":
            spec = spec.replace_attributes(
                freshness_policy=dg.FreshnessPolicy.time_window(
                    fail_window=datetime.timedelta(days=LATEST_DAYS)
                )
            )
        return spec


class DbtConfig(dg.Config):
    """Launchpad options of a dbt stage."""

    full_refresh: bool = False


_TRANSLATOR = LayerTranslator(
    DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_source_tests_as_checks=True)
)
_MANIFEST = ensure_manifest()
_PROJECT = dbt_project()


_READERS = readers(_MANIFEST, CONTRACTS)
_LINEAGE = prepared_lineage()


def column_lineage_by_asset(
    manifest: Mapping[str, Any],
) -> dict[dg.AssetKey, dg.TableColumnLineage]:
    """Return the prepared lineage in Dagster's terms, by asset key."""
    keys = {
        unique_id: asset_key(node)
        for unique_id, node in {**manifest["nodes"], **manifest["sources"]}.items()
        if node["resource_type"] in ("model", "seed", "source")
    }
    return {
        keys[model]: dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(keys[parent], name) for parent, name in parents]
                for column, parents in columns.items()
            }
        )
        for model, columns in _LINEAGE.items()
    }


_BY_ASSET = column_lineage_by_asset(_MANIFEST)


def row_counts(warehouse: Warehouse) -> dict[tuple[str, str], int]:
    """Return the rows of every table of the warehouse, by schema and name."""
    with warehouse.reader() as db:
        rows = db.execute(
            "select schema_name, table_name, estimated_size from duckdb_tables()"
        ).fetchall()
    return {(schema, name): size for schema, name, size in rows}


def _with_metadata(
    context: dg.AssetExecutionContext, event: Any, counts: Mapping[tuple[str, str], int]
) -> Any:
    if not isinstance(event, dg.Output):
        return event
    key = context.asset_key_for_output(event.output_name)
    metadata: dict[str, Any] = dict(event.metadata)
    if key in _BY_ASSET:
        metadata["dagster/column_lineage"] = _BY_ASSET[key]
    schema, name = key.path
    if (schema, name) in counts:
        metadata["dagster/row_count"] = counts[schema, name]
    return event.with_metadata(metadata)


def _collect(invocation: DbtCliInvocation) -> tuple[list[Any], DagsterDbtCliRuntimeError | None]:
    events: list[Any] = []
    try:
        for event in invocation.stream():
            events.append(event)
    except DagsterDbtCliRuntimeError as error:
        return events, error
    return events, None


def build_arguments(*, is_part: bool) -> list[str]:
    """Return dbt's arguments; unit tests belong to CI, not to a run over real data."""
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    # dbt's debug log is a second's work a run; what it prints is in the step's log anyway
    arguments += ["--log-level-file", "error", "--no-version-check"]
    arguments.append(f"{RUN_BY}{os.getpid()}")
    return [*arguments, TOUCHED if is_part else "--full-refresh"]


def _build(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    warehouse: Warehouse,
    home: Home,
    *,
    is_part: bool = False,
) -> Iterator[Any]:
    target = home.settings().scratch / "dbt" / f"{context.op.name}-{context.run.run_id[:8]}"
    with warehouse.slot():
        invocation = dbt.cli(
            build_arguments(is_part=is_part), context=context, target_path=Path(target)
        )
        events, error = _collect(invocation)
    # known only once dbt has closed the file: so the events wait for the end of the build
    counts = row_counts(warehouse)
    for event in events:
        yield _with_metadata(context, event, counts)
    if error is not None:
        raise error


@dbt_assets(
    manifest=_PROJECT.manifest_path,
    project=_PROJECT,
    exclude=AFTER_SCORES,
    name="build_marts",
    dagster_dbt_translator=_TRANSLATOR,
    pool=WRITER_POOL,
)
def build_marts(
    context: dg.AssetExecutionContext,
    config: DbtConfig,
    dbt: DbtCliResource,
    warehouse: Warehouse,
    home: Home,
) -> Iterator[Any]:
    """Staging, intermediate, marts and features, each with its data tests, in one dbt build.

    Of the incremental models only what changed since the last complete build is rebuilt; whatever
    stops this one half-way makes the next one rebuild everything.
    """
    everything = None
    if config.full_refresh or context.is_subset:
        everything = "it was asked for" if config.full_refresh else "only some tables were chosen"
    with plain_failures(), warehouse.writer() as db:
        scope = begin_build(db, CONTRACTS, home.settings(), _READERS, everything=everything)
    context.log.info(f"rebuilding {'in part' if scope.is_part else 'everything'}: {scope.reason}")
    yield from _build(context, dbt, warehouse, home, is_part=scope.is_part)
    if not context.is_subset:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        with plain_failures(), warehouse.writer() as db:
            keep_days = home.settings().keep_history_days
            end_build(db, CONTRACTS, scope, keep_days=keep_days, now=now)


@dbt_assets(
    manifest=_PROJECT.manifest_path,
    project=_PROJECT,
    select=AFTER_SCORES,
    exclude=AFTER_ALLOCATION,
    name="build_customer_360",
    dagster_dbt_translator=_TRANSLATOR,
    pool=WRITER_POOL,
)
def build_customer_360(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    warehouse: Warehouse,
    home: Home,
) -> Iterator[Any]:
    """What is built on the scores, and the data tests of the scores."""
    yield from _build(context, dbt, warehouse, home)


@dbt_assets(
    manifest=_PROJECT.manifest_path,
    project=_PROJECT,
    select=AFTER_ALLOCATION,
    name="build_offer_audiences",
    dagster_dbt_translator=_TRANSLATOR,
    pool=WRITER_POOL,
)
def build_offer_audiences(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    warehouse: Warehouse,
    home: Home,
) -> Iterator[Any]:
    """The audiences of next offers: in one step with the rest, the allocation would wait for it."""
    yield from _build(context, dbt, warehouse, home)
