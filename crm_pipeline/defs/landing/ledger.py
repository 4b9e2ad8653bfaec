"""The ledger: which files landed, which of them count, and the views over what counts.

Tables (schema ``control``): ``files`` is append-only, one row for each landing or retraction of a
file name; ``contents`` has one row for each distinct content that counts; ``quarantine`` the
faults of those contents; ``tables`` the contract that each landing table was built for. Belongs
here: their SQL. Reading files belongs elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from crm_pipeline.defs.landing import schema_history
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.errors import UserError
from crm_pipeline.resources.warehouse_version import upgrade

_CONTROL = """
create schema if not exists landing;
create schema if not exists raw;
create schema if not exists control;
create schema if not exists touched;
create table if not exists control.files (
    landing_number bigint not null, source varchar not null, table_name varchar not null,
    file_name varchar not null, digest varchar not null, raw_digest varchar not null,
    raw_size bigint not null, landed_at timestamp not null,
    action varchar not null check (action in ('landed', 'retracted')));
create table if not exists control.contents (
    source varchar not null, table_name varchar not null, digest varchar not null,
    contract_digest varchar not null, encoding varchar, rows_read bigint not null,
    rows_accepted bigint not null, rows_quarantined bigint not null, blank_lines bigint not null,
    notes varchar not null,
    check (rows_read = rows_accepted + rows_quarantined));
create table if not exists control.quarantine (
    source varchar not null, table_name varchar not null, digest varchar not null,
    line_number bigint not null, column_position integer not null, column_name varchar,
    reason varchar not null, raw_value varchar);
create table if not exists control.tables (
    source varchar not null, table_name varchar not null, contract_digest varchar not null);
create table if not exists control.touched (
    source varchar not null, kind varchar not null, id varchar not null);
create table if not exists control.shrunk (
    source varchar not null, kind varchar not null, id varchar not null);
create table if not exists control.touched_values (
    source varchar not null, table_name varchar not null, kind varchar not null, value varchar);
create table if not exists control.builds (
    landing_number bigint not null, as_of date not null, fingerprint varchar not null,
    is_complete boolean not null);
create table if not exists control.run_settings (
    as_of date not null, horizon_days integer not null, clv_horizon_days integer not null,
    clv_holdout_days integer not null, discount_rate double not null, currency varchar not null,
    time_zone varchar not null);
create or replace view control.current_files as
    select * from control.files
    where landing_number in (
        select max(landing_number) from control.files group by source, table_name, file_name)
    and action = 'landed';
create or replace view control.current_contents as
    select source, table_name, digest, max(file_name) as file_name,
        arg_max(landed_at, file_name) as landed_at
    from control.current_files group by all;
"""

_ERASURES = """
create table if not exists control.erasures (
    erased_at timestamp not null, tombstones bigint not null, rows_erased bigint not null,
    is_built boolean not null, is_gone boolean not null);
