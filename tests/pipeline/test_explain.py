"""``crm explain`` on a real home: every figure from its facts, every fact from a line of a file."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.errors import UserError
from crm_pipeline.explain import purchases
from crm_pipeline.explain.customer import look_up
from crm_pipeline.explain.figures import prove
from crm_pipeline.explain.metrics import METRICS
from crm_pipeline.explain.trace import Fact, Tracer, facts_of
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.warehouse import exclusive
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.support import copy_home, crm, published, succeeded
from tests.pipeline.test_bad_input import call

ALL = 10**6


@pytest.fixture(scope="module")
def db(tiny_home: Path):
    with published(tiny_home) as connection:
        yield connection


@pytest.fixture(scope="module")
def tracer(tiny_home: Path):
    manifest = ensure_manifest()
    with duckdb.connect(str(tiny_home / "warehouse.duckdb"), read_only=True) as warehouse:
        yield Tracer(warehouse, manifest, sources_from_manifest(manifest))


@pytest.fixture(scope="module")
def elsewhere(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, for commands called in this process, which holds connections to the home itself."""
    return copy_home(tiny_home, tmp_path_factory.mktemp("elsewhere") / "home")


def months(db: duckdb.DuckDBPyConnection) -> list[date]:
    return [row[0] for row in db.execute("select month from marts.kpi_monthly").fetchall()]


def record(home: Path, place: str) -> dict[str, str]:
    """Return what stands in a line of a delivered file, read by nothing of the pipeline."""
    name, _, line = place.rpartition(":")
    file = home / "inbox" / name
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    lines = content.decode().splitlines()
    if ".jsonl" in name:
        found = json.loads(lines[int(line) - 1])
        assert isinstance(found, dict)
        return {key: str(value) for key, value in found.items()}
    return dict(zip(next(csv.reader(lines)), next(csv.reader([lines[int(line) - 1]])), strict=True))


def text_at(home: Path, place: str) -> str:
    """Return what stands there as text, whatever the file's format, encoding and delimiter."""
    name, _, line = place.rpartition(":")
    file = home / "inbox" / name
    if file.suffix == ".parquet":
        return str(pd.read_parquet(file).iloc[int(line) - 1].to_dict())
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return content.decode(errors="replace").split("\n")[int(line) - 1]


def test_every_figure_of_kpi_monthly_is_explainable(db):
    columns = db.execute(
        "select column_name from duckdb_columns() where table_name = 'kpi_monthly' "
        "and column_name not in ('month', 'is_complete')"
    ).fetchall()
    assert {name for (name,) in columns} == set(METRICS)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_a_figure_equals_what_its_facts_give_in_every_month(db, metric):
    proofs = [prove(db, metric, month, 0) for month in months(db)]
    assert [(p.month, p.published, p.recomputed) for p in proofs if not p.holds] == []
    # so small a company has few sales and answers
    least = 3 if metric in purchases.METRICS else 1
    assert len({proof.published for proof in proofs}) > least, "nothing was tested"
    assert all(proof.definition for proof in proofs)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_a_figure_that_is_not_its_facts_is_seen(tiny_home, tmp_path, metric):
    """One unit of a facts' amounts, or one order, more or fewer."""
    file = tmp_path / "crm.duckdb"
    shutil.copyfile(tiny_home / "published" / "crm.duckdb", file)
    with duckdb.connect(str(file)) as db:
        db.execute(
            f"update marts.kpi_monthly set {metric} = coalesce({metric}, 0) + 0.01 "
            "where month = '2026-03-01'"
        )
        if metric.endswith(("count", "customers", "start", "end")):
            db.execute(f"update marts.kpi_monthly set {metric} = {metric} + 1")
        assert not prove(db, metric, date(2026, 3, 1), 0).holds


def test_the_proof_names_the_terms_and_gives_the_greatest_facts(db):
    proof = prove(db, "net_amount", date(2026, 3, 1), 3)
    gross, returned = proof.totals
    [counted] = db.execute(
        "select count(*), sum(line_amount) from marts.fct_order_items "
        "where date_trunc('month', ordered_on) = '2026-03-01'"
    ).fetchall()
    assert (gross.count, gross.sum) == counted
    assert len(gross.facts) == 3
    assert gross.facts["amount"].is_monotonic_decreasing
    assert proof.published == (gross.sum - returned.sum).quantize(Decimal("0.01"))


