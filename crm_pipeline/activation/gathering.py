"""Reading what a plan is made from: the publication, the warehouse, the vault, the ledger.

Belongs here: the reading, each door open for a moment. What follows from it is ``plan.py``'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import duckdb

from crm_pipeline.activation.audiences import Audience
from crm_pipeline.activation.consent import Consents, agreeing, read_consents
from crm_pipeline.activation.destinations.base import Destination
from crm_pipeline.activation.ledger import Ledger, open_ledger
from crm_pipeline.activation.people import external_id, find_people, fingerprint, person_of
from crm_pipeline.activation.plan import Facts
from crm_pipeline.commands.query import open_published
from crm_pipeline.defs.landing.contracts import SourceContract
from crm_pipeline.defs.landing.sqltext import identifier
from crm_pipeline.defs.publication.swap import FILE
from crm_pipeline.errors import UserError
from crm_pipeline.repair.home import door
from crm_pipeline.settings import Settings
from crm_pipeline.vault.keys import Keys
from crm_pipeline.vault.store import open_vault

WAIT_SECONDS = 600.0
"""For the warehouse: a step of a run that is on may hold it."""


@dataclass(frozen=True)
class Published:
    """What the publication says of an audience."""

    as_of: date
    members: Mapping[str, Mapping[str, object]]
    consents: Consents


@dataclass(frozen=True)
class Known:
    """What warehouse and vault say of some customers now."""

    keys: Keys
    consents: Consents
    people: Mapping[str, Mapping[str, str]]
    tombstones: frozenset[bytes]


def read_published(file: Path, audience: Audience) -> Published:
    """Return an audience as it was published: it has passed every check.

    Raises:
        UserError: Nothing was published, or not this audience.
    """
    with closing(open_published(file)) as db:
        columns = ["customer_key", *audience.own_fields]
        selected = ", ".join(
            f"cast({identifier(name)} as varchar) as {identifier(name)}" for name in columns
        )
        try:
            rows = db.execute(f"select {selected} from marts.{audience.model}").fetchall()
            day = db.execute("select as_of from meta.build").fetchone()
            consents = read_consents(db, audience.consent_purpose)
        except duckdb.CatalogException:
            raise UserError(
                f"marts.{audience.model} is not published yet: call `crm run` first."
            ) from None
    assert day is not None
    members = {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in rows}
    return Published(day[0], members, consents)


def read_known(
    settings: Settings,
    contracts: Mapping[str, SourceContract],
    audience: Audience,
    customer_keys: Collection[str],
    *,
    all_answers: bool = True,
) -> Known:
    """Return what may be known of customers now: addresses, answers, who was forgotten.

    The warehouse's slot is held, which is the vault's too.

    Args:
        settings: The company's settings.
        contracts: All sources, by name.
        audience: The audience.
        customer_keys: Of whom.
        all_answers: Whether the answers of all customers are read.
    """
    customers = None if all_answers else customer_keys
    with door(settings, WAIT_SECONDS).reader() as db:
        consents = read_consents(db, audience.consent_purpose, customers)
        with open_vault(settings.home, settings.master_key) as vault:
            people = find_people(
                db, vault, contracts, settings.sources, customer_keys, audience.kinds
            )
            return Known(vault.keys, consents, people, frozenset(vault.tombstones()))


def gather(
    settings: Settings,
    contracts: Mapping[str, SourceContract],
    audience: Audience,
    name: str,
    destination: Destination,
) -> tuple[Facts, Published]:
    """Return everything that a plan for a destination is made from, and the publication's part.

    No two doors are open at a time: a run that holds the warehouse may wait for the ledger.

    Raises:
        UserError: Something cannot be read, or the experiment is not what it was.
    """
    published = read_published(settings.published / FILE, audience)
    known = read_known(settings, contracts, audience, published.members.keys())
    with open_ledger(settings.home) as ledger:
        _check_experiment(audience, ledger)
        arms = ledger.arms(audience.experiment) if audience.experiment else {}
        held = ledger.held(name, audience.name)
        held_anywhere = ledger.held_anywhere(audience.name)
        rejected = ledger.rejected(name, audience.name)
        contacts = {}
        if audience.cap:
            since = published.as_of - timedelta(days=audience.cap.days)
            contacts = ledger.contact_counts(since, published.as_of)

    @cache
    def person(customer_key: str) -> bytes:
        return person_of(known.keys, customer_key)

    facts = Facts(
        as_of=published.as_of,
        members=published.members,
        consents=agreeing(published.consents, known.consents),
        people=known.people,
        tombstones=known.tombstones,
        arms=arms,
        held=held,
        held_anywhere=held_anywhere,
        contacts=contacts,
        rejected=rejected,
        listed=destination.holds(audience),
        person=person,
        external_id=lambda one: external_id(known.keys, name, one),
        fingerprint=lambda content: fingerprint(known.keys, content),
    )
    return facts, published


def _check_experiment(audience: Audience, ledger: Ledger) -> None:
    if audience.experiment is None:
        return
    began_with = ledger.holdout_share(audience.experiment)
    if began_with not in (None, audience.holdout_share):
        raise UserError(
            f"the experiment {audience.experiment} began with a holdout of {began_with:.1%}, "
            f"the entry of {audience.model} says {audience.holdout_share:.1%}: give the new "
            "share a new experiment's name."
        )
