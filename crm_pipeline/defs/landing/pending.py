"""What in the inbox has not landed yet, told without opening the warehouse.

A sensor runs beside the steps and must not take their slot, so landing leaves a small index of
what it has read in ``$CRM_HOME/landed.json``; the sensor compares the inbox with that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from crm_pipeline.defs.landing.inbox import InboxFile

INDEX = "landed.json"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Pending:
    """One file whose present content has not landed under its name.

    Attributes:
        file: The file.
        digest: SHA-256 of its bytes.
        landing_number: How often the name has landed so far.
    """

    file: InboxFile
    digest: str
    landing_number: int

    @property
    def run_key(self) -> str:
        """Name, content and landing number: returning to an older content is a new key."""
        return f"{self.file.source}/{self.file.path.name}:{self.digest[:16]}:{self.landing_number}"


def write_index(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Replace the index: name -> newest bytes' digest and number of landings."""
    rows = con.execute(
        "select source || '/' || file_name, max_by(raw_digest, landing_number), count(*) "
        "from control.files group by 1 order by 1"
    ).fetchall()
    index = {name: {"digest": digest, "landings": count} for name, digest, count in rows}
    temporary = home / f".{INDEX}.new"
    temporary.write_text(json.dumps(index), encoding="utf-8")
    os.replace(temporary, home / INDEX)


def pending_files(
    files: Iterable[InboxFile], home: Path, seen: MutableMapping[str, str]
) -> list[Pending]:
    """Return the files that a run would land, in the order given.

    Args:
        files: Complete files of the inbox.
        home: ``$CRM_HOME``.
        seen: Digests by name, size and time, so that an unchanged file is read only once; the
            caller keeps it between calls. Entries of files that are gone are dropped.
    """
    index = _read_index(home)
    found, present = [], {}
    for file in files:
        stamp = f"{file.source}/{file.path.name}:{file.size}:{file.modified_ns}"
        try:
            present[stamp] = seen.get(stamp) or _digest(file.path)
        except OSError:  # gone since the inbox was listed, or not ours to read
            continue
        known = index.get(f"{file.source}/{file.path.name}", {"digest": None, "landings": 0})
        if known["digest"] != present[stamp]:
            found.append(Pending(file, present[stamp], known["landings"]))
    seen.clear()
    seen.update(present)
    return found


def _read_index(home: Path) -> dict[str, dict[str, Any]]:
    """Return the index; empty where there is none, or none that can be read.

    Then everything waits, and the run that this starts writes the index anew.
    """
    try:
        index: dict[str, dict[str, Any]] = json.loads((home / INDEX).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return index


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
