"""What a sensor may know without opening the warehouse."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crm_pipeline.defs.landing import pending
from crm_pipeline.defs.landing.inbox import scan_inbox
from crm_pipeline.defs.landing.pending import pending_files, write_index
from tests.unit.landing_support import Company, shop

ROWS = "id,name,amount\n1,a,1.00\n"
MORE = "id,name,amount\n1,a,1.00\n2,b,2.00\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path, shop())


def land(company: Company) -> None:
    company.land()
    write_index(company.con, company.home)


def waiting(company: Company, seen: dict[str, str] | None = None) -> list[str]:
    files = scan_inbox(company.home / "inbox", company.contracts).ready
    return [f.run_key for f in pending_files(files, company.home, {} if seen is None else seen)]


def key(text: str, number: int) -> str:
    return f"shop/orders.csv:{hashlib.sha256(text.encode()).hexdigest()[:16]}:{number}"


def test_an_empty_inbox_has_nothing(company):
    assert waiting(company) == []


def test_a_file_waits_until_it_landed(company):
    company.put("orders.csv", ROWS)
    assert waiting(company) == [key(ROWS, 0)]
    land(company)
    assert waiting(company) == []


def test_a_changed_file_waits_again_and_its_older_content_again_under_a_new_key(company):
    company.put("orders.csv", ROWS)
    land(company)
    company.put("orders.csv", MORE)
    assert waiting(company) == [key(MORE, 1)]
    land(company)
    company.put("orders.csv", ROWS)
    assert waiting(company) == [key(ROWS, 2)]
    land(company)
    assert waiting(company) == []


def test_an_unchanged_file_is_read_only_once(company, monkeypatch):
    company.put("orders.csv", ROWS)
    company.put("orders_2.csv", MORE)
    read: list[str] = []
    digest = pending._digest

    def counted(path: Path) -> str:
        read.append(path.name)
        return digest(path)

    monkeypatch.setattr(pending, "_digest", counted)
    seen: dict[str, str] = {}
    assert len(waiting(company, seen)) == 2
    assert len(waiting(company, seen)) == 2
    assert sorted(read) == ["orders.csv", "orders_2.csv"]
    company.remove("orders_2.csv")
    assert len(waiting(company, seen)) == 1
    assert [name.split(":")[0] for name in seen] == ["shop/orders.csv"]


def test_a_file_that_vanishes_while_it_is_read_is_no_error(company):
    company.put("orders.csv", ROWS)
    files = scan_inbox(company.home / "inbox", company.contracts).ready
    company.remove("orders.csv")
    assert pending_files(files, company.home, {}) == []


def test_a_damaged_index_means_that_everything_waits(company):
    """It is written by rename; only a full disk or a curious hand leaves another one."""
    company.put("orders.csv", ROWS)
    land(company)
    (company.home / pending.INDEX).write_text("{half")
    assert waiting(company) == [key(ROWS, 0)]
