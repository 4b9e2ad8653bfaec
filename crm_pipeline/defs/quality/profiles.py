"""What is remembered of each landed content, so that history is learned without reading it again.

``control.content_days``: rows by event day, of every content that counts or that the last
publication was made from. ``control.content_profiles``: the figures of one *unit*, the rows of one
content whose events lie in one month (of a table without event time, all its rows), column by
column. Contents never change, so each is read once; only the units that a check compares are kept.
Both are a function of what landed, whatever came first. No value leaves the rows: categories are
kept under a digest of their value, personal columns only by their share of nulls. Days are UTC
days: a shift that is always the same changes no comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.defs.quality.learned import LEVELS

UNIT_ROWS = 10_000
"""Of a larger unit every k-th line is read, the same in every run: the noise of 10,000 rows (half
a percentage point of a rate) is below what anybody would act on."""

CATEGORIES = 50
"""A column with more values than this in some unit is no category."""

_TABLES = """
create schema if not exists control;
create table if not exists control.content_days (
    source varchar not null, table_name varchar not null, digest varchar not null,
    contract_digest varchar not null, day date, row_count bigint not null);
create table if not exists control.content_profiles (
    source varchar not null, table_name varchar not null, digest varchar not null,
    contract_digest varchar not null, period date, column_name varchar not null,
    rows_read bigint not null, null_count bigint not null, distinct_count bigint,
    quantiles double[], categories map(varchar, bigint));
create table if not exists control.check_bounds (
    source varchar not null, table_name varchar not null, measure varchar not null,
    column_name varchar, observed double, lower double, upper double, history integer not null,
    needed integer not null, is_judged boolean not null, is_within boolean not null);
