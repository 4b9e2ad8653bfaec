"""Contracts: what a sources file may say, and the sentence when it says something else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from crm_pipeline.defs.landing.settings_table import NO_CURRENCY, reporting_currency
from crm_pipeline.errors import UserError
from crm_pipeline.settings import load_settings
from tests.unit.landing_support import contracts_of, shop

FULL = """
sources:
  - name: elsewhere
    schema: other
    tables: [{name: t, columns: [{name: x, data_type: nonsense}]}]
  - name: shop
    config:
      meta: {namespace: people, time_zone: Europe/London, currency: GBP, as_of: 2020-01-31}
    tables:
      - name: orders
        config:
          meta:
            files: ["*.csv"]
            delimiter: ";"
            null_tokens: ["", "NULL"]
            timestamp_format: "%d.%m.%Y"
            key: [id]
            version: changed_at
            event_time: ordered_at
            expected_every_days: 1
            max_quarantine_rate: 0.5
        columns:
          - {name: id, data_type: VARCHAR, config: {meta: {header: " Order ID "}}}
          - {name: ordered_at, data_type: timestamp}
          - {name: changed_at, data_type: timestamp}
          - {name: amount, data_type: "numeric(12, 2)", config: {meta: {minimum: 0}}}
          - {name: email, data_type: text, config: {meta: {pii: direct}}}
