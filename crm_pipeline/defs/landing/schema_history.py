"""What is remembered of schemas: how files differed from their contract, and the contracts.

Tables (schema ``control``): ``drift`` has one row for each column of a content that is not as
declared, open (``resolved_at`` null) as long as the content is stored or its file is refused;
the view ``drift_states`` adds whether it stands: not for a content that no longer counts;
``contract_versions`` has one row for each contract that a landing table was ever built for. Belongs
here: their SQL. What counts as a difference is ``drift.py``'s business.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import duckdb

from crm_pipeline.defs.landing.contracts import PARSER_VERSION, TableContract
from crm_pipeline.defs.landing.drift import MISSING, NEW, Drift

TABLES = """
create table if not exists control.drift (
    source varchar not null, table_name varchar not null, file_name varchar not null,
    digest varchar not null, kind varchar not null, column_name varchar not null,
    expected varchar, found varchar, seen_at timestamp not null, resolved_at timestamp);
create table if not exists control.contract_versions (
    source varchar not null, table_name varchar not null, version integer not null,
    contract_digest varchar not null, columns varchar not null, format varchar not null,
    first_seen_at timestamp not null);
create or replace view control.drift_states as
    select *, resolved_at is null and (
        (source, table_name, digest) in (
            select (source, table_name, digest) from control.current_contents)
        or (source, table_name, digest) not in (
            select (source, table_name, digest) from control.contents)) as is_standing
    from control.drift;
"""


def record_version(con: duckdb.DuckDBPyConnection, contract: TableContract, now: datetime) -> int:
    """Return the number of a contract's version, appending it if it is new.

    Going back to an earlier contract goes back to its number: the number names the contract, and
    ``control.contents`` says under which one each content landed last.
    """
    key = [contract.source, contract.name]
    row = con.execute(
        "select version from control.contract_versions "
        "where source = ? and table_name = ? and contract_digest = ?",
        [*key, contract.digest],
    ).fetchone()
    if row:
        return int(row[0])
    columns = [
        {
            "name": c.name, "data_type": c.data_type, "header": c.header, "required": c.required,
            "pii": c.pii, "minimum": c.minimum, "maximum": c.maximum,
        }
        for c in contract.columns
    ]  # fmt: skip
    reading = {**contract.reading, "parser_version": PARSER_VERSION}
    row = con.execute(
        "insert into control.contract_versions select ?, ?, count(*) + 1, ?, ?, ?, ? "
        "from control.contract_versions where source = ? and table_name = ? returning version",
        [*key, contract.digest, json.dumps(columns), json.dumps(reading), now, *key],
    ).fetchone()
    assert row is not None
    return int(row[0])


def record_drift(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    found: Sequence[Drift],
    *,
    digest: str,
    file_name: str,
    now: datetime,
) -> None:
    """Say how a content's columns differ now: new differences open, the others resolve.

    Running again on the same content changes nothing: ``seen_at`` is when it was seen first.
    """
    known = _open(con, contract, digest)
    for one in found:
        if _key(one) not in known:
            _insert(con, contract, one, digest, file_name, now, None)
    _resolve(con, contract, digest, known - {_key(one) for one in found}, now)


def record_drift_again(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    found: Sequence[Drift],
    *,
    digest: str,
    file_name: str,
    before: str | None,
    now: datetime,
) -> None:
    """The same for a content that lands again because its contract changed.

    A column that is declared after a file arrived is not missing from it, and one that is no
    longer declared is not new in it: what the change itself explains is entered as resolved, and
    stays so. ``before`` is the digest of the contract that the content landed under.
    """
    known = _open(con, contract, digest)
    told = {(kind, name) for kind, name, _, _ in known} | _resolved(con, contract, digest)
    earlier = _declared(con, contract, before)
    names = {column.header: column.name for column in contract.columns}
    for one in found:
        if (one.kind, one.column) in told:
            continue
        is_explained = earlier is not None and (
            (one.kind == MISSING and names[one.column] not in earlier)
            or (one.kind == NEW and one.column in earlier.values())
        )
        _insert(con, contract, one, digest, file_name, now, now if is_explained else None)
    still = {(one.kind, one.column) for one in found}
    _resolve(con, contract, digest, {k for k in known if (k[0], k[1]) not in still}, now)


def resolve_gone(
    con: duckdb.DuckDBPyConnection,
    contracts: Iterable[TableContract],
    refused: Collection[str],
    now: datetime,
) -> None:
    """Resolve the differences of files that are neither stored nor were refused just now.

    Those of columns that the contract has come to ignore are resolved as well.
    """
    for contract in contracts:
        ignored = [name.casefold() for name in contract.ignored_columns]
        con.execute(
            "update control.drift set resolved_at = ? where resolved_at is null "
            "and source = ? and table_name = ? and ((digest not in ("
            "select digest from control.contents where source = ? and table_name = ?) "
            "and not list_contains(?::varchar[], digest)) or (kind = ? and ("
            "list_contains(?::varchar[], lower(column_name)) "
            "or list_contains(?::varchar[], '*'))))",
            [now, *[contract.source, contract.name] * 2, list(refused), NEW, ignored, ignored],
        )


def open_drift(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return (source, table) -> the differences of its files that stand, one sentence a column."""
    rows = con.execute(
        "select source, table_name, kind, column_name, any_value(expected order by seen_at), "
        "any_value(found order by seen_at), count(distinct digest), max(file_name) "
        "from control.drift_states where is_standing group by all order by all"
    ).fetchall()
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for source, table, kind, name, expected, seen, files, file_name in rows:
        said = f"{Drift(kind, name, expected, seen)} in {file_name}"
        more = f" and {files - 1} more" if files > 1 else ""
        found[source, table] = (*found.get((source, table), ()), said + more)
    return found