def test_every_line_of_a_month_is_found_in_its_file(tiny_home, db, tracer):
    frame = prove(db, "gross_amount", date(2026, 3, 1), ALL).totals[0].facts
    facts = facts_of(frame)
    places = tracer.places(facts)
    assert len(facts) > 50
    for fact, row in zip(facts, frame.itertuples(), strict=True):
        [place] = places[fact]
        found = record(tiny_home, place)
        assert f"demo:{found['order_no'].strip()}" == fact.key
        assert int(found["line_no"]) == row.line_number
        assert Decimal(found["line_amount"]) == Decimal(str(row.amount))
    assert len({place for [place] in places.values()}) == len(facts)


def test_every_return_and_order_is_found_in_its_file(tiny_home, db, tracer):
    frame = prove(db, "returned_amount", date(2026, 3, 1), ALL).totals[0].facts
    returns = facts_of(frame)
    assert returns
    for fact, place in tracer.places(returns).items():
        assert f"demo:{record(tiny_home, place[0])['return_no'].strip()}" == fact.key
    orders = facts_of(prove(db, "order_count", date(2026, 3, 1), ALL).totals[0].facts)
    assert orders
    for fact, place in tracer.places(orders).items():
        assert f"demo:{record(tiny_home, place[0])['order_no'].strip()}" == fact.key


@pytest.mark.parametrize(
    "metric",
    ["ticket_count", "contact_count", "csat_count", "session_count", "opened_opportunity_count",
     "lead_count", "touch_count", "campaign_cost_amount"],
)  # fmt: skip
def test_every_fact_of_the_other_areas_is_found_in_its_file(tiny_home, db, tracer, metric):
    """In the first month that has any."""
    found = (facts_of(prove(db, metric, month, ALL).totals[0].facts) for month in months(db))
    facts = next(filter(None, found))
    places = tracer.places(facts)
    assert len(places) == len(facts)
    for fact, [place] in places.items():
        assert fact.number in text_at(tiny_home, place)


def test_every_customers_figures_are_what_their_orders_give(db):
    keys = [k for (k,) in db.execute("select customer_key from marts.customer_360").fetchall()]
    found = [look_up(db, key, 2) for key in keys]
    assert [customer.key for customer in found if not customer.holds] == []
    assert any(customer.return_count for customer in found)
    assert any(customer.order_count > 2 == len(customer.orders) for customer in found)
    # without order or return there is nothing to add up
    assert any(set(customer.figures) == {"order_count"} for customer in found)


def test_a_customer_whose_figures_are_not_the_facts_is_seen(tiny_home, tmp_path):
    file = tmp_path / "crm.duckdb"
    shutil.copyfile(tiny_home / "published" / "crm.duckdb", file)
    with duckdb.connect(str(file)) as db:
        db.execute("update marts.customer_360 set gross_amount = gross_amount + 0.01")
        row = db.execute("select max(customer_key) from marts.customer_value").fetchone()
        assert row is not None
        customer = look_up(db, row[0], 1)
    assert not customer.holds
    assert [n for n, (one, other) in customer.figures.items() if one != other] == ["gross_amount"]


# The command


def test_the_command_shows_figure_proof_and_lines(tiny_home):
    out = succeeded(crm(tiny_home, "explain", "net_amount", "2026-03", "--limit", "2"))
    assert "gross - returned = " in out
    assert "equals the published figure" in out
    assert "gross_amount minus returned_amount." in out
    assert out.count("  demo:A") == 2
    assert out.count("demo/order_items_2026-0") == 2


