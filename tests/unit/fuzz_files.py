"""Files for the fuzz of landing: a valid one for any contract, and ways to damage it.

A new source is fuzzed by being declared: its files are made from its contract alone. A new way to
damage a file joins by being decorated with ``@rows`` (values and names) or ``@content`` (bytes).
"""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract

START = datetime.fromisoformat("2024-01-01 06:00:00")
FORMULAS = ("=cmd|' /C touch canary'!A0", '=HYPERLINK("x")', "@SUM(1)", "+1+1", "-2+3")
SQL = (
    "'; drop table control.canary; --",
    "\"; drop table control.canary; --",
    "') ; copy (select 1) to 'canary.csv'; --",
    "$$; drop table control.canary; $$",
    "{{ ref('x') }}",
    "%s ? :1 $1",
)  # fmt: skip
NUMBERS = ("1e308", "1e309", "-1e308", "nan", "inf", "-0", "9" * 40, "0x1F", "1_000", "1.5", "")
YEARS = (
    "0001-01-01", "9999-12-31", "0000-00-00", "10000-01-01", "-0044-03-15", "infinity",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59", "2024-02-30", "1e5", "23:59:60",
)  # fmt: skip
NULLS = ("\0", "NULL", "\\N", "null", "NaN", "", "\x1a", "\x00\x00")


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
        return _parquet(contract, table)
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


def _parquet(contract: TableContract, table: Table) -> bytes:
    """Write each column in its declared type where its values allow it, else as text."""
    by_header = {column.header: column for column in contract.columns}
    columns = []
    for position, name in enumerate(table.names):
        values = [row[position] if position < len(row) else None for row in table.rows]
        columns.append(_array(contract, by_header.get(name), values))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, names=list(table.names)), sink)
    return sink.getvalue()


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


Damage = Callable[[TableContract, Table, bytes, random.Random], bytes]
MUTATORS: dict[str, Damage] = {}


def rows(function: Callable[[TableContract, Table, random.Random], Table]) -> None:
    """Register a way to change names and values."""

    def damage(contract: TableContract, table: Table, _: bytes, rnd: random.Random) -> bytes:
        return render(contract, function(contract, table, rnd), rnd)

    MUTATORS[function.__name__] = damage


def content(function: Callable[[bytes, random.Random], bytes]) -> None:
    """Register a way to change bytes."""

    def damage(_: TableContract, __: Table, data: bytes, rnd: random.Random) -> bytes:
        return function(data, rnd)

    MUTATORS[function.__name__] = damage


def _with_value(table: Table, value: str, rnd: random.Random) -> Table:
    """Put a value into some cells, or into a whole column."""
    is_column, field = rnd.random() < 0.3, rnd.randrange(len(table.names))
    made = []
    for row in table.rows:
        cells = list(row)
        if is_column:
            cells[field] = value
        elif rnd.random() < 0.4:
            cells[rnd.randrange(len(cells))] = value
        made.append(tuple(cells))
    return replace(table, rows=tuple(made))


