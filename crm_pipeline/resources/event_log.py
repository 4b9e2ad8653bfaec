"""Dagster's event log, with connections that stay open as long as a run writes to it.

Dagster opens and closes SQLite, and prepares its statements anew, for each of the thousand events
of a run: seconds, as every close writes the log back. Who else reads it meanwhile, such as the UI,
sees each event once it is committed, as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterInstance
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool


@contextmanager
def kept_open(instance: DagsterInstance) -> Iterator[None]:
    """Keep the connections of an instance's SQLite event log; of another kind of log, do nothing.

    Its own lock still lets one thread at a time use a connection.
    """
    log = instance.event_log_storage
    if not isinstance(log, SqliteEventLogStorage):
        yield
        return
    opened_by_dagster = log._connect
    engines: dict[str, Engine] = {}

    @contextmanager
    def connect(shard: str) -> Iterator[Connection]:
        if shard not in engines:
            with opened_by_dagster(shard):
                pass  # it has its tables now
        with log._db_lock:
            if shard not in engines:
                engines[shard] = create_engine(
                    log.conn_string_for_shard(shard),
                    poolclass=StaticPool,
                    connect_args={
                        "timeout": SQLITE_BUSY_TIMEOUT_SECONDS,
                        "check_same_thread": False,
                    },
                )
            with engines[shard].begin() as connection:
                yield connection

    log._connect = connect  # type: ignore[method-assign]
    try:
        yield
    finally:
        log._connect = opened_by_dagster  # type: ignore[method-assign]
        for engine in engines.values():
            engine.dispose()
