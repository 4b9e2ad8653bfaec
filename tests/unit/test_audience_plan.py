"""The plan of an audience: each rule leaves out whom it should, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from crm_pipeline.activation import plan as planning
from crm_pipeline.activation.audiences import Cap
from crm_pipeline.activation.consent import Consents, agreeing
from crm_pipeline.activation.holdout import arm, draw
from crm_pipeline.activation.ledger import Held
from crm_pipeline.activation.payload import is_birthday_near, payload_of
from crm_pipeline.activation.plan import Facts, make_plan
from tests.unit.audience_company import AUDIENCE, PLAIN

YES = {("a", "email"): True, ("b", "email"): True, ("c", "email"): True}
PEOPLE = {key: {"email": f"{key}@example.com", "full_name": key.upper()} for key in "abc"}


def facts(**changes) -> Facts:
    """Three people who may all be sent to, and a destination that holds nobody."""
    known = Facts(
        as_of=date(2026, 6, 30),
        members={key: {"reason": "because"} for key in "abc"},
        consents=Consents(YES),
        people=PEOPLE,
        tombstones=(),
        arms={},
        held={},
        held_anywhere=(),
        contacts={},
        rejected={},
        listed=None,
        person=str.encode,
        external_id=lambda person: f"id-{person.decode()}",
        fingerprint=lambda content: f"print {len(content)} {content[:40]!r}",
    )
    return replace(known, **changes)


def mark(key: str, reason: str = "because") -> str:
    payload = payload_of(PLAIN, {"reason": reason}, PEOPLE[key])
    return facts().fingerprint(planning.content_of(payload))


def holding(*keys: str, **changes) -> dict[bytes, Held]:
    return {key.encode(): replace(Held(f"id-{key}", mark(key), False), **changes) for key in keys}


def done(plan) -> list[tuple[str, str]]:
    return [(item.action, item.external_id) for item in plan.items]


def test_everybody_who_may_be_sent_to_is_added():
    plan = make_plan(PLAIN, facts())
    assert done(plan) == [("add", "id-a"), ("add", "id-b"), ("add", "id-c")]
    assert plan.suppressed == {}
    assert plan.removals == {}
    assert plan.stopped is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tombstones": {b"b"}}, "erased"),
        ({"consents": Consents(YES | {("b", "email"): False})}, "refused"),
        ({"consents": Consents(YES | {("b", "any"): False})}, "refused"),
        ({"consents": Consents(YES | {("b", "record"): False})}, "refused"),
        ({"consents": Consents({k: v for k, v in YES.items() if k[0] != "b"})}, "no_consent"),
        ({"people": {k: v for k, v in PEOPLE.items() if k != "b"}}, "no_address"),
        ({"people": PEOPLE | {"b": {"full_name": "B", "phone": "+491711234567"}}}, "no_address"),
        ({"rejected": {b"b": mark("b")}}, "rejected_before"),
    ],
)
def test_who_is_left_out_and_taken_off(change, reason):
    """The same reason keeps somebody away and takes them off where they are held."""
    plan = make_plan(PLAIN, facts(**change))
    assert done(plan) == [("add", "id-a"), ("add", "id-c")]
    assert plan.suppressed == {reason: 1}
    if reason != "rejected_before":
        after = make_plan(PLAIN, facts(**change, held=holding("a", "b", "c")))
        assert done(after) == [("remove", "id-b")]
        assert after.removals == {reason: 1}
        assert after.unchanged == 2


def test_a_yes_of_another_channel_is_no_yes():
    said = Consents({("a", "phone"): True, ("b", "any"): True, ("c", "record"): True})
    plan = make_plan(PLAIN, facts(consents=said))
    assert done(plan) == [("add", "id-b"), ("add", "id-c")]
    assert plan.suppressed == {"no_consent": 1}


def test_publication_and_warehouse_must_both_say_yes_and_either_may_say_no():
    published = Consents({("a", "email"): True, ("b", "email"): True, ("c", "email"): True})
    built = Consents({("a", "email"): True, ("b", "email"): False})
    assert agreeing(published, built).answers == {("a", "email"): True, ("b", "email"): False}
    assert agreeing(built, published).answers == agreeing(published, built).answers


def test_advertising_uses_an_address_only_with_a_yes_of_its_own_channel():
    fields = ("email_sha256", "phone_e164_sha256", "phone_digits_sha256")
    ads = replace(PLAIN, channel="advertising", fields=fields)
    people = {"a": {"email": "a@example.com", "phone": "+491711234567"}}
    one, none, no = (
        planning.usable_values(ads, Consents(said), "a", people["a"])
        for said in (
            {("a", "email"): True, ("a", "phone"): False},
            {},
            {("a", "email"): True, ("a", "advertising"): False},
        )
    )
    assert one == ({"email": "a@example.com"}, None)
    assert none == ({}, "no_consent")
    assert no == ({}, "refused")


def test_another_address_goes_along_only_with_a_yes_of_its_own():
    values = {"email": "a@example.com", "phone": "+491711234567", "full_name": "A"}
    said = {("a", "email"): True}
    assert "phone" not in planning.usable_values(PLAIN, Consents(said), "a", values)[0]
    both = Consents(said | {("a", "phone"): True})
    assert planning.usable_values(PLAIN, both, "a", values) == (values, None)


def test_hashes_are_those_that_advertising_platforms_compute():
    fields = ("email_sha256", "phone_e164_sha256", "phone_digits_sha256")
    ads = replace(PLAIN, fields=fields)
    got = payload_of(ads, {}, {"email": "test@example.com", "phone": "+12125650000"})
    # printf %s test@example.com | sha256sum
    assert got == {
        "email_sha256": "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b",
        "phone_e164_sha256": "d360a79e746532a6a1e7b8164440b04cdd8797e23126f7a4de7a4b67fdcdba98",
        "phone_digits_sha256": "4602031721d76ab01f4959d86fda7263b6fbbcb7457b7383de726a3b9137fc9d",
    }


def test_a_contact_cap_holds_over_all_audiences_and_not_against_whom_it_has():
    capped = replace(PLAIN, cap=Cap(2, 30))
    plan = make_plan(capped, facts(contacts={b"a": 2, b"b": 1}))
    assert done(plan) == [("add", "id-b"), ("add", "id-c")]
    assert plan.suppressed == {"contact_cap": 1}
    held = make_plan(capped, facts(contacts={b"a": 2}, held=holding("a"), held_anywhere={b"a"}))
    assert ("remove", "id-a") not in done(held)
    assert held.suppressed == {}


def test_the_holdout_is_never_sent_and_a_written_arm_stays():
    drawn = {key: arm("test_1", key, 0.2) for key in "abc"}
    written = {"a": "holdout", "b": "treatment"}
    plan = make_plan(AUDIENCE, facts(arms=written))
    assert ("add", "id-a") not in done(plan)
    assert ("add", "id-b") in done(plan)
    assert plan.arms == {"c": drawn["c"]}
    assert plan.suppressed["holdout"] == 1 + (drawn["c"] == "holdout")


def test_only_those_are_assigned_whom_nothing_but_chance_keeps_away():
    said = Consents(YES | {("b", "email"): False})
    treated = replace(AUDIENCE, holdout_share=1e-9)
    plan = make_plan(treated, facts(consents=said, tombstones={b"c"}))
    assert plan.arms == {"a": "treatment"}
    before = make_plan(treated, facts(held=holding("a"), held_anywhere={b"a"}))
    assert set(before.arms) == {"b", "c"}, "who was sent to before is no part of it"
    assert before.unchanged == 1


def test_a_birthday_decides_after_chance_did():
    """Else the day of the assignment would tell the birthday."""
    birthday = replace(AUDIENCE, birthday_within_days=7, holdout_share=1e-9)
    people = PEOPLE | {"a": PEOPLE["a"] | {"birth_date": "1980-07-03"}}
    plan = make_plan(birthday, facts(people=people))
    assert done(plan) == [("add", "id-a")]
    assert plan.suppressed == {"no_birthday_near": 2}
    assert set(plan.arms) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("born", "as_of", "is_near"),
    [
        ("1980-07-01", date(2026, 6, 30), True),
        ("1980-06-30", date(2026, 6, 30), False),
        ("1980-07-07", date(2026, 6, 30), True),
        ("1980-07-08", date(2026, 6, 30), False),
        ("1980-01-02", date(2025, 12, 30), True),
        ("1980-02-29", date(2026, 2, 27), True),
        ("1980-02-29", date(2028, 2, 28), True),
        ("1980-02-29", date(2028, 2, 29), False),
        ("not a date", date(2026, 6, 30), False),
        (None, date(2026, 6, 30), False),
    ],
)
def test_birthdays(born, as_of, is_near):
    assert is_birthday_near(born, as_of, 7) is is_near


def test_only_what_changed_is_sent():
    members = {key: {"reason": "other" if key == "b" else "because"} for key in "abc"}
    plan = make_plan(PLAIN, facts(members=members, held=holding("a", "b", "c")))
    assert done(plan) == [("change", "id-b")]
    assert plan.unchanged == 2
    assert make_plan(PLAIN, facts(held=holding("a", "b", "c"))).items == ()


def test_nobody_knows_whom_a_batch_without_an_end_reached():
    unsure = holding("a", is_unsure=True) | holding("b", "c")
    assert done(make_plan(PLAIN, facts(held=unsure))) == [("change", "id-a")]
    new = holding("a", is_unsure=True, fingerprint=None) | holding("b", "c")
    assert done(make_plan(PLAIN, facts(held=new))) == [("add", "id-a")]
    gone = {key: {"reason": "because"} for key in "bc"}
    left = make_plan(PLAIN, facts(members=gone, held=new))
    assert done(left) == [("remove", "id-a")]
    assert left.removals == {"left": 1}


def test_a_rejected_change_leaves_what_was_taken_before():
    held = holding("a", fingerprint="older") | holding("b", "c")
    plan = make_plan(PLAIN, facts(held=held, rejected={b"a": mark("a")}))
    assert plan.items == ()
    assert plan.unchanged == 3


def test_a_list_that_lost_somebody_gets_them_again_and_loses_strangers():
    listed = frozenset({"id-b", "id-c", "id-x"})
    plan = make_plan(PLAIN, facts(held=holding("a", "b", "c"), listed=listed))
    assert sorted(done(plan)) == [("add", "id-a"), ("remove", "id-x")]
    assert plan.removals == {"not_in_ledger": 1}


def test_below_the_minimum_only_removals_leave():
    small = replace(PLAIN, minimum_size=4)
    plan = make_plan(small, facts(held=holding("a"), tombstones={b"a"}))
    assert done(plan) == [("remove", "id-a")]
    assert plan.suppressed == {"below_minimum": 2, "erased": 1}
    assert make_plan(replace(PLAIN, minimum_size=3), facts()).count("add") == 3
    assert make_plan(replace(AUDIENCE, minimum_size=4), facts()).arms == {}


def test_the_guard_stops_an_empty_source_and_lets_a_no_through():
    empty = facts(members={}, held=holding("a", "b", "c"),
                  consents=Consents(YES | {("b", "email"): False}))  # fmt: skip
    plan = make_plan(PLAIN, empty)
    assert plan.stopped
    assert "empty" in plan.stopped
    assert done(plan) == [("remove", "id-b")], "who said no leaves the list all the same"
    accepted = make_plan(PLAIN, empty, accept_drop=True)
    assert accepted.stopped is None
    assert accepted.count("remove") == 3
    assert make_plan(PLAIN, facts(members={})).stopped is None, "nothing is held: nothing to guard"


def test_the_guard_stops_an_unusual_drop_and_not_a_usual_one():
    held = {f"p{n}".encode(): Held(f"id-p{n}", "x", False) for n in range(4)}
    drop = make_plan(PLAIN, facts(held=holding("a", "b", "c") | held))
    assert drop.stopped
    assert "3 of 7" in drop.stopped
    assert drop.items == ()
    del held[b"p3"]
    usual = make_plan(PLAIN, facts(held=holding("a", "b", "c") | held))
    assert usual.stopped is None
    assert usual.count("remove") == 3
    refused = {(f"p{n}", "email"): False for n in range(4)}
    many = {f"p{n}".encode(): Held(f"id-p{n}", "x", False) for n in range(4)}
    own = facts(held=holding("a", "b", "c") | many, consents=Consents(YES | refused))
    assert make_plan(PLAIN, own).stopped is None, "refusals are people's own, not a fault"


def test_a_draw_is_even_stable_and_independent_between_experiments():
    people = [f"shop:{n}" for n in range(20_000)]
    share = sum(arm("one", p, 0.1) == "holdout" for p in people) / len(people)
    both = sum(draw("one", p) < 0.1 and draw("two", p) < 0.1 for p in people) / len(people)
    # five standard errors
    assert abs(share - 0.1) < 5 * (0.1 * 0.9 / 20_000) ** 0.5
    assert abs(both - 0.01) < 5 * (0.01 * 0.99 / 20_000) ** 0.5
    assert arm("one", "shop:17850", 0.5) == arm("one", "shop:17850", 0.5)
    assert {p for p in people if arm("one", p, 0.1) == "holdout"} <= {
        p for p in people if arm("one", p, 0.2) == "holdout"
    }
    # for ever: another number would move people between arms
    assert draw("win_back_1", "demo:K0000001") == pytest.approx(0.34765528613336183)


def test_what_is_sent_is_the_models_columns_and_the_vaults_values():
    fields = payload_of(PLAIN, {"reason": "why"}, {"email": "a@example.com"})
    assert fields == {"email": "a@example.com", "full_name": None, "reason": "why"}
