"""Known identifiers of every kind land, and are found nowhere but in the inbox.

A source with names, e-mails, phones, addresses and free text, in English and Chinese, goes through
landing, a changed contract, a refused file, a quarantine, a backup and an erasure.
"""

from __future__ import annotations

import base64
import gzip
import logging
import zlib
from dataclasses import replace
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pytest

from crm_pipeline.repair.vault import examine
from crm_pipeline.settings import load_settings
from tests.pipeline.needles import Needles
from tests.unit.landing_support import Company, contracts_of
from tests.unit.test_vault import forget

SOURCES = """
sources:
  - name: desk
    config: {meta: {country: CN, namespace: shop}}
    tables:
      - name: people
        config: {meta: {files: ["people*.csv"], key: [id], max_quarantine_rate: 0.8}}
        columns:
          - {name: id, data_type: varchar, config: {meta: {identifies: customer}}}
          - {name: full_name, data_type: varchar, config: {meta: {pii: direct}}}
          - {name: email, data_type: varchar, config: {meta: {pii: direct, token: email}}}
          - {name: phone, data_type: varchar, config: {meta: {pii: direct, token: phone}}}
          - {name: address, data_type: varchar, config: {meta: {pii: direct, token: text}}}
          - {name: comment, data_type: varchar, config: {meta: {pii: direct, text: scores}}}
          - {name: score, data_type: integer, config: {meta: {maximum: 10}}}
      - name: reviews
        config: {meta: {files: ["reviews*.jsonl"], format: jsonl}}
        columns:
          - {name: review, data_type: varchar, config: {meta: {pii: direct, text: scores}}}
          - {name: stars, data_type: integer}
"""
PERSONAL = ("full_name", "email", "phone", "address", "comment")
PEOPLE = [
    ("1", "Quirina Zabelthau", "quirina.z@needle.example", "+86 138 7719 4402",
     "Kirchgassl 17b, Obermenzing", "Quirina told me that the delivery was great", "9"),
    ("2", "欧阳静怡", "jingyi.ouyang@needle.example", "139 5582 0917", "朝阳区建国路八十八号院",
     "欧阳女士说质量太差,要求退货", "2"),
    ("3", "Zoë Ångström-Félix", "zoe@needle.example", "00 46 8 5519 3375", "Söder Mälarstrand 9",
     "Please call Zoë Ångström, the courier was rude", "bad"),
    ("4", "Bartholomew Quince", "BQuince@Needle.example", "021 6688 1204", "14 Pudding Lane, EC3R",
     "Bartholomew said he would never buy here again", "99"),
]  # fmt: skip
REVIEW = "Sieglinde Hufnagl from Traunstein hates the fabric"
IDENTIFIERS = [
    *(value for row in PEOPLE for value in row[1:6]),
    REVIEW, "Sieglinde Hufnagl", "欧阳女士", "Zoë Ångström,", "needle.example",
    "+8613877194402", "13955820917", "+4685519 3375".replace(" ", ""), "862166881204",
]  # fmt: skip


def deliver(company: Company) -> None:
    header = ",".join(("id", *PERSONAL, "score"))
    rows = [",".join(f'"{value}"' for value in row) for row in PEOPLE]
    torn = '5,"Gundula Vierthaler,torn@needle.example\n'
    company.put("people.csv", "\n".join([header, *rows]) + "\n" + torn, "desk")
    company.put("reviews.jsonl", f'{{"review": "{REVIEW}", "stars": 1}}\n{{"review": 3\n', "desk")
    # a file that is refused: its columns were renamed, and a row of values is where names belong
    company.put("people_2.csv", ";".join(PEOPLE[0]) + "\n" + ";".join(PEOPLE[1]) + "\n", "desk")


@pytest.fixture
def needles() -> Needles:
    return Needles([*IDENTIFIERS, "Gundula Vierthaler"])


