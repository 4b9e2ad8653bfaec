"""What a backup says of itself: every file with its size and digest, and what made it."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from crm_pipeline.defs.publication.swap import digest_of
from crm_pipeline.errors import UserError

MANIFEST = "manifest.json"
LOCK = ".lock"
"""Held in a backup's folder while it is being written."""

_OWN = (MANIFEST, LOCK)
FORMAT = 1


@dataclass(frozen=True)
class File:
    """One file of a backup: its path below it, its SHA-256 and its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """One backup.

    Attributes:
        format: Of the backup; this code reads ``FORMAT``.
        made_at: When, UTC.
        as_of: Business day of the warehouse; ``None`` before the first run settled one.
        sources: Enabled sources.
        code_version: Package version and digest of the code that made it.
        duckdb: DuckDB's version.
        schema_version: Of the warehouse.
        files: Every file but the manifest itself.
    """

    format: int
    made_at: str
    as_of: str | None
    sources: list[str]
    code_version: str
    duckdb: str
    schema_version: int
    files: list[File]


def files_of(folder: Path) -> list[File]:
    """Return every file below ``folder``, the manifest excepted, by path."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in _OWN and stat.S_ISREG(path.lstat().st_mode):
            found.append(File(name, digest_of(path), path.stat().st_size))
    return found


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the backup."""
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Return a backup's manifest.

    Raises:
        UserError: There is none, it cannot be read, or it names a file outside the backup.
    """
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no backup: it has no {MANIFEST}; name another folder."
        ) from None
    except (OSError, ValueError):
        raise _unreadable(folder) from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise UserError(
            f"the backup {folder} has another format than this code reads ({FORMAT}): install the "
            "crm-pipeline that made it."
        )
    try:
        manifest = Manifest(**{**said, "files": [File(**file) for file in said["files"]]})
        paths = [PurePosixPath(file.path) for file in manifest.files]
    except (KeyError, TypeError):
        raise _unreadable(folder) from None
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        raise UserError(f"{folder / MANIFEST} names a file outside the backup: take another one.")
    return manifest


def _unreadable(folder: Path) -> UserError:
    return UserError(
        f"{folder / MANIFEST} cannot be read: the backup is damaged; take another one."
    )


def faults(folder: Path, manifest: Manifest) -> list[str]:
    """Return every file that is missing, damaged, or not of the backup."""
    wrong = []
    for file in manifest.files:
        path = folder / file.path
        try:
            if path.is_symlink() or not path.is_file():
                wrong.append(f"{file.path} is missing")
            elif path.stat().st_size != file.size or digest_of(path) != file.sha256:
                wrong.append(f"{file.path} is damaged")
        except OSError as error:
            wrong.append(f"{file.path} cannot be read ({error.strerror})")
    known = {file.path for file in manifest.files} | set(_OWN)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in known and not stat.S_ISDIR(path.lstat().st_mode):
            wrong.append(f"{name} is not of this backup")
    return wrong
