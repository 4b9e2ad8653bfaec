"""What the modelling assets leave in the warehouse, before there is anything to tell."""

from __future__ import annotations

from datetime import date

import duckdb

from crm_pipeline.defs.modelling.models import forecast, win_probability
from crm_pipeline.defs.modelling.spec import Scored
from crm_pipeline.defs.modelling.store import (
    RunSettings,
    champion_versions,
    followed_version,
    save_champion,
    write_scores,
)


def test_a_refresh_before_the_first_training_leaves_what_the_publication_reads():
    with duckdb.connect() as con:
        con.execute("create schema control")
        save_champion(con, "churn", None)
        assert champion_versions(con) == "{}"
        assert con.execute("select * from control.model_evaluations").fetchall() == []


SETTINGS = RunSettings(date(2025, 6, 15), 90, 365, 90, 0.1)


def _written(spec, con, status):
    assert spec.without_champion is not None
    rows = Scored(spec.without_champion(con, SETTINGS, status))
    write_scores(con, spec, rows, as_of=SETTINGS.as_of, model_version=None, status=status)
    return con.execute(f"select * from scores.{spec.table}").df()


def test_a_forecast_that_nothing_rules_says_why():
    with duckdb.connect() as con:
        rows = _written(forecast.SPEC, con, "no_model_passed")
        assert set(rows["status"]) == {"no_model_passed"}
        assert rows["forecast"].isna().all()
        assert rows["model_version"].isna().all()
        assert con.execute("select count(*) from scores.sales_forecast_accuracy").fetchone() == (0,)


def test_open_opportunities_have_a_status_and_no_version_without_a_champion():
    with duckdb.connect() as con:
        con.execute("create schema features")
        con.execute(
            "create table features.opportunity_states as select 's:1' as opportunity_key, "
            "1 as state_number, 's' as source, 's:c' as customer_key, null::varchar as owner_key, "
            "null::varchar as product_key, null::varchar as team, null::varchar as region, "
            "null::varchar as industry, null::integer as employee_count, "
            "date '2025-06-01' as opened_on, null::date as closed_on, null::boolean as is_won, "
            "null::date as entered_on, 30 as stage_order"
        )
        rows = _written(win_probability.SPEC, con, "too_little_data")
        assert rows[["opportunity_key", "status"]].to_numpy().tolist() == [
            ["s:1", "too_little_data"]
        ]
        assert rows["win_probability"].isna().all()
        con.execute("delete from features.opportunity_states")
        assert _written(win_probability.SPEC, con, "too_little_data").empty


def test_what_has_no_value_has_no_version_either():
    with duckdb.connect() as con:
        assert forecast.SPEC.without_champion is not None
        rows = forecast.SPEC.without_champion(con, SETTINGS, "too_little_data")
        rows.loc[0, ["status", "forecast"]] = ["scored", 1.0]
        write_scores(
            con, forecast.SPEC, Scored(rows), as_of=SETTINGS.as_of, model_version="v1", status=""
        )
        found = con.execute("select status, model_version from scores.sales_forecast").fetchall()
        assert ("scored", "v1") in found
        assert {version for status, version in found if status != "scored"} == {None}


def test_a_version_that_follows_its_champion_stands_for_one_result():
    """Its names come from the champion: other champions, other versions; the same one, none new."""
    assert followed_version("content", "champion", "content") == "champion"
    first = followed_version("content", "champion", "earlier")
    assert first not in ("content", "champion")
    assert first == followed_version("content", "champion", None)
    assert first != followed_version("content", "another", "earlier")
