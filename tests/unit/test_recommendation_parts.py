"""The parts of a recommender, each against its formula; rankings by hand; the shop's rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.recommendation import als, model, purchases, similarity
from ml.recommendation.model import Parts, Recommender, sample
from ml.recommendation.purchases import (
    day_number,
    make_history,
    repeat_share,
    snapshot,
)
from ml.recommendation.ranking import NOBODY, best, figures, hits, ndcg
from ml.recommendation.shop import Shop, shop_of
from ml.recommendation.similarity import cosine_weights, ease_weights, text_weights
from tests.unit.recommendation_shop import AS_OF, shop

BOUGHT = sparse.csr_matrix(
    np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0]], dtype=float)
)
EVERY = np.ones(4, dtype=bool)


@pytest.fixture(scope="module")
def known():
    frames = shop(customers=40, products=24)
    history = make_history(*(frames[n] for n in ("purchases", "sales", "inventory", "products")))
    return snapshot(history, day_number(AS_OF), unsold_days=90)


# --- rankings ---


def test_the_best_are_allowed_and_ties_go_to_the_earlier():
    scores = np.array([[0.5, 0.9, 0.9, 0.1], [1.0, 2.0, 3.0, 4.0]])
    allowed = np.array([[True, True, True, True], [True, False, False, False]])
    found, values = best(scores, allowed, 3)
    assert found.tolist() == [[1, 2, 0], [0, NOBODY, NOBODY]]
    assert values[0].tolist() == [0.9, 0.9, 0.5]
    assert np.isnan(values[1, 1:]).all()


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=5),
    mask=st.lists(st.booleans(), min_size=7, max_size=7),
    count=st.integers(1, 9),
)
def test_the_best_equal_a_plain_sort(scores, mask, count):
    found, _ = best(np.array(scores, dtype=float), np.tile(mask, (len(scores), 1)), count)
    for row, got in zip(scores, found.tolist(), strict=True):
        order = sorted((i for i in range(7) if mask[i]), key=lambda i: (-row[i], i))[:count]
        assert got == order + [NOBODY] * (count - len(order))


def test_ndcg_and_figures_by_hand():
    found = np.array([[0, 1, 2], [2, 3, NOBODY]])
    targets = sparse.csr_matrix(np.array([[0, 1, 0, 1], [0, 0, 1, 0]], dtype=float))
    hit = hits(found, targets)
    assert hit.tolist() == [[False, True, False], [True, False, False]]
    want = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    assert ndcg(hit, np.array([2, 1])) == pytest.approx([want, 1.0])
    told = figures(found, targets, customer_shares=np.array([0.5, 0.5, 0.25, 0.25]), offered=8)
    assert told["precision"] == pytest.approx(2 / 6)
    assert told["recall"] == pytest.approx((0.5 + 1) / 2)
    assert told["hit_rate"] == 1
    assert told["coverage"] == 0.5
    assert told["novelty"] == pytest.approx((1 + 1 + 2 + 2 + 2) / 5)


def test_nothing_found_is_worth_nothing():
    found = np.full((2, 3), NOBODY)
    targets = sparse.csr_matrix(np.eye(2, 4))
    told = figures(found, targets, customer_shares=np.ones(4), offered=0)
    assert set(told.values()) == {0.0}


# --- item-item weights ---


def test_cosine_by_hand_without_its_own_and_shrunk():
    weights = cosine_weights(BOUGHT, EVERY).toarray()
    common, own, other = 3, 4, 4
    assert weights[0, 1] == pytest.approx(common / (common + 5) * common / np.sqrt(own * other))
    assert np.diag(weights).tolist() == [0, 0, 0, 0]
    assert (weights == weights.T).all()
    assert not weights[3].any()


def test_only_targets_have_columns_and_only_the_strongest_are_kept(monkeypatch):
    only = cosine_weights(BOUGHT, np.array([True, False, True, False])).toarray()
    assert not only[:, [1, 3]].any()
    assert only[:, 0].tolist() == cosine_weights(BOUGHT, EVERY).toarray()[:, 0].tolist()
    rng = np.random.default_rng(0)
    many = sparse.csr_matrix((rng.random((60, 30)) < 0.3).astype(float))
    whole = cosine_weights(many, np.ones(30, bool)).toarray()
    monkeypatch.setattr(similarity, "NEIGHBOURS", 4)
    monkeypatch.setattr(similarity, "CELLS", 100)
    few = cosine_weights(many, np.ones(30, bool)).toarray()
    for column in range(30):
        least = np.sort(whole[:, column])[-4]
        kept = np.where(whole[:, column] >= least, whole[:, column], 0)
        assert few[:, column].tolist() == kept.tolist()


@pytest.mark.parametrize("speed", [0, 1e9], ids=["sparse", "dense"])
def test_ease_is_the_ridge_regression_of_each_product_on_the_others(speed, monkeypatch):
    """Steck 2019, equation 8: no product may explain itself."""
    monkeypatch.setattr(similarity, "DENSE_SPEED", speed)
    found = ease_weights(BOUGHT, np.array([0, 1, 2]), (2.0,))[2.0].toarray()
    dense = BOUGHT.toarray()[:, :3]
    for product in range(3):
        others = [p for p in range(3) if p != product]
        x = dense[:, others]
        want = np.linalg.solve(x.T @ x + 2 * np.eye(2), x.T @ dense[:, product])
        assert found[others, product] == pytest.approx(want, abs=1e-6)
    assert np.diag(found).tolist() == [0, 0, 0, 0]


def test_text_brings_the_like_together_and_rare_words_count_more():
    texts = ["red oak chair", "red oak table", "red lamp", ""]
    weights = text_weights(texts, EVERY).toarray()
    assert weights[0, 1] > weights[0, 2] > 0
    assert not weights[3].any()
    assert not weights[:, 3].any()


# --- ALS ---


def test_als_solves_for_a_customer_as_the_library_does():
    from implicit.als import AlternatingLeastSquares

    rng = np.random.default_rng(1)
    bought = sparse.csr_matrix((rng.random((50, 20)) < 0.25).astype(float))
    factors = als.item_factors(bought)
    assert (als.item_factors(bought) == factors).all()
    theirs = AlternatingLeastSquares(
        factors=als.FACTORS, regularization=als.REGULARIZATION, alpha=als.CONFIDENCE,
        dtype=np.float64, num_threads=1, random_state=0, use_gpu=False,
    )  # fmt: skip
    theirs.item_factors = factors
    want = theirs.recalculate_user(np.arange(50), bought)
    ours = als.user_factors(bought, factors)
    assert ours == pytest.approx(np.asarray(want), abs=1e-6)


def test_als_s_contributions_sum_to_the_score(known):
    parts = Parts(known, window_days=90, seed=0).fit(["als"])
    products = np.arange(24)
    scores = parts.scores("als", np.arange(5), products)
    gram = als.regularised_gram(parts.factors)
    for row in range(5):
        held, added = als.contributions(parts.interest(None), row, parts.factors, products, gram)
        assert added.sum(axis=0) == pytest.approx(scores[row])
        assert len(held) == len(added)


def test_products_that_nobody_bought_have_no_factors():
    factors = als.item_factors(sparse.csr_matrix(np.pad(np.eye(6), ((0, 0), (0, 2)))))
    assert not factors[6:].any()
    assert factors[:6].any()


# --- the blend ---


def test_contributions_of_a_blend_sum_to_its_score_less_popularity(known):
    weights = {"cosine": 1.0, "content": 0.3, "ease_100": 0.5, "als": 0.4, "habit": 0.2}
    parts = Parts(known, window_days=90, seed=0).fit(sorted(weights))
    rows = np.arange(6)
    found, values = model.ranked(parts, weights, rows, 5, repeats=True)
    added = model._contributions(parts, weights, np.repeat(rows, 5), found.ravel())
    assert np.asarray(added.sum(axis=1)).ravel() == pytest.approx(values.ravel(), abs=1e-5)
    reasons = model.strongest_reasons(parts, weights, rows, found)
    assert reasons.ravel().tolist() == np.asarray(added.argmax(axis=1)).ravel().tolist()


def test_scoring_in_small_steps_changes_nothing(known, monkeypatch):
    recommender = Recommender({"cosine": 1.0, "als": 0.5, "popularity": 0.1}).fit(known)
    whole = recommender.offers(known, np.arange(40), 5)
    monkeypatch.setattr(model, "CELLS", 50)
    monkeypatch.setattr(model, "EXPLAINED_PAIRS", 7)
    steps = recommender.offers(known, np.arange(40), 5)
    for one, other in zip(whole, steps, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_popular_is_counted_once_however_many_customers_are_scored(known, monkeypatch):
    """Counted for every block of customers, a shop twice as large took four times as long."""
    counted, count = [], purchases.Snapshot.customers_of

    def watched(self, window_days):
        counted.append(window_days)
        return count(self, window_days)

    monkeypatch.setattr(purchases.Snapshot, "customers_of", watched)
    recommender = Recommender({"popularity": 1.0}).fit(known)
    monkeypatch.setattr(model, "CELLS", 50)
    counted.clear()
    recommender.offers(known, np.arange(40), 5)
    assert counted == [90]


def test_large_shops_are_bounded(known, monkeypatch):
    """Products beyond the bound are not offered, customers beyond it are not learned from."""
    monkeypatch.setattr(purchases, "MAX_PRODUCTS", 8)
    monkeypatch.setattr(model, "MAX_FIT_CUSTOMERS", 12)
    monkeypatch.setattr(model, "MAX_EASE_PRODUCTS", 5)
    monkeypatch.setattr(model, "MAX_OWN_PRODUCTS", 3)
    small = snapshot(known.history, known.cut_off, unsold_days=90)
    assert small.is_ranked.sum() == 8
    assert set(small.customer_counts[small.is_ranked]) == set(
        np.sort(known.customer_counts)[::-1][:8]
    )
    parts = Parts(small, window_days=90, seed=0).fit(["cosine", "ease_100"])
    assert len(parts._customers()) == 12
    assert len(np.unique(parts.matrices["ease_100"].nonzero()[1])) <= 5
    found, _ = model.ranked(parts, {"cosine": 1.0}, np.arange(40), 10, repeats=True)
    assert set(found.ravel()) - {NOBODY} <= set(np.flatnonzero(small.is_ranked))


def test_a_sample_is_the_same_for_the_same_keys():
    keys = np.array([f"s:{n}" for n in range(100)], dtype=object)
    one = sample(keys, np.ones(100, bool), 10)
    assert len(one) == 10
    other = sample(keys[50:], np.ones(50, bool), 50)
    assert len(other) == 50
    assert set(keys[sample(keys, np.arange(100) < 60, 10)]) != set(keys[:10])


# --- what was known ---


def test_interest_fades_from_the_customer_s_last_purchase(known):
    interest = known.interest(60.0)
    assert interest.max(axis=1).toarray().ravel() == pytest.approx(1.0)
    assert interest.data.min() < 0.5
    bought = known.bought()
    assert (interest.indices == bought.indices).all()
    assert (known.habit(60.0).data >= interest.data - 1e-12).all()


def test_a_customer_counts_once_for_a_product_however_often_it_was_bought(known):
    pairs = pd.DataFrame({"who": known.customer, "what": known.product, "age": known.age})
    assert pairs.duplicated(["who", "what"]).any()
    for window in (1, 30, 90):
        lately = pairs[pairs["age"] < window].drop_duplicates(["who", "what"])
        want = lately["what"].value_counts().reindex(range(known.shape[1]), fill_value=0)
        assert known.customers_of(window).tolist() == want.tolist()
    assert known.customers_of(10**6).tolist() == known.customer_counts.tolist()


def test_repeated_purchases_are_counted():
    frames = shop(customers=3, products=5)
    day = pd.Timestamp(AS_OF)
    rows = [("a", "s:P000", 3), ("a", "s:P000", 2), ("a", "s:P001", 2), ("b", "s:P000", 1)]
    bought = pd.DataFrame(rows, columns=["customer_key", "product_key", "ordered_on"])
    bought["ordered_on"] = day - pd.to_timedelta(bought["ordered_on"], unit="D")
    history = make_history(bought, frames["sales"], frames["inventory"], frames["products"])
    assert repeat_share(snapshot(history, day_number(AS_OF), unsold_days=90)) == 0.25
    assert repeat_share(snapshot(history, day_number(AS_OF) - 5, unsold_days=90)) == 0.0


# --- the shop's rules ---


def test_the_rules_of_the_seed_are_read():
    rules = pd.read_csv("dbt_project/seeds/recommendation_rules.csv")
    assert shop_of(rules) == Shop(recommended_count=10, repeats="auto", unsold_days=90)
    changed = pd.DataFrame({"rule": ["repeats", "recommended_count"], "value": ["yes", "3"]})
    assert shop_of(changed) == Shop(recommended_count=3, repeats="yes")


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        ("recommended_count", "0", "use 1 to 100"),
        ("recommended_count", "ten", "use a whole number"),
        ("repeats", "maybe", "use one of"),
        ("unsold_days", "0", "use at least 1"),
        ("discount", "1", "unknown"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_named(rule, value, message):
    with pytest.raises(ValueError, match=message) as error:
        shop_of(pd.DataFrame({"rule": [rule], "value": [value]}))
    assert "recommendation_rules" in str(error.value)


@pytest.mark.parametrize(
    ("repeats", "share", "want"),
    [("auto", 0.3, True), ("auto", 0.29, False), ("yes", 0.0, True), ("no", 0.9, False)],
)
def test_repeats_are_allowed_where_they_are_common_or_wanted(repeats, share, want):
    assert Shop(repeats=repeats).allows_repeats(share) is want
