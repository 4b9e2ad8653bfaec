"""A service that takes batches by HTTP. What it has to do is in docs/operations.md, Audiences.

A batch is one POST of JSON with the header ``Idempotency-Key``: every try of a batch has the same,
so that a service which had taken it does nothing again. 429 and 503 are obeyed (``Retry-After``),
other 5xx, time-outs and broken connections are tried again with growing waits, everything else is
not. Redirects are not followed: they could lead identifiers elsewhere. Messages never hold what
was sent or what was answered.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from crm_pipeline.activation.audiences import Audience, DestinationSpec
from crm_pipeline.activation.destinations.base import Delivery, NotDeliveredError, Taken

TRIES = 6
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_NOT_LET_IN = frozenset({401, 403, 404, 405, 410})
_MOST_BYTES = 1 << 22


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class HttpDestination:
    """One service."""

    def __init__(
        self,
        spec: DestinationSpec,
        url: str,
        secret: str | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where it is; ``sleep`` and ``clock`` are a test's to replace."""
        self.spec = spec
        self.batch_size: int | None = int(spec.batch_size)
        self._url = url
        self._secret = secret
        self._sleep = sleep
        self._clock = clock
        self._next_at = 0.0
        self._opener = urllib.request.build_opener(_NoRedirect)

    def holds(self, audience: Audience) -> None:
        """It cannot say."""
        return None

    def deliver(self, delivery: Delivery) -> Taken:
        """Post a batch until it is taken or hope is lost."""
        body = json.dumps(
            {
                "audience": delivery.audience.name,
                "audience_version": delivery.audience.version,
                "as_of": delivery.as_of.isoformat(),
                "batch": delivery.batch_id,
                "sequence": delivery.sequence,
                "remove": list(delivery.removals),
                "upsert": [
                    {"external_id": external_id, **fields}
                    for external_id, fields in delivery.upserts.items()
                ],
            },
            ensure_ascii=False,
        ).encode()
        why, wait = "", _FIRST_WAIT_SECONDS
        for attempt in range(TRIES):
            if attempt:
                self._sleep(wait)
            self._keep_the_rate()
            try:
                return self._post(body, delivery)
            except urllib.error.HTTPError as error:
                with error:
                    why, asked = f"answered {error.code}", _retry_after(error.headers)
                if error.code not in _AGAIN:
                    raise NotDeliveredError(
                        f"{self.spec.name} {why}", is_over=error.code in _NOT_LET_IN
                    ) from None
            except (OSError, http.client.HTTPException) as error:
                why, asked = f"could not be reached ({_kind(error)})", None
            growing = _FIRST_WAIT_SECONDS * 2**attempt
            wait = min(asked if asked is not None else growing, _LONGEST_WAIT_SECONDS)
        raise NotDeliveredError(f"{self.spec.name} {why}, {TRIES} times", is_over=True)

    def _post(self, body: bytes, delivery: Delivery) -> Taken:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Idempotency-Key": delivery.batch_id,
            "User-Agent": "crm-pipeline",
        }
        if self._secret:
            headers["Authorization"] = f"Bearer {self._secret}"
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
        with self._opener.open(request, timeout=self.spec.timeout_seconds) as answer:
            said = answer.read(_MOST_BYTES)
        return Taken(_rejected(said) & {*delivery.upserts, *delivery.removals})

    def _keep_the_rate(self) -> None:
        now = self._clock()
        if now < self._next_at:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 60.0 / self.spec.requests_per_minute


def _kind(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return type(reason if isinstance(reason, Exception) else error).__name__


def _retry_after(headers: Any) -> float | None:
    """Return the seconds that an answer asks to wait: a number, or a date."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _rejected(said: bytes) -> frozenset[str]:
    """Return the external ids that an answer lists under ``rejected``; any other answer is yes."""
    try:
        answer = json.loads(said)
    except ValueError:
        return frozenset()
    listed = answer.get("rejected") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return frozenset()
    ids = [one.get("external_id") if isinstance(one, dict) else one for one in listed]
    return frozenset(one for one in ids if isinstance(one, str))
