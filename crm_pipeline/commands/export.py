"""``crm export``: published tables as files for Excel, for other programs, or as Parquet.

What is exported is what is published: no direct identifier is in it. Text that a spreadsheet would
take for a formula is defused.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from crm_pipeline.commands.query import as_sql_spells, open_published
from crm_pipeline.errors import UserError
from crm_pipeline.settings import load_settings

EXCEL_ROWS = 1_048_576
"""Rows of a worksheet, its header included."""
BATCH = 10_000
_FORMULA = re.compile(r"^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a text begins that a spreadsheet executes (OWASP, CSV Injection), full-width signs too."""
_EXCEL_DIGITS = 15
"""Excel's numbers are doubles: a number of more digits is written as text, whole."""
_EXCEL_FIRST_YEAR = 1900
"""Excel knows no earlier day: it is written as text."""
_SHEET_NAME = 31
_CELL_LENGTH = 32_767

Writer = Callable[[duckdb.DuckDBPyConnection, str, str, Path], int]


def export(options: argparse.Namespace) -> int:
    """Write each table as a file into a folder; all of marts and scores unless some are named."""
    settings = load_settings()
    folder = Path(options.to)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder with --to.")
    with open_published(settings.published / "crm.duckdb") as db:
        tables = chosen_tables(db, options.tables)
        write = _writer(options.format, settings.published / "parquet")
        if options.format == "xlsx":
            _fits_excel(db, tables)
        folder.mkdir(parents=True, exist_ok=True)
        total = 0
        for schema, name in tables:
            file = folder / f"{schema}.{name}.{options.format}"
            part = file.with_name(file.name + ".part")
            rows = write(db, schema, name, part)
            part.replace(file)
            total += rows
            print(f"{file}  {rows:,} rows")
    print(
        f"crm: {len(tables)} tables, {total:,} rows. An export does not forget: erase it yourself."
    )
    return 0


