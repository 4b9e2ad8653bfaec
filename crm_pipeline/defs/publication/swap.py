"""How a finished publication takes the place of the last one: all of it in one rename.

``published/crm.duckdb``, ``published/parquet`` and ``published/report`` are links through
``published/.current``, which names one folder of ``published/.versions``; moving that one link
swaps everything at once, and a reader that has the old file open keeps it. The last three
publications stay on disk.

A folder that holds ``digests.json`` is a whole publication, wherever the link points; one that does
not, above the link, is what a killed run left. Whoever adds, moves, changes or removes versions
holds ``changing``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_pipeline.errors import UserError
from crm_pipeline.resources.warehouse import exclusive

KEPT = 3
FILE = "crm.duckdb"
DIGESTS = "digests.json"
LOCK = ".publication.lock"
REPORT = "report"
LINKS = (FILE, "parquet", REPORT)
_AMENDED = ".amended"
_WAIT_SECONDS = 600.0


@contextmanager
def changing(published: Path, *, wait_seconds: float = _WAIT_SECONDS) -> Iterator[None]:
    """Hold the publications, so that nobody else adds, removes or moves one.

    Raises:
        UserError: Another process still publishes after ``wait_seconds``.
    """
    with exclusive(published / LOCK, wait_seconds=wait_seconds):
        yield


def versions(published: Path) -> list[Path]:
    """Return the publications on disk, oldest first: whole ones, and the one that readers see."""
    current = current_version(published)
    newest = int(current.name) if current else 0
    return sorted(
        folder
        for folder in _folders(published)
        if folder.name.isdigit() and (_is_whole(folder) or int(folder.name) <= newest)
    )


def unfinished(published: Path) -> list[Path]:
    """Return what runs left that were killed while they wrote a publication."""
    whole = versions(published)
    return sorted(path for path in _folders(published) if path not in whole)


def _folders(published: Path) -> list[Path]:
    place = published / ".versions"
    return list(place.iterdir()) if place.is_dir() else []


def _is_whole(folder: Path) -> bool:
    return (folder / DIGESTS).is_file()


def new_version(published: Path, *, after: int = 0) -> Path:
    """Return an empty folder for the next publication, clearing what a killed run left.

    A whole publication above the link is kept (somebody moved the link back, or lost it): the new
    one is numbered above all, and above ``after``, a number that was given before.
    """
    (published / ".versions").mkdir(parents=True, exist_ok=True)
    for path in unfinished(published):
        remove(path)
    target = published / ".versions" / f"{max(int(_next_name(published)), after + 1):06d}"
    target.mkdir()
    return target


def _next_name(published: Path) -> str:
    return f"{max((int(path.name) for path in versions(published)), default=0) + 1:06d}"


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def current_version(published: Path) -> Path | None:
    """Return the folder that readers see, or ``None`` before the first publication."""
    link = published / ".current"
    return link.resolve(strict=True) if link.is_symlink() and link.exists() else None


def fsync(path: Path) -> None:
    """Put one file or folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Put every file and folder below ``folder`` on the disk before it is named."""
    for path in [folder, *folder.rglob("*")]:
        fsync(path)


def digest_of(file: Path) -> str:
    """Return a file's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def parquet_digests(version: Path) -> dict[str, str]:
    """Return Parquet file (as ``parquet/marts/fct_orders.parquet``) -> SHA-256 of a publication.

    The DuckDB file is not among them: DuckDB checks every block it reads against a sum of its own.
    """
    files = sorted((version / "parquet").rglob("*.parquet"))
    return {file.relative_to(version).as_posix(): digest_of(file) for file in files}


def recorded_digests(version: Path) -> dict[str, str] | None:
    """Return the digests written at publication; ``None`` where there are none that can be read."""
    try:
        recorded: dict[str, str] = json.loads((version / DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return recorded


def _point(link: Path, target: str) -> None:
    temporary = link.with_name(link.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)


def publish(published: Path, version: Path) -> None:
    """Let readers see ``version``, whole, from this moment on.

    The database is made read-only for everybody: a process that opened it for writing would
    leave a write-ahead log beside the link, which DuckDB would replay into the next file.
    """
    (version / FILE).chmod(0o444)
    written = json.dumps(parquet_digests(version), indent=1)
    (version / DIGESTS).write_text(written, encoding="utf-8")
    fsync_tree(version)
    point_at(published, version)
    prune(published)


def prune(published: Path, *, keep: int = KEPT) -> None:
    """Remove all but the newest publications."""
    kept = versions(published)[-keep:]
    for folder in _folders(published):
        if folder not in kept:
            remove(folder)


def point_at(published: Path, version: Path) -> None:
    """Move the link that readers follow, and put in place those through it that are missing."""
    (published / f"{FILE}.wal").unlink(missing_ok=True)
    _point(published / ".current", f".versions/{version.name}")
    for name in LINKS:
        link = published / name
        if not (version / name).exists():  # a publication made before there was a report
            link.unlink(missing_ok=True)
        elif not link.is_symlink() or os.readlink(link) != f".current/{name}":
            _point(link, f".current/{name}")
    fsync(published)


def adopt(published: Path, folder: Path) -> Path:
    """Make a whole publication that lies in ``folder`` the newest; return its place.

    Its files are linked, not copied, under the next number, so that nothing lies above the link
    afterwards. Killed at any moment, ``folder`` and every publication are still there.
    """
    for path in unfinished(published):
        remove(path)
    place = published / ".versions"
    place.mkdir(exist_ok=True)
    target = place / _next_name(published)
    temporary = target.with_name(f".unfinished-{target.name}")
    shutil.copytree(folder, temporary, copy_function=link_or_copy)
    (temporary / FILE).chmod(0o444)
    fsync_tree(temporary)
    temporary.rename(target)
    point_at(published, target)
    return target


def republish(published: Path, number: int) -> Path:
    """Make an older publication the newest again; return its new folder.

    Raises:
        UserError: There is no such publication; the message lists those there are.
    """
    known = {int(folder.name): folder for folder in versions(published)}
    if number not in known:
        listed = ", ".join(str(n) for n in known) or "none"
        raise UserError(f"there is no publication {number}; kept are {listed}.")
    target = adopt(published, known[number])
    remove(known[number])
    return target


def link_or_copy(source: str, target: str) -> None:
    """Give a file a second name; copy it where the disk cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def amend(published: Path, change: Callable[[Path], None]) -> None:
    """Replace the DuckDB file that readers see by a copy that ``change`` was made to.

    The publication stays what it is: its number, its Parquet, what is kept before it. ``change``
    gets the copy's path and leaves it closed and checkpointed. Killed before the rename, nothing
    changed, and what is left is ``unfinished`` like any other.
    """
    version = current_version(published)
    assert version is not None
    for path in unfinished(published):
        remove(path)
    folder = published / ".versions" / _AMENDED
    folder.mkdir()
    copy = folder / FILE
    shutil.copyfile(version / FILE, copy)
    change(copy)
    copy.chmod(0o444)
    fsync(copy)
    os.replace(copy, version / FILE)
    fsync(version)
    remove(folder)
