"""The inbox: complete or not, whose file it is, and what is left alone with a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crm_pipeline.defs.landing import inbox as module
from crm_pipeline.defs.landing.inbox import scan_inbox, wait_until_settled
from tests.unit.landing_support import contracts_of

CONTRACTS = contracts_of(
    """
    sources:
      - name: shop
        tables:
          - name: orders
            config: {meta: {files: ["orders*.csv"]}}
            columns: [{name: id, data_type: bigint}]
          - name: people
            config: {meta: {files: ["*people*.csv", "orders_people.csv"]}}
            columns: [{name: id, data_type: bigint}]
    """
)
NOW = 1_700_000_000.0


def put(root: Path, name: str, age: float, source: str = "shop") -> Path:
    path = root / source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("id\n")
    os.utime(path, (NOW - age, NOW - age))
    return path


def names(files) -> list[str]:
    return [f"{file.table}/{file.path.name}" for file in files]


def test_a_file_is_complete_after_two_quiet_seconds(tmp_path):
    put(tmp_path, "orders_1.csv", age=2.0)
    put(tmp_path, "orders_2.csv", age=1.9)
    scan = scan_inbox(tmp_path, CONTRACTS, now=lambda: NOW)
    assert names(scan.ready) == ["orders/orders_1.csv"]
    assert names(scan.waiting) == ["orders/orders_2.csv"]


def test_a_done_marker_counts_unless_it_is_older_than_the_file(tmp_path):
    put(tmp_path, "orders.csv", age=0.5)
    put(tmp_path, "orders.csv.done", age=0.5)
    put(tmp_path, "people.csv", age=0.5)
    put(tmp_path, "people.csv.done", age=60)
    scan = scan_inbox(tmp_path, CONTRACTS, now=lambda: NOW)
    assert names(scan.ready) == ["orders/orders.csv"]
    assert names(scan.waiting) == ["people/people.csv"]


def test_a_time_in_the_future_is_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.01)
    put(tmp_path, "orders.csv", age=-3600)
    assert names(scan_inbox(tmp_path, CONTRACTS, now=lambda: NOW).ready) == ["orders/orders.csv"]


def test_names_decide_the_table_whatever_case_and_compression(tmp_path):
    for name in ("ORDERS_1.CSV", "orders_2.csv.gz", "My_People.csv"):
        put(tmp_path, name, age=9)
    scan = scan_inbox(tmp_path, CONTRACTS, now=lambda: NOW)
    assert names(scan.ready) == [
        "orders/ORDERS_1.CSV",
        "orders/orders_2.csv.gz",
        "people/My_People.csv",
    ]
    assert scan.problems == ()


def test_what_is_left_alone_is_named_with_a_remedy(tmp_path):
    put(tmp_path, "orders_people.csv", age=9)
    put(tmp_path, "notes.txt", age=9)
    put(tmp_path, "x.csv", age=9, source="shopp")
    put(tmp_path, "deep/orders.csv", age=9)
    put(tmp_path, ".hidden", age=9)
    (tmp_path / "stray.csv").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "shop" / "orders_gone.csv").symlink_to("nowhere")
    scan = scan_inbox(tmp_path, CONTRACTS, now=lambda: NOW)
    assert scan.ready == ()
    text = "\n".join(scan.problems)
    for part in (
        "inbox/shop/orders_people.csv was left alone: it matches the patterns of several tables",
        "inbox/shop/notes.txt was left alone: it matches no table's pattern (orders: orders*.csv;",
        "inbox/shopp/ belongs to no declared source and was left alone; known sources: shop",
        "inbox/shop/deep/ is a folder and was left alone: put files directly into inbox/shop/",
        "inbox/stray.csv was left alone: move it into inbox/<source>/",
        "inbox/shop/orders_gone.csv was left alone: No such file or directory",
    ):
        assert part in text
    assert len(scan.problems) == 6


def test_a_name_that_is_no_text_is_left_alone(tmp_path):
    put(tmp_path, "orders.csv", age=9)
    try:
        (tmp_path / "shop" / os.fsdecode(b"orders_\xff.csv")).write_text("x")
    except OSError:
        pytest.skip("the file system takes only UTF-8 names")
    scan = scan_inbox(tmp_path, CONTRACTS, now=lambda: NOW)
    assert names(scan.ready) == ["orders/orders.csv"]
    assert "its name is not valid UTF-8" in scan.problems[0]


def test_only_looks_at_the_sources_named(tmp_path):
    put(tmp_path, "orders.csv", age=9)
    put(tmp_path, "x.csv", age=9, source="other")
    scan = scan_inbox(tmp_path, CONTRACTS, only={"none"}, now=lambda: NOW)
    assert scan == module.InboxScan()


def test_no_inbox_is_an_empty_one(tmp_path):
    assert scan_inbox(tmp_path / "missing", CONTRACTS) == module.InboxScan()


def test_waiting_ends_when_the_file_is_complete_or_at_the_deadline(tmp_path):
    path = put(tmp_path, "orders.csv", age=0)
    os.utime(path)
    said: list[str] = []

    def finish(_seconds: float) -> None:
        path.with_name("orders.csv.done").touch()

    scan = wait_until_settled(tmp_path, CONTRACTS, sleep=finish, report=said.append)
    assert names(scan.ready) == ["orders/orders.csv"]
    assert said == ["waiting for shop/orders.csv to be complete"]
    other = put(tmp_path, "people.csv", age=0)
    os.utime(other)
    scan = wait_until_settled(tmp_path, CONTRACTS, timeout_seconds=0)
    assert names(scan.waiting) == ["people/people.csv"]
