"""Small valid files for any source, made from its contract alone.

Numbers come from small pools, so that orders, customers and products of different files meet, and
are written in the ways in which people write one number (padded, blank, missing, ``7.0``). What
the source's own SQL looks for in a column (``like 'C%'``, ``in ('POST', ...)``) is found there and
put into the values too, so that a new source is exercised by being there.
"""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract

Row = tuple[Any, ...]

FIRST_DAY = date(2024, 2, 27)
DAYS = (0, 1, 2, 3, 29, 30, 31, 61, 62, 92, 150, 181, 365, 366, 367, 401)
"""From the first day: a leap day, ends of months, and spans around the models' look-backs."""

TIMES = ("00:00:00", "00:00:01", "10:59:59", "11:00:00", "12:30:00", "13:00:00", "23:59:59")
"""Around the midnights of zones from the Americas to New Zealand."""

POOLS = {"order": 7, "customer": 5, "product": 4}
_LITERAL = re.compile(r"'([^'\n]*)'")


def days() -> list[date]:
    return [FIRST_DAY + timedelta(days=n) for n in DAYS]


def hints(manifest: Mapping[str, Any], source: str) -> dict[str, list[str]]:
    """Column name -> the texts that the source's staging models and macros compare it with.

    Of a column ``currency`` also the currencies that sources state, for which rates are wanted.
    """
    stated = {(node["source_meta"] or {}).get("currency") for node in manifest["sources"].values()}
    found: dict[str, list[str]] = {"currency": [text for text in stated if text]}
    codes = [
        node["raw_code"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1:3] == ["staging", source]
    ]
    macros = [m for m in manifest["macros"].values() if m["name"].startswith(f"{source}_")]
    for line in "\n".join([*codes, *(macro["macro_sql"] for macro in macros)]).splitlines():
        for name in set(re.findall(r"[a-z_]+", line)):
            after = line.split(name, 1)[1]
            found.setdefault(name, []).extend(t for t in _LITERAL.findall(after) if t)
    return {name: sorted(set(texts)) for name, texts in found.items() if texts}


