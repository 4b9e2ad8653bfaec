"""Is what readers see whole? And are the older publications, to which one can go back?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing.sqltext import identifier, path_literal
from crm_pipeline.defs.publication import swap
from crm_pipeline.defs.publication.swap import FILE
from crm_pipeline.repair.findings import Finding

ASIDE = "damaged"
"""Folder below ``$CRM_HOME`` for what is damaged: nothing is deleted."""

NO_DIGESTS = f"its {swap.DIGESTS} is missing or cannot be read"


@dataclass(frozen=True)
class Publication:
    """One publication on disk.

    Attributes:
        number: Name of its folder.
        folder: The folder.
        is_current: Whether readers see it.
        as_of: What it was made for; ``None`` where it cannot be read.
        built_at: When, UTC; ``None`` where it cannot be read.
        code_version: By which code; empty where it cannot be read.
    """

    number: int
    folder: Path
    is_current: bool
    as_of: date | None
    built_at: datetime | None
    code_version: str


def publications(published: Path) -> list[Publication]:
    """Return the publications on disk, newest first."""
    current = swap.current_version(published)
    found = []
    for folder in reversed(swap.versions(published)):
        try:
            with duckdb.connect(str(folder / FILE), read_only=True) as db:
                row = db.execute("select as_of, built_at, code_version from meta.build").fetchone()
        except duckdb.Error:
            row = None
        is_current = current is not None and folder.name == current.name
        found.append(Publication(int(folder.name), folder, is_current, *(row or (None, None, ""))))
    return found


def faults(version: Path) -> list[str]:
    """Return what is wrong with a publication's files; empty where they are as written."""
    recorded = swap.recorded_digests(version)
    if recorded is None:
        return [NO_DIGESTS]
    found = swap.parquet_digests(version)
    wrong = [f"{name} is missing" for name in sorted(recorded.keys() - found.keys())]
    wrong += [f"{name} is a stranger" for name in sorted(found.keys() - recorded.keys())]
    same = sorted(recorded.keys() & found.keys())
    wrong += [f"{name} has changed" for name in same if recorded[name] != found[name]]
    return wrong + _database_faults(version, [n for n in same if recorded[n] == found[n]])


def _database_faults(version: Path, names: list[str]) -> list[str]:
    """Hold the DuckDB file against the Parquet beside it, which reads every block of both."""
    try:
        with duckdb.connect(str(version / FILE), read_only=True) as db:
            if db.execute("select count(*) from meta.build").fetchone() != (1,):
                return [f"{FILE} does not say what it was made from"]
            return [
                f"{FILE} differs from {name}" for name in names if not _is_same(db, version, name)
            ]
    except duckdb.Error as error:
        return [f"{FILE} cannot be read ({str(error).splitlines()[0]})"]


def _is_same(db: duckdb.DuckDBPyConnection, version: Path, name: str) -> bool:
    _, schema, file = Path(name).parts
    table = f"{identifier(schema)}.{identifier(file.removesuffix('.parquet'))}"
    total = "select count(*), sum(hash(t)::hugeint) from"
    parquet = f"read_parquet({path_literal(version / name)})"
    return (
        db.execute(f"{total} {table} as t").fetchone()
        == db.execute(f"{total} {parquet} as t").fetchone()
    )


def examine(home: Path, published: Path, wait_seconds: float) -> list[Finding]:
    """Return what is wrong with the publications. Waits for one that is being made."""
    if not published.is_dir():
        return []
    with swap.changing(published, wait_seconds=wait_seconds):
        return _leftovers(published) + _links(home, published) + _contents(home, published)


def _leftovers(published: Path) -> list[Finding]:
    def clear() -> None:
        with swap.changing(published):
            for path in _left(published):
                swap.remove(path)

    return [
        Finding(
            f"published/{path.relative_to(published).as_posix()} was left by a killed run",
            "the next `crm run` removes it",
            clear,
        )
        for path in _left(published)
    ]


