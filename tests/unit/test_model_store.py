"""What the modelling assets leave in the warehouse, before there is anything to tell."""

from __future__ import annotations

import duckdb

from crm_pipeline.defs.modelling.store import champion_versions, save_champion


def test_a_refresh_before_the_first_training_leaves_what_the_publication_reads():
    with duckdb.connect() as con:
        con.execute("create schema control")
        save_champion(con, "churn", None)
        assert champion_versions(con) == "{}"
        assert con.execute("select * from control.model_evaluations").fetchall() == []
