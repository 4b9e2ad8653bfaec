"""The order in which rows lie in the warehouse decides nothing: no mart, no model, no score.

Marts alone are tried in many histories: ``harness/warehouse.py``, ``ShuffledWarehouse``.
"""

from __future__ import annotations

import shutil

import duckdb
import pytest

from tests.pipeline.support import crm, different, publication, shuffle, succeeded

SCHEMAS = ("landing", "history", "intermediate", "marts", "features", "scores")


@pytest.mark.slow
def test_shuffled_rows_and_an_empty_registry_give_the_same_publication(demo_home, demo_copy):
    with duckdb.connect(str(demo_copy / "warehouse.duckdb")) as db:
        tables = db.execute(
            "select schema_name, table_name from duckdb_tables() "
            "where not temporary and list_contains(?, schema_name) order by all",
            [list(SCHEMAS)],
        ).fetchall()
        for salt, (schema, name) in enumerate(tables):
            shuffle(db, f'"{schema}"."{name}"', salt)
    assert len(tables) > 200
    # every model is trained anew, from rows that lie otherwise
    shutil.rmtree(demo_copy / "mlflow")
    succeeded(crm(demo_copy, "run"))
    assert different(publication(demo_home), publication(demo_copy)) == []
