"""What is published, in which order, in which unit; and what a publication says of its checks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pandas as pd
import pytest

from crm_pipeline.defs.publication.assets import OWN_CHECK, check_results
from crm_pipeline.defs.publication.catalogue import published_tables, unit_of
from crm_pipeline.defs.publication.provenance import last_check_results
from crm_pipeline.defs.quality.accountable import Accountable
from crm_pipeline.errors import UserError


def node(name: str, **changes: object) -> dict:
    column = {"name": "customer_key", "description": "Key.", "config": {"meta": {"unit": "key"}}}
    amount = {"name": "net_amount", "description": "Net.", "config": {"meta": {}}}
    return {
        "resource_type": "model", "access": "public", "schema": "marts", "name": name,
        "description": "A table.", "config": {"meta": {"key": ["customer_key"]}},
        "columns": {"customer_key": column, "net_amount": amount}, **changes,
    }  # fmt: skip


def manifest(*nodes: dict) -> dict:
    return {"nodes": {n["name"]: n for n in nodes}, "sources": {}}


def test_units_are_read_from_names():
    assert unit_of("net_amount") == "reporting currency"
    assert unit_of("recency_days") == "days"
    assert unit_of("first_order_on") == "business day"
    assert unit_of("segment_name") is None


def test_public_marts_are_published_by_name_with_key_and_units():
    [one, two] = published_tables(
        manifest(
            node("b"), node("a"), node("hidden", access="protected"), node("f", schema="features")
        )
    )
    assert (one.name, two.name) == ("a", "b")
    assert one.key == ("customer_key",)
    assert [c.unit for c in one.columns] == ["key", "reporting currency"]


def test_a_table_without_a_key_has_no_order_and_is_refused():
    with pytest.raises(UserError, match=r"marts\.a states no config\.meta\.key"):
        published_tables(manifest(node("a", config={"meta": {}})))


def checked(*, passed: bool) -> dg.AssetsDefinition:
    @dg.asset(
        name="table",
        check_specs=[
            dg.AssetCheckSpec("truth", asset="table"),
            dg.AssetCheckSpec("late", asset="table"),
        ],
    )
    def table():
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(
            check_name="truth", passed=passed, metadata={"rows": 3, "who": "jane@example.com"}
        )
        yield dg.AssetCheckResult(
            check_name="late", passed=False, severity=dg.AssetCheckSeverity.WARN
        )

    return table


KEYS = {
    dg.AssetCheckKey(dg.AssetKey("table"), name): Accountable("team:a", severity, "")
    for name, severity in (("truth", "error"), ("late", "warn"))
}


def test_the_last_result_of_each_check_is_told_with_counts_and_without_values():
    instance = dg.DagsterInstance.ephemeral()
    for passed in (False, True):
        dg.materialize([checked(passed=passed)], instance=instance)
    rows = last_check_results(instance, KEYS).set_index("check_name")
    assert rows.loc["truth", ["severity", "passed", "observed"]].to_list() == [
        "error", True, '{"rows": 3}',
    ]  # fmt: skip
    assert rows.loc["late", ["severity", "passed"]].to_list() == ["warn", False]
    assert pd.isna(rows.loc["late", "observed"])
    assert set(rows["table_name"]) == {"table"}
    assert set(rows["owner"]) == {"team:a"}


def test_a_run_that_ends_before_its_checks_leaves_what_they_last_said():
    instance = dg.DagsterInstance.ephemeral()
    dg.materialize([checked(passed=True)], instance=instance)

    @dg.asset(name="table", check_specs=[dg.AssetCheckSpec(k.name, asset="table") for k in KEYS])
    def breaks():
        raise dg.Failure("killed")
        yield dg.MaterializeResult()

    dg.materialize([breaks], instance=instance, raise_on_error=False)
    rows = last_check_results(instance, KEYS)
    assert sorted(rows["check_name"]) == ["late", "truth"]


def test_a_check_that_never_ran_is_not_invented():
    assert last_check_results(dg.DagsterInstance.ephemeral(), KEYS).empty


def test_the_publications_own_check_is_among_them():
    at = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
    rows = check_results(dg.DagsterInstance.ephemeral(), KEYS, at)
    [row] = rows.to_dict("records")
    assert (row["check_name"], row["table_name"]) == (OWN_CHECK, "published.crm_duckdb")
    assert row["passed"] is True
    assert row["owner"] == "team:data-platform"
    assert row["checked_at"] == at