def _left(published: Path) -> list[Path]:
    links = [path for path in published.glob(".*.new") if path.is_symlink()]
    links += [path for path in published.glob("*.new") if path.is_symlink()]
    return [*swap.unfinished(published), *sorted(set(links))]


def _links(home: Path, published: Path) -> list[Finding]:
    """Return what is wrong with the links that readers follow."""
    current = swap.current_version(published)
    known = swap.versions(published)
    if current is None:
        if not known:
            return []
        return [
            Finding(
                "published/.current leads nowhere, so readers find nothing",
                "publish anew with `crm run`",
                lambda: _show_last_good(home, published),
            )
        ]

    def point() -> None:
        with swap.changing(published):
            swap.point_at(published, current)

    found = [
        Finding(f"published/{name} does not lead to the publication", "`crm run`", point)
        for name in swap.LINKS
        if (current / name).exists()
        and not (
            (published / name).is_symlink() and os.readlink(published / name) == f".current/{name}"
        )
    ]
    if (published / f"{FILE}.wal").exists():
        what = f"published/{FILE}.wal is no part of the publication, and DuckDB would replay it"
        found.append(Finding(what, "delete it", point))
    found += [
        Finding(
            f"publication {int(folder.name)} lies above the one that readers see",
            f"`crm rollback --to {int(folder.name)}` shows it to them, `crm run` publishes anew",
        )
        for folder in known
        if int(folder.name) > int(current.name)
    ]
    return found


def _contents(home: Path, published: Path) -> list[Finding]:
    current = swap.current_version(published)
    found = []
    for folder in swap.versions(published):
        is_current = current is not None and folder.name == current.name
        if (wrong := faults(folder)) and is_current:
            found.append(_damaged(home, published, wrong))
        elif wrong and wrong != [NO_DIGESTS]:
            found.append(
                Finding(
                    f"publication {int(folder.name)}, kept to go back to, is damaged: "
                    + "; ".join(wrong),
                    f"move published/.versions/{folder.name} away",
                    partial(_set_aside, home, published, folder),
                )
            )
        elif (folder / FILE).stat().st_mode & 0o222:

            def protect(file: Path = folder / FILE) -> None:
                file.chmod(0o444)

            what = f"{FILE} of publication {int(folder.name)} can be written"
            found.append(
                Finding(what, f"chmod 444 published/.versions/{folder.name}/{FILE}", protect)
            )
    return found


def _damaged(home: Path, published: Path, wrong: list[str]) -> Finding:
    """Return the finding of the publication that readers see."""
    what = f"the publication that readers see is damaged: {'; '.join(wrong)}"
    anew = "publish anew with `crm run`"
    if wrong == [NO_DIGESTS]:
        # an older crm-pipeline wrote none; going back would take away what may be whole
        return Finding(f"the publication that readers see cannot be verified: {NO_DIGESTS}", anew)
    if _last_good(published) is None:
        return Finding(what, anew)
    return Finding(
        what, f"{anew}, or go back with `crm rollback`", lambda: _show_last_good(home, published)
    )


def _last_good(published: Path) -> Path | None:
    return next((v for v in reversed(swap.versions(published)) if not faults(v)), None)


def _set_aside(home: Path, published: Path, folder: Path) -> None:
    with swap.changing(published):
        _move_away(home, folder)


def _move_away(home: Path, folder: Path) -> None:
    place = home / ASIDE
    place.mkdir(exist_ok=True)
    number = 1 + sum(1 for _ in place.iterdir())
    folder.rename(place / f"publication-{folder.name}-{number}")


def _show_last_good(home: Path, published: Path) -> None:
    """Let readers see the newest publication that is whole; move a damaged current one away."""
    with swap.changing(published):
        good, current = _last_good(published), swap.current_version(published)
        if good is None or good == current:
            return
        swap.republish(published, int(good.name))
        if current is not None:
            _move_away(home, current)
