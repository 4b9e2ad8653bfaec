"""``crm source check`` and ``crm source draft``: told before anything lands."""

from __future__ import annotations

import gzip

import duckdb
import pytest

from crm_pipeline.defs.landing.preview import check_file, draft_source
from crm_pipeline.errors import UserError
from tests.unit.landing_support import Company, contracts_of, shop

DATA = 'id,name,amount\n1,Ann,2\nx,Bob,3\n4,"Cid,5\n6,Dee,7,8\n'


def test_a_check_tells_what_landing_would_do(tmp_path):
    contracts = shop()
    path = tmp_path / "orders.csv"
    path.write_text(DATA)
    report = check_file(path, contracts, scratch=tmp_path)
    assert str(report).splitlines() == [
        "table shop.orders",
        "4 rows: 1 would land, 3 would go to quarantine",
        "1 x bad_type",
        "1 x ragged_line",
        "1 x unclosed_quote",
        "line 3, id: bad_type: 'x'",
        "line 4: unclosed_quote: '4,\"Cid,5'",
        "line 5: ragged_line: '6,Dee,7,8'",
    ]
    assert not report.is_ok
    home = tmp_path / "home"
    home.mkdir()
    company = Company(home, contracts)
    company.put("orders.csv", DATA)
    company.land()
    assert [tuple(vars(fault).values()) for fault in report.faults] == [
        (line, column, reason, raw) for line, column, reason, raw in company.quarantine()
    ]
    assert sorted(child.name for child in tmp_path.iterdir()) == ["home", "orders.csv"]


def test_a_check_tells_a_refusal(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("id,name,amount\nx,Ann,2\n")
    assert check_file(path, shop(), scratch=tmp_path).refusal == (
        "too many rows do not fit; one good row is needed"
    )
    path.write_text("ident\n1\n")
    assert "its header lacks id" in str(check_file(path, shop(), scratch=tmp_path))


def test_personal_values_are_not_shown(tmp_path):
    contracts = shop("- {name: id, data_type: bigint, config: {meta: {pii: direct}}}\n"
                     "- {name: n, data_type: bigint}")  # fmt: skip
    path = tmp_path / "orders.csv"
    path.write_text('id,n\nsecret,1\n1,2\n2,"secret\n')
    assert "secret" not in str(check_file(path, contracts, scratch=tmp_path))


def test_the_table_is_found_by_name_or_said(tmp_path):
    path = tmp_path / "elsewhere.csv"
    path.write_text(DATA)
    with pytest.raises(UserError, match=r"elsewhere\.csv matches no table's file pattern"):
        check_file(path, shop(), scratch=tmp_path)
    assert check_file(path, shop(), scratch=tmp_path, source="shop", table="orders").counts
    with pytest.raises(UserError, match="no source shopp; known are shop"):
        check_file(path, shop(), scratch=tmp_path, source="shopp")
    with pytest.raises(UserError, match="is not a file"):
        check_file(tmp_path / "gone.csv", shop(), scratch=tmp_path)


CSV = (
    "Order ID;Order ID;E-Mail;ordered at;Total;2nd\n"
    + "".join(f"{n};a{n};p{n}@x.example;0{n}.02.2026 10:00:00;1.5;true\n" for n in range(1, 9))
).encode("latin-1")


@pytest.mark.parametrize("data", [CSV, gzip.compress(CSV)], ids=["plain", "gzip"])
def test_a_draft_can_be_used_as_it_is(tmp_path, data):
    path = tmp_path / ("Big Orders.csv.gz" if data[:2] == b"\x1f\x8b" else "Big Orders.csv")
    path.write_bytes(data)
    contracts = contracts_of(draft_source(path, scratch=tmp_path))
    [table] = contracts["big_orders"].tables
    assert [(c.name, c.header, c.data_type, c.pii) for c in table.columns] == [
        ("order_id", "Order ID", "bigint", None),
        ("order_id_2", "Order ID#2", "varchar", None),
        ("e_mail", "E-Mail", "varchar", "direct"),
        ("ordered_at", "ordered at", "timestamp", None),
        ("total", "Total", "decimal(18,4)", None),
        ("_2nd", "2nd", "boolean", None),
    ]
    report = check_file(path, contracts, scratch=tmp_path)
    assert report.is_ok
    assert report.counts is not None
    assert report.counts.accepted == 8


def test_drafts_of_parquet_and_json_lines(tmp_path):
    parquet, lines = tmp_path / "a.parquet", tmp_path / "b.jsonl"
    with duckdb.connect() as con:
        con.execute(f"copy (select 1 as id, 'x' as name) to '{parquet}' (format parquet)")
    lines.write_text('{"id": 1, "name": "x"}\n')
    for path, form in ((parquet, "parquet"), (lines, "jsonl")):
        contracts = contracts_of(draft_source(path, scratch=tmp_path, source="s"))
        assert contracts["s"].tables[0].format == form
        assert check_file(path, contracts, scratch=tmp_path).is_ok


def test_an_unreadable_file_gives_no_draft(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"id\n1\n")[:-4])
    with pytest.raises(UserError, match="the file is truncated"):
        draft_source(path, scratch=tmp_path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read"):
        draft_source(path, scratch=tmp_path)
