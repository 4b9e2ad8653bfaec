"""Files whose columns are not the declared ones: what lands, what is refused, what is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crm_pipeline.defs.landing.drift import alike, shape_of
from crm_pipeline.defs.landing.report import LandingReport
from crm_pipeline.defs.landing.schema_history import schema_drift
from tests.unit.landing_support import Company, land_text, outcomes, parquet, shop

COLUMNS = """
- {name: order_id, data_type: varchar, config: {meta: {required: true}}}
- {name: customer_id, data_type: varchar}
- {name: amount, data_type: "decimal(10,2)"}
- {name: made_on, data_type: date}
"""
PERSONAL = """
- {name: customer_id, data_type: varchar, config: {meta: {required: true}}}
- {name: email, data_type: varchar, config: {meta: {pii: direct}}}
- {name: age, data_type: integer, config: {meta: {pii: indirect}}}
- {name: points, data_type: integer}
"""
HEAD = "order_id,customer_id,amount,made_on\n"
GOOD = HEAD + "A1,C7,2.50,2026-01-02\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company, report = land_text(tmp_path, GOOD, COLUMNS)
    assert report.is_ok
    return company


def drift(company: Company, *, is_standing: bool = True) -> list[tuple]:
    return (
        schema_drift(company.con)
        .filter(f"is_standing = {is_standing}")
        .project("file_name, kind, column_name")
        .order("all")
        .fetchall()
    )


def refusal(company: Company, report: LandingReport, name: str = "orders.csv") -> str:
    """The message of a refused file, after which everything is as it was before."""
    assert outcomes(report)[name] == "refused"
    assert not report.tables["shop__orders"].is_ok
    return next(file.message for file in report.files if file.file_name == name)


def test_a_new_column_lands_unread_and_is_told(company):
    company.put("orders.csv", HEAD.replace("made_on", "made_on,coupon") + "A1,C7,2,2026-01-02,x\n")
    report = company.land()
    assert report.is_ok
    assert drift(company) == [("orders.csv", "new_column", "coupon")]
    assert report.tables["shop__orders"].drift == (
        "coupon is not declared and not read (expected nothing | found a column) in orders.csv",
    )
    assert len(company.rows()) == 1


def test_an_absent_optional_column_is_null_and_is_told(company):
    company.put("orders.csv", "order_id,customer_id,made_on\nA1,C7,2026-01-02\n")
    report = company.land()
    assert report.is_ok
    assert company.rows("order_id, amount") == [("A1", None)]
    assert drift(company) == [("orders.csv", "missing_column", "amount")]
    assert (
        "amount is missing and read as null (expected decimal(10,2) | found nothing)"
        in (report.tables["shop__orders"].drift[0])
    )


@pytest.mark.parametrize(
    ("data", "kind", "told"),
    [
        (
            GOOD.replace("order_id,", "").replace("A1,", ""),
            "missing_required",
            "its header lacks order_id (expected varchar, required | found nothing)",
        ),
        (
            GOOD.replace("customer_id", "cust_id"),
            "renamed_column",
            "customer_id looks renamed to cust_id (expected varchar | found cust_id shaped like "
            "'a9')",
        ),
        (
            "made_on,ref,order_id\n2026-01-02,x,A1\n".replace("ref", "cust_id"),
            "renamed_column",
            "customer_id looks renamed to cust_id",
        ),
        (
            GOOD.replace("amount", "total"),
            "renamed_column",
            "amount looks renamed to total (expected decimal(10,2) | found total shaped like "
            "'9.99')",
        ),
        (
            HEAD + "A1,C7,2.50,02.01.26\n" * 19 + "A2,C8,3,\n" + "A3,C9,3,05.01.26\n",
            "retyped_column",
            "made_on looks retyped (expected date | found 20 of 20 values of another type, "
            "shaped like '99.99.99')",
        ),
        (
            "1,Ann,2.50,2026-01-02\n2,Bob,3,2026-01-03\n",
            "missing_required",
            "its header lacks order_id (expected varchar, required | found 4 others, of the "
            "shape '9', 'aaa', '9.99' ...)",
        ),
    ],
    ids=["required", "renamed", "renamed and moved", "renamed in place", "retyped", "no header"],
)  # fmt: skip
def test_a_file_that_means_something_else_is_refused_whole(company, data, kind, told):
    before = (company.rows(), company.accounts())
    company.put("orders.csv", data)
    message = refusal(company, company.land())
    assert message.startswith(told)
    assert "models/staging/shop/_sources.yml" in message
    assert "`crm source check FILE`" in message
    assert kind in {row[1] for row in drift(company)}
    assert (company.rows(), company.accounts()) == before
    assert company.quarantine() == []
    assert len(list((company.home / "archive").rglob("*.gz"))) == 1


@pytest.mark.parametrize(
    "data",
    [
        # A dropped date and a new text, a dropped text and a new number: two columns each.
        "order_id,customer_id,amount,note\nA1,C7,2.50,hello\n",
        "order_id,points,amount,made_on\nA1,12,2.50,2026-01-02\n",
        # Alike in name, not in value.
        "order_id,customer_id,amount,made_on_by\nA1,C7,2.50,Ann\n",
        # Elsewhere, and not alike.
        "price,order_id,customer_id,made_on\n2.50,A1,C7,2026-01-02\n",
    ],
    ids=["date and text", "text and number", "alike in name only", "elsewhere"],
)
def test_a_dropped_column_and_an_unrelated_new_one_land(company, data):
    company.put("orders.csv", data)
    report = company.land()
    assert report.is_ok
    assert [row[1] for row in drift(company)] == ["missing_column", "new_column"]


def test_many_misfits_of_a_column_that_has_as_many_fits_are_quarantined(company):
    rows = "".join(f"A{n},C,{n},{'2026-01-02' if n % 5 == 0 else 'soon'}\n" for n in range(100))
    company.put("orders.csv", HEAD + rows)
    assert company.land().is_ok
    assert company.accounts() == [("orders.csv", 100, 20, 80)]
    rows = "".join(f"A{n},C,{n},{'2026-01-02' if n == 0 else 'soon'}\n" for n in range(19))
    company.put("orders.csv", HEAD + rows)
    assert company.land().is_ok
    assert company.accounts() == [("orders.csv", 19, 1, 18)]


def test_a_file_is_judged_the_same_when_it_is_cut_into_records(company):
    rows = "".join(f'A{n},"C\n7",2.50,02.01.26\n' for n in range(30))
    company.put("orders.csv", HEAD + rows)
    assert refusal(company, company.land()).startswith("made_on looks retyped")


def test_running_again_says_the_same_once_and_a_mended_file_resolves_it(company):
    company.put("orders.csv", GOOD.replace("customer_id", "cust_id"))
    company.land()
    seen = company.con.execute("select * from control.drift").fetchall()
    assert refusal(company, company.land()).startswith("customer_id looks renamed")
    assert company.con.execute("select * from control.drift").fetchall() == seen
    company.put("orders.csv", GOOD)
    assert company.land().is_ok
    assert drift(company) == []
    assert drift(company, is_standing=False) == [("orders.csv", "renamed_column", "customer_id")]


def test_a_refused_file_that_is_removed_is_no_drift_any_more(company):
    company.put("orders_2.csv", GOOD.replace("customer_id", "cust_id"))
    company.land()
    company.remove("orders_2.csv")
    company.land()
    assert drift(company) == []


def test_a_retracted_file_is_no_drift_any_more(company):
    company.put("orders_2.csv", GOOD.replace("made_on", "made_on,coupon").replace("02\n", "02,x\n"))
    company.land()
    assert len(drift(company)) == 1
    company.retract("orders_2.csv")
    company.land()
    assert drift(company) == []
    company.put("orders_2.csv", GOOD.replace("made_on", "made_on,coupon").replace("02\n", "02,x\n"))
    assert outcomes(company.land())["orders_2.csv"] in ("landed", "copy")
    assert len(drift(company)) == 1


def test_an_ignored_column_is_neither_told_nor_a_renamed_one(tmp_path):
    data = GOOD.replace("customer_id", "cust_id")
    company = Company(tmp_path, shop(COLUMNS, ignored_columns=["CUST_ID"]))
    company.put("orders.csv", data)
    report = company.land()
    assert report.is_ok
    assert drift(company) == [("orders.csv", "missing_column", "customer_id")]


def test_ignoring_a_column_resolves_what_was_told(company):
    company.put("orders.csv", HEAD.replace("made_on", "made_on,coupon") + "A1,C7,2,2026-01-02,x\n")
    company.land()
    company.contracts = shop(COLUMNS, ignored_columns=["coupon"])
    company.land()
    assert drift(company) == []


def test_declaring_the_new_name_lands_the_file(company):
    company.put("orders_2.csv", GOOD.replace("customer_id", "cust_id"))
    company.land()
    company.remove("orders.csv")
    company.retract("orders.csv")
    columns = COLUMNS.replace("customer_id,", "customer_id, config: {meta: {header: cust_id}},")
    columns = columns.replace("customer_id, config", "customer_id, config", 1)
    company.contracts = shop(columns)
    assert company.land().is_ok
    assert company.rows("customer_id, _file") == [("C7", "orders_2.csv")]
    assert drift(company) == []


def test_a_column_declared_later_is_not_missing_from_older_files(company):
    wide = HEAD.replace("made_on", "made_on,coupon") + "A2,C7,2,2026-01-02,x\n"
    company.put("orders_2.csv", wide)
    company.land()
    assert drift(company) == [("orders_2.csv", "new_column", "coupon")]
    company.contracts = shop(COLUMNS + "- {name: coupon, data_type: varchar}\n")
    assert company.land().is_ok
    assert company.rows("order_id, coupon") == [("A1", None), ("A2", "x")]
    assert drift(company) == []
    # A further version does not dig it up, and a file that arrives now is told.
    company.contracts = shop(
        COLUMNS + "- {name: coupon, data_type: varchar}\n", time_zone="Asia/Tokyo"
    )
    company.put("orders_3.csv", GOOD.replace("A1", "A3"))
    assert company.land().is_ok
    assert drift(company) == [("orders_3.csv", "missing_column", "coupon")]


def test_a_mistyped_header_in_a_contract_is_told(company):
    columns = COLUMNS.replace("amount,", 'amount, config: {meta: {header: "zzz"}},', 1)
    company.contracts = shop(columns, ignored_columns=["amount"])
    assert company.land().is_ok
    assert drift(company) == [("orders.csv", "missing_column", "zzz")]


def test_a_contract_under_which_a_landed_file_is_renamed_leaves_the_table(company):
    before = company.rows()
    company.contracts = shop(COLUMNS.replace("customer_id", "cust_id"))
    report = company.land()
    assert not report.is_ok
    assert "the contract of shop.orders changed, but orders.csv: cust_id looks renamed to " in (
        report.tables["shop__orders"].message
    )
    assert company.con.execute("select * from landing.shop__orders").fetchall()
    company.contracts = shop(COLUMNS)
    assert company.land().is_ok
    assert company.rows() == before


# Personal data


def test_no_value_is_told_of_a_personal_column(tmp_path):
    company = Company(tmp_path, shop(PERSONAL))
    head = "customer_id,email,age,points\n"
    old = "".join(f"C{n},ann{n}@secret.example,thirtysecret,1\n" for n in range(30))
    company.put("orders_1.csv", head + old)
    company.put("orders_2.csv", head.replace("email", "e_mail") + "C1,ann@secret.example,30,1\n")
    company.put("orders_3.csv", "C1,Ann Secret,30,ann@secret.example\nC2,Bob,1,b@c.example\n")
    company.put(
        "orders_4.csv", head.replace("points", "points,ann@secret.example") + "C1,a,1,1,2\n"
    )
    report = company.land()
    told = {file.file_name: file.message for file in report.files}
    assert told["orders_1.csv"].startswith(
        "age looks retyped (expected integer | found 30 of 30 values of another type). Deliver"
    )
    assert told["orders_2.csv"].startswith(
        "email looks renamed to e_mail (expected varchar | found e_mail). Deliver"
    )
    assert told["orders_3.csv"].startswith(
        "its header lacks customer_id (expected varchar, required | found 4 others, of the shape "
        "'a9', 'aaa aaaaaa', '99' ...)"
    )
    assert told["orders_4.csv"] == "columns not declared and not read: 'aaa@aaaaaa.aaaaaaa'"
    rows = company.con.execute("select * from control.drift").fetchall()
    assert rows
    assert "secret" not in repr(rows).lower()
    assert not any("secret" in line.lower() for line in report.messages)


def test_values_are_told_by_their_shape_only(company):
    company.put("orders.csv", GOOD.replace("customer_id", "cust_id").replace("C7", "Zoë Wallace-8"))
    message = refusal(company, company.land())
    assert "found cust_id shaped like 'aaa aaaaaaa-9'" in message
    assert "Wallace" not in message
    assert shape_of("x" * 30) == "a" * 24 + "..."


# Other formats


def json_lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


ROW = {"order_id": "A1", "customer_id": "C7", "amount": "2.50", "made_on": "2026-01-02"}


@pytest.fixture
def json_company(tmp_path: Path) -> Company:
    return Company(tmp_path, shop(COLUMNS, format="jsonl"))


def without(row: dict, *names: str) -> dict:
    return {name: value for name, value in row.items() if name not in names}


def test_json_keys_are_held_against_the_contract(json_company):
    company = json_company
    row = without(ROW, "customer_id")
    company.put("orders_renamed.jsonl", json_lines({**row, "Customer_ID": "C7"}))
    company.put("orders_required.jsonl", json_lines(*[without(ROW, "order_id")] * 3))
    company.put("orders_new.jsonl", json_lines(ROW, {**ROW, "coupon": {"code": "x"}}))
    company.put("orders_few.jsonl", json_lines(*[row] * 19))
    company.put("orders_many.jsonl", json_lines(*[row] * 20))
    company.put("orders_typed.jsonl", json_lines(*[{**ROW, "made_on": 20260102}] * 20))
    report = company.land()
    assert {name: fate for name, fate in outcomes(report).items() if fate == "refused"} == {
        "orders_renamed.jsonl": "refused",
        "orders_required.jsonl": "refused",
        "orders_typed.jsonl": "refused",
    }
    told = {file.file_name: file.message for file in report.files}
    assert told["orders_renamed.jsonl"].startswith("customer_id looks renamed to Customer_ID")
    assert told["orders_required.jsonl"].startswith("its header lacks order_id")
    assert told["orders_typed.jsonl"].startswith("made_on looks retyped (expected date | found 20")
    assert drift(company) == [
        ("orders_many.jsonl", "missing_column", "customer_id"),
        ("orders_new.jsonl", "new_column", "coupon"),
        ("orders_renamed.jsonl", "renamed_column", "customer_id"),
        ("orders_required.jsonl", "missing_required", "order_id"),
        ("orders_typed.jsonl", "retyped_column", "made_on"),
    ]


def test_values_used_as_json_keys_are_not_all_told(json_company):
    row = {**ROW, **{f"key {n}": n for n in range(3000)}}
    json_company.put("orders.jsonl", json_lines(row))
    assert json_company.land().is_ok
    rows = drift(json_company)
    assert len(rows) == 21
    assert rows[0][2] == "and 976 more"


BASE = "'A1' as order_id, 'C7' as customer_id, 2.5::decimal(10,2) as amount"


@pytest.mark.parametrize(
    ("query", "fate", "told"),
    [
        ("{}, date '2026-01-02' as made_on", "landed", ""),
        ("{}, null::double as made_on", "landed", ""),
        ("{}, 20260102 as made_on", "refused", "made_on looks retyped (expected date | found int"),
        ("{}, [date '2026-01-02'] as made_on", "refused", "made_on looks retyped"),
        ("{}, {{'at': 1}} as made_on", "refused", "made_on looks retyped (expected date | found s"),
        ("{}, date '2026-01-02' as made_at", "refused", "made_on looks renamed to made_at"),
        ("{}, 7 as made_at", "landed", "missing columns read as null: made_on; columns not decl"),
        ("2.5 as amount, date '2026-01-02' as made_on", "refused", "its header lacks order_id"),
    ],
)  # fmt: skip
def test_parquet_columns_are_held_against_the_contract(tmp_path, query, fate, told):
    company = Company(tmp_path, shop(COLUMNS, format="parquet"))
    company.put("orders.parquet", parquet(tmp_path / "x", f"select {query.format(BASE)}"))
    [file] = company.land().files
    assert (file.outcome, file.message[: len(told)]) == (fate, told)


# Names


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("customer_id", "cust_id", True),
        ("customer_id", "CustomerID", True),
        ("amount", "net_amount", True),
        ("e-mail", "email_address", False),
        ("city", "country", False),
        ("first_seen", "points", False),
        ("", "", False),
    ],
)
def test_which_names_are_alike(one, other, are_alike):
    assert (alike(one, other) >= 0.7) is are_alike
