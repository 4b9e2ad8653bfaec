"""Drift, grades, cards: on small frames, and the SQL of the history on a small warehouse."""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crm_pipeline.defs.modelling import history
from crm_pipeline.defs.modelling.store import CHAMPION_TABLE, RunSettings
from ml.evaluation.card import About, model_card
from ml.evaluation.result import TRAINED, GateInputs, TrainingResult, evaluation_frame
from ml.monitoring.drift import population_stability_index, reading
from ml.monitoring.scorecard import grade_amounts, grade_probabilities

RNG = np.random.default_rng(7)


def test_the_index_of_two_bins_is_the_formula():
    """Shares .5/.5 against .8/.2, large enough for the half counts not to matter."""
    before, now = np.repeat([0.0, 1.0], [50_000, 50_000]), np.repeat([0.0, 1.0], [80_000, 20_000])
    by_hand = 0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5)
    assert population_stability_index(before, now) == pytest.approx(by_hand, abs=1e-3)
    assert reading(by_hand) == "drifted"
    assert reading(0.1) == "noticeable"
    assert reading(0.0999) == "stable"


def test_the_index_tells_a_moved_distribution_from_an_unmoved_one():
    before, same, moved = RNG.normal(size=3000), RNG.normal(size=3000), RNG.normal(1, 1, 3000)
    assert reading(population_stability_index(before, same)) == "stable"
    assert reading(population_stability_index(before, moved)) == "drifted"
    with_gaps = same.copy()
    with_gaps[:1500] = np.nan
    assert reading(population_stability_index(before, with_gaps)) == "drifted"


values = arrays(float, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32))


@given(values, values)
def test_the_index_is_positive_and_blind_to_order_and_scale(before, now):
    index = population_stability_index(before, now)
    assert index >= 0
    assert population_stability_index(before[::-1], np.sort(now)) == pytest.approx(index)
    assert population_stability_index(before * 8, now * 8) == pytest.approx(index)
    assert population_stability_index(before, before) == pytest.approx(0)


def test_an_index_needs_rows():
    with pytest.raises(ValueError, match="rows on both sides"):
        population_stability_index([], [1.0])


def graded(frame: pd.DataFrame) -> dict[str, float]:
    return dict(zip(frame["metric"], frame["value"], strict=True))


def test_honest_probabilities_are_not_off_and_shifted_ones_are():
    p = pd.Series(RNG.uniform(0.05, 0.95, 4000))
    y = pd.Series((RNG.uniform(size=4000) < p).astype(float))
    honest, shifted = graded(grade_probabilities(p, y)), graded(grade_probabilities(p * 0.8, y))
    assert honest["is_off"] == 0
    assert shifted["is_off"] == 1
    assert honest["log_loss"] < shifted["log_loss"]
    assert honest["calibration_error"] < 0.03


def test_honest_probabilities_are_hardly_ever_called_off():
    off = 0.0
    for _ in range(400):
        p = pd.Series(RNG.uniform(0.05, 0.95, 200))
        y = pd.Series((RNG.uniform(size=200) < p).astype(float))
        off += graded(grade_probabilities(p, y))["is_off"]
    assert off <= 3  # .4 are expected


