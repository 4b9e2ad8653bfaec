"""Formats and their faults: quotes, encodings, blanks, JSON lines, Parquet, personal columns."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from tests.unit.landing_support import Company, land_text, parquet, shop, utc

HEADER = "id,name,amount\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path, shop())


def test_multi_line_values_land_whole(company):
    company.put("orders.csv", HEADER + '1,"two\r\nlines, ""quoted""",2\n2,Bob,3\n')
    company.land()
    assert company.rows("id, name, _line") == [(1, 'two\nlines, "quoted"', 2), (2, "Bob", 4)]
    assert company.accounts() == [("orders.csv", 2, 2, 0)]


def test_broken_lines_go_to_quarantine_alone(company):
    lines = [
        "1,Ann,2",
        "2,Bob",
        '3,"Cid,4',
        "4,Dee,5,6",
        "",
        '5,"E"ve,7',
        "6,Fay,8",
        "   ",
        "7,Gus,9,,",
        '8,"Hal",9,"",',
    ]
    company.put("orders.csv", HEADER + "\n".join(lines) + "\n")
    report = company.land()
    assert company.rows("id, _line") == [(1, 2), (6, 8), (7, 10), (8, 11)]
    assert [fault[:3] for fault in company.quarantine()] == [
        (3, None, "ragged_line"),
        (4, None, "unclosed_quote"),
        (5, None, "ragged_line"),
        (7, None, "bad_quote"),
    ]
    assert company.quarantine()[1][3] == '3,"Cid,4'
    assert company.accounts() == [("orders.csv", 8, 4, 4)]
    assert "2 blank lines" in report.files[0].message


@pytest.mark.parametrize("before", ["", "x"])
def test_a_line_too_long_for_duckdb_lands_whatever_letter_its_message_is_cut_in(company, before):
    """DuckDB quotes the line in its message; cut within a letter, that is a UnicodeDecodeError."""
    name = before + "é" * 1_100_000
    company.put("orders.csv", f"{HEADER}1,Ann,2\n2,{name},3\n")
    company.land()
    assert company.rows("id, length(name), _line") == [(1, 3, 2), (2, len(name), 3)]
    assert company.accounts() == [("orders.csv", 2, 2, 0)]


@pytest.mark.parametrize("last", [52, 53, 151])
def test_two_unclosed_quotes_do_not_swallow_the_rows_between_them(company, last):
    rows = [f"{n},name {n},{n}" for n in range(1, 200)]
    rows[50], rows[last] = '51,"oops,51', f'{last + 1},oops",{last + 1}'
    company.put("orders.csv", HEADER + "\n".join(rows) + "\n")
    company.land()
    assert company.accounts() == [("orders.csv", 199, 198, 1)]
    assert company.quarantine() == [(52, None, "unclosed_quote", '51,"oops,51')]


def test_a_line_of_prose_with_the_right_number_of_commas_is_no_row(company):
    company.put("orders.csv", HEADER + '1,"soft,\nwarm, light, cheap\nand red",2\n2,Bob,3\n')
    company.land()
    assert company.rows("id, name") == [(1, "soft,\nwarm, light, cheap\nand red"), (2, "Bob")]


def test_in_a_table_of_texts_many_inner_rows_show_a_lost_quote(tmp_path):
    columns = "- {name: a, data_type: varchar}\n- {name: b, data_type: varchar}"
    for count, accepted in ((9, 1), (10, 11)):
        rows = ['x,"open', *(f"a{n},b{n}" for n in range(count)), 'y,shut"']
        home = tmp_path / str(count)
        home.mkdir()
        company, _ = land_text(home, "a,b\n" + "\n".join(rows) + "\n", columns)
        assert len(company.rows()) == accepted


def test_bytes_that_are_no_text_cost_their_line_only(company):
    company.put("orders.csv", HEADER.encode() + b"1,Ann,2\n2,B\xff\xfe,2\n3,C\xc3\xa9d,2\n")
    company.land()
    assert company.rows("id, name") == [(1, "Ann"), (3, "Céd")]
    assert company.quarantine() == [(3, None, "bad_encoding", r"2,B\xff\xfe,2")]


def test_bytes_that_are_no_text_count_in_columns_that_are_not_read_too(company):
    company.put("orders.csv", b"id,extra\n1,x\n2,\xff\n3,y\n")
    company.land()
    assert company.rows("id, _line") == [(1, 2), (3, 4)]
    assert [fault[:3] for fault in company.quarantine()] == [(3, None, "bad_encoding")]


