"""A DuckDB file written anew: what was deleted stays in its free blocks, only a copy is without."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb


def rewrite(
    file: Path, config: Mapping[str, Any] | None = None, *, before_swap: str | None = None
) -> None:
    """Copy a database to a new file and put that in its place; nobody else may have it open.

    Args:
        file: The database's file.
        config: DuckDB's settings.
        before_swap: SQL that the copy gets, in use, before it takes the place.
    """
    new = file.with_name(f".{file.name}.new")
    for left in (new, new.with_name(new.name + ".wal")):
        left.unlink(missing_ok=True)
    old_path, new_path = (str(path).replace("'", "''") for path in (file, new))
    with duckdb.connect(config=dict(config or {"temp_directory": ""})) as con:
        con.execute(f"attach '{old_path}' as old")
        con.execute("checkpoint old")
        con.execute(f"attach '{new_path}' as new")
        con.execute("copy from database old to new")
        if before_swap:
            con.execute("use new")
            con.execute(before_swap)
            con.execute("use memory")
        con.execute("checkpoint new")
        con.execute("detach new")
        con.execute("detach old")
    _sync(new)
    new.chmod(file.stat().st_mode & 0o777)
    file.with_name(file.name + ".wal").unlink(missing_ok=True)
    os.replace(new, file)
    _sync(file.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
