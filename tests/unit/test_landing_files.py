"""Files land: what is accepted, quarantined, refused, left alone, and what is said about it."""

from __future__ import annotations

import gzip
import os
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from crm_pipeline.defs.landing import loader
from crm_pipeline.defs.landing.changed import changed_sql
from crm_pipeline.defs.landing.ledger import event_span, latest_event_on
from crm_pipeline.errors import UserError
from tests.unit.landing_support import Company, contracts_of, land_text, outcomes, shop, utc

HEADER = "id,name,amount\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path, shop())


def test_rows_that_fit_land_and_the_others_wait_in_quarantine(company):
    company.put("orders.csv", HEADER + "1,Ann,2.50\nx,Bob,1\n,Cid,1\n4,Dee,much\n5,Eve,\n")
    report = company.land()
    assert report.is_ok
    assert company.rows() == [
        (1, "Ann", Decimal("2.50"), "orders.csv", 2),
        (5, "Eve", None, "orders.csv", 6),
    ]
    assert company.quarantine() == [
        (3, "id", "bad_type", "x"),
        (4, "id", "missing_value", None),
        (5, "amount", "bad_type", "much"),
    ]
    assert company.accounts() == [("orders.csv", 5, 2, 3)]
    assert report.tables["shop__orders"].message == "5 rows read = 2 accepted + 3 quarantined"


def test_a_row_with_two_faults_counts_once_in_the_summary(company):
    company.put("orders.csv", HEADER + "x,Ann,much\n2,Bob,1\n,Cid,much\n")
    company.land()
    assert company.summary() == [
        ("shop", "orders", "orders.csv", "bad_type", 1),
        ("shop", "orders", "orders.csv", "missing_value", 1),
    ]
    assert company.accounts() == [("orders.csv", 3, 1, 2)]


def test_landing_twice_lands_nothing(company):
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    first = company.land()
    second = company.land()
    assert outcomes(first) == {"orders.csv": "landed"}
    assert outcomes(second) == {"orders.csv": "unchanged"}
    assert company.con.execute("select count(*) from control.files").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "data",
    [
        (HEADER + "1,Ann,2\n2,Bob,3\n").replace("\n", "\r\n").encode(),
        (HEADER + "1,Ann,2\n2,Bob,3\n").replace("\n", "\r").encode(),
        (HEADER + "1,Ann,2\n2,Bob,3").encode(),
        ("\ufeff" + HEADER + "1,Ann,2\n2,Bob,3\n").encode(),
        gzip.compress((HEADER + "1,Ann,2\n2,Bob,3\n").encode()),
        gzip.compress(HEADER.encode()) + gzip.compress(b"1,Ann,2\r\n2,Bob,3\r\n"),
    ],
    ids=["crlf", "cr", "no last line end", "byte order mark", "gzip", "two gzip members"],
)
def test_the_same_text_is_the_same_content(company, data):
    company.put("orders_a.csv", HEADER + "1,Ann,2\n2,Bob,3\n")
    company.land()
    company.put("orders_b.csv", data)
    report = company.land()
    assert outcomes(report)["orders_b.csv"] == "copy"
    assert company.rows("id, _file, _line") == [(1, "orders_b.csv", 2), (2, "orders_b.csv", 3)]


def test_a_corrected_file_replaces_what_its_older_version_brought(company):
    company.put("orders.csv", HEADER + "1,Ann,2\n2,Bob,3\n")
    company.land()
    company.put("orders.csv", HEADER + "1,Ann,9\n")
    company.land()
    assert company.rows("id, amount") == [(1, Decimal("9.00"))]
    company.put("orders.csv", HEADER + "1,Ann,2\n2,Bob,3\n")
    report = company.land()
    assert [file.landing_number for file in report.files] == [3]
    assert company.rows("id, amount") == [(1, Decimal("2.00")), (2, Decimal("3.00"))]


def test_removing_a_file_changes_nothing_and_retracting_it_does(company):
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    company.land()
    company.remove("orders.csv")
    company.land()
    assert len(company.rows()) == 1
    assert company.retract("orders.csv") == ["orders"]
    assert company.rows() == []
    with pytest.raises(UserError, match=r"orders\.csv of source shop has not landed"):
        company.retract("orders.csv")


