"""``crm export``: typed, whole, inert, the same bytes each time."""

from __future__ import annotations

import csv
import shutil
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pyarrow.parquet as pq
import pytest

from crm_pipeline.commands import export
from tests.pipeline.test_bad_input import call

DAY = datetime.combine(date(2026, 1, 31), time())
FORMULA = "=cmd|' /C calc'!A0"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose published file has one table of every type and every trap."""
    file = tmp_path / "home" / "published" / "crm.duckdb"
    file.parent.mkdir(parents=True)
    with duckdb.connect(str(file)) as con:
        con.execute("create schema marts; create schema scores; create schema meta")
        con.execute("create table meta.build as select date '2026-06-30' as as_of")
        con.execute(
            """
            create table marts.odd as select * from (values
                ('a', date '2026-01-31', timestamp '2026-01-31 23:59:58', 12.50::decimal(18,2),
                    1234567890123456789::bigint, .25::double, true),
                ($1, null, null, -3.00, 7, 'nan'::double, false),
                ('-1+1', null, null, null, null, 'inf'::double, null)
            ) as t (name, day_on, seen_at, amount, big, rate, is_it)
            """,
            [FORMULA],
        )
        con.execute("create table scores.odd as select 1 as n")
        con.execute("create table scores.empty (customer_key varchar, amount decimal(18,2))")
        con.execute("create table meta.freshness as select 'marts' as table_schema")
    return tmp_path / "home"


def sheet(file: Path) -> list[tuple]:
    book = openpyxl.load_workbook(file)
    return [tuple(cell.value for cell in row) for row in book.active.iter_rows()]


def test_excel_gets_types_a_frozen_header_and_no_formula(home, tmp_path, monkeypatch, capsys):
    assert call(home, monkeypatch, "export", "marts.odd", "--to", str(tmp_path / "out")) == 0
    file = tmp_path / "out" / "marts.odd.xlsx"
    rows = sheet(file)
    assert rows[0] == ("name", "day_on", "seen_at", "amount", "big", "rate", "is_it")
    assert rows[1] == (
        "a", DAY, datetime.combine(DAY, time(23, 59, 58)), 12.5,
        "1234567890123456789", 0.25, True,
    )  # fmt: skip
    assert rows[2] == (FORMULA, None, None, -3, 7, None, False)
    cells = openpyxl.load_workbook(file).active
    assert cells.freeze_panes == "A2"
    assert cells["A3"].data_type == cells["A4"].data_type == "s"
    assert cells["A3"].quotePrefix
    assert cells["D2"].number_format == "#,##0.00"
    assert "3 rows" in capsys.readouterr().out
    first = file.read_bytes()
    assert call(home, monkeypatch, "export", "marts.odd", "--to", str(tmp_path / "out")) == 0
    assert file.read_bytes() == first


def test_csv_is_defused_and_reads_back(home, tmp_path, monkeypatch):
    to = tmp_path / "out"
    assert call(home, monkeypatch, "export", "--format", "csv", "--to", str(to)) == 0
    assert sorted(f.name for f in to.iterdir()) == [
        "marts.odd.csv", "scores.empty.csv", "scores.odd.csv",
    ]  # fmt: skip
    with (to / "marts.odd.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1] == [
        "a", "2026-01-31", "2026-01-31 23:59:58", "12.50", "1234567890123456789", "0.25", "true",
    ]  # fmt: skip
    assert rows[2][0] == f"'{FORMULA}"
    assert rows[2][3] == "-3.00"
    assert rows[3][0] == "'-1+1"


def test_parquet_keeps_every_digit(home, tmp_path, monkeypatch):
    to = tmp_path / "out"
    assert (
        call(home, monkeypatch, "export", "marts.odd", "--format", "parquet", "--to", str(to)) == 0
    )
    rows = pq.read_table(to / "marts.odd.parquet").to_pylist()
    assert rows[0]["amount"] == Decimal("12.50")
    assert rows[0]["day_on"] == date(2026, 1, 31)
    assert rows[1]["name"] == FORMULA


def test_the_real_thing_is_exported_whole(tiny_home, tmp_path, monkeypatch):
    to = tmp_path / "out"
    tables = ("customer_360", "kpi_monthly")
    for form in ("xlsx", "parquet"):
        assert (
            call(tiny_home, monkeypatch, "export", *tables, "--format", form, "--to", str(to)) == 0
        )
    for name in tables:
        published = tiny_home / "published" / "parquet" / "marts" / f"{name}.parquet"
        assert (to / f"marts.{name}.parquet").read_bytes() == published.read_bytes()
        assert len(sheet(to / f"marts.{name}.xlsx")) == pq.read_table(published).num_rows + 1


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("marts.oddd", "marts.oddd is no published table"),
        ("odd", "odd is one of marts.odd, scores.odd"),
    ],
)
def test_a_wrong_name_is_told(home, tmp_path, monkeypatch, capsys, named, said):
    assert call(home, monkeypatch, "export", named, "--to", str(tmp_path / "out")) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_a_worksheet_is_told_before_anything_is_written(
    home, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(export, "EXCEL_ROWS", 3)
    assert call(home, monkeypatch, "export", "--to", str(tmp_path / "out")) == 2
    assert "marts.odd has 3 rows, a worksheet 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_published_and_a_file_in_the_way_are_told(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "taken").touch()
    assert call(home, monkeypatch, "export", "--to", str(tmp_path / "taken")) == 2
    assert "is a file" in capsys.readouterr().err
    shutil.rmtree(home / "published")
    assert call(home, monkeypatch, "export", "--to", str(tmp_path / "out")) == 2
    assert "nothing is published yet" in capsys.readouterr().err


def test_what_excel_cannot_hold_as_what_it_is_becomes_text(home, tmp_path, monkeypatch, capsys):
    """Money keeps every digit, an early day is no crash, a cut text is told."""
    with duckdb.connect(str(home / "published" / "crm.duckdb")) as con:
        con.execute(
            """
            create table marts.hard as select * from (values
                (1234567890123.45::decimal(18,2), date '1899-12-31', '日本語 Ünï 🎈', 1.5::double),
                (12345678901234.56::decimal(18,2), date '0001-01-01', repeat('x', 32768), null),
                (0.10::decimal(18,2), date '1900-01-01', chr(1) || 'a', 0.1::double)
            ) as t (amount, day_on, name, rate)
            """
        )
    to = tmp_path / "out"
    assert call(home, monkeypatch, "export", "marts.hard", "--to", str(to)) == 0
    rows = sheet(to / "marts.hard.xlsx")
    assert rows[1] == (1234567890123.45, "1899-12-31", "日本語 Ünï 🎈", 1.5)
    assert rows[2] == ("12345678901234.56", "0001-01-01", "x" * 32767, None)
    assert rows[3][0] == 0.1
    assert "marts.hard: 1 texts cut to the 32,767 signs of a cell" in capsys.readouterr().out
    assert call(home, monkeypatch, "export", "marts.hard", "--format", "csv", "--to", str(to)) == 0
    with (to / "marts.hard.csv").open(encoding="utf-8-sig", newline="") as file:
        read = list(csv.reader(file))
    assert read[1][:3] == ["1234567890123.45", "1899-12-31", "日本語 Ünï 🎈"]
    assert len(read[2][2]) == 32768


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_what_looks_like_a_formula_is_defused(text):
    assert export.defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "shop:1", "1-1", "'=1"])
def test_other_text_stays(text):
    assert export.defused(text) == text
