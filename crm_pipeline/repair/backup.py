"""A copy of a home, consistent although the pipeline runs, with a digest of every file.

Warehouse and vault come first, under the writer's slot; then what they refer to, which only grows:
MLflow (its database, then its files), the archive, the publication. So a backup may hold a model or
a content that its warehouse does not know yet, never the other way round.

Not in it: the inbox and the outbox (their files hold direct identifiers), logs, settings such as
``.env``, and
the master key, without which the vault and the archive's sealed files cannot be read.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from crm_pipeline.activation.ledger import FILE as LEDGER
from crm_pipeline.code_version import code_version
from crm_pipeline.defs.publication import swap
from crm_pipeline.errors import UserError
from crm_pipeline.repair import manifest as manifests
from crm_pipeline.repair.contents import accounting_faults
from crm_pipeline.repair.home import UNFINISHED_BACKUP, door
from crm_pipeline.repair.manifest import Manifest
from crm_pipeline.resources.warehouse import exclusive
from crm_pipeline.resources.warehouse_version import schema_version
from crm_pipeline.settings import Settings
from crm_pipeline.vault.store import FILE as VAULT

WAREHOUSE = "warehouse.duckdb"
WAIT_SECONDS = 600.0
_HISTORY = ("history", "storage", "schedules")
_TRIES = 3


def make(settings: Settings, target: Path | None = None, *, history: bool = False) -> Path:
    """Write a backup, verify it, and only then give it its name.

    Args:
        settings: The company's settings.
        target: The folder that becomes the backup; ``None`` means one below ``backups/``.
        history: Whether Dagster's run history is copied too.

    Returns:
        The backup's folder.

    Raises:
        UserError: There is nothing to back up, the target exists, or the copy does not verify.
    """
    if not settings.warehouse.is_file():
        raise UserError(f"there is no warehouse in {settings.home}: there is nothing to back up.")
    made_at = datetime.now(UTC)
    target = target or settings.home / "backups" / made_at.strftime("%Y%m%dT%H%M%SZ")
    if target.exists():
        raise UserError(f"{target} exists already: name a folder that does not.")
    try:
        with _aside(target) as folder:
            _copy(settings, folder, history)
            manifest = _describe(settings, folder, made_at)
            manifests.write(folder, manifest)
            if wrong := faults(folder, manifest):
                raise UserError(
                    f"the copy does not verify ({'; '.join(wrong)}): check the disk and call "
                    "`crm doctor`, then back up again."
                )
            for path in folder.rglob("*"):
                path.chmod(0o700 if path.is_dir() else 0o600)
            swap.fsync_tree(folder)
    except OSError as error:
        raise UserError(
            f"the backup cannot be written ({error.strerror or error}): make room, or name another "
            "place with --to."
        ) from None
    return target


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Yield a folder that takes the name ``target`` if the block succeeds, and goes if not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f"{UNFINISHED_BACKUP}{target.name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    folder.chmod(0o700)
    lock = folder / manifests.LOCK
    try:
        with exclusive(lock, wait_seconds=0):
            yield folder
            lock.unlink()
            folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy(settings: Settings, folder: Path, history: bool) -> None:
    with door(settings, WAIT_SECONDS).slot():
        _copy_warehouse(settings.warehouse, folder / WAREHOUSE)
        if (settings.home / VAULT).is_file():
            _copy_warehouse(settings.home / VAULT, folder / VAULT)
    if (settings.home / LEDGER).is_file():
        with exclusive(settings.home / f"{LEDGER}.lock", wait_seconds=WAIT_SECONDS):
            _copy_warehouse(settings.home / LEDGER, folder / LEDGER)
    _copy_folder(settings.home / "mlflow", folder / "mlflow")
    _copy_folder(settings.home / "archive", folder / "archive")
    _copy_publication(settings.published, folder / "published")
    if history:
        for name in _HISTORY:
            _copy_folder(settings.dagster_home / name, folder / "dagster" / name)


def _copy_warehouse(warehouse: Path, target: Path) -> None:
    """Copy the file while nobody has it open, what a killed run left in its log included."""
    if warehouse.with_name(warehouse.name + ".wal").exists():
        with closing(duckdb.connect(str(warehouse))) as db:
            db.execute("checkpoint")
    shutil.copyfile(warehouse, target)


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a folder: first its SQLite databases, by their own means, then its other files."""
    databases = sorted(path for path in source.rglob("*.db") if path.is_file())
    for database in databases:
        copy = target / database.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(sqlite3.connect(database, timeout=60)) as old,
            closing(sqlite3.connect(copy)) as new,
        ):
            old.backup(new)
    held = {f"{path}{end}" for path in databases for end in ("", "-wal", "-shm", "-journal")}
    for path in sorted(source.rglob("*")):
        is_file = path.is_file() and not path.is_symlink() and not path.name.startswith(".env")
        if is_file and str(path) not in held:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(path, copy)
            except FileNotFoundError:  # it was temporary
                copy.unlink(missing_ok=True)


def _copy_publication(published: Path, target: Path) -> None:
    """Copy what readers see; begin again if three runs published meanwhile and it went."""
    for attempt in range(_TRIES):
        current = swap.current_version(published)
        if current is None:
            return
        try:
            shutil.copytree(current, target, copy_function=shutil.copyfile)
            return
        except (FileNotFoundError, shutil.Error):
            shutil.rmtree(target, ignore_errors=True)
            if attempt == _TRIES - 1:
                raise
            time.sleep(1)


def _describe(settings: Settings, folder: Path, made_at: datetime) -> Manifest:
    with duckdb.connect(str(folder / WAREHOUSE), read_only=True) as db:
        has_settings = db.execute(
            "select count(*) from duckdb_tables() "
            "where schema_name = 'control' and table_name = 'run_settings'"
        ).fetchone()
        row = None
        if has_settings == (1,):
            row = db.execute("select as_of from control.run_settings").fetchone()
        version = schema_version(db)
    return Manifest(
        format=manifests.FORMAT,
        made_at=made_at.isoformat(timespec="seconds"),
        as_of=str(row[0]) if row else None,
        sources=list(settings.sources),
        code_version=code_version(),
        duckdb=duckdb.__version__,
        schema_version=version,
        files=manifests.files_of(folder),
    )


def faults(folder: Path, manifest: Manifest) -> list[str]:
    """Return what is wrong with a backup: its files, its warehouse's account, its publication."""
    if wrong := manifests.faults(folder, manifest):
        return wrong
    try:
        with duckdb.connect(str(folder / WAREHOUSE), read_only=True) as db:
            return accounting_faults(db)
    except duckdb.Error as error:
        return [f"{WAREHOUSE} cannot be opened ({str(error).splitlines()[0]})"]
