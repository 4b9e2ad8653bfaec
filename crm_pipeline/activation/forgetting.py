"""Forgetting somebody who was sent: what is dropped at once, and what a removal still has to do.

The ledger forgets assignments, contacts and rejections, and is written anew so that their bytes
are gone. The files of the outbox lose the person's line, since they are ours. For other
destinations the row of ``held`` stays, an id that only they can read, until they have taken the
removal: the next send brings it, whatever else is in its plan.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from crm_pipeline.activation.destinations.files import OUTBOX, drop_members
from crm_pipeline.activation.ledger import FILE, open_ledger, sending
from crm_pipeline.vault.rewriting import rewrite


def forget_sent(
    home: Path, customer_keys: Collection[str], persons: Collection[bytes]
) -> tuple[str, ...]:
    """Forget some customers; return the lists that may hold them, as ``audience at destination``.

    Raises:
        UserError: Something is being sent.
    """
    if not (home / FILE).is_file():
        return ()
    with sending(home):
        with open_ledger(home) as ledger:
            lists = ledger.forget(customer_keys, list(persons))
        left = []
        for audience, destination, external_ids in lists:
            place = home / OUTBOX / destination / audience
            if not drop_members(place, external_ids):
                left.append(f"{audience} at {destination}")
        with open_ledger(home) as ledger:
            ledger.con.execute("checkpoint")
        rewrite(home / FILE)
    return tuple(left)


def overdue(home: Path, tombstones: Collection[bytes]) -> list[tuple[str, str, int]]:
    """Return audience, destination and number of forgotten people that it may hold yet."""
    if not (home / FILE).is_file():
        return []
    with open_ledger(home) as ledger:
        return ledger.overdue(tombstones)