def test_a_retracted_file_stays_retracted_until_it_is_delivered_again(company):
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    company.land()
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    company.land()
    company.retract("orders.csv")
    assert outcomes(company.land()) == {"orders.csv": "retracted"}
    assert company.rows() == []
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    assert outcomes(company.land()) == {"orders.csv": "landed"}
    assert len(company.rows()) == 1


def test_of_rows_with_one_key_the_greatest_version_then_name_then_line_counts(tmp_path):
    columns = """
    - {name: id, data_type: bigint}
    - {name: version, data_type: integer}
    - {name: name, data_type: varchar}
    """
    company = Company(tmp_path, shop(columns, key=["id"], version="version"))
    head = "id,version,name\n"
    company.put("orders_b.csv", head + "1,1,b\n2,7,b\n3,1,b1\n3,1,b2\n")
    company.put("orders_a.csv", head + "1,2,a\n2,7,a\n,1,no key\n")
    company.land()
    assert company.rows("id, name") == [(1, "a"), (2, "b"), (3, "b2")]
    assert company.quarantine() == [(4, "id", "missing_value", None)]


def test_rows_without_key_stay_even_if_alike(company):
    company.put("orders_a.csv", HEADER + "1,Ann,2\n1,Ann,2\n")
    company.put("orders_b.csv", HEADER + "1,Ann,2\n1,Ann,2\n9,Zoe,1\n")
    company.land()
    assert len(company.rows()) == 5


def test_header_decides_where_a_column_is_found(company):
    company.put("orders.csv", "AMOUNT, Name ,extra,id\n2,Ann,?,1\n")
    report = company.land()
    assert company.rows("id, name, amount") == [(1, "Ann", Decimal("2.00"))]
    assert "columns not declared and not read: extra" in report.files[0].message


def test_an_optional_column_may_be_missing_and_is_reported(company):
    company.put("orders.csv", "id\n1\n")
    report = company.land()
    assert company.rows("id, name, amount") == [(1, None, None)]
    assert "missing columns read as null: name, amount" in report.files[0].message


def test_the_second_of_two_columns_of_one_name_can_be_had(tmp_path):
    columns = """
    - {name: category, data_type: varchar}
    - {name: subcategory, data_type: varchar, config: {meta: {header: "category#2"}}}
    """
    company, report = land_text(tmp_path, "category,category\na,b\n", columns)
    assert company.rows("category, subcategory") == [("a", "b")]
    assert "several columns alike: category" in report.files[0].message


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "orders.csv",
            b"ident,name,amount\n1,Ann,2\n",
            "id looks renamed to ident (expected bigint",
        ),
        ("orders.csv", b"", "it is empty, not even a header; expected the columns id, name"),
        ("orders.csv", b"\xff\xfei\0d\0", "its header is not utf-8 text"),
        (
            "orders.csv.gz",
            gzip.compress(b"id\n" + b"1\n" * 999, mtime=0)[:-9],
            "the file is truncated",
        ),
        ("orders.csv.gz", b"id,name,amount\n", "named .gz but is not gzip-compressed"),
        (
            "orders.csv.gz",
            gzip.compress(b"id\n1\n", mtime=0) + b"garbage",
            "gzip stream is damaged",
        ),
        ("orders.csv", b"id,name,amount\nx,Ann,2\ny,Bob,2\n", "2 of 2 rows do not fit"),
    ],
)
def test_a_file_that_cannot_land_is_refused_whole_and_the_others_land(company, name, data, said):
    company.put(name, data)
    company.put("orders_good.csv", HEADER + "7,Ann,2\n")
    report = company.land()
    assert not report.is_ok
    assert not report.tables["shop__orders"].is_ok
    assert outcomes(report) == {name: "refused", "orders_good.csv": "landed"}
    assert said in next(file.message for file in report.files if file.outcome == "refused")
    assert company.rows("id, _file") == [(7, "orders_good.csv")]
    assert company.quarantine() == []
    assert list((company.home / "tmp").iterdir()) == []
    assert len(list((company.home / "archive").rglob("*.gz"))) == 1


def test_a_refused_correction_leaves_the_good_version(company):
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    company.land()
    company.put("orders.csv", HEADER + "x,Ann,2\n")
    assert not company.land().is_ok
    assert company.rows("id") == [(1,)]


def test_the_tolerated_share_of_bad_rows_is_the_contracts(tmp_path):
    data = HEADER + "1,Ann,2\nx,Bob,2\ny,Cid,3\n"
    _, report = land_text(tmp_path, data, max_quarantine_rate=0.5)
    message = report.files[0].message
    assert "2 of 3 rows do not fit (bad_type in id: 2, first in line 3)" in message
    assert "allowed is at most 50.0%" in message


