"""Sample queries and metrics as an analyst finds them: by area, in the file and on the page."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import duckdb
import pytest

from crm_pipeline.defs.publication.catalogue import published_tables
from crm_pipeline.defs.publication.meta_tables import META_TABLES
from crm_pipeline.defs.publication.questions import (
    PAGE,
    SampleQuery,
    metric_definitions,
    page,
    sample_queries,
)
from crm_pipeline.resources.dbt import ensure_manifest

AREAS = {
    "Overview", "Customers", "Value", "Churn", "Sales", "Marketing", "Visits", "Service",
    "Satisfaction", "Products", "Stock", "Payments", "Audiences", "Models", "Data",
}  # fmt: skip


@pytest.fixture(scope="module")
def empty():
    """A published file in which every table is as declared, and empty."""
    manifest = ensure_manifest()
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    types = {
        (node["schema"], node.get("identifier") or node["name"]): {
            column["name"]: column["data_type"] for column in node["columns"].values()
        }
        for node in nodes
        if node["schema"] in ("marts", "scores")
    }
    types |= {("meta", name): table.types for name, table in META_TABLES.items()}
    published = {(t.schema, t.name) for t in published_tables(manifest)}
    with duckdb.connect() as db:
        for schema in ("marts", "scores", "meta"):
            db.execute(f"create schema {schema}")
        for (schema, name), columns in types.items():
            if schema == "meta" or (schema, name) in published:
                listed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
                db.execute(f"create table {schema}.{name} ({listed})")
        yield db


def test_every_query_runs_where_nothing_is_known(empty):
    """Whatever the home: no table and no column is named that a publication may lack."""
    for query in sample_queries():
        empty.execute(query.sql).fetchall()


def test_a_query_that_does_not_run_would_be_seen(empty):
    with pytest.raises(duckdb.Error, match="no_such_column"):
        empty.execute("select no_such_column from marts.customer_360").fetchall()


def test_every_area_has_real_questions_and_no_name_is_taken_twice():
    queries = sample_queries()
    per_area = Counter(query.area for query in queries)
    assert set(per_area) == AREAS
    assert len(queries) >= 40
    assert min(per_area.values()) >= 2
    assert [t for t, n in Counter(query.title for query in queries).items() if n > 1] == []
    for query in queries:
        assert query.question.endswith("?"), query.title
        assert query.question[0].isupper(), query.title
        assert max(map(len, query.sql.splitlines())) <= 100, query.title


def test_every_area_of_the_marts_and_every_score_is_asked_for():
    asked = " ".join(query.sql for query in sample_queries())
    tables = {f"{t.schema}.{t.name}" for t in published_tables(ensure_manifest())}
    unasked = {name for name in tables if name.startswith("scores.") and name not in asked}
    # what these say of a customer is in marts.customer_360 too, or beside what is asked for
    assert unasked <= {"scores.customer_segments", "scores.customer_learned_score",
                       "scores.subscription_reasons",
                       "scores.session_segment_comparison"}  # fmt: skip


def test_the_page_is_what_the_queries_make():
    said = PAGE.read_text(encoding="utf-8")
    assert said == page(sample_queries()), "docs/sample-queries.md is old: `make docs` writes it"


def test_the_page_goes_by_area_and_links_each():
    queries = [
        SampleQuery("Sales", "One", "How many?", "select 1"),
        SampleQuery("Data", "Two", "How much?", "select\n2"),
        SampleQuery("Sales", "Three", "How?", "select 3"),
    ]
    text = page(queries)
    parts = ["3 queries", "* [Sales](#sales)", "* [Data](#data)", "## Sales", "### One",
             "### Three", "## Data", "### Two", "```sql\nselect\n2\n```"]  # fmt: skip
    assert all(text.index(one) < text.index(other) for one, other in pairwise(parts))


def test_metrics_are_told_with_what_holds_them():
    told = metric_definitions(ensure_manifest()).set_index("metric")
    assert len(told) >= 154
    assert told.loc["net_amount", "published_in"] == (
        "marts.kpi_monthly.net_amount, marts.kpi_daily.net_amount"
    )
    assert told["description"].str.len().min() > 5
