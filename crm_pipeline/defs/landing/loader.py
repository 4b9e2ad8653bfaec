"""Land what waits in the inbox: one transaction a file, and the same state after any crash.

Belongs here: the order of things. An archive copy is in place before a transaction commits, so a
content that the ledger knows can always be landed again; whatever a killed process leaves behind
(scratch folders, an archive copy without entry) is harmless and swept or adopted by the next run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import ledger, schema_history
from crm_pipeline.defs.landing.accounts import table_outcome
from crm_pipeline.defs.landing.archive import Archive
from crm_pipeline.defs.landing.content import Counts, NeedsSplittingError
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.drift import RefusedFileError
from crm_pipeline.defs.landing.guard import Guard, guarding
from crm_pipeline.defs.landing.inbox import InboxFile, scan_inbox
from crm_pipeline.defs.landing.prepare import Prepared, must_split, prepare, split
from crm_pipeline.defs.landing.rebuild import land_again
from crm_pipeline.defs.landing.redaction import erase, tidy_vault
from crm_pipeline.defs.landing.report import FileOutcome, LandingReport
from crm_pipeline.defs.landing.store import store_content, transaction
from crm_pipeline.defs.landing.stream import digest_of_bytes
from crm_pipeline.defs.landing.views import create_raw_view
from crm_pipeline.disk import is_full, plain_if_full
from crm_pipeline.errors import UserError
from crm_pipeline.vault.private import places

_SCRATCH = "landing-"


def land(
    con: duckdb.DuckDBPyConnection,
    *,
    home: Path,
    contracts: Mapping[str, SourceContract],
    enabled: Sequence[str],
    only: Collection[str] | None = None,
    time_zone: str,
    clock: Callable[[], datetime],
    master_key: str | None = None,
) -> LandingReport:
    """Land every complete file of the enabled sources.

    Args:
        con: The warehouse, with the writer's slot held.
        home: ``$CRM_HOME``: ``inbox/`` is read, ``archive/`` and ``tmp/`` are written.
        contracts: All declared sources; each gets its tables and views, whether enabled or not.
        enabled: The sources whose files land.
        only: Land these of them alone; ``None`` means all.
        time_zone: The company's zone, in which the days of events are reported.
        clock: Gives ``landed_at``, as naive UTC.
        master_key: ``CRM_MASTER_KEY``; without it the home's key file is used, or made.

    Raises:
        UserError: The home cannot be written, the disk is full, or the master key is not the one
            that the vault was encrypted with.
    """
    with plain_if_full(home), _session(con), guarding(home, master_key) as guard:
        run = _Run(con, home, contracts, time_zone, clock, guard)
        run.prepare_home(enabled)
        run.prepare_tables()
        run.land_inbox([name for name in enabled if only is None or name in only], enabled)
        run.erase()
        run.create_views()
        tidy_vault(con, run.tables.values(), guard)
        return run.report()


@contextmanager
def _session(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Set what landing needs, and put it back.

    Rows carry their line number, so their order in the table means nothing and parts may be
    written side by side.
    """
    names = ("TimeZone", "preserve_insertion_order")
    before = {name: con.execute(f"select current_setting('{name}')").fetchone() for name in names}
    con.execute("set preserve_insertion_order = false")
    try:
        yield
    finally:
        for name, value in before.items():
            assert value is not None
            con.execute(f"set {name} = '{value[0]}'")