def chosen_tables(db: duckdb.DuckDBPyConnection, named: Sequence[str]) -> list[tuple[str, str]]:
    """Return (schema, table) of the tables named; all of marts and scores if none is.

    Args:
        db: The published file.
        named: ``schema.table``, or a table's name where only one schema has it.

    Raises:
        UserError: A name is none of a table, or of several.
    """
    known = db.execute(
        "select schema_name, table_name from duckdb_tables() "
        "where database_name = current_database() order by all"
    ).fetchall()
    if not named:
        return [(schema, table) for schema, table in known if schema in ("marts", "scores")]
    found = []
    for name in named:
        schema, dot, table = name.rpartition(".")
        fitting = [k for k in known if k[1] == table and (not dot or k[0] == schema)]
        if len(fitting) != 1:
            every = ", ".join(f"{s}.{t}" for s, t in fitting)
            raise UserError(
                f"{name} is {'one of ' + every if every else 'no published table'}; "
                '`crm query "from meta.freshness"` lists them.'
            )
        if fitting[0] not in found:
            found.append(fitting[0])
    return found


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe before what looks so."""
    return f"'{text}" if _FORMULA.match(text) else text


def _writer(form: str, parquet: Path) -> Writer:
    if form == "csv":
        return _write_csv
    if form == "xlsx":
        return _write_xlsx

    def copy(db: duckdb.DuckDBPyConnection, schema: str, name: str, file: Path) -> int:
        published = parquet / schema / f"{name}.parquet"
        if published.is_file():
            shutil.copyfile(published, file)
        else:
            import pyarrow.parquet as pq

            pq.write_table(_relation(db, schema, name).to_arrow_table(), file)
        return _count(db, schema, name)

    return copy


def _relation(db: duckdb.DuckDBPyConnection, schema: str, name: str) -> duckdb.DuckDBPyRelation:
    # published tables lie in the order of their keys
    return db.sql(f'select * from "{schema}"."{name}"')


def _count(db: duckdb.DuckDBPyConnection, schema: str, name: str) -> int:
    row = db.execute(f'select count(*) from "{schema}"."{name}"').fetchone()
    return int(row[0]) if row else 0


def _rows(relation: duckdb.DuckDBPyRelation) -> Iterator[tuple]:
    while batch := relation.fetchmany(BATCH):
        yield from batch


def _write_csv(db: duckdb.DuckDBPyConnection, schema: str, name: str, file: Path) -> int:
    """UTF-8 with the mark by which Excel knows it; lines end as RFC 4180 says."""
    relation = _relation(db, schema, name)
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(relation.columns)
        writer.writerows([_for_csv(value) for value in row] for row in _rows(relation))
    return _count(db, schema, name)


def _for_csv(value: object) -> object:
    return defused(value) if isinstance(value, str) else as_sql_spells(value)


def _fits_excel(db: duckdb.DuckDBPyConnection, tables: Sequence[tuple[str, str]]) -> None:
    for schema, name in tables:
        rows = _count(db, schema, name)
        if rows >= EXCEL_ROWS:
            raise UserError(
                f"{schema}.{name} has {rows:,} rows, a worksheet {EXCEL_ROWS - 1:,}: export it "
                "with --format csv or parquet, or name the other tables."
            )


def _write_xlsx(db: duckdb.DuckDBPyConnection, schema: str, name: str, file: Path) -> int:
    """One worksheet: typed columns, a header that stays in sight, a filter; bytes that repeat."""
    import xlsxwriter

    row = db.execute("select as_of from meta.build").fetchone()
    assert row is not None
    relation = _relation(db, schema, name)
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": "yyyy-mm-dd",
    }
    with xlsxwriter.Workbook(str(file), options) as book:
        # the data's day, not the clock: the same publication gives the same bytes
        book.set_properties({"created": datetime.combine(row[0], time())})
        sheet = book.add_worksheet(name[:_SHEET_NAME])
        formats = {
            "header": book.add_format({"bold": True, "bottom": 1}),
            "date": book.add_format({"num_format": "yyyy-mm-dd"}),
            "timestamp": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            "amount": book.add_format({"num_format": "#,##0.00"}),
            "text": book.add_format({"quote_prefix": True}),
        }
        kinds = [str(kind) for kind in relation.types]
        for column, (title, kind) in enumerate(zip(relation.columns, kinds, strict=True)):
            sheet.set_column(column, column, max(12, min(len(title) + 2, 40)), _look(formats, kind))
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, relation.columns, formats["header"])
        count = cut = 0
        for count, values in enumerate(_rows(relation), 1):
            for column, value in enumerate(values):
                cut += _write_cell(sheet, count, column, value, formats)
        sheet.autofilter(0, 0, max(count, 1), len(kinds) - 1)
    if cut:
        print(f"{schema}.{name}: {cut:,} texts cut to the {_CELL_LENGTH:,} signs of a cell")
    return count


def _look(formats: dict[str, Any], kind: str) -> Any:
    if kind == "DATE":
        return formats["date"]
    if kind.startswith("TIMESTAMP"):
        return formats["timestamp"]
    return formats["amount"] if kind.startswith("DECIMAL") else None


def _write_cell(sheet: Any, row: int, column: int, value: Any, formats: dict[str, Any]) -> bool:
    """Write one value, and say whether its text was too long.

    What Excel cannot keep as what it is, a long number or an early day, is text; what is no number
    stays empty.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return False
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float | Decimal) and not _is_long(value):
        sheet.write_number(
            row, column, value, formats["amount"] if isinstance(value, Decimal) else None
        )
    elif isinstance(value, date) and value.year >= _EXCEL_FIRST_YEAR:
        is_day = not isinstance(value, datetime)
        sheet.write_datetime(row, column, value, formats["date" if is_day else "timestamp"])
    else:
        text = str(value)
        look = formats["text"] if _FORMULA.match(text) else None
        sheet.write_string(row, column, text[:_CELL_LENGTH], look)
        return len(text) > _CELL_LENGTH
    return False


def _is_long(value: float | Decimal) -> bool:
    """Whether a whole or decimal number has more digits than a double keeps."""
    if isinstance(value, float):
        return False
    if isinstance(value, int):
        return len(str(abs(value))) > _EXCEL_DIGITS
    return len(value.normalize().as_tuple().digits) > _EXCEL_DIGITS
