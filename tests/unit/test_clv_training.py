"""train_clv: what it measures, how it abstains, and that the gate can go either way."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ml.clv.simulation import simulate_customers
from ml.clv.training import naive_rows, train_clv
from ml.clv.value import CustomerValue
from ml.evaluation.gate import decide
from ml.evaluation.result import EVALUATION_COLUMNS

HOLDOUT = 90


def company(count: int = 3000, seed: int = 8) -> dict[str, pd.DataFrame]:
    """Features at the cut-off, labels after it and (the same) features now."""
    ages = np.random.default_rng(seed).integers(1, 400, count)
    drawn = simulate_customers(
        ages,
        purchase=(0.5, 40.0, 0.9, 2.0),
        spend=(4.0, 3.5, 60.0),
        horizon=HOLDOUT,
        seed=seed,
    )
    random = np.random.default_rng(seed + 1)
    spent_a_day = drawn["repeat_mean_amount"].fillna(96.0)
    first = 96.0 * random.lognormal(-0.5, 1.0, count)
    features = pd.DataFrame(
        {
            "customer_key": [f"shop:{number:05d}" for number in range(count)],
            "repeat_count": drawn["repeat_count"],
            "last_repeat_age_days": np.minimum(np.ceil(drawn["last_repeat_age"]), ages).astype(int),
            "observed_age_days": ages,
            "repeat_mean_amount": drawn["repeat_mean_amount"].round(4),
            "gross_amount": (first + spent_a_day * drawn["repeat_count"]).round(2),
            "gross_amount_90d": (first * (ages < 90)).round(2),
        }
    )
    future = drawn["future_purchase_count"]
    labels = pd.DataFrame(
        {
            "customer_key": features["customer_key"],
            "horizon_days": HOLDOUT,
            "future_purchase_day_count": future,
            "future_gross_amount": (spent_a_day * future).round(2),
        }
    )
    return {
        "features_now": features,
        "features_cutoff": features,
        "labels_cutoff": labels,
    }


def train(frames: dict[str, pd.DataFrame], champion: CustomerValue | None = None):
    return train_clv(
        **frames, holdout_days=HOLDOUT, horizon_days=365, discount_rate=0.1, champion=champion
    )


COMPANY = company()
RESULT = train(COMPANY)
"""With its pictures, which all others do without."""


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("ml.clv.training.figures", lambda *_: {})


def test_a_model_that_ranks_better_than_the_naive_rows_is_promoted():
    assert RESULT.status == "trained"
    assert "3,000 customers" in RESULT.reason
    decision = decide(RESULT)
    assert decision.promoted, decision.reason


def test_a_model_that_ranks_no_better_is_refused():
    """Here customers go on spending exactly as they did."""
    frames = dict(COMPANY)
    features = frames["features_cutoff"]
    frames["labels_cutoff"] = frames["labels_cutoff"].assign(
        future_gross_amount=features["gross_amount"] / features["observed_age_days"] * HOLDOUT
    )
    decision = decide(train(frames))
    assert not decision.promoted
    assert "past_rate" in decision.reason


def test_the_same_model_again_does_not_replace_the_champion():
    result = train(COMPANY, champion=RESULT.estimator)
    assert result.gate.champion is not None
    decision = decide(result)
    assert not decision.promoted
    assert "champion" in decision.reason
    compared = result.evaluation.dropna(subset="champion_value")
    assert {"normalised_gini", "total_bias_rate"} <= set(compared["metric"])
    np.testing.assert_array_equal(compared["champion_value"], compared["value"])


def test_each_tenth_says_what_was_predicted_and_what_happened():
    found = RESULT.evaluation.query("period == 'by tenth'").set_index("metric")["value"]
    table = RESULT.tables["holdout_by_decile"]
    for column, name in (("predicted_amount", "predicted"), ("actual_amount", "happened")):
        values = [found[f"{name}_{number:02d}"] for number in table["decile"]]
        np.testing.assert_array_equal(values, table[column])
    assert found["predicted_01"] > found["predicted_10"]


def test_evaluation_has_one_row_a_metric_and_opponent():
    assert tuple(RESULT.evaluation.columns) == EVALUATION_COLUMNS
    assert not RESULT.evaluation.duplicated(["period", "metric"]).any()
    found = RESULT.evaluation.query("period == 'holdout'").set_index("metric")
    for metric in ("normalised_gini", "total_bias_rate", "mean_absolute_error"):
        for row in ("", "_vs_mean", "_vs_repeat_rate", "_vs_last_period"):
            assert np.isfinite(
                found.loc[metric + row, ["value", "baseline_value"]].astype(float)
            ).all()
    assert found.loc["normalised_gini_vs_mean", "baseline_value"] == pytest.approx(0, abs=1e-12)
    assert found["champion_value"].isna().all()


def test_metrics_are_those_of_the_model_fitted_before_the_holdout():
    features, labels = COMPANY["features_cutoff"], COMPANY["labels_cutoff"]
    kind = RESULT.parameters["purchase_model"]
    model = CustomerValue(purchase_model=kind).fit(features)
    predicted = model.expected_spending(features, HOLDOUT)
    error = predicted - labels["future_gross_amount"]
    found = RESULT.evaluation.query("period == 'holdout'").set_index("metric")["value"]
    assert found["mean_absolute_error"] == pytest.approx(error.abs().mean())
    assert found["root_mean_squared_error"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["total_bias_rate"] == pytest.approx(
        error.sum() / labels["future_gross_amount"].sum()
    )


def test_the_holdout_does_not_reach_the_fit_that_is_measured():
    frames = dict(COMPANY)
    frames["features_now"] = company(seed=99)["features_now"]
    other = train(frames)
    np.testing.assert_array_equal(other.gate.candidate, RESULT.gate.candidate)
    assert other.parameters["r"] != RESULT.parameters["r"]


def test_gate_gets_both_naive_rows_and_the_seasons_seen():
    gate = RESULT.gate
    assert list(gate.baselines) == ["past_rate", "mean"]
    assert np.ptp(gate.baselines["mean"]) == 0
    assert gate.figures["season_count"] == 1
    assert gate.actual is not None
    assert gate.actual.shape == gate.candidate.shape


def test_naive_rows_continue_the_past():
    features = pd.DataFrame(
        {
            "observed_age_days": [100, 0],
            "repeat_count": [4, 0],
            "gross_amount": [500.0, 30.0],
            "repeat_mean_amount": [80.0, None],
            "gross_amount_90d": [120.0, 30.0],
        }
    )
    amounts, orders = naive_rows(features, 90)
    np.testing.assert_allclose(amounts["past_rate"], [450.0, 2700.0])
    np.testing.assert_allclose(amounts["mean"], 530 / 101 * 90)
    np.testing.assert_allclose(amounts["repeat_rate"], [4 / 100 * 80 * 90, 0])
    np.testing.assert_allclose(amounts["last_period"], [120.0, 30.0])
    np.testing.assert_allclose(orders["past_rate"], [3.6, 0])
    assert "last_period" not in naive_rows(features, 60)[0]


def test_figures_tables_and_parameters_are_complete():
    assert all(isinstance(figure, Figure) for figure in RESULT.figures.values())
    assert set(RESULT.figures) == {
        "holdout_by_frequency",
        "holdout_by_decile",
        "gain_curve",
        "value_distribution",
    }
    assert RESULT.tables["holdout_by_frequency"]["customer_count"].sum() == 3000
    assert RESULT.tables["holdout_by_decile"]["decile"].tolist() == list(range(1, 11))
    assert {"r", "alpha_weeks", "a", "b", "p", "q", "v", "log_likelihood_weeks"} <= set(
        RESULT.parameters
    )
    assert all(type(value) in (int, float, str) for value in RESULT.parameters.values())


def test_the_same_frames_in_another_order_give_the_same_result():
    shuffled = train(
        {name: frame.sample(frac=1, random_state=1) for name, frame in COMPANY.items()}
    )
    pd.testing.assert_frame_equal(shuffled.evaluation, RESULT.evaluation, check_exact=True)
    assert shuffled.parameters == RESULT.parameters


def few(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    return frame.iloc[:count]


def everywhere(change):
    return lambda frames: {name: change(frame) for name, frame in frames.items()}


def of_features(**columns):
    def change(frames):
        return {
            name: frame if name == "labels_cutoff" else frame.assign(**columns)
            for name, frame in frames.items()
        }

    return change


def of_labels(**columns):
    return lambda frames: frames | {"labels_cutoff": frames["labels_cutoff"].assign(**columns)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (everywhere(lambda frame: few(frame, 0)), "no customer had a purchase day"),
        (everywhere(lambda frame: few(frame, 1)), "the value model needs 100"),
        (everywhere(lambda frame: few(frame, 60)), "the value model needs 100"),
        (of_features(observed_age_days=np.nan), "no customer had a purchase day"),
        (
            of_features(repeat_count=0, last_repeat_age_days=0, repeat_mean_amount=np.nan),
            "0 customers bought on a second day",
        ),
        (of_features(repeat_mean_amount=20.0), "amounts of repeat buyers do not vary"),
        (of_labels(future_gross_amount=np.nan), "not fully observed"),
        (of_labels(horizon_days=30), "not fully observed"),
        (of_labels(future_gross_amount=0.0), "nothing to rank"),
    ],
)
def test_abstains_with_the_reason(change, reason):
    result = train(change(COMPANY))
    assert result.status == "too_little_data"
    assert reason in result.reason
    assert result.estimator is None
    assert not decide(result).promoted
    assert decide(result).reason == result.reason


def test_a_company_that_forgot_its_customers_abstains_at_the_refit():
    result = train(COMPANY | {"features_now": few(COMPANY["features_now"], 50)})
    assert result.status == "too_little_data"


def test_says_that_no_dropout_was_found():
    ages = np.random.default_rng(0).integers(60, 400, 1500)
    drawn = simulate_customers(
        ages, purchase=(0.8, 60.0, 0.0, 1.0), spend=(4.0, 3.5, 60.0), horizon=HOLDOUT, seed=1
    )
    features = (
        COMPANY["features_cutoff"]
        .iloc[:1500]
        .assign(
            repeat_count=drawn["repeat_count"],
            last_repeat_age_days=drawn["last_repeat_age"],
            observed_age_days=ages,
            repeat_mean_amount=drawn["repeat_mean_amount"],
        )
    )
    labels = COMPANY["labels_cutoff"].iloc[:1500]
    result = train({"features_now": features, "features_cutoff": features, "labels_cutoff": labels})
    assert "no dropout identifiable" in result.reason
    assert result.parameters["is_dropout_identifiable"] == "false"
    assert "b" not in result.parameters
