"""When a fact happened and when it became known: late, corrected, repeated, retracted documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.defs.landing.retention import move_superseded
from crm_pipeline.defs.publication.knowledge import learn_documents, write_fact_knowledge
from tests.unit.landing_support import Company, shop

COLUMNS = """
- {name: order_no, data_type: varchar, config: {meta: {required: true, identifies: order}}}
- {name: line_no, data_type: integer, config: {meta: {required: true}}}
- {name: ordered_at, data_type: timestamp}
- {name: amount, data_type: "decimal(10,2)"}
"""
HEADER = "order_no,line_no,ordered_at,amount\n"


def lines(*rows: str) -> str:
    return HEADER + "".join(f"{row}\n" for row in rows)


A1, A2 = "A,1,2025-01-01 10:00:00,1.00", "A,2,2025-01-01 09:00:00,2.00"
B1 = "B,1,2025-02-01 10:00:00,3.00"


def settle(company: Company) -> None:
    """Write what a run is made for."""
    company.con.execute("create schema control")
    company.con.execute(
        "create table control.run_settings as select date '2025-12-31' as as_of, "
        "1 as horizon_days, 1 as clv_horizon_days, 1 as clv_holdout_days, "
        "0.1 as discount_rate, 'EUR' as currency, 'UTC' as time_zone"
    )


@pytest.fixture
def company(tmp_path: Path) -> Company:
    made = Company(tmp_path, shop(COLUMNS, key=["order_no", "line_no"], event_time="ordered_at"))
    settle(made)
    return made


def publish(company: Company, keep_days: int = 400) -> dict[str, tuple]:
    """Land, build, publish; return document -> (happened, known, changed, restated)."""
    company.land()
    now = company.clock()
    for table in company.contracts["shop"].tables:
        move_superseded(company.con, [table], keep_days=keep_days, now=now)
    learn_documents(company.con, company.contracts)
    con = company.con
    con.execute("create schema if not exists meta")
    con.execute("drop table if exists meta.fact_knowledge")
    catalog = con.execute("select current_database()").fetchone()
    assert catalog is not None
    write_fact_knowledge(con, company.contracts, "UTC", warehouse=catalog[0])
    rows = con.execute(
        "select document, happened_at, known_at, last_changed_at, is_restated, document_kind "
        "from meta.fact_knowledge"
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


def landed_at(company: Company, number: int):
    row = company.con.execute(
        "select landed_at from control.files where landing_number = ?", [number]
    ).fetchone()
    assert row is not None
    return row[0]


def test_a_fact_is_known_from_when_it_landed_however_late(company):
    company.put("orders_1.csv", lines(A1, A2))
    first = publish(company)
    company.put("orders_2.csv", lines(B1))
    second = publish(company)
    assert second["A"] == first["A"]
    happened, known, changed, restated, kind = second["A"]
    assert (str(happened), known, changed) == (
        "2025-01-01 09:00:00", landed_at(company, 1), landed_at(company, 1),
    )  # fmt: skip
    assert (restated, kind) == (False, "order")
    assert second["B"][1] == landed_at(company, 2)


def test_a_correction_restates_the_documents_it_changes_and_no_other(company):
    company.put("orders_1.csv", lines(A1, B1))
    publish(company)
    company.put("orders_1.csv", lines(A1, B1.replace("3.00", "4.00")))
    known = publish(company)
    assert known["A"][1:4] == (landed_at(company, 1), landed_at(company, 1), False)
    assert known["B"][1:4] == (landed_at(company, 1), landed_at(company, 2), True)


def test_the_same_rows_under_another_name_change_nothing(company):
    company.put("orders_1.csv", lines(A1, B1))
    publish(company)
    company.put("orders_2.csv", lines(B1, A1))
    known = publish(company)
    assert [row[3] for row in known.values()] == [False, False]


def test_an_order_whose_lines_come_apart_is_known_from_its_first(company):
    company.put("orders_1.csv", lines(A1))
    publish(company)
    company.put("orders_2.csv", lines(A2))
    known = publish(company)
    assert known["A"][1:4] == (landed_at(company, 1), landed_at(company, 2), True)


@pytest.mark.parametrize("keep_days", [400, 0])
def test_what_no_longer_counts_is_not_listed_and_comes_back_with_its_past(company, keep_days):
    company.put("orders_1.csv", lines(A1, B1))
    publish(company, keep_days)
    company.put("orders_1.csv", lines(A1))
    assert set(publish(company, keep_days)) == {"A"}
    company.put("orders_3.csv", lines(B1))
    known = publish(company, keep_days)
    assert known["B"][1:4] == (landed_at(company, 1), landed_at(company, 3), True)
    company.retract("orders_3.csv")
    assert set(publish(company, keep_days)) == {"A"}


def test_what_happens_after_the_as_of_day_is_not_listed(company):
    company.put("orders_1.csv", lines(A1, B1))
    company.con.execute("update control.run_settings set as_of = date '2025-01-31'")
    assert set(publish(company)) == {"A"}


def test_a_table_whose_rows_name_no_order_is_known_by_file(tmp_path):
    company = Company(tmp_path, shop())
    settle(company)
    company.put("orders_1.csv", "id,name,amount\n1,a,1.00\n")
    company.put("orders_2.csv", "id,name,amount\n2,a,1.00\n")
    publish(company)
    company.put("orders_1.csv", "id,name,amount\n1,a,2.00\n")
    known = publish(company)
    assert known["orders_1.csv"][1:] == (landed_at(company, 1), landed_at(company, 3), True, "file")
    assert known["orders_2.csv"][1:] == (
        landed_at(company, 2),
        landed_at(company, 2),
        False,
        "file",
    )
    company.retract("orders_2.csv")
    assert set(publish(company)) == {"orders_1.csv"}
