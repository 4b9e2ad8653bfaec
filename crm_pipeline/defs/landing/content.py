"""Write the rows of one prepared file: typed into the landing table, the others to quarantine.

Belongs here: the SQL for one content. Which contents count is the ledger's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import casts
from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract
from crm_pipeline.defs.landing.drift import (
    RETYPED,
    Drift,
    RefusedFileError,
    refuse_drift,
    type_text,
)
from crm_pipeline.defs.landing.evidence import FEWEST, MOST, commonest_shape
from crm_pipeline.defs.landing.guard import ERASED, SCREENED, Guard, screen
from crm_pipeline.defs.landing.prepare import Prepared, json_pointer
from crm_pipeline.defs.landing.records import MAX_RECORD_BYTES, RAW_CHARACTERS, Split
from crm_pipeline.defs.landing.sqltext import identifier, literal, literals, path_literal

_DEFAULT_LINE_BYTES = 2_000_000
"""DuckDB's own limit for a line; longer ones are announced to it."""


class NeedsSplittingError(Exception):
    """DuckDB does not see one record a line: the file has to be cut into records first."""


@dataclass(frozen=True)
class Counts:
    """What became of a file's rows: ``read = accepted + quarantined``.

    Of the quarantined, ``erased`` are not faulty: they name somebody who was forgotten.
    """

    read: int
    accepted: int
    quarantined: int
    blank_lines: int = 0
    erased: int = 0


def insert_content(con: duckdb.DuckDBPyConnection, prepared: Prepared, guard: Guard) -> Counts:
    """Insert the rows that fit into the landing table, the others into the quarantine.

    The caller holds a transaction, in a session whose ``TimeZone`` is the source's. Of a table with
    direct identifiers, the vault is left in a transaction: commit that one first.

    Raises:
        NeedsSplittingError: The file is not one record a line; roll back, ``split``, try again.
        RefusedFileError: A column's values are of another type, or the rows do not add up.
    """
    contract = prepared.contract
    try:
        total = _record_count(con, prepared)
        erased = 0
        is_watched = guard.watches(contract)
        if is_watched:
            screen(con, contract, prepared.digest, _fitting_sql(prepared), guard)
            erased = _count(con.execute(_ERASED_COUNT, [ERASED]).fetchone())
        accepted = _count(con.execute(_accept_sql(prepared, is_watched)).fetchone())
        quarantined = 0
        if accepted != total:
            con.execute(_faults_sql(prepared))
            if is_watched:
                con.execute(_screened_faults_sql(prepared))
            quarantined = _quarantined_lines(con, prepared)
        if accepted + quarantined != total:
            raise NeedsSplittingError
    except (duckdb.InvalidInputException, duckdb.ConversionException) as fault:
        if prepared.text is not None and prepared.split is None:
            raise NeedsSplittingError from fault
        raise RefusedFileError(f"DuckDB cannot read it ({type(fault).__name__})") from fault
    except NeedsSplittingError as fault:
        if prepared.text is not None and prepared.split is None:
            raise
        raise RefusedFileError(
            f"{total} rows were counted but {accepted} landed and {quarantined} did not; report "
            "this as a defect of the pipeline"
        ) from fault
    if quarantined >= MOST * FEWEST:
        refuse_drift(contract, prepared.digest, _retyped(con, prepared))
    blanks = prepared.blank_lines
    if prepared.split is not None:
        blanks += prepared.split.blank_count
        quarantined += prepared.split.fault_count
        total += prepared.split.fault_count
        if prepared.split.fault_count:
            con.execute(_line_faults_sql(contract, prepared.digest, prepared.split))
    if gone := prepared.erased_lines:
        # of text they are blank, which are no rows
        blanks -= len(gone) if prepared.text is not None else 0
        total, quarantined, erased = (count + len(gone) for count in (total, quarantined, erased))
        con.execute(
            "insert into control.quarantine select ?, ?, ?, unnest(?::bigint[]), 0, null, ?, null",
            [contract.source, contract.name, prepared.digest, list(gone), ERASED],
        )
    return Counts(total, accepted, quarantined, blank_lines=blanks, erased=erased)


def _retyped(con: duckdb.DuckDBPyConnection, prepared: Prepared) -> tuple[Drift, ...]:
    """Return the columns of which (nearly) no value fits the declared type."""
    contract = prepared.contract
    faults = con.execute(
        "select column_position - 1, count(*) from control.quarantine where source = ? "
        "and table_name = ? and digest = ? and reason = 'bad_type' group by all order by all",
        [contract.source, contract.name, prepared.digest],
    ).fetchall()
    suspects = {index: count for index, count in faults if count >= MOST * FEWEST}
    if not suspects:
        return ()
    counts = ", ".join(f"count(v{index})" for index in suspects)
    present = con.execute(f"select {counts} from ({_typed_sql(prepared)})").fetchone()
    assert present is not None
    found = []
    for (index, bad), values in zip(suspects.items(), present, strict=True):
        if values < FEWEST or bad < MOST * values:
            continue
        column = contract.columns[index]
        shown = f"{bad:,} of {values:,} values of another type"
        if not column.pii:
            sample = con.execute(
                f"select cast(v{index} as varchar) from ({_typed_sql(prepared)}) "
                f"where v{index} is not null and t{index} is null order by _line limit 1000"
            ).fetchall()
            shown += f", shaped like {commonest_shape([text for (text,) in sample])}"
        found.append(Drift(RETYPED, column.header, type_text(contract, column), shown))
    return tuple(found)


