"""A customer with a running contract is scored by it, whoever rules over orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd
import pytest

from crm_pipeline.defs.modelling.models.churn import SPEC as BY_ORDERS
from crm_pipeline.defs.modelling.models.contract_churn import SPEC as BY_CONTRACT
from crm_pipeline.defs.modelling.models.contract_churn import let_contracts_decide
from crm_pipeline.defs.modelling.store import RunSettings, write_scores
from ml.churn.kinds import CONTRACT
from ml.churn.model import ChurnModel
from tests.unit.test_churn_contracts import TODAY, contracts

SETTINGS = RunSettings(
    as_of=TODAY, horizon_days=90, clv_horizon_days=365, clv_holdout_days=90, discount_rate=0.1
)


@dataclass(frozen=True)
class Ruling:
    """What the tracking door hands out."""

    model_version: str
    estimator: object


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Four customers with orders; b has one contract, c two, d one that ended; e has no order."""
    with duckdb.connect() as db:
        db.execute("create schema features; create schema seeds; create schema scores")
        rows = contracts(400).assign(is_ended=False, is_churned=False)
        rows["customer_key"] = [*"bccde", *rows["customer_key"].iloc[5:]]
        rows.loc[3, "is_ended"] = True
        rows["cut_off_on"] = rows["cut_off_on"].dt.date
        db.register("rows", rows)
        db.execute("create table features.subscription_features as select * from rows")
        db.execute(
            "create table features.customer_features as select unnest(['a', 'b', 'c', 'd']) "
            "as customer_key, ?::date as cut_off_on",
            [TODAY],
        )
        db.execute(
            "create table seeds.risk_bands as select 'all' as risk_band, 0.0 as minimum_rate"
        )
        db.execute(
            "create table seeds.churn_costs as select 'contract_churn' as model, "
            "1.0 as contact_amount, 1000000.0 as saved_amount, 1.0 as success_rate"
        )
        yield db


@pytest.fixture(scope="module")
def ruling() -> Ruling:
    table = contracts(400)
    model = ChurnModel("logistic full strength=1000", kind=CONTRACT, horizon_days=0)
    return Ruling("v1", model.fit(table, table["is_churned"]))


def scores(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    write_scores(con, BY_ORDERS, None, as_of=TODAY, model_version=None, status="no_model_passed")
    return con.execute("select * from scores.customer_churn order by customer_key").df()


def test_the_contract_decides_also_where_no_model_of_orders_rules(con, ruling):
    scores(con)
    asked = []
    let_contracts_decide(con, SETTINGS, lambda *which: asked.append(which) or ruling)
    assert asked == [("contract_churn", 90)]
    found = con.execute("select * from scores.customer_churn order by customer_key").df()
    assert found["status"].tolist() == ["no_model_passed", "scored", "scored", "no_model_passed"]
    said = BY_CONTRACT.score(
        ruling.estimator, BY_CONTRACT.scoring_frames(con, SETTINGS), SETTINGS
    ).predictions
    worst = said[said["status"] == "scored"].groupby("customer_key")["churn_probability"].max()
    assert found.loc[1:2, "churn_probability"].tolist() == [worst["b"], worst["c"]]
    assert found.loc[1:2, "model_version"].tolist() == ["v1", "v1"]
    assert found.loc[1:2, "is_contact_worthwhile"].tolist() == [True, True]
    assert found.loc[0, "churn_probability"] != found.loc[0, "churn_probability"]
    reasons = con.execute(
        "select customer_key, model, sum(contribution) as total, count(*) as n "
        "from scores.customer_reasons group by all order by all"
    ).df()
    assert reasons["customer_key"].tolist() == ["b", "c"]
    assert set(reasons["model"]) == {"contract_churn"}


def test_without_a_model_of_contracts_nothing_changes(con):
    before = scores(con)
    let_contracts_decide(con, SETTINGS, lambda *_: None)
    after = con.execute("select * from scores.customer_churn order by customer_key").df()
    pd.testing.assert_frame_equal(after, before)


def test_contracts_are_written_with_their_state(con, ruling):
    scored = BY_CONTRACT.score(
        ruling.estimator, BY_CONTRACT.scoring_frames(con, SETTINGS), SETTINGS
    )
    write_scores(con, BY_CONTRACT, scored, as_of=TODAY, model_version="v1", status="")
    counts = con.execute(
        "select status, count(*), count(churn_probability), count(horizon_days), min(as_of) "
        "from scores.subscription_churn group by all order by all"
    ).fetchall()
    assert counts == [("ended", 1, 0, 0, date(2025, 12, 21)), ("scored", 399, 399, 0, TODAY)]
    words = con.execute(
        "select count(*) from scores.subscription_reasons where value is null "
        "and value_text is null and feature in ('contract_term', 'tenure_months')"
    ).fetchone()
    assert words == (0,)
