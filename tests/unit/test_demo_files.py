"""The demo company's files: same bytes, exact dirt, deliveries, bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import weakref
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from crm_pipeline.demo import DemoCompany, read_truth, write_corrections, write_demo
from crm_pipeline.demo.company import BLOCK_CUSTOMERS
from crm_pipeline.demo.files import corrected_file, late_files
from crm_pipeline.errors import UserError

SOURCES = Path(__file__).parents[2] / "dbt_project/models/staging/demo/_demo__sources.yml"
SIZE = 1200
"""Two blocks, the second one cut short."""
KEYS = {
    "customers": ("customer_no",),
    "products": ("sku",),
    "orders": ("order_no",),
    "order_items": ("order_no", "line_no"),
    "returns": ("return_no",),
    "payments": ("payment_no",),
    "adjustments": ("adjustment_no",),
    "memberships": ("membership_no",),
    "sessions": ("session_no",),
    "inventory": ("count_no",),
}
TIMES = {
    "customers": ("updated_at", "%d.%m.%Y %H:%M:%S"),
    "orders": ("ordered_at", "%Y-%m-%d %H:%M:%S"),
    "order_items": ("ordered_at", "%Y-%m-%d %H:%M:%S"),
    "returns": ("returned_at", "%Y-%m-%dT%H:%M:%S"),
    "payments": ("changed_at", "%Y-%m-%d %H:%M:%S"),
    "adjustments": ("adjusted_at", "%d.%m.%Y %H:%M:%S"),
    "memberships": ("changed_at", "%Y-%m-%dT%H:%M:%S"),
    "inventory": ("counted_at", "%d.%m.%Y %H:%M:%S"),
}
JSON_LINES = ("returns", "memberships")
SEMICOLONS = ("customers", "inventory", "adjustments")
SMALL = 300
"""Rows of a table below which one faulty row of each kind may be more than 3 %."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder / "inbox", folder / "truth", customers=SIZE)
    return folder / "inbox", folder / "truth"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def table_of(name: str) -> str:
    return next(t for t in sorted(KEYS, key=len, reverse=True) if name.startswith(t))


def read_rows(path: Path) -> list[dict[str, Any] | None]:
    """Every record of a file; None for one with a wrong number of fields, or broken JSON."""
    table = table_of(path.name)
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode(
        {"customers": "latin-1", "inventory": "utf-16"}.get(table, "utf-8")
    )
    if table in JSON_LINES:
        return [_json(line) for line in text.splitlines()]
    delimiter = ";" if table in SEMICOLONS else ","
    header, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [
        dict(zip(header, line, strict=True)) if len(line) == len(header) else None for line in lines
    ]


