"""The plan: what a destination holds against whom it should hold, and why somebody is left out.

A pure function of what was read, so that a plan can be shown, tested and explained. A person's no
(a refusal, an erasure) is never held back: not by the guard, not by the minimum size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

from crm_pipeline.activation.audiences import ADVERTISING, NEEDS, Audience
from crm_pipeline.activation.consent import Consents
from crm_pipeline.activation.holdout import arm
from crm_pipeline.activation.ledger import ADD, CHANGE, HOLDOUT, REMOVE, Held, Item
from crm_pipeline.activation.payload import content_of, is_birthday_near, payload_of

ERASED, REFUSED, NO_CONSENT, NO_ADDRESS = "erased", "refused", "no_consent", "no_address"
CAPPED, IN_HOLDOUT, NO_BIRTHDAY = "contact_cap", "holdout", "no_birthday_near"
REJECTED, LEFT, STRANGER = "rejected_before", "left", "not_in_ledger"
TOO_FEW, STOPPED = "below_minimum", "guard"
OWN_NO = (ERASED, REFUSED)
"""Reasons that are a person's own word: their removal waits for nothing."""

REASONS = {
    ERASED: "were forgotten",
    REFUSED: "said no",
    NO_CONSENT: "never said yes",
    NO_ADDRESS: "have no usable address",
    CAPPED: "were contacted often enough",
    IN_HOLDOUT: "are held out of the experiment",
    NO_BIRTHDAY: "have no birthday near",
    REJECTED: "were rejected by the destination as they are",
    LEFT: "are no longer in the audience",
    STRANGER: "are on the list, and the ledger knows nothing of them",
    TOO_FEW: "wait: the audience is below its minimum size",
    STOPPED: "wait: the guard stopped the plan",
}


@dataclass(frozen=True)
class Facts:
    """What a plan is made from.

    Attributes:
        as_of: Day of the publication.
        members: The model's rows, by customer key.
        consents: The answers for the audience's purpose.
        people: What the vault says, by customer key and kind.
        tombstones: Who was forgotten, by person.
        arms: Arms that were written down, by customer key.
        held: What the destination holds, by person.
        held_anywhere: Whom any destination holds of this audience.
        contacts: How often each person was contacted in the cap's days.
        rejected: Fingerprints that the destination would not take, by person.
        listed: External ids that the destination says it holds; ``None`` where it cannot say.
        person: Customer key -> person.
        external_id: Person -> what the destination calls them.
        fingerprint: Content -> what tells it from another.
    """

    as_of: date
    members: Mapping[str, Mapping[str, object]]
    consents: Consents
    people: Mapping[str, Mapping[str, str]]
    tombstones: Collection[bytes]
    arms: Mapping[str, str]
    held: Mapping[bytes, Held]
    held_anywhere: Collection[bytes]
    contacts: Mapping[bytes, int]
    rejected: Mapping[bytes, str]
    listed: frozenset[str] | None
    person: Callable[[str], bytes]
    external_id: Callable[[bytes], str]
    fingerprint: Callable[[bytes], str]


@dataclass(frozen=True)
class Plan:
    """What is to be sent, and why not more.

    Attributes:
        as_of: Day of the publication it is made from.
        items: What is to be done, removals first, in a settled order.
        customers: Customer key of each person that is added or changed.
        unchanged: How many the destination holds as it should.
        removals: How many are removed, by reason.
        suppressed: How many of the audience are left out, by reason.
        arms: Arms of those who are assigned when this is sent.
        stopped: Why the guard stopped it; ``None`` where it did not.
    """

    as_of: date
    items: tuple[Item, ...] = ()
    customers: Mapping[bytes, str] = field(default_factory=dict)
    unchanged: int = 0
    removals: Mapping[str, int] = field(default_factory=dict)
    suppressed: Mapping[str, int] = field(default_factory=dict)
    arms: Mapping[str, str] = field(default_factory=dict)
    stopped: str | None = None

    def count(self, action: str) -> int:
        """Return how many items have an action."""
        return sum(item.action == action for item in self.items)


def usable_values(
    audience: Audience, consents: Consents, customer_key: str, values: Mapping[str, str]
) -> tuple[dict[str, str], str | None]:
    """Return the values that may be used, and why there is no address among them.

    For advertising each kind of address needs a yes of its own channel.
    """
    usable = {kind: value for kind, value in values.items() if kind not in ("email", "phone")}
    said = []
    for kind in NEEDS[audience.channel]:
        channel = kind if audience.channel == ADVERTISING else audience.channel
        answer = consents.may(customer_key, channel)
        said.append(answer)
        if answer and kind in values:
            usable[kind] = values[kind]
    for kind in {"email", "phone"} - set(NEEDS[audience.channel]):
        # another address goes along only where they agreed to being reached by it
        if kind in values and consents.may(customer_key, kind):
            usable[kind] = values[kind]
    if audience.channel == ADVERTISING and consents.may(customer_key, ADVERTISING) is False:
        return {}, REFUSED
    if True not in said:
        return {}, REFUSED if False in said else NO_CONSENT
    if not any(kind in usable for kind in NEEDS[audience.channel]):
        return {}, NO_ADDRESS
    return usable, None


