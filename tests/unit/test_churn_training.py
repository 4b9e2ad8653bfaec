"""train_churn: recovers a known truth, abstains and refuses where it must, never peeks."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from ml.churn.features import FeatureError
from ml.churn.model import ChurnModel
from ml.churn.training import train_churn
from ml.evaluation.gate import decide
from ml.evaluation.metrics import calibration_error, log_loss
from ml.evaluation.result import EVALUATION_COLUMNS, TOO_LITTLE_DATA, TRAINED
from tests.unit.churn_company import Company, company, frames

HORIZON = 90
QUICK = ("logistic stable strength=1000", "tree stable leaves=8")
"""Where the test is not about the choice."""


def train(data, **options):
    features, labels, cut_offs = data
    return train_churn(features, labels, cut_offs, horizon_days=HORIZON, **options)


def truth(of: Company, labels: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and true probabilities at the evaluation cut-off, by customer."""
    cut_off = of.as_of - timedelta(days=HORIZON)
    outcome = labels[labels["cut_off_on"] == cut_off].set_index("customer_key")["is_churned"]
    true = of.true_probability(cut_off, HORIZON).reindex(outcome.index)
    return outcome.to_numpy(dtype=float), true.to_numpy()


def figure(result, metric, column="value"):
    rows = result.evaluation[result.evaluation["period"] != "past cut-offs"]
    return float(rows.set_index("metric").loc[metric, column])


@pytest.fixture(scope="module")
def known():
    return company(customers=3000)


@pytest.fixture(scope="module")
def data(known):
    return frames(known)


@pytest.fixture(scope="module")
def result(data):
    return train(data)


@pytest.fixture(scope="module")
def small():
    return frames(company(customers=700, seed=4), training=3)


def test_recovers_the_true_probabilities(known, data, result):
    outcome, true = truth(known, data[1])
    assert figure(result, "log_loss") < 1.02 * log_loss(outcome, true)
    assert figure(result, "calibration_error") < 0.03
    assert calibration_error(outcome, true) < 0.03  # the yardstick itself, on this many customers


def test_is_promoted_over_the_base_rate(result):
    decision = decide(result)
    assert decision.promoted, decision.reason
    assert figure(result, "log_loss") < figure(result, "log_loss", "baseline_value")
    assert figure(result, "log_loss_beside_recency") < figure(
        result, "log_loss_beside_recency", "baseline_value"
    )


def test_each_tenth_says_what_was_predicted_and_what_happened(result):
    found = result.evaluation.query("period == 'by tenth'").set_index("metric")["value"]
    table = result.tables["calibration"]
    numbers = [f"{one:02d}" for one in table["bin"] + 1]
    assert len(found) == 2 * len(numbers)
    for column, name in (("predicted_rate", "predicted"), ("observed_rate", "happened")):
        values = [found[f"{name}_{number}"] for number in numbers]
        np.testing.assert_array_equal(values, table[column])


def test_reports_every_figure_table_and_plot(result):
    assert tuple(result.evaluation.columns) == EVALUATION_COLUMNS
    wanted = {"log_loss", "brier", "roc_auc", "pr_auc", "calibration_error", "lift_top_tenth"}
    assert wanted <= set(result.evaluation["metric"])
    assert result.evaluation["champion_value"].isna().all()
    assert set(result.figures) == {"calibration", "gain"}
    assert set(result.tables["comparison"]["model"]) == {
        "winner",
        "logistic on log features",
        "base rate",
        "recency",
    }
    assert result.tables["candidates"]["is_winner"].sum() == 1
    assert all(isinstance(value, (int, float, str)) for value in result.parameters.values())


def test_the_estimator_knows_all_labels_and_its_past_self_only_the_past(known, result):
    evaluation_on = known.as_of - timedelta(days=HORIZON)
    assert result.estimator.known_until_ == str(known.as_of)
    assert result.estimator.evaluated_.known_until_ == str(evaluation_on)


def test_nothing_after_the_evaluation_cut_off_changes_the_reported_model(data, result):
    features, labels, cut_offs = (frame.copy() for frame in data)
    refit = cut_offs.loc[cut_offs["purpose"] == "churn_refit", "cut_off_on"]
    scoring = cut_offs.loc[cut_offs["purpose"] == "scoring", "cut_off_on"]
    later = features["cut_off_on"].isin([*refit, *scoring])
    features.loc[later, "gross_amount"] *= 7
    labels.loc[labels["cut_off_on"].isin(refit), "is_churned"] = False
    changed = train((features, labels, cut_offs))
    pd.testing.assert_frame_equal(changed.evaluation, result.evaluation)
    pd.testing.assert_frame_equal(changed.tables["candidates"], result.tables["candidates"])


