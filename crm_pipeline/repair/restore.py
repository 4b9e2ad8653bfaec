"""Putting a backup in the place of a home's state: verified first, staged, then only renames.

The staged copy takes the name ``.restoring`` when it is whole; from then on the restore is decided,
and ``crm doctor --fix`` completes it where it was killed: each step looks at what is there. Until
then nothing of the home has changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from crm_pipeline.dbt_command import DBT_LOCK
from crm_pipeline.defs.publication import swap
from crm_pipeline.errors import UserError
from crm_pipeline.repair import backup, manifest
from crm_pipeline.repair.findings import Finding
from crm_pipeline.repair.home import holder
from crm_pipeline.resources.warehouse import RESTORING, RUN_LOCK, BusyError, exclusive
from crm_pipeline.resources.warehouse_version import VERSION
from crm_pipeline.vault.tombstones import keep_tombstones

_STAGED = ".restoring-unfinished"
_PARTS = (backup.WAREHOUSE, backup.VAULT, "archive", "mlflow", "dagster", backup.LEDGER)
_FOLLOWERS = (f"{backup.WAREHOUSE}.wal", f"{backup.VAULT}.wal", "landed.json")
"""What speaks of the replaced warehouse: a log that would be replayed, and the sensor's index."""


def restore(source: Path, home: Path, *, force: bool = False) -> Path | None:
    """Restore a backup into a home.

    Args:
        source: The backup.
        home: An empty home, or with ``force`` one whose state is replaced.
        force: Whether existing state may be replaced.

    Returns:
        Where the replaced state is kept, or ``None`` where there was none.

    Raises:
        UserError: The backup is damaged, the home is in use or not empty; nothing was changed.
    """
    said = manifest.read(source)
    if wrong := backup.faults(source, said):
        raise UserError(
            f"the backup {source} is damaged, nothing was changed: {'; '.join(wrong)}. "
            "Take another one."
        )
    if said.schema_version > VERSION:
        raise UserError(
            f"the backup's warehouse has schema version {said.schema_version}, this crm-pipeline "
            f"knows {VERSION}: install the newer one first."
        )
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        if (home / RESTORING).exists():
            raise UserError("a restore was interrupted: complete it with `crm doctor --fix`.")
        if (held := _state_of(home)) and not force:
            raise UserError(
                f"{home} is not empty ({', '.join(held)}): restore --into another home, or replace "
                "its state with --force (it is kept aside)."
            )
        _stage(source, home, said)
        return finish(home)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the home's locks; refuse while a run is on, also between two of its steps."""
    warehouse = str(home / backup.WAREHOUSE)
    locks = [Path(warehouse + end) for end in (RUN_LOCK, ".lock", DBT_LOCK)]
    with ExitStack() as held:
        for lock in [*locks, home / "published" / swap.LOCK]:
            try:
                held.enter_context(exclusive(lock, wait_seconds=0))
            except BusyError:
                raise UserError(
                    f"{holder(lock)} works in {home}: wait for its run to end, then restore."
                ) from None
        yield


def _state_of(home: Path) -> list[str]:
    """Return what of a state a home holds; empty folders are none."""
    held = [name for name in (*_PARTS[:4], *_FOLLOWERS) if _holds_files(home / name)]
    return held + (["published"] if swap.versions(home / "published") else [])


def _holds_files(path: Path) -> bool:
    return path.is_file() or any(p.is_file() for p in path.rglob("*"))


def _keep_ledger(home: Path, staged: Path) -> None:
    """Leave the home's own ledger where there is one: what was sent cannot be unsent.

    With the backup's, nobody could take back who was sent to since.
    """
    if (home / backup.LEDGER).is_file():
        (staged / backup.LEDGER).unlink(missing_ok=True)


def _stage(source: Path, home: Path, said: manifest.Manifest) -> None:
    """Copy the backup into the home under a name that nobody reads, and verify the copy."""
    staged = home / _STAGED
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    try:
        for file in said.files:
            target = staged / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.path, target)
        if wrong := manifest.faults(staged, said):
            raise UserError(
                f"the copy does not verify, nothing was changed ({'; '.join(wrong)}): check the "
                "disk."
            )
        _keep_ledger(home, staged)
        keep_tombstones(home / backup.VAULT, staged / backup.VAULT)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        (staged / "replaced").write_text(f"replaced-{stamp}", encoding="utf-8")
        swap.fsync_tree(staged)
        staged.rename(home / RESTORING)
    except BaseException as error:
        shutil.rmtree(staged, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(
                f"the restore cannot be written, nothing was changed ({error.strerror}): make room."
            ) from None
        raise


def finish(home: Path) -> Path | None:
    """Move the staged state into place, the replaced one aside; call it with the home's locks.

    Each part moves by renames. Where this is called again after it was interrupted, what has moved
    already is no longer staged and stays as it is.
    """
    staged = home / RESTORING
    aside = home / (staged / "replaced").read_text(encoding="utf-8")
    for name in _PARTS:
        if (staged / name).exists():
            _aside(home, aside, name)
            (staged / name).rename(home / name)
    for name in _FOLLOWERS:
        _aside(home, aside, name)
    published = home / "published"
    if (staged / "published").exists():
        _keep_current(published, aside)
        swap.adopt(published, staged / "published")
        swap.prune(published)
    swap.fsync(home)
    shutil.rmtree(staged)
    return aside if aside.exists() else None


def _aside(home: Path, aside: Path, name: str) -> None:
    """Move a part of the home aside; folders without a file are no part of it."""
    part = home / name
    if not part.exists():
        return
    if not _holds_files(part):
        shutil.rmtree(part)
        return
    aside.mkdir(mode=0o700, exist_ok=True)
    place = aside / name
    while place.exists():  # a run that was refused wrote here after an interrupted restore
        place = place.with_name(place.name + ".2")
    part.rename(place)


def _keep_current(published: Path, aside: Path) -> None:
    """Keep what readers saw: a second name for each file, because readers still have them open."""
    current = swap.current_version(published)
    if current is None or (aside / "published").exists():
        return
    aside.mkdir(mode=0o700, exist_ok=True)
    temporary = aside / ".published"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(current, temporary, copy_function=swap.link_or_copy)
    os.rename(temporary, aside / "published")


def interrupted(home: Path) -> Finding | None:
    """Return the finding of a restore that was killed after it was decided."""
    if not (home / RESTORING).is_dir():
        return None

    def complete() -> None:
        with _alone(home):
            finish(home)

    return Finding("a restore was interrupted", "complete it with `crm doctor --fix`", complete)
