"""Read one file to its end and find its columns, before any transaction begins.

Belongs here: what has to be known of a file before its rows can be written: its identity, its
header, whether DuckDB can read it as it is. Writing rows belongs in ``content.py``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.drift import (
    RETYPED,
    SEEN_FIELDS,
    Drift,
    Match,
    RefusedFileError,
    judge,
    match_columns,
    notes_of,
    refuse_drift,
    type_text,
)
from crm_pipeline.defs.landing.evidence import FEWEST, can_hold, sql_sample, text_sample
from crm_pipeline.defs.landing.grammar import Grammar
from crm_pipeline.defs.landing.records import Split, read_header, split_records
from crm_pipeline.defs.landing.sqltext import identifier, literal, path_literal
from crm_pipeline.defs.landing.stream import (
    PARQUET_MAGIC,
    Normalised,
    UnreadableFileError,
    copy_raw,
    normalise,
)
from crm_pipeline.disk import is_full
from crm_pipeline.vault.private import places


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
        drift: How its columns differ from the declared ones, although it lands.
        split: The records, where the file had to be cut.
        erased_lines: Lines of the content that the copy does not hold any more.
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
    drift: tuple[Drift, ...] = ()
    split: Split | None = None
    erased_lines: tuple[int, ...] = ()


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
        RefusedFileError: The file cannot be read, or its columns are not the declared ones.
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
            place=places(parts_folder, is_private=contract.is_sealed),
        )
    except UnreadableFileError as fault:
        raise RefusedFileError(str(fault)) from fault
    except OSError as fault:
        if is_full(fault):
            raise
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
        places(folder, is_private=contract.is_sealed),
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
    prepared = replace(prepared, split=result)
    return _with_keys(prepared, result) if contract.format == "jsonl" else prepared


def must_split(prepared: Prepared) -> bool:
    """Whether DuckDB cannot read the file as it is; known without trying."""
    if prepared.text is None:
        return False
    grammar = Grammar.of(prepared.contract)
    if not prepared.text.is_clean or prepared.erased_lines:
        return True
    return grammar.needs_splitting(prepared.field_count) or prepared.header_lines > 1


def _with_header(prepared: Prepared, text: Normalised) -> Prepared:
    expected = ", ".join(column.header for column in prepared.contract.columns)
    prepared = _with_delimiter(prepared, text)
    contract, grammar = prepared.contract, Grammar.of(prepared.contract)
    header = read_header(text.parts, grammar)
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
    match = match_columns(contract, names)
    evidence = text_sample(contract, text.parts, lines + blanks, len(names))
    drift = judge(contract, names, match, evidence)
    refuse_drift(contract, prepared.digest, drift)
    return replace(
        prepared,
        header_lines=lines + blanks,
        blank_lines=blanks,
        field_count=len(names),
        positions=match.positions,
        field_names=tuple(names),
        notes=notes_of(drift, match),
        drift=drift,
    )


def _with_delimiter(prepared: Prepared, text: Normalised) -> Prepared:
    """Settle on the listed delimiter by which the header names declared columns.

    It must be one alone: whoever guesses among several reads whole files as one column.
    """
    contract = prepared.contract
    declared = {column.header.casefold() for column in contract.columns}
    readings = [replace(contract, delimiter=one) for one in contract.delimiters]
    fitting = [
        reading
        for reading in readings
        if declared & {name.casefold() for name in _header_names(text, Grammar.of(reading))}
    ]
    if not readings or read_header(text.parts, Grammar.of(contract)) is None:
        return prepared
    if len(fitting) != 1:
        tried = ", ".join(repr(one) for one in contract.delimiters)
        found = "several of them" if fitting else "none of them"
        raise RefusedFileError(
            f"its delimiter is not certain: the declared ones are {tried}, and by {found} its "
            f"header names declared columns; expected the columns "
            f"{', '.join(column.header for column in contract.columns)}. Deliver it with one of "
            f"them between columns, or set `delimiter` in {contract.declared_in}"
        )
    return replace(prepared, contract=fitting[0])


def _header_names(text: Normalised, grammar: Grammar) -> list[str]:
    header = read_header(text.parts, grammar)
    try:
        return [name.strip() for name in grammar.fields(header[0])] if header else []
    except (UnicodeDecodeError, csv.Error):
        return []


def _with_keys(prepared: Prepared, split: Split) -> Prepared:
    """Hold the keys of a file's JSON objects against the declared columns.

    A writer may leave nulls out, so a few objects without an optional key say nothing.
    """
    contract = prepared.contract
    scan = (
        f"read_csv({path_literal(split.records)}, auto_detect = false, header = false, "
        "delim = ',', quote = '\"', escape = '\"', strict_mode = true, compression = 'none', "
        f"columns = {{'_number': 'VARCHAR', 'c0': 'VARCHAR'}}, "
        f"max_line_size = {split.longest_record + 64})"
    )
    objects = (
        f"(select c0 from (select c0, json_valid(c0) as _ok from {scan}) "
        "where case when _ok then json_type(c0) = 'OBJECT' else false end)"
    )
    with duckdb.connect() as con:
        counted = con.execute(f"select count(*) from {objects}").fetchone()
        keys = con.execute(
            f"select key from (select distinct unnest(json_keys(c0)) as key from {objects}) "
            f"order by list_contains(?, key) desc, key limit {SEEN_FIELDS}",
            [[column.header for column in contract.columns]],
        ).fetchall()
    count = counted[0] if counted else 0
    if not count:
        return prepared
    names = [str(key) for (key,) in keys]
    match = match_columns(contract, names, folds_case=False)
    fields = [f"json_extract_string(c0, {literal(json_pointer(name))})" for name in names]
    drift = judge(
        contract,
        names,
        match,
        sql_sample(contract, objects, fields),
        has_places=False,
        tells_missing=count >= FEWEST,
    )
    refuse_drift(contract, prepared.digest, drift)
    return replace(prepared, drift=drift, notes=notes_of(drift))


def json_pointer(key: str) -> str:
    """Return the JSON pointer to a key of an object."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _prepare_parquet(
    contract: TableContract, path: Path, folder: Path, archive: Path | None
) -> Prepared:
    copy = places(folder, is_private=contract.is_sealed)("content.parquet")
    digest, size = copy_raw(path, copy)
    if archive:
        copy_raw(copy, archive)
    fields = _parquet_fields(copy)
    names, natives = [name for name, _ in fields], [native for _, native in fields]
    match = match_columns(contract, names)
    scan = f"read_parquet({path_literal(copy)})"
    evidence = sql_sample(contract, scan, [identifier(name) for name in names], natives)
    drift = (*judge(contract, names, match, evidence), *_retyped(contract, match, scan, fields))
    refuse_drift(contract, digest, drift)
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
        positions=match.positions,
        native_types=tuple(natives),
        field_names=tuple(names),
        notes=notes_of(drift, match),
        drift=drift,
    )


