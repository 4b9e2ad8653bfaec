"""The vault: personal values in it and nowhere else, tokens in their place, and forgetting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crm_pipeline.defs.landing.guard import ERASED
from crm_pipeline.defs.publication.knowledge import learn_documents
from crm_pipeline.errors import UserError
from crm_pipeline.vault.keys import KEY_FILE, find_keys, parse_key
from crm_pipeline.vault.phones import e164
from crm_pipeline.vault.sealed import BrokenSealError, header_of, seal, unseal
from crm_pipeline.vault.store import open_vault
from crm_pipeline.vault.tokens import token
from tests.unit.landing_support import START, Company, contracts_of

SOURCES = """
sources:
  - name: shop
    config: {meta: {country: DE}}
    tables:
      - name: people
        config: {meta: {files: ["people*"], key: [id]}}
        columns:
          - {name: id, data_type: varchar, config: {meta: {identifies: customer}}}
          - {name: full_name, data_type: varchar, config: {meta: {pii: direct}}}
          - {name: email, data_type: varchar, config: {meta: {pii: direct, token: email}}}
          - {name: phone, data_type: varchar, config: {meta: {pii: direct, token: phone}}}
          - {name: note, data_type: varchar, config: {meta: {pii: direct, text: scores}}}
          - {name: score, data_type: integer}
      - name: orders
        config: {meta: {files: ["orders*"], key: [order_no]}}
        columns:
          - {name: order_no, data_type: varchar, config: {meta: {identifies: order}}}
          - {name: id, data_type: varchar, config: {meta: {identifies: customer}}}
      - name: lines
        config: {meta: {files: ["lines*"]}}
        columns:
          - {name: order_no, data_type: varchar, config: {meta: {identifies: order}}}
          - {name: amount, data_type: integer}
      - name: letters
        config: {meta: {files: ["letters*"], key: [email]}}
        columns:
          - {name: email, data_type: varchar,
             config: {meta: {pii: direct, token: email, identifies: customer}}}
          - {name: topic, data_type: varchar}
"""
PEOPLE = """id,full_name,email,phone,note,score
1,Anna Muster,Anna@Shop.example ,(030) 1234567,"Great product,
fast delivery",1
2,Bo Berg,bo@shop.example,+49 30 7654321,质量太差,2
3,Cy Lee,,none,,x
"""
ORDERS = "order_no,id\nA,1\nB,2\nC,1\n"
LINES = "order_no,amount\nA,1\nA,2\nB,3\nC,4\n"
LETTERS = "email,topic\nANNA@shop.example,news\nbo@shop.example,news\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path, contracts_of(SOURCES))
    company.put("people.csv", PEOPLE)
    company.put("orders.csv", ORDERS)
    company.put("lines.csv", LINES)
    company.put("letters.csv", LETTERS)
    assert company.land().is_ok
    return company


def forget(company: Company, key: str) -> None:
    with open_vault(company.home, None) as vault:
        person = vault.keys.identity("customer", key)
        vault.bury({("customer", person)}, START)
        vault.destroy({person})


def in_vault(company: Company, table: str, line: int) -> dict[str, str]:
    digest = company.con.execute(
        "select digest from control.contents where table_name = ?", [table]
    ).fetchone()[0]
    with open_vault(company.home, None) as vault:
        return vault.read("shop", table, digest, line)


def test_a_row_is_split_between_warehouse_and_vault(company):
    keys = find_keys(company.home, None, creates=False)
    [anna, bo] = company.rows("* exclude (_file)", "shop__people")
    assert anna == (
        "1",
        token(keys.token, "email", "anna@shop.example"),
        token(keys.token, "phone", "+49301234567", "DE"),
        28, "en", 0.7184, "delivery", 1, 2,
    )  # fmt: skip
    assert bo[4:7] == ("zh", -0.6124, "quality")
    assert in_vault(company, "people", 2) == {
        "full_name": "Anna Muster",
        "email": "Anna@Shop.example ",
        "phone": "(030) 1234567",
        "note": "Great product,\nfast delivery",
    }
    assert in_vault(company, "people", 5) == {}


def test_all_texts_of_a_column_are_read_by_digest_and_line(company):
    [digest] = {row[0] for row in company.con.execute(
        "select digest from control.contents where table_name = 'people'").fetchall()}  # fmt: skip
    with open_vault(company.home, None) as vault:
        assert vault.texts("shop", "people", "note") == {
            (digest, 2): "Great product,\nfast delivery",
            (digest, 4): "质量太差",
        }
        assert vault.texts("shop", "people", "unknown") == {}
    forget(company, "shop:2")
    with open_vault(company.home, None) as vault:
        assert list(vault.texts("shop", "people", "note")) == [(digest, 2)]


def test_a_personal_key_is_its_token_and_the_same_in_every_table(company):
    [letters] = [t for t in company.contracts["shop"].tables if t.name == "letters"]
    assert letters.key == ("email_token",)
    letter = {row[0] for row in company.rows("email_token", "shop__letters")}
    assert {row[0] for row in company.rows("email_token", "shop__people")} == letter


def test_nothing_personal_lies_in_any_file_but_the_inbox(company):
    company.con.execute("checkpoint")
    for path in company.home.rglob("*"):
        if path.is_file() and "inbox" not in path.parts:
            data = path.read_bytes().lower()
            for word in ("muster", "berg", "shop.example", "1234567", 'delivery"', "质量太差"):
                assert word.encode() not in data, path


def test_who_was_forgotten_leaves_landing_with_their_documents(company):
    forget(company, "shop:1")
    company.remove("people.csv")
    report = company.land()
    assert report.is_ok, report.messages
    assert company.rows("id", "shop__people") == [("2",)]
    assert company.rows("order_no", "shop__orders") == [("B",)]
    assert company.rows("order_no, amount", "shop__lines") == [("B", 3)]
    accounts = company.con.execute(
        "select table_name, rows_read, rows_accepted, rows_quarantined from control.contents "
        "order by all"
    ).fetchall()
    assert accounts == [
        ("letters", 2, 2, 0), ("lines", 4, 1, 3), ("orders", 3, 1, 2), ("people", 3, 1, 2),
    ]  # fmt: skip
    assert {row for row in company.summary() if row[3] == ERASED} == {
        ("shop", "lines", "lines.csv", ERASED, 3),
        ("shop", "orders", "orders.csv", ERASED, 2),
        ("shop", "people", "people.csv", ERASED, 1),
    }
    assert in_vault(company, "people", 2) == {}
    assert in_vault(company, "people", 4)["full_name"] == "Bo Berg"


def test_what_is_known_of_their_documents_goes_whatever_column_names_them_first(tmp_path):
    payments = """
      - name: payments
        config: {meta: {files: ["payments*"]}}
        columns:
          - {name: id, data_type: varchar, config: {meta: {identifies: customer}}}
          - {name: order_no, data_type: varchar, config: {meta: {identifies: order}}}
