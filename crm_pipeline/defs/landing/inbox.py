"""What waits in the inbox: which file belongs to which table, and whether it is complete.

Belongs here: folders, names, patterns, ``.done`` markers. Nothing here reads a file's content.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.errors import UserError

SETTLE_SECONDS = 2.0
"""A file without a ``.done`` marker is complete when nothing changed for so long (contract.md)."""

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class InboxFile:
    """One file and the table that it feeds."""

    source: str
    table: str
    path: Path
    size: int
    modified_ns: int


@dataclass(frozen=True)
class InboxScan:
    """What one look at the inbox found.

    Attributes:
        ready: Complete files, ordered by source, table and name.
        waiting: Files that are still being written.
        problems: One sentence for each thing that was left alone.
    """

    ready: tuple[InboxFile, ...] = ()
    waiting: tuple[InboxFile, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass
class _Found:
    files: list[InboxFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def scan_inbox(
    inbox: Path,
    contracts: Mapping[str, SourceContract],
    *,
    only: Collection[str] | None = None,
    now: Callable[[], float] = time.time,
) -> InboxScan:
    """Look at the inbox once.

    Args:
        inbox: The folder that holds one folder a source; it may be missing.
        contracts: The declared sources.
        only: The sources to look at; ``None`` means all, and then folders of unknown sources
            are reported too.
        now: The wall clock, compared with the files' times to see whether they are at rest.
    """
    found = _list_inbox(inbox, contracts, only)
    ready: list[InboxFile] = []
    waiting: list[InboxFile] = []
    for file in found.files:
        (ready if _is_complete(file, now()) else waiting).append(file)
    return InboxScan(tuple(ready), tuple(waiting), tuple(found.problems))


def wait_until_settled(
    inbox: Path,
    contracts: Mapping[str, SourceContract],
    *,
    only: Collection[str] | None = None,
    timeout_seconds: float = 600.0,
    sleep: Callable[[float], None] = time.sleep,
    report: Callable[[str], None] | None = None,
) -> InboxScan:
    """Wait until no file is still being written, and return that look at the inbox.

    After ``timeout_seconds`` the look is returned as it is: its ``waiting`` files are then left
    for the next run. ``report`` gets one line when there is something to wait for.
    """
    deadline = time.monotonic() + timeout_seconds
    is_reported = False
    while True:
        scan = scan_inbox(inbox, contracts, only=only)
        if not scan.waiting or time.monotonic() >= deadline:
            return scan
        if report is not None and not is_reported:
            names = ", ".join(f"{file.source}/{file.path.name}" for file in scan.waiting)
            report(f"waiting for {names} to be complete")
            is_reported = True
        sleep(_POLL_SECONDS)


def table_for(source: SourceContract, file_name: str) -> tuple[TableContract, ...]:
    """Return the tables of ``source`` whose patterns match ``file_name`` (``.gz`` may follow)."""
    name = file_name.lower()
    names = (name, name.removesuffix(".gz"))
    return tuple(
        table
        for table in source.tables
        if any(
            fnmatchcase(candidate, pattern.lower())
            for pattern in table.files
            for candidate in names
        )
    )


def _list_inbox(
    inbox: Path, contracts: Mapping[str, SourceContract], only: Collection[str] | None
) -> _Found:
    found = _Found()
    for entry in _entries(inbox):
        if entry.is_dir():
            if entry.name in contracts:
                if only is None or entry.name in only:
                    _list_source(contracts[entry.name], Path(entry.path), found)
            elif only is None and any(True for _ in _entries(Path(entry.path))):
                known = ", ".join(sorted(contracts)) or "none"
                found.problems.append(
                    f"inbox/{_shown(entry.name)}/ belongs to no declared source and was left "
                    f"alone; known sources: {known}."
                )
        elif only is None:
            found.problems.append(
                f"inbox/{_shown(entry.name)} was left alone: move it into inbox/<source>/."
            )
    return found


def _list_source(source: SourceContract, folder: Path, found: _Found) -> None:
    for entry in _entries(folder):
        where = f"inbox/{source.name}/{_shown(entry.name)}"
        if entry.name.endswith(".done"):
            continue
        if not _is_text(entry.name):
            found.problems.append(
                f"{where} was left alone: its name is not valid UTF-8; rename it."
            )
            continue
        if entry.is_dir():
            found.problems.append(
                f"{where}/ is a folder and was left alone: put files directly into "
                f"inbox/{source.name}/."
            )
            continue
        tables = table_for(source, entry.name)
        if len(tables) != 1:
            found.problems.append(f"{where} was left alone: {_mismatch(source, tables)}")
            continue
        try:
            status = entry.stat()
        except OSError as fault:
            found.problems.append(f"{where} was left alone: {fault.strerror}.")
            continue
        found.files.append(
            InboxFile(
                source.name, tables[0].name, Path(entry.path), status.st_size, status.st_mtime_ns
            )
        )
    found.files.sort(key=lambda file: (file.source, file.table, file.path.name))


def _mismatch(source: SourceContract, tables: tuple[TableContract, ...]) -> str:
    if tables:
        names = ", ".join(table.name for table in tables)
        return f"it matches the patterns of several tables ({names}); rename it."
    patterns = "; ".join(f"{table.name}: {', '.join(table.files)}" for table in source.tables)
    return f"it matches no table's pattern ({patterns}); rename it or add a pattern."


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as fault:
        raise UserError(
            f"cannot list {folder}: {fault.strerror}; check its permissions."
        ) from fault
    yield from (entry for entry in entries if not entry.name.startswith("."))


def _is_complete(file: InboxFile, now: float) -> bool:
    try:
        marker = file.path.with_name(file.path.name + ".done").stat()
    except OSError:
        marker = None
    # A marker that is older than the file was written for an earlier version of it.
    if marker is not None and marker.st_mtime_ns >= file.modified_ns:
        return True
    age = now - file.modified_ns / 1e9
    if age < 0:
        return _is_unchanged_for_a_while(file)
    return age >= SETTLE_SECONDS


def _is_unchanged_for_a_while(file: InboxFile) -> bool:
    """Watch a file whose time lies in the future: its age says nothing."""
    time.sleep(SETTLE_SECONDS)
    try:
        status = file.path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.size, file.modified_ns)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode() if not _is_text(name) else name
