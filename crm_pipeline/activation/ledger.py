"""``activation.duckdb``: what was sent to whom, by names that nobody else can read.

Tables: ``held`` has one row for each person that a destination holds of an audience, or may hold:
a row with a ``batch_id`` was in a batch whose end nobody saw. ``batches`` has one row for each
batch, ``contacts`` one for each time that somebody was contacted, ``rejections`` what a
destination would not take, ``assignments`` the arms of experiments. A person is the vault's keyed
hash of the customer key; only ``assignments`` have the key itself, which analysts join by. There
is no address in it.

Its own file, because it must outlive the warehouse: whoever was sent to has to be taken back, also
after the warehouse was made anew. Belongs here: the SQL. Who is sent to is said by ``plan.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from crm_pipeline.errors import UserError
from crm_pipeline.resources.warehouse import exclusive

FILE = "activation.duckdb"
VERSION = 1
WAIT_SECONDS = 60.0
ADD, CHANGE, REMOVE = "add", "change", "remove"
PENDING, DELIVERED, DEAD, SUPERSEDED = "pending", "delivered", "dead", "superseded"
TREATMENT, HOLDOUT = "treatment", "holdout"

ASSIGNMENT_COLUMNS = (
    "experiment varchar not null, audience varchar not null, audience_version integer not null, "
    "customer_key varchar not null, arm varchar not null, assigned_on date not null"
)
"""Of the table ``control.audience_assignments`` too, which is a copy."""

_TABLES = f"""
create table if not exists about (version integer not null);
create table if not exists experiments (
    experiment varchar primary key, audience varchar not null, holdout_share double not null);
create table if not exists assignments (
    {ASSIGNMENT_COLUMNS}, recorded_at timestamp not null,
    primary key (experiment, customer_key));
create table if not exists held (
    destination varchar not null, audience varchar not null, person blob not null,
    external_id varchar not null, fingerprint varchar, pending_fingerprint varchar,
    batch_id varchar);
create table if not exists contacts (
    person blob not null, audience varchar not null, contacted_on date not null);
create table if not exists rejections (
    destination varchar not null, audience varchar not null, person blob not null,
    fingerprint varchar not null);
create table if not exists batches (
    batch_id varchar primary key, destination varchar not null, audience varchar not null,
    audience_version integer not null, as_of date not null, sequence bigint not null,
    added bigint not null, changed bigint not null, removed bigint not null,
    status varchar not null, reason varchar, begun_at timestamp not null, ended_at timestamp);