def _record_count(con: duckdb.DuckDBPyConnection, prepared: Prepared) -> int:
    if prepared.parquet is not None:
        query = f"select count(*) from read_parquet({path_literal(prepared.parquet)})"
        return _count(con.execute(query).fetchone()) - len(prepared.erased_lines)
    if prepared.split is not None:
        return prepared.split.record_count
    assert prepared.text is not None
    return prepared.text.line_count - prepared.header_lines


def _typed_sql(prepared: Prepared) -> str:
    """Return SQL for the records: ``_line``, ``_is_object``, raw ``v0, ...``, typed ``t0, ...``."""
    contract = prepared.contract
    columns = range(len(contract.columns))
    typed = ", ".join(
        f"{_cast(prepared, index, column)} as t{index}"
        for index, column in enumerate(contract.columns)
    )
    if prepared.parquet is not None:
        values = ", ".join(_field(prepared, index) for index in columns)
        erased = ", ".join(map(str, prepared.erased_lines))
        return (
            f"select *, {typed} from (select file_row_number + 1 as _line, true as _is_object, "
            f"{values} from read_parquet({path_literal(prepared.parquet)}, "
            f"file_row_number = true)) where _line not in ({erased or '-1'})"
        )
    if prepared.split is not None:
        return f"select *, {typed} from ({_split_source_sql(prepared, prepared.split)})"
    assert prepared.text is not None
    raw = ", ".join(_raw_text(prepared, index) for index in columns)
    scans = []
    for part in prepared.text.parts:
        skipped = prepared.header_lines if part.first_line == 1 else 0
        scan = _read_csv_sql(
            part.path,
            [f"c{position}" for position in range(prepared.field_count)],
            delimiter=str(contract.delimiter),
            quote=contract.quote or "",
            null_tokens=contract.null_tokens,
            skip=skipped,
        )
        # DuckDB runs a scan below row_number() in file order in one thread, and the parts side by
        # side; rows and lines are compared afterwards. It stands above the casts on purpose: a
        # filter is not pushed below it, so each value is cast once and not once per test.
        scans.append(
            f"select {part.first_line + skipped - 1} + row_number() over () as _line, * "
            f"from (select *, {typed} from (select true as _is_object, {raw} from {scan}))"
        )
    if not scans:
        values = ", ".join(f"cast(null as varchar) as v{index}" for index in columns)
        nothing = f"select 0 as _line, true as _is_object, {values}"
        scans = [f"select *, {typed} from ({nothing}) limit 0"]
    return " union all ".join(scans)


def _split_source_sql(prepared: Prepared, split: Split) -> str:
    contract = prepared.contract
    names = [f"c{position}" for position in range(prepared.field_count)]
    is_json = contract.format == "jsonl"
    scan = _read_csv_sql(
        split.records,
        ["_number", *names],
        delimiter=split.record_delimiter,
        quote=split.record_quote,
        null_tokens=() if is_json else contract.null_tokens,
        line_bytes=split.longest_record + 64,
    )
    values = ", ".join(_raw_text(prepared, index) for index in range(len(contract.columns)))
    is_object = "case when json_valid(c0) then json_type(c0) = 'OBJECT' else false end"
    return (
        f"select _line, _is_object, {values} from (select cast(_number as bigint) as _line, "
        f"{is_object if is_json else 'true'} as _is_object, {', '.join(names)} from {scan})"
    )


def _raw_text(prepared: Prepared, index: int) -> str:
    """Return SQL for the text of the declared column ``index``."""
    contract = prepared.contract
    if contract.format == "jsonl":
        pointer = literal(json_pointer(contract.columns[index].header))
        value = f"case when _is_object then json_extract_string(c0, {pointer}) end"
        return f"{_without_tokens(contract, value)} as v{index}"
    position = prepared.positions[index]
    return f"{'cast(null as varchar)' if position is None else f'c{position}'} as v{index}"


def _field(prepared: Prepared, index: int) -> str:
    position = prepared.positions[index]
    if position is None:
        return f"cast(null as varchar) as v{index}"
    value = identifier(prepared.field_names[position])
    if prepared.native_types[position] == "VARCHAR":
        value = _without_tokens(prepared.contract, value)
    return f"{value} as v{index}"


def _without_tokens(contract: TableContract, value: str) -> str:
    if not contract.null_tokens:
        return value
    return f"case when {value} not in {_tuple(contract.null_tokens)} then {value} end"


def _tuple(texts: Sequence[str]) -> str:
    return "(" + ", ".join(literal(text) for text in texts) + ")"