def test_the_choice_does_not_look_at_the_evaluation_period(data, result):
    features, labels, cut_offs = (frame.copy() for frame in data)
    [day] = cut_offs.loc[cut_offs["purpose"] == "churn_evaluation", "cut_off_on"]
    rows = labels["cut_off_on"] == day
    labels.loc[rows, "is_churned"] = ~labels.loc[rows, "is_churned"].astype(bool)
    changed = train((features, labels, cut_offs))
    pd.testing.assert_frame_equal(changed.tables["candidates"], result.tables["candidates"])
    assert figure(changed, "roc_auc") == pytest.approx(1 - figure(result, "roc_auc"))
    assert not decide(changed).promoted


def test_same_input_in_any_order_gives_the_same_bits(small):
    features, labels, cut_offs = small
    first = train(small)
    mixed = tuple(frame.sample(frac=1, random_state=3) for frame in (features, labels, cut_offs))
    second = train(mixed)
    pd.testing.assert_frame_equal(first.evaluation, second.evaluation, check_exact=True)
    scored = features[features["cut_off_on"] == features["cut_off_on"].max()]
    ours = first.estimator.predict_proba(scored)
    assert np.array_equal(ours, second.estimator.predict_proba(scored))
    reverse = second.estimator.predict_proba(scored.iloc[::-1])
    assert np.array_equal(ours, reverse[::-1])


def test_decimals_and_strings_from_the_warehouse_are_understood(small):
    features, labels, cut_offs = (frame.copy() for frame in small)
    expected = train(small, recipes=QUICK).evaluation
    features["gross_amount"] = [Decimal(str(round(v, 2))) for v in features["gross_amount"]]
    features["cut_off_on"] = pd.to_datetime(features["cut_off_on"])
    features["customer_key"] = features["customer_key"].astype("string")
    labels["customer_key"] = labels["customer_key"].astype("string")
    again = train((features, labels, cut_offs), recipes=QUICK)
    pd.testing.assert_frame_equal(again.evaluation, expected)


def test_a_champion_as_good_as_the_challenger_stays(data, result):
    again = train(data, champion=result.estimator)
    assert figure(again, "log_loss", "champion_value") == pytest.approx(figure(again, "log_loss"))
    decision = decide(again)
    assert not decision.promoted
    assert "does not beat champion" in decision.reason


def test_a_worse_champion_is_replaced(data, result):
    features, labels, cut_offs = data
    rows = features["cut_off_on"] == cut_offs["cut_off_on"].min()
    frame = features[rows].reset_index(drop=True)
    churned = frame.merge(labels, on=["cut_off_on", "customer_key"])["is_churned"].astype(float)
    old = ChurnModel("logistic stable strength=1").fit(frame, churned)
    decision = decide(train(data, champion=old, recipes=QUICK))
    assert decision.promoted
    assert "beats champion" in decision.reason


def test_a_champion_for_another_horizon_is_no_rival(small):
    champion = train(small, recipes=QUICK).estimator
    champion.horizon_days = 30
    outcome = train(small, champion=champion, recipes=QUICK)
    assert outcome.evaluation["champion_value"].isna().all()


def test_noise_is_not_promoted(small):
    features, labels, cut_offs = (frame.copy() for frame in small)
    known = labels["is_churned"].notna()
    coin = np.random.default_rng(0).random(int(known.sum())) < 0.5
    labels.loc[known, "is_churned"] = coin
    decision = decide(train((features, labels, cut_offs)))
    assert not decision.promoted
    assert "does not beat the base rate" in decision.reason


def test_constant_and_missing_facts_are_no_obstacle(small):
    features, labels, cut_offs = (frame.copy() for frame in small)
    features["gross_amount"] = 10.0
    features["average_order_amount"] = 10.0
    features["distinct_product_count"] = np.nan
    features.loc[features.index[::3], "return_count"] = np.nan
    outcome = train((features, labels, cut_offs))
    assert outcome.status == TRAINED
    assert np.isfinite(outcome.evaluation["value"]).all()


