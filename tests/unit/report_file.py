"""A published file made in a moment: every table that a publication has, and a little company."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from crm_pipeline.defs.publication.meta_tables import META_TABLES
from crm_pipeline.resources.dbt import ensure_manifest

AS_OF = date(2026, 6, 30)
BUILT_AT = "2026-07-01 04:05:06.789"
RUN_ID = "5e1f0d2c-run"


def empty_file(path: Path) -> Path:
    """Write a published file whose tables have no rows, but for the one that says of what day."""
    manifest = ensure_manifest()
    nodes = [n for n in manifest["nodes"].values() if n["resource_type"] == "model"]
    nodes += manifest["sources"].values()
    with duckdb.connect(str(path)) as db:
        for schema in ("marts", "scores", "meta"):
            db.execute(f"create schema {schema}")
        for node in nodes:
            if node["schema"] in ("marts", "scores"):
                name = node.get("identifier") or node["name"]
                columns = [f'"{c["name"]}" {c["data_type"]}' for c in node["columns"].values()]
                db.execute(f"create table {node['schema']}.{name} ({', '.join(columns)})")
        for name, table in META_TABLES.items():
            columns = [f'"{column}" {kind}' for column, kind in table.types.items()]
            db.execute(f"create table meta.{name} ({', '.join(columns)})")
        db.execute(
            "insert into meta.build by name select ? as as_of, ?::timestamp as built_at, "
            "90 as horizon_days, '1.0' as code_version, 'shop' as sources, '{}' as champions, "
            "'abc' as input_digest, 'UTC' as time_zone, 'EUR' as currency",
            [AS_OF, BUILT_AT],
        )
    return path


def little_company(path: Path) -> Path:
    """Write a published file with two years of months, thirty customers and one segment."""
    empty_file(path)
    with duckdb.connect(str(path)) as db:
        db.execute(
            "insert into marts.kpi_monthly by name "
            "select (date '2024-07-01' + to_months(n::integer))::date as month, "
            "n < 24 as is_complete, 100 + n as order_count, 1000.5 + 10 * n as net_amount, "
            "50 + n as active_customers, "
            "5 as new_customers, 45 + n as returning_customers, 20.25 as average_order_amount, "
            "case when n > 2 then .1 + n / 1000 end as churn_rate, 3 as churned_customers, "
            "40 as customers_at_start, .5 as retention_rate from range(25) as months(n)"
        )
        db.execute(
            "insert into marts.customer_rfm by name select 'shop:' || n as customer_key, "
            "? as as_of, 10 * n as recency_days, 1 + n % 4 as order_count, 100 * n as net_amount, "
            "1 + n % 5 as recency_score, 1 + n % 3 as frequency_score, 1 as monetary_score, "
            "'champions' as rfm_segment from range(30) as people(n)",
            [AS_OF],
        )
        db.execute(
            "insert into scores.segment_profiles by name select ? as as_of, 1 as segment_id, "
            "'</script><b>Bold ones' as segment_name, 'All' as description, "
            "30 as customer_count, 1 as customer_share, 5 as median_recency_days, "
            "2 as median_order_count, 12.5 as mean_net_amount",
            [AS_OF],
        )
        db.execute(
            "insert into meta.publications by name select 1 as publication, ? as run_id, "
            "?::timestamp as built_at, ? as as_of, '{}' as settings, '{}' as champions, "
            "'1.0' as code_version",
            [RUN_ID, BUILT_AT, AS_OF],
        )
    return path
