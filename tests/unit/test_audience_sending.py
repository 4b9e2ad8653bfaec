"""Sending an audience end to end: what is written down, what the files hold, what crashes leave."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.activation.audiences import Cap
from crm_pipeline.activation.destinations.base import Delivery, NotDeliveredError, Taken
from crm_pipeline.activation.forgetting import forget_sent, overdue
from crm_pipeline.activation.ledger import FILE, open_ledger, sending
from crm_pipeline.activation.people import person_of
from crm_pipeline.activation.records import copy_ledger, copy_to_warehouse, status
from crm_pipeline.errors import UserError
from crm_pipeline.repair.audiences import examine
from crm_pipeline.resources import warehouse
from crm_pipeline.vault.keys import parse_key
from tests.unit.audience_company import AUDIENCE, DAY, KEY, PLAIN, Company
from tests.unit.audience_life import in_holdout


@pytest.fixture
def company(tmp_path: Path) -> Company:
    one = Company(tmp_path)
    one.add("K1", "K2", "K3")
    one.publish()
    return one


def members(company: Company, form: str = "csv") -> list[dict[str, str]]:
    file = company.home / f"outbox/list/test/current/members.{form}"
    text = file.read_text(encoding="utf-8")
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(text.splitlines()))


def addresses(company: Company) -> set[str]:
    return {row["email"] for row in members(company)}


class Fake:
    """A destination that says no, or vanishes, when it is told to."""

    batch_size = 2

    def __init__(self) -> None:
        self.deliveries = []
        self.fault: BaseException | None = None
        self.rejects: set[str] = set()

    def holds(self, _audience):
        return None

    def deliver(self, delivery):
        self.deliveries.append(delivery)
        if self.fault:
            raise self.fault
        return Taken(frozenset(self.rejects) & set(delivery.upserts))


# Files


def test_a_list_is_written_with_its_digests(company):
    done = company.sender(PLAIN, company.files()).send()
    assert (done.items, done.batches, done.faults) == (3, 1, [])
    rows = members(company)
    assert [sorted(row) for row in rows] == [["email", "external_id", "full_name", "reason"]] * 3
    assert addresses(company) == {f"k{n}@example.com" for n in (1, 2, 3)}
    place = company.home / "outbox/list/test/current"
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=place, capture_output=True)
    assert checked.returncode == 0
    for path in (place / "members.csv", place.resolve(), company.home / "outbox"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_second_send_writes_nothing(company):
    company.sender(PLAIN, company.files()).send()
    place = company.home / "outbox/list/test/current"
    before = place.resolve(), (place / "members.csv").stat().st_mtime_ns
    again = company.sender(PLAIN, company.files()).send()
    assert again.plan.items == ()
    assert again.batches == 0
    assert (place.resolve(), (place / "members.csv").stat().st_mtime_ns) == before


def test_a_dry_run_writes_nothing(company):
    plan = company.sender(AUDIENCE, company.files()).plan()
    assert plan.count("add") >= 1
    assert plan.arms
    assert not (company.home / "outbox").exists()
    with open_ledger(company.home) as ledger:
        assert ledger.arms("test_1") == {}


def test_who_leaves_is_taken_off_and_named_by_an_id_only(company):
    company.sender(PLAIN, company.files()).send()
    ids = {row["email"]: row["external_id"] for row in members(company)}
    company.humans["K1"].answer = False
    company.humans["K2"].reason = "changed"
    company.publish()
    done = company.sender(PLAIN, company.files()).send()
    assert (done.plan.removals, done.plan.count("change")) == ({"refused": 1}, 1)
    assert addresses(company) == {"k2@example.com", "k3@example.com"}
    place = company.home / "outbox/list/test/current"
    removed = (place / "removed.csv").read_text().splitlines()
    assert removed == ["external_id", ids["k1@example.com"]]
    assert b"k1@example.com" not in b"".join(
        path.read_bytes() for path in (company.home / "outbox").rglob("*") if path.is_file()
    )
    company.humans["K1"].answer = True
    company.publish()
    company.sender(PLAIN, company.files()).send()
    assert (place / "removed.csv").read_text().splitlines() == ["external_id"]


def test_a_signature_is_of_the_digests(company):
    company.sender(PLAIN, company.files(secret="shared")).send()
    place = company.home / "outbox/list/test/current"
    signed = hmac.new(b"shared", (place / "SHA256SUMS").read_bytes(), hashlib.sha256).hexdigest()
    assert (place / "SHA256SUMS.hmac").read_text() == f"{signed}  SHA256SUMS\n"


def test_json_lines_hold_the_same(company):
    company.sender(PLAIN, company.files("jsonl")).send()
    rows = members(company, "jsonl")
    assert {row["email"] for row in rows} == {f"k{n}@example.com" for n in (1, 2, 3)}
    company.humans["K1"].is_member = False
    company.publish()
    company.sender(PLAIN, company.files("jsonl")).send()
    assert len(members(company, "jsonl")) == 2


def test_formula_text_is_defused_and_a_telephone_number_is_not(company):
    fields = {"phone": "+491711234567", "reason": '=HYPERLINK("http://example.com")'}
    audience = replace(PLAIN, fields=("phone", "reason"))
    company.files().deliver(Delivery("b", 1, audience, DAY, {"id-1": fields}, []))
    (row,) = members(company)
    assert row["reason"] == '\'=HYPERLINK("http://example.com")'
    assert row["phone"] == "+491711234567"


def test_a_list_that_somebody_changed_is_not_built_upon(company):
    company.sender(PLAIN, company.files()).send()
    file = company.home / "outbox/list/test/current/members.csv"
    file.write_text(file.read_text() + "x,y,z,w\r\n")
    with pytest.raises(UserError, match="is not as it was written: move"):
        company.sender(PLAIN, company.files()).send()
    assert [f.what for f in examine(company.settings)] == [
        "outbox/list/test/current/members.csv is not as it was written"
    ]
    (company.home / "outbox/list/test").rename(company.home / "aside")
    company.sender(PLAIN, company.files()).send()
    assert len(members(company)) == 3


# What is written down


def test_arms_are_written_before_anything_leaves_and_nobody_held_out_is_sent(company):
    company.add(*(f"K{n}" for n in range(4, 40)))
    company.publish()
    fake = Fake()
    fake.fault = NotDeliveredError("service answered 500", is_over=True)
    company.sender(AUDIENCE, fake).send()
    expected = {h.key: "holdout" if in_holdout(h) else "treatment" for h in company.humans.values()}
    with open_ledger(company.home) as ledger:
        assert ledger.arms("test_1") == expected
    assert "holdout" in expected.values()
    fake.fault = None
    company.sender(AUDIENCE, fake).send()
    sent = {fields["email"] for one in fake.deliveries for fields in one.upserts.values()}
    assert sent == {h.address for h in company.humans.values() if not in_holdout(h)}


def test_another_share_needs_another_experiment(company):
    company.sender(AUDIENCE, company.files()).send()
    with pytest.raises(UserError, match=r"began with a holdout of 20.0%.*new experiment's name"):
        company.sender(replace(AUDIENCE, holdout_share=0.3), company.files()).plan()


def test_the_ledger_holds_no_address(company):
    company.sender(AUDIENCE, company.files()).send()
    content = (company.home / FILE).read_bytes()
    for text in ("example.com", "Name K1"):
        assert text.encode() not in content, text


def test_a_crash_between_sending_and_writing_down_ends_where_it_should(company, monkeypatch):
    fake = Fake()
    fake.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        company.sender(PLAIN, fake).send()
    (row,) = status(company.home)
    assert (row["held_count"], row["unsure_count"]) == (2, 2)
    assert "no known end" in examine(company.settings)[0].what
    fake.fault = None
    company.sender(PLAIN, fake).send()
    first, again, rest = fake.deliveries
    assert first.batch_id == again.batch_id
    assert first.upserts == again.upserts
    assert len(rest.upserts) == 1
    assert status(company.home)[0]["unsure_count"] == 0
    assert company.sender(PLAIN, fake).send().plan.items == ()


def test_who_said_no_after_a_crash_is_taken_off_though_nobody_knows_whether_they_are_on(company):
    fake = Fake()
    fake.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        company.sender(PLAIN, fake).send()
    unsure = set(fake.deliveries[0].upserts)
    for human in company.humans.values():
        human.answer = False
    company.publish()
    fake.fault = None
    company.sender(PLAIN, fake).send(accept_drop=True)
    assert set(fake.deliveries[1].removals) == unsure
    assert fake.deliveries[1].upserts == {}
    assert fake.deliveries[1].batch_id != fake.deliveries[0].batch_id
    assert status(company.home)[0]["held_count"] == 0


def test_dead_letters_are_counted_and_sent_again(company):
    fake = Fake()
    fake.fault = NotDeliveredError("service answered 422", is_over=False)
    done = company.sender(PLAIN, fake).send()
    assert done.faults == ["service answered 422"] * 2, "the other batches still had their chance"
    (row,) = status(company.home)
    assert (row["dead_batches"], row["last_fault"]) == (2, "service answered 422")
    fake.fault = None
    company.sender(PLAIN, fake).send()
    (row,) = status(company.home)
    assert (row["held_count"], row["unsure_count"], row["last_fault"]) == (3, 0, None)
    keys = [one.batch_id for one in fake.deliveries]
    assert len(set(keys)) == 4, "a batch that was given up is not the one that follows"


def test_a_service_that_is_down_is_not_asked_for_every_batch(company):
    fake = Fake()
    fake.fault = NotDeliveredError("service could not be reached", is_over=True)
    company.sender(PLAIN, fake).send()
    assert len(fake.deliveries) == 1


def test_who_was_rejected_is_not_sent_again_until_something_changes(company):
    fake = Fake()
    company.sender(PLAIN, fake).send()
    first = dict(fake.deliveries[0].upserts)
    victim = next(iter(first))
    number = first[victim]["email"].split("@")[0].upper()
    company.humans[number].is_member = False
    company.publish()
    company.sender(PLAIN, fake).send()
    fake.rejects = {victim}
    company.humans[number].is_member = True
    company.publish()
    assert company.sender(PLAIN, fake).send().rejected == 1
    again = company.sender(PLAIN, fake).send()
    assert again.plan.items == ()
    assert again.plan.suppressed == {"rejected_before": 1}
    company.humans[number].reason = "new"
    company.publish()
    fake.rejects = set()
    assert company.sender(PLAIN, fake).send().items == 1


def test_contacts_are_counted_once_a_stay_and_over_all_audiences(company):
    capped = replace(PLAIN, cap=Cap(1, 30))
    company.sender(capped, company.files()).send()
    company.pass_days(10)
    company.publish()
    again = company.sender(capped, company.files()).send()
    assert again.plan.unchanged == 3
    assert again.plan.suppressed == {}
    other = Fake()
    blocked = company.sender(replace(capped, name="test"), other, "other").plan()
    assert blocked.count("add") == 3, "the same audience at another destination is one contact"
    company.humans["K1"].is_member = False
    company.publish()
    company.sender(capped, company.files()).send()
    company.humans["K1"].is_member = True
    company.publish()
    assert company.sender(capped, company.files()).send().plan.suppressed == {"contact_cap": 1}
    company.pass_days(20)
    company.publish()
    assert company.sender(capped, company.files()).send().plan.count("add") == 1


def test_an_opt_out_counts_before_it_is_published(company):
    """The publication after it may have been refused by a check."""
    company.sender(PLAIN, company.files()).send()
    with duckdb.connect(str(company.home / "warehouse.duckdb")) as db:
        db.execute(
            "update marts.customer_consents set is_granted = false where customer_key = 'crm:K1'"
        )
    done = company.sender(PLAIN, company.files()).send()
    assert done.plan.removals == {"refused": 1}


def test_who_is_forgotten_between_plan_and_batch_does_not_leave(company):
    fake = Fake()
    real = fake.deliver

    def deliver(delivery):
        left = [h for h in company.humans.values() if h.address not in str(delivery.upserts)]
        if len(fake.deliveries) == 0:
            company.erase(left[0].number)
        return real(delivery)

    fake.deliver = deliver
    done = company.sender(PLAIN, fake).send()
    assert (done.withdrawn, done.items) == (1, 2)
    assert len(fake.deliveries) == 1


def test_two_do_not_send_at_once(company, monkeypatch):
    from crm_pipeline.activation import ledger

    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0)
    with sending(company.home), pytest.raises(warehouse.BusyError, match="sending"):
        company.sender(PLAIN, company.files()).send()


# Forgetting


def test_forgetting_takes_a_person_off_our_lists_now_and_off_others_with_the_next_send(company):
    fake = Fake()
    company.sender(AUDIENCE, company.files()).send()
    company.sender(AUDIENCE, fake, "service").send()
    victim = next(h for h in company.humans.values() if not in_holdout(h))
    person = person_of(parse_key(KEY, "key"), victim.key)
    company.erase(victim.number)
    left = forget_sent(company.home, {victim.key}, {person})
    assert left == ("test at service",)
    assert victim.address not in addresses(company)
    with open_ledger(company.home) as ledger:
        assert victim.key not in ledger.arms("test_1")
    assert victim.key.encode() not in (company.home / FILE).read_bytes()
    assert overdue(company.home, [person]) == [("test", "list", 1), ("test", "service", 1)]
    assert any("may hold 1 forgotten" in f.what for f in examine(company.settings))
    # their rows may still be published, or gone
    company.publish()
    company.sender(AUDIENCE, fake, "service").send()
    assert len(fake.deliveries[-1].removals) == 1
    assert fake.deliveries[-1].upserts == {}
    company.sender(AUDIENCE, company.files()).send()
    assert overdue(company.home, [person]) == []
    assert examine(company.settings) == []


# What the warehouse is told


def test_the_warehouse_gets_assignments_up_to_its_day_and_counts(company, tmp_path):
    company.sender(AUDIENCE, company.files()).send()
    with duckdb.connect() as db:
        assert copy_to_warehouse(db, company.home, DAY) == (3, 1)
        rows = db.execute("select * from control.audience_assignments order by customer_key")
        assert rows.fetchone()[:4] == ("test_1", "test", 1, "crm:K1")
        early = DAY.replace(day=1)
        assert copy_to_warehouse(db, company.home, early) == (0, 1)
        assert copy_to_warehouse(db, tmp_path / "nowhere", DAY) == (0, 0)
    other = tmp_path / "other"
    other.mkdir()
    copy_ledger(company.home, other, None)
    with open_ledger(other) as ledger:
        assert len(ledger.arms("test_1")) == 3
        assert ledger.held("list", "test") == {}
    past = tmp_path / "past"
    past.mkdir()
    copy_ledger(company.home, past, parse("2020-01-01"))
    with open_ledger(past) as ledger:
        assert ledger.arms("test_1") == {}


def parse(text: str):
    from datetime import datetime

    return datetime.fromisoformat(text)
