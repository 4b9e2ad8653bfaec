"""What changed since the last complete build, and so what the next one has to rebuild.

A build replaces the orders, customers and products that changed rows name (``control.touched``),
and nothing else. Where it cannot be sure that this is enough, it rebuilds everything: after a build
that did not end, other code, settings or sources, or where a table changed that somebody reads
without saying which of its rows belong together. So nobody ever has to ask for a rebuild.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

import duckdb

from crm_pipeline.code_version import code_version
from crm_pipeline.defs.landing import erasure
from crm_pipeline.defs.landing.changed import changed_contents, changed_sql, went_sql
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.retention import move_superseded
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.defs.landing.views import (
    create_news_views,
    forget_kept_rows,
    keep_touched_rows,
)
from crm_pipeline.settings import Settings

MOST_OF_IT = 0.3
"""Replacing more than this share of the rows costs as much as making all of them anew."""


@dataclass
class Reading:
    """By whom a raw table is read.

    Attributes:
        rebuilt_by: What the staging models are rebuilt by, and how many by that; ``None``: whole.
        grown_by: What those models are rebuilt by that keep what they made of earlier rows, and
            the staging models that read them.
    """

    rebuilt_by: Counter[str | None] = field(default_factory=Counter)
    grown_by: set[str] = field(default_factory=set)


Readers = Mapping[tuple[str, str], Reading]
"""(source, table) -> by whom it is read."""


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
    found: dict[tuple[str, str], Reading] = {}

    def meta(unique_id: str) -> Mapping[str, Any]:
        return nodes[unique_id]["config"].get("meta") or {}

    def raw_tables(unique_id: str, grown_by: str | None) -> Iterator[tuple[str, str]]:
        """Those it reads, other than through a model that grows by the same."""
        for parent in manifest["parent_map"].get(unique_id, []):
            if parent.startswith("source."):
                source = manifest["sources"][parent]
                if source["schema"] == "raw":
                    yield source["source_name"], source["name"]
            elif parent in nodes and "staging" in nodes[parent]["fqn"]:
                grows = meta(parent).get("grows") and meta(parent).get("rebuilt_by") == grown_by
                if not (grows and grown_by):
                    yield from raw_tables(parent, grown_by)

    for unique_id, node in nodes.items():
        if node["resource_type"] != "model":
            continue
        kind, grows = meta(unique_id).get("rebuilt_by"), meta(unique_id).get("grows")
        is_base = "staging" in node["fqn"] and not node["name"].startswith("stg_")
        if is_base and not grows:
            continue
        # what is further down reads staging models, not their tables
        parents = raw_tables(unique_id, kind) if "staging" in node["fqn"] else (
            (manifest["sources"][parent]["source_name"], manifest["sources"][parent]["name"])
            for parent in manifest["parent_map"].get(unique_id, [])
            if parent.startswith("source.") and manifest["sources"][parent]["schema"] == "raw"
        )  # fmt: skip
        for source, name in set(parents):
            table = next(t for t in contracts[source].tables if t.name == name)
            reading = found.setdefault((source, name), Reading())
            if kind is None or table.identity_of(kind) is None:
                reading.rebuilt_by[None] += 1
            elif grows:
                reading.grown_by.add(kind)
            else:
                reading.rebuilt_by[kind] += 1
    return found


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
    con.execute("delete from control.shrunk")
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
    erasure.reached(con, "built")
    tables = [table for source in contracts.values() for table in source.tables]
    move_superseded(con, tables, keep_days=keep_days, now=now)
    forget_kept_rows(con, tables)
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
    if erasure.is_pending(con, "built"):
        return "somebody was erased"
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
    changes = changed_contents(con, last.landing_number)
    changed_rows = all_rows = 0
    for name in settings.sources:
        for table in contracts[name].tables:
            reading = reads.get((table.source, table.name))
            contents = changes.get((table.source, table.name), [])
            where = changed_sql(
                table, [c.digest for c in contents], last.as_of, state.as_of, settings.time_zone
            )
            if not where or reading is None:
                continue
            went = went_sql(table, contents, is_back=state.as_of < last.as_of)
            changed = _changed_rows(con, table, where, went)
            if changed and None in reading.rebuilt_by:
                return f"{table.label} changed, and a model reads it whole"
            changed_rows += changed
            all_rows += _count(con, f"select count(*) from landing.{identifier(table.identifier)}")
            if changed:
                _name_touched(con, table)
    if changed_rows > MOST_OF_IT * all_rows:
        return f"{changed_rows:,} of {all_rows:,} rows changed"
    for name in settings.sources:
        for table in contracts[name].tables:
            reading = reads.get((table.source, table.name), Reading())
            _find_values(con, table, reading.grown_by - set(reading.rebuilt_by))
    for (source, name), reading in reads.items():
        table = next(table for table in contracts[source].tables if table.name == name)
        # of a source that is not enabled nothing changed, but its models are made
        is_enabled = source in settings.sources
        for kind, count in reading.rebuilt_by.items():
            if kind is not None and count > 1 and is_enabled:
                keep_touched_rows(con, table, kind)
        if reading.grown_by:
            contents = changes.get((source, name), []) if is_enabled else []
            came = [content.digest for content in contents if content.came]
            where = changed_sql(table, came, last.as_of, state.as_of, settings.time_zone)
            create_news_views(con, table, sorted(reading.grown_by), where or ["false"])
    return None


def _changed_rows(
    con: duckdb.DuckDBPyConnection, table: TableContract, where: list[str], went: str
) -> int:
    """Keep the changed rows as ``changed``; of a table with a key, all rows of the changed keys.

    Where one row of a key goes, another may come forward that lies in an untouched file.
    """
    place = f"landing.{identifier(table.identifier)}"
    columns = {c.name for c in table.stored_columns if c.identifies} | set(table.key)
    selected = ", ".join([*(identifier(name) for name in sorted(columns)), f"{went} as _went"])
    rows = " union all ".join(f"select {selected} from {place} where {one}" for one in where)
    con.execute(f"create or replace temp table changed as {rows}")
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
            for place, which in (("touched", "true"), ("shrunk", "_went")):
                con.execute(
                    f"insert into control.{place} "
                    f"select distinct {literal(table.source)}, {literal(kind)}, "
                    f"{column.identity_sql} as id from changed where {which} "
                    f"except select source, kind, id from control.{place}"
                )


def _find_values(con: duckdb.DuckDBPyConnection, table: TableContract, growing: set[str]) -> None:
    """Note how each touched entity is written in a table: by that its rows are found at once.

    Of a kind whose models all grow, the rows of those that lost one are read, and no others.
    """
    for column in table.stored_columns:
        name = identifier(column.name)
        for kind in column.identifies:
            place = "shrunk" if kind in growing else "touched"
            ids = (
                f"from control.{place} where source = {literal(table.source)} "
                f"and kind = {literal(kind)}"
            )
            # else the values of all rows would be looked through for none
            if _count(con, f"select count(*) {ids}"):
                con.execute(
                    "insert into control.touched_values "
                    f"select {literal(table.source)}, {literal(table.name)}, "
                    f"{literal(kind)}, cast({name} as varchar) "
                    f"from (select distinct {name} from landing.{identifier(table.identifier)}) "
                    f"where {column.identity_sql} in (select id {ids})"
                )


def _count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0]) if row else 0
