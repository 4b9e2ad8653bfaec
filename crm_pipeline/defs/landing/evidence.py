"""What the values of a file say about a suspicion: do they fit, and what do they look like.

Belongs here: looking at a sample of one field, or counting the misfits of a declared column.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from crm_pipeline.defs.landing import casts
from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract
from crm_pipeline.defs.landing.drift import shape_of
from crm_pipeline.defs.landing.grammar import Grammar
from crm_pipeline.defs.landing.records import lines_of
from crm_pipeline.defs.landing.stream import Part

SAMPLE_ROWS = 1000
"""So many rows from the start of the file are looked at to see what an undeclared field holds."""

MOST = 0.9
"""Of the values, so many must fit a type to be of it, and so many misfit to be of another."""

FEWEST = 20
"""With fewer values nothing is called retyped: the rows that do not fit are then quarantined, or
the file is refused because too few are good."""

_TEXT_IS_NOT = ("double", "boolean", "timestamp")


@dataclass(frozen=True)
class Sample:
    """``drift.Evidence`` from the first rows of a file.

    Attributes:
        contract: The table.
        values: Gives the values of a field, as text.
        native_types: For Parquet, the type of each field.
    """

    contract: TableContract
    values: Callable[[int], Sequence[str | None]]
    native_types: tuple[str, ...] = ()

    def fits(self, column: ColumnContract, field: int) -> tuple[bool | None, str]:
        """Return whether a field's values could be the column's, and their shape.

        Any text is a text: for a text column they must not be numbers, times or flags, so that
        a dropped text and a new number are two columns.
        """
        values = [value for value in self.values(field) if value is not None]
        if not values:
            return None, ""
        shape = "" if column.pii else f"shaped like {commonest_shape(values)}"
        native = self.native_types[field] if self.native_types else "VARCHAR"
        if column.data_type != "varchar" and native != "VARCHAR":
            return can_hold(column, native), shape
        if column.data_type != "varchar":
            return self._share(casts.from_text(column, self.contract, "v"), values) >= MOST, shape
        others = [f"try_cast(v as {kind}) is not null" for kind in _TEXT_IS_NOT]
        is_other = f"case when {' or '.join(others)} then 1 end"
        return self._share(is_other, values) < MOST, shape

    def _share(self, sql: str, values: Sequence[str]) -> float:
        with _scratch(self.contract) as con:
            query = f"select count({sql}) from (select unnest(?::varchar[]) as v)"
            row = con.execute(query, [list(values)]).fetchone()
        return (row[0] if row else 0) / len(values)


def commonest_shape(values: Sequence[str]) -> str:
    """Return the shape that most values have, quoted."""
    counts = Counter(shape_of(value) for value in values)
    return f"'{min(counts, key=lambda shape: (-counts[shape], shape))}'"


def text_sample(
    contract: TableContract, parts: Sequence[Part], header_lines: int, field_count: int
) -> Sample:
    """Return the evidence of a delimited file: its first lines that are whole rows."""
    rows: list[list[str]] | None = None

    def values(field: int) -> list[str | None]:
        nonlocal rows
        if rows is None:
            rows = list(_rows(contract, parts, header_lines, field_count))
        nulls = contract.null_tokens
        return [None if row[field] in nulls else row[field] for row in rows]

    return Sample(contract, values)


def _rows(
    contract: TableContract, parts: Sequence[Part], header_lines: int, field_count: int
) -> Iterator[list[str]]:
    grammar = Grammar.of(contract)
    for number, line in enumerate(lines_of(parts)):
        if number >= header_lines + SAMPLE_ROWS:
            return
        if number < header_lines:
            continue
        try:
            fields = grammar.fields(line[:-1])
        except (UnicodeDecodeError, csv.Error):
            continue
        if len(fields) == field_count:
            yield fields


def sql_sample(
    contract: TableContract, scan: str, fields: Sequence[str], native_types: Sequence[str] = ()
) -> Sample:
    """Return the evidence of what DuckDB reads: ``fields`` are SQL for values over ``scan``."""

    def values(field: int) -> list[str | None]:
        with _scratch(contract) as con:
            query = f"select cast({fields[field]} as varchar) from {scan} limit {SAMPLE_ROWS}"
            return [row[0] for row in con.execute(query).fetchall()]

    return Sample(contract, values, tuple(native_types))


@contextmanager
def _scratch(contract: TableContract) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute(f"set TimeZone = '{contract.time_zone}'")
        yield con


def can_hold(column: ColumnContract, native: str) -> bool:
    """Whether a column of the Parquet type ``native`` can hold values of the declared one."""
    native = native.upper()
    if native in ("VARCHAR", "NULL", '"NULL"'):
        return True
    # bytes are no text until somebody says in which encoding
    if native.endswith("]") or native.startswith(("STRUCT", "MAP", "UNION", "BLOB", "BIT")):
        return False
    if column.data_type == "varchar":
        return True
    if column.is_temporal:
        return native.startswith(("DATE", "TIMESTAMP"))
    return native.startswith(_NUMBERS)


_NUMBERS = (
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
    "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL",
)  # fmt: skip
