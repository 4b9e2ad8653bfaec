"""Versions of contracts: which there were, and under which a file is held."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.landing_support import Company, land_text, shop

COLUMNS = """
- {name: order_id, data_type: varchar, config: {meta: {required: true}}}
- {name: amount, data_type: "decimal(10,2)"}
"""
GOOD = "order_id,amount\nA1,2.50\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company, report = land_text(tmp_path, GOOD, COLUMNS)
    assert report.is_ok
    return company


def versions(company: Company) -> list[tuple]:
    return company.con.execute(
        "select version, first_seen_at from control.contract_versions order by version"
    ).fetchall()


def held_under(company: Company) -> list[tuple]:
    return company.con.execute(
        "select file_name, version from control.contents "
        "join control.current_contents using (source, table_name, digest) "
        "join control.contract_versions using (source, table_name, contract_digest) order by all"
    ).fetchall()


def test_each_contract_is_a_numbered_version_and_going_back_goes_back_to_its_number(company):
    [(number, first_seen_at)] = versions(company)
    assert number == 1
    changed = shop(
        COLUMNS.replace('amount, data_type: "decimal(10,2)"', "amount, data_type: double")
    )
    company.contracts = changed
    company.land()
    assert [row[0] for row in versions(company)] == [1, 2]
    assert held_under(company) == [("orders.csv", 2)]
    company.contracts = shop(COLUMNS)
    company.land()
    assert versions(company)[0] == (1, first_seen_at)
    assert [row[0] for row in versions(company)] == [1, 2]
    assert held_under(company) == [("orders.csv", 1)]
    company.contracts = changed
    company.put("orders_2.csv", GOOD.replace("A1", "A2"))
    company.land()
    assert held_under(company) == [("orders.csv", 2), ("orders_2.csv", 2)]
    texts = company.con.execute(
        "select columns, format from control.contract_versions order by version"
    ).fetchall()
    kinds = [{c["name"]: c["data_type"] for c in json.loads(text[0])}["amount"] for text in texts]
    assert kinds == ["decimal(10,2)", "double"]
    assert {json.loads(text[1])["delimiter"] for text in texts} == {","}
    company.land()
    assert len(versions(company)) == 2


def test_what_does_not_decide_how_rows_are_read_makes_no_version(company):
    company.contracts = shop(COLUMNS, expected_every_days=3, ignored_columns=["x"])
    company.land()
    assert len(versions(company)) == 1
