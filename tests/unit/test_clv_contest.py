"""The contest: who wins, what may be seen, the hurdle model, the season, what is published."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import skops.io

from ml.clv.contest import (
    SEASON_LIMITS,
    choose,
    fit_hurdle,
    fit_values,
    season_factors,
    winner_of,
)
from ml.clv.hurdle import HurdleValue, design
from ml.clv.periods import Period, YearBefore, labelled, period, year_before
from ml.clv.published import TRUSTED_TYPES, PublishedValue
from ml.clv.training import suspicious_features, train_clv
from ml.clv.value import CustomerValue
from ml.evaluation.gate import decide
from ml.evaluation.leakage import look_ahead_columns, scramble_after
from tests.unit.clv_real_data import features_at, labels_at, periods

START = pd.Timestamp("2023-01-01")
NOW = "2024-12-31"
HOLDOUT = 90
CUT_OFF = "2024-10-02"
PAST = [
    ("2024-07-04", 90, "clv_selection"),
    ("2024-04-05", 90, "clv_learning"),
    ("2023-10-03", 90, "clv_season_evaluation"),
    ("2023-10-03", 365, "clv_season_evaluation"),
    ("2024-01-01", 30, "clv_season"),
    ("2024-01-01", 90, "clv_season"),
    ("2024-01-01", 365, "clv_season"),
]


@lru_cache
def company(count: int = 600, seed: int = 2, christmas: float = 1.0) -> pd.DataFrame:
    """Purchase days of two years; in November and December ``christmas`` times as many."""
    random = np.random.default_rng(seed)
    joined = random.integers(0, 600, count)
    rate = random.gamma(0.9, 1 / 45.0, count)
    leaves = joined + random.exponential(1 / random.gamma(0.8, 1 / 260.0, count))
    mean = 40 * random.lognormal(0.0, 0.8, count)
    rows = [(f"shop:{n:04d}", int(joined[n]), mean[n]) for n in range(count)]
    for n in range(count):
        days = np.arange(joined[n] + 1, min(int(leaves[n]), 730) + 1)
        month = (START + pd.to_timedelta(days, "D")).month
        chance = rate[n] * np.where(month >= 11, christmas, 1.0)
        bought = days[random.random(days.size) < np.minimum(chance, 0.9)]
        rows += [(f"shop:{n:04d}", int(day), mean[n]) for day in bought]
    frame = pd.DataFrame(rows, columns=["customer_key", "day", "amount"])
    frame["day"] = START + pd.to_timedelta(frame["day"], "D")
    frame["amount"] = (frame["amount"] * random.lognormal(0, 0.4, len(frame))).round(2)
    return frame[frame["day"] <= NOW]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("ml.clv.training.figures", lambda *_: {})


def train(days: pd.DataFrame, past=tuple(PAST), **changed):
    frames = {
        "features_now": features_at(days, NOW),
        "features_cutoff": features_at(days, CUT_OFF),
        "labels_cutoff": labels_at(days, CUT_OFF, HOLDOUT),
        **(periods(days, list(past)) if past else {}),
    }
    settings = {"holdout_days": HOLDOUT, "horizon_days": 365, "discount_rate": 0.1}
    return train_clv(**(frames | settings | changed))


@lru_cache
def trained():
    return train(company())


def test_five_models_are_compared_and_one_is_published():
    result = trained()
    table = result.tables["contest"].set_index("candidate")
    assert set(table.index) == {"bg_nbd", "mbg_nbd", "pareto_nbd", "hurdle", "blend"}
    assert table["is_winner"].sum() == 1
    winner = winner_of(table["score"].to_dict())
    assert table.loc[winner, "is_winner"]
    assert result.parameters["winner"] == winner == result.estimator.winner
    metrics = set(result.evaluation["metric"])
    assert {f"normalised_gini_of_{name}" for name in table.index} <= metrics
    assert {"normalised_gini_vs_mean", "total_bias_rate_before_season"} <= metrics


@pytest.mark.parametrize(
    ("scores", "winner"),
    [
        ({"bg_nbd": 0.6, "hurdle": 0.5, "blend": 0.61}, "blend"),
        ({"bg_nbd": 0.6, "hurdle": 0.5, "blend": 0.595}, "blend"),
        ({"bg_nbd": 0.6, "hurdle": 0.5, "blend": 0.589}, "bg_nbd"),
        ({"bg_nbd": 0.5, "hurdle": 0.7, "blend": 0.65}, "hurdle"),
        ({"bg_nbd": 0.5, "pareto_nbd": 0.501}, "pareto_nbd"),
    ],
)
def test_a_single_model_must_be_clearly_ahead_of_the_blend(scores, winner):
    assert winner_of(scores) == winner


def test_the_reported_period_changes_neither_choice_nor_prediction():
    """Everything after the cut-off is drawn anew: leak test of the whole training."""
    later = scramble_after(company(), date.fromisoformat(CUT_OFF), "day", seed=3)
    later = later.groupby(["customer_key", "day"], as_index=False)["amount"].sum()
    kept = [row for row in PAST if row[2] != "clv_season"]
    one, other = train(company(), kept), train(later, kept)
    pd.testing.assert_frame_equal(one.tables["contest"], other.tables["contest"])
    np.testing.assert_array_equal(one.gate.candidate, other.gate.candidate)
    assert not np.array_equal(one.gate.actual, other.gate.actual)


def test_a_feature_that_looks_one_day_ahead_is_caught():
    def ahead(days: pd.DataFrame) -> pd.DataFrame:
        honest, tomorrow = features_at(days, CUT_OFF), features_at(days, "2024-10-03")
        known = tomorrow.set_index("customer_key")["gross_amount_30d"]
        return honest.assign(gross_amount_30d=honest["customer_key"].map(known))

    on, facts = date.fromisoformat(CUT_OFF), company()
    assert look_ahead_columns(lambda f: features_at(f, CUT_OFF), facts, on, "day") == []
    assert look_ahead_columns(ahead, facts, on, "day") == ["gross_amount_30d"]


def test_a_feature_that_is_the_outcome_is_named():
    known = labelled(
        features_at(company(), CUT_OFF), labels_at(company(), CUT_OFF, HOLDOUT), HOLDOUT
    )
    told = known.assign(net_amount=known["future_gross_amount"])
    assert "net_amount (AUC 1.000)" in suspicious_features(told)
    assert suspicious_features(known) == ""
    assert "look ahead" not in trained().reason


@pytest.mark.slow
def test_rows_in_another_order_give_the_same_model():
    frames = {
        "features_now": features_at(company(), NOW).sample(frac=1, random_state=1),
        "features_cutoff": features_at(company(), CUT_OFF).sample(frac=1, random_state=2),
        **{
            name: frame.sample(frac=1, random_state=3)
            for name, frame in periods(company(), PAST).items()
        },
    }
    again = train(company(), **frames)
    pd.testing.assert_frame_equal(again.evaluation, trained().evaluation, check_exact=True)
    now = features_at(company(), NOW)
    pd.testing.assert_frame_equal(
        again.estimator.predict(now), trained().estimator.predict(now), check_exact=True
    )


def test_without_earlier_periods_the_likelihood_decides():
    result = train(company(), ())
    assert "by likelihood" in result.reason
    table = result.tables["contest"]
    assert len(table) == 3
    assert result.parameters["winner"] == table.loc[table["score"].idxmax(), "candidate"]


def test_without_a_period_to_learn_from_there_is_no_hurdle_model():
    result = train(company(), [PAST[0]])
    assert set(result.tables["contest"]["candidate"]) == {"bg_nbd", "mbg_nbd", "pareto_nbd"}
    assert result.estimator.hurdle_ is None


@pytest.mark.slow
def test_shuffled_outcomes_are_not_promoted():
    """A permutation: what customers spend afterwards has nothing to do with them."""
    labels = labels_at(company(), CUT_OFF, HOLDOUT)
    columns = ["future_gross_amount", "future_purchase_day_count"]
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = labels.assign(**{name: labels[name].to_numpy()[order] for name in columns})
    assert decide(trained()).promoted
    assert not decide(train(company(), labels_cutoff=shuffled)).promoted


def snapshot(cut_off: str, days: int = HOLDOUT) -> Period:
    return period(features_at(company(), cut_off), labels_at(company(), cut_off, days), days)


@pytest.mark.parametrize("winner", ["blend", "hurdle"])
def test_a_hurdle_moves_value_between_customers_and_keeps_the_total(winner):
    learning, now = snapshot("2024-04-05"), features_at(company(), CUT_OFF)
    base = fit_values(now, 365, 0.1, ["pareto_nbd"])["pareto_nbd"]
    hurdle = fit_hurdle([learning], "pareto_nbd")
    model = PublishedValue(winner=winner).fit(now, base=base, hurdle=hurdle, hurdle_days=HOLDOUT)
    alone, moved = base.expected_spending(now, HOLDOUT), model.expected_spending(now, HOLDOUT)
    assert moved.sum() == pytest.approx(alone.sum(), rel=1e-9)
    assert not np.allclose(moved, alone)
    own = hurdle.predict(design(now, base, HOLDOUT)) * model.scale_
    share = {"blend": 0.5, "hurdle": 1.0}[winner]
    np.testing.assert_allclose(moved, (1 - share) * alone + share * own, rtol=1e-9)
    scores = model.predict(now)
    assert scores["clv_amount"].between(scores["clv_low_amount"], scores["clv_high_amount"]).all()
    plain = base.predict(now)
    at_odds = np.abs(np.log(model.factor(now))) > 0.2
    width, before = (
        np.log(s["clv_high_amount"].clip(lower=0.01) / s["clv_low_amount"].clip(lower=0.01))
        for s in (scores, plain)
    )
    worth = at_odds & (plain["clv_low_amount"] > 5) & (scores["clv_low_amount"] > 5)
    assert worth.any()
    assert (width[worth] > before[worth]).all()
    table = model.predict_horizons(now, [30, 90, 365])
    assert (table["purchase_probability"] <= table["expected_orders"] + 1e-6).all()
    assert table["purchase_probability"].between(0, 1).all()


def test_published_model_survives_skops_and_asks_for_no_more_trust():
    result = trained()
    now = features_at(company(), NOW)
    base = result.estimator.base_
    model = PublishedValue(winner="blend").fit(
        now, base=base, hurdle=fit_hurdle([snapshot("2024-07-04")], base.purchase_model),
        hurdle_days=HOLDOUT, season={30: 1.2},
    )  # fmt: skip
    content = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=content)) <= set(TRUSTED_TYPES)
    loaded = skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    pd.testing.assert_frame_equal(loaded.predict(now), model.predict(now))
    pd.testing.assert_frame_equal(
        loaded.predict_horizons(now, [30, 730]), model.predict_horizons(now, [30, 730])
    )
    pd.testing.assert_frame_equal(
        loaded.next_orders(now, date(2024, 12, 31)), model.next_orders(now, date(2024, 12, 31))
    )


def test_a_hurdle_needs_enough_customers_of_either_kind():
    one = snapshot("2024-04-05")
    base = fit_values(one.features, 365, 0.1, ["bg_nbd"])["bg_nbd"]
    rows = design(one.features, base, HOLDOUT)
    for amounts in (np.zeros(len(rows)), np.ones(len(rows))):
        with pytest.raises(ValueError, match="too few for the hurdle model"):
            HurdleValue().fit(rows, amounts)
    with pytest.raises(ValueError, match="one finite amount of at least 0"):
        HurdleValue().fit(rows, np.full(len(rows), -1.0))
    nobody = Period(one.features, np.zeros(len(rows)), np.zeros(len(rows)), HOLDOUT)
    assert fit_hurdle([nobody], "bg_nbd") is None
    assert choose(one.features, [nobody]).how.startswith("by likelihood")


def test_a_hurdle_names_the_column_it_misses():
    one = snapshot("2024-04-05")
    base = fit_values(one.features, 365, 0.1, ["bg_nbd"])["bg_nbd"]
    rows = design(one.features, base, HOLDOUT)
    model = HurdleValue().fit(rows, one.amount)
    with pytest.raises(ValueError, match="recency_days"):
        model.predict(rows.drop(columns="recency_days"))


@pytest.mark.slow
def test_season_brings_the_total_nearer_where_it_was_seen_a_year_ago():
    days = company(600, 5, 2.5)
    result = train(days)
    found = result.evaluation.query("period == 'holdout'").set_index("metric")["value"]
    before, after = found["total_bias_rate_before_season"], found["total_bias_rate"]
    assert before < -0.2
    assert abs(after) < 0.6 * abs(before)
    without = train(days, PAST[:2])
    assert without.estimator.season(90) == 1
    plain = without.evaluation.query("period == 'holdout'").set_index("metric")["value"]
    assert plain["total_bias_rate"] == pytest.approx(before)
    assert plain["normalised_gini"] == pytest.approx(found["normalised_gini"])


def test_season_is_one_from_a_year_on_and_interpolated_below():
    model = PublishedValue().fit(pd.DataFrame(), base=CustomerValue(), season={30: 1.4, 90: 1.2})
    assert [model.season(days) for days in (10, 30, 60, 90)] == pytest.approx([1.4, 1.4, 1.3, 1.2])
    assert 1 < model.season(200) < 1.2
    assert model.season(365) == model.season(730) == 1


def test_no_season_makes_a_shorter_time_worth_more_than_a_longer_one():
    now = features_at(company(), NOW)
    base = fit_values(now, 365, 0.1, ["pareto_nbd"])["pareto_nbd"]
    model = PublishedValue().fit(now, base=base, season={30: 1.9, 90: 0.9, 180: 1.8})
    assert np.ptp(model.seasoned(now, 180)) > 0  # some would have more in half a year
    table = model.predict_horizons(now, [30, 60, 90, 180, 365, 730])
    wide = table.pivot(index="customer_key", columns="horizon_days", values="expected_orders")
    wide = wide.drop(columns=60)
    assert (wide.diff(axis=1).iloc[:, 1:] >= -1e-6).all(axis=None)
    single = model.predict(now, 90)
    same = table[table["horizon_days"] == 90].reset_index(drop=True)
    np.testing.assert_array_equal(single["clv_amount"], same["clv_amount"])
    np.testing.assert_array_equal(single["expected_orders"], same["expected_orders"])


def test_season_factors_are_of_the_year_bounded_and_skip_what_cannot_be_fitted():
    features = features_at(company(), "2024-01-01")
    model = fit_values(features, 365, 0.0, ["bg_nbd"])["bg_nbd"]
    month, year = (model.expected_spending(features, days) for days in (30, 365))
    half = YearBefore(features, {30: 0.5 * month, 365: 0.5 * year})
    assert season_factors(half, "bg_nbd") == {30: pytest.approx(1.0)}
    rich = YearBefore(features, {30: 1.5 * month, 365: year})
    assert season_factors(rich, "bg_nbd") == {30: pytest.approx(1.5)}
    richest = YearBefore(features, {30: 100 * month, 365: year})
    assert season_factors(richest, "bg_nbd") == {30: SEASON_LIMITS[1]}
    assert season_factors(None, "bg_nbd") == {}
    assert season_factors(YearBefore(features, {30: month}), "bg_nbd") == {}
    assert season_factors(YearBefore(features, {30: month, 365: 0 * year}), "bg_nbd") == {}
    few = YearBefore(features.iloc[:20], {30: month[:20], 365: year[:20]})
    assert season_factors(few, "bg_nbd") == {}


def test_a_season_that_is_not_over_is_left_out():
    frames = periods(company(), [row for row in PAST if row[2] == "clv_season"])
    labels = frames["past_labels"]
    labels["future_gross_amount"] = labels["future_gross_amount"].where(
        labels["horizon_days"] != 90
    )
    given = (frames["past_features"], labels, frames["cut_offs"])
    assert set(year_before(*given, "clv_season").amounts) == {30, 365}
    assert year_before(*given, "clv_season_evaluation") is None
    assert year_before(None, None, None, "clv_season") is None


def odd(days: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Companies nobody would have made up."""
    if kind == "one customer":
        return days[days["customer_key"] == "shop:0000"]
    if kind == "thirty customers":
        return days[days["customer_key"] < "shop:0030"]
    if kind == "all new":
        return days[days["day"] > "2024-10-01"]
    if kind == "constant amounts":
        return days.assign(amount=10.0)
    if kind == "nobody again":
        return days.drop_duplicates("customer_key")
    if kind == "an order a day":
        every = pd.DataFrame({"day": pd.date_range(START, NOW)})
        robot = every.assign(customer_key="shop:robot", amount=5.0)
        return pd.concat([days, robot], ignore_index=True)
    assert kind == "nothing paid"
    return days.assign(amount=0.0)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("one customer", "the value model needs 100"),
        ("thirty customers", "the value model needs 100"),
        ("all new", "the value model needs 100"),
        ("constant amounts", "amounts of repeat buyers do not vary"),
        ("nobody again", "0 customers bought on a second day"),
        ("nothing paid", "amounts of repeat buyers do not vary"),
        ("an order a day", ""),
    ],
)
def test_odd_companies_are_trained_or_refused_with_a_reason(kind, reason):
    result = train(odd(company(), kind))
    if reason:
        assert result.status == "too_little_data"
        assert reason in result.reason
    else:
        assert result.status == "trained"
        scores = result.estimator.predict(features_at(odd(company(), kind), NOW))
        assert scores.notna().all(axis=None)


def test_negative_mean_amounts_are_refused_by_name():
    features = features_at(company(), CUT_OFF)
    features.loc[3, "repeat_mean_amount"] = -5.0
    with pytest.raises(ValueError, match="repeat_mean_amount"):
        CustomerValue().fit(features)


def test_two_rows_of_a_customer_are_refused():
    twice = features_at(company(), CUT_OFF)
    with pytest.raises(ValueError, match="two rows of one customer"):
        train(company(), features_cutoff=pd.concat([twice, twice.iloc[:1]]))
