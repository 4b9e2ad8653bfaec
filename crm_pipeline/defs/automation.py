"""Every job, schedule and sensor, on one page."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from crm_pipeline.alerts import send_alert
from crm_pipeline.defs.landing.inbox import scan_inbox
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import load_settings

_TRAINING = dg.AssetSelection.key_prefixes(["models"])
_SETTINGS = load_settings()

everything = dg.define_asset_job(
    "everything",
    selection=dg.AssetSelection.all(),
    description="Land, transform, train, score, publish: what `crm run` does.",
)
refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all() - _TRAINING,
    description="Land, transform, score with the champions, publish. Trains nothing.",
)
training = dg.define_asset_job(
    "training",
    selection=_TRAINING.required_multi_asset_neighbors() | _TRAINING.downstream(),
    description="Train, gate, score and publish, on the marts as they are.",
)

daily_refresh = dg.ScheduleDefinition(
    name="daily_refresh",
    job=refresh,
    cron_schedule=_SETTINGS.refresh_cron,
    execution_timezone=_SETTINGS.time_zone,
    description="Fresh scores every morning of the business time zone.",
)
weekly_training = dg.ScheduleDefinition(
    name="weekly_training",
    job=training,
    cron_schedule=_SETTINGS.training_cron,
    execution_timezone=_SETTINGS.time_zone,
    description="A new candidate for every model; it rules only if it beats the champion.",
)


@dg.sensor(job=refresh, minimum_interval_seconds=60)
def files_arrived(
    context: dg.SensorEvaluationContext,
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request one refresh when the inbox holds files in a state that was not asked for yet.

    The run key is made of name, content digest and landing number, so that a file that returns
    to an older content runs again, although Dagster drops a repeated key for ever.
    """
    settings = load_settings()
    contracts = sources_from_manifest(ensure_manifest())
    scan = scan_inbox(settings.inbox, contracts, only=set(settings.sources))
    yield from ()


@dg.run_failure_sensor(monitor_all_code_locations=True, minimum_interval_seconds=30)
def run_failed(context: dg.RunFailureSensorContext) -> None:
    """Write an alert for every failed run, also those of `crm run`."""
    send_alert(
        load_settings(),
        title=f"run {context.dagster_run.job_name} failed",
        text=context.failure_event.message or "see the run in the Dagster UI",
        run_id=context.dagster_run.run_id,
    )
