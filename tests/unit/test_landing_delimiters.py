"""Several delimiters in one table: the header decides, strictly; no value is looked at."""

from __future__ import annotations

import codecs

import pytest

from crm_pipeline.errors import UserError
from tests.unit.landing_support import Company, shop

EITHER = ["\t", ";"]
TAB = "id\tname\tamount\n1\tone;two\t1.50\n2\t\t2\n"
SEMICOLON = "id;name;amount\r\n1;\"one;two\";1.50\r\n2;;2\r\n"  # fmt: skip


@pytest.mark.parametrize(
    "data", [TAB.encode(), SEMICOLON.encode(), codecs.BOM_UTF8 + SEMICOLON.encode()]
)
def test_either_delimiter_gives_the_same_rows(tmp_path, data):
    company = Company(tmp_path, shop(delimiter=EITHER))
    company.put("orders.csv", data)
    assert company.land().is_ok
    rows = company.rows("id, name, cast(amount as varchar), _line")
    assert rows == [(1, "one;two", "1.50", 2), (2, None, "2.00", 3)]


def test_files_of_both_kinds_stand_side_by_side(tmp_path):
    company = Company(tmp_path, shop(delimiter=EITHER, key=["id"]))
    company.put("orders_a.csv", TAB)
    company.put("orders_b.csv", "id;amount;name\n2;3;x\n")
    assert company.land().is_ok
    assert company.rows("id, _file") == [(1, "orders_a.csv"), (2, "orders_b.csv")]


def test_records_are_cut_by_the_delimiter_of_their_file(tmp_path):
    company = Company(tmp_path, shop(delimiter=[",", ";"]))
    company.put("orders.csv", 'id;name;amount\n1;"a\nb";1\n2;c\n3;d,e;2\n')
    company.land()
    assert company.rows("id, name") == [(1, "a\nb"), (3, "d,e")]
    assert [row[2] for row in company.quarantine()] == ["ragged_line"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("id,name,amount\n1,a,1\n", "by none of them"),
        ("id\tname;amount\n1\ta;1\n", "by several of them"),
        ("id name amount\n1 a 1\n", "by none of them"),
    ],
)
def test_a_header_that_leaves_a_doubt_is_refused(tmp_path, data, reason):
    company = Company(tmp_path, shop(delimiter=EITHER))
    company.put("orders.csv", data)
    report = company.land()
    assert company.rows() == []
    [message] = [text for text in report.messages if "delimiter" in text]
    assert reason in message
    assert "expected the columns id, name, amount" in message
    assert "set `delimiter` in models/staging/shop/_sources.yml" in message


def test_an_empty_file_is_called_empty(tmp_path):
    company = Company(tmp_path, shop(delimiter=EITHER))
    company.put("orders.csv", "\n")
    assert any("it is empty" in text for text in company.land().messages)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"delimiter": EITHER, "header": False}, "several delimiters need a header"),
        ({"delimiter": [";", ";"]}, "list different characters"),
        ({"delimiter": []}, "list different characters"),
        ({"delimiter": [";", None]}, "list different characters"),
        ({"delimiter": [";", 1]}, "write a text in quotes"),
        ({"delimiter": ["auto"]}, "write the character itself"),
        ({"delimiter": EITHER, "quote": ";"}, "it cannot be the delimiter as well"),
        ({"delimiter": EITHER, "null_tokens": ["a;b"]}, "a token has no delimiter"),
        ({"delimiter": EITHER, "format": "jsonl"}, "only files of format csv have several"),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused(settings, fault):
    with pytest.raises(UserError, match=fault):
        shop(**settings)


def test_the_list_is_part_of_how_files_are_read():
    one, listed, both = (
        shop(delimiter=delimiter)["shop"].tables[0] for delimiter in (";", [";"], [";", "\t"])
    )
    assert one.digest == listed.digest != both.digest
