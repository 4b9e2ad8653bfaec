"""train_recommendations: the choice, the evidence, the champion, no leak, odd data."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from ml.evaluation.gate import decide
from ml.evaluation.leakage import scramble_after
from ml.recommendation import purchases as known_by
from ml.recommendation.model import SKOPS_TRUSTED_TYPES, Recommender
from ml.recommendation.purchases import day_number, make_history, snapshot
from ml.recommendation.scoring import POPULAR, score_recommendations
from ml.recommendation.shop import Shop
from ml.recommendation.training import train_recommendations
from tests.unit.recommendation_shop import AS_OF, EMPTY_INVENTORY, sales_of, shop

ORDER = ("purchases", "sales", "inventory", "products")


def train(frames, **settings):
    values = {"as_of": AS_OF, "horizon_days": 60, **settings}
    return train_recommendations(*(frames[name] for name in ORDER), **values)


def score(model, frames, customers=None, **settings):
    everybody = frames["purchases"]["customer_key"].drop_duplicates()
    people = pd.DataFrame({"customer_key": everybody if customers is None else customers})
    values = {"as_of": AS_OF, **settings}
    return score_recommendations(model, *(frames[name] for name in ORDER), people, **values)


@pytest.fixture(scope="module")
def frames():
    return shop()


@pytest.fixture(scope="module")
def result(frames):
    return train(frames)


@pytest.fixture(scope="module")
def scored(result, frames):
    return score(result.estimator, frames)


def figure(result, metric, column="value"):
    """Return one figure of the reported period."""
    period = result.evaluation["period"].iloc[0]
    rows = result.evaluation
    rows = rows[(rows["metric"] == metric) & (rows["period"] == period)]
    assert len(rows) == 1
    return float(rows[column].iloc[0])


# --- the choice and the evidence ---


def test_tastes_are_found_and_promoted(result):
    assert result.status == "trained"
    assert decide(result).promoted, decide(result).reason
    assert figure(result, "ndcg") > 1.5 * figure(result, "ndcg", "baseline_value")
    assert "new products only" in result.reason
    assert result.parameters["weight_popularity"] == 0.01


def test_the_evaluation_has_every_metric_on_the_later_period(result):
    later = f"{AS_OF - timedelta(days=59)} to {AS_OF}"
    rows = result.evaluation[result.evaluation["period"] == later].set_index("metric")
    assert set(rows.index) == {"ndcg", "precision", "recall", "hit_rate", "coverage", "novelty"}
    assert rows["baseline_value"].notna().all()
    assert rows["champion_value"].isna().all()
    assert rows.loc["ndcg", "value"] == pytest.approx(result.gate.candidate.mean())
    earlier = result.evaluation[result.evaluation["period"] != later]
    tried = {"popularity", "cosine", "cosine_recent", "ease_100", "ease_500", "als", "content"}
    assert set(earlier["metric"]) >= {f"ndcg_{name}" for name in tried}


def test_the_winner_was_chosen_without_the_later_period(frames, result):
    """Whatever is bought in the last window changes nothing of the choice."""
    cut = AS_OF - timedelta(days=60)
    changed = frames["purchases"].copy()
    later = changed["ordered_on"] > pd.Timestamp(cut)
    mixed = changed.loc[later, "product_key"].sample(frac=1, random_state=1).to_numpy()
    changed.loc[later, "product_key"] = mixed
    again = train({**frames, "purchases": changed, "sales": sales_of(changed)})
    pd.testing.assert_frame_equal(again.tables["candidates"], result.tables["candidates"])
    assert again.estimator.weights == result.estimator.weights


def test_row_order_and_a_second_training_change_nothing(frames, result, scored):
    shuffled = {name: frame.sample(frac=1, random_state=5) for name, frame in frames.items()}
    again = train(shuffled)
    pd.testing.assert_frame_equal(again.evaluation, result.evaluation)
    pd.testing.assert_frame_equal(score(again.estimator, shuffled), scored)


def test_purchases_without_any_pattern_are_refused():
    """Products drawn at random: nothing can beat popularity but by chance."""
    promoted = sum(decide(train(shop(seed=seed, taste=0.0))).promoted for seed in range(3))
    assert promoted == 0


# --- no leak ---


def leaked(frames) -> bool:
    """Whether what is known at the cut-off moves with what happened after it."""
    cut = AS_OF - timedelta(days=60)
    found = []
    for seed in (None, 1):
        changed = dict(frames)
        if seed is not None:
            for name in ("purchases", "sales"):
                changed[name] = scramble_after(frames[name], cut, "ordered_on", seed=seed)
        history = make_history(*(changed[name] for name in ORDER))
        seen = snapshot(history, day_number(cut), unsold_days=90)
        model = Recommender({"cosine": 1.0, "popularity": 0.1, "als": 0.5}).fit(seen)
        products, scores = model.recommend(seen)
        found.append(
            (model.scales_, products.tolist(), scores.tolist(), seen.is_available.tolist())
        )
    return found[0] != found[1]


def test_nothing_after_the_cut_off_is_known_at_it(frames):
    assert not leaked(frames)


def test_looking_one_day_ahead_is_caught(frames, monkeypatch):
    monkeypatch.setattr(known_by, "is_known", lambda days, cut_off: days <= cut_off + 1)
    assert leaked(frames)


# --- the champion ---


def test_a_worse_challenger_does_not_replace_the_champion(frames, result):
    noisy = shop(taste=0.85)
    champion = result.estimator
    again = train(noisy, champion=champion)
    assert figure(again, "ndcg", "champion_value") == pytest.approx(figure(again, "ndcg"))
    decision = decide(again)
    assert not decision.promoted
    assert "does not beat champion" in decision.reason


def test_a_champion_that_knows_little_is_replaced(frames):
    history = make_history(*(frames[name] for name in ORDER))
    early = snapshot(history, day_number(AS_OF - timedelta(days=300)), unsold_days=90)
    champion = Recommender({"popularity": 1.0}).fit(early)
    decision = decide(train(frames, champion=champion))
    assert decision.promoted
    assert "beats champion" in decision.reason


def test_a_champion_that_saw_the_period_is_compared_by_its_copy_that_did_not(result):
    assert result.estimator.fitted_until_ == day_number(AS_OF)
    assert result.estimator.evaluated_.fitted_until_ == day_number(AS_OF) - 60
    assert result.estimator.evaluated_.evaluated_ is None


def test_a_champion_of_another_kind_is_refused(frames):
    with pytest.raises(ValueError, match="LogisticRegression, not a Recommender"):
        train(frames, champion=LogisticRegression())


# --- what is scored ---


def test_everybody_gets_ten_available_products_they_have_not_bought(scored, frames):
    bought = set(zip(frames["purchases"]["customer_key"], frames["purchases"]["product_key"],
                     strict=True))  # fmt: skip
    counts = scored.groupby("customer_key").size()
    assert len(counts) == frames["purchases"]["customer_key"].nunique()
    assert set(counts) == {10}
    pairs = list(zip(scored["customer_key"], scored["product_key"], strict=True))
    assert len(set(pairs)) == len(pairs)
    assert not bought & set(pairs)
    ranks = scored.groupby("customer_key")["recommendation_rank"].apply(list)
    assert all(rank == list(range(1, 11)) for rank in ranks)
    assert scored.groupby("customer_key")["score"].apply(lambda s: s.is_monotonic_decreasing).all()


def test_the_reason_names_something_that_the_customer_bought(scored, frames):
    bought = set(zip(frames["purchases"]["customer_key"], frames["purchases"]["product_key"],
                     strict=True))  # fmt: skip
    names = frames["products"].set_index("product_key")["product_name"]
    told = scored[scored["reason_product_key"].notna()]
    assert len(told) > 0.9 * len(scored)
    assert set(zip(told["customer_key"], told["reason_product_key"], strict=True)) <= bought
    assert (told["reason"] == "bought " + told["reason_product_key"].map(names)).all()
    same_kind = (
        told["reason"].str.split().str[1] == told["product_key"].map(names).str.split().str[0]
    )
    assert same_kind.mean() > 0.8


def test_a_stored_model_scores_the_same_and_holds_no_customer(result, frames, scored):
    content = skops.io.dumps(result.estimator)
    loaded = skops.io.loads(content, trusted=SKOPS_TRUSTED_TYPES)
    pd.testing.assert_frame_equal(score(loaded, frames), scored)
    assert b"s:P001" in content or len(content) > 1000
    assert "s:C0001" not in str(vars(loaded))


def test_a_customer_of_whom_nothing_is_known_gets_what_is_popular(result, frames):
    got = score(result.estimator, frames, customers=["s:C0000", "s:new"])
    new = got[got["customer_key"] == "s:new"]
    assert len(new) == 10
    assert set(new["reason"]) == {POPULAR}
    assert new["reason_product_key"].isna().all()


def test_a_product_that_was_never_sold_reaches_those_who_bought_the_like(result, frames):
    """It is known by its name and category alone, and that it is in stock."""
    fresh = pd.DataFrame(
        {"product_key": ["s:NEW"], "product_name": ["garden"], "category": ["garden"],
         "subcategory": [""]}
    )  # fmt: skip
    stock = pd.DataFrame(
        {"product_key": ["s:NEW"], "counted_on": [pd.Timestamp(AS_OF)], "on_hand_quantity": [9.0]}
    )
    changed = {
        **frames,
        "products": pd.concat([frames["products"], fresh], ignore_index=True),
        "inventory": stock,
    }
    model = Recommender({"content": 1.0, "popularity": 0.01}).fit(
        snapshot(make_history(*(frames[n] for n in ORDER)), day_number(AS_OF), unsold_days=90)
    )
    got = score(model, changed)
    offered = got[got["product_key"] == "s:NEW"]
    assert len(offered) > 10
    assert offered["reason"].str.startswith("bought garden").mean() > 0.9
    assert "s:NEW" not in set(
        score(model, {**changed, "inventory": EMPTY_INVENTORY})["product_key"]
    )


def test_what_is_out_of_stock_or_long_unsold_is_not_offered(result, frames, scored):
    first, second = scored["product_key"].value_counts().index[:2]
    stock = pd.DataFrame(
        {
            "product_key": [first, first, second],
            "counted_on": pd.to_datetime(["2026-06-01", "2026-06-20", "2026-06-20"]),
            "on_hand_quantity": [5.0, 0.0, 3.0],
        }
    )
    got = set(score(result.estimator, {**frames, "inventory": stock})["product_key"])
    assert first not in got
    assert second in got
    late = pd.Timestamp(AS_OF) - pd.Timedelta(days=90)
    gone = frames["sales"]["product_key"].eq(first) & (frames["sales"]["ordered_on"] > late)
    got = set(score(result.estimator, {**frames, "sales": frames["sales"][~gone]})["product_key"])
    assert first not in got
    assert second in got


def test_a_model_ranks_products_that_came_and_went_since(result, frames):
    """Numbers of products change with the catalogue; keys decide."""
    fewer = frames["products"].iloc[5:]
    some = {**frames, "products": fewer}
    got = score(result.estimator, some)
    assert not set(got["product_key"]) - set(fewer["product_key"])
    assert got["reason_product_key"].notna().mean() > 0.9


# --- shops whose goods run out ---


def test_where_goods_are_bought_again_they_are_offered_again():
    rng = np.random.default_rng(3)
    rows = [
        (f"s:C{c:03d}", f"s:P{p:03d}", AS_OF - timedelta(days=int(day)))
        for c in range(80)
        for p in rng.choice(40, 5, replace=False)
        for day in rng.choice(300, 8, replace=False)
    ]
    purchases = pd.DataFrame(rows, columns=["customer_key", "product_key", "ordered_on"])
    purchases["ordered_on"] = pd.to_datetime(purchases["ordered_on"])
    purchases = purchases.drop_duplicates()
    frames = {**shop(products=40), "purchases": purchases, "sales": sales_of(purchases)}
    result = train(frames)
    assert result.parameters["repeats"] == "True"
    assert "repeated purchases included" in result.reason
    assert decide(result).promoted
    assert figure(result, "ndcg_habit") > figure(result, "ndcg", "baseline_value")
    got = score(result.estimator, frames)
    bought = set(zip(purchases["customer_key"], purchases["product_key"], strict=True))
    best = got[got["recommendation_rank"] == 1]
    mine = [pair in bought for pair in zip(best["customer_key"], best["product_key"], strict=True)]
    assert np.mean(mine) > 0.9
    never = train(frames, shop=Shop(repeats="no"))
    assert never.parameters["repeats"] == "False"


# --- little and odd data ---


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"purchases": lambda f: f.head(0)}, "nobody known bought any merchandise"),
        ({"products": lambda f: f.head(0)}, "nobody known bought any merchandise"),
        ({"products": lambda f: f.head(1)}, "1 products could be offered"),
        ({"purchases": lambda f: f[f["customer_key"] < "s:C0030"]}, "customers bought something"),
        ({"purchases": lambda f: f[f["customer_key"] == "s:C0001"]}, "1 customers bought"),
        ({"purchases": lambda f: f[f["ordered_on"] > "2026-05-20"]}, "days of purchases"),
    ],
    ids=["no purchase", "no product", "one product", "30 customers", "one customer", "weeks"],
)
def test_too_little_data_abstains_with_a_reason(frames, change, reason):
    changed = {name: change.get(name, lambda f: f)(frame) for name, frame in frames.items()}
    result = train(changed)
    assert result.status == "too_little_data"
    assert reason in result.reason
    assert not decide(result).promoted


def test_products_without_names_have_no_text_part_and_are_told_by_key(frames):
    nameless = frames["products"].assign(product_name=None, category=None, subcategory=None)
    changed = {**frames, "products": nameless}
    result = train(changed)
    assert "weight_content" not in result.parameters
    got = score(result.estimator, changed)
    assert got["reason"].str.fullmatch(r"bought P\d+|popular lately").all()


def test_who_has_bought_everything_is_offered_nothing(frames, result):
    keys = frames["products"]["product_key"]
    everything = pd.DataFrame(
        {"customer_key": "s:all", "product_key": keys, "ordered_on": pd.Timestamp(AS_OF)}
    )
    changed = {**frames, "purchases": pd.concat([frames["purchases"], everything])}
    got = score(result.estimator, changed)
    assert "s:all" not in set(got["customer_key"])
    assert got["customer_key"].nunique() == frames["purchases"]["customer_key"].nunique()
    assert len(score(result.estimator, changed, customers=[])) == 0


def test_a_shop_of_three_products_offers_what_there_is(result, frames):
    few = {**frames, "products": frames["products"].head(3)}
    got = score(result.estimator, few, customers=["s:new"])
    assert len(got[got["customer_key"] == "s:new"]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"purchases": lambda f: f.drop(columns="ordered_on")}, "purchases need"),
        ({"sales": lambda f: f.assign(product_key=None)}, "sales have nulls"),
        ({"products": lambda f: pd.concat([f, f])}, "product_key twice"),
    ],
)
def test_unusable_frames_are_named(frames, change, message):
    changed = {name: change.get(name, lambda f: f)(frame) for name, frame in frames.items()}
    with pytest.raises(ValueError, match=message):
        train(changed)
