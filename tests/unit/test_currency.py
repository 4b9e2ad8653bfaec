"""A source in another currency: the last rate on or before the day; without one no fact."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from crm_pipeline.defs.landing.settings_table import reporting_currency
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.defs.publication.writing import without_rate
from crm_pipeline.defs.quality.truths import TRUTHS
from crm_pipeline.errors import UserError
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import load_settings
from tests.unit.sql_harness import SqlWarehouse, project_with_source

ABROAD = """
version: 2
sources:
  - name: abroad
    schema: raw
    config: {meta: {currency: USD}}
    tables:
      - name: sales
        identifier: abroad__sales
        config: {meta: {files: ["sales*.csv"], control_total: amount}}
        columns:
          - {name: sale, data_type: varchar}
          - {name: buyer, data_type: varchar}
          - {name: sold_at, data_type: timestamp}
          - {name: amount, data_type: "decimal(18,2)"}
      - name: rates
        identifier: abroad__rates
        config: {meta: {files: ["rates*.csv"]}}
        columns:
          - {name: rated_on, data_type: date}
          - {name: euros, data_type: "decimal(18,8)"}
"""
ITEMS = """
select
    {{ entity_key('abroad', 'sale') }} as order_key,
    cast(row_number() over (partition by sale order by sold_at) as integer) as line_number,
    'abroad' as source,
    {{ customer_key('abroad', 'buyer') }} as customer_key,
    {{ product_key('abroad', "'lamp'") }} as product_key,
    sold_at as ordered_at,
    cast(1 as decimal(18, 3)) as quantity,
    cast(amount as decimal(18, 4)) as unit_price,
    cast(amount / 2 as decimal(18, 4)) as unit_cost,
    cast(amount as decimal(18, 4)) as line_amount
from {{ source('abroad', 'sales') }}
where amount > 0
"""
RETURNS = """
select
    {{ entity_key('abroad', 'sale') }} as return_key,
    {{ document_key('abroad', 'sale') }} as document_key,
    'abroad' as source,
    cast(null as {{ dbt.type_string() }}) as order_key,
    {{ customer_key('abroad', 'buyer') }} as customer_key,
    {{ product_key('abroad', "'lamp'") }} as product_key,
    sold_at as returned_at,
    cast(1 as decimal(18, 3)) as quantity,
    cast(-amount as decimal(18, 4)) as returned_amount
from {{ source('abroad', 'sales') }}
where amount < 0
"""
RATES = """
select
    {{ entity_key('abroad', 'rated_on') }} as rate_key,
    'abroad' as source,
    'USD' as currency,
    rated_on,
    euros as rate
from {{ source('abroad', 'rates') }}
"""
SALES = [
    ("1", "2024-03-30 22:30", 100.00),  # Berlin's day is the 30th, the day before the first rate
    ("1", "2024-03-30 22:30", 100.00),  # another line of the same order, which says the same
    ("2", "2024-03-30 23:30", 10.00),  # half an hour after midnight in Berlin: the first rate
    ("3", "2024-03-31 21:30", 20.00),  # summer time has begun: 23:30, still the 31st
    ("4", "2024-03-31 22:30", 40.00),  # half past midnight: the second rate
    ("5", "2024-05-01 12:00", 0.33),  # no rate of its own: the last one before
    ("6", "2024-05-02 12:00", -40.00),
    ("7", "2024-05-03 12:00", 9_000_000_000.00),
]


READ = (
    "+fct_orders", "+fct_returns", "+fct_adjustments", "+dim_customers", "+int_without_rate",
    "+int_order_items__orphaned",
)  # fmt: skip
"""What these tests look at, with all that it is made of; its data tests run too."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    staging = {"order_items": ITEMS, "returns": RETURNS, "exchange_rates": RATES}
    return project_with_source(tmp_path_factory.mktemp("project"), "abroad", ABROAD, staging)


