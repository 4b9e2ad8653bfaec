"""What a source promises about its files, as plain values; ``sources.py`` reads and checks them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date

PARSER_VERSION = 2
"""Raise it when the same file and contract land differently: contents are then landed again."""


@dataclass(frozen=True)
class ColumnContract:
    """One column of a table: its type, and what a value must satisfy.

    Attributes:
        name: Name in the warehouse.
        data_type: DuckDB's type, in lower case.
        header: Name in the file.
        required: Whether a row without it is quarantined.
        pii: ``direct``, ``pseudonymous`` or ``None``.
        minimum: Least value.
        maximum: Greatest value.
        identifies: What the column holds the number of: ``order``, ``customer``, ``product``, ...;
            several where one number names several things (a customer and the only contract).
            Rows that share it are rebuilt together, so that a refresh rebuilds nothing else.
        identity: SQL over the column where one number can be written in several ways.
    """

    name: str
    data_type: str
    header: str
    required: bool
    pii: str | None
    minimum: str | None
    maximum: str | None
    identifies: tuple[str, ...] = ()
    identity: str | None = None

    @property
    def identity_sql(self) -> str:
        """SQL for the number it identifies its entity by, written one way; never null.

        Staging models make their keys of the same text: ``<prefix>:<identity>``.
        """
        return f"coalesce(trim(cast({self.identity or self.name} as varchar)), '')"

    @property
    def is_stored(self) -> bool:
        """Whether values reach the warehouse; direct identifiers do not."""
        return self.pii != "direct"

    @property
    def is_temporal(self) -> bool:
        """Whether the column is a date or a timestamp."""
        return self.data_type in ("date", "timestamp")


@dataclass(frozen=True)
class TableContract:
    """One table of a source: which files feed it and how they are read.

    Where a sources file lists several delimiters they are ``delimiters``, and ``delimiter`` is the
    one that a file's header turned out to have (the first of them while no file is read).
    """

    source: str
    name: str
    identifier: str
    declared_in: str
    time_zone: str
    files: tuple[str, ...]
    format: str
    delimiter: str | None
    quote: str | None
    encoding: str
    fallback_encoding: str
    header: bool
    null_tokens: tuple[str, ...]
    date_formats: tuple[str, ...]
    timestamp_formats: tuple[str, ...]
    key: tuple[str, ...]
    version: str | None
    event_time: str | None
    expected_every_days: float | None
    max_quarantine_rate: float | None
    control_total: str | None
    columns: tuple[ColumnContract, ...]
    ignored_columns: tuple[str, ...] = ()
    delimiters: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``source.table``, as messages name it."""
        return f"{self.source}.{self.name}"

    @property
    def stored_columns(self) -> tuple[ColumnContract, ...]:
        """The columns that the warehouse holds, in the declared order."""
        return tuple(column for column in self.columns if column.is_stored)

    @property
    def has_personal_columns(self) -> bool:
        """Whether a whole line may name a person: then no line is ever kept as text."""
        return any(column.pii for column in self.columns)

    @property
    def is_archived(self) -> bool:
        """Whether the file itself may be kept."""
        return all(column.is_stored for column in self.columns)

    def column(self, name: str) -> ColumnContract:
        """Return the column called ``name``."""
        return next(column for column in self.columns if column.name == name)

    def identity_of(self, kind: str) -> ColumnContract | None:
        """Return the column that identifies a ``kind`` of entity, or ``None``."""
        return next((column for column in self.columns if kind in column.identifies), None)

    @property
    def digest(self) -> str:
        """A digest of everything that decides what a file's bytes become.

        Two contracts with the same digest land the same file as the same rows; patterns,
        descriptions, freshness and the tolerated share of bad lines are not part of it.
        """
        columns = [
            [c.name, c.data_type, c.header, c.required, c.pii, c.minimum, c.maximum]
            for c in self.columns
        ]
        parts = [PARSER_VERSION, *self.reading.values(), columns]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def reading(self) -> dict[str, object]:
        """How the files are read: what of the digest does not belong to a column."""
        return {
            "time_zone": self.time_zone,
            "format": self.format,
            "delimiter": self.delimiters or self.delimiter,
            "quote": self.quote,
            "encoding": self.encoding,
            "fallback_encoding": self.fallback_encoding,
            "header": self.header,
            "null_tokens": self.null_tokens,
            "date_formats": self.date_formats,
            "timestamp_formats": self.timestamp_formats,
        }


@dataclass(frozen=True)
class SourceContract:
    """One source: its tables, what they share, and the canonical entities it feeds."""

    name: str
    namespace: str
    time_zone: str
    currency: str | None
    as_of: date | None
    tables: tuple[TableContract, ...]
    entities: tuple[str, ...] = ()