def make_plan(audience: Audience, facts: Facts, *, accept_drop: bool = False) -> Plan:
    """Return what has to be done so that the destination holds exactly whom it should."""
    suppressed: Counter[str] = Counter()
    why: dict[bytes, str] = {}
    desired: dict[bytes, tuple[str, str]] = {}
    arms: dict[str, str] = {}
    for customer in sorted(facts.members):
        person = facts.person(customer)
        reason, mark = _judge(audience, facts, customer, person, arms)
        if reason is None:
            desired[person] = customer, mark
        else:
            suppressed[reason] += 1
            why[person] = reason
    refusers = _refusing_people(audience, facts, set(why) | set(desired)) if facts.held else set()
    removals = {
        person: _why_removed(person, facts, why, refusers)
        for person in facts.held
        if person not in desired
    }
    items, unchanged = [], 0
    for person, (_, mark) in desired.items():
        held, external_id = facts.held.get(person), facts.external_id(person)
        is_listed = facts.listed is None or external_id in facts.listed
        is_sure = held is not None and not held.is_unsure and is_listed
        if held is not None and is_sure and mark in (held.fingerprint, ""):
            unchanged += 1
            continue
        is_new = held is None or held.fingerprint is None or not is_listed
        items.append(Item(person, external_id, ADD if is_new else CHANGE, mark))
    stopped = None if accept_drop else _guard(audience, facts, desired, removals)
    if stopped or len(desired) < audience.minimum_size:
        reason = STOPPED if stopped else TOO_FEW
        if items:
            suppressed[reason] += len(items)
        items, arms = [], {}
    if stopped:
        removals = {p: reason for p, reason in removals.items() if reason in OWN_NO}
    gone = [Item(p, facts.held[p].external_id, REMOVE) for p in removals]
    strangers = _strangers(facts, desired) if not stopped else set()
    gone += [Item(b"", one, REMOVE) for one in strangers]
    why_gone = Counter(removals.values()) + Counter({STRANGER: len(strangers)})
    items = sorted(gone, key=_order) + sorted(items, key=_order)
    return Plan(
        as_of=facts.as_of,
        items=tuple(items),
        customers={person: customer for person, (customer, _) in desired.items()},
        unchanged=unchanged,
        removals=dict(sorted(why_gone.items())),
        suppressed=dict(sorted(suppressed.items())),
        arms=arms,
        stopped=stopped,
    )


def _strangers(facts: Facts, desired: Collection[bytes]) -> set[str]:
    """Return the ids that a destination lists and the ledger does not, as after a restore."""
    known = {held.external_id for held in facts.held.values()}
    return set(facts.listed or ()) - known - {facts.external_id(person) for person in desired}


def _order(item: Item) -> tuple[str, str]:
    return item.action, item.external_id


def _judge(
    audience: Audience, facts: Facts, customer: str, person: bytes, arms: dict[str, str]
) -> tuple[str | None, str]:
    """Return why somebody is left out, or ``None`` and the fingerprint of what is sent of them.

    Whoever passes all that has nothing to do with chance is assigned: ``arms`` gets it.
    """
    if person in facts.tombstones:
        return ERASED, ""
    values = facts.people.get(customer, {})
    usable, reason = usable_values(audience, facts.consents, customer, values)
    if reason is not None:
        return reason, ""
    is_held = person in facts.held_anywhere
    cap = audience.cap
    if cap and not is_held and facts.contacts.get(person, 0) >= cap.contacts:
        return CAPPED, ""
    if audience.experiment is not None:
        known = facts.arms.get(customer)
        # who was sent to before the experiment began is no part of it
        if known is None and not is_held:
            known = arms[customer] = arm(audience.experiment, customer, audience.holdout_share)
        if known == HOLDOUT:
            return IN_HOLDOUT, ""
    within = audience.birthday_within_days
    if within is not None and not is_birthday_near(values.get("birth_date"), facts.as_of, within):
        return NO_BIRTHDAY, ""
    mark = facts.fingerprint(content_of(payload_of(audience, facts.members[customer], usable)))
    held = facts.held.get(person)
    if facts.rejected.get(person) == mark and not (held and held.is_unsure):
        # what it took before stays
        return (None, "") if held else (REJECTED, "")
    return None, mark


def _refusing_people(audience: Audience, facts: Facts, judged: set[bytes]) -> set[bytes]:
    """Return those who are held, are not in the audience any more, and have said no since."""
    found = set()
    for customer in facts.consents.refusers():
        person = facts.person(customer)
        if person in facts.held and person not in judged:
            _, reason = usable_values(audience, facts.consents, customer, {})
            if reason == REFUSED:
                found.add(person)
    return found


def _why_removed(
    person: bytes, facts: Facts, why: Mapping[bytes, str], refusers: Collection[bytes]
) -> str:
    if person in facts.tombstones:
        return ERASED
    if person in refusers:
        return REFUSED
    return why.get(person, LEFT)


def _guard(
    audience: Audience,
    facts: Facts,
    desired: Collection[bytes],
    removals: Mapping[bytes, str],
) -> str | None:
    """Return why this looks like a fault of a source; ``None`` if it looks like life.

    Who said no themselves is not counted as missing.
    """
    held = len(facts.held) - sum(reason in OWN_NO for reason in removals.values())
    if held > 0 and not facts.members:
        return f"{audience.model} is empty, the destination holds {held:,}"
    drop = 1 - len(desired) / held if held else 0.0
    if held >= audience.minimum_size and drop > audience.largest_drop_rate:
        return (
            f"{len(desired):,} of {held:,} would be left, a drop of {drop:.0%} "
            f"(largest_drop_rate is {audience.largest_drop_rate:.0%})"
        )
    return None
