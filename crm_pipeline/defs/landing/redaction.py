"""The lines of forgotten customers leave the archive's copies, which stand for the rest as before.

A copy that names one is written anew without those lines, sealed, and says which lines they were:
landed again, they count as erased. Lines that belong to no record (a quote never closed) may name
anybody; they leave the copy as well. A copy whose rows name other customers is sealed.
"""

from __future__ import annotations

import codecs
import csv
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import erasure, ledger
from crm_pipeline.defs.landing.archive import Archive
from crm_pipeline.defs.landing.content import typed_sql
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.drift import RefusedFileError
from crm_pipeline.defs.landing.guard import ERASED, Guard, erased_lines
from crm_pipeline.defs.landing.prepare import Prepared, prepare, split
from crm_pipeline.defs.landing.rebuild import Scratch
from crm_pipeline.defs.landing.records import lines_of
from crm_pipeline.defs.landing.sqltext import identifier, path_literal
from crm_pipeline.vault.private import private_file


def erase(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    archive: Archive,
    guard: Guard,
    scratch: Scratch,
    clock: Callable[[], datetime],
    *,
    has_landed: bool,
) -> list[str]:
    """Take out whoever was forgotten, and what landed of them before that was known.

    Args:
        con: The warehouse.
        contracts: All sources, by name.
        archive: The archive.
        guard: Knows who was forgotten.
        scratch: Gives scratch folders.
        clock: The time, as naive UTC.
        has_landed: Whether this run landed anything.

    Returns:
        One sentence for each copy of the archive that could not be looked through.
    """
    if not guard.erased:
        return []
    problems: list[str] = []
    erasure.find_documents(con, contracts, guard, clock())
    is_new = len(guard.erased) > erasure.applied(con)
    looks_again = is_new or has_landed
    if looks_again:
        problems = redact(con, contracts, archive, guard, scratch, looks_everywhere=is_new)
    # last: it is what says that the tombstones were dealt with
    erasure.apply(con, contracts, guard, clock(), looks_at_refused=looks_again)
    return problems


def tidy_vault(
    con: duckdb.DuckDBPyConnection, tables: Iterable[TableContract], guard: Guard
) -> None:
    """Delete from the vault what no row stands behind: a killed run's, or erased."""
    if not guard.has_vault:
        return
    stands = {
        row
        for place in ledger.accounts(con)
        for row in con.execute(
            f"select source, table_name, digest, contract_digest from {place}"
        ).fetchall()
    }
    guard.vault.sweep(stands)
    if not guard.erased:
        return
    for table in tables:
        if table.is_sealed:
            query = " union all ".join(erasure.landed_lines(con, table))
            lines = con.execute(query).to_arrow_table()
            guard.vault.drop_lines(table.source, table.name, lines)


def redact(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, SourceContract],
    archive: Archive,
    guard: Guard,
    scratch: Scratch,
    *,
    looks_everywhere: bool,
) -> list[str]:
    """Take forgotten customers' lines out of the archive.

    Args:
        con: The warehouse.
        contracts: All sources, by name.
        archive: The archive.
        guard: Knows who was forgotten.
        scratch: Gives scratch folders.
        looks_everywhere: Look through every copy, because somebody was forgotten since; else only
            at those of contents that landed without some rows.

    Returns:
        One sentence for each copy that could not be looked through.
    """
    problems = []
    for source in contracts.values():
        for table in source.tables:
            if any(column.names for column in table.stored_columns):
                # a row of somebody else stays, and its line names who was forgotten
                archive.seal_clear(table)
            if not any(column.identifies for column in table.stored_columns):
                continue
            suspects = dict(
                con.execute(
                    "select digest, list(line_number) from control.quarantine where source = ? "
                    "and table_name = ? and reason = ? group by digest",
                    [table.source, table.name, ERASED],
                ).fetchall()
            )
            for digest, path in archive.contents(table):
                is_suspect = set(suspects.get(digest, ())) - archive.erased_of(table, path)
                if not looks_everywhere and not is_suspect:
                    continue
                try:
                    with scratch() as folder:
                        _redact(table, digest, path, archive, guard, folder)
                except RefusedFileError:
                    problems.append(
                        f"archive/{table.source}/{table.name}/{path.name} does not fit the "
                        "contract of today: whether it names a forgotten customer is not known; "
                        "delete it if it is not needed"
                    )
    return problems


def _redact(
    table: TableContract, digest: str, path: Path, archive: Archive, guard: Guard, folder: Path
) -> None:
    content = folder / "content"
    content.mkdir()
    with archive.opened(table, path, folder) as (plain, gone):
        prepared = prepare(table, plain, content)
        if prepared.text is not None:
            prepared = split(prepared)
        lines = erased_lines(table, typed_sql(prepared), guard) - set(gone)
        if not lines:
            return
        fresh = private_file(folder)
        if prepared.text is None:
            _blank_rows(prepared, fresh, lines | set(gone))
        else:
            lines |= _blank_lines(prepared, fresh, lines)
        archive.keep(table, digest, fresh, sorted(lines | set(gone)))


def _blank_lines(prepared: Prepared, target: Path, lines: set[int]) -> set[int]:
    """Write a text again, in its own encoding, with the records that begin at ``lines`` blank.

    Returns:
        The lines of no record, which are blank as well.
    """
    text, cut = prepared.text, prepared.split
    assert text is not None
    assert cut is not None
    starts, faults = set(), set()
    with cut.records.open(encoding="utf-8", errors="surrogateescape", newline="") as records:
        quote = cut.record_quote or None
        reader = csv.reader(
            records, delimiter=cut.record_delimiter, quotechar=quote, strict=False,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        )  # fmt: skip
        csv.field_size_limit(1 << 30)
        starts = {int(record[0]) for record in reader if record}
    with cut.faults.open(encoding="utf-8", newline="") as found:
        faults = {int(record[0]) for record in csv.reader(found) if record}
    begins = sorted(starts | faults)
    encoder = codecs.getincrementalencoder(text.encoding)("surrogateescape")
    packer = zlib.compressobj(1, wbits=31)
    with target.open("wb") as out:
        for number, line in enumerate(lines_of(text.parts), 1):
            at = bisect_right(begins, number) - 1
            begin = begins[at] if at >= 0 else 0
            if begin in lines or begin in faults:
                line = b"\n"
            plain = line.decode("utf-8", "surrogateescape")
            out.write(packer.compress(encoder.encode(plain)))
        out.write(packer.compress(encoder.encode("", final=True)))
        out.write(packer.flush())
    return faults


def _blank_rows(prepared: Prepared, target: Path, lines: set[int]) -> None:
    """Write a Parquet file again with null in every field of some rows, which keep their place."""
    assert prepared.parquet is not None
    gone = ", ".join(map(str, sorted(lines)))
    values = ", ".join(
        f"case when file_row_number + 1 not in ({gone}) then {identifier(name)} end "
        f"as {identifier(name)}"
        for name in prepared.field_names
    )
    with duckdb.connect(config={"temp_directory": ""}) as private:
        private.execute(
            f"copy (select {values} from read_parquet({path_literal(prepared.parquet)}, "
            f"file_row_number = true) order by file_row_number) to {path_literal(target)} "
            "(format parquet, use_tmp_file false)"
        )
