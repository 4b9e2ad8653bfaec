"""Histories of customers: late, corrected and retracted versions, in any order, as of any day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.pipeline.days import Days, items, orders
from tests.pipeline.replayed import ReplayedDays
from tests.pipeline.support import different

HEADER = (
    "customer_no;full_name;email;registered_at;updated_at;country;region;city;"
    "acquisition_channel;gender;birth_year;marketing_permission\n"
)
HISTORIES = ("dim_customers_history", "dim_products_history")


def versions(*rows: tuple[str, str, str]) -> str:
    """A customer file: number, day of the version in 2025 (as 05.02.), city."""
    return HEADER + "".join(
        f"{no};N;e@x.org;01.01.2025 10:00:00;{day}2025 12:00:00;DE;;{city};search;f;1980;Y\n"
        for no, day, city in rows
    )


OTHERS = versions(*[(f"K9{n:03d}", "03.01.", "Wien") for n in range(40)])
ORDERS = [
    (f"A{n}", f"K9{n:03d}" if n else "K1", f"2025-0{1 + n % 4}-1{n % 9} 12:00:00")
    for n in range(30)
]


def company(folder: Path, kind: type[Days] = ReplayedDays) -> Days:
    days = kind(folder)
    if isinstance(days, ReplayedDays):
        days.only = (*HISTORIES, "dim_customers", "dim_products")
    days.put("customers_others.csv", OTHERS)
    days.put("orders_1.csv", orders(*ORDERS))
    days.put("order_items_1.csv", items(*[(no, at, 10) for no, _, at in ORDERS]))
    return days


def build(days: Days, as_of: date | None = None) -> bool:
    """Land and build; return whether only a part was rebuilt."""
    days.land()
    days.settle(as_of)
    return days.build_marts().is_part


def history(days: Days, key: str = "demo:K1") -> list[tuple]:
    """City, first and last day, whether it is current."""
    with days.connection() as db:
        return db.execute(
            "select city, valid_from_on::varchar, valid_to_on::varchar, is_current "
            "from marts.dim_customers_history where customer_key = ? order by version_number",
            [key],
        ).fetchall()


def histories(days: Days) -> dict[str, str]:
    """History -> its rows."""
    with days.connection() as db:
        return {
            name: str(db.execute(f"from marts.{name} order by all").fetchall())
            for name in HISTORIES
        }


@pytest.fixture(scope="module", params=[ReplayedDays, pytest.param(Days, marks=pytest.mark.slow)])
def lived(request, tmp_path_factory: pytest.TempPathFactory) -> Days:
    days = company(tmp_path_factory.mktemp("lived"), request.param)
    days.put("customers_1.csv", versions(("K1", "02.01.", "Ulm")))
    build(days)
    assert history(days) == [("Ulm", "2025-01-01", None, True)]
    days.put("customers_3.csv", versions(("K1", "20.03.", "Bonn"), ("K1", "25.03.", "Bonn")))
    assert build(days)
    assert history(days) == [
        ("Ulm", "2025-01-01", "2025-03-20", False),
        ("Bonn", "2025-03-20", None, True),
    ]
    return days


def test_a_late_version_splits_the_state_it_falls_into(lived, tmp_path):
    days = lived.twin(tmp_path / "home")
    days.put("customers_2.csv", versions(("K1", "05.02.", "Jena")))
    assert build(days)
    assert history(days) == [
        ("Ulm", "2025-01-01", "2025-02-05", False),
        ("Jena", "2025-02-05", "2025-03-20", False),
        ("Bonn", "2025-03-20", None, True),
    ]


@pytest.mark.slow
def test_corrected_and_retracted_versions_leave_no_trace(lived, tmp_path):
    days = lived.twin(tmp_path / "home")
    days.put("customers_3.csv", versions(("K1", "21.03.", "Kiel")))
    assert build(days)
    assert history(days) == [
        ("Ulm", "2025-01-01", "2025-03-21", False),
        ("Kiel", "2025-03-21", None, True),
    ]
    days.retract("customers_3.csv")
    assert build(days)
    assert history(days) == [("Ulm", "2025-01-01", None, True)]
    days.retract("customers_1.csv")
    assert build(days)
    # only an order names the customer now
    assert history(days) == [(None, "2025-01-10", None, True)]


@pytest.mark.slow
def test_the_order_of_landing_does_not_matter(lived, tmp_path):
    days = lived.twin(tmp_path / "home")
    days.put("customers_2.csv", versions(("K1", "05.02.", "Jena")))
    assert build(days)
    other = company(tmp_path / "other", type(lived))
    for name, row in (("z", ("K1", "05.02.", "Jena")), ("a", ("K1", "20.03.", "Bonn"))):
        other.put(f"customers_{name}.csv", versions(row))
    other.put("customers_m.csv", versions(("K1", "25.03.", "Bonn"), ("K1", "02.01.", "Ulm")))
    build(other)
    assert different(histories(days), histories(other)) == []


def test_as_of_a_day_the_history_ends_there(lived, tmp_path):
    days = lived.twin(tmp_path / "home")
    build(days, date(2025, 3, 22))
    assert history(days)[-1] == ("Bonn", "2025-03-20", None, True)
    build(days, date(2025, 3, 19))
    assert history(days) == [("Ulm", "2025-01-01", None, True)]


def test_every_key_has_one_current_row_which_is_the_dimensions(lived):
    """The data tests of the models, held against a history that is broken."""
    lived.check(*HISTORIES)


@pytest.mark.parametrize(
    "damage",
    [
        "delete from marts.dim_customers_history where is_current and customer_key = 'demo:K1'",
        "update marts.dim_customers_history set city = 'Rom' where customer_key = 'demo:K9001'",
        "update marts.dim_customers_history set valid_to_at = '2025-02-01' "
        "where customer_key = 'demo:K1' and version_number = 1",
        "insert into marts.dim_customers_history by name select * replace (9 as version_number) "
        "from marts.dim_customers_history where customer_key = 'demo:K9001'",
    ],
)
def test_a_broken_history_is_seen(lived, tmp_path, damage):
    days = lived.twin(tmp_path / "home")
    with days.connection() as db:
        db.execute(damage)
    with pytest.raises(AssertionError, match="whole_history"):
        days.check("dim_customers_history")
