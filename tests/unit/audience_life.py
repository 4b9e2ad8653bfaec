"""Random histories of an audience: people come, go, refuse, are erased; senders are killed.

Each send is a process of its own, which may kill itself with signal 9 at any of its steps. At the
end nothing fails any more, and the service must hold exactly whom it should. What it should hold is
said here anew, without the sender's code.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crm_pipeline.activation.audiences import Audience
from crm_pipeline.activation.destinations.http import HttpDestination
from crm_pipeline.activation.ledger import Ledger, open_ledger
from tests.unit.audience_company import AUDIENCE, HTTP, Company, Human
from tests.unit.audience_server import FAULTS, Service, serving

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.unit.audience_life"])
STEPS = 14
"""A sender may kill itself before and after each write and post: at one of the first so many."""


@dataclass
class Life:
    """What happened in one history.

    Attributes:
        kills: Senders that died by signal 9.
        faults: Requests that the service answered badly.
        wrong: What must not be; empty in a good history.
    """

    kills: int = 0
    faults: int = 0
    sends: int = 0
    events: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def in_holdout(human: Human, audience: Audience = AUDIENCE) -> bool:
    """The definition, once more: the first 64 bits of the hash below the share."""
    text = f"{audience.experiment}\0{human.key}".encode()
    return int(hashlib.sha256(text).hexdigest()[:16], 16) < audience.holdout_share * 2**64


def should_hold(company: Company) -> dict[str, str]:
    """Return e-mail address -> reason of everybody whom the service should hold."""
    return {
        str(human.address): human.reason
        for human in company.humans.values()
        if human.is_member and human.answer is True and not human.is_erased
        and human.address and not in_holdout(human)
    }  # fmt: skip


def send(home: Path, url: str, die_at: int | None, hurry: float) -> None:
    """Send, in a process of its own; kill it at one of its steps."""
    company = Company(home)
    countdown = die_at

    def step() -> None:
        nonlocal countdown
        if countdown is not None:
            if countdown == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            countdown -= 1

    def around(owner: type, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def stepping(*args: Any, **kwargs: Any) -> Any:
            step()
            found = real(*args, **kwargs)
            step()
            return found

        setattr(owner, name, stepping)

    for owner, name in ((Ledger, "assign"), (Ledger, "begin"), (HttpDestination, "_post"),
                        (Ledger, "settle")):  # fmt: skip
        around(owner, name)
    from dataclasses import replace

    spec = replace(HTTP, timeout_seconds=hurry)
    destination = HttpDestination(spec, url, None, sleep=lambda _: None)
    company.sender(AUDIENCE, destination, "service").send(accept_drop=True)


def live(seed: int, home: Path, *, kills: bool = True, rounds: int = 5) -> Life:
    """Play one history; return what happened."""
    rng, life = random.Random(seed), Life()
    company = Company(home)
    for number in range(rng.randint(12, 30)):
        company.add(f"K{number}", answer=rng.choice([True, True, True, False, None]),
                    is_member=rng.random() < 0.7)  # fmt: skip
    service = Service(hang_seconds=0.35)
    truth = {human.address: human for human in company.humans.values()}

    def watch(item: dict[str, Any]) -> None:
        human = truth[item["email"]]
        if in_holdout(human):
            life.wrong.append(f"{human.number} is held out and was sent")
        if human.answer is not True or human.is_erased:
            life.wrong.append(f"{human.number} said no and was sent")

    service.seen = watch
    with serving(service):
        for _ in range(rounds):
            _happen(rng, company, life)
            truth.update({human.address: human for human in company.humans.values()})
            company.publish()
            if rng.random() < 0.3:  # forgotten, while their rows are still published
                company.erase(rng.choice([h.number for h in _living(company)]))
            service.script = [rng.choice(FAULTS) for _ in range(rng.choice([0, 0, 1, 2, 9]))]
            life.faults += len(service.script)
            die_at = rng.randrange(STEPS) if kills and rng.random() < 0.7 else None
            life.kills += _in_a_process(company, service, die_at)
            life.sends += 1
        service.script = []
        for _ in range(2):  # the first may still find a server that forgot nothing
            _in_a_process(company, service, None)
        _judge(company, service, life)
    return life


def _living(company: Company) -> list[Human]:
    return [human for human in company.humans.values() if not human.is_erased]


def _happen(rng: random.Random, company: Company, life: Life) -> None:
    people = _living(company)
    for _ in range(rng.randint(1, 8)):
        human = rng.choice(people)
        event = rng.choice(["join", "leave", "refuse", "agree", "unknown", "erase", "change", "new",
                            "move"])  # fmt: skip
        life.events[event] += 1
        if event in ("join", "leave"):
            human.is_member = event == "join"
        elif event in ("refuse", "agree", "unknown"):
            human.answer = {"refuse": False, "agree": True, "unknown": None}[event]
        elif event == "change":
            human.reason = f"because {rng.random():.3f}"
        elif event == "move" and not human.is_erased:
            human.email = rng.choice([f"{human.number.lower()}@new.example.com", "", None])
        elif event == "new":
            company.add(f"K{len(company.humans)}")
        elif event == "erase" and rng.random() < 0.4 and not human.is_erased:
            company.erase(human.number)


def _in_a_process(company: Company, service: Service, die_at: int | None) -> int:
    """Send; return 1 where the sender was killed."""
    arguments = (company.home, service.url, die_at, 0.3)
    process = _PROCESSES.Process(target=send, args=arguments)
    process.start()
    process.join(600)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return int(process.exitcode == -signal.SIGKILL)


def _judge(company: Company, service: Service, life: Life) -> None:
    expected = should_hold(company)
    found = {item["email"]: item["reason"] for item in service.held.values()}
    if found != expected or len(service.held) != len(expected):
        life.wrong.append(f"held {sorted(found.items())}, should be {sorted(expected.items())}")
    before = len(service.requests)
    destination = HttpDestination(HTTP, service.url, None)
    again = company.sender(AUDIENCE, destination, "service").send(accept_drop=True)
    if len(service.requests) != before or again.plan.items:
        life.wrong.append("a second run sent something")
    with open_ledger(company.home) as ledger:
        arms = ledger.arms(str(AUDIENCE.experiment))
        content = str(ledger.con.execute("from held").fetchall())
    for human in company.humans.values():
        if arms.get(human.key) not in (None, "holdout" if in_holdout(human) else "treatment"):
            life.wrong.append(f"{human.number} changed the arm")
        if human.address and human.address in content:
            life.wrong.append("an address is in the ledger")
