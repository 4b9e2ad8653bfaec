"""Churn of contracts through the same model: words and numbers, a flag or dates as the label."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from ml.churn.contracts import ContractDesign, check_contracts
from ml.churn.costs import ContactCosts, at_threshold, best_without_a_model, contact_costs
from ml.churn.features import FeatureError
from ml.churn.kinds import CONTRACT
from ml.churn.model import SKOPS_TRUSTED_TYPES, ChurnModel
from ml.churn.reasons import contract_sentence
from ml.churn.scoring import INTERCEPT, score_contract_churn
from ml.churn.shapley import coalition_values
from ml.churn.training import train_contract_churn
from ml.churn.tuning import stratified_folds
from ml.evaluation.gate import decide
from ml.evaluation.metrics import roc_auc
from ml.evaluation.result import TOO_LITTLE_DATA, TRAINED
from tests.unit.churn_company import START

FAST = ("logistic full strength=1000", "tree full leaves=8")
BANDS = pd.DataFrame({"risk_band": ["low", "medium", "high"], "minimum_rate": [0.0, 0.3, 0.6]})
TODAY = START + timedelta(days=720)


def contracts(count: int = 1200, seed: int = 0) -> pd.DataFrame:
    """Contracts whose odds of being ended follow from tenure, term and price."""
    rng = np.random.default_rng(seed)
    term = rng.choice(["month", "year"], count, p=[0.6, 0.4])
    tenure = rng.integers(0, 72, count)
    price = rng.uniform(10, 100, count).round(2)
    odds = -1.0 + 1.2 * (term == "month") - 0.04 * tenure + 0.02 * (price - 50)
    return pd.DataFrame(
        {
            "cut_off_on": pd.Timestamp(TODAY),
            "subscription_key": [f"t:{n:05d}" for n in range(count)],
            "horizon_days": pd.array([pd.NA] * count, dtype="Int32"),
            "customer_key": [f"t:{n:05d}" for n in range(count)],
            "source": "t",
            "is_churned": (churned := rng.random(count) < expit(odds)),
            "is_ended": churned,
            "contract_term": term,
            "payment_method": rng.choice(["card", "cheque", None], count),
            "tenure_months": tenure,
            "monthly_amount": price,
            "charged_amount": (tenure * price).round(2),
            "days_into_year": pd.array([pd.NA] * count, dtype="Int32"),
        }
    )


@pytest.fixture(scope="module")
def table():
    return contracts()


@pytest.fixture(scope="module")
def result(table):
    return train_contract_churn(table)


def test_learns_who_ends_a_contract_and_is_promoted(result):
    assert decide(result).promoted, decide(result).reason
    figures = result.evaluation.set_index("metric")["value"]
    assert result.parameters["evaluation_rows"] == pytest.approx(240, abs=50)
    assert set(result.evaluation["period"]) == {"contracts set aside", "by tenth", "folds"}
    assert {"accuracy", "precision", "recall", "f1", "threshold", "net_amount"} <= set(
        figures.index
    )
    assert figures["roc_auc"].min() > 0.7
    assert np.isfinite(result.evaluation["value"]).all()
    assert "days_into_year" not in result.estimator.facts_  # nobody has it: no fact


def test_every_family_and_the_blend_of_two_were_tried(result):
    families = set(result.tables["candidates"]["family"])
    everything = {"logistic", "splines", "tree", "boosting", "forest", "svm", "network", "blend"}
    assert families == everything


def test_the_same_contracts_are_set_aside_whatever_the_order(table):
    first = train_contract_churn(table, recipes=FAST)
    again = train_contract_churn(table.sample(frac=1, random_state=1), recipes=FAST)
    pd.testing.assert_frame_equal(again.evaluation, first.evaluation, check_exact=True)


def test_a_champion_is_compared_by_the_copy_that_saw_no_contract_set_aside(table, result):
    again = train_contract_churn(table, champion=result.estimator, recipes=FAST)
    first = again.evaluation.set_index("metric")
    ours = result.evaluation.set_index("metric")
    period = ours["period"] == "contracts set aside"
    assert (
        first.loc["log_loss", "champion_value"].iloc[0] == ours.loc[period].loc["log_loss", "value"]
    )
    assert not decide(again).promoted


RECIPES = {
    "logistic": "logistic full strength=1000",
    "splines": "splines full strength=1000",
    "tree": "tree full leaves=12",
    "boosting": "boosting full leaves=4 trees=20",
    "forest": "forest full leaves=16 trees=8",
    "svm": "svm full strength=1000",
    "network": "network full strength=100",
    "oversampled": "tree full leaves=12 resample=oversample",
    "blend": "network full strength=100 + boosting full leaves=4 trees=20",
}


@pytest.mark.parametrize("name", RECIPES)
def test_reasons_sum_to_the_log_odds_and_survive_storing(name, table):
    model = ChurnModel(RECIPES[name], kind=CONTRACT).fit(table, table["is_churned"])
    rows = table.sample(40, random_state=2)
    parts, intercept = model.contributions(rows)
    total = parts.sum(axis=1).to_numpy() + intercept
    np.testing.assert_allclose(total, model.decision_function(rows), atol=1e-8)
    stored = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(SKOPS_TRUSTED_TYPES)
    loaded = skops.io.loads(stored, trusted=SKOPS_TRUSTED_TYPES)
    assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))
    one = model.predict_proba(rows.iloc[[3]])
    np.testing.assert_allclose(one[0], model.predict_proba(rows)[3], atol=1e-12)


@pytest.mark.parametrize("facts", [4, 11])
def test_coalition_values_are_those_of_the_theory(facts):
    """A sum of single facts and one product: the product's worth is shared by its two facts."""
    rng = np.random.default_rng(facts)
    x = rng.normal(size=(7, facts + 1))
    fact = np.array([0, *range(facts)])  # the first fact has two columns

    def score(rows):
        return 2 + rows @ np.arange(facts + 1.0) + 3 * rows[:, 0] * rows[:, -1]

    parts, intercept = coalition_values(score, x, fact, facts)
    expected = x[:, 1:] * np.arange(1.0, facts + 1)
    expected[:, [0, -1]] += 1.5 * (x[:, 0] * x[:, -1])[:, None]
    assert intercept == 2
    np.testing.assert_allclose(parts, expected, atol=1e-10)


