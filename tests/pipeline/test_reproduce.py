"""A past report is made again from what had landed then: the same bytes, whatever came since."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime
from pathlib import Path

import pytest

from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.publication import past
from crm_pipeline.errors import UserError
from crm_pipeline.resources.dbt import ensure_manifest
from tests.pipeline.days import Days, items, orders
from tests.pipeline.support import (
    crm,
    different,
    parquet_digests,
    publication,
    published,
    refused,
    succeeded,
)

pytestmark = pytest.mark.slow
"""Each publication is built, and made again, as a whole."""

CUSTOMERS = (
    "customer_no;full_name;email;registered_at;updated_at;country;region;city;"
    "acquisition_channel;gender;birth_year;marketing_permission\n"
)


def _customer(number: str, at: str, city: str) -> str:
    return f"{number};N;e@x.org;01.01.2025 10:00:00;{at};DE;;{city};search;f;1980;Y\n"


def _live(days: Days) -> None:
    """Six days: new, late, corrected, retracted, returned to an older content, as of the past."""
    january, february = "2025-01-10 12:00:00", "2025-02-10 12:00:00"
    days.put("customers_a.csv", CUSTOMERS + _customer("K1", "01.01.2025 10:00:00", "Ulm"))
    days.put("orders_01.csv", orders(("A1", "K1", january), ("A2", "K2", january)))
    days.put("order_items_01.csv", items(("A1", january, 10), ("A2", january, 20)))
    days.day("1")
    days.put("orders_02.csv", orders(("A3", "K1", february)))
    days.put("order_items_02.csv", items(("A3", february, 30)))
    days.day("2")
    days.put("order_items_01.csv", items(("A1", january, 11), ("A2", january, 20)))
    days.put("customers_a.csv", CUSTOMERS + _customer("K1", "02.02.2025 10:00:00", "Bonn"))
    days.day("3")
    days.retract("orders_02.csv")
    days.retract("order_items_02.csv")
    days.day("4")
    days.put("order_items_01.csv", items(("A1", january, 10), ("A2", january, 20)))
    days.put("order_items_00.csv", items(("A0", "2024-12-01 12:00:00", 5)))
    days.day("5")
    days.day("6", as_of=date(2025, 1, 5))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Days:
    days = Days(tmp_path_factory.mktemp("lived"))
    _live(days)
    # what is kept must be enough: files with direct identifiers are in no archive
    shutil.rmtree(days.folder / "archive")
    return days


def _again(
    days: Days, home: Path, number: int | None, known_at: datetime | None = None
) -> tuple[Days, dict[str, str]]:
    """Make a past publication again, stage by stage; return it and the digests on record."""
    scratch = Days(home, sources=days.sources)
    (home / "tmp").mkdir()
    with days.door.publishing(scratch.path) as db:
        record = past.recorded(db, number) if number else None
        past.write_warehouse(
            db, past.Moment(record, known_at), sources_from_manifest(ensure_manifest()), home
        )
    scratch.land()
    scratch.settle(record.as_of if record else None)
    scratch.build()
    scratch.publish("again")
    return scratch, json.loads(record.digests) if record else {}


@pytest.mark.parametrize("number", range(1, 7))
def test_every_past_publication_has_the_same_bytes_again(lived, tmp_path, number):
    before = lived.path.read_bytes()
    scratch, digests = _again(lived, tmp_path / "home", number)
    assert different(scratch.digests(), digests) == []
    made = scratch.read("select max(publication) from meta.publications")
    assert made == [(number,)]
    restated = (
        "select publication, metric, month, new_value, files from meta.restatements "
        f"where publication <= {number} order by all"
    )
    assert scratch.read(restated) == lived.read(restated)
    assert lived.path.read_bytes() == before


def test_publications_that_differ_are_told_apart(lived):
    with lived.connection() as db:
        digests = [d for (d,) in db.execute("select digests from control.publications").fetchall()]
    assert len(set(digests)) == len(digests) == 6


def test_a_moment_between_two_publications_counts_what_had_landed_by_then(lived, tmp_path):
    with lived.connection() as db:
        second, third = (
            db.execute(
                "select built_at from control.publications where publication = ?", [n]
            ).fetchone()[0]
            for n in (2, 3)
        )
        corrected = db.execute(
            "select min(landed_at) from control.files where landed_at > ?", [second]
        ).fetchone()[0]
    assert second < corrected < third
    scratch, _ = _again(lived, tmp_path / "home", None, corrected)
    with lived.connection() as db:
        record = db.execute(
            "select digests from control.publications where publication = 2"
        ).fetchone()
    changed = different(scratch.digests(), json.loads(record[0]))
    assert changed
    assert scratch.read("select count(*) from marts.fct_orders") == [(3,)]


def test_a_content_that_is_no_longer_kept_is_named(lived, tmp_path):
    days = lived.twin(tmp_path / "company")
    with days.connection() as db:
        db.execute("delete from control.contents_history")
    with pytest.raises(UserError, match=r"demo/customers/customers_a.csv.*no longer kept"):
        _again(days, tmp_path / "home", 1)


def test_the_archive_stands_in_for_a_history_that_is_gone(lived, tmp_path):
    """Order lines have no direct identifier, so their files are archived."""
    days = Days(tmp_path / "company")
    at = "2025-01-10 12:00:00"
    days.put("orders_01.csv", orders(("A1", "K1", at)))
    days.put("order_items_01.csv", items(("A1", at, 10)))
    days.day()
    days.put("order_items_01.csv", items(("A1", at, 11)))
    days.day()
    with days.connection() as db:
        db.execute("delete from control.contents_history")
    home = tmp_path / "home"
    past.copy_archive(days.folder, home)
    scratch, digests = _again(days, home, 1)
    assert different(scratch.digests(), digests) == []


def test_an_unknown_publication_is_refused_with_those_that_are_known(lived, tmp_path):
    with pytest.raises(UserError, match="publication 99 is not on record; known are 1, 2"):
        _again(lived, tmp_path / "home", 99)


def test_the_command_makes_a_champions_report_again(tiny_copy, tmp_path):
    """The whole way: a corrected month, a later run, then the first report again."""
    first = publication(tiny_copy)
    inbox = tiny_copy / "inbox" / "demo"
    file = sorted(inbox.glob("order_items_*.csv"))[3]
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-3]))
    file.with_name(file.name + ".done").touch()
    succeeded(crm(tiny_copy, "run"))
    second = publication(tiny_copy)
    assert different(first, second)
    with published(tiny_copy) as db:
        assert db.execute("select count(*) from meta.restatements").fetchone() > (0,)
    warehouse = (tiny_copy / "warehouse.duckdb").read_bytes()

    said = succeeded(crm(tiny_copy, "reproduce", "1", "--into", str(tmp_path / "then")))
    assert "reproduced exactly" in said
    assert different(parquet_digests(tmp_path / "then" / "parquet"), first) == []
    assert (tmp_path / "then" / "features" / "customer_features.parquet").is_file()
    assert publication(tiny_copy) == second
    assert (tiny_copy / "warehouse.duckdb").read_bytes() == warehouse
    assert list((tiny_copy / "tmp").glob("reproduce-*")) == []

    with published(tiny_copy) as db:
        [moment] = db.execute(
            "select strftime(built_at, '%Y-%m-%dT%H:%M:%S.%f') from meta.publications "
            "where publication = 1"
        ).fetchone()
    known = str(tmp_path / "known")
    succeeded(crm(tiny_copy, "reproduce", "--known-at", moment, "--into", known))
    assert different(parquet_digests(tmp_path / "known" / "parquet"), first) == []

    into = str(tmp_path / "then")
    assert "not an empty folder" in refused(
        crm(tiny_copy, "reproduce", "1", "--into", into), code=2
    )
    into = str(tmp_path / "never")
    assert "not on record" in refused(crm(tiny_copy, "reproduce", "9", "--into", into), code=2)
