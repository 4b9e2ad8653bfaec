"""Does the vault hold what the warehouse says, and is its key its owner's alone?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import erasure
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier
from crm_pipeline.repair.findings import Finding
from crm_pipeline.repair.home import door
from crm_pipeline.settings import Settings
from crm_pipeline.vault.keys import KEY_FILE, key_file_fault
from crm_pipeline.vault.store import FILE, open_vault

_LOST = "`crm restore` a backup, or retract the files and deliver them again"


def examine(settings: Settings, contracts: Mapping[str, SourceContract]) -> list[Finding]:
    """Return what is wrong with the vault, its key, and erasures that are not complete.

    Raises:
        UserError: The warehouse cannot be had, or the vault not be opened.
    """
    file = settings.home / KEY_FILE
    if file.is_file() and (fault := key_file_fault(file)):

        def close() -> None:
            file.chmod(0o600)

        return [Finding(fault, f"`chmod 600 {file}`, and think about who may have read it", close)]
    if not settings.warehouse.is_file():
        return []
    with door(settings).reader() as db:
        sealed = [
            table
            for source in contracts.values()
            for table in source.tables
            if table.is_sealed and _rows(db, table)
        ]
        if not sealed and not (settings.home / FILE).is_file():
            return []
        if not (settings.home / FILE).is_file():
            return [Finding("vault.duckdb is gone", _LOST)]
        with open_vault(settings.home, settings.master_key) as vault:
            buried = len(vault.tombstones())
            if erasure.is_pending(db, "gone") or buried > erasure.applied(db):
                # the values are gone already, the rows are not yet
                return [Finding("an erasure is not complete", "call `crm run`")]
            found = []
            for table in sealed:
                found += _compare(db, vault.con, table)
            found += _clear_text(settings.home, contracts)
    return found


def _rows(db: duckdb.DuckDBPyConnection, table: TableContract) -> int:
    columns = db.execute(
        "select count(*) from duckdb_columns() where schema_name = 'landing' and table_name = ? "
        "and column_name in (select unnest(?::varchar[]))",
        [table.identifier, [column.name for column in table.stored_columns]],
    ).fetchone()
    if columns != (len(table.stored_columns),):
        return 0  # of an older contract: the next run lands it again
    row = db.execute(f"select count(*) from landing.{identifier(table.identifier)}").fetchone()
    return int(row[0]) if row else 0


def _compare(
    db: duckdb.DuckDBPyConnection, vault: duckdb.DuckDBPyConnection, table: TableContract
) -> list[Finding]:
    """Hold the rows that have a token or a text's scores against the vault's values."""
    held = vault.execute(
        "select distinct digest, line, column_name from sealed join contents using (content) "
        "where source = ? and table_name = ?",
        [table.source, table.name],
    ).to_arrow_table()
    db.register("held_values", held)
    lost = 0
    for column in table.direct_columns:
        if column.stored:
            row = db.execute(
                f"select count(*) from landing.{identifier(table.identifier)} "
                "anti join (select * from held_values where column_name = ?) as held "
                "on held.digest = _digest and held.line = _line "
                f"where {identifier(column.stored[0].name)} is not null",
                [column.name],
            ).fetchone()
            lost += row[0] if row else 0
    lines = " union all ".join(erasure.landed_lines(db, table))
    row = db.execute(
        f"select count(*) from (select digest, line from held_values anti join ({lines}) "
        "using (digest, line))"
    ).fetchone()
    db.unregister("held_values")
    found = []
    if lost:
        what = f"{lost:,} personal values of {table.label} are not in the vault"
        found.append(Finding(what, _LOST))
    if row and row[0]:
        what = f"the vault holds {row[0]:,} values of {table.label} that no row stands behind"
        found.append(Finding(what, "the next `crm run` deletes them"))
    return found


def _clear_text(home: Path, contracts: Mapping[str, SourceContract]) -> list[Finding]:
    """Return the archive's copies in clear of tables with direct identifiers."""
    found = []
    for source in contracts.values():
        for table in source.tables:
            folder = home / "archive" / table.source / table.name
            clear = [p for p in folder.glob("[!.]*") if p.suffix != ".sealed"]
            if table.is_sealed and clear:
                what = f"{len(clear)} archived files of {table.label} are not encrypted"
                found.append(Finding(what, "the next `crm run` encrypts them"))
    return found
