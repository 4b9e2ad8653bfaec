"""A valid file for any contract, for the fuzz of landing.

A new source is fuzzed by being declared: its files are made from its contract alone.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract

START = datetime.fromisoformat("2024-01-01 06:00:00")


@dataclass(frozen=True)
class Table:
    """A file's names and values as text; ``None`` is null."""

    names: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


def valid_table(contract: TableContract, rnd: random.Random) -> Table:
    """Return rows that fit the contract."""
    rows = tuple(
        tuple(_value(contract, column, number, rnd) for column in contract.columns)
        for number in range(rnd.randint(1, 12))
    )
    return Table(tuple(column.header for column in contract.columns), rows)


def _value(
    contract: TableContract, column: ColumnContract, number: int, rnd: random.Random
) -> str | None:
    has_null = contract.format != "csv" or "" in contract.null_tokens
    # a line without anything is blank, and no row
    has_null = has_null and contract.delimiter != "whitespace" and len(contract.columns) > 1
    if not column.required and has_null and rnd.random() < 0.1:
        return None
    low, high = (float(b) if b and not column.is_temporal else None
                 for b in (column.minimum, column.maximum))  # fmt: skip
    least = low if low is not None else 0
    most = min(high if high is not None else least + 90, least + 90)
    if column.data_type in ("bigint", "integer"):
        return str(min(int(least) + number, int(most)))
    if column.data_type == "boolean":
        return rnd.choice(["true", "false"])
    moment = START + timedelta(days=rnd.randint(0, 300), seconds=rnd.randint(0, 40_000))
    if column.data_type == "date":
        return moment.strftime(contract.date_formats[0] if contract.date_formats else "%Y-%m-%d")
    if column.data_type == "timestamp":
        formats = contract.timestamp_formats
        return moment.strftime(formats[0] if formats else "%Y-%m-%d %H:%M:%S")
    if column.data_type == "varchar":
        return f"{rnd.choice('ABCé')}{number:03d}"
    return f"{least + rnd.randint(0, int(most - least))}"


def render(contract: TableContract, table: Table, rnd: random.Random) -> bytes:
    """Return a table as a file of the contract's format."""
    if contract.format == "parquet":
        sink = io.BytesIO()
        pq.write_table(as_parquet(contract, table), sink)
        return sink.getvalue()
    if contract.format == "jsonl":
        lines = [
            json.dumps(dict(zip(table.names, row, strict=False)), ensure_ascii=rnd.random() < 0.5)
            for row in table.rows
        ]
    else:
        lines = [_line(contract, row, rnd) for row in table.rows]
        if contract.header:
            lines.insert(0, _line(contract, table.names, rnd))
    end = rnd.choice(["\n", "\n", "\r\n"])
    text = end.join(lines) + rnd.choice([end, end, ""])
    encoding = "utf-8" if contract.encoding == "auto" else contract.encoding
    return text.encode(encoding, "replace")


def _line(contract: TableContract, values: tuple[str | None, ...], rnd: random.Random) -> str:
    quote = contract.quote if contract.delimiter not in (None, "whitespace") else None
    blank = contract.delimiter == "whitespace"
    delimiter = " " if blank else str(contract.delimiter or "")
    parts = []
    for value in values:
        text = "" if value is None else value
        needs = any(sign and sign in text for sign in (delimiter, quote, "\n", "\r"))
        if quote and value is not None and (needs or rnd.random() < 0.2):
            text = quote + text.replace(quote, quote * 2) + quote
        parts.append(text)
    return delimiter.join(parts)


def as_parquet(contract: TableContract, table: Table) -> pa.Table:
    """Return each column in its declared type where its values allow it, else as text."""
    by_header = {column.header: column for column in contract.columns}
    columns = []
    for position, name in enumerate(table.names):
        values = [row[position] if position < len(row) else None for row in table.rows]
        columns.append(_array(contract, by_header.get(name), values))
    return pa.Table.from_arrays(columns, names=list(table.names))


def _array(contract: TableContract, column: ColumnContract | None, values: list) -> pa.Array:
    kind = column.data_type.split("(")[0] if column else "varchar"
    casts: dict[str, tuple[Callable[[str], Any], pa.DataType]] = {
        "bigint": (int, pa.int64()),
        "integer": (int, pa.int64()),
        "decimal": (Decimal, pa.decimal128(18, 4)),
        "double": (float, pa.float64()),
        "boolean": (lambda text: {"true": True, "false": False}[text], pa.bool_()),
        "date": (lambda text: datetime.fromisoformat(text).date(), pa.date32()),
        "timestamp": (datetime.fromisoformat, pa.timestamp("us")),
    }
    if kind in casts:
        cast, data_type = casts[kind]
        try:
            return pa.array([None if v is None else cast(v) for v in values], data_type)
        except (ValueError, KeyError, ArithmeticError, pa.ArrowException):
            pass
    return pa.array([None if v is None else v.encode("utf-8", "replace").decode() for v in values])