def everywhere(company: Company, needles: Needles, caplog) -> dict[str, set[str]]:
    company.con.close()
    (company.home / "logs").mkdir(exist_ok=True)
    (company.home / "logs" / "log").write_text(caplog.text)
    found = needles.below(company.home)
    company.con = duckdb.connect(str(company.home / "warehouse.duckdb"))
    return found


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_no_identifier_is_found_outside_the_inbox(tmp_path, needles, caplog, encoding):
    caplog.set_level(logging.DEBUG)
    text = SOURCES.replace("key: [id],", f"key: [id], encoding: {encoding},")
    company = Company(tmp_path, contracts_of(text))
    deliver(company)
    if encoding != "utf-8":
        file = company.home / "inbox" / "desk" / "people.csv"
        company.put("people.csv", file.read_text(encoding="utf-8").encode(encoding), "desk")
    report = company.land()
    assert {f.file_name: f.outcome for f in report.files}["people_2.csv"] == "refused"
    said = "\n".join([*report.messages, *(t.message for t in report.tables.values())])
    assert needles.in_bytes(said.encode()) == set()
    assert [row[0] for row in company.rows("id", "desk__people")] == ["1", "2"]
    assert everywhere(company, needles, caplog) == {}
    company.contracts = contracts_of(text.replace(", config: {meta: {maximum: 10}}", ""))
    company.land()
    assert [row[0] for row in company.rows("id", "desk__people")] == ["1", "2", "4"]
    forget(company, "shop:1")
    company.land()
    assert [row[0] for row in company.rows("id", "desk__people")] == ["2", "4"]
    assert everywhere(company, needles, caplog) == {}


@pytest.mark.parametrize("column", [*PERSONAL, "review"])
def test_with_the_split_switched_off_for_one_column_it_is_found(tmp_path, needles, caplog, column):
    contracts = contracts_of(SOURCES)
    desk = contracts["desk"]
    tables = tuple(
        replace(
            table,
            columns=tuple(
                replace(c, pii=None, token=None, text=None) if c.name == column else c
                for c in table.columns
            ),
        )
        for table in desk.tables
    )
    company = Company(tmp_path, {"desk": replace(desk, tables=tables)})
    deliver(company)
    company.land()
    found = everywhere(company, needles, caplog)
    values = {REVIEW} if column == "review" else {r[1 + PERSONAL.index(column)] for r in PEOPLE[:2]}
    assert values <= set().union(*found.values())
    assert any(name.startswith("warehouse.duckdb") for name in found)


@pytest.mark.parametrize(
    "hide",
    [
        lambda t: t.encode(), lambda t: t.upper().encode(), lambda t: t.encode("utf-16-le"),
        lambda t: t.encode("utf-16-be"), lambda t: t.encode("gb18030"),
        lambda t: base64.b64encode(b"x" + t.encode() + b"yz"), lambda t: t.encode().hex().encode(),
        lambda t: quote(t).encode(), lambda t: b"abc" + gzip.compress(t.encode()) + b"d",
        lambda t: b"ab" + zlib.compress(t.encode()), lambda t: pa.compress(
            t.encode(), codec="zstd", asbytes=True
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["quirina.z@needle.example", "朝阳区建国路八十八号院"])
def test_the_search_finds_what_is_hidden(tmp_path, hide, text):
    (tmp_path / "file").write_bytes(b"before " + hide(text) + b" after")
    assert Needles([text]).below(tmp_path) == {"file": {text}}


def test_vault_and_warehouse_are_held_against_each_other(tmp_path):
    company = Company(tmp_path, contracts_of(SOURCES))
    deliver(company)
    company.land()
    company.con.close()
    settings = load_settings({"CRM_HOME": str(tmp_path)})
    (tmp_path / "tmp").mkdir(exist_ok=True)
    assert examine(settings, company.contracts) == []
    from crm_pipeline.vault.store import open_vault

    with open_vault(tmp_path, None) as vault:
        vault.con.execute("delete from sealed where column_name = 'email' and line = 2")
        vault.con.execute("update sealed set line = 77 where column_name = 'full_name'")
    said = [str(finding) for finding in examine(settings, company.contracts)]
    assert "1 personal values of desk.people are not in the vault" in said[0]
    assert "the vault holds 1 values of desk.people that no row stands behind" in said[1]
    (tmp_path / "master.key").chmod(0o644)
    [finding] = examine(settings, company.contracts)
    finding.mend()
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