def test_a_file_with_a_header_only_has_no_rows(company):
    company.put("orders.csv", HEADER)
    assert company.land().is_ok
    assert company.accounts() == [("orders.csv", 0, 0, 0)]


def test_an_empty_file_without_header_has_no_rows(tmp_path):
    company, report = land_text(tmp_path, "", header=False)
    assert report.is_ok
    assert company.accounts() == [("orders.csv", 0, 0, 0)]


def test_what_belongs_to_nobody_is_reported_and_fails_nothing(company):
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    company.put("notes.txt", "x")
    company.put("x.csv", "x", source="unknown")
    report = company.land()
    assert report.is_ok
    assert any("notes.txt was left alone: it matches no table" in p for p in report.problems)
    assert any("inbox/unknown/ belongs to no declared source" in p for p in report.problems)


def test_a_file_being_written_waits(company):
    path = company.put("orders.csv", HEADER + "1,Ann,2\n")
    path.with_name("orders.csv.done").unlink()
    os.utime(path)
    assert outcomes(company.land()) == {"orders.csv": "waiting"}
    old = time.time() - 5
    os.utime(path, (old, old))
    assert outcomes(company.land()) == {"orders.csv": "landed"}


def test_a_file_that_changes_while_it_is_read_waits(company, monkeypatch):
    path = company.put("orders.csv", HEADER + "1,Ann,2\n")
    plain = loader.prepare

    def slow(*arguments):
        prepared = plain(*arguments)
        path.write_text(HEADER + "1,Ann,2\n2,Bob,3\n")
        return prepared

    monkeypatch.setattr(loader, "prepare", slow)
    assert outcomes(company.land()) == {"orders.csv": "waiting"}
    assert company.rows() == []
    monkeypatch.undo()
    path.with_name("orders.csv.done").touch()
    assert outcomes(company.land()) == {"orders.csv": "landed"}
    assert len(company.rows()) == 2


def test_disabled_sources_get_tables_but_no_files(company):
    company.put("orders.csv", HEADER + "1,Ann,2\n")
    report = company.land(enabled=[])
    assert report.files == ()
    assert any("shop is not enabled" in problem for problem in report.problems)
    assert company.rows() == []


def settings_row(company: Company, as_of: str, zone: str = "UTC") -> None:
    company.con.execute(
        f"create or replace table control.run_settings as select date '{as_of}' as as_of, "
        f"90 as horizon_days, 365 as clv_horizon_days, 90 as clv_holdout_days, "
        f"0.1::double as discount_rate, 'EUR' as currency, '{zone}' as time_zone"
    )


EVENTS = """
- {name: id, data_type: bigint}
- {name: made_at, data_type: timestamp}
"""


def test_as_of_truncates_by_the_business_day_before_the_key_decides(tmp_path):
    contracts = shop(EVENTS, key=["id"], version="made_at", event_time="made_at", time_zone="UTC")
    company = Company(tmp_path, contracts)
    company.put(
        "orders.csv", "id,made_at\n1,2026-03-01 22:59\n1,2026-03-01 23:00\n2,2026-03-05\n3,\n"
    )
    company.land()
    assert company.rows("id, made_at")[0] == (1, utc("2026-03-01 23:00"))
    settings_row(company, "2026-03-01", "Europe/Paris")
    assert company.rows("id, made_at") == [(1, utc("2026-03-01 22:59")), (3, None)]
    company.land()
    assert company.rows("id, made_at") == [(1, utc("2026-03-01 22:59")), (3, None)]


def test_as_of_where_midnight_comes_twice(tmp_path):
    # Havana, 2023-11-05: at 01:00 the clocks go back to 00:00; both hours belong to the fifth.
    company = Company(tmp_path, shop(EVENTS, event_time="made_at"))
    company.put("orders.csv", "id,made_at\n1,2023-11-05 03:59\n2,2023-11-05 04:30\n")
    company.land()
    settings_row(company, "2023-11-04", "America/Havana")
    assert company.rows("id") == [(1,)]
    settings_row(company, "2023-11-05", "America/Havana")
    assert company.rows("id") == [(1,), (2,)]


