"""Store one prepared content inside a transaction, and refuse one of which too little is good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from crm_pipeline.defs.landing import ledger
from crm_pipeline.defs.landing.content import Counts, insert_content
from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.drift import RefusedFileError
from crm_pipeline.defs.landing.guard import Guard
from crm_pipeline.defs.landing.prepare import Prepared


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block does, or undo it if it raises."""
    con.begin()
    try:
        yield
    except BaseException:
        con.rollback()
        raise
    con.commit()


def store_content(con: duckdb.DuckDBPyConnection, prepared: Prepared, guard: Guard) -> Counts:
    """Write a content's rows, its quarantine and its account; the caller holds a transaction.

    What is personal of it is in the vault, for good, before this returns: a row in the warehouse
    without its values would be a loss, values without a row are swept.

    Raises:
        NeedsSplittingError: The file has to be cut into records first; roll back.
        RefusedFileError: Too few of its rows fit; roll back.
    """
    con.execute(f"set TimeZone = '{prepared.contract.time_zone}'")
    with guard.content():
        return _store(con, prepared, guard)


def _store(con: duckdb.DuckDBPyConnection, prepared: Prepared, guard: Guard) -> Counts:
    table = prepared.contract
    counts = insert_content(con, prepared, guard)
    content = ledger.Content(
        source=table.source,
        table_name=table.name,
        digest=prepared.digest,
        contract_digest=table.digest,
        encoding=prepared.text.encoding if prepared.text else None,
        rows_read=counts.read,
        rows_accepted=counts.accepted,
        rows_quarantined=counts.quarantined,
        blank_lines=counts.blank_lines,
        notes="; ".join(prepared.notes),
    )
    ledger.add_content(con, content)
    _check_rate(con, table, counts, prepared.digest)
    return counts


def is_too_bad(table: TableContract, counts: Counts) -> bool:
    """Whether so little of a content is good that it must not replace what was good."""
    read, quarantined = counts.read - counts.erased, counts.quarantined - counts.erased
    if read > 0 and counts.accepted == 0:
        return True
    limit = table.max_quarantine_rate
    return limit is not None and quarantined > limit * read


def _check_rate(
    con: duckdb.DuckDBPyConnection, table: TableContract, counts: Counts, digest: str
) -> None:
    if not is_too_bad(table, counts):
        return
    limit = table.max_quarantine_rate
    faults = con.execute(
        "select reason, column_name, count(*), min(line_number) from control.quarantine "
        "where source = ? and table_name = ? and digest = ? "
        "group by all order by 3 desc, 4 limit 3",
        [table.source, table.name, digest],
    ).fetchall()
    reasons = "; ".join(
        f"{reason}{f' in {column}' if column else ''}: {count:,}, first in line {line}"
        for reason, column, count, line in faults
    )
    allowed = "at least one good row" if limit is None else f"at most {limit:.1%}"
    raise RefusedFileError(
        f"{counts.quarantined:,} of {counts.read:,} rows do not fit ({reasons}); allowed is "
        f"{allowed}. Mend the file, or {table.declared_in}; `crm source check` lists the lines"
    )
