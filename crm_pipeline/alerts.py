"""Alerts: a line in ``$CRM_HOME/alerts.jsonl`` and, if asked for, an HTTP post."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from datetime import UTC, datetime

from crm_pipeline.settings import Settings

_LOG = logging.getLogger("crm.alerts")
_TIMEOUT_SECONDS = 10


def send_alert(settings: Settings, *, title: str, text: str, run_id: str) -> bool:
    """Write the alert to the log and post it to ``CRM_ALERT_WEBHOOK`` if that is set.

    The body is JSON with ``title``, ``text``, ``run_id`` and ``at`` (UTC); ``text`` is also what
    chat tools' incoming webhooks show. Returns whether every channel took it; a webhook that
    does not answer is itself logged and never stops the caller.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    body = json.dumps({"title": title, "text": f"{title}: {text}", "run_id": run_id, "at": at})
    with (settings.home / "alerts.jsonl").open("a", encoding="utf-8") as log:
        log.write(body + "\n")
    _LOG.error("%s: %s", title, text)
    if settings.alert_webhook is None:
        return True
    request = urllib.request.Request(
        settings.alert_webhook,
        data=body.encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):
            return True
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        _LOG.error("the alert webhook did not take it: %s", getattr(error, "reason", error))
        return False
