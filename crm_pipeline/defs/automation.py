"""Every job, schedule and sensor, on one page."""

import hashlib
import json

import dagster as dg

from crm_pipeline.defs.activation.sending import send_one_audience
from crm_pipeline.defs.landing.assets import CONTRACTS
from crm_pipeline.defs.landing.inbox import scan_inbox
from crm_pipeline.defs.landing.pending import pending_files
from crm_pipeline.defs.modelling.wanting import wanting_models
from crm_pipeline.defs.quality.accountable import accountable
from crm_pipeline.refusals import report_failure
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


@dg.job(description="Send one audience, as `crm audience send` does. Schedule it if you like.")
def send_audience() -> None:
    """One send; never part of a run."""
    send_one_audience()


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


@dg.sensor(
    job=refresh,
    minimum_interval_seconds=60,
    description="A refresh once complete files wait in the inbox.",
)
def files_arrived(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Request one refresh when complete files wait that have not landed as they are.

    The run key is made of each file's name, digest and landing number: Dagster drops a repeated
    key for ever, and a file that returns to an older content must run again.
    """
    settings = load_settings()
    scan = scan_inbox(settings.inbox, CONTRACTS, only=settings.sources)
    seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    waiting = pending_files(scan.ready, settings.home, seen)
    cursor = json.dumps(seen)
    if not waiting:
        return dg.SensorResult(
            skip_reason="no complete file in the inbox that has not landed", cursor=cursor
        )
    key = ",".join(file.run_key for file in waiting)
    if len(waiting) > 1:
        key = f"{len(waiting)} files:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key)], cursor=cursor)


@dg.sensor(
    job=training,
    minimum_interval_seconds=600,
    description="A training once a ruling model drifted or failed its grade.",
)
def models_drifted(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Request one training when a ruling model drifted, or was graded and found wanting.

    It reads the published file, which never waits for the writer. The run key is the versions and
    as-of dates concerned: one request each, whether the training changes anything or not.
    """
    wanting = wanting_models(load_settings().published)
    if not wanting:
        return dg.SensorResult(skip_reason="no ruling model has drifted or failed its grade")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=",".join(wanting))])


@dg.run_failure_sensor(
    monitor_all_code_locations=True,
    minimum_interval_seconds=30,
    description="An alert for every failed run.",
)
def run_failed(context: dg.RunFailureSensorContext) -> None:
    """Alert once for every failed run, and note it in the publication that stays."""
    graph = context.repository_def.asset_graph if context.repository_def else None
    report_failure(
        load_settings(),
        context.instance,
        context.dagster_run,
        accountable(graph) if graph else {},
        message=context.failure_event.message or "",
    )
