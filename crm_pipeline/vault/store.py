"""``vault.duckdb``: the values of direct identifiers, each encrypted with its person's own key.

Tables: ``keys`` has one row for each person (the keyed hash of the customer key; of rows that name
no customer, a random number a row) with the data key, wrapped by the master key; ``contents`` one
for each content that landed under a contract; ``sealed`` one for each value; ``tombstones`` one for
each customer that was forgotten and each document of theirs. Belongs here: their SQL, and
encryption in bulk. What is personal, and whose it is, is said by landing.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crm_pipeline.errors import UserError
from crm_pipeline.vault.keys import KEY_BYTES, PERSON_BYTES, Keys, find_keys

FILE = "vault.duckdb"
VERSION = 1
NONCE_BYTES = 12
_TABLES = """
create table if not exists about (version integer not null, proof blob not null);
create table if not exists keys (person blob not null, wrapped blob not null);
create table if not exists contents (
    content integer not null, source varchar not null, table_name varchar not null,
    digest varchar not null, contract_digest varchar not null);
create table if not exists sealed (
    content integer not null, line bigint not null, column_name varchar not null,
    person blob not null, value blob not null);
create table if not exists tombstones (
    kind varchar not null, identity blob not null, forgotten_at timestamp not null);
"""

Content = tuple[str, str, str, str]
"""Source, table, digest of the content, digest of the contract it landed under."""


def associated(source: str, table: str, column: str) -> bytes:
    """Return what a value's ciphertext is bound to, beside its person."""
    return f"{source}\0{table}\0{column}\0".encode()