"""


@dataclass(frozen=True)
class Entry:
    """One row of ``control.files``."""

    landing_number: int
    source: str
    table_name: str
    file_name: str
    digest: str
    raw_digest: str
    raw_size: int
    landed_at: datetime
    action: str


@dataclass(frozen=True)
class Content:
    """One row of ``control.contents``."""

    source: str
    table_name: str
    digest: str
    contract_digest: str
    encoding: str | None
    rows_read: int
    rows_accepted: int
    rows_quarantined: int
    blank_lines: int
    notes: str


def ensure_control(con: duckdb.DuckDBPyConnection) -> None:
    """Create the schemas and control tables that are missing, and upgrade an older file."""
    con.execute(_CONTROL)
    con.execute(schema_history.TABLES)
    con.execute(_ERASURES)
    upgrade(con)


def create_landing_table(con: duckdb.DuckDBPyConnection, contract: TableContract) -> None:
    """Create an empty landing table for ``contract``, in place of any older one."""
    columns = [f"{identifier(c.name)} {c.data_type}" for c in contract.stored_columns]
    con.execute(
        f"create or replace table landing.{identifier(contract.identifier)} "
        f"({', '.join(columns)}, _digest varchar not null, _line bigint not null)"
    )
    key = [contract.source, contract.name]
    con.execute("delete from control.tables where source = ? and table_name = ?", key)
    con.execute("insert into control.tables values (?, ?, ?)", [*key, contract.digest])


def built_for(con: duckdb.DuckDBPyConnection, contract: TableContract) -> str | None:
    """Return the digest of the contract that the landing table was built for."""
    row = con.execute(
        "select contract_digest from control.tables where source = ? and table_name = ?",
        [contract.source, contract.name],
    ).fetchone()
    return row[0] if row else None


def entries(con: duckdb.DuckDBPyConnection, contract: TableContract) -> list[Entry]:
    """Return the ledger of one table, oldest first."""
    rows = con.execute(
        "select * from control.files where source = ? and table_name = ? order by landing_number",
        [contract.source, contract.name],
    ).fetchall()
    return [Entry(*row) for row in rows]


def current_entries(con: duckdb.DuckDBPyConnection, contract: TableContract) -> list[Entry]:
    """Return the newest entry of each file name of one table that still counts."""
    rows = con.execute(
        "select * from control.current_files where source = ? and table_name = ? "
        "order by file_name",
        [contract.source, contract.name],
    ).fetchall()
    return [Entry(*row) for row in rows]


def contents(con: duckdb.DuckDBPyConnection, contract: TableContract) -> dict[str, Content]:
    """Return the stored contents of one table, by digest."""
    rows = con.execute(
        "select * from control.contents where source = ? and table_name = ? order by digest",
        [contract.source, contract.name],
    ).fetchall()
    return {row[2]: Content(*row) for row in rows}


def accounts(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the tables that account for stored contents, those kept aside included."""
    rows = con.execute(
        "select 'control.' || table_name from duckdb_tables() where database_name = "
        "current_database() and schema_name = 'control' "
        "and table_name in ('contents', 'contents_history') order by all"
    ).fetchall()
    return [name for (name,) in rows]


def append(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    *,
    file_name: str,
    digest: str,
    raw_digest: str,
    raw_size: int,
    landed_at: datetime,
    action: str = "landed",
) -> int:
    """Append an entry; return its landing number."""
    row = con.execute(
        "insert into control.files "
        "select coalesce(max(landing_number), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ? "
        "from control.files returning landing_number",
        [contract.source, contract.name, file_name, digest, raw_digest, raw_size, landed_at,
         action],
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0])


def add_content(con: duckdb.DuckDBPyConnection, content: Content) -> None:
    """Record a content whose rows were written."""
    values = list(vars(content).values())
    con.execute(f"insert into control.contents values ({', '.join('?' * len(values))})", values)


def forget_table(con: duckdb.DuckDBPyConnection, contract: TableContract) -> None:
    """Delete what is known of a table's contents, before they are landed again."""
    for name in ("quarantine", "contents"):
        con.execute(
            f"delete from control.{name} where source = ? and table_name = ?",
            [contract.source, contract.name],
        )


def event_span(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    enabled: Sequence[str],
    time_zone: str,
) -> tuple[date | None, date | None]:
    """Return the business days of the first and the latest event among the enabled sources.

    Of all rows that count, whatever the as-of day. A source without a dated row gives its fixed
    ``as_of`` for the latest.
    """
    first: list[date] = []
    latest: list[date] = []
    for name in enabled:
        source = contracts[name]
        spans = [table_span(con, table, time_zone) for table in source.tables]
        days = [span for span in spans if span is not None]
        first += [span[0] for span in days]
        latest += [span[1] for span in days]
        if not days and source.as_of is not None:
            latest.append(source.as_of)
    return min(first, default=None), max(latest, default=None)


def latest_event_on(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    enabled: Sequence[str],
    time_zone: str,
) -> date | None:
    """Return the latest event's business day, or the sources' fixed as-of date; see above."""
    return event_span(con, contracts, enabled, time_zone)[1]


