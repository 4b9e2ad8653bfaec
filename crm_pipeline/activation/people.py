"""The door to the vault: addresses of people, decrypted in memory for what is about to leave.

Nothing that is read here is written anywhere but into a delivery. Used are only columns that a
sources file says may be (``contact: email``), of rows that count. Belongs here: finding a person's
newest value of each kind. Encryption is the vault's business.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa

from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.guard import CUSTOMER
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.vault.keys import Keys
from crm_pipeline.vault.store import Vault
from crm_pipeline.vault.tokens import normalised

_ID_BYTES = 16
LINKS = "intermediate.int_customers__records"


def person_of(keys: Keys, customer_key: str) -> bytes:
    """Return what vault, tombstones and ledger call a customer by."""
    return keys.identity(CUSTOMER, customer_key)


def external_id(keys: Keys, destination: str, person: bytes) -> str:
    """Return what a destination calls a person: it says nothing to anybody, and stays the same."""
    named = b"id\0" + destination.encode() + b"\0" + person
    return hmac.digest(keys.activation, named, "sha256")[:_ID_BYTES].hex()


def fingerprint(keys: Keys, content: bytes) -> str:
    """Return what tells one content from another, and nobody without the key what it was."""
    return hmac.digest(keys.activation, b"content\0" + content, "sha256")[:_ID_BYTES].hex()


def find_people(
    con: duckdb.DuckDBPyConnection,
    vault: Vault,
    contracts: Mapping[str, SourceContract],
    enabled: Sequence[str],
    customer_keys: Iterable[str],
    kinds: Sequence[str],
) -> dict[str, dict[str, str]]:
    """Return the newest value of each kind, by customer key and kind.

    A customer's own record goes before other rows that name them, then the newest row.

    Args:
        con: The warehouse, its slot held.
        vault: The vault beside it.
        contracts: All sources, by name.
        enabled: The enabled ones.
        customer_keys: Of whom.
        kinds: Of ``email``, ``phone``, ``full_name``, ``birth_date``.
    """
    wanted = pa.table({"customer_key": pa.array(sorted(set(customer_keys)), pa.string())})
    best: dict[tuple[str, str], tuple[tuple[object, ...], str]] = {}
    con.register("wanted_people", wanted)
    try:
        for name in enabled:
            for table in contracts[name].tables:
                columns = {c.name: c.contact for c in table.direct_columns if c.contact in kinds}
                if columns and table.identity_of(CUSTOMER) and _has_view(con, table):
                    _read(con, vault, table, columns, best)
    finally:
        con.unregister("wanted_people")
    found: dict[str, dict[str, str]] = {}
    for (customer, kind), (_, value) in best.items():
        found.setdefault(customer, {})[kind] = value
    return found


def _has_view(con: duckdb.DuckDBPyConnection, table: TableContract) -> bool:
    row = con.execute(
        "select 1 from information_schema.tables where table_schema = 'raw' and table_name = ?",
        [table.identifier],
    ).fetchone()
    return row is not None


def _read(
    con: duckdb.DuckDBPyConnection,
    vault: Vault,
    table: TableContract,
    columns: Mapping[str, str | None],
    best: dict[tuple[str, str], tuple[tuple[object, ...], str]],
) -> None:
    """Put each value into ``best`` that goes before what is there; greatest rank wins."""
    column = table.identity_of(CUSTOMER)
    assert column is not None
    is_record = table.key == (column.name,)
    newest = table.version or table.event_time
    when = f"cast({identifier(newest)} as varchar)" if newest else "''"
    number = f"{literal(table.namespace + ':')} || {column.identity_sql}"
    rows = con.execute(
        f"with named as (select {number} as record_key, _file, _line, "
        f"coalesce({when}, '') as at_time from raw.{identifier(table.identifier)}) "
        "select coalesce(records.customer_key, named.record_key) as customer_key, "
        "held.digest, named._line as line, "
        # of several records that are one person's, the one of the customer's own number
        "coalesce(records.customer_key, named.record_key) = named.record_key as is_own, at_time, "
        "named._file as file from named "
        "join control.current_files as held on held.file_name = named._file "
        f"and held.source = {literal(table.source)} and held.table_name = {literal(table.name)} "
        f"left join (select distinct record_key, customer_key from {LINKS}) as records "
        "on records.record_key = named.record_key "
        "semi join wanted_people on wanted_people.customer_key = "
        "coalesce(records.customer_key, named.record_key)"
    ).fetchall()
    places = pa.table(
        {
            "digest": pa.array([row[1] for row in rows], pa.string()),
            "line": pa.array([row[2] for row in rows], pa.int64()),
        }
    )
    values = vault.values_at(table.source, table.name, list(columns), places)
    for customer, digest, line, is_own, at_time, file in rows:
        rank = (is_record, is_own, at_time, table.label, file, line)
        for name, kind in columns.items():
            text = values.get((digest, line, name))
            value = None if text is None else written_one_way(str(kind), text, table.country)
            if value is None:
                continue
            held = best.get((customer, str(kind)))
            if held is None or held[0] < rank:
                best[customer, str(kind)] = (rank, value)


def written_one_way(kind: str, text: str, country: str | None) -> str | None:
    """Return a value as it is sent; ``None`` where it says nothing."""
    if kind in ("email", "phone"):
        value = normalised(kind, text, country)
        return value if kind != "email" or (value and _is_address(value)) else None
    return " ".join(text.split()) or None


def _is_address(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(at and local and "." in domain and not any(c.isspace() for c in text))
