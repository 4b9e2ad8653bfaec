"""One expression a type: what is taken, what is refused, where DuckDB alone would be too kind."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest

from crm_pipeline.defs.landing import casts
from tests.unit.landing_support import shop


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as connection:
        yield connection


def cast(con, data_type: str, value: str | None, time_zone: str = "UTC", **settings: object):
    columns = f'- {{name: x, data_type: "{data_type}"}}'
    table = shop(columns, time_zone=time_zone, **settings)["shop"].tables[0]
    con.execute(f"set TimeZone = '{time_zone}'")
    sql = casts.from_text(table.columns[0], table, "v")
    return con.execute(f"select {sql} from (select ?::varchar as v)", [value]).fetchone()[0]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("data_type", "value", "wanted"),
    [
        ("bigint", "12", 12),
        ("bigint", " +12 ", 12),
        ("bigint", "12.0", 12),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("bigint", "1.5", None),
        ("bigint", "1e3", None),
        ("bigint", "1_000", None),
        ("bigint", "0x10", None),
        ("bigint", "9223372036854775808", None),
        ("bigint", None, None),
        ("integer", "2147483648", None),
        ("decimal(10,2)", "2.345", Decimal("2.35")),
        ("decimal(10,2)", "-.5", Decimal("-0.50")),
        ("decimal(10,2)", "1_0", None),
        ("decimal(10,2)", "1,5", None),
        ("decimal(4,2)", "100", None),
        ("double", "1e5", 1e5),
        ("double", "nan", None),
        ("double", "1e999", None),
        ("boolean", " TRUE ", True),
        ("boolean", "no", False),
        ("boolean", "2", None),
        ("varchar", "17850.0", "17850.0"),
        ("date", "2020-02-29", date(2020, 2, 29)),
        ("date", "2020/2/9", date(2020, 2, 9)),
        ("date", "2020-01-01 00:00:00", date(2020, 1, 1)),
        ("date", "2020-01-01 10:00:00", None),
        ("date", "2020-01-01 xyz", None),
        ("date", "2020-1-1x", None),
        ("date", "2021-02-29", None),
        ("date", "01/02/2020", None),
        ("timestamp", "2020-01-01", utc("2020-01-01 00:00")),
        ("timestamp", "2020-01-01T10:00:00.5Z", utc("2020-01-01 10:00:00.5")),
        ("timestamp", "2020-01-01 10:00:00+02", utc("2020-01-01 08:00")),
        ("timestamp", "infinity", None),
        ("timestamp", "soon", None),
    ],
)
def test_values(con, data_type, value, wanted):
    assert cast(con, data_type, value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("2026-01-15 12:00", "2026-01-15 12:00"),
        ("2026-07-15 12:00", "2026-07-15 11:00"),
        ("2026-07-15 12:00:00Z", "2026-07-15 12:00"),
        # Clocks go forward from 01:00 to 02:00 on 29 March: the offset before applies.
        ("2026-03-29 01:30", "2026-03-29 01:30"),
        # Clocks go back from 02:00 to 01:00 on 25 October: the later offset applies.
        ("2026-10-25 01:30", "2026-10-25 01:30"),
    ],
)
def test_local_times_become_utc(con, value, wanted):
    assert cast(con, "timestamp", value, "Europe/London") == utc(wanted)
    if "Z" not in value:
        form = "%Y-%m-%d %H:%M"
        assert cast(con, "timestamp", value, "Europe/London", timestamp_format=form) == utc(wanted)


def test_formats_are_tried_in_turn_and_nothing_else(con):
    forms = ["%d.%m.%Y", "%Y%m%d"]
    assert cast(con, "date", "31.12.2020", date_format=forms) == date(2020, 12, 31)
    assert cast(con, "date", "20201231", date_format=forms) == date(2020, 12, 31)
    assert cast(con, "date", "2020-12-31", date_format=forms) is None


@pytest.mark.parametrize(
    ("data_type", "native", "wanted"),
    [
        ("bigint", "7.0::double", 7),
        ("bigint", "7.5::double", None),
        ("bigint", "'nan'::double", None),
        ("bigint", "7.5::decimal(3,1)", None),
        ("decimal(10,2)", "2.675001::double", Decimal("2.68")),
        ("date", "timestamp '2020-01-01 00:00:00'", date(2020, 1, 1)),
        ("date", "timestamp '2020-01-01 00:00:01'", None),
        ("timestamp", "timestamp '2026-07-01 12:00:00'", utc("2026-07-01 11:00")),
        ("timestamp", "timestamptz '2026-07-01 12:00:00+00'", utc("2026-07-01 12:00")),
        ("timestamp", "date '2026-07-01'", utc("2026-06-30 23:00")),
        ("timestamp", "timestamp_ns '2026-07-01 12:00:00'", utc("2026-07-01 11:00")),
        ("varchar", "17850::bigint", "17850"),
        ("boolean", "1::integer", True),
        ("bigint", "'12'::varchar", 12),
    ],
)
def test_native_values(con, data_type, native, wanted):
    columns = f'- {{name: x, data_type: "{data_type}"}}'
    table = shop(columns, time_zone="Europe/London")["shop"].tables[0]
    con.execute("set TimeZone = 'Europe/London'")
    kind = con.execute(f"select typeof({native})").fetchone()[0]
    sql = casts.from_native(table.columns[0], table, "v", kind)
    assert con.execute(f"select {sql} from (select {native} as v)").fetchone()[0] == wanted


def test_a_number_is_stored_without_the_spaces_around_it(con):
    columns = """
    - {name: no, data_type: varchar, config: {meta: {identifies: order}}}
    - {name: code, data_type: varchar}
    - {name: name, data_type: varchar}
    """
    table = shop(columns, key=["code"])["shop"].tables[0]
    values = [casts.from_text(column, table, "' 7 '") for column in table.columns]
    assert con.execute(f"select {', '.join(values)}").fetchone() == ("7", "7", " 7 ")


@pytest.mark.parametrize(
    ("value", "fault"), [(None, "missing_value"), ("  ", "missing_value"), ("x", None)]
)
def test_a_blank_text_that_is_required_is_missing(con, value, fault):
    table = shop("- {name: x, data_type: varchar, config: {meta: {required: true}}}")[
        "shop"
    ].tables[0]
    sql = f"{casts.fault_of(table.columns[0], 'v', 'v')}, {casts.fits(table.columns[0], 'v', 'v')}"
    found = con.execute(f"select {sql} from (select ?::varchar as v)", [value]).fetchone()
    assert found == (fault, fault is None)