def _json(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def fault_of(table: str, row: dict[str, Any] | None) -> tuple[str, str] | None:
    """Kind and column of what is wrong with a row, by rules written without the generator's."""
    if row is None:
        return ("bad_json" if table in JSON_LINES else "ragged_line", "")
    for column in KEYS[table]:
        if row[column] in ("", None):
            return ("missing_value", column)
    if table == "adjustments":
        # a bad debt is about no article, and missing units are negative
        row = {name: row[name] for name in ("adjusted_at", "booked_amount")}
    if "sku" in row and row["sku"] in ("", None):
        return ("missing_value", "sku")
    if table in TIMES:
        column, shape = TIMES[table]
        try:
            at = datetime.strptime(row[column], shape)  # noqa: DTZ007 (files have local times)
        except ValueError:
            return ("bad_type", column)
        if at.year > 2199:
            return ("out_of_range", column)
    if row.get("paid_at") == "soon":
        return ("bad_type", "paid_at")
    for column, low in {
        "birth_year": 1900,
        "quantity": 1,
        "unit_price": 0,
        "list_price": 0,
        "amount": 0,
        "booked_amount": -1_000_000,
        "page_count": 0,
        "on_hand": 0,
    }.items():
        try:
            number = Decimal(str(row.get(column, low)))
        except ArithmeticError:
            return ("bad_type", column)
        if number < low:
            return ("out_of_range", column)
    return None


def good_rows(inbox: Path, table: str) -> list[dict[str, Any]]:
    """Sound rows of a table, one a key."""
    found = {}
    for path in sorted(inbox.iterdir()):
        if table_of(path.name) == table:
            for row in read_rows(path):
                if fault_of(table, row) is None:
                    found[tuple(row[column] for column in KEYS[table])] = row
    return list(found.values())


def test_same_arguments_same_bytes(demo, tmp_path):
    inbox, truth = demo
    write_demo(tmp_path / "inbox", tmp_path / "truth", customers=SIZE)
    assert contents(tmp_path / "inbox") == contents(inbox)
    assert contents(tmp_path / "truth") == contents(truth)


def test_writing_again_leaves_equal_files_alone(tmp_path):
    inbox, truth = tmp_path / "inbox", tmp_path / "truth"
    write_demo(inbox, truth, customers=50)
    before = {path.name: path.stat().st_mtime_ns for path in inbox.iterdir()}
    write_demo(inbox, truth, customers=50)
    assert {path.name: path.stat().st_mtime_ns for path in inbox.iterdir()} == before


def test_another_seed_is_another_company(tmp_path):
    for seed in (1, 2):
        write_demo(tmp_path / f"{seed}", tmp_path / f"truth{seed}", customers=50, seed=seed)
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert one["orders_2026-06.csv"] != two["orders_2026-06.csv"]


def test_every_faulty_row_is_counted(demo):
    inbox, truth = demo
    seen: Counter[tuple[str, str, str]] = Counter()
    rows: Counter[str] = Counter()
    for path in inbox.iterdir():
        for row in read_rows(path):
            rows[path.name] += 1
            if fault := fault_of(table_of(path.name), row):
                seen[path.name, *fault] += 1
    known = read_truth(truth)
    set_aside = known.dirt[known.dirt["is_quarantined"]]
    told = {
        (row.file_name, row.kind, row.column_name or ""): row.row_count
        for row in set_aside.fillna({"column_name": ""}).itertuples()
    }
    assert seen == told
    assert rows == dict(zip(known.files["file_name"], known.files["row_count"], strict=True))


def test_dirt_is_a_few_percent_at_most(demo):
    known = read_truth(demo[1])
    rows = known.files.groupby("table_name")["row_count"].sum()
    dirt = known.dirt.groupby("table_name")["row_count"]
    assert set(dirt.groups) == set(KEYS)
    share = (dirt.sum() / rows)[rows > SMALL]
    assert len(share) >= 8
    assert share.between(0.002, 0.03).all(), share
    assert (dirt.max()[rows <= SMALL] == 1).all()


def test_sound_rows_are_the_truth_to_the_cent(demo):
    inbox, truth = demo
    known = read_truth(truth)
    orders = good_rows(inbox, "orders")
    assert {row["order_no"]: row["customer_no"] or None for row in orders} == {
        row.order_no: None if row.customer_no != row.customer_no else row.customer_no
        for row in known.orders.itertuples()
    }
    total: Counter[str] = Counter()
    for row in good_rows(inbox, "order_items"):
        cents = Decimal(row["line_amount"]) * 100
        assert cents == Decimal(row["unit_price"]) * Decimal(row["quantity"]) * 100
        total[row["order_no"]] += int(cents)
    expected = {r.order_no: round(r.amount * 100) for r in known.orders.itertuples()}
    assert total == expected
    returned = sum(round(row["amount"] * 100) for row in good_rows(inbox, "returns"))
    assert returned >= round(known.customers["returned_amount"].sum() * 100) > 0


def test_customers_have_versions_stubs_and_prospects(demo):
    inbox, truth = demo
    known = read_truth(truth).customers
    records = {row["customer_no"] for row in good_rows(inbox, "customers")}
    assert records == set(known.loc[known["has_record"], "customer_no"])
    assert 0 < (~known["has_record"]).sum() < 0.02 * SIZE
    assert (known.loc[known["segment"].isna(), "order_count"] == 0).all()
    negative = known["returned_amount"] > known["gross_amount"]
    assert 0 < negative.sum() < 0.02 * SIZE
    versions = sum(
        fault_of("customers", row) is None
        for path in inbox.glob("customers_*")
        for row in read_rows(path)
    )
    assert versions > 1.04 * len(records)


def test_files_hold_their_month_and_the_late_file_an_earlier_one(demo):
    inbox, _ = demo
    end = DemoCompany().end
    for path in inbox.glob("orders_*"):
        months = {
            row["ordered_at"][:7] for row in read_rows(path) if fault_of("orders", row) is None
        }
        named = path.name.removeprefix("orders_")[:7]
        expected = "2026-03" if path.name in late_files(end) else named
        assert months == {expected}, path.name
    assert (inbox / "orders_2026-05_late.csv").exists()


def test_trading_hours_keep_the_day_in_utc(demo):
    inbox, _ = demo
    hours = {row["ordered_at"][11:13] for row in good_rows(inbox, "orders")}
    assert min(hours) >= "07"
    assert max(hours) <= "22"


def test_second_delivery_corrects_the_first(demo, tmp_path):
    inbox, truth = demo
    end = DemoCompany().end
    write_demo(tmp_path / "inbox", tmp_path / "truth", customers=SIZE, deliveries=True)
    first = contents(tmp_path / "inbox")
    assert set(contents(inbox)) - set(first) == set(late_files(end))
    differ = {name for name, content in first.items() if content != contents(inbox)[name]}
    assert differ == {corrected_file(end)}
    assert contents(tmp_path / "truth") == contents(truth)

    written = write_corrections(tmp_path / "inbox", tmp_path / "truth")
    assert written == sorted([corrected_file(end), *late_files(end)])
    assert contents(tmp_path / "inbox") == contents(inbox)


def test_a_block_is_the_same_alone_and_in_any_company():
    alone = DemoCompany(customers=2 * BLOCK_CUSTOMERS).block(1)
    among = DemoCompany(customers=7 * BLOCK_CUSTOMERS).block(1)
    assert alone.tables == among.tables
    assert alone.true_orders.equals(among.true_orders)


def test_blocks_are_let_go(tmp_path, monkeypatch):
    """Memory does not grow with the company: earlier blocks are gone when one is made."""
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0
    make = DemoCompany.block

    class Watched:
        def __init__(self, block):
            self.__dict__.update(vars(block))

    def watched(self, number):
        nonlocal most
        most = max(most, len(alive))
        block = Watched(make(self, number))
        alive.add(block)
        return block

    monkeypatch.setattr(DemoCompany, "block", watched)
    monkeypatch.setattr("crm_pipeline.demo.company.BLOCK_CUSTOMERS", 100)
    told: list[tuple[int, int]] = []
    write_demo(
        tmp_path / "inbox",
        tmp_path / "truth",
        customers=500,
        progress=lambda done, size: told.append((done, size)),
    )
    assert most == 1
    assert told == [(100, 500), (200, 500), (300, 500), (400, 500), (500, 500)]


@pytest.mark.parametrize("customers", [1, 2, 3])
def test_the_smallest_companies_work(tmp_path, customers):
    write_demo(tmp_path / "inbox", tmp_path / "truth", customers=customers, years=1)
    assert len(read_truth(tmp_path / "truth").customers) == customers


def test_sources_file_declares_what_is_delivered(demo):
    inbox, _ = demo
    [source] = yaml.safe_load(SOURCES.read_text(encoding="utf-8"))["sources"]
    for table in source["tables"]:
        declared = [column["name"] for column in table["columns"]]
        meta = table["config"]["meta"]
        files = [
            path
            for pattern in meta["files"]
            for suffix in ("", ".gz")
            for path in inbox.glob(pattern + suffix)
        ]
        assert files
        assert {table_of(path.name) for path in files} == {table["name"]}
        for path in files:
            assert list(next(row for row in read_rows(path) if row)) == declared, path.name
        assert tuple(meta["key"]) == KEYS[table["name"]]


def test_names_and_addresses_are_declared_direct():
    [source] = yaml.safe_load(SOURCES.read_text(encoding="utf-8"))["sources"]
    direct = {
        column["name"]
        for table in source["tables"]
        for column in table["columns"]
        if column.get("config", {}).get("meta", {}).get("pii") == "direct"
    }
    assert direct == {"full_name", "email", "birth_date"}


def test_other_files_of_the_inbox_stay(tmp_path):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "mine.txt").write_text("kept")
    write_demo(tmp_path / "inbox", tmp_path / "truth", customers=5)
    assert (tmp_path / "inbox" / "mine.txt").read_text() == "kept"
    assert not list((tmp_path / "inbox").glob(".*"))


@pytest.mark.parametrize(("field", "value"), [("customers", 0), ("years", 0), ("years", 21)])
def test_impossible_sizes_are_refused(tmp_path, field, value):
    with pytest.raises(UserError, match=field):
        write_demo(tmp_path / "inbox", tmp_path / "truth", **{field: value})


def test_unwritable_inbox_is_named(tmp_path):
    (tmp_path / "inbox").write_text("a file, not a folder")
    with pytest.raises(UserError, match="inbox"):
        write_demo(tmp_path / "inbox", tmp_path / "truth", customers=5)


def test_corrections_need_a_company(tmp_path):
    with pytest.raises(UserError, match="no demo company"):
        write_corrections(tmp_path / "inbox", tmp_path / "truth")
