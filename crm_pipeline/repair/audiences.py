"""Is what was sent as it should be: the ledger, people who were forgotten, files in the outbox?"""

from __future__ import annotations

from crm_pipeline.activation.destinations.files import OUTBOX, file_faults
from crm_pipeline.activation.forgetting import overdue
from crm_pipeline.activation.ledger import FILE
from crm_pipeline.activation.records import status
from crm_pipeline.repair.findings import Finding
from crm_pipeline.settings import Settings
from crm_pipeline.vault.store import FILE as VAULT
from crm_pipeline.vault.store import open_vault


def examine(settings: Settings) -> list[Finding]:
    """Return what is wrong with audiences on their way out.

    Raises:
        UserError: The ledger or the vault cannot be opened.
    """
    found = []
    has_ledger = (settings.home / FILE).is_file()
    if not has_ledger and any((settings.home / OUTBOX).glob("*/*/current")):
        remedy = "`crm restore` a backup, or delete the lists in outbox/ and send again"
        found.append(Finding(f"{FILE} is gone, and nobody can say what was sent", remedy))
    for row in status(settings.home):
        if row["unsure_count"]:
            what = f"a batch of {row['audience']} for {row['destination']} has no known end"
            found.append(Finding(what, f"`crm audience send {row['audience']}`"))
    if has_ledger and (settings.home / VAULT).is_file():
        with open_vault(settings.home, settings.master_key) as vault:
            tombstones = vault.tombstones()
        for audience, destination, count in overdue(settings.home, tombstones):
            what = f"{destination} may hold {count:,} forgotten people of {audience}"
            found.append(Finding(what, f"`crm audience send {audience} --to {destination}`"))
    for file in file_faults(settings.home / OUTBOX):
        name = file.relative_to(settings.home).as_posix()
        remedy = "move its folder away and send again"
        found.append(Finding(f"{name} is not as it was written", remedy))
    return found