class _Run:
    """One call of ``land``."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        home: Path,
        contracts: Mapping[str, SourceContract],
        time_zone: str,
        clock: Callable[[], datetime],
        guard: Guard,
    ) -> None:
        self.guard = guard
        self.con = con
        self.home = home
        self.time_zone = time_zone
        self.clock = clock
        self.contracts = contracts
        self.tables = {
            (table.source, table.name): table
            for source in contracts.values()
            for table in source.tables
        }
        self.archive = Archive(home / "archive", guard)
        self.scratch = home / "tmp"
        self.files: list[FileOutcome] = []
        self.problems: list[str] = []
        self.blocked: dict[tuple[str, str], str] = {}
        self.refused: set[str] = set()
        self.ledgers: dict[str, list[ledger.Entry]] = {}

    def prepare_home(self, enabled: Sequence[str]) -> None:
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
            for name in enabled:
                (self.home / "inbox" / name).mkdir(parents=True, exist_ok=True)
            for orphan in self.scratch.glob(f"{_SCRATCH}*"):
                shutil.rmtree(orphan)
            for unfinished in (self.home / "archive").glob("*/*/.*.new"):
                unfinished.unlink()
        except OSError as fault:
            if is_full(fault):
                raise
            raise UserError(
                f"cannot write below {self.home} ({fault.strerror}): set CRM_HOME to a folder "
                "that you may write."
            ) from fault

    @contextmanager
    def folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self.scratch) as name:
            yield Path(name)

    # Tables and contracts

    def prepare_tables(self) -> None:
        ledger.ensure_control(self.con)
        for key, table in self.tables.items():
            built_for = ledger.built_for(self.con, table)
            if built_for is None:
                with transaction(self.con):
                    ledger.create_landing_table(self.con, table)
                    schema_history.record_version(self.con, table, self.clock())
            elif built_for != table.digest:
                try:
                    land_again(
                        self.con, table, archive=self.archive, inbox=self.home / "inbox",
                        scratch=self.folder, clock=self.clock, guard=self.guard,
                    )  # fmt: skip
                except RefusedFileError as fault:
                    self.blocked[key] = (
                        f"the contract of {table.label} changed, but {fault}; the table was left "
                        "as it was"
                    )
                    continue
            else:
                schema_history.record_version(self.con, table, self.clock())
            if table.is_sealed:
                # A column may have turned out to be a direct identifier since.
                self.archive.seal_clear(table)

    # Files

    def land_inbox(self, names: Collection[str], enabled: Sequence[str]) -> None:
        scan = scan_inbox(self.home / "inbox", self.contracts)
        self.problems += scan.problems
        for file in scan.waiting:
            if file.source in names:
                self._note(file, "waiting", message="it is still being written")
        idle = Counter(file.source for file in scan.ready if file.source not in enabled)
        for source, count in sorted(idle.items()):
            self.problems.append(
                f"{count} file(s) wait in inbox/{source}/, but {source} is not enabled: add it to "
                "CRM_SOURCES to land them."
            )
        for file in scan.ready:
            if file.source in names:
                try:
                    self._land_file(file)
                except RefusedFileError as fault:
                    self._note_refused(file, fault)
        of_names = [table for table in self.tables.values() if table.source in names]
        with transaction(self.con):
            schema_history.resolve_gone(self.con, of_names, self.refused, self.clock())

    def erase(self) -> None:
        has_landed = any(file.outcome == "landed" for file in self.files)
        self.problems += erase(
            self.con, self.contracts, self.archive, self.guard, self.folder, self.clock,
            has_landed=has_landed,
        )  # fmt: skip

    def _land_file(self, file: InboxFile) -> None:
        table = self.tables[file.source, file.table]
        if table_fault := self.blocked.get((file.source, file.table)):
            raise RefusedFileError(table_fault)
        if self._is_known(file, table):
            return
        with self.folder() as folder:
            copy = places(folder, is_private=table.is_sealed)("archive")
            content = folder / "content"
            content.mkdir()
            prepared = prepare(table, file.path, content, copy)
            if _has_changed(file):
                self._note(file, "waiting", message="it changed while it was read")
                return
            newest = self._newest(table, file.path.name)
            if newest and newest.action == "landed" and newest.digest == prepared.digest:
                # The same text in other bytes: entered, so that these are known next time.
                with transaction(self.con):
                    self._append(file, table, prepared.digest, prepared.raw_digest)
                self._note(file, "unchanged", digest=prepared.digest)
            elif newest and newest.digest == prepared.digest and _is_retracted(newest, file):
                self._note_retracted(file, newest)
            elif prepared.digest in ledger.contents(self.con, table):
                self._enter_copy(file, table, prepared.digest, prepared.raw_digest)
            else:
                self._enter_archived(file, table, prepared, copy)

    def _enter_archived(
        self, file: InboxFile, table: TableContract, prepared: Prepared, copy: Path
    ) -> None:
        self.archive.keep(table, prepared.digest, copy)
        try:
            self._enter(file, table, prepared)
        except RefusedFileError:
            if all(entry.digest != prepared.digest for entry in self._entries(table)):
                self.archive.remove(table, prepared.digest)
            raise

    def _newest(self, table: TableContract, file_name: str) -> ledger.Entry | None:
        known = [e for e in self._entries(table) if e.file_name == file_name]
        return known[-1] if known else None

    def _entries(self, table: TableContract) -> list[ledger.Entry]:
        """The ledger of a table, read once until it grows: an inbox may hold years of files."""
        if table.identifier not in self.ledgers:
            self.ledgers[table.identifier] = ledger.entries(self.con, table)
        return self.ledgers[table.identifier]

    def _is_known(self, file: InboxFile, table: TableContract) -> bool:
        """Deal with a file whose very bytes landed before; it need not be parsed."""
        known = [e for e in self._entries(table) if e.raw_size == file.size]
        if not known:
            return False
        try:
            raw_digest = digest_of_bytes(file.path)
        except OSError as fault:
            raise RefusedFileError(
                f"it cannot be read ({fault.strerror}); check its permissions"
            ) from fault
        newest = self._newest(table, file.path.name)
        same = [entry for entry in known if entry.raw_digest == raw_digest]
        if not same or _has_changed(file):
            return False
        digest = same[-1].digest
        has_its_bytes = newest is not None and newest.raw_digest == raw_digest
        if newest is not None and (has_its_bytes or newest.digest == digest):
            if has_its_bytes and newest.action == "landed":
                self._note(file, "unchanged", digest=newest.digest)
                return True
            # also where another file had the same text in these bytes
            if _is_retracted(newest, file):
                self._note_retracted(file, newest)
                return True
        stored = ledger.contents(self.con, table)
        if digest not in stored:
            return False
        self._enter_copy(file, table, digest, raw_digest)
        return True

    def _enter_copy(
        self, file: InboxFile, table: TableContract, digest: str, raw_digest: str
    ) -> None:
        """Record a file whose content is stored already: under another name, or from before."""
        own = any(e.digest == digest for e in self._entries(table) if e.file_name == file.path.name)
        with transaction(self.con):
            number = self._append(file, table, digest, raw_digest)
        content = ledger.contents(self.con, table)[digest]
        self._note(
            file, "landed" if own else "copy", digest=digest, landing_number=number,
            rows_read=content.rows_read, rows_accepted=content.rows_accepted,
            rows_quarantined=content.rows_quarantined,
            message="it counts again" if own else "its content had landed under another name",
        )  # fmt: skip

    def _enter(self, file: InboxFile, table: TableContract, prepared: Prepared) -> None:
        if must_split(prepared):
            prepared = split(prepared)
        try:
            number, counts = self._write(file, table, prepared)
        except NeedsSplittingError:
            prepared = split(prepared)
            number, counts = self._write(file, table, prepared)
        notes = list(prepared.notes)
        if counts.blank_lines:
            notes.append(f"{counts.blank_lines} blank lines, which are no rows")
        span = ledger.table_span(self.con, table, self.time_zone, prepared.digest)
        first, last = span or (None, None)
        self._note(
            file, "landed", digest=prepared.digest, landing_number=number, rows_read=counts.read,
            rows_accepted=counts.accepted, rows_quarantined=counts.quarantined,
            first_event_on=first, last_event_on=last, message="; ".join(notes),
        )  # fmt: skip

    def _write(
        self, file: InboxFile, table: TableContract, prepared: Prepared
    ) -> tuple[int, Counts]:
        with transaction(self.con):
            counts = store_content(self.con, prepared, self.guard)
            number = self._append(file, table, prepared.digest, prepared.raw_digest)
            schema_history.record_drift(
                self.con, table, prepared.drift, digest=prepared.digest,
                file_name=file.path.name, now=self.clock(),
            )  # fmt: skip
        return number, counts

    def _append(self, file: InboxFile, table: TableContract, digest: str, raw_digest: str) -> int:
        self.ledgers.pop(table.identifier, None)
        return ledger.append(
            self.con, table, file_name=file.path.name, digest=digest, raw_digest=raw_digest,
            raw_size=file.size, landed_at=self.clock(),
        )  # fmt: skip

    def _note_refused(self, file: InboxFile, fault: RefusedFileError) -> None:
        self._note(file, "refused", digest=fault.digest, message=str(fault))
        if fault.digest is not None and fault.drift:
            self.refused.add(fault.digest)
            with transaction(self.con):
                schema_history.record_drift(
                    self.con, self.tables[file.source, file.table], fault.drift,
                    digest=fault.digest, file_name=file.path.name, now=self.clock(),
                )  # fmt: skip

    def _note_retracted(self, file: InboxFile, entry: ledger.Entry) -> None:
        message = "it was retracted; deliver it again (or touch it) to land it again"
        self._note(file, "retracted", digest=entry.digest, message=message)

    def _note(self, file: InboxFile, outcome: str, **details: object) -> None:
        self.files.append(
            FileOutcome(file.source, file.table, file.path.name, outcome, **details)  # type: ignore[arg-type]
        )

    # Views and the report

    def create_views(self) -> None:
        with transaction(self.con):
            for key, table in self.tables.items():
                if key not in self.blocked:
                    create_raw_view(self.con, table)

    def report(self) -> LandingReport:
        outcomes: dict[tuple[str, str], list[FileOutcome]] = defaultdict(list)
        for file in self.files:
            outcomes[file.source, file.table].append(file)
        drift = schema_history.open_drift(self.con)
        tables = {
            table.identifier: table_outcome(
                self.con, table, outcomes[key], self.blocked.get(key), drift.get(key, ())
            )
            for key, table in self.tables.items()
        }
        problems = [f"{message}." for message in self.blocked.values()]
        return LandingReport(tuple(self.files), tables, (*problems, *self.problems))


def _is_retracted(newest: ledger.Entry, file: InboxFile) -> bool:
    """Whether the file, whose content was retracted, lay there before: then it stays away."""
    retracted_at = newest.landed_at.replace(tzinfo=UTC).timestamp()
    return newest.action == "retracted" and file.modified_ns / 1e9 <= retracted_at


def _has_changed(file: InboxFile) -> bool:
    try:
        status = os.stat(file.path)
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns)
