"""The sales forecast: it adds up, knows nothing later, abstains, and earns its place."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.gate import decide
from ml.evaluation.leakage import scramble_after
from ml.evaluation.metrics import paired_t
from ml.forecast.sales.intervals import Intervals, covered
from ml.forecast.sales.model import SKOPS_TRUSTED_TYPES
from ml.forecast.sales.panel import OTHERS, TooShort, build_panel
from ml.forecast.sales.scoring import accuracy_rows, score_forecast, without_champion
from ml.forecast.sales.training import smape, train_forecast
from tests.unit.forecast_company import lines, periods_of

AS_OF = "2025-05-10"
EARLIER = "2025-03-10"


@cache
def company():
    return periods_of(lines())


@cache
def trained():
    return train_forecast(company(), as_of=AS_OF)


@cache
def scored():
    return score_forecast(trained().estimator, company(), AS_OF)


def _of(frame, measure="gross_amount", dimension="total", grain="day"):
    chosen = (frame["measure"] == measure) & (frame["dimension"] == dimension)
    return frame[chosen & (frame["period_grain"] == grain)]


def test_it_beats_the_seasonal_naive_forecast_on_months_it_never_saw():
    decided = decide(trained())
    assert decided.promoted, decided.reason
    figures = trained().evaluation.set_index("metric")
    assert figures.loc["mase_day", "value"] < 0.85 * figures.loc["mase_day", "baseline_value"]
    assert trained().estimator.evaluated_.known_until_ == "2025-02-10"


def test_intervals_hold_what_they_promise():
    figures = trained().evaluation.set_index("metric")["value"]
    for grain in ("day", "week"):
        assert figures[f"coverage_80_{grain}"] == pytest.approx(0.80, abs=0.10)
        assert figures[f"coverage_95_{grain}"] == pytest.approx(0.95, abs=0.045)
    ends = scored()[["low_95", "low_80", "forecast", "high_80", "high_95"]]
    assert (np.diff(ends.to_numpy(), axis=1) >= 0).all()


@pytest.mark.parametrize("measure", ["gross_amount", "order_count"])
def test_days_sum_to_weeks_and_months_and_parts_to_the_total(measure):
    sold = company()
    for dimension in ("total", "country"):
        days = _of(scored(), measure, dimension)
        for grain, size in (("week", "7D"), ("month", None)):
            for row in _of(scored(), measure, dimension, grain).itertuples():
                start = row.period_start_on
                end = start + (pd.Timedelta(size) if size else pd.offsets.MonthBegin(1))
                mine = days[days["dimension_value"] == row.dimension_value]
                inside = mine["period_start_on"].between(start, end, inclusive="left")
                known = sold[(sold["period_grain"] == "day")
                             & (sold["dimension_value"] == row.dimension_value)
                             & (sold["dimension"] == dimension)
                             & (sold["period_start_on"] >= start)
                             & (sold["period_start_on"] <= AS_OF)][measure].sum()  # fmt: skip
                total = mine.loc[inside, "forecast"].sum() + known
                assert row.forecast == pytest.approx(total, rel=1e-5, abs=0.01)
    total = _of(scored(), measure).set_index("period_start_on")["forecast"]
    for dimension in (
        "country",
        "order_kind",
        *(("category",) if measure == "gross_amount" else ()),
    ):
        parts = _of(scored(), measure, dimension).groupby("period_start_on")["forecast"].sum()
        np.testing.assert_allclose(parts.to_numpy(), total.to_numpy(), rtol=1e-5, atol=0.01)


def test_what_cannot_be_summed_is_not_and_says_so():
    is_moved = scored().groupby(["measure", "dimension"])["is_reconciled"].agg(["min", "max"])
    assert not is_moved.loc["active_customers"].to_numpy().any()
    assert not is_moved.loc[("order_count", "category")].any()
    assert is_moved.loc[("gross_amount", "category")].all()
    months = _of(scored(), "active_customers", grain="month")["forecast"]
    assert months.iloc[1] < 0.97 * _of(scored(), "active_customers")["forecast"].iloc[21:51].sum()


def test_forecasts_as_of_a_day_do_not_change_when_later_rows_do():
    later = periods_of(scramble_after(lines(), pd.Timestamp(EARLIER).date(), "day", seed=1))
    honest = train_forecast(company(), as_of=EARLIER)
    other = train_forecast(later, as_of=EARLIER)
    pd.testing.assert_frame_equal(honest.evaluation, other.evaluation)
    pd.testing.assert_frame_equal(
        score_forecast(honest.estimator, company(), EARLIER),
        score_forecast(other.estimator, later, EARLIER),
    )


def test_the_leak_test_finds_a_panel_that_looks_a_day_ahead():
    later = periods_of(scramble_after(lines(), pd.Timestamp(EARLIER).date(), "day", seed=1))
    model = trained().estimator
    honest, other = (model.predict(frame, "2025-03-11")[1].forecasts["day"]
                     for frame in (company(), later))  # fmt: skip
    assert np.abs(honest - other).max() > 1


def test_the_order_of_the_rows_does_not_matter():
    shuffled = company().sample(frac=1, random_state=3)
    again = score_forecast(trained().estimator, shuffled, AS_OF)
    pd.testing.assert_frame_equal(again, scored())
    second = train_forecast(shuffled, as_of=AS_OF)
    pd.testing.assert_frame_equal(second.evaluation, trained().evaluation)


def test_a_champion_stays_against_itself_and_a_worse_one_does_not():
    same = train_forecast(company(), as_of=AS_OF, champion=trained().estimator)
    assert same.gate.champion is not None
    decided = decide(same)
    assert not decided.promoted
    assert "does not beat champion" in decided.reason
    rival = train_forecast(company(), as_of=AS_OF).estimator
    worse = rival.evaluated_
    worse.methods_ = {g: ["seasonal_naive"] * len(m) for g, m in worse.methods_.items()}
    assert decide(train_forecast(company(), as_of=AS_OF, champion=rival)).promoted


def test_a_challenger_that_promises_too_much_stays_out():
    result = trained()
    figures = {**result.gate.figures, "coverage_80": 0.5}
    gate = result.gate.__class__(**{**result.gate.__dict__, "figures": figures})
    decided = decide(result.__class__(**{**result.__dict__, "gate": gate}))
    assert not decided.promoted
    assert "hold only 50%" in decided.reason


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (lambda: company().head(0), "no sales"),
        (lambda: company()[company()["period_start_on"] == AS_OF], "1 days are too few"),
        (lambda: periods_of(lines(days=200)), "too few"),
        (lambda: company().assign(gross_amount=0.0), "0% of the last 182 days"),
        (lambda: company()[company()["period_start_on"].dt.day == 1], "too few"),
    ],
)
def test_too_little_abstains_and_says_why(frame, why):
    rows = frame()
    as_of = min(rows["period_start_on"].max(), pd.Timestamp(AS_OF)) if len(rows) else AS_OF
    result = train_forecast(rows, as_of=str(as_of)[:10])
    assert result.status == "too_little_data"
    assert why in result.reason
    assert not decide(result).promoted


def test_without_a_champion_the_totals_say_why():
    rows = without_champion("no_model_passed", AS_OF)
    assert set(rows["status"]) == {"no_model_passed"}
    assert rows["forecast"].isna().all()
    assert len(rows) == 9
    empty = score_forecast(trained().estimator, company().head(0), AS_OF)
    assert set(empty["status"]) == {"too_little_data"}


def test_a_sparse_category_abstains_and_is_in_the_others():
    sold = lines()
    rare = sold["category"].eq("tea") & (sold["order"] % 40 > 0)
    frame = periods_of(sold[~rare])
    result = train_forecast(frame, as_of=AS_OF)
    rows = score_forecast(result.estimator, frame, AS_OF)
    tea = rows[rows["dimension_value"] == "tea"]
    assert set(tea["status"]) == {"too_little_data"}
    assert tea["forecast"].isna().all()
    others = _of(rows, dimension="category")
    assert (others[others["dimension_value"] == OTHERS]["forecast"] >= 0).all()


def test_negative_days_gaps_and_a_new_category_are_forecast():
    sold = lines(seed=5)
    sold.loc[sold["day"].dt.day == 13, "amount"] *= -2
    sold = sold[~sold["day"].between("2024-10-01", "2024-10-20")]
    frame = periods_of(sold)
    result = train_forecast(frame, as_of=AS_OF)
    assert result.status == "trained"
    new = sold.copy()
    new.loc[new["day"] > "2025-05-01", "category"] = "new"
    rows = score_forecast(result.estimator, periods_of(new), AS_OF)
    assert np.isfinite(rows.loc[rows["status"] == "scored", "forecast"]).all()
    assert "new" not in set(rows.loc[rows["status"] == "scored", "dimension_value"])


def test_a_closed_weekday_stays_closed():
    sold = lines()
    frame = periods_of(sold[sold["day"].dt.day_of_week != 5])
    rows = score_forecast(train_forecast(frame, as_of=AS_OF).estimator, frame, AS_OF)
    saturdays = rows["period_start_on"].dt.day_of_week == 5
    assert (rows[saturdays & (rows["period_grain"] == "day")]["forecast"] == 0).all()


def test_the_series_are_named_with_what_each_method_missed_by():
    rows = accuracy_rows(trained().estimator)
    assert not rows.duplicated(["measure", "dimension", "dimension_value", "period_grain"]).any()
    assert (rows["mase"] > 0).all()
    assert rows["coverage_95_rate"].between(0, 1).all()
    assert smape(np.array([0.0, 1.0]), np.array([0.0, 3.0])) == 0.5


def test_intervals_of_known_errors_hold():
    rng = np.random.default_rng(0)
    errors = rng.standard_t(5, (6, 20, 92))
    model = Intervals("day").fit(errors)
    actual = rng.standard_t(5, (20, 92)) * (10 + 0.5)
    flat = np.full((20, 92), 10.0)
    ends = model.around(flat, np.full(20, 10.0), np.full(20, -np.inf))
    for level in (0.80, 0.95):
        assert covered(actual + 10, ends, level).mean() == pytest.approx(level, abs=0.02)


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="order_count"):
        build_panel(company().drop(columns="order_count"), AS_OF)
    with pytest.raises(TooShort, match="no sales"):
        build_panel(company(), "2020-01-01")


def test_pure_noise_against_the_champion_is_promoted_rarely():
    """Two forecasts that differ by chance only: at most the test's level of promotions."""
    rng = np.random.default_rng(0)
    noise = rng.normal(1, 0.2, (400, 2, 13))
    wins = sum(paired_t(a, b).p_value < 0.05 for a, b in noise)
    assert wins <= 0.05 * 400 + 2 * np.sqrt(400 * 0.05 * 0.95)


def test_it_is_stored_without_pickle():
    from skops.io import dumps, loads

    stored = dumps(trained().estimator)
    again = loads(stored, trusted=SKOPS_TRUSTED_TYPES)
    pd.testing.assert_frame_equal(score_forecast(again, company(), AS_OF), scored())
