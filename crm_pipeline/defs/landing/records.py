"""Cut a normalised file into records, line by line, where DuckDB's parser would lose some.

DuckDB parses the file as it is whenever every physical line is one record. Where that does not
hold (a quoted line end, a ragged line, a quote that is never closed, bytes that are no text), the
file goes through here: records are written to a new file with their line number in front, and
each line that belongs to none is written down with its reason. Belongs here: what a record is.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.defs.landing.grammar import Grammar
from crm_pipeline.defs.landing.stream import Part
from crm_pipeline.vault.private import Place

MAX_RECORD_BYTES = 16 << 20
MAX_VALUE_LINES = 10_000
"""A quoted value with more lines than this counts as a quote that was never closed."""

MAX_VALUE_BYTES = 4 << 20
RAW_CHARACTERS = 1000
"""So much of a bad line or value is kept."""

_FOREIGN_LINES = 10
"""In a table of texts: so many inner lines, all shaped like rows, show a quote never closed."""


@dataclass(frozen=True)
class Split:
    """The result of cutting a file.

    Attributes:
        records: UTF-8 CSV without header: the line number, then the record's fields.
        record_delimiter: The delimiter in ``records``.
        record_quote: The quote in ``records``, or ``""``.
        faults: CSV without header: line number, reason, raw text (empty where withheld).
        record_count: Records in ``records``.
        fault_count: Lines in ``faults``.
        blank_count: Blank lines, which are not rows.
        line_count: Physical lines of everything above and of the header.
        longest_record: Bytes of the longest record.
    """

    records: Path
    record_delimiter: str
    record_quote: str
    faults: Path
    record_count: int
    fault_count: int
    blank_count: int
    line_count: int
    longest_record: int


def read_header(parts: Sequence[Part], grammar: Grammar) -> tuple[bytes, int, int] | None:
    """Return the header record, the lines it takes, and the blank lines before it.

    ``None`` where the file has no line that is not blank.
    """
    blanks = 0
    lines = lines_of(parts)
    for line in lines:
        record = line[:-1]
        if not record.strip():
            blanks += 1
            continue
        taken = 1
        if grammar.quote:
            while record.count(grammar.quote) % 2 and len(record) < 1 << 20:
                more = next(lines, None)
                if more is None:
                    break
                record += b"\n" + more[:-1]
                taken += 1
        return record, taken, blanks
    return None


def split_records(
    parts: Sequence[Part],
    place: Place,
    grammar: Grammar,
    *,
    field_count: int,
    header_lines: int,
    types: Sequence[str | None],
    keeps_raw: bool,
) -> Split:
    """Cut a file into records.

    Args:
        parts: The normalised file.
        place: Where to write.
        grammar: How lines become fields.
        field_count: Fields of a record.
        header_lines: Physical lines to skip at the start, the header and blanks before it.
        types: The declared type of each field, ``None`` where it is not read; used to tell rows
            that an unclosed quote would swallow from lines of a long text.
        keeps_raw: Whether the text of a bad line may be kept.
    """
    splitter = _Splitter(parts, place, grammar, field_count, types, keeps_raw)
    return splitter.run(header_lines)


class _Splitter:
    def __init__(
        self,
        parts: Sequence[Part],
        place: Place,
        grammar: Grammar,
        field_count: int,
        types: Sequence[str | None],
        keeps_raw: bool,
    ) -> None:
        self.source = lines_of(parts)
        self.ahead: deque[bytes] = deque()
        self.grammar = grammar
        self.field_count = field_count
        self.shapes = [_SHAPES.get((kind or "").split("(")[0]) for kind in types]
        self.keeps_raw = keeps_raw
        self.records_path = place("records.csv")
        self.faults_path = place("faults.csv")
        if grammar.quote:
            self.whole, self.any_width, self.still_open, self.inside = grammar.patterns(field_count)
        self.number = 0
        self.records = self.fault_count = self.blanks = self.longest = 0

    def run(self, header_lines: int) -> Split:
        for _ in range(header_lines):
            self._next()
        with (
            self.records_path.open("wb", buffering=1 << 20) as records,
            self.faults_path.open("w", encoding="utf-8", newline="") as faults,
        ):
            self.out = records.write
            self.faults = csv.writer(faults, lineterminator="\n")
            if self.grammar.quote:
                self._split_quoted()
            else:
                self._split_plain()
        return Split(
            records=self.records_path,
            record_delimiter=self.grammar.output_delimiter.decode(),
            record_quote=self.grammar.output_quote,
            faults=self.faults_path,
            record_count=self.records,
            fault_count=self.fault_count,
            blank_count=self.blanks,
            line_count=self.number,
            longest_record=self.longest,
        )

    def _next(self) -> bytes | None:
        line = self.ahead.popleft() if self.ahead else next(self.source, None)
        if line is not None:
            self.number += 1
        return line

    def _split_plain(self) -> None:
        """Lines without quotes: each is a record."""
        grammar, extra = self.grammar, self.field_count - 1
        while (line := self._next()) is not None:
            line = line[:-1]
            if self._is_blank(line):
                self.blanks += 1
            elif not _is_text(line):
                self._fault(self.number, "bad_encoding", line)
            elif grammar.is_whole_line:
                self._record(self.number, b'"' + line.replace(b'"', b'""') + b'"', line)
            elif grammar.is_blank_separated:
                values = line.split()
                if len(values) == self.field_count:
                    self._record(self.number, b"\t".join(values), line)
                else:
                    self._fault(self.number, "ragged_line", line)
            else:
                record = self._fitted(line, line.count(grammar.delimiter) - extra)
                if record is None:
                    self._fault(self.number, "ragged_line", line)
                else:
                    self._record(self.number, record, line)

    def _split_quoted(self) -> None:
        quote, delimiter, extra = self.grammar.quote, self.grammar.delimiter, self.field_count - 1
        assert quote is not None
        while (line := self._next()) is not None:
            line = line[:-1]
            number = self.number
            if quote not in line:
                if self._is_blank(line):
                    self.blanks += 1
                elif not (line.isascii() or _is_text(line)):
                    self._fault(number, "bad_encoding", line)
                elif (record := self._fitted(line, line.count(delimiter) - extra)) is not None:
                    self._record(number, record, line)
                else:
                    self._fault(number, "ragged_line", line)
                continue
            if not _is_text(line):
                self._fault(number, "bad_encoding", line)
            elif match := self.whole.fullmatch(line):
                self._record(number, match.group(1), line)
            elif self.still_open.fullmatch(line):
                self._long_record(number, line)
            else:
                self._fault(number, self._reason(line), line)

    def _is_blank(self, line: bytes) -> bool:
        if not line:
            return True
        if self.grammar.is_blank_separated:
            return not line.split()
        return self.field_count > 1 and self.grammar.delimiter != b" " and not line.strip(b" ")

    def _fitted(self, line: bytes, surplus: int) -> bytes | None:
        """Return a line with the right number of fields, or ``None``.

        Fields too many that hold nothing are dropped.
        """
        if surplus == 0:
            return line
        if surplus < 0:
            return None
        fields = line.split(self.grammar.delimiter)
        kept = self.field_count
        nulls = self.grammar.nulls
        return (
            self.grammar.delimiter.join(fields[:kept]) if nulls.issuperset(fields[kept:]) else None
        )

    def _long_record(self, number: int, first: bytes) -> None:
        """A quote is open at the end of the line: find its end, or give up this line alone."""
        taken: list[bytes] = []
        pieces, size, closings = [first], len(first), 0
        whole: bytes | None = None
        while len(taken) < MAX_VALUE_LINES and size < MAX_VALUE_BYTES:
            line = self._peek(len(taken))
            if line is None:
                break
            taken.append(line)
            pieces.append(line[:-1])
            size += len(line)
            if self.inside.fullmatch(line):
                continue
            # The value ends here: either the record does too, or a further value opens, of which
            # there are at most as many as fields; so the text is matched that often at most.
            text = b"\n".join(pieces)
            closings += 1
            if match := self.whole.fullmatch(text):
                whole = match.group(1)
                break
            if closings >= self.field_count or not self.still_open.fullmatch(text):
                break
        if whole is None or self._swallows_rows(taken[:-1]):
            self._fault(number, "unclosed_quote", first)
            return
        if not _is_text(whole):
            # One record, but not text: it is lost as a whole, line by line.
            self._fault(number, "bad_encoding", first)
            return
        for _ in taken:
            self._next()
        self._record(number, whole, whole)

    def _peek(self, position: int) -> bytes | None:
        while len(self.ahead) <= position:
            line = next(self.source, None)
            if line is None:
                return None
            self.ahead.append(line)
        return self.ahead[position]

    def _swallows_rows(self, inner: Sequence[bytes]) -> bool:
        """Whether the inner lines of a value are rows of this table rather than text.

        Two unclosed quotes can enclose good rows and together make a well-formed record. If every
        inner line has the right number of fields, and those of a declared type look like it, the
        rows win. (Prose with the right number of commas exists: line 1854 of the public clothing
        reviews has ten.) In a table of texts alone only the number of such lines can tell.
        """
        lines = [line[:-1] for line in inner if line.strip()]
        if not lines or self.field_count < 2:
            return False
        matches = [self.whole.fullmatch(line) for line in lines]
        if not all(matches):
            return False
        if any(self.shapes):
            return all(self._looks_typed(line) for line in lines)
        return len(lines) >= _FOREIGN_LINES

    def _looks_typed(self, line: bytes) -> bool:
        try:
            values = self.grammar.fields(line)
        except (UnicodeDecodeError, csv.Error):
            return False
        seen = 0
        for value, shape in zip(values, self.shapes, strict=False):
            if shape is None or not value.strip():
                continue
            if not shape.fullmatch(value.strip()):
                return False
            seen += 1
        return seen > 0

    def _reason(self, line: bytes) -> str:
        """Tell a well-formed line with too few or too many fields from one with a stray quote."""
        return "ragged_line" if self.any_width.fullmatch(line) else "bad_quote"

    def _record(self, number: int, record: bytes, line: bytes) -> None:
        if len(record) > MAX_RECORD_BYTES:
            self._fault(number, "line_too_long", line)
            return
        if self.grammar.is_rewritten:
            record = self.grammar.as_csv(record)
        self.longest = max(self.longest, len(record))
        self.records += 1
        self.out(b"%d%b%b\n" % (number, self.grammar.output_delimiter, record))

    def _fault(self, number: int, reason: str, line: bytes) -> None:
        self.fault_count += 1
        raw = ""
        if self.keeps_raw:
            raw = line[: 4 * RAW_CHARACTERS].decode("utf-8", "backslashreplace")[:RAW_CHARACTERS]
        self.faults.writerow([number, reason, raw])


_SHAPES = {
    "bigint": re.compile(r"[+-]?\d+(\.0*)?"),
    "integer": re.compile(r"[+-]?\d+(\.0*)?"),
    "decimal": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "double": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "boolean": re.compile(r"(?i:true|false|t|f|yes|no|y|n|0|1)"),
    "date": re.compile(r"\d{1,4}\D?\d{1,2}\D?\d{1,4}.*"),
    "timestamp": re.compile(r"\d{1,4}\D?\d{1,2}\D?\d{1,4}.*"),
}


def _is_text(line: bytes) -> bool:
    if line.isascii():
        return True
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def lines_of(parts: Iterable[Part]) -> Iterator[bytes]:
    """Yield the lines of a normalised file, each with its line end."""
    for part in parts:
        with part.path.open("rb", buffering=1 << 20) as file:
            yield from file
