"""The one DuckDB file of the pipeline, and the only two ways to open it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import duckdb

from crm_pipeline.dbt_command import DBT_LOCK
from crm_pipeline.errors import UserError
from crm_pipeline.resources.warehouse_version import refuse_newer
from crm_pipeline.vault.rewriting import rewrite

WRITER_POOL = "duckdb_writer"
"""Every step that opens the warehouse, dbt included, holds this pool's one slot (dagster.yaml)."""

_SESSION = "set TimeZone = 'UTC'"
"""Sessions agree on what a text time means, whatever the machine's zone is."""


RUN_LOCK = ".run"
"""After the warehouse's name: held for as long as a whole run is on."""

RESTORING = ".restoring"
"""Folder beside the warehouse while a restore is half done (``crm_pipeline/repair/restore.py``)."""


class BusyError(UserError):
    """Somebody else holds the lock."""


def unreadable(error: duckdb.Error) -> UserError:
    """Return what to tell a user of a warehouse file that DuckDB cannot open."""
    cause = str(error).splitlines()[0]
    if "lock on file" in cause:
        return UserError(
            f"another program has the warehouse open ({cause}): close it, and let it open "
            "published/crm.duckdb instead."
        )
    return UserError(
        f"the warehouse cannot be opened ({cause}): `crm restore` a backup, or move "
        "warehouse.duckdb away and land the files again (`crm doctor` says more)."
    )


@contextmanager
def exclusive(lock_file: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold an operating-system lock, which the kernel releases even when we are killed.

    Dagster's pool keeps steps apart; this keeps processes apart that Dagster does not know
    (a run killed with -9 keeps its pool slot, a second ``crm run`` has its own instance).

    Raises:
        BusyError: Another process still holds the lock after ``wait_seconds``.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as handle:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"another process holds {lock_file.name}; wait for its run to end "
                        "(`crm status` shows it) or end it, then run again."
                    ) from None
                time.sleep(0.1)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def is_held(lock: Path) -> bool:
    """Whether some process holds the lock."""
    try:
        with lock.open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class Warehouse(dg.ConfigurableResource):
    """Short-lived DuckDB connections; nothing here outlives its ``with`` block."""

    path: str
    scratch: str
    memory_limit: str = "2GB"
    wait_seconds: float = 600.0
    turn_seconds: float = 3600.0

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Warehouse]:
        """Hold the warehouse for a whole run: its steps rely on what the ones before them left.

        Taken before the first step claims its pool slot, or two runs would wait for each other.

        Raises:
            UserError: Another run did not end within ``turn_seconds``.
        """
        turn = Path(self.path + RUN_LOCK)
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(turn, wait_seconds=0))
            except BusyError:
                if context.log is not None:
                    context.log.warning("another run is on in this home; this one follows it")
                held.enter_context(exclusive(turn, wait_seconds=self.turn_seconds))
            yield self

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold the file without opening it: for dbt, which opens it in a process of its own.

        dbt's process outlives a run that is killed, and holds a lock of its own (``crm-dbt``).
        """
        with exclusive(Path(self.path + ".lock"), wait_seconds=self.wait_seconds):
            with self._no_dbt():
                pass
            if Path(self.path).with_name(RESTORING).exists():
                raise UserError("a restore was interrupted: complete it with `crm doctor --fix`.")
            yield

    def _no_dbt(self) -> AbstractContextManager[None]:
        """Wait for a dbt that a killed run left; inside, none can begin."""
        return exclusive(Path(self.path + DBT_LOCK), wait_seconds=self.wait_seconds)

    def _config(self) -> dict[str, str | bool | int | float | list[str]]:
        return {
            "temp_directory": self.scratch,
            "memory_limit": self.memory_limit,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # only this pipeline opens the file: the newest format writes twice as fast
            "storage_compatibility_version": "latest",
        }

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.slot(), self._no_dbt():
            try:
                connection = duckdb.connect(self.path, read_only=read_only, config=self._config())
            except duckdb.Error as error:
                raise unreadable(error) from None
            try:
                connection.execute(_SESSION)
                refuse_newer(connection)
                yield connection
            finally:
                connection.close()

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a read-only connection; call it only from steps in ``WRITER_POOL``.

        Raises:
            UserError: There is no warehouse yet.
        """
        if not Path(self.path).is_file():
            raise UserError("there is no warehouse yet: materialise the raw tables (`crm run`).")
        with self._open(read_only=True) as connection:
            yield connection

    @contextmanager
    def writer(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a read-write connection; call it only from steps in ``WRITER_POOL``."""
        with self._open(read_only=False) as connection:
            yield connection

    def rewrite(self, before_swap: str) -> None:
        """Write the file anew, so that nothing is left in it of what was deleted.

        ``before_swap`` is executed on the new file before it takes the old one's place.
        """
        with self.slot(), self._no_dbt():
            rewrite(Path(self.path), self._config(), before_swap=before_swap)

    @contextmanager
    def publishing(self, target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection to the new file ``target`` (``p``) beside the warehouse (``w``).

        The warehouse is attached read-only; leaving the block checkpoints and closes the file.
        """
        with self.slot(), self._no_dbt():
            connection = duckdb.connect(config=self._config())
            try:
                connection.execute(_SESSION)
                path, new = self.path.replace("'", "''"), str(target).replace("'", "''")
                try:
                    connection.execute(f"attach '{path}' as w (read_only)")
                except duckdb.Error as error:
                    raise unreadable(error) from None
                refuse_newer(connection, "w")
                connection.execute(f"attach '{new}' as p")
                connection.execute("use p")
                yield connection
                connection.execute("checkpoint p")
            finally:
                connection.close()
