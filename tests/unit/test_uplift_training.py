"""The uplift model: chosen on earlier campaigns, examined on later ones; and the experiments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.gate import decide
from ml.evaluation.result import (
    TOO_LITTLE_DATA,
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
)
from ml.experiments.campaigns import COLUMNS, experiment_results
from ml.uplift.model import SKOPS_TRUSTED_TYPES, UpliftModel
from ml.uplift.training import train_uplift

DESIGNS = pd.DataFrame(
    [("shop", None, "treated", 0.75), ("shop", None, "control", 0.25)],
    columns=["source", "campaign_key", "arm", "planned_share"],
)
CHANNEL_EFFECTS = {"search": 0.0, "social": 0.35, "fair": -0.05}


def people(size=700, campaigns=4, seed=0, effects=CHANNEL_EFFECTS) -> pd.DataFrame:
    """Quarterly campaigns; who came by social media buys least and is moved, others are not."""
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(campaigns):
        channel = rng.choice(list(effects), size)
        is_control = rng.random(size) < 0.25
        effect = pd.Series(channel).map(effects).to_numpy()
        orders = 1 + rng.poisson(3, size)
        base = np.clip(0.02 + 0.02 * orders, 0, 0.2) + 0.25 * (channel != "social")
        bought = rng.random(size) < base + np.where(is_control, 0, effect)
        parts.append(
            pd.DataFrame(
                {
                    "campaign_key": f"shop:{number}",
                    "source": "shop",
                    "person_key": [f"shop:{i:05d}" for i in range(size)],
                    "customer_key": [f"shop:{i:05d}" for i in range(size)],
                    "arm": np.where(is_control, "control", "treated"),
                    "is_control": is_control,
                    "touched_on": pd.Timestamp(2024, 1 + 3 * (number % 4), 12),
                    "responses": None,
                    "conversions": bought.astype(int),
                    "response_amount": None,
                    "recency_days": rng.integers(1, 400, size),
                    "age_days": 500,
                    "order_count": orders,
                    "gross_amount": orders * rng.gamma(2, 30, size),
                    "average_order_amount": 60.0,
                    "order_count_365d": orders // 2,
                    "gross_amount_365d": orders * 30.0,
                    "birth_year": rng.integers(1940, 2005, size),
                    "acquisition_channel": channel,
                    "country": "CH",
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def trained() -> TrainingResult:
    return train_uplift(people())


def test_who_differs_is_found_and_promoted(trained):
    assert trained.status == TRAINED
    decision = decide(trained)
    assert decision.promoted, decision.reason
    assert "beats the response model in Qini" in decision.reason
    # two of four campaigns: one alone is less than the share to be examined on
    assert "campaigns from 2024-07-12" in trained.reason
    found = trained.evaluation.set_index("metric")["value"]
    assert found["qini_low"] > 0
    assert found["mean_uplift"] == pytest.approx(found["observed_effect"], abs=0.05)
    known = people(seed=7, campaigns=1)
    uplift = trained.estimator.predict(known)
    social = (known["acquisition_channel"] == "social").to_numpy()
    assert uplift[social].mean() == pytest.approx(0.35, abs=0.08)
    assert abs(uplift[~social].mean()) < 0.08


def test_where_all_are_moved_alike_nobody_is_told_apart():
    found = train_uplift(people(effects=dict.fromkeys(CHANNEL_EFFECTS, 0.1), seed=3))
    decision = decide(found)
    assert not decision.promoted
    assert "no heterogeneity worth acting on" in found.reason
    assert "no heterogeneity worth acting on" in decision.reason


@pytest.mark.parametrize("times", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_shuffled_treatment_is_hardly_ever_promoted(times):
    """What the lot decided says nothing any more: one in twenty may pass by chance, and one."""
    passed = 0
    for seed in range(times):
        rows = people(300, seed=seed)
        rng = np.random.default_rng(seed)
        for _, index in rows.groupby("campaign_key").groups.items():
            mixed = rng.permutation(rows.loc[index, "is_control"].to_numpy())
            rows.loc[index, "is_control"] = mixed
        rows["arm"] = np.where(rows["is_control"], "control", "treated")
        passed += decide(train_uplift(rows)).promoted
    assert passed <= 1 + times // 20


def test_the_same_rows_in_any_order_give_the_same(trained):
    rows = people()
    shuffled = rows.sample(frac=1, random_state=1)
    again = train_uplift(shuffled)
    assert again.reason == trained.reason
    known = people(50, campaigns=1, seed=5)
    np.testing.assert_allclose(
        again.estimator.predict(known), trained.estimator.predict(known), atol=1e-9
    )


def test_only_what_came_before_the_later_campaigns_was_learned_from(trained):
    """Outcomes of the later campaigns move neither the choice nor the examined model."""
    rows = people()
    later = rows["touched_on"] >= pd.Timestamp(2024, 7, 1)
    rows.loc[later, "conversions"] = 1 - rows.loc[later, "conversions"]
    again = train_uplift(rows)
    known = people(50, campaigns=1, seed=5)
    pd.testing.assert_frame_equal(again.tables["candidates"], trained.tables["candidates"])
    np.testing.assert_array_equal(
        again.estimator.evaluated_.predict(known), trained.estimator.evaluated_.predict(known)
    )
    assert not decide(again).promoted


def test_a_worse_challenger_leaves_the_champion_and_a_better_one_takes_over(trained):
    worse = train_uplift(people(effects=CHANNEL_EFFECTS), champion=trained.estimator)
    assert not decide(worse).promoted
    assert "does not beat champion" in decide(worse).reason
    mistaken = UpliftModel("s").fit(
        *(lambda rows: (rows, 1 - rows["conversions"].to_numpy(), ~rows["is_control"].to_numpy()))(
            people()
        )
    )
    assert decide(train_uplift(people(), champion=mistaken)).promoted


def test_one_campaign_is_examined_on_people_held_out():
    found = train_uplift(people(2000, campaigns=1))
    assert "held-out people" in found.reason
    assert decide(found).promoted
    undated = people(1200, campaigns=2).assign(touched_on=pd.NaT)
    assert "held-out people" in train_uplift(undated).reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.head(0), "no experiment"),
        (lambda rows: rows.head(1), "no campaign has both"),
        (lambda rows: rows.head(30), "are needed"),
        (lambda rows: rows.assign(order_count=None), "no experiment"),
        (lambda rows: rows.assign(conversions=None), "recorded what people did"),
        (lambda rows: rows.assign(conversions=0), "0 of whom responded"),
        (lambda rows: rows.assign(conversions=1), "are needed"),
        (lambda rows: rows[~rows["is_control"]], "both"),
        (lambda rows: rows[rows["is_control"]], "nobody was treated"),
    ],
)
def test_too_little_says_why(change, words):
    found = train_uplift(change(people(200)))
    assert found.status == TOO_LITTLE_DATA
    assert words in found.reason
    assert not decide(found).promoted


def test_odd_features_do_no_harm():
    rows = people(800)
    rows["birth_year"] = None
    rows["country"] = None
    rows.loc[rows.index[::3], "acquisition_channel"] = None
    rows["gross_amount"] = -rows["gross_amount"]
    rows.loc[0, "order_count"] = 10_000
    rows["age_days"] = 0
    found = train_uplift(rows)
    assert found.status == TRAINED
    uplift = found.estimator.predict(rows.assign(acquisition_channel="never seen"))
    assert np.isfinite(uplift).all()
    assert found.estimator.predict(rows.head(0)).size == 0
    assert found.estimator.predict(rows.head(1)).shape == (1,)
    with pytest.raises(ValueError, match="country"):
        found.estimator.predict(rows.drop(columns="country"))
    with pytest.raises(ValueError, match="unique"):
        train_uplift(pd.concat([rows, rows.head(1)]))


def test_campaigns_of_unequal_groups_do_not_look_like_uplift():
    """Few held back where many respond anyway: only weights keep that apart."""
    rows = people(1500, effects=dict.fromkeys(CHANNEL_EFFECTS, 0.0), seed=11)
    rng = np.random.default_rng(0)
    busy = rows["campaign_key"].isin(["shop:1", "shop:3"])
    rows["is_control"] = rng.random(len(rows)) < np.where(busy, 0.1, 0.6)
    rows["conversions"] = (rng.random(len(rows)) < np.where(busy, 0.5, 0.1)).astype(int)
    rows["arm"] = np.where(rows["is_control"], "control", "treated")
    found = train_uplift(rows).evaluation.set_index("metric")["value"]
    assert abs(found["observed_effect"]) < 0.03


def test_the_model_is_stored_and_loaded_by_skops(trained):
    from skops.io import dumps, get_untrusted_types, loads

    data = dumps(trained.estimator)
    assert set(get_untrusted_types(data=data)) <= set(SKOPS_TRUSTED_TYPES)
    known = people(50, campaigns=1, seed=5)
    loaded = loads(data, trusted=SKOPS_TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.predict(known), trained.estimator.predict(known))


# The gate by itself


def evidence(candidate, response, champion=None) -> TrainingResult:
    rng = np.random.default_rng(0)
    x = rng.random(3000)
    t = rng.integers(0, 2, 3000).astype(float)
    y = (rng.random(3000) < 0.2 + 0.4 * t * x).astype(float)
    scores = {"good": x, "noise": rng.random(3000), "bad": -x, "constant": np.zeros(3000)}
    gate = GateInputs(
        model="uplift",
        candidate=scores[candidate],
        baselines={"the response model": scores[response]},
        champion=None if champion is None else scores[champion],
        actual=y,
        treated=t,
    )
    return TrainingResult(TRAINED, "r", None, {}, evaluation_frame(), {}, {}, gate)


def test_the_gate_promotes_what_ranks_better_than_chance_response_and_champion():
    assert decide(evidence("good", "noise")).promoted
    assert decide(evidence("good", "bad", "noise")).promoted


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("noise", "bad"), "not above 0"),
        (("constant", "bad"), "not above 0"),
        (("good", "good"), "does not beat the response model"),
        (("good", "noise", "good"), "does not beat champion"),
    ],
)
def test_the_gate_refuses_with_the_reason(names, words):
    decision = decide(evidence(*names))
    assert not decision.promoted
    assert words in decision.reason


# Experiments


def test_each_experiment_gets_a_verdict_in_order_of_key():
    rows = people(2000, campaigns=2)
    found = experiment_results(rows.sample(frac=1, random_state=2), DESIGNS)
    assert tuple(found.columns) == COLUMNS
    key = ["campaign_key", "experiment_arm", "outcome", "method"]
    pd.testing.assert_frame_equal(found, experiment_results(rows, DESIGNS))
    assert not found.duplicated(key).any()
    assert set(found["method"]) == {"z", "cuped"}
    assert set(found["verdict"]) == {"raises"}
    assert (found["effect"].between(found["effect_low"], found["effect_high"])).all()
    assert (found["always_valid_p_value"] >= found["p_value"]).all()
    assert (found["adjusted_p_value"] >= found["p_value"]).all()
    assert (found.loc[found["method"] == "cuped", "variance_removed_share"] > 0).all()


@pytest.mark.parametrize(
    ("effect", "verdict"), [(0.1, "raises"), (0.0, "no_effect_found"), (-0.15, "lowers")]
)
def test_the_verdict_is_what_was_found(effect, verdict):
    rows = people(4000, campaigns=1, effects={"search": effect}, seed=4)
    found = experiment_results(rows, DESIGNS)
    assert set(found["verdict"]) == {verdict}


def test_a_lot_that_did_not_work_makes_every_effect_untrusted():
    rows = people(2000, campaigns=1)
    lost = rows["is_control"] & (rows["conversions"] == 0)
    rows = rows[~(lost & (rows.index % 3 == 0))]
    assert set(experiment_results(rows, DESIGNS)["verdict"]) == {"sample_ratio_mismatch"}
    unplanned = experiment_results(rows, DESIGNS.head(0))
    assert unplanned["sample_ratio_p_value"].isna().all()
    own = rows["is_control"].mean()
    other = DESIGNS.assign(campaign_key="shop:0", planned_share=[1 - own, own])
    found = experiment_results(rows, pd.concat([DESIGNS, other]))
    assert "sample_ratio_mismatch" not in set(found["verdict"])


def test_who_was_sent_nothing_could_not_respond_to_it():
    """Clicks of those held back are zero by definition, and take no part in the adjustment."""
    rows = people(2000, campaigns=1)
    clicked = (~rows["is_control"] & (rows.index % 4 == 0)).astype(int)
    found = experiment_results(rows.assign(responses=clicked), DESIGNS)
    without = experiment_results(rows, DESIGNS)
    verdicts = found.groupby("outcome")["verdict"].agg(set).to_dict()
    assert verdicts["response"] == {"not_comparable"}
    kept = found[found["outcome"] == "conversion"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, without)


def test_small_and_odd_experiments():
    few = experiment_results(people(20, campaigns=1), DESIGNS)
    assert set(few["verdict"]) == {"too_little_data"}
    assert experiment_results(people(1, campaigns=1), DESIGNS).empty
    assert experiment_results(people(200).head(0), DESIGNS).empty
    assert experiment_results(people(200).assign(is_control=False), DESIGNS).empty
    nobody = experiment_results(people(200, campaigns=1).assign(conversions=0), DESIGNS)
    assert set(nobody["verdict"]) == {"too_little_data"}
    spent = people(500, campaigns=1).assign(response_amount=7.5, gross_amount_365d=None)
    amounts = experiment_results(spent, DESIGNS)
    assert set(amounts["method"]) == {"z", "welch"}
    assert set(amounts.loc[amounts["method"] == "welch", "verdict"]) == {"too_little_data"}


def test_hillstroms_experiment_as_the_pipeline_reads_it(shared_data):
    rows = pd.read_csv(shared_data("email_experiment/hillstrom.csv.gz"))
    known = pd.DataFrame(
        {
            "campaign_key": "email_experiment:merchandise",
            "source": "email_experiment",
            "person_key": [f"{i:06d}" for i in range(len(rows))],
            "arm": rows["segment"].replace("No E-Mail", "control"),
            "is_control": rows["segment"] == "No E-Mail",
            "responses": rows["visit"],
            "conversions": rows["conversion"],
            "response_amount": rows["spend"],
            "gross_amount_365d": rows["history"],
        }
    )
    designs = pd.DataFrame(
        {"source": "email_experiment", "campaign_key": None,
         "arm": ["Mens E-Mail", "Womens E-Mail", "control"], "planned_share": 1 / 3}
    )  # fmt: skip
    found = experiment_results(known, designs)
    assert len(found) == 12
    assert set(found["verdict"]) == {"raises"}
    visit = found[(found["outcome"] == "response") & (found["method"] == "z")]
    np.testing.assert_allclose(visit["effect"], [0.07659, 0.04523], atol=5e-6)
