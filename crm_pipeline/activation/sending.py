"""Sending a plan: batch by batch, written down before and after, decrypted in between.

A batch is written down before it leaves, and from then until its end is written down too nobody
can say whom it reached: those people are "unsure", and the next plan sends them again or takes
them off. Both are harmless to repeat, so that whatever was killed, the next send ends where it
should.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from crm_pipeline.activation.audiences import Audience
from crm_pipeline.activation.consent import agreeing
from crm_pipeline.activation.destinations.base import Delivery, Destination, NotDeliveredError
from crm_pipeline.activation.gathering import Known, Published, gather, read_known
from crm_pipeline.activation.ledger import REMOVE, Batch, Item, open_ledger, sending
from crm_pipeline.activation.payload import content_of, payload_of
from crm_pipeline.activation.people import fingerprint
from crm_pipeline.activation.plan import Plan, make_plan, usable_values
from crm_pipeline.defs.landing.contracts import SourceContract
from crm_pipeline.settings import Settings


@dataclass
class Sent:
    """What a send did.

    Attributes:
        plan: What was to be done.
        batches: Batches that were taken.
        items: People in them.
        rejected: People that the destination would not take.
        withdrawn: People who were forgotten, or said no, after the plan was made.
        faults: Why batches were given up.
    """

    plan: Plan
    batches: int = 0
    items: int = 0
    rejected: int = 0
    withdrawn: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sender:
    """One audience on its way to one destination.

    Attributes:
        settings: The company's settings.
        contracts: All sources, by name.
        audience: The audience.
        name: The destination's name.
        destination: The destination.
        clock: The time now, naive UTC; it decides nothing, the ledger keeps it.
    """

    settings: Settings
    contracts: Mapping[str, SourceContract]
    audience: Audience
    name: str
    destination: Destination
    clock: Callable[[], datetime]

    def plan(self, *, accept_drop: bool = False) -> Plan:
        """Return what a send would do; nothing is written down."""
        return self._plan(accept_drop)[0]

    def _plan(self, accept_drop: bool) -> tuple[Plan, Published]:
        facts, published = gather(
            self.settings, self.contracts, self.audience, self.name, self.destination
        )
        return make_plan(self.audience, facts, accept_drop=accept_drop), published

    def send(self, *, accept_drop: bool = False) -> Sent:
        """Bring the destination to where it should be.

        Raises:
            UserError: Something cannot be read, or somebody else is sending.
        """
        with sending(self.settings.home):
            plan, published = self._plan(accept_drop)
            done = Sent(plan)
            if plan.arms and self.audience.experiment:
                self._assign(plan)
            for items in self._chunks(plan.items):
                try:
                    self._send_batch(plan, published, items, done)
                except NotDeliveredError as fault:
                    done.faults.append(str(fault))
                    if fault.is_over:
                        break
            return done

    def _assign(self, plan: Plan) -> None:
        audience = self.audience
        assert audience.experiment is not None
        with open_ledger(self.settings.home) as ledger:
            ledger.assign(
                audience.experiment,
                audience.name,
                audience.version,
                audience.holdout_share,
                plan.arms,
                plan.as_of,
                self.clock(),
            )

    def _chunks(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        size = self.destination.batch_size or max(1, len(items))
        for start in range(0, len(items), size):
            yield items[start : start + size]

    def _send_batch(
        self, plan: Plan, published: Published, items: Sequence[Item], done: Sent
    ) -> None:
        """Send one batch.

        Raises:
            NotDeliveredError: It was given up; whom it reached is not known.
        """
        upserts: dict[str, Mapping[str, str | None]] = {}
        kept: list[Item] = [item for item in items if item.action == REMOVE]
        customers = {item: plan.customers[item.person] for item in items if item.action != REMOVE}
        if customers:
            known = read_known(
                self.settings, self.contracts, self.audience, set(customers.values()),
                all_answers=False,
            )  # fmt: skip
            for item, customer in customers.items():
                fields = self._fields(customer, item, published, known)
                if fields is None:
                    done.withdrawn += 1
                    continue
                upserts[item.external_id] = fields
                mark = fingerprint(known.keys, content_of(fields))
                kept.append(Item(item.person, item.external_id, item.action, mark))
        if not kept:
            return
        batch = self._begin(plan, tuple(kept))
        delivery = Delivery(
            batch_id=batch.batch_id,
            sequence=batch.sequence,
            audience=self.audience,
            as_of=plan.as_of,
            upserts=upserts,
            removals=[item.external_id for item in kept if item.action == REMOVE],
        )
        try:
            taken = self.destination.deliver(delivery)
        except NotDeliveredError as fault:
            with open_ledger(self.settings.home) as ledger:
                ledger.give_up(batch, str(fault), self.clock())
            raise
        with open_ledger(self.settings.home) as ledger:
            ledger.settle(batch, taken.rejected, self.clock())
        done.batches += 1
        done.items += len(kept) - len(taken.rejected)
        done.rejected += len(taken.rejected)

    def _fields(
        self, customer: str, item: Item, published: Published, known: Known
    ) -> dict[str, str | None] | None:
        """Return what leaves of a person, or ``None`` if nothing may any more."""
        if item.person in known.tombstones or customer not in published.members:
            return None
        consents = agreeing(published.consents, known.consents)
        values, reason = usable_values(
            self.audience, consents, customer, known.people.get(customer, {})
        )
        if reason is not None:
            return None
        return payload_of(self.audience, published.members[customer], values)

    def _begin(self, plan: Plan, items: tuple[Item, ...]) -> Batch:
        """Write a batch down; one that was begun before with the same content goes on."""
        place = (self.name, self.audience.name)
        with open_ledger(self.settings.home) as ledger:
            pending = dict(ledger.pending(*place))
            sequence = ledger.last_sequence(*place) + 1
            for earlier in pending.values():
                if batch_id(*place, earlier, items) in pending:
                    sequence = earlier
            batch = Batch(
                batch_id=batch_id(*place, sequence, items),
                destination=self.name,
                audience=self.audience.name,
                audience_version=self.audience.version,
                as_of=plan.as_of,
                sequence=sequence,
                items=items,
            )
            ledger.begin(batch, self.clock(), is_contact=self.audience.is_contact)
        return batch


def batch_id(destination: str, audience: str, sequence: int, items: Sequence[Item]) -> str:
    """Return the name of a batch: made of what is in it, and of how many went before."""
    content = [
        destination,
        audience,
        sequence,
        sorted([item.external_id, item.action, item.fingerprint] for item in items),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
