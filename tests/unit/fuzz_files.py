"""Ways to damage a file, for the fuzz of landing.

A new one joins by being decorated with ``@rows`` (values and names) or ``@content`` (bytes).
"""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from crm_pipeline.defs.landing.contracts import TableContract
from tests.unit.valid_files import Table, as_parquet, render

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
FOREIGN = (
    pa.array([7, -(2**63), 2**63 - 1, None]),
    pa.array([7, 2**64 - 1], pa.uint64()),
    pa.array([7, -128], pa.int8()),
    pa.array([1.5, 1e308, -1e308, 7.0, float("nan"), float("inf"), None]),
    pa.array([1.5, float("nan")], pa.float32()),
    pa.array([Decimal("1.50"), Decimal(10) ** 27], pa.decimal128(38, 10)),
    pa.array([Decimal(10) ** 60], pa.decimal256(70, 2)),
    pa.array([True, False, None]),
    pa.array([date(1, 1, 1), date(9999, 12, 31), None]),
    pa.array([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)], pa.timestamp("us")),  # noqa: DTZ001
    pa.array([datetime(2024, 3, 31, 1, 30, tzinfo=UTC)], pa.timestamp("ns", "Asia/Tokyo")),
    pa.array([2**62, -(2**62)], pa.timestamp("ms")),
    pa.array([time(23, 59, 59), time(0)]),
    pa.array([timedelta(days=3)]),
    pa.array([b"\xff\xfe\0", b"", None]),
    pa.array([b"0123456789abcdef"], pa.binary(16)),
    pa.array(["=1+1", "'; drop table control.canary; --", "", None], pa.large_string()),
    pa.array(["7", "7", "8"]).dictionary_encode(),
    pa.array([[1, 2], [], None]),
    pa.array([{"a": 1, "b": "x"}, None]),
    pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    pa.array([None, None], pa.null()),
)
"""Columns of a Parquet file in types and with values that a contract may not ask for."""
NULLS = ("\0", "NULL", "\\N", "null", "NaN", "", "\x1a", "\x00\x00")


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


def parquet_retyped(contract: TableContract, table: Table, _: bytes, rnd: random.Random) -> bytes:
    """Some columns in other types; where the contract wants text, a Parquet file in its place."""
    made = as_parquet(contract, table)
    for place in rnd.sample(range(made.num_columns), min(rnd.choice([1, 1, 2]), made.num_columns)):
        foreign = rnd.choice(FOREIGN)
        taken = foreign.take(pa.array([rnd.randrange(len(foreign)) for _ in range(len(made))]))
        made = made.set_column(place, made.column_names[place], taken)
    sink = io.BytesIO()
    pq.write_table(made, sink, compression=rnd.choice(["none", "snappy", "zstd"]))
    return sink.getvalue()


MUTATORS["parquet_retyped"] = parquet_retyped


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
