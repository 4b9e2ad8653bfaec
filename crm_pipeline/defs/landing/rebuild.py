"""Land a table's contents again because its contract changed, in one transaction.

The files come from the archive, else from the inbox where the very bytes still lie. If one cannot
be had, or does not fit the new contract, the table stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import ledger, schema_history
from crm_pipeline.defs.landing.archive import Archive
from crm_pipeline.defs.landing.content import NeedsSplittingError
from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.drift import RefusedFileError
from crm_pipeline.defs.landing.guard import Guard
from crm_pipeline.defs.landing.prepare import Prepared, must_split, prepare, split
from crm_pipeline.defs.landing.store import store_content, transaction
from crm_pipeline.defs.landing.stream import digest_of_bytes
from crm_pipeline.vault.private import places

Scratch = Callable[[], AbstractContextManager[Path]]


class _SplitContentError(Exception):
    """A content has to be cut into records; the transaction begins anew."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


def land_again(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    *,
    archive: Archive,
    inbox: Path,
    scratch: Scratch,
    clock: Callable[[], datetime],
    guard: Guard,
) -> None:
    """Rebuild the landing table for the contract as it is now.

    Raises:
        RefusedFileError: A file cannot be had or does not fit; nothing was changed.
    """
    paths = _paths_of_contents(con, table, archive, inbox)
    to_split: set[str] = set()
    while True:
        try:
            with transaction(con):
                _rebuild(con, table, paths, to_split, archive, scratch, clock, guard)
            return
        except _SplitContentError as fault:
            to_split.add(fault.digest)


def _paths_of_contents(
    con: duckdb.DuckDBPyConnection, table: TableContract, archive: Archive, inbox: Path
) -> dict[str, Path]:
    """Return where the bytes of each content that counts are, as they landed.

    An archive copy is used only if its digest is in the ledger: a machine that lost its power, or
    a disk that lost a block, must cost a delivery and not rows.
    """
    current = ledger.current_entries(con, table)
    landed: dict[str, set[str]] = {}
    for entry in ledger.entries(con, table):
        landed.setdefault(entry.digest, set()).add(entry.raw_digest)
    paths: dict[str, Path] = {}
    damaged: set[str] = set()
    for entry in current:
        if entry.digest in paths:
            continue
        archived = archive.find(table, entry.digest)
        if archived is not None and entry.digest not in damaged:
            if archive.is_intact(table, entry.digest, landed[entry.digest]):
                paths[entry.digest] = archived
                continue
            damaged.add(entry.digest)
        waiting = inbox / table.source / entry.file_name
        if waiting.is_file() and digest_of_bytes(waiting) == entry.raw_digest:
            paths[entry.digest] = waiting
    lost = sorted({entry.file_name for entry in current if entry.digest not in paths})
    if lost:
        why = "its archived copy is damaged" if damaged else "its archived copy is gone"
        raise RefusedFileError(
            f"{', '.join(lost)} is neither archived nor in inbox/{table.source}/ as it "
            f"landed ({why}): deliver it again, or undo the change"
        )
    return paths


def _rebuild(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    paths: Mapping[str, Path],
    to_split: Collection[str],
    archive: Archive,
    scratch: Scratch,
    clock: Callable[[], datetime],
    guard: Guard,
) -> None:
    held = ledger.current_entries(con, table)
    before = ledger.contents(con, table)
    ledger.forget_table(con, table)
    ledger.create_landing_table(con, table)
    schema_history.record_version(con, table, clock())
    done: set[str] = set()
    for old, path in paths.items():
        file_name = max(entry.file_name for entry in held if entry.digest == old)
        with scratch() as folder, archive.opened(table, path, folder) as (plain, erased):
            copy = places(folder, is_private=table.is_sealed)("archive")
            prepared = _prepared(table, plain, folder, copy, file_name, old in to_split, erased)
            if erased:
                # it stands for the whole content, with its lines where they were
                prepared = replace(prepared, digest=old)
            if prepared.digest not in done:
                try:
                    store_content(con, prepared, guard)
                except NeedsSplittingError as fault:
                    raise _SplitContentError(old) from fault
                except RefusedFileError as fault:
                    raise RefusedFileError(f"{file_name}: {fault}") from fault
                done.add(prepared.digest)
                schema_history.record_drift_again(
                    con, table, prepared.drift, digest=prepared.digest,
                    file_name=file_name,
                    before=before[old].contract_digest if old in before else None, now=clock(),
                )  # fmt: skip
            # Another encoding gives another text; and what came from the inbox is archived again.
            place = archive.path(table, prepared.digest, is_sealed=table.is_sealed or bool(erased))
            if path != place:
                archive.keep(table, prepared.digest, copy, erased)
        if prepared.digest == old:
            continue
        # The names that held the old text hold the new one now.
        for entry in held:
            if entry.digest == old:
                ledger.append(
                    con, table, file_name=entry.file_name, digest=prepared.digest,
                    raw_digest=entry.raw_digest, raw_size=entry.raw_size, landed_at=clock(),
                )  # fmt: skip


def _prepared(
    table: TableContract,
    path: Path,
    folder: Path,
    copy: Path,
    name: str,
    is_split: bool,
    erased: tuple[int, ...],
) -> Prepared:
    content = folder / "content"
    content.mkdir()
    try:
        prepared = replace(prepare(table, path, content, copy), erased_lines=erased)
        return split(prepared) if is_split or must_split(prepared) else prepared
    except RefusedFileError as fault:
        raise RefusedFileError(f"{name}: {fault}") from fault
