"""The audience life test: whatever happens, the destination ends up holding whom it should."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from crm_pipeline.activation import plan as planning
from tests.unit.audience_life import Life, live

HISTORIES = 200
LEAST_KILLED = 40


def test_a_history_ends_where_it_should(tmp_path: Path):
    lives = [live(seed, tmp_path / str(seed), rounds=3) for seed in (1, 2)]
    assert [life.wrong for life in lives] == [[], []]
    assert sum(life.kills for life in lives) >= 1


def test_the_harness_finds_a_sender_that_ignores_a_no(tmp_path: Path, monkeypatch):
    """Killed or not: without processes of their own, so that the fault is in the one that sends."""
    monkeypatch.setattr(planning, "OWN_NO", ())
    wrong = planning.usable_values

    def deaf(audience, consents, customer, values):
        usable, reason = wrong(audience, consents, customer, values)
        return (dict(values), None) if reason == planning.REFUSED else (usable, reason)

    monkeypatch.setattr(planning, "usable_values", deaf)
    from crm_pipeline.activation import sending
    from tests.unit import audience_life

    monkeypatch.setattr(sending, "usable_values", deaf)
    monkeypatch.setattr(audience_life, "_in_a_process", _here)
    life = live(3, tmp_path, kills=False, rounds=2)
    assert any("said no and was sent" in fault for fault in life.wrong)


def _here(company, service, die_at) -> int:
    from crm_pipeline.activation.destinations.http import HttpDestination
    from tests.unit.audience_company import AUDIENCE, HTTP

    destination = HttpDestination(HTTP, service.url, None, sleep=lambda _: None)
    company.sender(AUDIENCE, destination, "service").send(accept_drop=True)
    return 0


@pytest.mark.slow
def test_two_hundred_random_histories_end_where_they_should(tmp_path: Path):
    """Joins, leaves, opt-outs, erasures, failed sends, kill -9, retries."""
    lives: list[Life] = []
    for seed in range(HISTORIES):
        life = live(seed, tmp_path / str(seed))
        assert life.wrong == [], f"seed {seed}"
        lives.append(life)
    assert sum(life.kills > 0 for life in lives) >= LEAST_KILLED
    events = sum((life.events for life in lives), Counter())
    assert min(events.values()) >= HISTORIES
    assert sum(life.faults for life in lives) >= HISTORIES
    killed = sum(life.kills > 0 for life in lives)
    print(
        f"{HISTORIES} histories, {sum(life.sends for life in lives)} sends, "
        f"{sum(life.kills for life in lives)} killed in {killed} histories, "
        f"{sum(life.faults for life in lives)} bad answers; events {dict(events)}"
    )
