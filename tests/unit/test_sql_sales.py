"""Sales and billing over real files: the published counts, and figures found by a second route."""

from __future__ import annotations

import gzip
import math
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.landed import LandedWarehouse

pytestmark = pytest.mark.slow
"""The published files, landed and built: a few seconds each."""

FILES = ("accounts", "products", "sales_pipeline", "sales_teams")
NO_UNIT_TESTS = ("build", "--full-refresh", "--exclude-resource-type", "unit_test",
                 "--indirect-selection", "cautious")  # fmt: skip
SALES = ("+path:models/marts/sales", "+fct_payments", "+dim_products", "+dim_customers")


def _landed(home: Path, source: str, *files: Path) -> LandedWarehouse:
    inbox = home / "inbox" / source
    inbox.mkdir(parents=True)
    for file in files:
        shutil.copy2(file, inbox / file.name)
    warehouse = LandedWarehouse(home, sources=(source,), time_zone="UTC")
    report = warehouse.land()
    assert report.is_ok, report.messages
    return warehouse


@pytest.fixture(scope="module")
def sales(shared_data, tmp_path_factory: pytest.TempPathFactory) -> LandedWarehouse:
    """The sales pipeline as published, landed and built."""
    files = [shared_data(f"crm_sales_opportunities/{name}.csv.gz") for name in FILES]
    warehouse = _landed(tmp_path_factory.mktemp("sales"), "crm_sales", *files)
    assert warehouse.settle() == date(2017, 12, 31)
    warehouse.dbt(*NO_UNIT_TESTS, "--select", *SALES)
    return warehouse


@pytest.fixture(scope="module")
def published(shared_data) -> dict[str, pd.DataFrame]:
    """The files themselves, the product's name put right."""
    tables = {}
    for name in FILES:
        with gzip.open(shared_data(f"crm_sales_opportunities/{name}.csv.gz")) as file:
            tables[name] = pd.read_csv(file, parse_dates=["engage_date", "close_date"]
                                       if name == "sales_pipeline" else [])  # fmt: skip
    pipeline = tables["sales_pipeline"]
    pipeline["product"] = pipeline["product"].replace("GTXPro", "GTX Pro")
    return tables


def test_no_opportunity_is_lost(sales: LandedWarehouse):
    """8,800; 4,238 won, 2,473 lost, 1,589 engaging, 500 prospecting (shared/data/README.md)."""
    counts = sales.frame(
        "select stage, count(*) as n, count(opened_on) as opened, count(closed_on) as closed, "
        "count(customer_key) as known from marts.fct_opportunities group by all order by n"
    )
    assert counts.values.tolist() == [
        ["Prospecting", 500, 0, 0, 163],
        ["Engaging", 1_589, 1_589, 0, 501],
        ["Lost", 2_473, 2_473, 2_473, 2_473],
        ["Won", 4_238, 4_238, 4_238, 4_238],
    ]
    assert counts.n.sum() == 8_800
    assert counts.n.sum() - counts.known.sum() == 1_425
    won = sales.value("select sum(won_amount) from marts.fct_opportunities")
    assert won == Decimal("10005534.00")


def test_no_opportunity_is_lost_to_the_product_mapping(sales: LandedWarehouse):
    products = sales.frame(
        "select p.product_name as name, p.is_stub, count(o.opportunity_key) as n "
        "from marts.dim_products as p left join marts.fct_opportunities as o using (product_key) "
        "group by all order by name"
    )
    assert len(products) == 7
    assert not products.is_stub.any()
    assert products.set_index("name").n["GTX Pro"] == 1_480
    assert products.n.sum() == 8_800
    orphans = "select count(*) from marts.fct_opportunities where opportunity_amount is null"
    assert sales.value(orphans) == 0


def test_typing_errors_are_put_right(sales: LandedWarehouse):
    countries = sales.frame("select distinct country from marts.dim_customers").country.tolist()
    assert "Philippines" in countries
    assert "Philipines" not in countries
    industries = sales.frame("select industry, count(*) as n from marts.dim_companies group by 1")
    assert industries.set_index("industry").n["technology"] == 12
    assert len(industries) == 10