@rows
def formula_text(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return _with_value(table, rnd.choice(FORMULAS), rnd)


@rows
def sql_text(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return _with_value(table, rnd.choice(SQL), rnd)


@rows
def sql_in_header(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    names = list(table.names)
    place = rnd.randrange(len(names) + 1)
    names.insert(place, rnd.choice(SQL))
    made = tuple((*row[:place], "x", *row[place:]) for row in table.rows)
    return Table(tuple(names), made)


@rows
def extreme_numbers(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return _with_value(table, rnd.choice(NUMBERS), rnd)


@rows
def extreme_years(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return _with_value(table, rnd.choice(YEARS), rnd)


@rows
def null_text(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return _with_value(table, rnd.choice(NULLS), rnd)


@rows
def huge_field(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    size = rnd.choice([1_000, 200_000, 200_000, 3_000_000])
    return _with_value(replace(table, rows=table.rows[:3]), rnd.choice('x9é,"') * size, rnd)


@rows
def line_ends_in_values(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return _with_value(table, rnd.choice(["a\nb", "a\r\nb", "\n", "a\n\n\nb", "\r"]), rnd)


@rows
def duplicate_header(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    place = rnd.randrange(len(table.names))
    if contract.format == "parquet":  # pyarrow writes them; DuckDB numbers them
        return Table((*table.names, table.names[place]), tuple((*r, r[place]) for r in table.rows))
    names = list(table.names)
    names[rnd.randrange(len(names))] = names[place]
    return replace(table, names=tuple(names))


@rows
def reordered_header(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    order = list(range(len(table.names)))
    rnd.shuffle(order)
    made = tuple(tuple(row[n] for n in order) for row in table.rows)
    return Table(tuple(table.names[n] for n in order), made)


@rows
def renamed_header(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    names = list(table.names)
    place = rnd.randrange(len(names))
    old = names[place]
    names[place] = rnd.choice([old.upper(), old[:-1], f"{old}_new", "x", "", f" {old} ", "é"])
    return replace(table, names=tuple(names))


@rows
def dropped_column(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    place = rnd.randrange(len(table.names))
    made = tuple((*row[:place], *row[place + 1 :]) for row in table.rows)
    return Table((*table.names[:place], *table.names[place + 1 :]), made)


@rows
def added_column(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return Table((*table.names, "points"), tuple((*row, "7") for row in table.rows))


@rows
def retyped_column(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    field = rnd.randrange(len(table.names))
    value = rnd.choice(["some text", "31.12.2024", "2024-05-06", "7", "1,5", "true"])
    many = (table.rows * 25)[:30]
    made = tuple((*row[:field], value, *row[field + 1 :]) for row in many)
    return replace(table, rows=made)


@rows
def ragged_lines(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    made = [
        row if rnd.random() < 0.5 else (*row, "more") if rnd.random() < 0.5 else row[:-1]
        for row in table.rows
    ]
    return replace(table, rows=tuple(made))


@rows
def repeated_rows(contract: TableContract, table: Table, rnd: random.Random) -> Table:
    return replace(table, rows=table.rows * rnd.randint(2, 40))


@content
def bytes_flipped(data: bytes, rnd: random.Random) -> bytes:
    body = bytearray(data)
    for _ in range(rnd.choice([1, 1, 2, 10])):
        if body:
            body[rnd.randrange(len(body))] ^= 1 << rnd.randrange(8)
    return bytes(body)


@content
def bytes_dropped(data: bytes, rnd: random.Random) -> bytes:
    start = rnd.randint(0, len(data))
    return data[:start] + data[start + rnd.randint(1, 40) :]


@content
def bytes_repeated(data: bytes, rnd: random.Random) -> bytes:
    start = rnd.randint(0, len(data))
    piece = data[start : start + rnd.randint(1, 80)]
    return data[:start] + piece * rnd.randint(2, 5) + data[start:]


@content
def dirt_inserted(data: bytes, rnd: random.Random) -> bytes:
    dirt = [b'"', b"\n", b"\r", b",", b";", b"|", b" ", b"\t", b"\0", b"\xff", b"\\", b"'", b"{"]
    dirt += [b'""', b'","', b'\n"', b'"\n', b"\xc3", b"\xed\xa0\x80", "雪\u2028".encode(), b"\x1a"]
    for _ in range(rnd.choice([1, 1, 3])):
        place = rnd.randint(0, len(data))
        data = data[:place] + rnd.choice(dirt) + data[place:]
    return data


@content
def truncated(data: bytes, rnd: random.Random) -> bytes:
    return data[: rnd.randint(0, len(data))]


@content
def gzipped(data: bytes, rnd: random.Random) -> bytes:
    half = rnd.randint(0, len(data))
    whole = gzip.compress(data[:half], 1, mtime=0) + gzip.compress(data[half:], 9, mtime=0)
    return whole + rnd.choice([b"", b"\0" * 512, b"garbage"])


@content
def gzip_truncated(data: bytes, rnd: random.Random) -> bytes:
    packed = gzip.compress(data, 1, mtime=0)
    return packed[: rnd.randint(2, len(packed))]


@content
def gzip_flipped(data: bytes, rnd: random.Random) -> bytes:
    packed = gzip.compress(data, 1, mtime=0)
    return packed[:2] + bytes_flipped_of(packed[2:], rnd)


def bytes_flipped_of(data: bytes, rnd: random.Random) -> bytes:
    place = rnd.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rnd.randrange(8))]) + data[place + 1 :]


@content
def another_encoding(data: bytes, rnd: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    name = rnd.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "cp037", "utf-7"])
    return text.encode(name, "replace")


@content
def byte_order_mark(data: bytes, rnd: random.Random) -> bytes:
    return rnd.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf" * 2]) + data


@content
def another_delimiter(data: bytes, rnd: random.Random) -> bytes:
    signs = [b",", b";", b"\t", b"|", b" "]
    return data.replace(rnd.choice(signs), rnd.choice(signs))


@content
def mixed_line_ends(data: bytes, rnd: random.Random) -> bytes:
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    return b"".join(line + rnd.choice([b"\n", b"\r\n", b"\r", b"\n\r", b"\n\n"]) for line in lines)


@content
def unclosed_quotes(data: bytes, rnd: random.Random) -> bytes:
    for _ in range(rnd.choice([1, 1, 2, 3])):
        places = [n for n, byte in enumerate(data) if byte in b",;\n\t| "]
        place = rnd.choice(places) + 1 if places else 0
        data = data[:place] + b'"' + data[place:]
    return data


@content
def json_damage(data: bytes, rnd: random.Random) -> bytes:
    lines = data.split(b"\n")
    bad = [
        b"[" * 3000, b"{" * 3000, b'{"a":' * 500 + b"1" + b"}" * 500, b"{}", b"[1]", b"null", b'""',
        b'{"a": "\\ud800"}', b'{"a": "\\u0000"}', b'{"a": 1e999}', b'{"a": 1, "a": 2}', b"{'a': 1}",
        b'{"a": ' + b"9" * 400 + b"}", b'{"": 1}', b'{"a": NaN}', b'{"a": 1,}', b"//x", b"\xff{}",
    ]  # fmt: skip
    for _ in range(rnd.choice([1, 2])):
        lines.insert(rnd.randint(0, len(lines)), rnd.choice(bad))
    return b"\n".join(lines)


@content
def footer_damage(data: bytes, rnd: random.Random) -> bytes:
    """The end of a file: a Parquet file keeps there where everything else is."""
    place = max(0, len(data) - rnd.randint(1, 400))
    wrong = bytes(rnd.randrange(256) for _ in range(rnd.choice([1, 4, 8])))
    return data[:place] + wrong + data[place + len(wrong) :]


@content
def emptied(data: bytes, rnd: random.Random) -> bytes:
    return rnd.choice([b"", b"\n", b"\r\n\r\n", b"\0", b" ", b"PAR1", b"\x1f\x8b"])


def physical_lines(data: bytes, contract: TableContract) -> int | None:
    """Count a file's lines, in the plainest way; ``None`` where that takes decoding UTF-16."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    if contract.encoding == "auto" and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.count(b"\n") + (not data.endswith(b"\n") and data not in (b"", b"\xef\xbb\xbf"))


def has_quotes(data: bytes, contract: TableContract) -> bool:
    """Whether a value of the file may hold a line end."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    is_delimited = contract.format == "csv" and contract.delimiter not in (None, "whitespace")
    return bool(is_delimited and contract.quote and contract.quote.encode() in data)
