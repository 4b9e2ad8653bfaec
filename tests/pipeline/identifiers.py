"""Looking for people: identifiers of the demo company's inbox, anywhere in the files of a home."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from crm_pipeline.demo.files import LAYOUTS
from tests.pipeline.patterns import Patterns

ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "gb18030")

PERSONAL = {
    "demo": {"customers": ("full_name", "email")},
    "demo_desk": {
        "agents": ("full_name",),
        "tickets": ("requester_name", "requester_email", "requester_phone"),
        "survey_responses": ("comment",),
    },
    "demo_marketing": {"campaign_touches": ("email",), "consents": ("email", "phone")},
    "demo_sales": {
        "owners": ("full_name",),
        "accounts": (
            *("account_name", "contact_name", "contact_email", "contact_phone", "street"),
        ),
        "leads": ("contact_email", "note"),
    },
}
"""What the demo company's files tell of people, by department and table: not read from the sources
files, which may have forgotten a column."""

TEXT_SEEN = 40
"""So many characters of a free text are looked for: its beginning, where a part of it leaks."""
SHORTEST = 6
"""Bytes: four bytes of a name come up in sealed data by chance. So a Chinese name of two signs is
looked for in UTF-8 only."""


class Identifiers:
    """The direct identifiers in the files of the demo company's inbox."""

    def __init__(self, inbox: Path) -> None:
        """Read them from the folders of the departments in ``inbox``."""
        self.of_column = {
            (source, table, column): values
            for source, tables in PERSONAL.items()
            for table, columns in tables.items()
            for column, values in _values(inbox / source, table, columns).items()
        }
        every = set().union(*self.of_column.values())
        self.emails = {
            value.strip() for value in every if "@" in value and " " not in value.strip()
        }
        self.names = self.of_column["demo", "customers", "full_name"]
        assert all(self.of_column.values()), [k for k, found in self.of_column.items() if not found]
        assert len(self.names) > 50
        assert len(self.emails) > 100
        assert all(email.lower().endswith("@example.com") for email in self.emails)
        # anchor -> what is looked for around it, both in an encoding and with small letters
        self._anchors: dict[bytes, set[tuple[bytes, str]]] = {}
        for (_, _, column), values in self.of_column.items():
            for value in values:
                self._look_for(column, value.strip())
        self._longest = max(len(b) for found in self._anchors.values() for b, _ in found)
        self._patterns = Patterns(self._anchors)

    def _look_for(self, column: str, value: str) -> None:
        if column in ("comment", "note"):
            value = value[:TEXT_SEEN]
        anchor = _anchor(column, value)
        assert anchor in value, (column, value)
        for encoding in ENCODINGS:
            try:
                held = value.encode(encoding).lower()
            except UnicodeEncodeError:
                continue
            # what a Latin-1 file could not hold are question marks, and nobody
            if len(held) >= SHORTEST and value.strip("? "):
                self._anchors.setdefault(anchor.encode(encoding).lower(), set()).add((held, value))

    def in_bytes(self, data: bytes) -> str | None:
        """Return an identifier that ``data`` holds in any of the encodings."""
        small = data.lower()
        for at, anchor in self._patterns.places(small):
            around = small[max(0, at - self._longest) : at + self._longest]
            wanted = self._anchors[anchor]
            if found := next((value for held, value in wanted if held in around), None):
                return found
        return None

    def in_text(self, text: str) -> str | None:
        """Return an identifier that ``text`` holds."""
        return self.in_bytes(text.encode("utf-8", "surrogatepass"))

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


def _anchor(column: str, value: str) -> str:
    """Return a part of an identifier that many share: what is searched for first."""
    if "email" in column:
        return value[value.index("@") :]
    if "phone" in column:
        return value[:6]
    if column == "street":
        return value.rpartition(" ")[0]
    if column == "account_name":
        return value.partition("&")[2]
    if column in ("comment", "note"):
        return value[:9]
    return re.split("; ", value)[0] if ";" in value else value.rpartition(" ")[2]


def rows_of(folder: Path, table: str) -> Iterator[dict[str, str | None]]:
    """Yield the records of a table's files as texts; a torn one without what is missing."""
    layout = LAYOUTS[table]
    for file in sorted(folder.iterdir()):
        if not re.fullmatch(rf"{table}(_\d{{4}}.*)?\.(csv|jsonl|parquet)(\.gz)?", file.name):
            continue
        if layout.is_parquet:
            yield from pq.read_table(file).to_pylist()
            continue
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = data.decode(layout.encoding)
        if layout.is_json:
            for line in text.splitlines():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    continue
        else:
            lines = io.StringIO(text, newline="")
            yield from csv.DictReader(lines, delimiter=layout.delimiter)


def _values(folder: Path, table: str, columns: tuple[str, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {column: set() for column in columns}
    for row in rows_of(folder, table):
        for column in columns:
            if value := row.get(column):
                found[column].add(value)
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
            rows = db.execute(f'select * from "{name}"')
            # one text a table: each is searched for every identifier
            yield "\n".join(str(value) for row in rows for value in row)