def test_no_agent_is_named(sales: LandedWarehouse, published: dict[str, pd.DataFrame]):
    teams = published["sales_teams"]
    names = {*teams["sales_agent"], *teams["manager"]}
    with sales.connection() as db:
        tables = db.execute(
            "select table_schema, table_name from information_schema.tables where table_schema "
            "in ('marts', 'intermediate', 'staging')"
        ).fetchall()
        found = {
            (schema, table): [name for name in names if name.lower() in text.lower()]
            for schema, table in tables
            for text in [" ".join(str(row) for row in db.execute(
                f'from "{schema}"."{table}"').fetchall())]
        }  # fmt: skip
    assert ("marts", "fct_opportunities") in found
    assert {table: hits for table, hits in found.items() if hits} == {}
    owners = sales.frame("select * from marts.dim_owners")
    assert (len(owners), owners.team.nunique(), owners.is_stub.any()) == (35, 6, False)


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The closed form (Wilson 1927), at 95 %."""
    z, rate = 1.959963984540054, successes / count
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return tuple(
        (rate + z * z / (2 * count) + side * half) / (1 + z * z / count) for side in (-1, 1)
    )


def test_performance_by_a_second_route(sales: LandedWarehouse, published: dict[str, pd.DataFrame]):
    pipeline = published["sales_pipeline"].merge(published["sales_teams"], on="sales_agent")
    pipeline["days"] = (pipeline.close_date - pipeline.engage_date).dt.days
    performance = sales.frame(
        "select * from marts.sales_performance where dimension in ('region', 'all')"
    ).set_index(["dimension_value", "period"])
    cuts = [(region, rows) for region, rows in pipeline.groupby("regional_office")]
    for value, rows in [("all", pipeline), *cuts]:
        decided = rows[rows.close_date.notna()]
        months = decided.groupby(decided.close_date.dt.strftime("%Y-%m"))
        for period, part in [("all", decided), *months]:
            figure = performance.loc[(value, period)]
            won = part[part.deal_stage == "Won"]
            assert (figure.decided_count, figure.won_count) == (len(part), len(won))
            low, high = wilson(len(won), len(part))
            assert figure.win_low_rate == pytest.approx(low, abs=1e-12)
            assert figure.win_high_rate == pytest.approx(high, abs=1e-12)
            assert figure.won_amount == won.close_value.sum()
            assert figure.median_cycle_days == won.days.median()
            velocity = won.close_value.sum() / won.days.mean()
            assert figure.sales_velocity_amount == pytest.approx(velocity, rel=1e-4)
        assert performance.loc[(value, "all")].opened_count == len(rows)


def test_pipeline_is_what_is_open(sales: LandedWarehouse, published: dict[str, pd.DataFrame]):
    open_ones = published["sales_pipeline"].query("close_date.isna()").merge(
        published["products"], on="product"
    )  # fmt: skip
    stages = sales.frame("select * from marts.sales_pipeline").set_index("stage")
    for stage, rows in open_ones.groupby("deal_stage"):
        assert stages.loc[stage].opportunity_count == len(rows)
        assert stages.loc[stage].open_amount == rows.sales_price.sum()
        assert stages.loc[stage].win_rate == pytest.approx(4_238 / 6_711)
        weighted = rows.sales_price.sum() * 4_238 / 6_711
        assert stages.loc[stage].weighted_amount == pytest.approx(weighted, rel=1e-4)
    last = sales.frame("select * from marts.sales_monthly order by month desc limit 1").iloc[0]
    assert last.open_count == stages.opportunity_count.sum()
    assert last.open_pipeline_amount == stages.open_amount.sum()


def test_a_closing_is_expected_as_those_that_waited_as_long_closed(
    sales: LandedWarehouse, published: dict[str, pd.DataFrame]
):
    """The lower median of the days that decided ones took, of those that took longer."""
    pipeline = published["sales_pipeline"]
    days = (pipeline.close_date - pipeline.engage_date).dt.days.dropna()
    found = sales.frame(
        "select age_days, min(expected_close_on) as first_on, max(expected_close_on) as last_on "
        "from marts.sales_open_opportunities where stage = 'Engaging' group by age_days"
    )
    assert len(found) > 100
    for row in found.itertuples():
        longer = days[days > row.age_days]
        remaining = longer.quantile(0.5, "lower") - row.age_days if len(longer) else 0
        expected = pd.Timestamp("2017-12-31") + pd.Timedelta(days=remaining)
        assert row.first_on == row.last_on == expected


def test_conversion_of_stages(sales: LandedWarehouse):
    stages = sales.frame("select * from marts.sales_stage_conversion order by stage_order")
    counts = ["stage", "entered_count", "advanced_count", "lost_count", "waiting_count"]
    assert stages[counts].values.tolist() == [
        ["Prospecting", 8_800, 8_300, 0, 500],
        ["Engaging", 8_300, 4_238, 2_473, 1_589],
    ]
    assert stages.conversion_rate.iloc[1] == pytest.approx(4_238 / 6_711)


def test_before_the_snapshot_what_was_decided_later_is_open(sales: LandedWarehouse, tmp_path: Path):
    home = tmp_path / "june"
    june = sales.copy(home)
    assert june.settle(date(2017, 6, 30)) == date(2017, 6, 30)
    june.dbt(*NO_UNIT_TESTS, "--select", "+sales_monthly")
    monthly = (
        "select won_count, open_count, open_pipeline_amount from {} where month = '2017-06-01'"
    )
    with june.connection() as db:
        db.execute(f"attach '{sales.path}' as whole (read_only)")
        now = db.execute(monthly.format("marts.sales_monthly")).fetchone()
        later = db.execute(monthly.format("whole.marts.sales_monthly")).fetchone()
        undated = db.execute(
            "select count(*), sum(opportunity_amount) from marts.fct_opportunities "
            "where opened_on is null"
        ).fetchone()
    assert now[0] == later[0]
    assert (now[1] - later[1], now[2] - later[2]) == undated


def test_telco_churn_has_its_published_contracts(shared_data, tmp_path: Path):
    """7,043; 1,869 churned, 5,174 stayed; 11 not charged yet (shared/data/README.md)."""
    [file] = shared_data("telco_churn").glob("*.gz")
    telco = _landed(tmp_path, "telco_churn", file)
    telco.settle()
    telco.dbt(*NO_UNIT_TESTS, "--select", "+fct_subscriptions")
    counts = telco.frame(
        "select is_churned, count(*) as n, count(*) filter (where tenure_months = 0) as fresh, "
        "count(*) filter (where charged_amount = 0) as uncharged, "
        "count(*) - count(charged_amount) as unknown "
        "from marts.fct_subscriptions group by all order by n"
    )
    assert counts.values.tolist() == [[True, 1_869, 0, 0, 0], [False, 5_174, 11, 11, 0]]