def test_amounts_are_graded_beside_the_period_before():
    happened = pd.Series(RNG.gamma(2, 50, 500))
    card = grade_amounts(happened * 1.1, happened, pd.Series(np.full(500, 100.0)))
    card = card.set_index("metric")
    assert card.loc["total_ratio", "value"] == pytest.approx(1.1)
    assert card.loc["normalised_gini", "value"] == pytest.approx(1)
    assert card.loc["normalised_gini", "baseline_value"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("happened", [np.zeros(40), np.ones(40)])
def test_one_class_and_nobody_spending_are_graded_as_far_as_they_go(happened):
    p, y = pd.Series(np.full(40, 0.5)), pd.Series(happened)
    assert "roc_auc" not in graded(grade_probabilities(p, y))
    assert graded(grade_amounts(p, y, p))["rows"] == 40
    assert grade_probabilities(p[:29], y[:29]).empty
    assert grade_amounts(p[:29], y[:29], p[:29]).empty


# --- the history in the warehouse -------------------------------------------------------------


def settings(as_of: date) -> RunSettings:
    return RunSettings(as_of, 90, 365, 90, 0.1)


@pytest.fixture
def warehouse():
    """Sixty customers; the even ones buy again 30 days after 1 January, of 100 each."""
    with duckdb.connect() as con:
        con.execute("create schema marts; create schema scores; create schema control")
        con.execute(
            "create table marts.dim_customers as "
            "select 'shop:' || i as customer_key from range(60) as r (i)"
        )
        con.execute(
            "create table marts.fct_orders as "
            "select 'shop:' || i as customer_key, date '2025-12-01' as ordered_on, "
            "50::decimal(18,2) as gross_amount from range(60) as r (i) union all "
            "select 'shop:' || i, date '2026-01-31', 100 from range(0, 60, 2) as r (i)"
        )
        con.execute(CHAMPION_TABLE)
        con.execute("insert into control.model_champions values ('churn', 'v1'), ('clv', 'v1')")
        yield con


def score(con, as_of: date, probability: str, amount: str = "10.0", version: str = "v1") -> None:
    con.execute(
        f"create or replace table scores.customer_churn as select customer_key, date '{as_of}' "
        f"as as_of, 'scored' as status, 90 as horizon_days, {probability} as churn_probability, "
        f"'{version}' as model_version from marts.dim_customers"
    )
    con.execute(
        f"create or replace table scores.customer_clv as select customer_key, date '{as_of}' "
        f"as as_of, 'scored' as status, 365 as horizon_days, {amount} as clv_amount, "
        f"'{version}' as model_version from marts.dim_customers"
    )
    history.remember(con, settings(as_of))


EVEN = "split_part(customer_key, ':', 2)::integer % 2"


def test_scores_are_graded_once_their_horizon_is_over(warehouse):
    score(warehouse, date(2026, 1, 1), f"case when {EVEN} = 0 then .1 else .9 end")
    early = settings(date(2026, 3, 31))
    assert history.grade(warehouse, early).empty
    card = history.grade(warehouse, settings(date(2026, 4, 1))).set_index(["model", "metric"])
    assert card.loc[("churn", "roc_auc"), "value"] == 1
    assert card.loc[("churn", "mean"), "baseline_value"] == 0.5
    assert set(card.index.get_level_values("model")) == {"churn"}
    card = history.grade(warehouse, settings(date(2027, 1, 1))).set_index(["model", "metric"])
    spent = 30 * 100 / 1.1 ** (30 / 365)
    assert card.loc[("clv", "total_ratio"), "value"] == pytest.approx(600 / spent)
    # the year before: 50 each, 31 days away, counted as if those lay ahead
    naive = 60 * 50 / 1.1 ** (31 / 365)
    assert card.loc[("clv", "total_ratio"), "baseline_value"] == pytest.approx(naive / spent)


def test_a_model_that_was_wrong_is_a_concern_and_one_that_was_right_is_not(warehouse):
    now = settings(date(2026, 4, 1))
    score(warehouse, date(2026, 1, 1), "0.5")
    assert history.concerns(history.grade(warehouse, now), history.compare(warehouse, now)) == []
    score(warehouse, date(2026, 1, 1), "0.9")
    found = history.concerns(history.grade(warehouse, now), history.compare(warehouse, now))
    assert len(found) == 1
    assert found[0].startswith("churn v1: what happened after 2026-01-01 is outside")


def test_scores_that_moved_under_one_version_are_a_concern(warehouse):
    spread = f"({EVEN} + 1) / 3.0"
    score(warehouse, date(2026, 1, 31), spread)
    score(warehouse, date(2026, 2, 28), spread)
    now = settings(date(2026, 2, 28))
    drift = history.compare(warehouse, now).set_index("model")
    assert drift.loc["churn", "reading"] == "stable"
    score(warehouse, date(2026, 2, 28), "0.95")
    drift = history.compare(warehouse, now)
    assert (
        "churn v1: its scores have moved since 2026-01-31"
        in history.concerns(pd.DataFrame(), drift)[0]
    )
    # another version begins anew
    warehouse.execute("update control.model_champions set model_version = 'v2'")
    score(warehouse, date(2026, 2, 28), "0.95", version="v2")
    assert history.compare(warehouse, now).empty


def test_the_history_keeps_each_months_last_and_forgets_the_erased(warehouse):
    for day in (date(2026, 1, 10), date(2026, 1, 20), date(2026, 2, 3), date(2026, 2, 3)):
        score(warehouse, day, "0.5")
    kept = warehouse.execute(
        "select distinct as_of from control.score_history order by 1"
    ).fetchall()
    assert [day for (day,) in kept] == [date(2026, 1, 20), date(2026, 2, 3)]
    warehouse.execute("delete from marts.dim_customers where customer_key = 'shop:7'")
    score(warehouse, date(2026, 2, 4), "0.5")
    row = warehouse.execute(
        "select count(*) from control.score_history where customer_key = 'shop:7'"
    ).fetchone()
    assert row == (0,)


# --- the card ---------------------------------------------------------------------------------


def test_a_card_says_data_choice_figures_and_limits():
    result = TrainingResult(
        status=TRAINED,
        reason="Splines won",
        estimator=None,
        parameters={"alpha": 0.123456789, "family": "splines"},
        evaluation=evaluation_frame([("2025", "log_loss", 0.4, 0.6, None)]),
        figures={},
        tables={},
        gate=GateInputs(model="churn"),
    )
    about = About(
        "churn", "abc", "2026-01-01", "Who stays away.", ("Not a cause.",), "f" * 64,
        {"horizon_days": 90}, "baseline",
    )  # fmt: skip
    card = model_card(about, result, "promoted: beats the base rate.")
    for said in (
        "# churn abc", "end of 2026-01-01", "horizon_days = 90", "Splines won.",
        "promoted: beats the base rate. Opponent: baseline.", "| log_loss | 0.4 | 0.6 |  |",
        "- alpha: 0.123457", "- Not a cause.",
    ):  # fmt: skip
        assert said in card
    assert card == model_card(about, result, "promoted: beats the base rate.")
