"""A changed contract is applied to what landed before, from the archive or not at all."""

from __future__ import annotations

import gzip
from decimal import Decimal

import pytest

from tests.unit.landing_support import Company, outcomes, shop

DATA = "id,name,amount\n1,Ann,2.345\nx,Bob,1\n"
NARROW = "- {name: id, data_type: varchar}"
WIDE = """
- {name: id, data_type: varchar}
- {name: amount, data_type: "decimal(10,3)"}
"""


def test_old_files_are_landed_again_from_the_archive(tmp_path):
    company = Company(tmp_path, shop(NARROW))
    company.put("orders_a.csv", DATA)
    company.put("orders_b.csv", DATA)
    company.land()
    company.remove("orders_a.csv")
    company.remove("orders_b.csv")
    company.contracts = shop(WIDE)
    report = company.land()
    assert report.is_ok
    assert company.rows() == [
        ("1", Decimal("2.345"), "orders_b.csv", 2),
        ("x", Decimal("1.000"), "orders_b.csv", 3),
    ]
    assert company.con.execute("select count(*) from control.files").fetchall() == [(2,)]


def test_an_unchanged_contract_lands_nothing_again(tmp_path):
    company = Company(tmp_path, shop(NARROW))
    company.put("orders.csv", DATA)
    company.land()
    company.contracts = shop(NARROW, files=["ord*", "more*"], max_quarantine_rate=0.9)
    assert outcomes(company.land()) == {"orders.csv": "unchanged"}


def test_another_encoding_reads_the_archived_bytes_anew(tmp_path):
    names = "- {name: name, data_type: varchar}"
    company = Company(tmp_path, shop(names, encoding="latin-1"))
    company.put("orders.csv", "name\nZoë\n".encode())
    company.land()
    assert company.rows("name") == [("ZoÃ«",)]
    company.remove("orders.csv")
    company.contracts = shop(names, encoding="utf-8")
    company.land()
    assert company.rows("name") == [("Zoë",)]
    company.contracts = shop(names, encoding="latin-1")
    company.land()
    assert company.rows("name") == [("ZoÃ«",)]


def test_lines_that_need_cutting_are_cut_again(tmp_path):
    company = Company(tmp_path, shop(NARROW))
    company.put("orders_a.csv", 'id,name,amount\n1,"two\nlines",2\n')
    company.put("orders_b.csv", 'id,name,amount\n2,"open,3\n3,c,4\n')
    company.land()
    company.contracts = shop(WIDE)
    assert company.land().is_ok
    assert company.rows("id, _line") == [("1", 2), ("3", 3)]


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        ({"delimiter": "whitespace"}, "id amount\n 1  2 \n"),
        ({"format": "jsonl"}, '{"id": 1, "amount": 2}\n'),
    ],
)
def test_formats_that_are_always_cut_can_be_landed_again(tmp_path, settings, data):
    company = Company(tmp_path, shop(NARROW, **settings))
    company.put("orders.csv", data)
    company.land()
    company.contracts = shop(WIDE, **settings)
    assert company.land().is_ok
    assert company.rows("id, amount") == [("1", Decimal("2.000"))]


def test_a_contract_that_fits_nothing_leaves_the_table_as_it_was(tmp_path):
    company = Company(tmp_path, shop(NARROW))
    company.put("orders.csv", DATA)
    company.land()
    company.contracts = shop(
        "- {name: ident, data_type: varchar, config: {meta: {required: true}}}"
    )
    company.put("orders_new.csv", DATA)
    report = company.land()
    assert not report.is_ok
    assert "its header lacks ident" in report.tables["shop__orders"].message
    assert outcomes(report) == {"orders.csv": "refused", "orders_new.csv": "refused"}
    assert company.rows("id") == [("1",), ("x",)]
    company.contracts = shop(NARROW)
    assert company.land().is_ok


PERSONAL = """
- {name: id, data_type: varchar}
- {name: name, data_type: varchar, config: {meta: {pii: direct}}}
"""


def test_a_file_with_identifiers_lands_again_from_its_sealed_copy(tmp_path):
    company = Company(tmp_path, shop(PERSONAL))
    company.put("orders.csv", DATA)
    company.land()
    company.contracts = shop(PERSONAL + "\n- {name: amount, data_type: double}")
    company.remove("orders.csv")
    [kept] = list((tmp_path / "archive").rglob("*.gz.sealed"))
    sealed = kept.read_bytes()
    kept.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    report = company.land()
    assert not report.is_ok
    assert "orders.csv is neither archived nor in inbox/shop/" in report.messages[0]
    assert "its archived copy is damaged" in report.messages[0]
    assert company.rows("id") == [("1",), ("x",)]
    kept.write_bytes(sealed)
    assert company.land().is_ok
    assert company.rows("id, amount") == [("1", 2.345), ("x", 1.0)]


def test_the_archive_of_a_column_found_to_be_personal_is_sealed(tmp_path):
    company = Company(tmp_path, shop())
    company.put("orders.csv", DATA)
    company.land()
    [kept] = list((tmp_path / "archive").rglob("*.gz"))
    assert gzip.decompress(kept.read_bytes()).decode() == DATA
    company.contracts = shop(PERSONAL)
    assert company.land().is_ok
    assert list((tmp_path / "archive").rglob("*.gz")) == []
    assert len(list((tmp_path / "archive").rglob("*.gz.sealed"))) == 1
    columns = company.con.execute("describe raw.shop__orders").fetchall()
    assert [column[0] for column in columns] == ["id", "_file", "_line"]


@pytest.mark.parametrize("compressed", [False, True])
def test_the_archive_holds_the_bytes_as_they_came(tmp_path, compressed):
    company = Company(tmp_path, shop(encoding="latin-1"))
    data = "id,name,amount\r\n1,Zoë,2\r\n".encode("latin-1")
    company.put("orders.csv", gzip.compress(data) if compressed else data)
    company.land()
    [kept] = list((tmp_path / "archive" / "shop" / "orders").iterdir())
    assert gzip.decompress(kept.read_bytes()) == data
