"""Closed months stay, held on the tiny company's own warehouse: what moved them decides."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.quality.checks import _closed_months_result
from crm_pipeline.defs.quality.closed_months import (
    Moved,
    closed_months,
    made_by,
    tables_behind_totals,
)
from crm_pipeline.defs.quality.previous import Previous, read_previous
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import load_settings

MONTH = date(2025, 3, 1)
CHANGED = f"update marts.kpi_monthly set gross_amount = gross_amount + 50 where month = '{MONTH}'"


@pytest.fixture(scope="module")
def db(tiny_home: Path, tmp_path_factory):
    file = tmp_path_factory.mktemp("months") / "warehouse.duckdb"
    shutil.copyfile(tiny_home / "warehouse.duckdb", file)
    with duckdb.connect(str(file)) as connection:
        yield connection


@pytest.fixture(scope="module")
def previous(tiny_home: Path) -> Previous:
    found = read_previous(tiny_home / "published")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def compare(tiny_home: Path):
    manifest = ensure_manifest()
    settings = load_settings({"CRM_HOME": str(tiny_home)})

    def call(db: duckdb.DuckDBPyConnection, previous: Previous | None) -> Moved:
        return closed_months(
            db, previous, settings, sources_from_manifest(manifest), tables_behind_totals(manifest)
        )

    return call


@pytest.fixture
def changed(db):
    """The warehouse with another total in one closed month."""
    db.execute("begin")
    db.execute(CHANGED)
    yield db
    db.execute("rollback")


def without(previous: Previous, table: str, names: list[str], db) -> Previous:
    """The publication as it was before these files landed."""
    digests = {
        digest
        for (digest,) in db.execute(
            "select digest from control.current_contents where table_name = ? "
            "and list_contains(?, file_name)",
            [table, names],
        ).fetchall()
    }
    assert len(digests) == len(names)
    contents = dict(previous.contents)
    contents["demo", table] = contents["demo", table] - digests
    return replace(previous, contents=contents)


def test_what_did_not_move_passes(db, previous, compare):
    moved = compare(db, previous)
    assert moved.compared >= 20
    assert (moved.changed, moved.unexplained) == ((), ())


def test_a_total_that_nothing_touches_is_an_error(changed, previous, compare):
    moved = compare(changed, previous)
    assert moved.unexplained == moved.changed == (MONTH,)
    result = _closed_months_result(moved, is_rebuild=False)
    assert not result.passed
    assert result.severity.value == "ERROR"
    assert "2025-03" in result.description
    assert "--full-refresh" in result.description


def test_a_rebuild_that_was_asked_for_publishes_and_warns(changed, previous, compare):
    result = _closed_months_result(compare(changed, previous), is_rebuild=True)
    assert (result.passed, result.severity.value) == (False, "WARN")


def test_a_month_that_lost_all_its_orders_or_is_gone_is_an_error(db, previous, compare):
    for statement in (
        f"update marts.kpi_monthly set order_count = 0 where month = '{MONTH}'",
        f"delete from marts.kpi_monthly where month = '{MONTH}'",
    ):
        db.execute("begin")
        db.execute(statement)
        assert compare(db, previous).unexplained == (MONTH,)
        db.execute("rollback")


def test_a_file_of_that_month_explains_it_and_one_of_another_month_does_not(
    changed, previous, compare
):
    march, june = ([f"orders_2025-{month}.csv.gz"] for month in ("03", "06"))
    assert compare(changed, without(previous, "orders", march, changed)).unexplained == ()
    assert compare(changed, without(previous, "orders", june, changed)).unexplained == (MONTH,)


def test_a_file_of_a_table_that_no_total_is_made_of_explains_nothing(changed, previous, compare):
    earlier = without(previous, "customers", ["customers_2025.csv"], changed)
    assert compare(changed, earlier).unexplained == (MONTH,)


def test_a_file_that_went_from_a_table_with_a_key_may_touch_any_month(changed, previous, compare):
    contents = dict(previous.contents)
    contents["demo", "orders"] |= {"a digest that counts no more"}
    moved = compare(changed, replace(previous, contents=contents))
    assert (moved.changed, moved.unexplained) == ((MONTH,), ())
    assert "any month" in moved.reason


def test_the_days_between_two_as_of_dates_explain_what_they_hold(changed, previous, compare):
    for as_of, unexplained in ((date(2026, 5, 31), (MONTH,)), (date(2025, 4, 2), ())):
        assert compare(changed, replace(previous, as_of=as_of)).unexplained == unexplained


@pytest.mark.parametrize("part", range(4))
def test_other_code_or_settings_are_not_compared(changed, previous, compare, part):
    other = list(previous.made_by)
    other[part] = "another"
    moved = compare(changed, replace(previous, made_by=tuple(other)))
    assert moved.unexplained == ()
    assert "settings changed" in moved.reason
    assert compare(changed, replace(previous, made_by=None)).unexplained == ()


def test_the_first_publication_is_held_against_nothing(changed, compare):
    assert compare(changed, None).unexplained == ()


def test_the_publication_says_what_made_it(db, previous, tiny_home):
    assert previous.made_by == made_by(db, load_settings({"CRM_HOME": str(tiny_home)}))