def table_span(
    con: duckdb.DuckDBPyConnection,
    contract: TableContract,
    time_zone: str,
    digest: str | None = None,
) -> tuple[date, date] | None:
    """Return the first and the last business day with an event, of a table or one content."""
    if contract.event_time is None:
        return None
    event = identifier(contract.event_time)
    latest = event
    if contract.later_times:
        latest = f"greatest({', '.join([event, *map(identifier, contract.later_times)])})"
    ends = [f"min({event})", f"max({latest})"]
    if contract.column(contract.event_time).data_type == "timestamp":
        zone = literal(time_zone)
        ends = [f"cast(timezone({zone}, timezone('UTC', {end})) as date)" for end in ends]
    rows = f"select {', '.join(ends)} from landing.{identifier(contract.identifier)}"
    if digest:
        row = con.execute(f"{rows} where _digest = ?", [digest]).fetchone()
    else:
        which = [contract.source, contract.name]
        current = (
            "(select digest from control.current_contents where source = ? and table_name = ?)"
        )
        superseded = con.execute(
            "select count(*) from control.contents "
            f"where source = ? and table_name = ? and digest not in {current}",
            which * 2,
        ).fetchone()
        # mostly all that is stored counts, and no row has to be asked which content it is of
        if superseded == (0,):
            row = con.execute(rows).fetchone()
        else:
            row = con.execute(f"{rows} where _digest in {current}", which).fetchone()
    return (row[0], row[1]) if row and row[0] is not None else None


def landed_files(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return ``meta.landed_files``: each content that counts, once, under its greatest name."""
    return con.sql(
        "select source, table_name, file_name, digest, rows_read, rows_accepted, "
        "rows_quarantined, landed_at, version as contract_version from control.current_contents "
        "join control.contents using (source, table_name, digest) "
        "left join control.contract_versions using (source, table_name, contract_digest) "
        "order by source, table_name, file_name"
    )


def quarantine_summary(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return bad rows by file and reason (``meta.quarantine``).

    A row with several faults counts once, under the fault of its first column: the counts of a
    file add up to its ``rows_quarantined``.
    """
    return con.sql(
        "select source, table_name, file_name, reason, count(*) as row_count from ("
        "select source, table_name, digest, line_number, "
        "arg_min(reason, column_position) as reason "
        "from control.quarantine group by all) "
        "join control.current_contents using (source, table_name, digest) "
        "group by all order by source, table_name, file_name, reason"
    )


def quarantine_lines(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return every fault by file, line, column; no values (``meta.quarantine_lines``)."""
    return con.sql(
        "select source, table_name, file_name, line_number, column_name, reason "
        "from control.quarantine "
        "join control.current_contents using (source, table_name, digest) "
        "order by source, table_name, file_name, line_number, column_position"
    )


def retract(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    source: str,
    file_name: str,
    *,
    now: datetime,
) -> list[str]:
    """Take a file's rows out of every table it feeds; return the tables' names.

    A file that lies in the inbox with the same content stays retracted unless its time is later
    than the retraction's: delivered again, it lands again. Another content that waits there under
    this name lands as ever. ``now`` is naive UTC.

    Raises:
        UserError: No such file counts.
    """
    if source not in contracts:
        raise UserError(f"no source {source}; known are {', '.join(sorted(contracts))}.")
    retracted = []
    ensure_control(con)
    con.begin()
    try:
        for table in contracts[source].tables:
            for entry in current_entries(con, table):
                if entry.file_name == file_name:
                    append(
                        con, table, file_name=file_name, digest=entry.digest,
                        raw_digest=entry.raw_digest, raw_size=entry.raw_size,
                        landed_at=now, action="retracted",
                    )  # fmt: skip
                    retracted.append(table.name)
        con.commit()
    except duckdb.Error:
        con.rollback()
        raise
    if not retracted:
        names = con.execute(
            "select distinct file_name from control.current_files where source = ? order by all",
            [source],
        ).fetchall()
        raise UserError(
            f"{file_name} of source {source} has not landed; "
            f"landed are {', '.join(name for (name,) in names) or 'none'}."
        )
    return retracted