def _parquet_fields(copy: Path) -> list[tuple[str, str]]:
    """Return a Parquet file's fields, having read every value of them.

    That is done here, because an error inside DuckDB closes the database in which it happens:
    that must not be the warehouse.
    """
    scan = f"read_parquet({path_literal(copy)})"
    with copy.open("rb") as file:
        is_whole = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    with duckdb.connect() as con:
        try:
            if not is_whole:  # DuckDB looks at the end only
                raise duckdb.InvalidInputException("it does not begin as Parquet does")
            rows = con.execute(f"describe select * from {scan}").fetchall()
            fields = [(str(row[0]), str(row[1])) for row in rows]
            # a hash needs every value; a count would do with the file's own statistics
            values = ", ".join(identifier(name) for name, _ in fields)
            con.execute(f"select bit_xor(hash({values})) from {scan}").fetchall()
        except (duckdb.Error, UnicodeDecodeError) as fault:  # of a message cut within a letter
            raise RefusedFileError("it is not a complete Parquet file; deliver it again") from fault
    return fields


def _retyped(
    contract: TableContract, match: Match, scan: str, fields: list[tuple[str, str]]
) -> tuple[Drift, ...]:
    """Return the columns that have values, of a Parquet type that cannot hold the declared one."""
    found = []
    for column, position in zip(contract.columns, match.positions, strict=True):
        if position is None or can_hold(column, fields[position][1]):
            continue
        name, native = fields[position]
        with duckdb.connect() as con:
            row = con.execute(f"select count({identifier(name)}) from {scan}").fetchone()
        if row and row[0]:
            shown = native.split("(")[0].lower()
            found.append(Drift(RETYPED, column.header, type_text(contract, column), shown))
    return tuple(found)
