"""``make docs``: one page that opens from disk, with every published table and the lineage."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from crm_pipeline.defs.publication.catalogue import published_tables
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.dbt_docs import write_docs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that dbt's documentation was written to."""
    return write_docs(tmp_path_factory.mktemp("dbt") / "docs").parent


def test_every_published_table_is_in_the_catalogue_with_its_columns(docs):
    catalogue = json.loads((docs / "catalog.json").read_bytes())
    listed = {
        f"{one['metadata']['schema']}.{one['metadata']['name']}": set(one["columns"])
        for part in ("nodes", "sources")
        for one in catalogue[part].values()
    }
    tables = published_tables(ensure_manifest())
    assert len(tables) > 90
    for table in tables:
        columns = {column.name for column in table.columns}
        assert listed.get(f"{table.schema}.{table.name}") == columns, table.name


def test_the_lineage_goes_from_a_files_rows_to_what_is_published(docs):
    parents = json.loads((docs / "manifest.json").read_bytes())["parent_map"]
    waiting, before = ["model.crm.customer_360"], set()
    while waiting:
        node = waiting.pop()
        before.add(node)
        waiting += [one for one in parents[node] if one not in before]
    assert {"source.crm.demo.customers", "model.crm.fct_orders", "source.crm.scores.customer_clv"} \
        <= before  # fmt: skip


def test_the_page_needs_nothing_but_itself(docs):
    page = (docs / "static_index.html").read_text(encoding="utf-8")
    assert "Every metric by month" in page
    fetched = re.findall(
        r"<(?:script|link|img)[^>]*(?:src|href)=[\"']((?:https?:)?//[^\"']+)", page
    )
    assert fetched == []