def test_scoring_says_what_runs_what_ended_and_why(table, result):
    now = table.assign(is_churned=pd.NA, is_ended=table.index % 4 == 0)
    predictions, reasons = score_contract_churn(
        result.estimator, now, BANDS, ContactCosts(8, 40, 1)
    )
    assert predictions["subscription_key"].tolist() == sorted(table["subscription_key"])
    counts = predictions["status"].value_counts()
    assert counts.to_dict() == {"ended": 300, "scored": 900}
    scored = predictions[predictions["status"] == "scored"]
    assert scored["churn_probability"].between(0, 1).all()
    assert (scored["is_contact_worthwhile"] == (scored["churn_probability"] >= 0.2)).all()
    assert predictions.loc[predictions["status"] == "ended", "churn_probability"].isna().all()
    assert scored["reason_1"].notna().mean() > 0.8
    sums = reasons.groupby("subscription_key")["contribution"].sum()
    rows = now[~now["is_ended"]].sort_values("subscription_key")
    np.testing.assert_allclose(sums, result.estimator.decision_function(rows), atol=1e-5)
    words = reasons[reasons["feature"] == "contract_term"]
    assert set(words["value_text"]) == {"month", "year"}
    assert words["value"].isna().all()
    assert (reasons.loc[reasons["feature"] == INTERCEPT, "value"] == 1).all()


def test_contracts_of_the_other_sort_are_not_scored(table, result):
    other = table.head(3).assign(horizon_days=90, is_ended=False)
    predictions, reasons = score_contract_churn(result.estimator, other, BANDS, ContactCosts())
    assert set(predictions["status"]) == {"no_model_passed"}
    assert reasons.empty
    nobody, _ = score_contract_churn(result.estimator, other.head(0), BANDS, ContactCosts())
    assert nobody.empty


def test_sentences_about_contracts():
    said = [
        contract_sentence("tenure_months", 1.0),
        contract_sentence("contract_term", "Month-to-month"),
        contract_sentence("monthly_amount", 70.35),
        contract_sentence("monthly_amount", 70.0),
        contract_sentence("payment_method", None),
        contract_sentence("senior_citizen", 1.0),
    ]
    assert said == [
        "a customer for 1 month",
        "contract: Month-to-month",
        "70.35 to pay a month",
        "70 to pay a month",
        "payment method unknown",
        "senior citizen: 1",
    ]


