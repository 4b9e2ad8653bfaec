"""What the warehouse remembers of every publication: ``control.publications`` and its figures.

A publication becomes real when its link is moved (``swap.py``), and only a published file can say
so. So it carries its own record in ``meta``, and the warehouse learns from the file that readers
see: ``remember`` is called after the swap, and again before the next publication is made. A run
killed before the swap leaves nothing to learn, one killed after it is learned from the next time,
and a publication that the warehouse knows is never learned twice, whichever is current.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from crm_pipeline.defs.publication.writing import quoted, text
from crm_pipeline.settings import Settings

_TABLES = """
create schema if not exists control;
create table if not exists control.publications (
    publication integer primary key, run_id varchar not null, built_at timestamp not null,
    as_of date not null, landing_number bigint not null, settings varchar not null,
    champions varchar not null, model_statuses varchar not null, code_version varchar not null,
    digests varchar not null);
create table if not exists control.restatements (
    publication integer not null, restated_at timestamp not null, run_id varchar not null,
    metric varchar not null, month date not null, old_value double, new_value double,
    as_of_before date not null, as_of_after date not null, files varchar not null,
    reason varchar not null);
create table if not exists control.published_kpis (
    month date not null, metric varchar not null, value varchar);
"""
KPI = "marts.kpi_monthly"
_PERIOD = ("month", "is_complete")


@dataclass(frozen=True)
class Publication:
    """One publication and all that it was made from.

    Attributes:
        publication: Its number, that of its folder below ``published/.versions``.
        run_id: The Dagster run that made it.
        built_at: When it was written, naive UTC.
        as_of: Its last business day.
        landing_number: The last entry of the landing ledger that it knows.
        settings: The settings that decide a number, by name, as JSON.
        champions: Model -> version that scored, as JSON.
        model_statuses: Model -> status of its newest training, as JSON.
        code_version: Package version and digest of code and SQL.
        digests: Parquet file -> SHA-256, as JSON.
    """

    publication: int
    run_id: str
    built_at: datetime
    as_of: date
    landing_number: int
    settings: str
    champions: str
    model_statuses: str
    code_version: str
    digests: str


def deciding_settings(settings: Settings) -> str:
    """Return the settings that decide a published number, as JSON: name -> value."""
    return json.dumps(
        {
            "CRM_SOURCES": ",".join(settings.sources),
            "CRM_TIMEZONE": settings.time_zone,
            "CRM_CURRENCY": settings.currency or "",
            "CRM_HORIZON_DAYS": str(settings.horizon_days),
            "CRM_CLV_HORIZON_DAYS": str(settings.clv_horizon_days),
            "CRM_DISCOUNT_RATE": str(settings.discount_rate),
        }
    )


def ensure_records(con: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of this module that are missing."""
    con.execute(_TABLES)


def publications(con: duckdb.DuckDBPyConnection) -> list[Publication]:
    """Return every publication that was made, oldest first."""
    rows = con.execute("select * from control.publications order by publication").fetchall()
    return [Publication(*row) for row in rows]


def landing_reached(con: duckdb.DuckDBPyConnection) -> int:
    """Return the number of the ledger's last entry."""
    row = con.execute("select coalesce(max(landing_number), 0) from control.files").fetchone()
    return int(row[0]) if row else 0


def _has_table(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    row = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() "
        "and schema_name = 'control' and table_name = ?",
        [name],
    ).fetchone()
    return row is not None


def model_statuses(con: duckdb.DuckDBPyConnection) -> str:
    """Return model -> status of its newest training, as JSON."""
    if not _has_table(con, "model_candidates"):
        return "{}"
    rows = con.execute("select model, status from control.model_candidates").fetchall()
    return json.dumps(dict(sorted(rows)))


def kpi_values(metrics: Sequence[str], table: str) -> str:
    """Return a query for ``month, metric, value`` (exact text) of the complete months."""
    return " union all ".join(
        f"select month, {text(metric)} as metric, cast({quoted(metric)} as varchar) as value "
        f"from {table} where is_complete"
        for metric in metrics
    )


def kpi_metrics(con: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    """Return the figures of ``kpi_monthly`` in the attached ``database``, in column order."""
    schema, name = KPI.split(".")
    rows = con.execute(
        "select column_name from duckdb_columns() where database_name = ? and schema_name = ? "
        "and table_name = ? order by column_index",
        [database, schema, name],
    ).fetchall()
    return [column for (column,) in rows if column not in _PERIOD]


def remember(con: duckdb.DuckDBPyConnection, published_file: Path) -> None:
    """Learn from the published file what the warehouse does not know yet.

    Args:
        con: The warehouse, with the writer's slot held.
        published_file: ``published/crm.duckdb``; there may be none, or one of an older version
            of this package, which says nothing of itself.
    """
    ensure_records(con)
    if not published_file.is_file():
        return
    con.execute(f"attach {text(str(published_file))} as seen (read_only)")
    try:
        if _says_what_it_is(con):
            con.begin()
            try:
                _learn(con)
            except BaseException:
                con.rollback()
                raise
            con.commit()
    finally:
        con.execute("detach seen")


def _says_what_it_is(con: duckdb.DuckDBPyConnection) -> bool:
    row = con.execute(
        "select count(*) from duckdb_tables() where database_name = 'seen' "
        "and schema_name = 'meta' and table_name in ('publications', 'restatements')"
    ).fetchone()
    return row == (2,)


def _learn(con: duckdb.DuckDBPyConnection) -> None:
    unknown = (
        "(select publication from seen.meta.publications "
        "where publication not in (select publication from control.publications))"
    )
    found = con.execute(
        "select publication, as_of from seen.meta.publications where publication = "
        f"(select max(publication) from seen.meta.publications) and publication in {unknown}"
    ).fetchone()
    if found is None:
        return
    con.execute(
        "insert into control.restatements by name select * from seen.meta.restatements "
        f"where publication in {unknown}"
    )
    con.execute(
        "insert into control.publications by name select * from seen.meta.publications "
        f"where publication in {unknown}"
    )
    # a month that this publication closed is known as it says, also where it says nothing any more
    con.execute("delete from control.published_kpis where last_day(month) <= ?", [found[1]])
    con.execute(
        "insert into control.published_kpis " + kpi_values(kpi_metrics(con, "seen"), f"seen.{KPI}")
    )
