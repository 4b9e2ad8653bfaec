"""Looking for people: the names and e-mails of an inbox, anywhere in the files of a home."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


class Identifiers:
    """The direct identifiers of the demo company's customers."""

    def __init__(self, inbox: Path) -> None:
        """Read them from the customer files of ``inbox``."""
        self.names: set[str] = set()
        self.emails: set[str] = set()
        for file in sorted(inbox.glob("customers_*.csv")):
            with file.open(encoding="latin-1", newline="") as lines:
                for row in csv.DictReader(lines, delimiter=";"):
                    self.names.add(row["full_name"])
                    self.emails.add(row["email"])
        self.names.discard("")
        assert len(self.names) > 50
        assert len(self.emails) > 100
        assert all(email.endswith("@example.com") for email in self.emails)
        last = {re.split("; | ", name)[0 if ";" in name else -1] for name in self.names}
        self._anchors = [
            (word.encode(encoding), encoding)
            for encoding in ENCODINGS
            for word in sorted({*last, "@example.com"})
        ]
        self._longest = max(map(len, self.names | self.emails))

    def in_text(self, text: str) -> str | None:
        """Return an identifier that ``text`` holds."""
        lowered = text.lower()
        if "@example.com" in lowered:
            return next((e for e in self.emails if e in lowered), None)
        return next((name for name in self.names if name.lower() in lowered), None)

    def in_bytes(self, data: bytes) -> str | None:
        """Return an identifier that ``data`` holds in any of the encodings."""
        for anchor, encoding in self._anchors:
            at = data.find(anchor)
            while at >= 0:
                reach = self._longest * len("x".encode(encoding))
                start = max(0, at - reach)
                if encoding.startswith("utf-16"):
                    start += (at - start) % 2
                around = data[start : at + len(anchor) + reach].decode(encoding, "ignore")
                if found := self.in_text(around):
                    return found
                at = data.find(anchor, at + 1)
        return None

    def in_file(self, file: Path) -> str | None:
        """Return an identifier in the bytes of a file, or in what it holds compressed."""
        for part in parts_of(file):
            found = self.in_bytes(part) if isinstance(part, bytes) else self.in_text(part)
            if found:
                return found
        return None

    def below(self, home: Path) -> dict[str, str]:
        """File -> an identifier in it, for every file of a home outside its inbox."""
        found = {}
        for file in sorted(home.rglob("*")):
            if file.is_symlink() or not file.is_file():
                continue
            name = file.relative_to(home).as_posix()
            if not name.startswith("inbox/") and (identifier := self.in_file(file)):
                found[name] = identifier
        return found


def parts_of(file: Path) -> Iterator[bytes | str]:
    """Yield the bytes of a file, and what it holds that its bytes do not show."""
    data = file.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:4] == b"PAR1":
        yield from _columns(file)
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            for member in members.namelist():
                yield members.read(member)
    elif data[8:12] == b"DUCK":
        yield from _duckdb_values(file)
    elif data[:15] == b"SQLite format 3":
        yield from _sqlite_values(file)


def _columns(file: Path) -> Iterator[str]:
    for column in pq.read_table(file).columns:
        yield "\n".join(str(value) for value in column.unique().to_pylist())


def _duckdb_values(file: Path) -> Iterator[str]:
    """DuckDB compresses its columns: what its bytes do not show, its rows do."""
    with duckdb.connect() as db:
        place = str(file).replace("'", "''")
        db.execute(f"attach '{place}' as w (read_only)")
        columns = db.execute(
            "select schema_name, table_name, column_name from duckdb_columns() "
            "where database_name = 'w' and data_type = 'VARCHAR' and (schema_name, table_name) in "
            "(select (schema_name, table_name) from duckdb_tables())"
        ).fetchall()
        for schema, table, column in columns:
            values = db.execute(
                f'select distinct "{column}" from w."{schema}"."{table}" where "{column}" '
                "is not null"
            ).fetchall()
            yield "\n".join(value for (value,) in values)


def _sqlite_values(file: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        names = db.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (name,) in names:
            for row in db.execute(f'select * from "{name}"'):
                yield "\n".join(str(value) for value in row)
