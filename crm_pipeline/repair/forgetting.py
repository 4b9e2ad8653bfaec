"""Forgetting a customer: the tombstone, and the end of their key and of their encrypted values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from crm_pipeline.activation.forgetting import forget_sent
from crm_pipeline.defs.landing.contracts import SourceContract
from crm_pipeline.defs.landing.guard import CUSTOMER
from crm_pipeline.defs.landing.sqltext import identifier
from crm_pipeline.errors import UserError
from crm_pipeline.repair.home import door
from crm_pipeline.settings import Settings
from crm_pipeline.vault.rewriting import rewrite
from crm_pipeline.vault.store import FILE, open_vault

_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Forgotten:
    """What forgetting did.

    Attributes:
        numbers: Customer keys that are the same person's.
        values: Encrypted values that were deleted.
        backups: Backups and replaced states below the home, which still hold the person.
        was_forgotten: Whether there was a tombstone already.
        lists: Audiences that destinations may hold the person of, as ``audience at destination``.
    """

    numbers: int
    values: int
    backups: int
    was_forgotten: bool
    lists: tuple[str, ...] = ()


def forget(
    settings: Settings, contracts: Mapping[str, SourceContract], customer_key: str, *, now: datetime
) -> Forgotten:
    """Forget a customer; what is done already is done again without harm.

    Raises:
        UserError: Nobody has this key; nothing was changed.
    """
    warehouse = door(settings, _WAIT_SECONDS)
    with warehouse.reader() as db:
        keys = _linked(db, customer_key) | {customer_key}
        is_known = any(_is_known(db, contracts, key) for key in keys)
    with warehouse.slot():
        with open_vault(settings.home, settings.master_key) as vault:
            persons = {vault.keys.identity(CUSTOMER, key) for key in keys}
            was_forgotten = persons <= set(vault.tombstones())
            if not is_known and not was_forgotten:
                raise UserError(
                    f"no customer {customer_key} is known, nothing was changed: give a "
                    "customer_key of marts.dim_customers, as shop:17850."
                )
            # the tombstone first: killed after it, the same call completes what is left
            vault.bury({(CUSTOMER, person) for person in persons}, now)
            values = vault.destroy(persons)
        # what DuckDB deletes stays in the file until it is written anew
        rewrite(settings.home / FILE)
    lists = forget_sent(settings.home, keys, persons)
    kept = [*settings.home.glob("backups/*"), *settings.home.glob("replaced-*")]
    return Forgotten(len(keys), values, len(kept), was_forgotten, lists)


def _linked(db: duckdb.DuckDBPyConnection, customer_key: str) -> set[str]:
    """Return the keys that sources link to the same person (``customer_links``)."""
    rows = db.execute(
        "select schema_name, view_name from duckdb_views() where "
        "view_name = 'int_customer_links__unioned' union all select schema_name, table_name "
        "from duckdb_tables() where table_name = 'int_customer_links__unioned'"
    ).fetchall()
    found = {customer_key}
    for schema, name in rows:
        place = f"{identifier(schema)}.{identifier(name)}"
        pairs = db.execute(f"select customer_key, linked_customer_key from {place}").fetchall()
        before = 0
        while len(found) > before:
            before = len(found)
            found |= {key for pair in pairs if set(pair) & found for key in pair if key}
    return found


def _is_known(
    db: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract], key: str
) -> bool:
    namespace, _, number = key.partition(":")
    for source in contracts.values():
        for table in source.tables:
            column = table.identity_of(CUSTOMER)
            if source.namespace != namespace or column is None:
                continue
            has = db.execute(
                "select 1 from duckdb_columns() where schema_name = 'landing' "
                "and table_name = ? and column_name = ?",
                [table.identifier, column.name],
            ).fetchone()
            if (
                has
                and db.execute(
                    f"select 1 from landing.{identifier(table.identifier)} "
                    f"where {column.identity_sql} = ? limit 1",
                    [number],
                ).fetchone()
            ):
                return True
    return False