"""
    company = Company(tmp_path, contracts_of(SOURCES + payments.lstrip("\n")))
    company.put("orders.csv", ORDERS)
    company.put("lines.csv", LINES)
    company.put("payments.csv", "id,order_no\n1,A\n2,B\n1,\n")
    assert company.land().is_ok
    learn_documents(company.con, company.contracts)

    def known():
        return company.con.execute(
            "select table_name, document from control.documents order by all"
        ).fetchall()

    assert len(known()) == 3 + 3 + 2
    forget(company, "shop:1")
    assert company.land().is_ok
    learn_documents(company.con, company.contracts)
    assert known() == [("lines", "B"), ("orders", "B"), ("payments", "B")]


def test_what_is_kept_of_a_torn_line_names_nobody_forgotten(company):
    good = "order_no,amount\n" + "B,1\n" * 300
    company.put("lines_2.csv", good + "B,A;C 7\nA,two\nB,B 8\n")
    assert company.land().is_ok

    def kept():
        return company.con.execute(
            "select raw_value from control.quarantine where table_name = 'lines' "
            "and raw_value is not null order by all"
        ).fetchall()

    assert kept() == [("A;C 7",), ("B 8",), ("two",)]
    forget(company, "shop:1")
    assert company.land().is_ok
    assert kept() == [("B 8",), ("two",)]
    company.put("lines_3.csv", good + "B,C!\nB,7 C\nB,Cx\n")
    assert company.land().is_ok
    assert kept() == [("B 8",), ("Cx",), ("two",)]


def test_who_was_forgotten_is_named_by_nobody_else(tmp_path):
    firms = """
      - name: firms
        config: {meta: {files: ["firms*"], key: [id]}}
        columns:
          - {name: id, data_type: varchar, config: {meta: {identifies: customer}}}
          - {name: parent, data_type: varchar, config: {meta: {names: customer}}}