def connect(file: Path) -> duckdb.DuckDBPyConnection:
    """Open a vault's file; DuckDB must not spill what it reads of it."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        return duckdb.connect(str(file), config=config)
    except duckdb.Error as error:
        cause = str(error).splitlines()[0]
        raise UserError(
            f"the vault {file} cannot be opened ({cause}): close the program that has it open, "
            "or `crm restore` a backup."
        ) from None


@contextmanager
def open_vault(home: Path, given_key: str | None) -> Iterator[Vault]:
    """Yield the home's vault, made if need be; call it with the warehouse's slot held.

    Raises:
        UserError: The key is missing, was readable by others, or is another one.
    """
    is_new = not (home / FILE).is_file()
    keys = find_keys(home, given_key, creates=is_new)
    with connect(home / FILE) as con:
        row = None
        if con.execute("select 1 from duckdb_tables() where table_name = 'about'").fetchone():
            row = con.execute("select version, proof from about").fetchone()
        if row is None:
            con.begin()
            con.execute(_TABLES)
            con.execute("insert into about values (?, ?)", [VERSION, keys.proof])
            con.commit()
        if row is not None and row[0] > VERSION:
            raise UserError("the vault was written by a newer crm-pipeline: install that one.")
        if row is not None and not hmac.compare_digest(row[1], keys.proof):
            raise UserError(
                f"the master key is not the one that {home / FILE} was encrypted with: put the "
                "right one into CRM_MASTER_KEY or master.key. Nothing was changed."
            )
        yield Vault(con, keys)


class Vault:
    """The vault, opened with its key."""

    def __init__(self, con: duckdb.DuckDBPyConnection, keys: Keys) -> None:
        """Take an open file that holds the tables."""
        self.con = con
        self.keys = keys

    # Values

    def begin_content(self, content: Content) -> int:
        """Begin a transaction in which a content's values are put; return its number."""
        self.con.begin()
        self._drop(content)
        row = self.con.execute(
            "insert into contents select coalesce(max(content), 0) + 1, ?, ?, ?, ? from contents "
            "returning content",
            list(content),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _drop(self, content: Content) -> None:
        held = (
            "select content from contents where source = ? and table_name = ? and digest = ? "
            "and contract_digest = ?"
        )
        self.con.execute(f"delete from sealed where content in ({held})", list(content))
        self.con.execute(f"delete from contents where content in ({held})", list(content))

    def put(
        self,
        number: int,
        content: Content,
        lines: Sequence[int],
        persons: Sequence[bytes],
        columns: dict[str, Sequence[str | None]],
    ) -> None:
        """Encrypt and store values of a content.

        Args:
            number: What ``begin_content`` returned.
            content: The content.
            lines: The line of each row.
            persons: The person of each row, as ``Keys.identity`` or ``new_persons`` has it.
            columns: Column -> the value of each row.
        """
        ciphers = self._ciphers(persons)
        for column, values in columns.items():
            bound = associated(content[0], content[1], column)
            at = [index for index, value in enumerate(values) if value is not None]
            nonces = os.urandom(NONCE_BYTES * len(at))
            sealed = []
            for n, index in enumerate(at):
                person, value = persons[index], values[index]
                assert value is not None
                nonce = nonces[n * NONCE_BYTES : (n + 1) * NONCE_BYTES]
                data = value.encode("utf-8", "surrogatepass")
                sealed.append(nonce + ciphers[person].encrypt(nonce, data, bound + person))
            self._insert(
                "sealed",
                content=pa.array([number] * len(at), pa.int32()),
                line=pa.array([lines[index] for index in at], pa.int64()),
                column_name=pa.array([column] * len(at), pa.string()),
                person=pa.array([persons[index] for index in at], pa.binary()),
                value=pa.array(sealed, pa.binary()),
            )

    def _insert(self, table: str, **columns: pa.Array) -> None:
        rows = pa.table(columns)
        if rows.num_rows:
            self.con.register("incoming", rows)
            self.con.execute(f"insert into {table} by name select * from incoming")
            self.con.unregister("incoming")

    def _ciphers(self, persons: Sequence[bytes]) -> dict[bytes, AESGCM]:
        """Return the cipher of each person, whose key is made where there is none."""
        distinct = list(dict.fromkeys(persons))
        wrapping = self.keys.wrapping
        self.con.register("wanted", pa.table({"person": pa.array(distinct, pa.binary())}))
        known = self.con.execute(
            "select person, wrapped from keys semi join wanted using (person)"
        ).fetchall()
        self.con.unregister("wanted")
        try:
            ciphers = {
                person: AESGCM(
                    wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], person)
                )
                for person, wrapped in known
            }
        except InvalidTag:
            raise UserError(
                "the vault's keys were changed from outside: `crm restore` a backup."
            ) from None
        new = [person for person in distinct if person not in ciphers]
        data_keys, nonces = os.urandom(KEY_BYTES * len(new)), os.urandom(NONCE_BYTES * len(new))
        wrapped_keys = []
        for n, person in enumerate(new):
            data_key = data_keys[n * KEY_BYTES : (n + 1) * KEY_BYTES]
            nonce = nonces[n * NONCE_BYTES : (n + 1) * NONCE_BYTES]
            ciphers[person] = AESGCM(data_key)
            wrapped_keys.append(nonce + wrapping.encrypt(nonce, data_key, person))
        self._insert(
            "keys",
            person=pa.array(new, pa.binary()),
            wrapped=pa.array(wrapped_keys, pa.binary()),
        )
        return ciphers

    def read(self, source: str, table: str, digest: str, line: int) -> dict[str, str]:
        """Return the personal values of one landed row, by column."""
        rows = self.con.execute(
            "select column_name, person, value, wrapped from sealed join contents using (content) "
            "join keys using (person) where source = ? and table_name = ? and digest = ? "
            "and line = ? order by content, column_name",
            [source, table, digest, line],
        ).fetchall()
        found = {}
        for column, person, value, wrapped in rows:
            key = self.keys.wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], person)
            bound = associated(source, table, column) + person
            data = AESGCM(key).decrypt(value[:NONCE_BYTES], value[NONCE_BYTES:], bound)
            found[column] = data.decode("utf-8", "surrogatepass")
        return found

    def values_at(
        self, source: str, table: str, columns: Sequence[str], places: pa.Table
    ) -> dict[tuple[str, int, str], str]:
        """Return some rows' values of some columns, by digest of the content, line and column.

        Args:
            source: The source.
            table: The table.
            columns: The columns.
            places: The rows: ``digest``, ``line``.
        """
        self.con.register("places", places)
        rows = self.con.execute(
            "select digest, line, column_name, person, value, wrapped from sealed "
            "join contents using (content) join keys using (person) "
            "semi join places using (digest, line) where source = ? and table_name = ? "
            "and column_name in (select unnest(?::varchar[])) order by content",
            [source, table, list(columns)],
        ).fetchall()
        self.con.unregister("places")
        wrapping = self.keys.wrapping
        ciphers: dict[bytes, AESGCM] = {}
        found = {}
        for digest, line, column, person, value, wrapped in rows:
            if person not in ciphers:
                key = wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], person)
                ciphers[person] = AESGCM(key)
            bound = associated(source, table, column) + person
            data = ciphers[person].decrypt(value[:NONCE_BYTES], value[NONCE_BYTES:], bound)
            found[digest, int(line), column] = data.decode("utf-8", "surrogatepass")
        return found

    def texts(self, source: str, table: str, column: str) -> dict[tuple[str, int], str]:
        """Return the values of a column, by digest of the content and line."""
        rows = self.con.execute(
            "select digest, line, person, value, wrapped from sealed join contents using (content) "
            "join keys using (person) where source = ? and table_name = ? and column_name = ? "
            "order by content, line",
            [source, table, column],
        ).fetchall()
        bound, wrapping = associated(source, table, column), self.keys.wrapping
        ciphers: dict[bytes, AESGCM] = {}
        found = {}
        for digest, line, person, value, wrapped in rows:
            if person not in ciphers:
                key = wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], person)
                ciphers[person] = AESGCM(key)
            nonce, sealed = value[:NONCE_BYTES], value[NONCE_BYTES:]
            data = ciphers[person].decrypt(nonce, sealed, bound + person)
            found[digest, int(line)] = data.decode("utf-8", "surrogatepass")
        return found

    def tombstones(self) -> list[bytes]:
        """Return who and what was forgotten, by keyed hash."""
        return [one for (one,) in self.con.execute("select identity from tombstones").fetchall()]

    def bury(self, found: Iterable[tuple[str, bytes]], now: datetime) -> None:
        """Write tombstones: kind and keyed hash; those that are there stay as they are."""
        held = set(self.con.execute("select kind, identity from tombstones").fetchall())
        new = sorted(set(found) - held)
        if new:
            self._insert(
                "tombstones",
                kind=pa.array([kind for kind, _ in new], pa.string()),
                identity=pa.array([one for _, one in new], pa.binary()),
                forgotten_at=pa.array([now] * len(new), pa.timestamp("us")),
            )

    def destroy(self, persons: Collection[bytes]) -> int:
        """Delete persons' keys, wrapped as they are, and their values; return the values."""
        self.con.begin()
        self.con.register("gone", pa.table({"person": pa.array(list(persons), pa.binary())}))
        counted = self.con.execute(
            "select count(*) from sealed semi join gone using (person)"
        ).fetchone()
        for table in ("keys", "sealed"):
            self.con.execute(f"delete from {table} where person in (select person from gone)")
        self.con.unregister("gone")
        self.con.commit()
        return int(counted[0]) if counted else 0

    def drop_lines(self, source: str, table: str, lines: pa.Table) -> int:
        """Delete the values of rows that are not among ``lines`` (``digest``, ``line``)."""
        self.con.register("standing", lines)
        row = self.con.execute(
            "delete from sealed where content in (select content from contents "
            "where source = ? and table_name = ?) and (content, line) not in "
            "(select (content, line) from standing join contents using (digest) "
            "where source = ? and table_name = ?)",
            [source, table, source, table],
        ).fetchone()
        self.con.unregister("standing")
        return int(row[0]) if row else 0

    def sweep(self, stands: Collection[Content]) -> int:
        """Delete what no landed content stands behind, and keys without values; return contents."""
        held = self.con.execute("select * from contents order by all").fetchall()
        gone = [number for number, *content in held if tuple(content) not in stands]
        if gone:
            self.con.begin()
            for table in ("sealed", "contents"):
                self.con.execute(
                    f"delete from {table} where content in (select unnest(?::integer[]))", [gone]
                )
            self.con.execute("delete from keys where person not in (select person from sealed)")
            self.con.commit()
        return len(gone)


def new_persons(count: int) -> list[bytes]:
    """Return random persons, for rows that name no customer."""
    data = os.urandom(PERSON_BYTES * count)
    return [data[n * PERSON_BYTES : (n + 1) * PERSON_BYTES] for n in range(count)]