def only(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return frame[frame["customer_key"].isin(keys)]


def test_few_customers_are_too_little_data(small):
    features, labels, cut_offs = small
    keys = sorted(features["customer_key"].unique())[:150]
    outcome = train((only(features, keys), only(labels, keys), cut_offs))
    assert outcome.status == TOO_LITTLE_DATA
    assert "fewer than 200" in outcome.reason
    assert outcome.estimator is None
    assert not decide(outcome).promoted


@pytest.mark.parametrize("everybody", [True, False])
def test_one_outcome_only_is_too_little_data(small, everybody):
    features, labels, cut_offs = (frame.copy() for frame in small)
    labels.loc[labels["is_churned"].notna(), "is_churned"] = everybody
    outcome = train((features, labels, cut_offs))
    assert outcome.status == TOO_LITTLE_DATA
    assert "at least 30" in outcome.reason


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (["scoring"], "no cut-off lies one horizon before"),
        (["scoring", "churn_evaluation"], "to train on"),
        (["scoring", "churn_training"], "no cut-off lies one horizon before"),
    ],
)
def test_too_few_cut_offs_are_too_little_data(small, kept, words):
    features, labels, cut_offs = small
    outcome = train((features, labels, cut_offs[cut_offs["purpose"].isin(kept)]))
    assert outcome.status == TOO_LITTLE_DATA
    assert words in outcome.reason


def test_a_single_training_cut_off_is_tuned_on_halves_of_the_customers(small):
    features, labels, cut_offs = small
    days = cut_offs.loc[cut_offs["purpose"] == "churn_training", "cut_off_on"]
    kept = cut_offs[~cut_offs["cut_off_on"].isin(sorted(days)[:-1])]
    outcome = train((features, labels, kept), recipes=QUICK)
    assert outcome.status == TRAINED
    assert outcome.parameters["training_cut_offs"] == 1


def test_empty_frames_are_too_little_data(small):
    features, labels, cut_offs = small
    assert train((features.head(0), labels.head(0), cut_offs)).status == TOO_LITTLE_DATA
    assert train((features, labels, cut_offs.head(0))).status == TOO_LITTLE_DATA


def test_errors_name_what_is_wrong(small):
    features, labels, cut_offs = small
    with pytest.raises(FeatureError, match="recency_days"):
        train((features.drop(columns="recency_days"), labels, cut_offs))
    with pytest.raises(FeatureError, match="is_churned"):
        train((features, labels.drop(columns="is_churned"), cut_offs))
    with pytest.raises(FeatureError, match="purpose"):
        train((features, labels, cut_offs.drop(columns="purpose")))
    with pytest.raises(FeatureError, match="1 duplicate"):
        train((pd.concat([features, features.head(1)]), labels, cut_offs))
    doubled = labels[labels["is_churned"].notna()].head(1)
    with pytest.raises(FeatureError, match="customer_labels has 1 duplicate"):
        train((features, pd.concat([labels, doubled]), cut_offs))
    early = cut_offs.copy()
    [evaluation] = early.loc[early["purpose"] == "churn_evaluation", "cut_off_on"]
    refit = early["purpose"] == "churn_refit"
    early.loc[refit, "purpose"] = "churn_training"
    with pytest.raises(FeatureError, match=f"not known at the evaluation cut-off {evaluation}"):
        train((features, labels, early))


def test_a_row_that_knows_of_a_later_order_is_refused(small):
    features, labels, cut_offs = (frame.copy() for frame in small)
    features.loc[5, "recency_days"] = -3
    with pytest.raises(FeatureError, match=r"1 rows .* after their cut-off"):
        train((features, labels, cut_offs))


def test_a_fact_that_tells_the_outcome_alone_is_pointed_out(small):
    features, labels, cut_offs = small
    joined = features.merge(labels, on=["cut_off_on", "customer_key"], how="left")
    leaking = features.assign(
        return_count=joined["is_churned"].astype("Float64").fillna(0).astype(float).to_numpy()
    )
    outcome = train((leaking, labels, cut_offs), recipes=QUICK)
    assert "return_count (AUC 1.000)" in outcome.reason


def test_a_young_record_is_not_made_old_by_one_wrong_date():
    features, labels, cut_offs = frames(company(customers=900, days=330, seed=6), training=2)
    features.loc[features["customer_key"] == features["customer_key"].min(), "first_order_on"] = (
        pd.Timestamp("1990-01-01")
    )
    outcome = train((features, labels, cut_offs))
    assert outcome.parameters["book_days"] < 365
    assert outcome.parameters["feature_set"] == "stable"


def test_an_old_record_may_use_time_on_book(result):
    assert result.parameters["book_days"] >= 365
    assert result.parameters["feature_set"] == "full"