class Generator:
    """Makes rows of a table, and files of rows.

    Attributes:
        table: The contract.
        hints: Column -> texts that mean something to the source's SQL.
    """

    def __init__(self, table: TableContract, hints: Mapping[str, list[str]]) -> None:
        self.table = table
        self.hints = hints

    def rows(self, rnd: random.Random, most: int = 6) -> tuple[Row, ...]:
        """Return rows, some of which repeat an earlier one's key."""
        rows: list[Row] = []
        for _ in range(rnd.randint(1, most)):
            row = tuple(self.value(column, rnd) for column in self.table.columns)
            if rows and rnd.random() < 0.2:
                other = rnd.choice(rows)
                row = tuple(
                    theirs if column.name in self.table.key or rnd.random() < 0.5 else own
                    for column, own, theirs in zip(self.table.columns, row, other, strict=True)
                )
            rows.append(row)
        return tuple(rows)

    def value(self, column: ColumnContract, rnd: random.Random) -> Any:
        if column.name not in self.table.key and rnd.random() < (0.02 if column.required else 0.15):
            return None if self.table.delimiter != "whitespace" else self._value(column, rnd)
        return self._value(column, rnd)

    def _value(self, column: ColumnContract, rnd: random.Random) -> Any:
        kind = column.data_type
        if column.identifies or (column.name in self.table.key and not column.is_temporal):
            return self._number(column, rnd)
        if kind == "varchar" and column.name.endswith(("_no", "_id")):
            return self._number(column, rnd)  # it names a row of another table, or another source
        if kind == "date":
            return rnd.choice(days())
        if kind == "timestamp":
            if column.name == self.table.version:
                # few, so that versions of one key tie
                return datetime.combine(rnd.choice(days()[:4]), datetime.min.time())
            return datetime.fromisoformat(f"{rnd.choice(days())} {rnd.choice(TIMES)}")
        if kind == "boolean":
            return rnd.random() < 0.7
        if kind == "varchar":
            return self._text(column, rnd)
        least = int(Decimal(column.minimum)) if column.minimum is not None else -3
        most = Decimal(column.maximum) if column.maximum is not None else Decimal("Infinity")
        if kind.startswith("decimal") or kind == "double":
            cents = rnd.choice([0, 1, 5, 50, 999, 1000, 12345])
            value = min(Decimal(least) + Decimal(cents) / 100, most)
            return float(value) if kind == "double" else value
        return int(min(least + rnd.choice([0, 0, 1, 1, 2, 3, 4, 130]), most))

    def _number(self, column: ColumnContract, rnd: random.Random) -> Any:
        number = rnd.randint(1, min((POOLS.get(kind, 3) for kind in column.identifies), default=3))
        if column.data_type != "varchar":
            return number
        text = str(number)
        ways = rnd.random()
        if ways < 0.25 and column.name in self.hints:
            # what a number begins or ends with tells kinds of rows apart: more often than a name
            texts = self.hints[column.name]
            hint = rnd.choice(texts + [text for text in texts if "%" in text] * 4)
            if hint.endswith("%"):
                text = hint.strip("%") + text
            elif hint.startswith("%"):
                text = text + hint.strip("%")
            else:
                text = hint
        elif self.table.delimiter == "whitespace":
            return text
        elif ways < 0.30:
            text = rnd.choice(["", "  ", " . "])
        elif ways < 0.42:
            text = rnd.choice([f" {text}", f"{text} ", f"{text}.0", f" {text}.0", f"{text}.0 "])
        return text

    def _text(self, column: ColumnContract, rnd: random.Random) -> str:
        words = ["a", "b", "Ü", 'q"q'] + [t.strip("%") for t in self.hints.get(column.name, [])]
        word = rnd.choice(words)
        if self.table.delimiter == "whitespace":
            return re.sub(r"\W", "", word) or "a"
        return rnd.choice([word, word, word, f" {word}", f"{word} ", " "])

    # Files

    def file_name(self, rnd: random.Random) -> str:
        stem = rnd.choice(["1", "2", "3", "4"])
        return rnd.choice(self.table.files).replace("*", stem)

    def write(self, rows: Sequence[Row], file: Path, *, other_bytes: bool = False) -> None:
        """Write a file; ``other_bytes`` writes the same text with other line ends."""
        if self.table.format == "parquet":
            file.write_bytes(self._parquet(rows))
            return
        if self.table.format == "jsonl":
            columns = self.table.columns
            lines = [
                json.dumps({c.header: self._plain(c, v) for c, v in zip(columns, row, strict=True)})
                for row in rows
            ]
        else:
            lines = self._csv(rows)
        end = "\r\n" if other_bytes else "\n"
        encoding = "utf-8" if self.table.encoding == "auto" else self.table.encoding
        file.write_bytes("".join(line + end for line in lines).encode(encoding))

    def _plain(self, column: ColumnContract, value: Any) -> Any:
        if isinstance(value, datetime):
            return value.strftime(self.table.timestamp_formats[0])
        if isinstance(value, date):
            return value.strftime(self.table.date_formats[0])
        return float(value) if isinstance(value, Decimal) else value

    def _csv(self, rows: Sequence[Row]) -> list[str]:
        delimiter = " " if self.table.delimiter == "whitespace" else str(self.table.delimiter)
        columns = self.table.columns
        lines = [delimiter.join(c.header for c in columns)] if self.table.header else []
        for row in rows:
            fields = []
            for column, value in zip(columns, row, strict=True):
                text = "" if value is None else str(self._plain(column, value))
                if isinstance(value, Decimal):
                    text = str(value)
                if isinstance(value, str) and self.table.quote and text != "":
                    quote = self.table.quote
                    text = f"{quote}{text.replace(quote, quote * 2)}{quote}"
                fields.append(text)
            lines.append(delimiter.join(fields))
        return lines

    def _parquet(self, rows: Sequence[Row]) -> bytes:
        columns = {
            column.header: pa.array([row[n] for row in rows], type=_arrow_type(column.data_type))
            for n, column in enumerate(self.table.columns)
        }
        out = io.BytesIO()
        pq.write_table(pa.table(columns), out)
        return out.getvalue()


def _arrow_type(data_type: str) -> pa.DataType:
    simple = {
        "varchar": pa.string(),
        "bigint": pa.int64(),
        "integer": pa.int32(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
    }
    if data_type in simple:
        return simple[data_type]
    precision, scale = re.findall(r"\d+", data_type)
    return pa.decimal128(int(precision), int(scale))
