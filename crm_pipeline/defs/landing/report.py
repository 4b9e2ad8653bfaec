"""What landing tells its caller: the fate of each file, and the state of each table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file.

    Attributes:
        source: Its source.
        table: Its table.
        file_name: Its name in the inbox.
        outcome: ``landed``, ``copy`` (its content was there already, under another name),
            ``unchanged``, ``retracted`` (and not delivered again since), ``waiting`` (still being
            written) or ``refused``.
        digest: Its content's identity, where it was read.
        landing_number: Its entry in the ledger, where one was made.
        rows_read: Rows of the content, ``rows_accepted + rows_quarantined``.
        rows_accepted: Rows in the landing table.
        rows_quarantined: Rows in quarantine.
        first_event_on: Business day of its first event.
        last_event_on: Business day of its last event.
        message: Why it was refused, else what is worth knowing. Never holds a value.
    """

    source: str
    table: str
    file_name: str
    outcome: str
    digest: str | None = None
    landing_number: int | None = None
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    first_event_on: date | None = None
    last_event_on: date | None = None
    message: str = ""

    def __str__(self) -> str:
        """One line for a log."""
        text = f"{self.source}/{self.file_name}: {self.outcome}"
        if self.outcome in ("landed", "copy"):
            text += f" in {self.table}, {self.rows_accepted:,} of {self.rows_read:,} rows accepted"
            if self.rows_quarantined:
                text += f", {self.rows_quarantined:,} in quarantine"
            if self.first_event_on:
                text += f", events from {self.first_event_on} to {self.last_event_on}"
        return text + (f": {self.message}" if self.message else "")


@dataclass(frozen=True)
class TableOutcome:
    """The state of one landing table after the run.

    Attributes:
        source: Its source.
        table: Its name.
        is_ok: Every file landed, and every row is accounted for.
        message: What is wrong, else the account in a sentence.
        rows_current: Rows stored for the files that count.
        rows_read: Rows that those files hold.
        rows_accepted: Of these, accepted.
        rows_quarantined: Of these, in quarantine.
        files_landed: Files that this run entered into the ledger.
        files_refused: Files that this run refused.
        drift: How the columns of its files differ from the declared ones, a sentence a column.
    """

    source: str
    table: str
    is_ok: bool
    message: str
    rows_current: int = 0
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    files_landed: int = 0
    files_refused: int = 0
    drift: tuple[str, ...] = ()


@dataclass(frozen=True)
class LandingReport:
    """Everything that one call of ``land`` did and found.

    Attributes:
        files: One outcome a file.
        tables: One outcome a declared table, by ``<source>__<table>``.
        problems: One sentence for each thing that was left alone; these fail nothing.
    """

    files: tuple[FileOutcome, ...] = ()
    tables: Mapping[str, TableOutcome] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether no file was refused and every table's rows add up."""
        return all(table.is_ok for table in self.tables.values())

    @property
    def messages(self) -> tuple[str, ...]:
        """One line a file and a problem, for a log."""
        return (*(str(file) for file in self.files), *self.problems)

    @property
    def row_counts(self) -> dict[str, int]:
        """Rows that count, by ``<source>__<table>``."""
        return {name: table.rows_current for name, table in self.tables.items()}
