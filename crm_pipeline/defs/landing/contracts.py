"""What a source promises about its files, as plain values; ``sources.py`` reads and checks them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from ml.satisfaction import lexicons

PARSER_VERSION = 3
"""Raise it when the same file and contract land differently: contents are then landed again."""

DOCUMENT = "order"
"""What identifies a document, whose facts happen and become known together."""

TOKENS = ("email", "phone", "text")
"""Kinds of values that a token can stand for; ``vault/tokens.py`` says how each is normalised."""

CONTACTS = ("email", "phone", "full_name", "birth_date")
"""What audiences may ask the vault for, of columns that say so (``crm_pipeline/activation``)."""

TOKEN_MEANING = "Keyed token of the normalised value of {}; equal values have equal tokens."
TEXT_SCORES = {
    "length": ("integer", "Characters of the text {}, which itself stays in the vault."),
    "language": ("varchar", "Language of {}: en, zh or other; null where there is no text."),
    "sentiment": ("double", "Sentiment of {}, -1 to 1; null without text or in other languages."),
    "topics": ("varchar", "Topics that {} names, sorted, with commas between; null without text."),
}
"""What is kept of a free text, as ``<column>_<score>``: its type and meaning."""


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
        token: For a direct identifier, the kind of value (``email``, ``phone``, ``text``) whose
            keyed token the warehouse holds in its place, as ``<name>_token``.
        text: ``scores`` for free text: the warehouse holds what ``ml.satisfaction`` says of it.
        contact: For a direct identifier, what audiences may use it as: one of ``CONTACTS``.
    """

    name: str
    data_type: str
    header: str
    required: bool
    pii: str | None
    minimum: str | None
    maximum: str | None
    identifies: tuple[str, ...] = ()
    names: str | None = None
    identity: str | None = None
    token: str | None = None
    text: str | None = None
    contact: str | None = None
    happens_at: str | None = None
    until_then: str | None = None

    @property
    def identity_sql(self) -> str:
        """SQL for the number it identifies its entity by, written one way; never null.

        Staging models make their keys of the same text: ``<prefix>:<identity>``.
        """
        return f"coalesce(trim(cast({self.identity or self.name} as varchar)), '')"

    @property
    def is_direct(self) -> bool:
        """Whether it identifies a person: values go to the vault and never to the warehouse."""
        return self.pii == "direct"

    @property
    def stored(self) -> tuple[ColumnContract, ...]:
        """What the warehouse holds of it: the column itself, or what stands in its place."""
        if not self.is_direct:
            return (self,)
        if self.token:
            return (replace(self, name=f"{self.name}_token", pii="pseudonymous", token=None),)
        if self.text:
            bare = replace(self, pii=None, required=False, minimum=None, maximum=None, text=None)
            return tuple(
                replace(bare, name=f"{self.name}_{score}", data_type=kind)
                for score, (kind, _) in TEXT_SCORES.items()
            )
        return ()

    @property
    def is_temporal(self) -> bool:
        """Whether the column is a date or a timestamp."""
        return self.data_type in ("date", "timestamp")


def meaning_of(column: ColumnContract, stored: ColumnContract, description: str) -> str:
    """Return what a stored column means, which may stand in the place of the declared ``column``.

    Args:
        column: The declared column.
        stored: One of ``column.stored``.
        description: The declared column's description.
    """
    if stored is column:
        return description
    if column.token:
        return TOKEN_MEANING.format(column.name)
    return TEXT_SCORES[stored.name.removeprefix(f"{column.name}_")][1].format(column.name)


def stored_as(name: str, data_type: str, meta: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the columns, with types, that the warehouse has for one that a sources file declares.

    For whoever reads dbt's manifest and not the contract.
    """
    if meta.get("pii") != "direct":
        return [(name, data_type)]
    if meta.get("token"):
        return [(f"{name}_token", "varchar")]
    if meta.get("text"):
        return [(f"{name}_{score}", kind) for score, (kind, _) in TEXT_SCORES.items()]
    return []


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
    namespace: str = ""
    country: str | None = None

    @property
    def label(self) -> str:
        """``source.table``, as messages name it."""
        return f"{self.source}.{self.name}"

    @property
    def stored_columns(self) -> tuple[ColumnContract, ...]:
        """The columns that the warehouse holds, in the declared order."""
        return tuple(stored for column in self.columns for stored in column.stored)

    @property
    def direct_columns(self) -> tuple[ColumnContract, ...]:
        """The declared columns whose values go to the vault."""
        return tuple(column for column in self.columns if column.is_direct)

    @property
    def has_personal_columns(self) -> bool:
        """Whether a whole line may name a person: then no line is ever kept as text."""
        return any(column.pii for column in self.columns)

    @property
    def is_sealed(self) -> bool:
        """Whether its files hold direct identifiers: nothing of them is on the disk in clear."""
        return bool(self.direct_columns)

    def column(self, name: str) -> ColumnContract:
        """Return the stored column called ``name``."""
        return next(column for column in self.stored_columns if column.name == name)

    def identity_of(self, kind: str) -> ColumnContract | None:
        """Return the stored column that identifies a ``kind`` of entity, or ``None``."""
        return next((column for column in self.stored_columns if kind in column.identifies), None)

    @property
    def later_times(self) -> tuple[str, ...]:
        """The columns at whose time some column of a row comes about, the row's own time left out.

        The as-of date cuts a row by ``event_time``, and what came about later by these.
        """
        times = (c.happens_at for c in self.stored_columns if c.happens_at)
        return tuple(dict.fromkeys(time for time in times if time != self.event_time))

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
        if self.is_sealed:
            # whose row it is decides the key of its values, the word lists the scores of texts
            parts.append([[c.token, c.text, c.identifies] for c in self.columns])
            parts.append([self.namespace, self.country])
            parts.append(lexicons.digest() if any(c.text for c in self.columns) else None)
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