"""
    company = Company(tmp_path, contracts_of(SOURCES + firms.lstrip("\n")))
    company.put("firms.csv", "id,parent\nQ-2,\nQ-3, Q-2\nQ-4,Q-3\nQ-5,Q-22\n")
    assert company.land().is_ok
    forget(company, "shop:Q-2")
    for name in ("firms.csv", "firms_2.csv"):
        assert company.land().is_ok
        assert company.rows("id, parent", "shop__firms") == [
            ("Q-3", None), ("Q-4", "Q-3"), ("Q-5", "Q-22"),
        ]  # fmt: skip
        erasures = company.con.execute("select count(*) from control.erasures").fetchone()
        assert erasures == (1 + (name == "firms_2.csv"),), "the free blocks hold it: not noted"
        kept = list((tmp_path / "archive/shop/firms").iterdir())
        assert kept
        assert all(path.suffix == ".sealed" for path in kept)
        company.put("firms_2.csv", "id,parent\nQ-3,Q-2\nQ-4,Q-3\nQ-5,Q-22\n")


def test_a_tombstone_holds_when_files_land_again(company):
    forget(company, "shop:1")
    company.land()
    company.put("people_2.csv", PEOPLE + "1,Anna Muster,new@shop.example,,,7\n4,Di,,,,8\n")
    company.put("lines_2.csv", LINES + "D,9\nE,9\n")
    company.put("orders_2.csv", ORDERS + "D,1\nE,4\n")
    assert company.land().is_ok
    assert company.rows("id", "shop__people") == [("2",), ("4",)]
    assert company.rows("order_no", "shop__lines") == [("B",), ("B",), ("E",)]
    assert company.rows("order_no", "shop__orders") == [("B",), ("E",)]


def test_the_archive_forgets_too_and_still_lands_again(company):
    keys = find_keys(company.home, None, creates=False)
    forget(company, "shop:1")
    company.land()
    for file in ("people.csv", "orders.csv", "lines.csv", "letters.csv"):
        company.remove(file)
    for table in ("people", "orders", "lines"):
        [copy] = (company.home / "archive" / "shop" / table).iterdir()
        assert copy.suffix == ".sealed"
        label = f"shop/{table}/{copy.name.partition('.')[0]}"
        plain = company.home / "plain"
        unseal(keys, copy, plain, label)
        import gzip

        text = gzip.decompress(plain.read_bytes()).decode()
        assert "Anna" not in text
        assert "\nA," not in text
        assert "Bo Berg" in text or table != "people"
        plain.unlink()
    before = company.con.execute("from control.contents order by all").fetchall()
    company.contracts = contracts_of(
        SOURCES.replace("{name: score, data_type: integer}", "{name: score, data_type: varchar}")
    )
    assert company.land().is_ok
    after = company.con.execute("from control.contents order by all").fetchall()
    read = [(row[1], row[2], row[5]) for row in before]
    assert [(row[1], row[2], row[5]) for row in after] == read
    assert company.rows("id", "shop__people") == [("2",), ("3",)]


def test_a_wrong_missing_or_open_key_changes_nothing(company):
    file = company.home / KEY_FILE
    kept = file.read_text()
    with pytest.raises(UserError, match="not the one"):
        company.land(master_key="ab" * 32)
    file.chmod(0o640)
    with pytest.raises(UserError, match="can be read by others"):
        company.land()
    file.unlink()
    with pytest.raises(UserError, match="put the key back"):
        company.land()
    with pytest.raises(UserError, match="no key of 32 bytes"):
        company.land(master_key="short")
    assert company.land(master_key=kept).is_ok
    assert not file.exists()


def test_the_key_file_is_its_owner_s(company):
    assert os.stat(company.home / KEY_FILE).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("030 123 4567", "+49301234567"), ("+49 (0)30 1234567", "+49301234567"),
        ("0049-30-1234567", "+49301234567"), ("(030) 12 34 567 ext. 12", "+49301234567"),
        ("+1 212 555 0100", "+12125550100"), ("\uff10\uff13\uff10 1234567", "+49301234567"),
        ("+86 138 0013 8000", "+8613800138000"), ("none", None), ("12", None), ("", None),
        ("1234567890123456", None),
    ],
)  # fmt: skip
def test_a_phone_number_is_written_one_way(text, number):
    assert e164(text, "DE") == number


def test_an_email_has_one_token_however_it_is_written():
    keys = parse_key("00" * 32, "test")
    one = token(keys.token, "email", "anna@shop.example")
    assert token(keys.token, "email", " \uff21NNA@shop.EXAMPLE\n") == one
    assert token(keys.token, "text", "anna@shop.example") != one
    assert token(parse_key("01" * 32, "test").token, "email", "anna@shop.example") != one
    assert token(keys.token, "email", "  ") is None


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (5 << 19) + 7])
def test_a_sealed_file_is_what_was_sealed_or_nothing(tmp_path, size):
    keys = parse_key("00" * 32, "test")
    plain, sealed, back = (tmp_path / name for name in ("plain", "sealed", "back"))
    plain.write_bytes(os.urandom(size))
    seal(keys, plain, sealed, "a/b/c", (3, 5))
    unseal(keys, sealed, back, "a/b/c")
    assert back.read_bytes() == plain.read_bytes()
    assert header_of(keys, sealed, "a/b/c").erased == (3, 5)
    data = sealed.read_bytes()
    for wrong in (
        data[:-1],
        data[:100],
        data + b"x",
        data[:60] + bytes([data[60] ^ 1]) + data[61:],
    ):
        sealed.write_bytes(wrong)
        with pytest.raises(BrokenSealError):
            unseal(keys, sealed, back, "a/b/c")
    sealed.write_bytes(data)
    for other, label in ((keys, "a/b/d"), (parse_key("01" * 32, "test"), "a/b/c")):
        with pytest.raises(BrokenSealError):
            unseal(other, sealed, back, label)
