"""Recommendations on Online Retail: a later period, beside popularity."""

from __future__ import annotations

import duckdb
import pandas as pd
import pytest

from ml.evaluation.gate import decide
from tests.unit.recommendation_shop import EMPTY_INVENTORY
from tests.unit.test_recommendation_training import figure, train


@pytest.mark.slow
def test_online_retail_doubles_popularity(shared_data):
    """90 days to 2011-12-09, new products only, all that were sold lately are ranked."""
    with duckdb.connect() as con:
        con.execute(
            """
            create table lines as
            select 'or:' || regexp_replace(CustomerID, '\\.0$', '') as customer_key,
                   'or:' || StockCode as product_key, trim(Description) as product_name,
                   InvoiceNo as order_key, InvoiceDate::date as ordered_on
            from read_csv(?, header = true, types = {'InvoiceNo': 'VARCHAR',
                          'StockCode': 'VARCHAR', 'CustomerID': 'VARCHAR',
                          'UnitPrice': 'DECIMAL(12,4)'})
            where InvoiceNo[1] not in ('C', 'A') and Quantity > 0 and UnitPrice > 0
              and regexp_matches(StockCode, '^[0-9]')
            """,
            [str(shared_data("online_retail/online_retail.csv.gz"))],
        )
        purchases = con.execute(
            "select distinct customer_key, product_key, ordered_on from lines "
            "where customer_key is not null order by all"
        ).df()
        sales = con.execute(
            "select product_key, ordered_on, count(distinct order_key) as order_count "
            "from lines group by all order by all"
        ).df()
        products = con.execute(
            "select product_key, max(product_name) as product_name, null as category, "
            "null as subcategory from lines group by product_key order by product_key"
        ).df()
    frames = {"purchases": purchases, "sales": sales, "inventory": EMPTY_INVENTORY,
              "products": products}  # fmt: skip
    last = pd.Timestamp("2011-12-09").date()
    result = train(frames, as_of=last, horizon_days=90)
    assert decide(result).promoted
    assert figure(result, "ndcg") > 1.8 * figure(result, "ndcg", "baseline_value")
    assert figure(result, "ndcg") > 0.10
    assert figure(result, "coverage") > 0.2
