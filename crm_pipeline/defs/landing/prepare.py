"""Read one file to its end and find its columns, before any transaction begins.

Belongs here: what has to be known of a file before its rows can be written: its identity, its
header, whether DuckDB can read it as it is. Writing rows belongs in ``content.py``.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.grammar import Grammar
from crm_pipeline.defs.landing.records import Split, read_header, split_records
from crm_pipeline.defs.landing.sqltext import path_literal
from crm_pipeline.defs.landing.stream import Normalised, UnreadableFileError, copy_raw, normalise


class RefusedFileError(Exception):
    """Nothing of the file can land; the message says why and what to do, without values."""


@dataclass(frozen=True)
class Prepared:
    """A file that was read to its end and whose columns are known.

    Attributes:
        contract: How to read it.
        folder: Scratch folder that holds the copies.
        digest: The content's identity.
        raw_digest: SHA-256 of the file as it came.
        raw_size: Its size in bytes.
        text: The normalised text; ``None`` for Parquet.
        parquet: The copy to read; ``None`` for text.
        header_lines: Lines taken by the header and the blank lines before it.
        blank_lines: Those blank lines.
        field_count: Fields of a record.
        positions: Where each declared column is found; ``None`` where the file has no such column.
        native_types: For Parquet, the type of each field.
        notes: What the user should know although the file lands.
        split: The records, where the file had to be cut.
    """

    contract: TableContract
    folder: Path
    digest: str
    raw_digest: str
    raw_size: int
    text: Normalised | None
    parquet: Path | None
    header_lines: int
    blank_lines: int
    field_count: int
    positions: tuple[int | None, ...]
    native_types: tuple[str, ...] = ()
    field_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    split: Split | None = None


def prepare(
    contract: TableContract, path: Path, folder: Path, archive: Path | None = None
) -> Prepared:
    """Read a file to its end and find its columns.

    Args:
        contract: The table that the file feeds.
        path: The file.
        folder: An existing, empty scratch folder.
        archive: Where to keep the file's bytes, or ``None``.

    Raises:
        RefusedFileError: The file cannot be read, or lacks a required column.
    """
    try:
        if contract.format == "parquet":
            return _prepare_parquet(contract, path, folder, archive)
        parts_folder = folder / "parts"
        parts_folder.mkdir()
        text = normalise(
            path,
            parts_folder,
            encoding=contract.encoding,
            fallback_encoding=contract.fallback_encoding,
            archive=archive,
        )
    except UnreadableFileError as fault:
        raise RefusedFileError(str(fault)) from fault
    except OSError as fault:
        raise RefusedFileError(
            f"it cannot be read ({fault.strerror}); check its permissions and the disk"
        ) from fault
    prepared = Prepared(
        contract=contract,
        folder=folder,
        digest=text.digest,
        raw_digest=text.raw_digest,
        raw_size=text.raw_size,
        text=text,
        parquet=None,
        header_lines=0,
        blank_lines=0,
        field_count=len(contract.columns),
        positions=tuple(range(len(contract.columns))),
    )
    if contract.format == "jsonl":
        return replace(prepared, field_count=1)
    return _with_header(prepared, text) if contract.header else prepared


def split(prepared: Prepared) -> Prepared:
    """Cut a prepared text file into records."""
    contract, text = prepared.contract, prepared.text
    assert text is not None
    types: list[str | None] = [None] * prepared.field_count
    if contract.format == "csv":
        for column, position in zip(contract.columns, prepared.positions, strict=True):
            if position is not None and column.data_type != "varchar":
                types[position] = column.data_type
    folder = prepared.folder / "split"
    folder.mkdir(exist_ok=True)
    result = split_records(
        text.parts,
        folder,
        Grammar.of(contract),
        field_count=prepared.field_count,
        header_lines=prepared.header_lines,
        types=types,
        keeps_raw=not contract.has_personal_columns,
    )
    if result.line_count != text.line_count:
        raise RefusedFileError(
            f"{text.line_count} lines were counted but {result.line_count} were cut into records; "
            "report this as a defect of the pipeline"
        )
    return replace(prepared, split=result)


def must_split(prepared: Prepared) -> bool:
    """Whether DuckDB cannot read the file as it is; known without trying."""
    if prepared.text is None:
        return False
    grammar = Grammar.of(prepared.contract)
    if not prepared.text.is_clean:
        return True
    return grammar.needs_splitting(prepared.field_count) or prepared.header_lines > 1


def _with_header(prepared: Prepared, text: Normalised) -> Prepared:
    contract, grammar = prepared.contract, Grammar.of(prepared.contract)
    header = read_header(text.parts, grammar)
    expected = ", ".join(column.header for column in contract.columns)
    if header is None:
        raise RefusedFileError(
            f"it is empty, not even a header; expected the columns {expected}. An export without "
            "rows has a header only"
        )
    record, lines, blanks = header
    try:
        names = [name.strip() for name in grammar.fields(record)]
    except (UnicodeDecodeError, csv.Error) as fault:
        raise RefusedFileError(
            f"its header is not {text.encoding} text; expected the columns {expected}. Set "
            f"`encoding` in {contract.declared_in}"
        ) from fault
    positions, notes = match_columns(contract, names)
    return replace(
        prepared,
        header_lines=lines + blanks,
        blank_lines=blanks,
        field_count=len(names),
        positions=positions,
        field_names=tuple(names),
        notes=notes,
    )


def match_columns(
    contract: TableContract, names: Sequence[str]
) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """Return where each declared column stands among a file's ``names``, and what to report.

    A column is found by its header's exact text, else without regard to case. Of several columns
    of one name ``header: "name#2"`` takes the second.

    Raises:
        RefusedFileError: A required column is missing, or all are.
    """
    places: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for position, name in enumerate(names):
        seen[name] += 1
        places.setdefault(f"{name}#{seen[name]}", position)
    for position, name in enumerate(names):
        places.setdefault(name, position)
    folded: dict[str, int] = {}
    for name, position in places.items():
        folded.setdefault(name.casefold(), position)
    positions = tuple(
        places.get(column.header, folded.get(column.header.casefold()))
        for column in contract.columns
    )
    missing = [
        column
        for column, position in zip(contract.columns, positions, strict=True)
        if position is None
    ]
    if any(column.required for column in missing) or len(missing) == len(contract.columns):
        raise RefusedFileError(
            f"its header lacks {_listed(column.header for column in missing)}. Expected "
            f"{_listed(column.header for column in contract.columns)}; found {_listed(names)}. "
            f"Mend the header, or `header` and `delimiter` in {contract.declared_in}"
        )
    notes = []
    if missing:
        notes.append(f"missing columns read as null: {_listed(c.header for c in missing)}")
    if twice := [name for name in seen if seen[name] > 1]:
        notes.append(f"header names several columns alike: {_listed(twice)}")
    taken = {position for position in positions if position is not None}
    unread = [name for position, name in enumerate(names) if position not in taken]
    if unread:
        notes.append(f"columns not declared and not read: {_listed(unread)}")
    return positions, tuple(notes)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name or "(no name)" for name in names)


def _prepare_parquet(
    contract: TableContract, path: Path, folder: Path, archive: Path | None
) -> Prepared:
    copy = folder / "content.parquet"
    digest, size = copy_raw(path, copy)
    if archive:
        copy_raw(copy, archive)
    with duckdb.connect() as con:
        try:
            fields = con.execute(
                f"describe select * from read_parquet({path_literal(copy)})"
            ).fetchall()
        except duckdb.Error as fault:
            raise RefusedFileError("it is not a complete Parquet file; deliver it again") from fault
    positions, notes = match_columns(contract, [str(field[0]) for field in fields])
    return Prepared(
        contract=contract,
        folder=folder,
        digest=digest,
        raw_digest=digest,
        raw_size=size,
        text=None,
        parquet=copy,
        header_lines=0,
        blank_lines=0,
        field_count=len(fields),
        positions=positions,
        native_types=tuple(str(field[1]) for field in fields),
        field_names=tuple(str(field[0]) for field in fields),
        notes=notes,
    )