"""


def test_a_contract_is_read_as_written():
    contracts = contracts_of(FULL)
    assert list(contracts) == ["shop"]
    source = contracts["shop"]
    assert (source.namespace, source.currency, source.as_of) == ("people", "GBP", date(2020, 1, 31))
    [table] = source.tables
    assert (table.delimiter, table.quote, table.header) == (";", '"', True)
    assert (table.timestamp_formats, table.time_zone) == (("%d.%m.%Y",), "Europe/London")
    assert [column.name for column in table.stored_columns] == [
        "id", "ordered_at", "changed_at", "amount",
    ]  # fmt: skip
    assert table.is_sealed
    assert table.has_personal_columns
    assert table.column("id").required
    assert table.column("id").header == "Order ID"
    assert table.column("amount").data_type == "decimal(12,2)"
    assert table.column("ordered_at").minimum == "1900-01-01"
    assert table.column("changed_at").minimum == "0001-01-01"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("time_zone: Europe/London", "time_zone: Mars", "time_zone 'Mars' is unknown"),
        ("as_of: 2020-01-31", "as_of: someday", "as_of is 'someday'; write a date"),
        ("namespace: people", "name_space: people", "unknown setting name_space"),
        ('files: ["*.csv"]', "patterns: [x]", "unknown setting patterns"),
        ('files: ["*.csv"]', "format: csv", "files is missing"),
        ('files: ["*.csv"]', 'files: ["*"]\n            format: xml', "format is 'xml'"),
        ('delimiter: ";"', "delimiter: auto", "delimiter is 'auto'; write the character itself"),
        ('delimiter: ";"', "quote: ab", "quote is 'ab'; write one character, or null"),
        ('delimiter: ";"', "encoding: utf-99", "encoding 'utf-99' is unknown"),
        ('delimiter: ";"', "header: maybe", "header is 'maybe'; write true or false"),
        ("key: [id]", "key: [nope]", "key names no column: nope"),
        ("key: [id]", "key: [email]", "key email is personal (pii: direct) and never stored"),
        ("event_time: ordered_at", "event_time: id", "event_time id is varchar"),
        ("minimum: 0", "happens_at: id", "column amount: happens_at names no time: id"),
        ("minimum: 0", "names: order", "column amount: names is 'order'; write customer"),
        ("pii: direct", "pii: direct, names: customer", "column email: names: customer"),
        ("minimum: 0", "until_then: x", "until_then is 'x' on a decimal(12,2)"),
        ("pii: direct", "until_then: x", "column email has until_then; write happens_at with it"),
        ("pii: direct", "pii: direct, happens_at: changed_at", "column email has happens_at"),
        ("max_quarantine_rate: 0.5", "max_quarantine_rate: 50", "write a number from 0 to 1"),
        ("data_type: VARCHAR", "data_type: blob", "column id: data_type is 'blob'"),
        ('"numeric(12, 2)"', '"decimal(50,2)"', "a decimal has at most 38 digits"),
        ("minimum: 0", "minimum: low", "minimum is 'low'"),
        ("name: changed_at", "name: _line", "the name '_line'"),
        ("name: changed_at", "name: ID", "column id is declared twice"),
        ('null_tokens: ["", "NULL"]', "null_tokens: [1]", "null_tokens is [1]"),
        ('null_tokens: ["", "NULL"]', 'null_tokens: ["a;b"]', "null_tokens holds 'a;b'"),
        ("name: orders", "name: or ders", "the name 'or ders'"),
        ("name: orders", "name: orders\n        identifier: x", "write shop__orders"),
    ],
)
def test_faults_are_named_with_place_and_remedy(old, new, said):
    assert old in FULL
    with pytest.raises(UserError) as raised:
        contracts_of(FULL.replace(old, new))
    assert said in str(raised.value)
    assert "models/staging/shop/_sources.yml" in str(raised.value)


def test_the_digest_follows_what_decides_the_rows_and_nothing_else():
    def digest(columns: str | None = None, **settings: object) -> str:
        return shop(columns, **settings)["shop"].tables[0].digest

    plain = digest()
    same = digest(files=["x"], max_quarantine_rate=0.1, expected_every_days=3, key=[])
    assert same == plain
    others = [
        digest(delimiter=";"),
        digest(encoding="latin-1"),
        digest(null_tokens=["?"]),
        digest(time_zone="Europe/London"),
        digest(key=["name"]),
        digest("- {name: id, data_type: bigint}"),
        digest("- {name: id, data_type: varchar}"),
        digest("- {name: id, data_type: bigint, config: {meta: {pii: x}}}"),
    ]
    assert len({plain, *others}) == len(others) + 1


def test_a_home_without_amounts_needs_no_currency():
    contract = contracts_of(FULL)["shop"]
    company = {
        name: replace(contract, name=name, currency=currency)
        for name, currency in (("desk", None), ("shop", "GBP"), ("mill", "EUR"))
    }

    def currency_of(sources: str, **said: str) -> str:
        return reporting_currency(load_settings({"CRM_SOURCES": sources, **said}), company)

    assert currency_of("desk") == NO_CURRENCY == "XXX"
    assert currency_of("desk,shop") == "GBP"
    assert currency_of("desk", CRM_CURRENCY="CHF") == "CHF"
    with pytest.raises(UserError, match="currencies differ"):
        currency_of("shop,mill")


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ("pii: direct, token: name", "token is 'name'; use one of email, phone, text"),
        ("pii: direct, text: all", "text is 'all'; write scores"),
        ("token: email", "token: email without pii: direct"),
        ("text: scores", "text: scores without pii: direct"),
        ("pii: direct, token: text, text: scores", "token and text; write one of them"),
        ("pii: direct, identifies: customer", "let a token stand for it"),
        ("pii: direct, token: email, identity: lower(note)", "identity on a token"),
        ("pii: direct, token: phone", "such as country: DE"),
        ("pii: direct, token: email, header: x", "column note_token is declared twice"),
    ],
)
def test_faults_of_personal_columns_are_named(meta, said):
    other = "note_token" if "header" in meta else "other"
    columns = f"""
    - {{name: id, data_type: bigint}}
    - {{name: {other}, data_type: varchar}}
    - {{name: note, data_type: varchar, config: {{meta: {{{meta}}}}}}}
    """
    with pytest.raises(UserError) as raised:
        shop(columns)
    assert said in str(raised.value)


def test_what_stands_in_a_personal_columns_place_is_part_of_the_table():
    def table(note: str, **settings: object):
        columns = f"""
        - {{name: id, data_type: bigint}}
        - {{name: note, data_type: varchar, config: {{meta: {{{note}}}}}}}
        """
        return shop(columns, **settings)["shop"].tables[0]

    def stored(note: str):
        return [(column.name, column.data_type) for column in table(note).stored_columns[1:]]

    assert stored("pii: direct") == []
    assert stored("pii: direct, token: text") == [("note_token", "varchar")]
    assert stored("pii: direct, text: scores") == [
        ("note_length", "integer"), ("note_language", "varchar"),
        ("note_sentiment", "double"), ("note_topics", "varchar"),
    ]  # fmt: skip
    assert table("pii: direct, token: text", key=["note"]).key == ("note_token",)
    digests = {
        table(note).digest
        for note in ("pii: direct", "pii: direct, token: text", "pii: direct, token: email",
                     "pii: direct, text: scores")
    }  # fmt: skip
    assert len(digests) == 4
