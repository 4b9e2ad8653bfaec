"""The files of the demo company's inbox: names, formats, partitions, and writing them whole.

Formats differ from table to table on purpose, so that landing meets what companies send:

* ``customers_<year>.csv``: semicolons, Latin-1, CRLF, German dates, a line a version
* ``products.parquet``
* ``orders_<month>.csv``, ``order_items_<month>.csv``: UTF-8, quoted line ends; months more than
  half a year before the end are compressed
* ``orders_<month>_late.csv`` and the same of the items: what one till sent two months late
* ``returns_<quarter>.jsonl.gz``: JSON lines

``LAYOUTS`` has the others, of the help desk, marketing and sales.

Rows are streamed into open files, block by block, in a hidden folder beside the inbox's files;
a file appears in the inbox when it is whole, and is left alone where it has not changed.
"""

from __future__ import annotations

import codecs
import csv
import filecmp
import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from crm_pipeline.demo.behaviour import Ints
from crm_pipeline.demo.dirt import Fault

GERMAN_TIME = "%d.%m.%Y %H:%M:%S"
ISO_TIME = "%Y-%m-%dT%H:%M:%S"
PLAIN_TIME = "%Y-%m-%d %H:%M:%S"
COMPRESSED_AFTER_MONTHS = 6
CORRECTED_MONTHS_BEFORE_END = 5
LATE_MONTHS_BEFORE_END = 3
LATE_BY_MONTHS = 2
LATE_DIGITS = ("3", "7")
"""Last digits of the order numbers of the till that delivers late."""
CORRECTED_DIGIT = "5"
"""Last digit of the orders whose lines were first delivered with prices in cents."""


@dataclass(frozen=True)
class Layout:
    """How one table is written, and in which department's folder.

    ``months`` is what one file covers; 0 is one file for all.
    """

    source: str
    time_column: str
    time_format: str
    months: int
    delimiter: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"
    suffix: str = ".csv"

    @property
    def is_json(self) -> bool:
        """Whether the table is written as JSON lines."""
        return self.suffix.startswith(".jsonl")

    @property
    def is_parquet(self) -> bool:
        """Whether the table is written as Parquet."""
        return self.suffix == ".parquet"


DESK, MARKETING, SALES = "demo_desk", "demo_marketing", "demo_sales"
SHOP = "demo"
LAYOUTS = {
    "customers": Layout(SHOP, "updated_at", GERMAN_TIME, 12, ";", "latin-1", "\r\n"),
    "products": Layout(SHOP, "updated_at", PLAIN_TIME, 0, suffix=".parquet"),
    "orders": Layout(SHOP, "ordered_at", PLAIN_TIME, 1),
    "order_items": Layout(SHOP, "ordered_at", PLAIN_TIME, 1),
    "returns": Layout(SHOP, "returned_at", ISO_TIME, 3, suffix=".jsonl.gz"),
    "payments": Layout(SHOP, "changed_at", PLAIN_TIME, 12, suffix=".csv.gz"),
    "adjustments": Layout(SHOP, "adjusted_at", GERMAN_TIME, 12, ";"),
    "memberships": Layout(SHOP, "changed_at", ISO_TIME, 12, suffix=".jsonl"),
    "sessions": Layout(SHOP, "started_at", PLAIN_TIME, 12, suffix=".parquet"),
    "inventory": Layout(SHOP, "counted_at", GERMAN_TIME, 12, ";", "utf-16", "\r\n"),
    "agents": Layout(DESK, "", PLAIN_TIME, 0, encoding="gb18030"),
    "tickets": Layout(DESK, "opened_at", PLAIN_TIME, 12),
    "ticket_events": Layout(DESK, "occurred_at", ISO_TIME, 12, suffix=".jsonl.gz"),
    "interactions": Layout(DESK, "occurred_at", PLAIN_TIME, 12, "\t", suffix=".csv.gz"),
    "survey_responses": Layout(DESK, "responded_at", PLAIN_TIME, 12, encoding="gb18030"),
    "customer_tags": Layout(DESK, "changed_at", PLAIN_TIME, 12, "\t"),
    "campaigns": Layout(MARKETING, "started_at", PLAIN_TIME, 0, encoding="gb18030"),
    "campaign_touches": Layout(MARKETING, "touched_at", PLAIN_TIME, 12, suffix=".csv.gz"),
    "profiles": Layout(MARKETING, "answered_at", GERMAN_TIME, 12, ";", "latin-1", "\r\n"),
    "consents": Layout(MARKETING, "changed_at", ISO_TIME, 12, suffix=".jsonl"),
    "owners": Layout(SALES, "", PLAIN_TIME, 0, encoding="gb18030"),
    "accounts": Layout(SALES, "created_at", GERMAN_TIME, 0, ";", "latin-1", "\r\n"),
    "customer_links": Layout(SALES, "", PLAIN_TIME, 0, suffix=".parquet"),
    "leads": Layout(SALES, "created_at", ISO_TIME, 0, suffix=".jsonl"),
    "opportunities": Layout(SALES, "opened_at", GERMAN_TIME, 0, ";"),
    "opportunity_stages": Layout(SALES, "entered_at", PLAIN_TIME, 0, suffix=".csv.gz"),
}
DEPARTMENTS = (DESK, MARKETING, SALES)
"""Sources of the demo company beside the shop."""
LATE_TABLES = {
    "orders": "order_no",
    "order_items": "order_no",
    "tickets": "ticket_no",
    "campaign_touches": "touch_no",
}
"""Tables part of whose rows come late, by the last digit of this column."""
GROUP_ROWS = 20_000
LATE = -1
"""Partition of the rows delivered late; the others are numbered by months since year 0."""


