"""The state of one landing table after a run: do its rows add up, which drift stands."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from crm_pipeline.defs.landing import ledger
from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.report import FileOutcome, TableOutcome
from crm_pipeline.defs.landing.sqltext import identifier


def table_outcome(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    files: Sequence[FileOutcome],
    blocked: str | None,
    drift: tuple[str, ...],
) -> TableOutcome:
    """Return a table's account.

    Args:
        con: The warehouse.
        table: The table.
        files: What became of its files in this run.
        blocked: Why it could not be landed again for its changed contract, if so.
        drift: The differences of its files that stand, from ``schema_history.open_drift``.
    """
    contents = ledger.contents(con, table).values()
    current = {entry.digest for entry in ledger.current_entries(con, table)}
    read, accepted, quarantined = (
        sum(getattr(content, name) for content in contents if content.digest in current)
        for name in ("rows_read", "rows_accepted", "rows_quarantined")
    )
    stored = con.execute(f"select count(*) from landing.{identifier(table.identifier)}").fetchone()
    rows = int(stored[0]) if stored else 0
    # what no longer counts stays until a build has taken it out of the marts
    expected = sum(content.rows_accepted for content in contents)
    faults = [str(file) for file in files if file.outcome == "refused"]
    if blocked:
        faults.append(blocked)
    if rows != expected:
        faults.append(
            f"{table.label} stores {rows:,} rows where {expected:,} were accepted; restore a "
            "backup, or delete the warehouse and land the files again"
        )
    account = f"{read:,} rows read = {accepted:,} accepted + {quarantined:,} quarantined"
    return TableOutcome(
        source=table.source,
        table=table.name,
        is_ok=not faults,
        message="; ".join(faults) or account,
        rows_current=accepted,
        rows_read=read,
        rows_accepted=accepted,
        rows_quarantined=quarantined,
        files_landed=sum(file.outcome in ("landed", "copy") for file in files),
        files_refused=sum(file.outcome == "refused" for file in files),
        drift=drift,
    )
