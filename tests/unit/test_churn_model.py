"""ChurnModel: what it predicts, how it explains itself, and that it survives being stored."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.special import logit

from ml.churn.bands import risk_band
from ml.churn.calibration import Calibration, choose_calibration
from ml.churn.features import CONCEPTS, FULL, STABLE, FeatureError, check_features, design_matrix
from ml.churn.model import SKOPS_TRUSTED_TYPES, ChurnModel
from ml.churn.reasons import SENTENCES
from ml.churn.recipes import Recipe, family_of, recipe, recipes_of
from ml.churn.season import TRUST, SeasonLevels
from ml.churn.splines import NaturalSplines
from ml.churn.tuning import folds
from ml.evaluation.sampling import key_halves
from tests.unit.churn_company import company, features_at, frames

RECIPES = {
    "logistic": {"recipe": "logistic stable strength=1000"},
    "splines": {"recipe": "splines full strength=1000", "calibration": "sigmoid"},
    "tree": {"recipe": "tree full leaves=12"},
    "boosting": {"recipe": "boosting full leaves=8 trees=20", "calibration": "isotonic"},
    "forest": {"recipe": "forest full leaves=16 trees=8"},
    "svm": {"recipe": "svm stable strength=1000"},
    "network": {"recipe": "network full strength=100"},
    "smote": {"recipe": "logistic stable strength=1000 resample=smote"},
    "blend": {"recipe": "splines full strength=1000 + forest full leaves=16 trees=8"},
}


@pytest.fixture(scope="module")
def labelled():
    features, labels, _ = frames(company(customers=700, seed=2), training=2)
    joined = features.merge(labels, on=["cut_off_on", "customer_key"]).dropna(subset="is_churned")
    joined = joined.reset_index(drop=True)
    return joined[features.columns], joined["is_churned"].astype(float)


@pytest.fixture(scope="module")
def fitted(labelled):
    return {name: ChurnModel(**recipe).fit(*labelled) for name, recipe in RECIPES.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_contributions_and_intercept_sum_to_the_uncalibrated_log_odds(name, fitted, labelled):
    rows = labelled[0].iloc[7:60]
    parts, intercept = fitted[name].contributions(rows)
    assert parts.index.equals(rows.index)
    assert set(parts.columns) <= set(rows.columns)
    total = parts.sum(axis=1).to_numpy() + intercept
    np.testing.assert_allclose(total, fitted[name].decision_function(rows), atol=1e-9)


@pytest.mark.parametrize("name", RECIPES)
def test_explaining_says_the_same_probability_as_predicting_in_any_order(name, fitted, labelled):
    rows = labelled[0].iloc[60:7:-1]
    probability, parts, intercept = fitted[name].explain(rows)
    np.testing.assert_allclose(probability, fitted[name].predict_proba(rows)[:, 1], atol=1e-12)
    expected, same = fitted[name].contributions(rows)
    pd.testing.assert_frame_equal(parts, expected)
    assert intercept == same
    nobody, none, _ = fitted[name].explain(rows.head(0))
    assert (len(nobody), len(none)) == (0, 0)


@pytest.mark.parametrize("name", RECIPES)
def test_is_the_same_after_being_stored(name, fitted, labelled):
    model = fitted[name]
    model.evaluated_ = ChurnModel(**RECIPES[name]).fit(*labelled)
    stored = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(SKOPS_TRUSTED_TYPES)
    loaded = skops.io.loads(stored, trusted=SKOPS_TRUSTED_TYPES)
    rows = labelled[0]
    assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))
    assert np.array_equal(loaded.evaluated_.predict(rows), model.evaluated_.predict(rows))


@pytest.mark.parametrize("name", RECIPES)
def test_fitting_twice_and_in_another_order_gives_the_same_bits(name, fitted, labelled):
    rows, churned = labelled
    mixed = np.random.default_rng(0).permutation(len(rows))
    again = ChurnModel(**RECIPES[name]).fit(rows.iloc[mixed], churned.iloc[mixed])
    assert np.array_equal(again.predict_proba(rows), fitted[name].predict_proba(rows))


@pytest.mark.parametrize("name", RECIPES)
def test_one_row_is_scored_like_many(name, fitted, labelled):
    rows = labelled[0]
    alone = fitted[name].predict_proba(rows.iloc[[11]])
    np.testing.assert_allclose(alone[0], fitted[name].predict_proba(rows)[11], atol=1e-12)
    assert fitted[name].predict_proba(rows.head(0)).shape == (0, 2)


@pytest.mark.parametrize("name", ["splines", "boosting"])
def test_a_model_stored_before_there_were_recipes_is_still_read(name, fitted, labelled):
    model = fitted[name]
    of_now = ("recipe", "kind", "pipelines_", "facts_")
    state = {key: value for key, value in model.__dict__.items() if key not in of_now}
    family = {"splines": "logistic", "boosting": "boosting"}[name]
    state |= {"family": family, "feature_set": FULL, "strength": 1000.0}
    state |= {"max_leaf_nodes": 8, "max_iter": 20, "pipeline_": model.pipelines_[0]}
    old = ChurnModel.__new__(ChurnModel)
    old.__setstate__(state)
    assert old.get_params()["recipe"] == RECIPES[name]["recipe"]
    rows = labelled[0].head(30)
    assert np.array_equal(old.predict_proba(rows), model.predict_proba(rows))
    pd.testing.assert_frame_equal(old.contributions(rows)[0], model.contributions(rows)[0])


@pytest.mark.parametrize("name", RECIPES)
def test_odd_customers_get_a_probability(name, fitted):
    odd = [
        customer(order_count=10_000, purchase_day_count=700, repeat_count=699),
        customer(gross_amount=-500.0, average_order_amount=-125.0, return_count=90),
        customer(age_days=0, observed_age_days=0, last_repeat_age_days=0, recency_days=0),
        customer(median_gap_days=None, gross_amount=None, distinct_product_count=None),
    ]
    for rows in odd:
        p = fitted[name].predict_proba(rows)[0, 1]
        assert 0 < p < 1
        parts, intercept = fitted[name].contributions(rows)
        total = float(parts.sum(axis=1).iloc[0]) + intercept
        assert total == pytest.approx(fitted[name].decision_function(rows)[0], abs=1e-8)


def test_probabilities_are_probabilities(fitted, labelled):
    for model in fitted.values():
        p = model.predict_proba(labelled[0])
        assert ((p > 0) & (p < 1)).all()
        np.testing.assert_allclose(p.sum(axis=1), 1)


def test_every_preprocessing_step_is_inside_the_pipeline(labelled):
    """Only the training rows decide how a row is filled, scaled and bent."""
    rows, churned = labelled
    half = key_halves(rows["customer_key"])
    model = ChurnModel().fit(rows[half], churned[half])
    expected = model.predict_proba(rows[half])
    strange = rows[~half].assign(gross_amount=1e9, recency_days=300)
    together = model.predict_proba(pd.concat([rows[half], strange]))
    np.testing.assert_allclose(together[: half.sum()], expected, atol=1e-12)


def test_held_out_scores_never_come_from_a_customers_own_rows(labelled):
    rows, churned = labelled
    frame = check_features(rows)
    y = churned.loc[frame.index].to_numpy()
    half = key_halves(frame["customer_key"])
    model = ChurnModel("logistic stable strength=1000")
    first = model.held_out_scores(frame, y)
    flipped = y.copy()
    flipped[half] = 1 - flipped[half]
    second = model.held_out_scores(frame, flipped)
    assert np.array_equal(first[half], second[half])
    assert not np.array_equal(first[~half], second[~half])


def test_refuses_labels_that_teach_nothing(labelled):
    rows, churned = labelled
    with pytest.raises(ValueError, match="same outcome"):
        ChurnModel().fit(rows, np.ones(len(rows)))
    with pytest.raises(ValueError, match="without a label"):
        ChurnModel().fit(rows, churned.where(churned.index > 3))
    with pytest.raises(ValueError, match="family"):
        ChurnModel("oracle full").fit(rows, churned)
    with pytest.raises(ValueError, match="kind"):
        ChurnModel(kind="mood").fit(rows, churned)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_text_that_says_all(name):
    text = RECIPES[name]["recipe"]
    assert " + ".join(str(part) for part in recipes_of(text)) == text
    assert family_of(text) == (name if name != "smote" else "logistic")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("oracle full", "unknown family"),
        ("logistic best strength=1", "unknown feature set"),
        ("logistic full resample=enn", "unknown resampling"),
        ("logistic full power=3", "unknown setting"),
    ],
)
def test_a_recipe_of_nothing_known_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        recipe(text)
    assert recipe("tree leaves=3") == Recipe("tree", "full", leaves=3)


def test_null_keys_are_refused(labelled):
    rows = labelled[0].head(3).copy()
    rows.loc[rows.index[0], "customer_key"] = None
    with pytest.raises(FeatureError, match="null keys"):
        check_features(rows)


def test_stable_features_do_not_know_how_old_the_record_is():
    """A longer time on book changes the full set only."""
    rows = check_features(features_at(company(customers=100).orders, date(2025, 6, 1)))
    older = rows.assign(age_days=rows["age_days"] + 500, observed_age_days=900.0)
    pd.testing.assert_frame_equal(design_matrix(older, STABLE), design_matrix(rows, STABLE))
    assert not design_matrix(older, FULL).equals(design_matrix(rows, FULL))
    assert set(design_matrix(rows, FULL).columns) == set(CONCEPTS)


def customer(**facts):
    row = {
        "cut_off_on": date(2025, 6, 1),
        "customer_key": "a",
        "first_order_on": date(2024, 6, 1),
        "last_order_on": date(2025, 1, 9),
        "recency_days": 143,
        "age_days": 365,
        "order_count": 4,
        "purchase_day_count": 4,
        "repeat_count": 3,
        "last_repeat_age_days": 222,
        "observed_age_days": 365,
        "gross_amount": 1234.5,
        "average_order_amount": 300.0,
        "order_count_30d": 0,
        "order_count_90d": 0,
        "order_count_180d": 1,
        "order_count_365d": 4,
        "distinct_product_count": 1,
        "return_count": 0,
        "median_gap_days": 40.0,
    }
    return pd.DataFrame([row | facts])


def test_reasons_are_sentences_about_the_customer():
    say = {name: sentence(customer().iloc[0]) for name, sentence in SENTENCES.items()}
    assert say == {
        "recency_days": "last order 143 days ago, 3.6 times the usual gap",
        "order_count": "4 orders in 365 days as a customer",
        "order_count_90d": "no order in the last 90 days",
        "gross_amount": "1,234 spent so far",
        "distinct_product_count": "1 different product bought",
        "return_count": "no returns so far",
    }
    once = customer(recency_days=1, order_count=1, median_gap_days=np.nan, order_count_90d=1)
    assert SENTENCES["recency_days"](once.iloc[0]) == "last order 1 day ago"
    assert SENTENCES["order_count"](once.iloc[0]) == "only one order so far"
    assert SENTENCES["order_count_90d"](once.iloc[0]) == "1 order in the last 90 days"
    assert SENTENCES["recency_days"](customer(recency_days=0).iloc[0]) == "last order today"


@pytest.mark.parametrize("name", RECIPES)
def test_reasons_name_the_strongest_facts_towards_churn_only(name, fitted, labelled):
    rows = labelled[0].head(80)
    parts, _ = fitted[name].contributions(rows)
    reasons = fitted[name].reasons(rows)
    assert list(reasons.columns) == ["reason_1", "reason_2", "reason_3"]
    positive = (parts.round(9) > 0).sum(axis=1).clip(upper=3)
    assert reasons.notna().sum(axis=1).equals(positive.astype("int64"))
    strongest = parts.idxmax(axis=1)
    for place, row in rows.iterrows():
        if positive[place]:
            assert reasons.loc[place, "reason_1"] == SENTENCES[strongest[place]](row)


def test_silence_raises_the_probability(fitted):
    for model in fitted.values():
        fresh = customer(recency_days=5, last_repeat_age_days=360, order_count_30d=1)
        fresh = fresh.assign(order_count_90d=2, order_count_180d=2)
        assert model.predict_proba(customer())[0, 1] > model.predict_proba(fresh)[0, 1]


def test_platt_and_isotonic_undo_a_distortion_and_are_chosen_for_it():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, 8000)
    y = (rng.random(8000) < 1 / (1 + np.exp(-true))).astype(float)
    half = rng.random(8000) < 0.5
    assert choose_calibration(true, y, half)[0] == "none"
    assert choose_calibration(3 * true + 1, y, half)[0] == "sigmoid"
    bent = np.sign(true) * true**2 * 3 + 2 * (true > 0.3)
    method, losses = choose_calibration(bent, y, half)
    assert method == "isotonic"
    assert losses["isotonic"] < losses["none"]
    platt = Calibration("sigmoid").fit(3 * true + 1, y)
    np.testing.assert_allclose(platt.apply(3 * true + 1), true, atol=0.25)
    with pytest.raises(ValueError, match="calibration"):
        Calibration("beta").fit(true, y)


def season(days: list[str], rates: list[float]) -> SeasonLevels:
    on = pd.Series(pd.to_datetime(np.repeat(days, 400)))
    y = np.concatenate([np.arange(400) < 400 * rate for rate in rates]).astype(float)
    return SeasonLevels().fit(on, np.zeros(len(y)), y)


def test_last_years_season_is_carried_forward_in_part():
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=13, freq="30D")]
    levels = season(days, [0.5] * 9 + [0.3] + [0.5] * 3)
    deep = pd.Timestamp(days[9]) + pd.Timedelta(days=365)
    got = levels.offset(pd.Series([deep, deep + pd.Timedelta(days=365)]))
    mean = logit(0.3) / 13  # levels are centred
    np.testing.assert_allclose(got, TRUST * (logit(0.3) - mean), atol=0.02)
    other = levels.offset(pd.Series([pd.Timestamp(days[4]) + pd.Timedelta(days=365)]))
    np.testing.assert_allclose(other, TRUST * -mean, atol=0.02)


def test_half_a_year_says_nothing_about_the_other_half():
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=6, freq="30D")]
    levels = season(days, [0.3, 0.4, 0.5, 0.6, 0.7, 0.5])
    day = pd.Series([pd.Timestamp("2024-10-01"), pd.Timestamp("2025-10-01")])
    assert levels.offset(day).tolist() == [0.0, 0.0]


def test_splines_are_straight_in_the_tails_and_ignore_constants():
    x = np.column_stack([np.linspace(0, 1, 200), np.full(200, 3.0)])
    bend = NaturalSplines((0, 1)).fit(x)
    out = bend.transform(x)
    assert out.shape == (200, 2 + 6)
    assert (out[:, 5:] == 0).all()
    tail = bend.transform(np.column_stack([[2.0, 3.0, 4.0], [3.0] * 3]))[:, 2:5]
    np.testing.assert_allclose(np.diff(tail, n=2, axis=0), 0, atol=1e-9)


def test_folds_validate_only_after_the_training_labels_were_known(labelled):
    frame, labels, _ = frames(company(customers=900, seed=3), training=8)
    joined = frame.merge(labels, on=["cut_off_on", "customer_key"]).dropna(subset="is_churned")
    rows = check_features(joined)
    y = joined.loc[rows.index, "is_churned"].astype(float).to_numpy()
    pairs = list(folds(rows, y, 90))
    assert len(pairs) == 3
    for seen, later in pairs:
        first = rows.loc[later, "cut_off_on"].min()
        assert rows.loc[seen, "cut_off_on"].max() + pd.Timedelta(days=90) <= first


BANDS = pd.DataFrame({"risk_band": ["high", "low", "medium"], "minimum_rate": [0.7, 0.0, 0.4]})


def test_risk_bands_begin_at_their_minimum():
    given = pd.Series([0.0, 0.3999, 0.4, 0.7, 1.0, np.nan], index=list("abcdef"))
    got = risk_band(given, BANDS)
    assert got.tolist() == ["low", "low", "medium", "high", "high", None]
    assert got.index.equals(given.index)


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (BANDS.assign(minimum_rate=[0.7, 0.1, 0.4]), "begin at a minimum_rate of 0"),
        (BANDS.assign(minimum_rate=[0.0, 0.0, 0.4]), "different minimum rates"),
        (BANDS.drop(columns="risk_band"), "risk_band"),
        (BANDS.head(0), "begin at"),
    ],
)
def test_bands_that_do_not_cover_are_refused(bands, words):
    with pytest.raises(ValueError, match=words):
        risk_band([0.5], bands)
    with pytest.raises(ValueError, match="outside"):
        risk_band([1.5], BANDS)
