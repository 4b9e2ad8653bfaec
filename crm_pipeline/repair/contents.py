"""Does the warehouse hold what its ledger says, and the archive the contents it is named after?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import ledger
from crm_pipeline.defs.landing.archive import Archive
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.guard import guarding
from crm_pipeline.defs.landing.sqltext import identifier
from crm_pipeline.defs.landing.stream import (
    UnreadableFileError,
    copy_raw,
    digest_of_bytes,
    normalise,
)
from crm_pipeline.errors import UserError
from crm_pipeline.repair.findings import Finding
from crm_pipeline.repair.home import door
from crm_pipeline.resources.warehouse_version import VERSION, schema_version
from crm_pipeline.settings import Settings
from crm_pipeline.vault.private import places
from crm_pipeline.vault.sealed import SUFFIX

_REMEDY = (
    "`crm restore` a backup, or move warehouse.duckdb away, put the files back into the inbox and "
    "call `crm run`"
)


@dataclass(frozen=True)
class Archived:
    """One content that counts and whose bytes the archive should hold.

    Attributes:
        table: The table that it feeds.
        digest: Its identity.
        files: The names that point at it, each with the digest of its bytes.
    """

    table: TableContract
    digest: str
    files: tuple[tuple[str, str], ...]


def examine(settings: Settings, contracts: Mapping[str, SourceContract]) -> list[Finding]:
    """Return what is wrong with warehouse and archive; the warehouse is held only for the first.

    Raises:
        UserError: The warehouse cannot be had or opened.
    """
    if not settings.warehouse.is_file():
        return []
    try:
        with door(settings).reader() as db:
            found = _version(db, settings)
            found += [Finding(fault, _REMEDY) for fault in accounting_faults(db)]
            archived = _archived(db, contracts)
    except duckdb.Error as error:
        cause = str(error).splitlines()[0]
        return [Finding(f"the warehouse cannot be read ({cause})", _REMEDY)]
    return found + archive_faults(settings, archived)


def _version(db: duckdb.DuckDBPyConnection, settings: Settings) -> list[Finding]:
    found = schema_version(db)
    has_ledger = db.execute(
        "select count(*) from duckdb_tables() "
        "where schema_name = 'control' and table_name = 'files'"
    ).fetchone()
    if found == VERSION or has_ledger == (0,):
        return []

    def upgrade() -> None:
        with door(settings).writer() as writer:
            ledger.ensure_control(writer)

    what = f"the warehouse has schema version {found}, this code's is {VERSION}"
    return [Finding(what, "the next `crm run` upgrades it in place", upgrade)]


def accounting_faults(db: duckdb.DuckDBPyConnection) -> list[str]:
    """Return every identity between ledger, rows and quarantine that does not hold."""
    tables = {
        row[0]
        for row in db.execute(
            "select schema_name || '.' || table_name from duckdb_tables() "
            "where schema_name in ('control', 'landing')"
        ).fetchall()
    }
    if not {"control.files", "control.contents", "control.quarantine"} <= tables:
        return []
    wrong = [
        f"{source}.{table} holds nothing of {file}, which counts"
        for source, table, file in db.execute(
            "select source, table_name, file_name from control.current_files "
            "anti join control.contents using (source, table_name, digest) order by all"
        ).fetchall()
    ]
    wrong += [
        f"{source}.{table} read {read:,} rows of a file, but accepted {accepted:,} and set "
        f"{quarantined:,} aside"
        for source, table, read, accepted, quarantined in db.execute(
            "select source, table_name, rows_read, rows_accepted, rows_quarantined "
            "from control.contents where rows_read <> rows_accepted + rows_quarantined order by all"
        ).fetchall()
    ]
    wrong += [
        f"{source}.{table} set {counted:,} rows of a file aside, but the quarantine holds {held:,}"
        for source, table, counted, held in db.execute(
            "select source, table_name, rows_quarantined, coalesce(held, 0) from control.contents "
            "left join (select source, table_name, digest, count(distinct line_number) as held "
            "from control.quarantine group by all) using (source, table_name, digest) "
            "where rows_quarantined <> coalesce(held, 0) order by all"
        ).fetchall()
    ]
    for source, table in db.execute(
        "select distinct source, table_name from control.tables order by all"
    ).fetchall():
        if f"landing.{source}__{table}" not in tables:
            wrong.append(f"{source}.{table} has no landing table")
            continue
        wrong += [
            f"{source}.{table} stores {held:,} rows of a file of which {accepted:,} were accepted"
            for accepted, held in db.execute(
                "select coalesce(rows_accepted, 0), coalesce(held, 0) from "
                "(select digest, rows_accepted from control.contents "
                "where source = ? and table_name = ?) full join "
                "(select _digest as digest, count(*) as held "
                f"from landing.{identifier(f'{source}__{table}')} group by all) using (digest) "
                "where coalesce(rows_accepted, 0) <> coalesce(held, 0) order by all",
                [source, table],
            ).fetchall()
        ]
    return wrong


def _archived(
    db: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract]
) -> list[Archived]:
    """Return what the archive should hold of the tables that were built for their contract.

    Of the others the digest was made in another encoding; the next run lands them again.
    """
    found = []
    for source in contracts.values():
        for table in source.tables:
            if ledger.built_for(db, table) != table.digest:
                continue
            files: dict[str, list[tuple[str, str]]] = {}
            for entry in ledger.current_entries(db, table):
                files.setdefault(entry.digest, []).append((entry.file_name, entry.raw_digest))
            found += [Archived(table, digest, tuple(names)) for digest, names in files.items()]
    return found


def archive_faults(settings: Settings, archived: list[Archived]) -> list[Finding]:
    """Return the contents whose archive copy is gone or is not what its name says."""
    with guarding(settings.home, settings.master_key) as guard:
        if guard.has_vault:
            try:
                guard.vault  # noqa: B018
            except UserError:
                return []  # without the key nothing sealed can be judged: repair/vault.py says so
        return _archive_faults(settings, archived, Archive(settings.home / "archive", guard))


def _archive_faults(
    settings: Settings, archived: list[Archived], archive: Archive
) -> list[Finding]:
    found = []
    for content in archived:
        copy = archive.find(content.table, content.digest)
        if copy is not None and _is_whole(settings, archive, content, copy):
            continue
        name = content.files[0][0]
        fault = "is damaged" if copy else "is missing"
        waiting = _waiting(settings, content)
        remedy = "`crm restore` a backup; until then a changed contract cannot be applied to it"

        def mend(
            content: Archived = content, copy: Path | None = copy, waiting: Path | None = waiting
        ) -> None:
            assert waiting is not None
            _archive_again(settings, content, copy, waiting)

        found.append(
            Finding(
                f"the archive's copy of {content.table.source}/{name} {fault}",
                remedy,
                mend if waiting else None,
            )
        )
    return found


def _is_whole(settings: Settings, archive: Archive, content: Archived, copy: Path) -> bool:
    """Whether a copy is what its name says; what is sealed vouches for itself."""
    if copy.suffix == SUFFIX:
        return archive.is_intact(content.table, content.digest, ())
    return _digest(settings, content.table, copy) == content.digest


def _digest(
    settings: Settings, table: TableContract, copy: Path, keep: Path | None = None
) -> str | None:
    """Return a content's identity from its bytes; ``None`` where they cannot be read."""
    settings.scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=settings.scratch) as name:
        try:
            if table.format == "parquet":
                return copy_raw(copy, keep)[0] if keep else digest_of_bytes(copy)
            return normalise(
                copy,
                Path(name),
                encoding=table.encoding,
                fallback_encoding=table.fallback_encoding,
                archive=keep,
                place=places(Path(name), is_private=table.is_sealed),
            ).digest
        except (OSError, UnreadableFileError):
            return None


def _waiting(settings: Settings, content: Archived) -> Path | None:
    """Return a file of the inbox that has the very bytes that landed."""
    for name, raw_digest in content.files:
        file = settings.inbox / content.table.source / name
        if file.is_file() and digest_of_bytes(file) == raw_digest:
            return file
    return None


def _archive_again(settings: Settings, content: Archived, copy: Path | None, waiting: Path) -> None:
    """Put the inbox's file in the place of a damaged copy, which is kept under another name."""
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=settings.scratch) as name:
        fresh = places(Path(name), is_private=content.table.is_sealed)("archive")
        if _digest(settings, content.table, waiting, fresh) != content.digest:
            raise UserError(f"{waiting.name} has changed since; call `crm doctor` again.")
        if copy is not None:
            copy.rename(copy.with_name(copy.name + ".damaged"))
        with guarding(settings.home, settings.master_key) as guard:
            Archive(settings.home / "archive", guard).keep(content.table, content.digest, fresh)