"""


@dataclass(frozen=True)
class Unit:
    """The rows of one content in one month of events.

    Attributes:
        digest: The content.
        period: First day of the month; ``None`` without event time.
        file_name: A name of the content.
        first_on: Its first event day, a few late rows (one in twenty) left aside.
        last_on: Its last event day, likewise.
        ends_on: The last event day of the whole content.
        rows: Its rows.
    """

    digest: str
    period: date | None
    file_name: str
    first_on: date | None
    last_on: date | None
    ends_on: date | None
    rows: int


@dataclass(frozen=True)
class ColumnProfile:
    """One column of one unit.

    Attributes:
        rows: Rows that were read.
        nulls: Of these, without a value.
        distinct: Distinct values; ``None`` where nobody may know.
        quantiles: At ``LEVELS``, of numeric columns.
        categories: Digest of a value -> rows, where there are few.
    """

    rows: int
    nulls: int
    distinct: int | None
    quantiles: tuple[float, ...] | None
    categories: Mapping[str, int] | None


def ensure_profiles(con: duckdb.DuckDBPyConnection) -> None:
    """Create the tables that are missing."""
    con.execute(_TABLES)


def is_numeric(column: ColumnContract) -> bool:
    """Whether quantiles of a column mean something: a quantity, not a number that names a thing."""
    return column.data_type.startswith(("decimal", "bigint", "integer", "double"))


def has_open_values(table: TableContract, column: ColumnContract) -> bool:
    """Whether more than the share of nulls may be learned of a column.

    Not of personal ones, of times (they go on), or of what names a row or another entity.
    """
    names = column.name in table.key or bool(column.identifies)
    return not (column.pii or column.is_temporal or names)


def update_days(
    con: duckdb.DuckDBPyConnection, table: TableContract, published: Iterable[str]
) -> None:
    """Count the new contents' rows by day; forget contents that nobody asks for any more.

    Args:
        con: The warehouse.
        table: The table.
        published: Digests of the contents that the last publication was made from.
    """
    key = [table.source, table.name]
    kept = ", ".join(literal(digest) for digest in sorted(published)) or "''"
    con.execute(
        "delete from control.content_days where source = ? and table_name = ? and "
        f"digest not in ({kept}) and (contract_digest <> ? or digest not in (select digest from "
        "control.current_contents where source = ? and table_name = ?))",
        [*key, table.digest, *key],
    )
    day = f"cast({identifier(table.event_time)} as date)" if table.event_time else "null"
    con.execute(
        f"""
        insert into control.content_days
        select ?, ?, _digest, ?, {day} as day, count(*)
        from landing.{identifier(table.identifier)}
        where _digest in (
            select digest from control.current_contents where source = ? and table_name = ?
            except
            select digest from control.content_days
            where source = ? and table_name = ? and contract_digest = ?)
        group by all
        """,
        [*key, table.digest, *key, *key, table.digest],
    )


def day_counts(con: duckdb.DuckDBPyConnection, table: TableContract) -> dict[date, int]:
    """Return event day -> rows, of all contents that count.

    Contents that end on the same day are one delivery, and their rows add up. A day that several
    deliveries hold (nightly exports of everything, late rows) counts as in the fullest of them.
    """
    rows = con.execute(
        """
        with held as (
            select digest, day, row_count, max(day) over (partition by digest) as ends_on
            from control.content_days
            semi join (select digest from control.current_contents
                       where source = ? and table_name = ?) using (digest)
            where source = ? and table_name = ? and contract_digest = ? and day is not null)
        select day, max(row_count) from (
            select day, ends_on, sum(row_count)::bigint as row_count from held group by all)
        group by day order by day
        """,
        [table.source, table.name, table.source, table.name, table.digest],
    ).fetchall()
    return dict(rows)


def units(con: duckdb.DuckDBPyConnection, table: TableContract) -> list[Unit]:
    """Return the units of all contents that count, oldest event first, then by file name."""
    rows = con.execute(
        """
        with held as (
            select digest, file_name, cast(date_trunc('month', day) as date) as period, day,
                row_count, max(day) over (partition by digest) as ends_on
            from control.content_days
            join (select digest, file_name from control.current_contents
                  where source = ? and table_name = ?) using (digest)
            where source = ? and table_name = ? and contract_digest = ?
                and (day is not null) = ?),
        summed as (
            select *, sum(row_count) over unit as all_rows,
                sum(row_count) over (unit order by day) as rows_until
            from held window unit as (partition by digest, period))
        select digest, period, file_name,
            min(day) filter (rows_until > 0.05 * all_rows), max(day)
                filter (rows_until - row_count < 0.95 * all_rows),
            ends_on, sum(row_count)::bigint
        from summed group by all order by period, ends_on, file_name
        """,
        [table.source, table.name, table.source, table.name, table.digest,
         table.event_time is not None],
    ).fetchall()  # fmt: skip
    return [Unit(*row) for row in rows]


def profile(
    con: duckdb.DuckDBPyConnection, table: TableContract, wanted: Sequence[Unit]
) -> dict[tuple[str, date | None], dict[str, ColumnProfile]]:
    """Return the profiles of ``wanted``, reading those that are not known; forget all others."""
    key = [table.source, table.name]
    known = {
        (digest, period)
        for digest, period in con.execute(
            "select distinct digest, period from control.content_profiles "
            "where source = ? and table_name = ? and contract_digest = ?",
            [*key, table.digest],
        ).fetchall()
    }
    asked = {(unit.digest, unit.period) for unit in wanted}
    con.execute("create or replace temp table asked (digest varchar, period date, step bigint)")
    if wanted:
        con.executemany(
            "insert into asked values (?, ?, ?)",
            [(u.digest, u.period, max(1, -(-u.rows // UNIT_ROWS))) for u in wanted],
        )
    con.execute(
        "delete from control.content_profiles as p where source = ? and table_name = ? and "
        "(contract_digest <> ? or not exists (select 1 from asked where asked.digest = p.digest "
        "and asked.period is not distinct from p.period))",
        [*key, table.digest],
    )
    if asked - known:
        con.execute(
            "delete from asked where exists (select 1 from control.content_profiles as p where "
            "p.source = ? and p.table_name = ? and p.digest = asked.digest "
            "and p.period is not distinct from asked.period)",
            key,
        )
        _read(con, table)
    return _stored(con, table)


def _read(con: duckdb.DuckDBPyConnection, table: TableContract) -> None:
    """Profile the units in the temporary table ``asked``: one pass, then one for the categories."""
    month = "null"
    if table.event_time:
        month = f"date_trunc('month', {identifier(table.event_time)})"
    columns = ", ".join(identifier(column.name) for column in table.stored_columns)
    con.execute(
        f"create or replace temp table sampled as select asked.digest, asked.period, {columns} "
        f"from landing.{identifier(table.identifier)} as rows join asked "
        f"on asked.digest = rows._digest and asked.period is not distinct from "
        f"cast({month} as date) where rows._line % asked.step = 0"
    )
    head = f"{literal(table.source)}, {literal(table.name)}, digest, {literal(table.digest)}"
    levels = ", ".join(str(level) for level in LEVELS)
    for column in table.stored_columns:
        name = identifier(column.name)
        distinct = quantiles = "null"
        if has_open_values(table, column):
            distinct = f"count(distinct {name})"
            if is_numeric(column):
                quantiles = f"quantile_cont(cast({name} as double), [{levels}])"
        con.execute(
            f"insert into control.content_profiles select {head}, period, {literal(column.name)}, "
            f"count(*), count(*) - count({name}), {distinct}, {quantiles}, null "
            "from sampled group by digest, period"
        )
        if not has_open_values(table, column):
            continue
        con.execute(
            f"""
            update control.content_profiles as p set categories = found.categories from (
                select digest, period, map_from_entries(list((category, n) order by category))
                    as categories
                from (select digest, period, left(md5(cast({name} as varchar)), 12) as category,
                          count(*) as n
                      from sampled where {name} is not null group by all)
                group by digest, period having count(*) <= {CATEGORIES}) as found
            where p.source = ? and p.table_name = ? and p.contract_digest = ?
                and p.column_name = ? and p.digest = found.digest
                and p.period is not distinct from found.period
            """,
            [table.source, table.name, table.digest, column.name],
        )
    con.execute("drop table sampled")


def _stored(
    con: duckdb.DuckDBPyConnection, table: TableContract
) -> dict[tuple[str, date | None], dict[str, ColumnProfile]]:
    found: dict[tuple[str, date | None], dict[str, ColumnProfile]] = {}
    rows = con.execute(
        "select digest, period, column_name, rows_read, null_count, distinct_count, quantiles, "
        "categories from control.content_profiles "
        "where source = ? and table_name = ? and contract_digest = ?",
        [table.source, table.name, table.digest],
    ).fetchall()
    for digest, period, column, count, nulls, distinct, quantiles, categories in rows:
        found.setdefault((digest, period), {})[column] = ColumnProfile(
            count, nulls, distinct, tuple(quantiles) if quantiles else None, categories
        )
    return found