"""


@dataclass(frozen=True)
class Held:
    """What the ledger knows of one person at a destination.

    Attributes:
        external_id: What the destination calls them.
        fingerprint: Of what the destination took last; ``None`` where it took nothing for sure.
        is_unsure: Whether a batch with them was begun whose end nobody saw.
    """

    external_id: str
    fingerprint: str | None
    is_unsure: bool


@dataclass(frozen=True)
class Item:
    """One person in a batch, and what is to be done: ``ADD``, ``CHANGE`` or ``REMOVE``."""

    person: bytes
    external_id: str
    action: str
    fingerprint: str = ""


@dataclass(frozen=True)
class Batch:
    """One delivery; its id is also what the destination knows a repetition by."""

    batch_id: str
    destination: str
    audience: str
    audience_version: int
    as_of: date
    sequence: int
    items: tuple[Item, ...]

    def count(self, action: str) -> int:
        """Return how many items have an action."""
        return sum(item.action == action for item in self.items)


@contextmanager
def sending(home: Path) -> Iterator[None]:
    """Hold the right to send: one sender at a time, all audiences together.

    Raises:
        UserError: Somebody else is sending.
    """
    with exclusive(home / f"{FILE}.sending", wait_seconds=WAIT_SECONDS):
        yield


@contextmanager
def open_ledger(home: Path) -> Iterator[Ledger]:
    """Yield the ledger, made if need be; open it for a moment, never while something is sent.

    Raises:
        UserError: Somebody else has it open, or it cannot be read.
    """
    file = home / FILE
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with exclusive(home / f"{FILE}.lock", wait_seconds=WAIT_SECONDS):
        try:
            con = duckdb.connect(str(file), config=config)
        except duckdb.Error as error:
            cause = str(error).splitlines()[0]
            raise UserError(
                f"the ledger {file} cannot be opened ({cause}): close the program that has it "
                "open, or `crm restore` a backup."
            ) from None
        with con:
            _ensure(con)
            yield Ledger(con)


def _ensure(con: duckdb.DuckDBPyConnection) -> None:
    known = con.execute("select 1 from duckdb_tables() where table_name = 'about'").fetchone()
    if known is None:
        con.begin()
        con.execute(_TABLES)
        con.execute("insert into about values (?)", [VERSION])
        con.commit()
        return
    row = con.execute("select max(version) from about").fetchone()
    if row and row[0] > VERSION:
        raise UserError("the ledger was written by a newer crm-pipeline: install that one.")


class Ledger:
    """The ledger, open."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        """Take an open file that holds the tables."""
        self.con = con

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.con.begin()
        try:
            yield
        except BaseException:
            self.con.rollback()
            raise
        self.con.commit()

    @contextmanager
    def _rows(self, name: str, table: pa.Table) -> Iterator[None]:
        self.con.register(name, table)
        try:
            yield
        finally:
            self.con.unregister(name)

    # Experiments

    def holdout_share(self, experiment: str) -> float | None:
        """Return the share with which an experiment began; ``None`` before it did."""
        row = self.con.execute(
            "select holdout_share from experiments where experiment = ?", [experiment]
        ).fetchone()
        return float(row[0]) if row else None

    def arms(self, experiment: str) -> dict[str, str]:
        """Return the arm of every customer that was assigned, by customer key."""
        rows = self.con.execute(
            "select customer_key, arm from assignments where experiment = ?", [experiment]
        ).fetchall()
        return dict(rows)

    def assign(
        self,
        experiment: str,
        audience: str,
        version: int,
        share: float,
        arms: Mapping[str, str],
        as_of: date,
        now: datetime,
    ) -> None:
        """Write down the arms of customers; those who have one keep it."""
        keys = sorted(arms)
        rows = pa.table({"customer_key": keys, "arm": [arms[key] for key in keys]})
        with self._transaction(), self._rows("incoming", rows):
            self.con.execute(
                "insert or ignore into experiments values (?, ?, ?)", [experiment, audience, share]
            )
            self.con.execute(
                "insert or ignore into assignments "
                "select ?, ?, ?, customer_key, arm, ?, ? from incoming",
                [experiment, audience, version, as_of, now],
            )

    # What destinations hold

    def held(self, destination: str, audience: str) -> dict[bytes, Held]:
        """Return whom a destination holds of an audience, or may hold."""
        rows = self.con.execute(
            "select person, external_id, fingerprint, batch_id is not null from held "
            "where destination = ? and audience = ?",
            [destination, audience],
        ).fetchall()
        return {person: Held(*rest) for person, *rest in rows}

    def held_anywhere(self, audience: str) -> set[bytes]:
        """Return whom any destination holds of an audience, or may hold."""
        rows = self.con.execute("select distinct person from held where audience = ?", [audience])
        return {person for (person,) in rows.fetchall()}

    def rejected(self, destination: str, audience: str) -> dict[bytes, str]:
        """Return what a destination would not take: person -> fingerprint."""
        rows = self.con.execute(
            "select person, fingerprint from rejections where destination = ? and audience = ?",
            [destination, audience],
        ).fetchall()
        return dict(rows)

    def contact_counts(self, after: date, until: date) -> dict[bytes, int]:
        """Return how often each person was contacted after one day and up to another."""
        rows = self.con.execute(
            "select person, count(*) from contacts "
            "where contacted_on > ? and contacted_on <= ? group by person",
            [after, until],
        ).fetchall()
        return dict(rows)

    # Batches

    def pending(self, destination: str, audience: str) -> list[tuple[str, int]]:
        """Return the batches that were begun and whose end nobody saw: id and sequence."""
        return self.con.execute(
            "select batch_id, sequence from batches where destination = ? and audience = ? "
            "and status = ? order by sequence",
            [destination, audience, PENDING],
        ).fetchall()

    def last_sequence(self, destination: str, audience: str) -> int:
        """Return the number of the last batch of an audience for a destination; 0 before any."""
        row = self.con.execute(
            "select coalesce(max(sequence), 0) from batches where destination = ? and audience = ?",
            [destination, audience],
        ).fetchone()
        return int(row[0]) if row else 0

    def begin(self, batch: Batch, now: datetime, *, is_contact: bool) -> None:
        """Write down that a batch is about to be sent: from now on nobody knows whom it reached."""
        items = pa.table(
            {
                "person": pa.array([item.person for item in batch.items], pa.binary()),
                "external_id": pa.array([item.external_id for item in batch.items], pa.string()),
                "action": pa.array([item.action for item in batch.items], pa.string()),
                "fingerprint": pa.array([item.fingerprint for item in batch.items], pa.string()),
            }
        )
        place = [batch.destination, batch.audience]
        with self._transaction(), self._rows("incoming", items):
            # whoever may hold them already was counted when that began
            new = "(select person from incoming where action = 'add' and person not in "
            new += "(select person from held where audience = ?))"
            if is_contact:
                self.con.execute(
                    f"insert into contacts select person, ?, ? from {new}",
                    [batch.audience, batch.as_of, batch.audience],
                )
            self.con.execute(
                "insert into held select ?, ?, person, external_id, null, null, null from incoming "
                "where action <> 'remove' and person not in "
                "(select person from held where destination = ? and audience = ?)",
                place * 2,
            )
            self.con.execute(
                "update held set batch_id = ?, pending_fingerprint = incoming.fingerprint "
                "from incoming where held.person = incoming.person "
                "and destination = ? and audience = ?",
                [batch.batch_id, *place],
            )
            self.con.execute(
                "update batches set status = ?, ended_at = ? where destination = ? "
                "and audience = ? and status = ? and batch_id <> ?",
                [SUPERSEDED, now, *place, PENDING, batch.batch_id],
            )
            counts = [batch.count(action) for action in (ADD, CHANGE, REMOVE)]
            self.con.execute(
                "insert or ignore into batches "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null, ?, null)",
                [batch.batch_id, *place, batch.audience_version, batch.as_of, batch.sequence,
                 *counts, PENDING, now],
            )  # fmt: skip

    def settle(self, batch: Batch, rejected: Collection[str], now: datetime) -> None:
        """Write down that a destination took a batch, except for some external ids."""
        rows = pa.table({"external_id": pa.array(sorted(rejected), pa.string())})
        place = [batch.destination, batch.audience, batch.batch_id]
        mine = "destination = ? and audience = ? and batch_id = ?"
        with self._transaction(), self._rows("refused", rows):
            refused = "external_id in (select external_id from refused)"
            self._forget_rejections(batch)
            self.con.execute(
                "insert into rejections select destination, audience, person, pending_fingerprint "
                f"from held where {mine} and {refused} and pending_fingerprint <> ''",
                place,
            )
            self.con.execute(
                f"delete from held where {mine} and ((pending_fingerprint = '' and not {refused}) "
                f"or (fingerprint is null and {refused}))",
                place,
            )
            self.con.execute(
                "update held set fingerprint = case when pending_fingerprint = '' or "
                f"{refused} then fingerprint else pending_fingerprint end, batch_id = null, "
                f"pending_fingerprint = null where {mine}",
                place,
            )
            self.con.execute(
                "update batches set status = ?, ended_at = ? where batch_id = ?",
                [DELIVERED, now, batch.batch_id],
            )

    def _forget_rejections(self, batch: Batch) -> None:
        people = pa.table({"person": pa.array([i.person for i in batch.items], pa.binary())})
        with self._rows("people", people):
            self.con.execute(
                "delete from rejections where destination = ? and audience = ? "
                "and person in (select person from people)",
                [batch.destination, batch.audience],
            )

    def give_up(self, batch: Batch, reason: str, now: datetime) -> None:
        """Write down that a batch could not be delivered: whom it reached stays unknown."""
        self.con.execute(
            "update batches set status = ?, reason = ?, ended_at = ? where batch_id = ?",
            [DEAD, reason, now, batch.batch_id],
        )

    # Forgetting

    def forget(
        self, customer_keys: Iterable[str], persons: Sequence[bytes]
    ) -> list[tuple[str, str, list[str]]]:
        """Drop what is known of forgotten customers; return whom lists hold of them yet.

        Those rows of ``held`` stay until the destination has taken the removal: without them nobody
        could say whom to take off.

        Returns:
            Audience, destination, external ids.
        """
        keys = pa.table({"customer_key": pa.array(sorted(customer_keys), pa.string())})
        people = pa.table({"person": pa.array(list(persons), pa.binary())})
        with self._transaction(), self._rows("keys", keys), self._rows("people", people):
            self.con.execute(
                "delete from assignments where customer_key in (select customer_key from keys)"
            )
            for table in ("contacts", "rejections"):
                self.con.execute(f"delete from {table} where person in (select person from people)")
            # what they were sent is not needed to take them off
            self.con.execute(
                "update held set fingerprint = null, pending_fingerprint = null "
                "where person in (select person from people)"
            )
            return self.con.execute(
                "select audience, destination, list(external_id order by external_id) from held "
                "semi join people using (person) group by all order by all"
            ).fetchall()

    def overdue(self, tombstones: Collection[bytes]) -> list[tuple[str, str, int]]:
        """Return audience, destination and number of forgotten people that it may hold yet."""
        gone = pa.table({"person": pa.array(list(tombstones), pa.binary())})
        with self._rows("gone", gone):
            return self.con.execute(
                "select audience, destination, count(*) from held semi join gone using (person) "
                "group by all order by all"
            ).fetchall()
