"""How a finished publication takes the place of the last one: all of it in one rename.

``published/crm.duckdb`` and ``published/parquet`` are links through ``published/.current``, which
names one folder of ``published/.versions``; moving that one link swaps everything at once, and a
reader that has the old file open keeps it. The last three publications stay on disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

KEPT = 3
FILE = "crm.duckdb"
_LINKS = (FILE, "parquet")


def new_version(published: Path) -> Path:
    """Return an empty folder for the next publication, clearing what a killed run left."""
    versions = published / ".versions"
    versions.mkdir(parents=True, exist_ok=True)
    current = current_version(published)
    newest = int(current.name) if current else 0
    for folder in versions.iterdir():
        # a folder above the current one was being written when its run ended
        if not folder.name.isdigit() or int(folder.name) > newest:
            shutil.rmtree(folder)
    target = versions / f"{newest + 1:06d}"
    target.mkdir()
    return target


def current_version(published: Path) -> Path | None:
    """Return the folder that readers see, or ``None`` before the first publication."""
    link = published / ".current"
    return link.resolve(strict=True) if link.is_symlink() and link.exists() else None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Put every file and folder below ``folder`` on the disk before it is named."""
    for path in [folder, *folder.rglob("*")]:
        _fsync(path)


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
    fsync_tree(version)
    (published / f"{FILE}.wal").unlink(missing_ok=True)
    _point(published / ".current", f".versions/{version.name}")
    for name in _LINKS:
        link = published / name
        if not link.is_symlink():
            _point(link, f".current/{name}")
    _fsync(published)
    keep = sorted(p for p in (published / ".versions").iterdir() if p.name.isdigit())[-KEPT:]
    for folder in (published / ".versions").iterdir():
        if folder not in keep:
            shutil.rmtree(folder)