def test_the_command_shows_a_customer(tiny_home, db):
    row = db.execute(
        "select customer_key, order_count, birth_year from marts.customer_360 "
        "where returned_amount > 0 and birth_year > 1000 and is_marketing_allowed "
        "order by order_count desc, customer_key limit 1"
    ).fetchone()
    assert row is not None
    out = succeeded(crm(tiny_home, "explain", row[0], "--limit", "1000"))
    assert f"orders: {row[1]} of {row[1]}" in out
    lines = [line for line in out.splitlines() if line.startswith("    line ")]
    assert lines
    assert all("  demo/order_items_" in line for line in lines)
    assert "  demo/returns_" in out
    assert "BUT" not in out
    assert "churn_status = " in out
    assert f"  birth_year = {row[2]}\n" in out
    assert "  is_marketing_allowed = true\n" in out
    assert " 1 lines" not in out


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("net_amunt", "2026-03"), "near are net_amount"),
        (("net_amount", "2036-03"), "2036-03 is not published; months are from 2024-07 to 2026-06"),
        (("net_amount", "March"), "March is not a month; write it as 2026-11"),
        (("net_amount",), "no month is not a month"),
        (("demo:K00000145",), "near are demo:K0000014"),
        (("demo:K0000014", "2026-03"), "leave the month out"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(elsewhere, monkeypatch, capsys, asked, words):
    assert call(elsewhere, monkeypatch, "explain", *asked) == 2
    assert words in capsys.readouterr().err


def test_under_a_run_the_proof_is_shown_and_the_rest_named(tiny_copy, monkeypatch, capsys):
    monkeypatch.setattr("crm_pipeline.commands.explain._WAIT_SECONDS", 0.2)
    with exclusive(tiny_copy / "warehouse.duckdb.lock", wait_seconds=0):
        assert call(tiny_copy, monkeypatch, "explain", "net_amount", "2026-03") == 2
    said = capsys.readouterr()
    assert "files and lines are in the warehouse, which cannot be read now" in said.err
    assert "equals the published figure" in said.out


# Sources that number their orders and returns otherwise

RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom
536365,85123A,HEART,2,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
C536379,D,DISCOUNT,-1,2010-12-01 09:41:00,27.50,14527.0,United Kingdom
C536379,71053,LANTERN,-1,2010-12-01 09:41:00,3.39,14527.0,United Kingdom
"""
CDNOW = """ customer_id date number_of_cds dollar_value
 00001 19970101  1   11.77
 00001 19970101  2   20.00
 00001 19970112  1   12.00
"""


@pytest.fixture(scope="module")
def other_sources(tmp_path_factory):
    home = tmp_path_factory.mktemp("others")
    landed = LandedWarehouse(home, sources=("online_retail", "cdnow"))
    for name, content in (
        ("online_retail/a.csv", RETAIL),
        ("cdnow/CDNOW_master.txt", CDNOW),
    ):
        (home / "inbox" / name).parent.mkdir(parents=True)
        (home / "inbox" / name).write_text(content)
        (home / "inbox" / f"{name}.done").touch()
    report = landed.land()
    assert [file.outcome for file in report.files] == ["landed", "landed"]
    manifest = ensure_manifest()
    with landed.connection() as db:
        yield Tracer(db, manifest, sources_from_manifest(manifest))


@pytest.mark.parametrize(
    ("fact", "lines"),
    [
        (Fact("line", "online_retail:536365", "online_retail:71053"), [3]),
        (Fact("line", "online_retail:536365", "online_retail:85123A", 1), [2]),
        (Fact("line", "online_retail:536365", "online_retail:85123A", 2), [4]),
        (Fact("line", "online_retail:536365", "online_retail:85123A", 3), []),
        (Fact("order", "online_retail:536365"), [2, 3, 4]),
        (Fact("return", "online_retail:C536379-2", "online_retail:71053"), [6]),
        (Fact("order", "online_retail:999999"), []),
        (Fact("order", "no_such_source:1"), []),
    ],
)
def test_facts_of_online_retail(other_sources, fact, lines):
    assert other_sources.places([fact]) == {fact: [f"online_retail/a.csv:{n}" for n in lines]}


@pytest.mark.parametrize(("number", "line"), [(1, 2), (2, 3)])
def test_a_source_without_order_numbers_is_searched_by_customer_and_day(
    other_sources, number, line
):
    fact = Fact(
        "line", f"cdnow:00001-1997-01-01-{number}", "cdnow:CD", 1, "cdnow:00001", date(1997, 1, 1)
    )
    assert other_sources.places([fact]) == {fact: [f"cdnow/CDNOW_master.txt:{line}"]}


def test_an_unknown_horizon_is_said(tiny_home, tmp_path):
    file = tmp_path / "crm.duckdb"
    shutil.copyfile(tiny_home / "published" / "crm.duckdb", file)
    with duckdb.connect(str(file)) as db:
        db.execute("alter table meta.build drop column horizon_days")
        with pytest.raises(UserError, match="older crm-pipeline"):
            prove(db, "churn_rate", date(2026, 3, 1), 0)