def test_contracts_with_dates_are_judged_by_time():
    rng = np.random.default_rng(3)
    days = {720: "scoring", 630: "churn_evaluation", 600: "churn_refit"}
    days |= {540 - 30 * step: "churn_training" for step in range(5)}
    parts = []
    for day in days:
        part = contracts(1500, seed=7).assign(cut_off_on=pd.Timestamp(START) + timedelta(days=day))
        odds = 1.0 - 0.06 * part["tenure_months"]
        churned = pd.Series(rng.random(1500) < expit(odds), dtype="boolean")
        part["is_churned"] = churned if day <= 630 else pd.NA
        parts.append(part.assign(horizon_days=90, is_ended=rng.random(1500) < 0.1))
    table = pd.concat([*parts, contracts(300)], ignore_index=True)
    cut_offs = pd.DataFrame(
        {
            "cut_off_on": [pd.Timestamp(START) + timedelta(days=day) for day in days],
            "purpose": list(days.values()),
        }
    )
    outcome = train_contract_churn(table, cut_offs, horizon_days=90, recipes=FAST)
    assert decide(outcome).promoted
    assert outcome.parameters["training_cut_offs"] == 5
    assert outcome.parameters["horizon_days"] == 90
    assert outcome.evaluation["period"].iloc[0].endswith("+ 90 days")
    assert outcome.estimator.evaluated_.known_until_ == str(START + timedelta(days=630))
    late = cut_offs.replace("churn_refit", "churn_training")
    with pytest.raises(FeatureError, match="not known at the evaluation cut-off"):
        train_contract_churn(table, late, horizon_days=90, recipes=FAST)


def trap(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Facts that tell little; one outcome in seven."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(700, 6))
    return x, (rng.random(700) < expit(0.4 * x[:, 0] - 1.9)).astype(float)


def test_resampling_before_the_folds_flatters_and_inside_them_does_not():
    """references.md section 2: a published AUC of .992 is .836 once resampled inside the folds."""
    x, y = trap()
    rng = np.random.default_rng(0)
    lacking = int(len(y) - 2 * y.sum())
    copied = x[rng.choice(np.flatnonzero(y == 1), lacking)]
    near = copied + 0.05 * rng.normal(size=copied.shape)  # as SMOTE: close to a rare row
    balanced = np.append(y, np.ones(lacking))
    folds = list(stratified_folds(pd.Series(np.arange(len(balanced))), balanced, 5))
    flattered = cross_val_score(
        KNeighborsClassifier(1), np.append(x, near, axis=0), balanced, scoring="roc_auc", cv=folds
    )
    assert flattered.mean() > 0.85

    frame = pd.DataFrame(x, columns=[f"fact_{n}" for n in range(6)])
    keys = np.arange(len(y)).astype(str)
    checked = check_contracts(frame.assign(cut_off_on=pd.Timestamp(TODAY), subscription_key=keys))
    labels = pd.Series(y).loc[checked.index].to_numpy()
    honest = []
    for seen, later in stratified_folds(checked["subscription_key"], labels, 5):
        model = ChurnModel("boosting full leaves=8 trees=60 resample=smote", kind=CONTRACT)
        score = model.fit_checked(checked[seen], labels[seen]).raw_scores(checked[later])
        honest.append(roc_auc(labels[later], score))
    assert np.mean(honest) < 0.72


@pytest.mark.parametrize("name", ["logistic", "splines", "tree", "boosting"])
@pytest.mark.parametrize("factor", [0.01, 7.0])
def test_the_unit_of_a_fact_does_not_matter(name, factor, table):
    """Cents or dollars: linear models are scaled inside, trees only compare."""
    rows = table.head(400)
    other = rows.assign(monthly_amount=rows["monthly_amount"] * factor)
    first = ChurnModel(RECIPES[name], kind=CONTRACT).fit(rows, rows["is_churned"])
    second = ChurnModel(RECIPES[name], kind=CONTRACT).fit(other, rows["is_churned"])
    np.testing.assert_allclose(second.predict_proba(other), first.predict_proba(rows), atol=1e-6)


def test_resampled_rows_are_refused(table):
    doubled = pd.concat([table, table[table["is_churned"]]])
    with pytest.raises(FeatureError, match="duplicate"):
        ChurnModel(kind=CONTRACT).fit(doubled, doubled["is_churned"])
    made_up = pd.concat([table, table.head(9).assign(subscription_key=None)])
    with pytest.raises(FeatureError, match="null keys"):
        train_contract_churn(made_up)


def test_nothing_fitted_can_be_handed_in():
    assert all(type(value) in (str, int) for value in ChurnModel().get_params().values())
    with pytest.raises(TypeError):
        ChurnModel(pipeline=LogisticRegression())


def test_resampling_leaves_the_mean_probability_where_it_was(table):
    for text in ("logistic full strength=1000 resample=smote", RECIPES["oversampled"]):
        model = ChurnModel(text, kind=CONTRACT).fit(table, table["is_churned"])
        mean = model.predict_proba(table)[:, 1].mean()
        assert mean == pytest.approx(table["is_churned"].mean(), abs=0.03)


def test_words_are_learned_from_the_training_rows_only(table):
    model = ChurnModel("logistic full strength=1000", kind=CONTRACT)
    model.fit(table, table["is_churned"])
    strange = table.head(2).assign(contract_term=["decade", None], payment_method=None)
    assert np.isfinite(model.predict_proba(strange)).all()
    design = ContractDesign().fit(
        check_contracts(table.assign(contract_term=table.index.astype(str)))
    )
    assert design.words_["contract_term"] == []  # an identifier is no fact


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_churned": True}, "stayed"),
        ({"is_churned": False}, "churned"),
        ({"is_churned": pd.NA}, "no contract says"),
    ],
)
def test_one_outcome_only_is_too_little_data(table, change, words):
    outcome = train_contract_churn(table.assign(**change))
    assert outcome.status == TOO_LITTLE_DATA
    assert words in outcome.reason


