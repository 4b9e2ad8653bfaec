"""A run that failed: why, who answers for it, and telling both readers and operators, once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import dagster as dg
import duckdb

from crm_pipeline.alerts import send_alert
from crm_pipeline.defs.publication.notices import JOBS, Attempt, Standing, add_notice, standing
from crm_pipeline.defs.quality.accountable import Accountable
from crm_pipeline.errors import UserError
from crm_pipeline.settings import Settings

_LOG = logging.getLogger("crm.refusals")
_EVENTS = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
}
PUBLISHED = dg.AssetKey(["published", "crm_duckdb"])
Answerable = Mapping[dg.AssetCheckKey, Accountable]


def failing_checks(events: Iterable[dg.DagsterEvent], answerable: Answerable) -> list[str]:
    """Return one line for every check that failed with severity ERROR: its last word counts."""
    last: dict[dg.AssetCheckKey, str | None] = {}
    for event in events:
        if event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        check = event.asset_check_evaluation_data
        key = check.asset_check_key
        last[key] = None
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            known = answerable.get(key)
            meaning = check.description or (known.description if known else "")
            count = check.metadata.get("dagster_dbt/failed_row_count")
            if not meaning:
                meaning = f"{count.value} rows" if count else "see the run in the Dagster UI"
            last[key] = (
                f"error: {'.'.join(key.asset_key.path)}: {key.name} "
                f"({known.owner if known else 'owner unknown'}): {meaning}"
            )
    return [line for line in last.values() if line]


def _failed_steps(events: Iterable[dg.DagsterEvent]) -> list[str]:
    """Return one line for every step that failed by itself, in our words only.

    What a library says in an exception may hold a value; what we raise on purpose never does.
    """
    lines = []
    for event in events:
        if event.event_type != dg.DagsterEventType.STEP_FAILURE:
            continue
        data = event.step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            lines.append(f"{event.step_key}: {data.user_failure_data.description}")
        elif data.error is None or data.error.cls_name != "DagsterAssetCheckFailedError":
            lines.append(f"{event.step_key} failed: see the run in the Dagster UI")
    return lines


def report_failure(
    settings: Settings,
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    answerable: Answerable,
    *,
    message: str = "",
) -> None:
    """Note a failed run in the publication that stays, and alert; both once a run.

    Args:
        settings: The company's settings.
        instance: Where the run's events are.
        run: The run, ended.
        answerable: Owner and meaning of every check.
        message: What Dagster says of the failure, where the events tell nothing.
    """
    logs = instance.all_logs(run.run_id, of_type=_EVENTS)
    events = [entry.dagster_event for entry in logs if entry.dagster_event is not None]
    checks = failing_checks(events, answerable)
    causes = [*checks, *_failed_steps(events)]
    stays = standing(settings.published)
    if run.job_name in JOBS and not _has_published(events):
        record = instance.get_run_record_by_id(run.run_id)
        ended = record.end_time if record is not None else None
        at = datetime.fromtimestamp(ended, UTC) if ended else datetime.now(UTC)
        attempt = Attempt(
            run_id=run.run_id,
            ended_at=at.replace(tzinfo=None),
            job=run.job_name,
            outcome="refused" if checks else "failed",
            reason="; ".join(causes) or "see the run in the Dagster UI",
        )
        try:
            add_notice(settings.published, attempt)
        except (OSError, duckdb.Error, UserError) as error:
            # a full disk must not hide why the run failed, and the alert still says it
            _LOG.error("the publication could not be told of the failed run: %s", error)
    if not _alerted(settings, run.run_id):
        send_alert(
            settings,
            title=f"run {run.job_name} failed",
            text=_text(causes or [message or "see the run in the Dagster UI"], stays),
            run_id=run.run_id,
        )


def _has_published(events: Iterable[dg.DagsterEvent]) -> bool:
    return any(
        event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        and event.asset_key == PUBLISHED
        for event in events
    )


def _text(causes: Iterable[str], stays: Standing | None) -> str:
    end = f"{stays} stays" if stays else "nothing is published yet"
    return f"{'; '.join(causes)}. {end[0].upper()}{end[1:]}."


def _alerted(settings: Settings, run_id: str) -> bool:
    log = settings.home / "alerts.jsonl"
    if not log.is_file():
        return False
    with log.open(encoding="utf-8") as lines:
        # a failed run's own alert, not what the same run warned of
        return any(
            run_id in line
            and (alert := json.loads(line))["run_id"] == run_id
            and alert["title"].endswith(" failed")
            for line in lines
        )
