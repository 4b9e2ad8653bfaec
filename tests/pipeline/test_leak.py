"""No leak, through landing and dbt's SQL: what happened after a cut-off moves no feature of it."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from crm_pipeline.dbt_command import PROJECT
from crm_pipeline.demo import write_demo
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.replayed import ReplayedWarehouse
from tests.pipeline.test_as_of import rest

FEATURES = "+customer_features"
HONEST, AHEAD = "ordered_on <= dates.cut_off_on\n", "ordered_on <= dates.cut_off_on + 1\n"
"""The line that gathers the last 365 days; ``spell_covers`` says the same in the middle of one."""


@pytest.fixture(
    scope="module",
    params=[ReplayedWarehouse, pytest.param(LandedWarehouse, marks=pytest.mark.slow)],
)
def landed(request, tmp_path_factory) -> LandedWarehouse:
    """A company whose features are made by dbt's recorded SQL; among the slow tests by dbt."""
    warehouse = request.param(tmp_path_factory.mktemp("leak") / "home")
    inbox = warehouse.folder / "inbox" / "demo"
    write_demo(inbox, warehouse.folder / "truth", customers=400)
    rest(inbox)
    assert warehouse.land().is_ok
    warehouse.settle()
    return warehouse


def features(warehouse: LandedWarehouse, until: date) -> pd.DataFrame:
    return warehouse.frame(
        "select * from features.customer_features where cut_off_on <= ? "
        "order by cut_off_on, customer_key",
        until,
    )


def evaluation_cut_off(warehouse: LandedWarehouse) -> date:
    found = warehouse.value(
        "select cut_off_on from features.cut_offs where purpose = 'churn_evaluation'"
    )
    return pd.Timestamp(found).date()


def scramble(warehouse: LandedWarehouse, cut_off: date) -> None:
    """Change every landed row after ``cut_off`` at random; none moves to or before it."""
    later = f"timezone('{warehouse.time_zone}', timezone('UTC', {{}}))::date > date '{cut_off}'"
    first = (
        f"timezone('UTC', timezone('{warehouse.time_zone}', "
        f"(date '{cut_off + timedelta(days=1)}')::timestamp))"
    )
    with warehouse.connection() as db:
        db.execute("select setseed(0.5)")
        (last,) = db.execute("select max(ordered_at) from landing.demo__orders").fetchone()
        moved = f"{first} + (random() * epoch(timestamp '{last}' - {first})) * interval 1 second"
        orders, returns = later.format("ordered_at"), later.format("returned_at")
        db.execute(
            f"update landing.demo__orders set ordered_at = {moved}, "
            "customer_no = case when random() < .2 then null "
            f"else 'K' || lpad((1 + random() * 399)::int::varchar, 7, '0') end where {orders}"
        )
        db.execute(f"delete from landing.demo__orders where {orders} and random() < .2")
        db.execute(
            "update landing.demo__order_items set quantity = quantity + 1, "
            "unit_price = unit_price * 2, line_amount = line_amount * 3, "
            f"sku = 'SKU-0' || (100 + random() * 300)::int, ordered_at = {moved} where {orders}"
        )
        db.execute(f"delete from landing.demo__order_items where {orders} and random() < .2")
        db.execute(
            "update landing.demo__returns set amount = amount * 5, "
            "customer_no = 'K' || lpad((1 + random() * 399)::int::varchar, 7, '0'), "
            f"returned_at = {moved} where {returns}"
        )
        db.execute(f"delete from landing.demo__customers where {later.format('updated_at')}")


def looks_ahead(warehouse: LandedWarehouse, folder: Path) -> None:
    """Let the features know one day more than they may."""
    if isinstance(warehouse, ReplayedWarehouse):
        warehouse.edits["customer_features"] = (HONEST, AHEAD)
        return
    warehouse.project = folder / "dbt_project"
    if not warehouse.project.exists():
        ignored = shutil.ignore_patterns("target", "logs")
        shutil.copytree(PROJECT, warehouse.project, ignore=ignored)
        file = warehouse.project / "models" / "features" / "customer_features.sql"
        sql = file.read_text()
        assert HONEST in sql, "the model changed: say here how it would look ahead"
        file.write_text(sql.replace(HONEST, AHEAD))


def changed_columns(
    warehouse: LandedWarehouse, folder: Path, *, is_wrong: bool = False
) -> tuple[list[str], int]:
    """Return (features that moved with what happened after the cut-off, rows compared)."""
    before, after = warehouse.copy(folder / "before"), warehouse.copy(folder / "after")
    if is_wrong:
        looks_ahead(before, folder)
        looks_ahead(after, folder)
    before.run(FEATURES)
    cut_off = evaluation_cut_off(before)
    scramble(after, cut_off)
    after.run(FEATURES)
    one, other = features(before, cut_off), features(after, cut_off)
    latest = "select max(cut_off_on) from features.customer_features"
    assert not features(before, before.value(latest)).equals(features(after, after.value(latest)))
    if len(one) != len(other):
        return ["customer_key"], len(one)
    return [name for name in one.columns if not one[name].equals(other[name])], len(one)


def test_no_feature_moves_with_what_happened_after_its_cut_off(landed, tmp_path):
    moved, rows = changed_columns(landed, tmp_path)
    assert rows > 2000
    assert moved == []


def test_a_feature_that_looks_one_day_ahead_is_caught(landed, tmp_path):
    moved, _ = changed_columns(landed, tmp_path, is_wrong=True)
    assert moved
    assert set(moved) <= {c for c in moved if c.endswith("d")}