@pytest.mark.parametrize("count", [0, 1, 30])
def test_few_contracts_are_too_little_data(table, count):
    outcome = train_contract_churn(table.head(count))
    assert outcome.status == TOO_LITTLE_DATA


def test_constants_gaps_and_decimals_are_no_obstacle(table):
    odd = table.assign(
        monthly_amount=[Decimal(str(v)) for v in table["monthly_amount"]],
        charged_amount=10.0,
        payment_method="card",
        tenure_months=table["tenure_months"].where(table.index % 3 > 0).astype("Int32"),
        contract_term=table["contract_term"].astype("string"),
    )
    outcome = train_contract_churn(odd, recipes=FAST)
    assert outcome.status == TRAINED
    assert np.isfinite(outcome.evaluation["value"]).all()


def test_errors_name_what_is_wrong(table, result):
    with pytest.raises(FeatureError, match="is_churned"):
        train_contract_churn(table.drop(columns="is_churned"))
    with pytest.raises(FeatureError, match="monthly_amount of a contract is infinite"):
        train_contract_churn(table.assign(monthly_amount=np.inf))
    with pytest.raises(FeatureError, match=r"lack \['tenure_months'\]"):
        result.estimator.predict_proba(table.drop(columns="tenure_months"))
    with pytest.raises(FeatureError, match="no facts"):
        check_contracts(table[["cut_off_on", "subscription_key"]])


def test_the_threshold_is_where_a_contact_begins_to_pay():
    costs = ContactCosts(contact_amount=2, saved_amount=40, success_rate=0.1)
    assert costs.threshold == 0.5
    y = np.array([1.0, 1, 0, 0, 1])
    p = np.array([0.9, 0.5, 0.6, 0.1, 0.2])
    found = at_threshold(y, p, costs)
    assert found == pytest.approx(
        {
            "threshold": 0.5,
            "accuracy": 3 / 5,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "f1": 2 / 3,
            "contact_rate": 3 / 5,
            "net_amount": (2 * 4 - 3 * 2) / 5,
        }
    )
    assert best_without_a_model(y, costs) == pytest.approx((3 * 4 - 5 * 2) / 5)
    rng = np.random.default_rng(0)
    true = rng.random(40_000)
    outcome = (rng.random(40_000) < true).astype(float)
    best = at_threshold(outcome, true, costs)["net_amount"]
    for wrong in (0.3, 0.7):
        other = ContactCosts(2, 2 / (0.1 * wrong), 0.1)
        contacted = true >= other.threshold
        assert best > np.mean(np.where(contacted, 4 * outcome - 2, 0.0))


def test_a_threshold_that_nobody_reaches_is_no_error():
    found = at_threshold(np.array([1.0, 0.0]), np.array([0.5, 0.4]), ContactCosts(50, 10, 0.1))
    assert (found["precision"], found["recall"], found["f1"], found["net_amount"]) == (0, 0, 0, 0)


def test_costs_come_from_their_table_or_say_why_not():
    table = pd.DataFrame(
        {
            "model": ["churn"],
            "contact_amount": [1],
            "saved_amount": [Decimal(20)],
            "success_rate": [0.1],
        }
    )
    assert contact_costs(table, "churn") == ContactCosts(1, 20, 0.1)
    with pytest.raises(ValueError, match="one row for the model contract_churn"):
        contact_costs(table, "contract_churn")
    with pytest.raises(ValueError, match="success_rate"):
        contact_costs(table.drop(columns="success_rate"), "churn")
    with pytest.raises(ValueError, match="churn costs need"):
        contact_costs(table.assign(saved_amount=0), "churn")