@pytest.mark.parametrize(
    ("encoding", "data", "names"),
    [
        ("latin-1", b"1,Zo\xeb,2\n", ["Zoë"]),
        ("cp1252", b"1,\x80uro,2\n2,b\x81d,2\n", ["€uro"]),
        ("utf-16", "1,Zoë 雪,2\n".encode("utf-16")[2:], ["Zoë 雪"]),
        ("auto", "1,雪,2\n".encode(), ["雪"]),
        ("auto", b"1,Zo\xeb,2\n", ["Zoë"]),
    ],
)
def test_encodings(tmp_path, encoding, data, names):
    head = HEADER.encode("utf-16") if encoding == "utf-16" else HEADER.encode()
    company, report = land_text(tmp_path, head + data, encoding=encoding)
    assert report.is_ok
    assert [name for (name,) in company.rows("name")] == names


def test_delimiters_of_several_bytes(tmp_path):
    columns = """
    - {name: id, data_type: bigint}
    - {name: name, data_type: varchar}
    - {name: more, data_type: varchar}
    """
    lines = ['id||"na""me"||more', '1||"a||b"|| x|y ', '2||"a"|b||c', '3||say "hi"||', "4||a||b||c"]
    columns = columns.replace("name: name,", 'name: name, config: {meta: {header: "na\\"me"}},')
    company, _ = land_text(tmp_path, "\n".join(lines), columns, delimiter="||")
    assert company.rows("id, name, more") == [(1, "a||b", " x|y "), (3, 'say "hi"', None)]
    assert [fault[:3] for fault in company.quarantine()] == [
        (3, None, "bad_quote"),
        (5, None, "ragged_line"),
    ]


def test_blank_separated_columns(tmp_path):
    data = " 00004  1   29.33\r\n 00005 x 1.00\r\n\r\n 00006 1\r\n"
    columns = """
    - {name: customer, data_type: varchar}
    - {name: count, data_type: integer}
    - {name: amount, data_type: "decimal(10,2)"}
    """
    company, _ = land_text(tmp_path, data, columns, delimiter="whitespace", header=False)
    assert company.rows("customer, count, amount") == [("00004", 1, Decimal("29.33"))]
    assert [fault[:3] for fault in company.quarantine()] == [
        (2, "count", "bad_type"),
        (4, None, "ragged_line"),
    ]


def test_whole_lines_as_one_column(tmp_path):
    columns = "- {name: basket, data_type: varchar}"
    company, _ = land_text(tmp_path, 'milk,bread\n\n"rum\n', columns, delimiter=None, header=False)
    assert company.rows("basket, _line") == [('"rum', 3), ("milk,bread", 1)]


def test_json_lines(tmp_path):
    columns = """
    - {name: id, data_type: bigint, config: {meta: {required: true}}}
    - {name: name, data_type: varchar, config: {meta: {header: full/name}}}
    - {name: made_at, data_type: timestamp}
    """
    lines = [
        '{"id": 1, "full/name": "Ann \\"A\\"", "made_at": "2026-01-01T00:00:00Z"}',
        '{"id": "2", "full/name": null}',
        "{broken",
        "[1]",
        '{"full/name": "x"}',
        '{"id": 1.5}',
        "",
    ]
    company, _ = land_text(tmp_path, "\n".join(lines), columns, format="jsonl")
    assert company.rows("id, name, made_at") == [
        (1, 'Ann "A"', utc("2026-01-01 00:00")),
        (2, None, None),
    ]
    assert [fault[:3] for fault in company.quarantine()] == [
        (3, None, "bad_json"),
        (4, None, "bad_json"),
        (5, "id", "missing_value"),
        (6, "id", "bad_type"),
    ]


def test_parquet_columns_are_found_by_name_and_cast(tmp_path):
    source = tmp_path / "orders.parquet"
    with duckdb.connect() as con:
        con.execute(
            "copy (select * from (values (1.006::double, 7.0::double, 'a'), "
            "('nan'::double, 8.5, 'b'), (2, 9, null)) as t(amount, id, name)) "
            f"to '{source}' (format parquet)"
        )
    company = Company(tmp_path, shop(format="parquet"))
    company.put("orders.parquet", source.read_bytes())
    company.land()
    assert company.rows("id, name, amount, _line") == [
        (7, "a", Decimal("1.01"), 1),
        (9, None, Decimal("2.00"), 3),
    ]
    assert company.quarantine() == [
        (2, "id", "bad_type", "8.5"),
        (2, "amount", "bad_type", "nan"),
    ]
    company.put("orders.parquet", source.read_bytes()[:-20])
    assert "not a complete Parquet file" in company.land().files[0].message