def schema_drift(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return ``meta.schema_drift``."""
    return con.sql(
        "select source, table_name, file_name, digest, kind, column_name, expected, found, "
        "seen_at, resolved_at, is_standing from control.drift_states order by all"
    )


def contract_versions(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return ``meta.contract_versions``, with the number of contents that stand under each."""
    return con.sql(
        "select source, table_name, version, contract_digest, columns, format, first_seen_at, "
        "(select count(*) from control.contents as held where held.source = made.source "
        "and held.table_name = made.table_name "
        "and held.contract_digest = made.contract_digest) as content_count "
        "from control.contract_versions as made order by source, table_name, version"
    )


_Row = tuple[str, str, str, str]


def _key(one: Drift) -> _Row:
    return one.kind, one.column, one.expected, one.found


def _open(con: duckdb.DuckDBPyConnection, contract: TableContract, digest: str) -> set[_Row]:
    rows = con.execute(
        "select kind, column_name, expected, found from control.drift where source = ? "
        "and table_name = ? and digest = ? and resolved_at is null",
        [contract.source, contract.name, digest],
    ).fetchall()
    return {(kind, name, expected, found) for kind, name, expected, found in rows}


def _resolved(
    con: duckdb.DuckDBPyConnection, contract: TableContract, digest: str
) -> set[tuple[str, str]]:
    rows = con.execute(
        "select kind, column_name from control.drift where source = ? and table_name = ? "
        "and digest = ? and resolved_at is not null",
        [contract.source, contract.name, digest],
    ).fetchall()
    return {(kind, name) for kind, name in rows}


def _declared(
    con: duckdb.DuckDBPyConnection, contract: TableContract, digest: str | None
) -> dict[str, str] | None:
    """Return the names that an earlier version of a contract declared, with their headers."""
    row = con.execute(
        "select columns from control.contract_versions "
        "where source = ? and table_name = ? and contract_digest = ?",
        [contract.source, contract.name, digest],
    ).fetchone()
    return {c["name"]: c["header"] for c in json.loads(row[0])} if row else None


def _insert(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    one: Drift,
    digest: str,
    file_name: str,
    now: datetime,
    resolved_at: datetime | None,
) -> None:
    con.execute(
        "insert into control.drift values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [contract.source, contract.name, file_name, digest, *_key(one), now, resolved_at],
    )


def _resolve(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    digest: str,
    rows: Iterable[_Row],
    now: datetime,
) -> None:
    for row in rows:
        con.execute(
            "update control.drift set resolved_at = ? where resolved_at is null and source = ? "
            "and table_name = ? and digest = ? and kind = ? and column_name = ? "
            "and expected = ? and found = ?",
            [now, contract.source, contract.name, digest, *row],
        )
