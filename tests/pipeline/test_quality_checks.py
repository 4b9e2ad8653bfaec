"""Coded truths and model gates, each seen passing on a good warehouse and failing on a bad one."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.modelling import registered
from crm_pipeline.defs.quality.truths import TRUTHS
from crm_pipeline.resources.dbt import ensure_manifest
from tests.pipeline.support import ABSTAINING, published

ONE = "rowid = (select min(rowid) from {})"

PLANTED: dict[tuple[str, str], list[str]] = {
    ("facts_equal_the_sources_total", "marts.metrics_monthly"): [
        "update marts.fct_order_items set line_amount = line_amount + 0.01 where "
        + ONE.format("marts.fct_order_items"),
        "delete from marts.fct_returns where returned_amount > 0 and return_key = (select "
        "min(return_key) from marts.fct_returns where returned_amount > 0)",
        "insert into marts.fct_order_items by name select * replace ('demo:X' as order_key) "
        "from marts.fct_order_items where line_amount > 0 limit 1",
    ],
    ("orders_equal_their_lines", "marts.metrics_monthly"): [
        "delete from marts.fct_order_items where " + ONE.format("marts.fct_order_items"),
        "update marts.fct_orders set gross_amount = gross_amount + 1 where "
        + ONE.format("marts.fct_orders"),
        "delete from marts.fct_orders where " + ONE.format("marts.fct_orders"),
    ],
    ("months_equal_the_facts", "marts.metrics_monthly"): [
        "update marts.kpi_monthly set gross_amount = gross_amount + 10 where "
        + ONE.format("marts.kpi_monthly"),
        "delete from marts.kpi_monthly where returned_amount > 1 and month = (select max(month) "
        "from marts.kpi_monthly where returned_amount > 1)",
    ],
    ("contributions_are_unique", "scores.customer_reasons"): [
        "insert into scores.customer_reasons select * from scores.customer_reasons limit 1",
        "update scores.customer_reasons set customer_key = 'demo:nobody' where "
        + ONE.format("scores.customer_reasons"),
    ],
} | {
    ("scores_every_buyer_once", f"scores.{table}"): [
        f"delete from scores.{table} where " + ONE.format(f"scores.{table}"),
        f"insert into scores.{table} select * from scores.{table} limit 1",
        f"update scores.{table} set customer_key = 'demo:nobody' where "
        + ONE.format(f"scores.{table}"),
        f"update scores.{table} set as_of = as_of - 1 where " + ONE.format(f"scores.{table}"),
    ]
    for table in (model.table for model in registered.MODELS if model.is_of_customers)
}
"""Truth and table -> statements, each of which makes it untrue."""

NAMES = {(truth.name, truth.asset): truth for truth in TRUTHS}


@pytest.fixture(scope="module")
def db(demo_home: Path, tmp_path_factory):
    file = tmp_path_factory.mktemp("truths") / "warehouse.duckdb"
    shutil.copyfile(demo_home / "warehouse.duckdb", file)
    with duckdb.connect(str(file)) as connection:
        yield connection


@pytest.fixture(scope="module")
def contracts():
    return sources_from_manifest(ensure_manifest())


def test_every_truth_has_a_lie():
    assert set(PLANTED) == set(NAMES)


@pytest.mark.parametrize("name", sorted(NAMES), ids=lambda name: f"{name[0]}-{name[1]}")
def test_a_truth_holds_on_good_data_and_counts_each_exception(db, contracts, name):
    truth = NAMES[name]
    assert truth.exceptions(db, contracts, ("demo",)) == 0
    for statement in PLANTED[name]:
        db.execute("begin")
        db.execute(statement)
        assert truth.exceptions(db, contracts, ("demo",)) > 0, statement
        db.execute("rollback")
    assert truth.exceptions(db, contracts, ("demo",)) == 0


def test_a_truth_on_facts_is_not_asked_of_a_source_that_is_not_enabled(db, contracts):
    truth = NAMES["facts_equal_the_sources_total", "marts.metrics_monthly"]
    assert truth.exceptions(db, contracts, ("demo", "online_retail", "cdnow")) == 0
    assert truth.exceptions(db, contracts, ()) == 0


def gates(home: Path) -> dict[str, tuple[bool, str]]:
    with published(home) as file:
        rows = file.execute(
            "select table_name, passed, severity from meta.quality "
            "where check_name = 'candidate_earned_its_place'"
        ).fetchall()
    return {name: (passed, severity) for name, passed, severity in rows}


def test_the_gate_passes_where_a_model_earned_its_place_and_warns_where_not(demo_home, tiny_home):
    for model in ("segments", "session_segments", "clv", "churn", "forecast", "recommendation"):
        assert gates(demo_home)[f"models.{model}_champion"] == (True, "warn")
    refused = {name for name, (passed, _) in gates(demo_home).items() if not passed}
    assert refused == {f"models.{model}_champion" for model in ABSTAINING}
    assert gates(tiny_home)["models.churn_champion"] == (False, "warn")
    assert gates(tiny_home)["models.clv_champion"] == (False, "warn")


def test_too_few_customers_are_not_scored_and_nothing_breaks(tiny_home):
    with published(tiny_home) as file:
        for table in ("customer_churn", "customer_clv"):
            rows = file.execute(
                f"select status, count(*), count(model_version) from scores.{table} group by 1"
            ).fetchall()
            buyers = file.execute("select count(*) from marts.customer_rfm where as_of = "
                                  "(select as_of from meta.build)").fetchone()  # fmt: skip
            assert rows == [("too_little_data", *buyers, 0)]
        assert file.execute("select count(*) from scores.customer_reasons").fetchone() == (0,)
        errors = "select check_name from meta.quality where severity = 'error' and not passed"
        assert file.execute(errors).fetchall() == []
        why = file.execute(
            "select distinct decision from meta.model_evaluations where model = 'churn'"
        ).fetchall()
        assert why == [("refused",)]