def _read_csv_sql(
    path: Path,
    names: Sequence[str],
    *,
    delimiter: str,
    quote: str,
    null_tokens: Sequence[str],
    skip: int = 0,
    line_bytes: int = 0,
) -> str:
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    # An impossible token where there is none: an empty list would mean DuckDB's default, ''.
    tokens = literals(null_tokens or ["\x01no null token\x01"])
    size = ""
    if line_bytes > _DEFAULT_LINE_BYTES:
        size = f", max_line_size = {line_bytes}, buffer_size = {2 * MAX_RECORD_BYTES}"
    return (
        f"read_csv({path_literal(path)}, auto_detect = false, header = false, skip = {skip}, "
        f"delim = {literal(delimiter)}, quote = {literal(quote)}, escape = {literal(quote)}, "
        f"columns = {{{columns}}}, nullstr = {tokens}, strict_mode = true, "
        f"null_padding = false, compression = 'none', new_line = '\\n'{size})"
    )


def _cast(prepared: Prepared, index: int, column: ColumnContract) -> str:
    position = prepared.positions[index]
    if prepared.native_types and position is not None:
        native = prepared.native_types[position]
        return casts.from_native(column, prepared.contract, f"v{index}", native)
    return casts.from_text(column, prepared.contract, f"v{index}")


def _fits_sql(contract: TableContract) -> str:
    tests = [
        casts.fits(column, f"v{index}", f"t{index}")
        for index, column in enumerate(contract.columns)
    ]
    return " and ".join(["_is_object", *(test for test in tests if test != "true")])


def _fitting_sql(prepared: Prepared) -> str:
    return f"select * from ({_typed_sql(prepared)}) where {_fits_sql(prepared.contract)}"


def _accept_sql(prepared: Prepared, is_watched: bool) -> str:
    contract = prepared.contract
    names, values = [], []
    for index, column in enumerate(contract.columns):
        for stored in column.stored:
            names.append(identifier(stored.name))
            values.append(f"screened.{names[-1]}" if column.is_direct else f"t{index}")
    rows = f"({_typed_sql(prepared)}) as typed"
    fits = _fits_sql(contract)
    if contract.is_sealed:
        rows += f" join {SCREENED} as screened using (_line)"
        fits += " and _fault is null"
    elif is_watched:
        rows += f" anti join {SCREENED} as screened using (_line)"
    return (
        f"insert into landing.{identifier(contract.identifier)} "
        f"({', '.join(names)}, _digest, _line) "
        f"select {', '.join(values)}, {literal(prepared.digest)}, _line "
        f"from {rows} where {fits}"
    )


_ERASED_COUNT = f"select count(*) from {SCREENED} where _fault = ?"


def _screened_faults_sql(prepared: Prepared) -> str:
    contract = prepared.contract
    return (
        "insert into control.quarantine "
        f"select {literal(contract.source)}, {literal(contract.name)}, "
        f"{literal(prepared.digest)}, _line, _position, _column, _fault, null "
        f"from {SCREENED} where _fault is not null"
    )


def _faults_sql(prepared: Prepared) -> str:
    contract = prepared.contract
    faults = [_fault("0", "null", "case when not _is_object then 'bad_json' end", "null")]
    for index, column in enumerate(contract.columns):
        value = f"v{index}"
        raw = f"left(cast({value} as varchar), {RAW_CHARACTERS})"
        if column.pii or prepared.positions[index] is None:
            raw = "null"
        reason = casts.fault_of(column, value, f"t{index}")
        reason = f"case when _is_object then {reason} end"
        faults.append(_fault(str(index + 1), literal(column.name), reason, raw))
    return (
        "insert into control.quarantine "
        f"select {literal(contract.source)}, {literal(contract.name)}, "
        f"{literal(prepared.digest)}, _line, fault.position, fault.column_name, fault.reason, "
        f"fault.raw from (select _line, unnest([{', '.join(faults)}]) as fault "
        f"from ({_typed_sql(prepared)}) where not ({_fits_sql(contract)})) "
        "where fault.reason is not null"
    )


def _fault(position: str, column: str, reason: str, raw: str) -> str:
    return (
        f"{{'position': {position}, 'column_name': cast({column} as varchar), "
        f"'reason': {reason}, 'raw': cast({raw} as varchar)}}"
    )


def _line_faults_sql(contract: TableContract, digest: str, split: Split) -> str:
    columns = "{'number': 'BIGINT', 'reason': 'VARCHAR', 'raw': 'VARCHAR'}"
    return (
        "insert into control.quarantine "
        f"select {literal(contract.source)}, {literal(contract.name)}, {literal(digest)}, number, "
        "0, null, reason, raw from "
        f"read_csv({path_literal(split.faults)}, auto_detect = false, header = false, delim = ',', "
        f"quote = '\"', escape = '\"', columns = {columns}, strict_mode = true, "
        "compression = 'none')"
    )


def _quarantined_lines(con: duckdb.DuckDBPyConnection, prepared: Prepared) -> int:
    query = (
        "select count(distinct line_number) from control.quarantine "
        "where source = ? and table_name = ? and digest = ?"
    )
    contract = prepared.contract
    return _count(con.execute(query, [contract.source, contract.name, prepared.digest]).fetchone())


def _count(row: tuple[int, ...] | None) -> int:
    return int(row[0]) if row else 0
