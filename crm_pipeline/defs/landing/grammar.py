"""How the lines of one table's files become fields: what is a record, and what only begins one."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from crm_pipeline.defs.landing.contracts import TableContract


class Grammar:
    """How the lines of one table's files become fields."""

    def __init__(
        self,
        *,
        delimiter: str | None,
        quote: str | None,
        null_tokens: Sequence[str] = (),
        is_whole_line: bool = False,
    ) -> None:
        """Take the delimiter (``None``: the line is one field), the quote, the null tokens."""
        self.nulls = frozenset({b"", *(token.encode() for token in null_tokens)})
        self.is_whole_line = is_whole_line or delimiter is None
        self.is_blank_separated = not self.is_whole_line and delimiter == "whitespace"
        has_quote = quote and not self.is_whole_line and not self.is_blank_separated
        self.quote = quote.encode() if quote and has_quote else None
        text = "," if self.is_whole_line else "\t" if self.is_blank_separated else delimiter
        self.delimiter = str(text).encode()
        # DuckDB cuts a byte off where part of a longer delimiter follows a quote: `"a"|b||`.
        self.is_rewritten = len(self.delimiter) > 1
        self.output_delimiter = b"," if self.is_rewritten else self.delimiter
        is_quoted = self.is_whole_line or self.is_rewritten
        self.output_quote = '"' if is_quoted else (self.quote or b"").decode()

    @classmethod
    def of(cls, contract: TableContract) -> Grammar:
        """Return the grammar that a contract declares."""
        return cls(
            delimiter=contract.delimiter,
            quote=contract.quote,
            null_tokens=contract.null_tokens,
            is_whole_line=contract.format == "jsonl",
        )

    def needs_splitting(self, field_count: int) -> bool:
        """Whether DuckDB cannot read such files as they are.

        With a single column it takes a blank line for a row.
        """
        always = self.is_whole_line or self.is_blank_separated or self.is_rewritten
        return always or field_count == 1

    def fields(self, record: bytes) -> list[str]:
        """Return the fields of one record, for a header."""
        text = record.decode("utf-8")
        if self.is_whole_line:
            return [text]
        if self.is_blank_separated:
            return text.split()
        if not self.quote:
            return text.split(self.delimiter.decode())
        if self.is_rewritten:
            return [field.decode() for field in self._values(record)]
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.delimiter.decode(),
            quotechar=self.quote.decode(),
            skipinitialspace=self.delimiter != b" ",
        )
        return next(reader, [""])

    def as_csv(self, record: bytes) -> bytes:
        """Return a whole record with commas between its fields and each field in quotes."""
        if self.quote and self.quote in record:
            values = self._values(record)
        else:
            values = record.split(self.delimiter)
        return b",".join(b'"' + value.replace(b'"', b'""') + b'"' for value in values)

    def _values(self, record: bytes) -> list[bytes]:
        assert self.quote is not None
        values, position = [], 0
        while position <= len(record):
            match = self._field().match(record, position)
            assert match is not None
            quoted, plain = match.group(1, 2)
            values.append(plain if quoted is None else quoted.replace(self.quote * 2, self.quote))
            position = match.end() + len(self.delimiter)
        return values

    def _field(self) -> re.Pattern[bytes]:
        quote, delimiter = re.escape(self.quote or b""), re.escape(self.delimiter)
        end = rb"(?=" + delimiter + rb"|\Z)"
        quoted = rb"\x20*+" + quote + b"((?:[^" + quote + b"]++|" + quote * 2 + b")*+)" + quote
        return re.compile(
            b"(?s:" + quoted + rb"\x20*+" + end + b"|((?:(?!" + delimiter + b").)*+))"
        )

    def patterns(self, field_count: int) -> tuple[re.Pattern[bytes], ...]:
        """Return the shapes of text that has quotes.

        A whole record; a record with any number of fields; a record whose last quote is open; a
        line inside a quoted value. Every repetition is possessive: matching is linear.
        """
        quote, delimiter = re.escape(self.quote or b""), re.escape(self.delimiter)
        space = b"" if self.delimiter == b" " else rb"\x20*+"
        last = re.escape(self.delimiter[:1])
        quoted = space + quote + b"(?:[^" + quote + b"]++|" + quote * 2 + b")*+" + quote + space
        if len(self.delimiter) == 1:
            plain = b"(?!" + space + quote + b")[^" + last + rb"\n]*+"
        else:
            plain = b"(?!" + space + quote + b")(?:(?!" + delimiter + rb")[^\n])*+"
        field = b"(?:" + quoted + b"|" + plain + b")"
        more = b"(?:" + delimiter + field + b")"
        body = b"(?:[^" + quote + b"]++|" + quote * 2 + b")*+"
        # Fields too many are let pass at the end where they hold nothing, as DuckDB does.
        null = b"(?:" + b"|".join(re.escape(n) for n in sorted(self.nulls, reverse=True)) + b")"
        empty = b"(?:" + space + quote + null + quote + space + b"|" + null + b")"
        surplus = b"(?:" + delimiter + empty + b"(?=" + delimiter + rb"|\Z))*+"
        whole = b"(" + field + more + b"{%d})" % (field_count - 1) + surplus
        still_open = b"(?:" + field + delimiter + b")*+" + space + quote + body
        shapes = (whole, field + more + b"*+", still_open, body)
        return tuple(re.compile(shape) for shape in shapes)
