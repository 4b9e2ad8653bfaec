"""The HTTP destination against a real server on loopback that misbehaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_pipeline.activation.destinations.base import Delivery, NotDeliveredError
from crm_pipeline.activation.destinations.http import TRIES, HttpDestination
from tests.unit.audience_company import DAY, HTTP, PLAIN
from tests.unit.audience_server import (
    BROKEN,
    CUT,
    HALF,
    HANG,
    LIMITED,
    LIMITED_UNTIL,
    MOVED,
    OK,
    REFUSE,
    TWICE,
    Service,
    serving,
)  # fmt: skip

SECRET = "s3cret-of-the-service"
PEOPLE = {f"id-{n}": {"email": f"p{n}@example.com", "reason": "why"} for n in range(4)}


@pytest.fixture
def service():
    with serving(Service(held={"id-9": {"external_id": "id-9"}})) as one:
        yield one


def delivery(batch_id: str = "b1", **changes) -> Delivery:
    whole = Delivery(batch_id, 1, PLAIN, DAY, PEOPLE, ["id-9"])
    return replace(whole, **changes)


def door(service: Service, waits: list[float] | None = None, **settings) -> HttpDestination:
    spec = replace(HTTP, timeout_seconds=0.3, **settings)
    sleep = (waits if waits is not None else []).append
    return HttpDestination(spec, service.url, SECRET, sleep=sleep)


def test_a_batch_is_one_post_with_key_and_secret(service):
    assert door(service).deliver(delivery()).rejected == frozenset()
    ((headers, body),) = service.requests
    assert headers["Idempotency-Key"] == "b1"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert (body["audience"], body["audience_version"], body["sequence"]) == ("test", 1, 1)
    assert set(service.held) == set(PEOPLE)
    assert service.held["id-0"] == {"external_id": "id-0", **PEOPLE["id-0"]}


@pytest.mark.parametrize(
    "script",
    [
        [LIMITED],
        [LIMITED_UNTIL],
        [BROKEN, BROKEN],
        [HALF],
        [HANG],
        [CUT],
        [TWICE],
        [LIMITED, BROKEN, HALF, CUT, HALF],
    ],
    ids=", ".join,
)
def test_whatever_the_service_does_the_batch_is_there_once(service, script):
    service.script = list(script)
    door(service).deliver(delivery())
    assert set(service.held) == set(PEOPLE)
    assert {headers["Idempotency-Key"] for headers, _ in service.requests} == {"b1"}
    assert len({str(body) for _, body in service.requests}) == 1


def test_retry_after_is_obeyed_and_other_waits_grow(service):
    waits: list[float] = []
    service.script = [LIMITED, LIMITED_UNTIL, BROKEN, BROKEN]
    door(service, waits).deliver(delivery())
    assert [wait for wait in waits if wait >= 0.5 or wait == 0] == [7, 0, 4, 8]


def test_hope_is_lost_after_some_tries(service):
    service.script = [BROKEN] * (TRIES + 1)
    with pytest.raises(NotDeliveredError, match=f"service answered 500, {TRIES} times") as lost:
        door(service).deliver(delivery())
    assert lost.value.is_over
    assert len(service.requests) == TRIES


@pytest.mark.parametrize(("behaviour", "code"), [(REFUSE, 422), (MOVED, 302)])
def test_what_a_repetition_cannot_mend_is_not_repeated(service, behaviour, code):
    """A redirect is not followed: it could lead addresses elsewhere."""
    service.script = [behaviour]
    with pytest.raises(NotDeliveredError, match=f"answered {code}") as lost:
        door(service).deliver(delivery())
    assert not lost.value.is_over
    assert len(service.requests) == 1


def test_nobody_there_is_said_without_the_address(service):
    destination = HttpDestination(
        HTTP, "http://127.0.0.1:9/key-in-path", None, sleep=lambda _: None
    )
    with pytest.raises(NotDeliveredError, match="could not be reached") as lost:
        destination.deliver(delivery())
    said = str(lost.value)
    assert "key-in-path" not in said
    assert "example.com" not in said


def test_rejected_people_are_told(service):
    service.rejects = {"id-2"}
    assert door(service).deliver(delivery()).rejected == {"id-2"}
    assert set(service.held) == set(PEOPLE) - {"id-2"}


def test_the_rate_is_kept(service):
    waits: list[float] = []
    clock = iter([100.0, 100.1, 100.2])
    spec = replace(HTTP, requests_per_minute=60)
    destination = HttpDestination(
        spec, service.url, None, sleep=waits.append, clock=lambda: next(clock)
    )
    for number in range(3):
        destination.deliver(delivery(f"b{number}"))
    assert waits == [pytest.approx(0.9), pytest.approx(1.8)]
    assert OK not in service.script
