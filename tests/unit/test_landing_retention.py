"""Contents that no longer count are kept for a while, apart from those that do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from crm_pipeline.defs.landing.retention import move_superseded
from tests.unit.landing_support import Company, shop

FIRST = "id,name,amount\n1,a,1.00\n2,b,2.00\nx,c,3.00\n"
SECOND = "id,name,amount\n1,a,9.00\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """A company that corrected its one file; the first content waits to be moved."""
    company = Company(tmp_path, shop(), in_memory=True)
    company.put("orders.csv", FIRST)
    company.land()
    company.put("orders.csv", SECOND)
    company.land()
    return company


def move(company: Company, keep_days: int = 400, days_later: int = 0) -> int:
    table = company.contracts["shop"].tables[0]
    now = company.clock() + timedelta(days=days_later)
    return move_superseded(company.con, [table], keep_days=keep_days, now=now)


def held(company: Company, place: str) -> list[tuple]:
    return company.con.execute(f"select id, amount from {place}.shop__orders order by 1").fetchall()


def accounts(company: Company, suffix: str = "") -> tuple[int, int]:
    row = company.con.execute(
        f"select (select sum(rows_read) from control.contents{suffix}), "
        f"(select count(*) from control.quarantine{suffix})"
    ).fetchone()
    assert row is not None
    return row


def test_a_superseded_content_moves_with_its_account_and_its_faults(company):
    before = company.rows()
    assert move(company) == 1
    assert [row[0] for row in held(company, "landing")] == [1]
    assert [row[0] for row in held(company, "history")] == [1, 2]
    assert accounts(company) == (1, 0)
    assert accounts(company, "_history") == (3, 1)
    assert company.rows() == before
    assert move(company) == 0


def test_what_counts_never_moves(company):
    move(company)
    company.put("copy.csv", SECOND)
    company.retract("orders.csv")
    assert move(company) == 1
    assert held(company, "landing") == []


def test_a_content_that_counts_again_and_goes_again_is_kept_once(company):
    move(company)
    company.put("orders.csv", FIRST)
    company.land()
    assert len(company.rows()) == 2
    assert move(company) == 1
    company.put("orders.csv", SECOND)
    company.land()
    assert move(company) == 1
    kept = company.con.execute("select id, count(*) from history.shop__orders group by all")
    assert sorted(kept.fetchall()) == [(1, 2), (2, 1)]
    assert accounts(company, "_history") == (4, 1)


def test_the_days_count_from_when_it_ceased_to_count(company):
    """Landed and superseded a minute ago; the content that rules instead never expires."""
    move(company)
    assert move(company, keep_days=30, days_later=29) == 0
    assert len(held(company, "history")) == 2
    move(company, keep_days=30, days_later=31)
    assert held(company, "history") == []
    assert accounts(company, "_history") == (None, 0)
    assert len(held(company, "landing")) == 1


def test_nothing_is_kept_for_nought_days(company):
    assert move(company, keep_days=0) == 1
    assert held(company, "history") == []
    assert len(held(company, "landing")) == 1


def test_a_history_takes_the_columns_of_a_changed_contract(company):
    move(company)
    company.contracts = shop(
        """
        - {name: id, data_type: varchar, config: {meta: {required: true}}}
        - {name: amount, data_type: "decimal(10,1)"}
        - {name: channel, data_type: varchar}
        """
    )
    company.put("orders.csv", "id,amount,channel\n7,1.5,web\n")
    company.land()
    move(company)
    kept = company.con.execute("select id, amount, channel from history.shop__orders order by all")
    assert [(i, float(a), c) for i, a, c in kept.fetchall()] == [
        ("1", 1.0, None), ("1", 9.0, None), ("2", 2.0, None),
    ]  # fmt: skip
