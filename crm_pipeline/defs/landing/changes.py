"""What changed since the last complete build, and so what the next one has to rebuild.

A build replaces the orders, customers and products that changed rows name (``control.touched``),
and nothing else. Where it cannot be sure that this is enough, it rebuilds everything: after a build
that did not end, other code, settings or sources, or where a table changed that somebody reads
without saying which of its rows belong together. So nobody ever has to ask for a rebuild.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import duckdb

from crm_pipeline.code_version import code_version
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.retention import move_superseded
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.settings import Settings

MOST_OF_IT = 0.3
"""Replacing more than this share of the rows costs as much as making all of them anew."""

Readers = Mapping[tuple[str, str], frozenset[str | None]]
"""(source, table) -> what each staging model that reads it is rebuilt by; ``None`` is the whole."""


@dataclass(frozen=True)
class State:
    """What a build is made of."""

    landing_number: int
    as_of: date
    fingerprint: str


@dataclass(frozen=True)
class Scope:
    """What a build has to replace: the touched keys, or everything, and why."""

    is_part: bool
    reason: str
    state: State


def readers(manifest: Mapping[str, Any], contracts: Mapping[str, SourceContract]) -> Readers:
    """Return what follows from a change in each raw table.

    A staging model states ``meta.rebuilt_by``. A raw table among its ancestors that names no such
    entity, or a model that states nothing, makes any change in the table touch everything.
    """
    nodes = manifest["nodes"]
    found: dict[tuple[str, str], set[str | None]] = {}

    def raw_tables(unique_id: str) -> Iterator[tuple[str, str]]:
        for parent in manifest["parent_map"].get(unique_id, []):
            if parent.startswith("source."):
                source = manifest["sources"][parent]
                if source["schema"] == "raw":
                    yield source["source_name"], source["name"]
            elif parent in nodes and "staging" in nodes[parent]["fqn"]:
                yield from raw_tables(parent)

    for unique_id, node in nodes.items():
        is_base = "staging" in node["fqn"] and not node["name"].startswith("stg_")
        if node["resource_type"] != "model" or is_base:
            continue
        # what is further down reads staging models, not their tables
        parents = raw_tables(unique_id) if "staging" in node["fqn"] else (
            (manifest["sources"][parent]["source_name"], manifest["sources"][parent]["name"])
            for parent in manifest["parent_map"].get(unique_id, [])
            if parent.startswith("source.") and manifest["sources"][parent]["schema"] == "raw"
        )  # fmt: skip
        kind = (node["config"].get("meta") or {}).get("rebuilt_by")
        for source, name in set(parents):
            table = next(t for t in contracts[source].tables if t.name == name)
            is_named = kind is not None and table.identity_of(kind) is not None
            found.setdefault((source, name), set()).add(kind if is_named else None)
    return {table: frozenset(kinds) for table, kinds in found.items()}


def fingerprint(con: duckdb.DuckDBPyConnection, settings: Settings) -> str:
    """Digest of what a number depends on beside the landed content and the as-of date."""
    tables = con.execute("select * from control.tables order by all").fetchall()
    run = con.execute(
        "select columns(* exclude (as_of, clv_holdout_days)) from control.run_settings"
    ).fetchall()
    parts = [code_version(), sorted(settings.sources), run, tables, duckdb.__version__]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def begin_build(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    settings: Settings,
    reads: Readers,
    *,
    everything: str | None = None,
) -> Scope:
    """Find what the next build has to replace, and note that it has begun.

    Args:
        con: The warehouse, with the writer's slot held until ``end_build``.
        contracts: All sources, by name.
        settings: The company's settings.
        reads: What follows from a change in each raw table.
        everything: Why everything is to be rebuilt; ``None`` leaves it to the data.
    """
    state = _state(con, settings)
    con.begin()
    con.execute("delete from control.touched")
    con.execute("delete from control.touched_values")
    reason = everything or _reason_for_all(con, state)
    if reason is None:
        last = _last(con)
        assert last is not None
        reason = _touch(con, contracts, settings, reads, last, state)
    scope = Scope(reason is None, reason or _summary(con), state)
    if not scope.is_part:
        con.execute("delete from control.touched")
    con.execute("delete from control.builds")
    con.execute("insert into control.builds values (?, ?, ?, false)", list(asdict(state).values()))
    con.commit()
    return scope


def end_build(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    scope: Scope,
    *,
    keep_days: int,
    now: datetime,
) -> None:
    """Note that the build of ``scope`` is complete; set aside what only it still needed.

    Args:
        con: The warehouse, with the writer's slot held.
        contracts: All sources, by name.
        scope: What ``begin_build`` returned.
        keep_days: See ``retention.move_superseded``.
        now: Likewise, naive UTC.
    """
    con.begin()
    con.execute("delete from control.builds")
    values = list(asdict(scope.state).values())
    con.execute("insert into control.builds values (?, ?, ?, true)", values)
    for source in contracts.values():
        for table in source.tables:
            move_superseded(con, table, keep_days=keep_days, now=now)
    con.commit()


def _state(con: duckdb.DuckDBPyConnection, settings: Settings) -> State:
    row = con.execute(
        "select (select coalesce(max(landing_number), 0) from control.files), "
        "(select as_of from control.run_settings)"
    ).fetchone()
    assert row is not None
    return State(int(row[0]), row[1], fingerprint(con, settings))


def _last(con: duckdb.DuckDBPyConnection) -> State | None:
    row = con.execute(
        "select landing_number, as_of, fingerprint from control.builds where is_complete"
    ).fetchone()
    return State(*row) if row else None


def _reason_for_all(con: duckdb.DuckDBPyConnection, state: State) -> str | None:
    last = _last(con)
    if last is None:
        begun = con.execute("select count(*) from control.builds").fetchone()
        return "the last build did not end" if begun and begun[0] else "it is the first build"
    if last.fingerprint != state.fingerprint:
        return "the code, a setting, a contract or the enabled sources changed"
    return None


def _summary(con: duckdb.DuckDBPyConnection) -> str:
    rows = con.execute(
        "select kind, count(*) from control.touched group by kind order by kind"
    ).fetchall()
    touched = ", ".join(f"{count:,} {kind}s" for kind, count in rows)
    return f"changed rows name {touched}" if touched else "nothing changed"


def _touch(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    settings: Settings,
    reads: Readers,
    last: State,
    state: State,
) -> str | None:
    """Fill ``control.touched``; return why that is not enough, ``None`` where it is."""
    digests = _touched_contents(con, last.landing_number)
    changed_rows = all_rows = 0
    for name in settings.sources:
        for table in contracts[name].tables:
            kinds = reads.get((table.source, table.name), frozenset())
            where = _changed_sql(
                table, digests.get((table.source, table.name), []), last.as_of, state.as_of,
                settings.time_zone,
            )  # fmt: skip
            if where is None or not kinds:
                continue
            changed = _changed_rows(con, table, where)
            if changed and None in kinds:
                return f"{table.label} changed, and a model reads it whole"
            changed_rows += changed
            all_rows += _count(con, f"select count(*) from landing.{identifier(table.identifier)}")
            if changed:
                _name_touched(con, table)
    if changed_rows > MOST_OF_IT * all_rows:
        return f"{changed_rows:,} of {all_rows:,} rows changed"
    for name in settings.sources:
        for table in contracts[name].tables:
            _find_values(con, table)
    return None


def _touched_contents(
    con: duckdb.DuckDBPyConnection, landing_number: int
) -> dict[tuple[str, str], list[str]]:
    """Contents that came, went or changed their name since: whatever the ledger says of them."""
    rows = con.execute(
        """
        with news as (select * from control.files where landing_number > ?),
        before as (
            select source, table_name, file_name, arg_max(digest, landing_number) as digest
            from control.files where landing_number <= ? group by all)
        select distinct source, table_name, digest from (
            select source, table_name, digest from news
            union all
            select source, table_name, digest from before
            semi join news using (source, table_name, file_name))
        order by all
        """,
        [landing_number, landing_number],
    ).fetchall()
    found: dict[tuple[str, str], list[str]] = {}
    for source, name, digest in rows:
        found.setdefault((source, name), []).append(digest)
    return found


def _changed_sql(
    table: TableContract, digests: list[str], before: date, after: date, time_zone: str
) -> str | None:
    """SQL that is true for rows which came, went, or which the as-of date now shows or hides."""
    conditions = []
    if digests:
        conditions.append(f"_digest in ({', '.join(literal(digest) for digest in digests)})")
    if before != after and table.event_time:
        low, high = sorted((before, after))
        event = identifier(table.event_time)
        day = event
        if table.column(table.event_time).data_type == "timestamp":
            day = f"cast(timezone({literal(time_zone)}, timezone('UTC', {event})) as date)"
        conditions.append(
            # the second half is exact, the first spares most rows the asking
            f"({event} >= date '{low}' and {event} < date '{high}' + interval 2 day "
            f"and {day} > date '{low}' and {day} <= date '{high}')"
        )
    return " or ".join(conditions) or None


def _changed_rows(con: duckdb.DuckDBPyConnection, table: TableContract, where: str) -> int:
    """Keep the changed rows as ``changed``; of a table with a key, all rows of the changed keys.

    Where one row of a key goes, another may come forward that lies in an untouched file.
    """
    place = f"landing.{identifier(table.identifier)}"
    columns = {c.name for c in table.stored_columns if c.identifies} | set(table.key)
    selected = ", ".join(identifier(name) for name in sorted(columns)) or "1 as nothing"
    con.execute(
        f"create or replace temp table changed as select {selected} from {place} where {where}"
    )
    count = _count(con, "select count(*) from changed")
    if table.key and count:
        key = ", ".join(identifier(name) for name in table.key)
        con.execute(
            f"create or replace temp table changed as select {selected} from {place} "
            f"semi join changed using ({key})"
        )
    return count


def _name_touched(con: duckdb.DuckDBPyConnection, table: TableContract) -> None:
    for column in table.stored_columns:
        for kind in column.identifies:
            con.execute(
                "insert into control.touched "
                f"select distinct {literal(table.source)}, {literal(kind)}, "
                f"{column.identity_sql} as id from changed "
                "except select source, kind, id from control.touched"
            )


def _find_values(con: duckdb.DuckDBPyConnection, table: TableContract) -> None:
    """Note how each touched entity is written in a table: by that its rows are found at once."""
    for column in table.stored_columns:
        name = identifier(column.name)
        for kind in column.identifies:
            con.execute(
                "insert into control.touched_values "
                f"select {literal(table.source)}, {literal(table.name)}, "
                f"{literal(kind)}, cast({name} as varchar) "
                f"from (select distinct {name} from landing.{identifier(table.identifier)}) "
                f"where {column.identity_sql} in (select id from control.touched "
                f"where source = {literal(table.source)} "
                f"and kind = {literal(kind)})"
            )


def _count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0]) if row else 0
