"""When a fact happened and when it became known: ``control.documents``, ``meta.fact_knowledge``.

A fact is a document: an order with all its lines, where a raw table names the order that its rows
belong to; else a file. Landing times must not enter the marts, which are the same whatever the
order of landing; so they are kept here, beside them. Only documents that changed contents name are
looked at again, once a publication.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from crm_pipeline.defs.landing.contracts import DOCUMENT, SourceContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal, literals
from crm_pipeline.defs.publication.meta_tables import META_TABLES
from crm_pipeline.defs.publication.writing import text

_TABLES = """
create table if not exists control.documents (
    source varchar not null, table_name varchar not null, document varchar not null,
    -- of all that counts of it; null once nothing does
    digest hugeint, happened_at timestamp, known_at timestamp not null,
    changed_at timestamp not null);
create table if not exists control.documents_known (
    source varchar not null, table_name varchar not null, landing_number bigint not null);
"""


def learn_documents(
    con: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract]
) -> None:
    """Bring ``control.documents`` up to the ledger's last entry.

    Args:
        con: The warehouse, with the writer's slot held.
        contracts: All sources, by name.
    """
    con.execute(_TABLES)
    con.begin()
    try:
        for source in contracts.values():
            for table in source.tables:
                if table.identity_of(DOCUMENT) is not None:
                    _learn(con, table)
    except BaseException:
        con.rollback()
        raise
    con.commit()


def _learn(con: duckdb.DuckDBPyConnection, table: TableContract) -> None:
    key = {"source": table.source, "name": table.name}
    row = con.execute(
        "select coalesce(max(landing_number), 0) from control.documents_known "
        "where source = $source and table_name = $name",
        key,
    ).fetchone()
    since = int(row[0]) if row else 0
    news = con.execute(
        """
        with entries as (
            select * from control.files where source = $source and table_name = $name),
        news as (
            select landing_number, landed_at, digest,
                (select arg_max(earlier.digest, earlier.landing_number) from entries as earlier
                 where earlier.file_name = news.file_name
                 and earlier.landing_number < news.landing_number) as before
            from entries as news where landing_number > $since),
        named as (
            select digest, landed_at from news
            union all select before, landed_at from news where before is not null)
        select digest, max(named.landed_at), min(entries.landed_at)
        from named join entries using (digest) where entries.action = 'landed'
        group by digest order by digest
        """,
        {**key, "since": since},
    ).fetchall()
    if not news:
        return
    _look_again(con, table, news)
    con.execute(
        "delete from control.documents_known where source = $source and table_name = $name", key
    )
    con.execute(
        "insert into control.documents_known select $source, $name, max(landing_number) "
        "from control.files where source = $source and table_name = $name",
        key,
    )


def _look_again(con: duckdb.DuckDBPyConnection, table: TableContract, news: list[tuple]) -> None:
    column = table.identity_of(DOCUMENT)
    assert column is not None
    number = column.identity_sql
    name = identifier(table.identifier)
    con.execute(
        "create or replace temp table news "
        "(digest varchar, changed_at timestamp, known_at timestamp)"
    )
    con.executemany("insert into news values (?, ?, ?)", news)
    places = [f"select {number} as document, _digest from landing.{name}"]
    kept = _has_history(con, table)
    if kept:
        places.append(f"select {number} as document, _digest from history.{name}")
    con.execute(
        "create or replace temp table named as "
        "select document, max(news.changed_at) as changed_at, min(news.known_at) as known_at "
        f"from ({' union all '.join(places)}) join news on digest = _digest "
        "where document <> '' group by document"
    )
    forgotten = con.execute(
        "select max(changed_at) from news where digest not in (select digest from control.contents)"
        + (" and digest not in (select digest from control.contents_history)" if kept else "")
    ).fetchone()
    if forgotten and forgotten[0]:
        # which documents a forgotten content named nobody knows: all are looked at
        con.execute(
            "insert into named select document, ?, known_at from control.documents "
            "where source = ? and table_name = ? "
            "and document not in (select document from named)",
            [forgotten[0], table.source, table.name],
        )
    columns = ", ".join(identifier(one.name) for one in table.stored_columns)
    event = identifier(table.event_time) if table.event_time else "null"
    key = f"source = {literal(table.source)} and table_name = {literal(table.name)}"
    con.execute(
        # identical rows of a document, delivered again in another file, change nothing
        "create or replace temp table now as "
        "select document, sum(row_digest::hugeint) as digest, "
        "min(happened_at)::timestamp as happened_at from ("
        f"select distinct {number} as document, hash({columns}) as row_digest, "
        f"{event} as happened_at from landing.{name} "
        f"where _digest in (select digest from control.current_contents where {key}) "
        f"and {number} in (select document from named)) group by document"
    )
    con.execute(
        "create or replace temp table known as "
        f"select document, digest, known_at, changed_at from control.documents where {key} "
        "and document in (select document from named)"
    )
    con.execute(
        f"delete from control.documents where {key} and document in (select document from named)"
    )
    con.execute(
        f"insert into control.documents select {literal(table.source)}, {literal(table.name)}, "
        "named.document, now.digest, now.happened_at, coalesce(known.known_at, named.known_at), "
        "case when known.document is null then named.known_at "
        "when known.digest is distinct from now.digest then named.changed_at "
        "else known.changed_at end "
        "from named left join now using (document) left join known using (document)"
    )
    for temporary in ("news", "named", "now", "known"):
        con.execute(f"drop table temp.{temporary}")


def _has_history(con: duckdb.DuckDBPyConnection, table: TableContract) -> bool:
    row = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() "
        "and schema_name = 'history' and table_name = ?",
        [table.identifier],
    ).fetchone()
    return row is not None


def write_fact_knowledge(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    time_zone: str,
    *,
    warehouse: str = "w",
) -> None:
    """Write ``meta.fact_knowledge`` of the new file, in use, from the attached ``warehouse``."""
    control = f"{identifier(warehouse)}.control"
    by_order = [
        f"{table.source}.{table.name}"
        for source in contracts.values()
        for table in source.tables
        if table.identity_of(DOCUMENT) is not None
    ]
    day = f"cast(timezone({text(time_zone)}, timezone('UTC', happened_at)) as date)"
    con.execute(
        f"""
        create table meta.fact_knowledge as
        select source, table_name, 'order' as document_kind, document, happened_at, known_at,
            changed_at as last_changed_at, changed_at > known_at as is_restated
        from {control}.documents
        where digest is not null and (happened_at is null
            or happened_at < (select as_of from {control}.run_settings)
            or {day} <= (select as_of from {control}.run_settings))
        union all
        select source, table_name, 'file', file_name, null, min(landed_at),
            max(landed_at) filter (where is_change), count(*) filter (where is_change) > 1
        from (
            select *, digest is distinct from lag(digest) over (
                partition by source, table_name, file_name order by landing_number) as is_change
            from {control}.files)
        where concat(source, '.', table_name) not in (select unnest({literals(by_order)}))
        and (source, table_name, file_name) in (
            select (source, table_name, file_name) from {control}.files group by all
            having arg_max(action, landing_number) = 'landed')
        group by source, table_name, file_name
        order by all
        """
    )
    table = META_TABLES["fact_knowledge"]
    con.execute(f"comment on table meta.fact_knowledge is {text(table.description)}")
    for name, meaning in table.meanings.items():
        con.execute(f"comment on column meta.fact_knowledge.{name} is {text(meaning)}")