TEXTS = """
- {name: id, data_type: bigint}
- {name: name, data_type: varchar, config: {meta: {required: true, identifies: customer}}}
"""


@pytest.mark.parametrize(
    ("values", "names", "faults"),
    [
        ("(1, 42), (2, null)", [(1, "42")], [(2, "name", "missing_value", None)]),
        ("(1, date '2026-01-31')", [(1, "2026-01-31")], []),
        ("(1, 'a'), (2, ' ')", [(1, "a")], [(2, "name", "missing_value", " ")]),
        ("(1, 17850.0::double), (2, 0.5)", [(1, "17850"), (2, "0.5")], []),
        ("(1, 'a'), (2, null)", [(1, "a")], [(2, "name", "missing_value", None)]),
    ],
)
def test_a_required_text_comes_in_other_types(tmp_path, values, names, faults):
    company = Company(tmp_path, shop(TEXTS, format="parquet"))
    company.put("orders.parquet", parquet(tmp_path / "x", _named(values)))
    company.land()
    assert company.rows("id, name") == names
    assert company.quarantine() == faults


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("'M\\xC3\\xBCller'::blob", "name looks retyped (expected varchar, required | found blob)"),
        ("null::blob", "1 of 1 rows do not fit (missing_value in name"),
    ],
)
def test_bytes_are_no_text(tmp_path, value, told):
    company = Company(tmp_path, shop(TEXTS, format="parquet"))
    company.put("orders.parquet", parquet(tmp_path / "x", _named(f"(1, {value})")))
    [file] = company.land().files
    assert (file.outcome, file.message[: len(told)]) == ("refused", told)


def _named(values: str) -> str:
    return f"from (values {values}) as t(id, name)"


PERSONAL = """
- {name: id, data_type: bigint}
- {name: email, data_type: varchar, config: {meta: {pii: direct, required: true}}}
- {name: age, data_type: integer, config: {meta: {pii: indirect, maximum: 120}}}
"""


def test_direct_identifiers_are_stored_nowhere(tmp_path):
    company = Company(tmp_path, shop(PERSONAL))
    company.put(
        "orders.csv",
        'id,email,age\n1,ann@secret.example,30\nx,bob@secret.example,1\n2,,5\n3,"c@secret.example\n'
        "4,dee@secret.example,999\n",
    )
    report = company.land()
    assert company.rows() == [(1, 30, "orders.csv", 2)]
    assert company.quarantine() == [
        (3, "id", "bad_type", "x"),
        (4, "email", "missing_value", None),
        (5, None, "unclosed_quote", None),
        (6, "age", "out_of_range", None),
    ]
    company.con.close()
    company.remove("orders.csv")
    kept = [path for path in company.home.rglob("*") if path.is_file()]
    assert all(b"secret" not in path.read_bytes() for path in kept)
    assert not any("secret" in line for line in report.messages)
    assert [path.suffix for path in (company.home / "archive" / "shop" / "orders").iterdir()] == [
        ".sealed"
    ]


def test_text_is_never_executed(tmp_path):
    name = "orders '; drop table control.files; --.csv"
    columns = """
    - {name: id, data_type: bigint}
    - {name: name, data_type: varchar, config: {meta: {header: "na'me\\"; drop table x; --"}}}
    """
    company = Company(tmp_path, shop(columns, null_tokens=["'; drop"]))
    company.put(name, 'id,"na\'me""; drop table x; --"\n1,"=cmd()\'); drop table x; --"\n')
    assert company.land().is_ok
    assert company.rows("name, _file") == [("=cmd()'); drop table x; --", name)]


def test_ranges_and_default_event_range(tmp_path):
    columns = """
    - {name: n, data_type: integer, config: {meta: {minimum: 0, maximum: 9}}}
    - {name: made_at, data_type: date}
    """
    data = "n,made_at\n1,2020-01-01\n-1,2020-01-02\n1,1066-10-14\n1,\n10,infinity\n"
    company, _ = land_text(tmp_path, data, columns, event_time="made_at")
    assert company.rows("n, made_at") == [(1, date(2020, 1, 1)), (1, None)]
    assert [fault[:3] for fault in company.quarantine()] == [
        (3, "n", "out_of_range"),
        (4, "made_at", "out_of_range"),
        (6, "n", "out_of_range"),
        (6, "made_at", "out_of_range"),
    ]