def month_number(on: date) -> int:
    """Months since year 0."""
    return on.year * 12 + on.month - 1


def _month_label(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def partitions(table: str, rows: pa.Table, end: date) -> Ints:
    """The partition of each row: its first month, or ``LATE``."""
    layout = LAYOUTS[table]
    if not layout.months:
        return np.zeros(rows.num_rows, dtype=np.int64)
    months = rows[layout.time_column].to_numpy().astype("datetime64[M]").astype(np.int64)
    months = months + 1970 * 12
    first = months // layout.months * layout.months
    if table in LATE_TABLES:
        late = (months == month_number(end) - LATE_MONTHS_BEFORE_END) & _ends_with(
            rows[LATE_TABLES[table]], LATE_DIGITS
        )
        first = np.where(late, LATE, first)
    return first


def _ends_with(column: pa.ChunkedArray, digits: Iterable[str]) -> np.ndarray:
    last = pc.utf8_slice_codeunits(column, -1)
    return pc.is_in(last, pa.array(list(digits))).to_numpy()


def file_name(table: str, partition: int, end: date) -> str:
    """Name of a partition's file."""
    last = month_number(end)
    if partition == LATE:
        sent = last - LATE_MONTHS_BEFORE_END + LATE_BY_MONTHS
        return f"{table}_{_month_label(sent)}_late.csv"
    layout = LAYOUTS[table]
    if not layout.months:
        return table + layout.suffix
    if layout.months == 12:
        return f"{table}_{partition // 12:04d}{layout.suffix}"
    if layout.months == 3:
        return f"{table}_{partition // 12:04d}-q{partition % 12 // 3 + 1}{layout.suffix}"
    packed = ".gz" if partition <= last - COMPRESSED_AFTER_MONTHS else ""
    return f"{table}_{_month_label(partition)}{layout.suffix}{packed}"


def corrected_file(end: date) -> str:
    """The file whose first delivery holds wrong prices."""
    return file_name("order_items", month_number(end) - CORRECTED_MONTHS_BEFORE_END, end)


def late_files(end: date) -> tuple[str, ...]:
    """The files that the first delivery lacks."""
    return tuple(file_name(table, LATE, end) for table in ("orders", "order_items"))


def first_delivery(rows: pa.Table) -> pa.Table:
    """The corrected file's rows as first delivered: some prices in cents."""
    wrong = pa.array(_ends_with(rows["order_no"], CORRECTED_DIGIT))
    for name in ("unit_price", "line_amount"):
        times_hundred = pc.multiply(rows[name], pa.scalar(100, pa.decimal128(3, 0)))
        changed = pc.if_else(wrong, times_hundred.cast(rows[name].type), rows[name])
        rows = rows.set_column(rows.column_names.index(name), name, changed)
    return rows


@dataclass
class OpenFile:
    """One file being written: good rows in bulk, faulty lines one by one."""

    name: str
    layout: Layout
    stream: IO[bytes]
    raw: IO[bytes]
    rows: int = 0

    @classmethod
    def create(cls, folder: Path, name: str, layout: Layout, columns: list[str]) -> OpenFile:
        """Open ``folder/name`` and write its header; gzip streams carry no name and no time."""
        raw = (folder / name).open("wb")
        stream: IO[bytes] = raw
        if name.endswith(".gz"):
            stream = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)  # type: ignore[assignment]
        opened = cls(name, layout, stream, raw)
        if layout.encoding == "utf-16":
            raw.write(codecs.BOM_UTF16_LE)
        if not layout.is_json:
            opened._put(layout.delimiter.join(columns) + "\n")
        return opened

    def _put(self, lines: str) -> None:
        ready = lines if self.layout.line_end == "\n" else lines.replace("\n", "\r\n")
        encoding = "utf-16-le" if self.layout.encoding == "utf-16" else self.layout.encoding
        # what a Latin-1 file cannot hold is written as a question mark, as its programs do
        self.stream.write(ready.encode(encoding, "replace"))

    def write_rows(self, rows: pa.Table) -> None:
        """Append good rows."""
        self.rows += rows.num_rows
        written = format_times(rows, self.layout)
        if self.layout.is_json:
            self._put("".join(_json_line(row) for row in written.to_pylist()))
            return
        sink = io.BytesIO()
        options = pa_csv.WriteOptions(
            include_header=False, delimiter=self.layout.delimiter, quoting_style="needed"
        )
        pa_csv.write_csv(written, sink, options)
        self._put(sink.getvalue().decode())

    def write_fault(self, fault: Fault, row: Mapping[str, Any]) -> None:
        """Append one faulty line."""
        self.rows += 1
        if self.layout.is_json:
            line = _json_line(row)
            self._put(line[: len(line) // 2] + "\n" if fault.kind == "bad_json" else line)
            return
        values = list(row.values())
        if fault.kind == "ragged_line":
            values = values[:2]
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=self.layout.delimiter, lineterminator="\n").writerow(values)
        self._put(buffer.getvalue())

    def close(self) -> None:
        """Finish the file."""
        self.stream.close()
        self.raw.close()


@dataclass
class OpenParquet:
    """One Parquet file being written, faulty rows among the others.

    Rows wait until they fill a row group: the file's own description grows with the groups.
    """

    writer: pq.ParquetWriter
    schema: pa.Schema
    waiting: list[pa.Table] = field(default_factory=list)

    @classmethod
    def create(cls, folder: Path, name: str, schema: pa.Schema) -> OpenParquet:
        """Open ``folder/name``."""
        return cls(pq.ParquetWriter(folder / name, schema, compression="zstd"), schema)

    def write_rows(self, rows: pa.Table) -> None:
        """Append good rows."""
        self.waiting.append(rows)
        if sum(part.num_rows for part in self.waiting) >= GROUP_ROWS:
            self._flush()

    def write_fault(self, fault: Fault, row: Mapping[str, Any]) -> None:
        """Append one faulty row."""
        self.waiting.append(pa.Table.from_pylist([dict(row)], schema=self.schema))

    def _flush(self) -> None:
        if self.waiting:
            self.writer.write_table(pa.concat_tables(self.waiting).combine_chunks())
        self.waiting = []

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self.writer.close()


def format_times(rows: pa.Table, layout: Layout) -> pa.Table:
    """Instants as the text that the layout prescribes."""
    for position, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type):
            shown = pc.strftime(rows[column.name], format=layout.time_format)
            rows = rows.set_column(position, column.name, shown)
    return rows


def _json_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, default=float) + "\n"


def publish(staged: Path, target: Path) -> None:
    """Move a finished file into place; leave an equal one, and its time, alone."""
    if target.exists() and filecmp.cmp(staged, target, shallow=False):
        staged.unlink()
    else:
        os.replace(staged, target)