LEADS = """
- {name: id, data_type: bigint}
- {name: made_at, data_type: timestamp}
- {name: state, data_type: varchar, config: {meta: {happens_at: won_at, until_then: open}}}
- {name: won_at, data_type: timestamp, config: {meta: {happens_at: won_at}}}
- {name: note, data_type: varchar}
"""


def test_what_came_about_after_the_as_of_day_is_not_known_of_a_row(tmp_path):
    contracts = shop(LEADS, key=["id"], event_time="made_at")
    company = Company(tmp_path, contracts)
    company.put(
        "orders.csv",
        "id,made_at,state,won_at,note\n"
        "1,2026-03-01,won,2026-03-09 22:59,a\n2,2026-03-02,won,2026-03-09 23:00,b\n"
        "3,2026-03-03,lost,,c\n4,2026-03-10,won,2026-03-11,d\n",
    )
    company.land()
    span = event_span(company.con, contracts, ["shop"], "Europe/Paris")
    assert span == (date(2026, 3, 1), date(2026, 3, 11)), "a win is an event like any other"
    settings_row(company, "2026-03-09", "Europe/Paris")
    assert company.rows("id, state, won_at, note") == [
        (1, "won", utc("2026-03-09 22:59"), "a"),
        (2, "open", None, "b"),
        (3, "lost", None, "c"),
    ]

    table = contracts["shop"].tables[0]
    days = (date(2026, 3, 9), date(2026, 3, 10))
    for before, after in (days, days[::-1]):
        conditions = changed_sql(table, [], before, after, "Europe/Paris")
        found = [
            company.con.execute(f"select id from landing.shop__orders where {one}").fetchall()
            for one in conditions
        ]
        assert found == [[(4,)], [(2,)]], "each row that the move shows or changes, once"


def test_latest_event_is_a_business_day_whatever_the_as_of(tmp_path):
    company = Company(tmp_path, shop(EVENTS, event_time="made_at"))
    company.put("orders.csv", "id,made_at\n1,2026-03-01 23:30\n2,2026-02-01\n")
    company.land()
    settings_row(company, "2026-02-10")
    span = event_span(company.con, company.contracts, ["shop"], "Europe/Paris")
    assert span == (date(2026, 2, 1), date(2026, 3, 2))


def test_a_source_without_dates_has_a_fixed_as_of(tmp_path):
    contracts = contracts_of(
        """
        sources:
          - name: flat
            config: {meta: {as_of: 2020-06-30}}
            tables:
              - name: people
                config: {meta: {files: ["*.csv"]}}
                columns: [{name: id, data_type: bigint}]
        """
    )
    company = Company(tmp_path, contracts)
    company.land()
    assert latest_event_on(company.con, contracts, ["flat"], "UTC") == date(2020, 6, 30)
    assert latest_event_on(company.con, contracts, [], "UTC") is None


def test_naive_times_are_in_the_sources_zone_and_offsets_are_honoured(tmp_path):
    company = Company(tmp_path, shop(EVENTS, time_zone="Europe/London"))
    company.put(
        "orders.csv",
        "id,made_at\n1,2026-07-01 12:00\n2,2026-07-01T12:00:00Z\n3,2026-07-01 12:00:00-05:00\n"
        "4,2026-03-29 01:30:00\n5,2026-10-25 01:30:00\n",
    )
    company.con.execute("set TimeZone = 'Asia/Tokyo'")
    company.land()
    assert company.rows("id, made_at") == [
        (1, utc("2026-07-01 11:00")),
        (2, utc("2026-07-01 12:00")),
        (3, utc("2026-07-01 17:00")),
        (4, utc("2026-03-29 01:30")),
        (5, utc("2026-10-25 01:30")),
    ]
    assert company.con.execute("select current_setting('TimeZone')").fetchone() == ("Asia/Tokyo",)


def test_declared_formats_read_the_same_instants(tmp_path):
    formats = ["%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M:%S%z"]
    company = Company(tmp_path, shop(EVENTS, time_zone="Europe/London", timestamp_format=formats))
    company.put(
        "orders.csv", "id,made_at\n1,1/7/2026 12:00\n2,2026-07-01 12:00:00+0000\n3,2026-07-01\n"
    )
    company.land()
    assert company.rows("made_at") == [(utc("2026-07-01 11:00"),), (utc("2026-07-01 12:00"),)]
    assert company.quarantine() == [(4, "made_at", "bad_type", "2026-07-01")]
