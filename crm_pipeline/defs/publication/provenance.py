"""What a publication says of the checks: their last results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pandas as pd
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from crm_pipeline.defs.quality.accountable import Accountable


def _observed(metadata: dict[str, Any]) -> str:
    numbers = {}
    for name, entry in metadata.items():
        value = getattr(entry, "value", None)
        if isinstance(value, bool | int | float):
            numbers[name.removeprefix("dagster_dbt/")] = value
    return json.dumps(numbers, sort_keys=True) if numbers else ""


def _last_evaluation(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    latest: AssetCheckExecutionRecord | None,
) -> dg.EventLogEntry | None:
    """Return the event of a check's last result, which need not be its last record.

    A run that fails or is killed leaves its later checks planned: what they last said still holds.
    """
    if latest is not None and latest.status == AssetCheckExecutionRecordStatus.PLANNED:
        ended = instance.event_log_storage.get_asset_check_execution_history(
            key,
            limit=1,
            status={
                AssetCheckExecutionRecordStatus.SUCCEEDED,
                AssetCheckExecutionRecordStatus.FAILED,
            },
        )
        latest = ended[0] if ended else None
    return latest.event if latest is not None else None


def last_check_results(
    instance: dg.DagsterInstance, answerable: Mapping[dg.AssetCheckKey, Accountable]
) -> pd.DataFrame:
    """Return the last result of every check that ever ran, for ``meta.quality``.

    A check that failed shows the severity it failed with; one that passed, what it would mean.
    """
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(answerable))
    rows = []
    for key, known in answerable.items():
        event = _last_evaluation(instance, key, records.get(key))
        evaluated = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        if event is None or event.dagster_event is None:
            continue
        if event.dagster_event.event_type != evaluated:
            continue
        data = event.dagster_event.asset_check_evaluation_data
        rows.append(
            (
                key.name,
                ".".join(key.asset_key.path),
                known.severity if data.passed else data.severity.value.lower(),
                data.passed,
                _observed(dict(data.metadata)) or None,
                datetime.fromtimestamp(event.timestamp, UTC).replace(tzinfo=None),
                known.owner,
            )
        )
    names = ["check_name", "table_name", "severity", "passed", "observed", "checked_at", "owner"]
    return pd.DataFrame(rows, columns=names)