@pytest.fixture(scope="module")
def abroad(project: Path, tmp_path_factory: pytest.TempPathFactory) -> SqlWarehouse:
    settings = {"as_of": date(2024, 5, 31), "currency": "EUR"}
    warehouse = SqlWarehouse(
        tmp_path_factory.mktemp("abroad"),
        sources=("abroad", "demo"),
        time_zone="Europe/Berlin",
        settings=settings,
        project=project,
    )
    sales = [(n, "K1", pd.Timestamp(at), amount) for n, at, amount in SALES]
    warehouse.fill(
        "abroad__sales", pd.DataFrame(sales, columns=["sale", "buyer", "sold_at", "amount"])
    )
    rates = [(date(2024, 3, 31), 0.9), (date(2024, 4, 1), 0.5)]
    warehouse.fill("abroad__rates", pd.DataFrame(rates, columns=["rated_on", "euros"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_CURRENCY", "EUR")
        warehouse.build_part(*READ)
    return warehouse


def test_the_last_rate_on_or_before_the_business_day_counts(abroad: SqlWarehouse):
    with abroad.connection() as db:
        lines = db.execute(
            "select order_key, line_amount, unit_price, unit_cost, exchange_factor "
            "from marts.fct_order_items order by order_key"
        ).fetchall()
        returned = db.execute("select returned_amount from marts.fct_returns").fetchall()
        orders = db.execute(
            "select order_key, gross_amount from marts.fct_orders order by all"
        ).fetchall()
    assert lines == [
        ("abroad:2", Decimal("9.0000"), Decimal("9.0000"), Decimal("4.5000"), Decimal("0.9")),
        ("abroad:3", Decimal("18.0000"), Decimal("18.0000"), Decimal("9.0000"), Decimal("0.9")),
        ("abroad:4", Decimal("20.0000"), Decimal("20.0000"), Decimal("10.0000"), Decimal("0.5")),
        ("abroad:5", Decimal("0.1650"), Decimal("0.1650"), Decimal("0.0825"), Decimal("0.5")),
        ("abroad:7", Decimal(4_500_000_000), Decimal(4_500_000_000), Decimal(2_250_000_000),
         Decimal("0.5")),
    ]  # fmt: skip
    assert returned == [(Decimal("20.0000"),)]
    assert orders[0] == ("abroad:2", Decimal("9.00"))
    assert len(orders) == 5


def test_what_has_no_rate_is_in_no_mart_and_told_of(abroad: SqlWarehouse):
    with abroad.connection() as db:
        told = without_rate(db).values.tolist()
        rows = db.execute(
            "select row_key, happened_on, currency, own_amount from intermediate.int_without_rate "
            "order by all"
        ).fetchall()
        known = db.execute(
            "select customer_key, first_order_on from marts.dim_customers"
        ).fetchall()
    reason = "no rate for USD on or before the day"
    assert told == [["abroad", "order_items", "(any)", reason, 2]]
    assert rows == [
        (f"abroad:1 {line}", date(2024, 3, 30), "USD", Decimal("100.0000")) for line in (1, 2)
    ]
    assert known == [("abroad:K1", date(2024, 3, 31))]


def test_facts_converted_back_equal_the_sources_own_total(abroad: SqlWarehouse, project: Path):
    from tests.pipeline.harness.recording import manifest_of

    contracts = sources_from_manifest(manifest_of(project))
    truth = next(t for t in TRUTHS if t.name == "facts_equal_the_sources_total")
    with abroad.connection() as db:
        assert truth.exceptions(db, contracts, ("abroad",)) == 0
        for lie in (
            "update marts.fct_order_items set exchange_factor = 0.51 where order_key = 'abroad:4'",
            "delete from intermediate.int_without_rate",
        ):
            db.execute("begin")
            db.execute(lie)
            assert truth.exceptions(db, contracts, ("abroad",)) == 1, lie
            db.execute("rollback")


def test_one_currency_leaves_amounts_alone(project: Path, tmp_path: Path):
    warehouse = SqlWarehouse(tmp_path, sources=("abroad",), project=project)
    warehouse.fill(
        "abroad__sales",
        pd.DataFrame(
            [("1", "K1", pd.Timestamp("2024-03-30 12:00"), 7.0)],
            columns=["sale", "buyer", "sold_at", "amount"],
        ),
    )
    warehouse.run("+fct_order_items", "+int_without_rate")
    found = "select (line_amount, exchange_factor) from marts.fct_order_items"
    assert warehouse.value(found) == (Decimal("7.0000"), None)
    assert warehouse.value("select count(*) from intermediate.int_without_rate") == 0


def test_sources_in_other_currencies_need_a_setting_and_rates():
    contracts = sources_from_manifest(ensure_manifest())
    both = {"CRM_SOURCES": "online_retail,cdnow"}
    with pytest.raises(UserError, match=r"differ.*CRM_CURRENCY"):
        reporting_currency(load_settings(both), contracts)
    in_pounds = load_settings(both | {"CRM_CURRENCY": "GBP"})
    with pytest.raises(UserError, match=r"cdnow is not in GBP.*exchange_rates"):
        reporting_currency(in_pounds, contracts)
    cdnow = replace(contracts["cdnow"], entities=("exchange_rates",))
    assert reporting_currency(in_pounds, contracts | {"cdnow": cdnow}) == "GBP"
    with_rates = (*in_pounds.sources, "exchange_rates")
    assert reporting_currency(replace(in_pounds, sources=with_rates), contracts) == "GBP"
