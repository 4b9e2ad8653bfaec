"""Association rules: published counts, three miners that agree, figures by hand, odd orders."""

from __future__ import annotations

import gzip
from fractions import Fraction
from itertools import combinations
from math import comb, inf

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml.basket import product_rules as told
from ml.basket.baskets import make_baskets, min_count
from ml.basket.eclat import TooManySetsError, eclat
from ml.basket.fisher import fisher_greater
from ml.basket.miners import apriori, fp_growth
from ml.basket.product_rules import COLUMNS, frequent_products, product_rules
from ml.basket.rules import association_rules, possible_rules


def lines(*orders: str) -> pd.DataFrame:
    """Orders written as words: a letter an item."""
    rows = [(f"o:{n:04d}", item) for n, order in enumerate(orders) for item in order]
    return pd.DataFrame(rows, columns=["order_key", "product_key"])


ORDERS = ["abc", "ab", "ab", "ad", "bc", "abd", "c", "abc"]
PRODUCTS = pd.DataFrame(
    {
        "product_key": list("abcd"),
        "product_name": ["Anvil", "Bolt", None, "Drill"],
        "category": None,
        "subcategory": None,
    }
)


@pytest.fixture(scope="module")
def groceries(shared_data):
    with gzip.open(shared_data("groceries/groceries.csv.gz"), "rt") as file:
        rows = [
            (number, item)
            for number, line in enumerate(file)
            for item in line.rstrip("\r\n").split(",")
            if item
        ]
    return make_baskets(pd.DataFrame(rows, columns=["order_key", "product_key"]))


# --- published figures ---


def test_groceries_410_rules_of_one_consequent_and_413_of_all(groceries):
    """arules' vignette (support .001, confidence .8): 410; mlxtend counts 413 (references.md 4)."""
    assert (groceries.order_count, len(groceries.items)) == (9835, 169)
    sets = eclat(groceries, min_count(0.001, groceries.order_count))
    assert len(association_rules(sets, min_confidence=0.8)) == 410
    assert len(association_rules(sets, min_confidence=0.8, consequents="all")) == 413


def test_groceries_463_rules_of_one_consequent_and_467_of_all(groceries):
    """Lantz, Machine Learning with R (support .006, confidence .25, two items or more): 463."""
    sets = eclat(groceries, min_count(0.006, groceries.order_count))
    assert len(association_rules(sets, min_confidence=0.25)) == 463
    assert len(association_rules(sets, min_confidence=0.25, consequents="all")) == 467


def test_groceries_vegetables_and_milk(groceries):
    """Hahsler et al.: support .07483, confidence .38676, lift 1.5136 (shared data's README)."""
    rules = association_rules(eclat(groceries, 59, max_length=2), min_confidence=0.25)
    row = rules[
        (rules["antecedent"] == ("other vegetables",)) & (rules["consequent"] == ("whole milk",))
    ].iloc[0]
    assert row["support"] == pytest.approx(0.07483, abs=5e-6)
    assert row["confidence"] == pytest.approx(0.38676, abs=5e-6)
    assert row["lift"] == pytest.approx(1.5136, abs=5e-5)


def test_the_three_miners_agree_on_groceries(groceries):
    sets = eclat(groceries, 60)
    assert len(sets) > 500
    assert sets.as_dict() == apriori(groceries, 60).as_dict() == fp_growth(groceries, 60).as_dict()


# --- the miners ---


@settings(max_examples=60, deadline=None)
@given(
    orders=st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), max_size=25),
    least=st.integers(1, 6),
    longest=st.integers(1, 8),
    share=st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]),
    kind=st.sampled_from(["one", "all"]),
)
def test_the_miners_give_the_same_sets_and_rules_and_all_there_are(
    orders, least, longest, share, kind
):
    frame = lines(*("".join(sorted(order)) for order in orders))
    baskets = make_baskets(frame)
    want = {}
    for size in range(1, longest + 1):
        for items in combinations("abcdefgh", size):
            count = sum(set(items) <= order for order in orders)
            if count >= least:
                want[frozenset(items)] = count
    found = [miner(baskets, least, max_length=longest) for miner in (eclat, apriori, fp_growth)]
    rules = [association_rules(sets, min_confidence=share, consequents=kind) for sets in found]
    for sets, table in zip(found, rules, strict=True):
        assert sets.as_dict() == want
        pd.testing.assert_frame_equal(table, rules[0])
    check_rules(rules[0], want, len(orders), share, kind)


def check_rules(table, counts, orders, share, kind):
    """Every rule that the counts allow is there, with figures made from fractions."""
    want = {}
    for items, both in counts.items():
        for size in range(1, len(items) if kind == "all" else 2):
            for right in combinations(sorted(items), size):
                left = items - set(right)
                if left and both / counts[left] >= share:
                    want[tuple(sorted(left)), right] = (
                        both,
                        counts[left],
                        counts[frozenset(right)],
                    )
    got = {(row["antecedent"], row["consequent"]): row for row in table.to_dict("records")}
    assert set(got) == set(want)
    assert len(table) == len(want)
    for (left, right), (both, a, c) in want.items():
        row = got[left, right]
        confidence = Fraction(both, a)
        assert row["support"] == pytest.approx(both / orders)
        assert row["confidence"] == pytest.approx(float(confidence))
        assert row["lift"] == pytest.approx(both * orders / (a * c))
        assert row["leverage"] == pytest.approx(both / orders - a * c / orders**2)
        expected = inf if confidence == 1 else float((1 - Fraction(c, orders)) / (1 - confidence))
        assert row["conviction"] == pytest.approx(expected)
        tail = sum(comb(c, k) * comb(orders - c, a - k) for k in range(both, min(a, c) + 1))
        assert row["p_value"] == pytest.approx(tail / comb(orders, a))
        simpler = [Fraction(c, orders)] + [
            Fraction(counts[frozenset(part) | set(right)], counts[frozenset(part)])
            for size in range(1, len(left))
            for part in combinations(left, size)
        ]
        assert row["improvement"] == pytest.approx(float(confidence - max(simpler)))
        assert row["is_redundant"] == (confidence <= max(simpler))


@pytest.mark.parametrize(("limit", "least"), [("MAX_WORDS", 8), ("MAX_CELLS", 1)])
def test_what_is_wide_is_taken_in_steps(monkeypatch, limit, least):
    rng = np.random.default_rng(0)
    frame = lines(*("".join(rng.choice(list("abcdefghij"), 6, replace=False)) for _ in range(300)))
    baskets = make_baskets(frame)
    whole = eclat(baskets, 20).as_dict()
    monkeypatch.setattr(f"ml.basket.eclat.{limit}", least)
    assert eclat(baskets, 20).as_dict() == whole == apriori(baskets, 20).as_dict()


def test_more_sets_than_allowed_is_an_error():
    baskets = make_baskets(lines(*["abcdefgh"] * 9))
    assert len(eclat(baskets, 9)) == 255
    for most in (10, 40, 254):
        with pytest.raises(TooManySetsError):
            eclat(baskets, 9, max_sets=most)
    assert len(eclat(baskets, 9, max_sets=255)) == 255


# --- Fisher's test ---


@settings(max_examples=200, deadline=None)
@given(data=st.data(), orders=st.sampled_from([1, 2, 7, 60, 171, 9835, 200_000, 3_000_000]))
def test_fishers_p_is_scipys(data, orders):
    a, c = (data.draw(st.integers(1, orders)) for _ in range(2))
    fewest, most = max(0, a + c - orders), min(a, c)
    expected = round(a * c / orders)
    near = st.integers(max(fewest, expected - 40), min(most, expected + 200))
    k = data.draw(near | st.integers(fewest, most) | st.just(fewest) | st.just(most))
    [p] = fisher_greater(orders, *(np.array([x]) for x in (a, c, k)))
    want = min(float(stats.hypergeom.sf(k - 1, orders, a, c)), 1.0)
    assert p == pytest.approx(want, rel=1e-6, abs=1e-290)


def test_fishers_p_of_many_is_that_of_each():
    rng = np.random.default_rng(4)
    a, c = rng.integers(1, 500, 300), rng.integers(1, 900, 300)
    k = rng.integers(np.maximum(0, a + c - 1000), np.minimum(a, c) + 1)
    each = [fisher_greater(1000, a[[i]], c[[i]], k[[i]])[0] for i in range(300)]
    assert fisher_greater(1000, a, c, k).tolist() == each
    assert len(fisher_greater(1000, a[:0], c[:0], k[:0])) == 0


# --- figures ---


def test_an_item_counts_once_an_order_and_row_order_does_not_matter():
    frame = lines(*ORDERS)
    doubled = pd.concat([frame, frame]).sample(frac=1, random_state=3)
    one, other = (
        association_rules(eclat(make_baskets(f), 1), min_confidence=0.1) for f in (frame, doubled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_a_rule_that_its_part_explains_is_redundant():
    # c goes with a whether or not b is there
    orders = ["ac", "ac", "abc", "abc", "b", "b", "d", "d"]
    rules = association_rules(eclat(make_baskets(lines(*orders)), 1), min_confidence=0.1)
    redundant = {(r["antecedent"], r["consequent"]): r["is_redundant"] for _, r in rules.iterrows()}
    assert not redundant[("a",), ("c",)]
    assert redundant[("a", "b"), ("c",)]
    # and a rule that does no better than no rule at all
    assert redundant[("b",), ("a",)]


def test_the_adjusted_p_value_counts_every_rule_that_could_have_been_formed():
    sets = eclat(make_baskets(lines(*ORDERS)), 1, max_length=3)
    rules = association_rules(sets, min_confidence=0.1)
    for size in (2, 3):
        some = rules[rules["antecedent"].map(len) == size - 1]
        factor = comb(4, size) * size * 2
        assert possible_rules(4, size, "one") == comb(4, size) * size
        want = np.minimum(some["p_value"] * factor, 1)
        assert some["adjusted_p_value"].tolist() == pytest.approx(want.tolist())


def test_independent_items_rarely_make_a_significant_rule():
    """Family-wise: of 40 companies without any association at most a few tell a rule."""
    told_rules = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        bought = rng.random((400, 12)) < rng.uniform(0.05, 0.4, 12)
        order, item = np.nonzero(bought)
        frame = pd.DataFrame({"order_key": order, "product_key": [f"p{i:02d}" for i in item]})
        told_rules += len(product_rules(frame, PRODUCTS.head(0))) > 0
    assert told_rules <= 5


@pytest.mark.parametrize(
    ("support", "orders", "want"),
    [(0.001, 9835, 10), (0.006, 9835, 60), (0.5, 8, 4), (0.1, 10, 1), (0.3, 10, 3), (0, 10, 1)],
)
def test_the_smallest_count_that_reaches_a_support(support, orders, want):
    assert min_count(support, orders) == want
    assert want / orders >= support


# --- the table ---


@pytest.fixture
def company() -> pd.DataFrame:
    """a and b go together; c and d are bought by themselves."""
    return lines(*["ab"] * 30, *["a"] * 5, *["b"] * 5, *["c"] * 60, *["d"] * 60, *["cd"] * 10)


def test_the_table_holds_the_rules_worth_telling(company):
    table = product_rules(company, PRODUCTS)
    assert tuple(table.columns) == COLUMNS
    pairs = list(zip(table["antecedent_key"], table["consequent_key"], strict=True))
    assert pairs == [("a", "b"), ("b", "a")]
    row = table.iloc[0]
    assert (row["antecedent_name"], row["consequent_name"]) == ("Anvil", "Bolt")
    assert row["antecedent_2_key"] is None
    assert (row["order_count"], row["rule_count"], row["antecedent_count"]) == (170, 30, 35)
    assert row["confidence_rate"] == pytest.approx(30 / 35)
    assert row["adjusted_p_value"] < 0.05


def test_a_product_without_a_name_is_told_by_its_key(company):
    table = product_rules(company.replace({"a": "c", "c": "a"}), PRODUCTS)
    assert set(table["antecedent_name"]) == {"c", "Bolt"}


def test_a_rule_of_two_on_the_left_needs_both():
    # c is bought when a and b are, hardly with one of them
    orders = ["abc"] * 40 + ["a"] * 60 + ["b"] * 60 + ["c"] * 30 + ["d"] * 200
    table = product_rules(lines(*orders), PRODUCTS)
    both = table[table["antecedent_2_key"].notna()]
    assert ("a", "b", "c") in set(
        zip(both["antecedent_key"], both["antecedent_2_key"],
            both["consequent_key"], strict=True)
    )  # fmt: skip
    row = both[both["consequent_key"] == "c"].iloc[0]
    assert row["antecedent_name"] == "Anvil + Bolt"
    assert pd.isna(row["conviction"])
    assert row["improvement"] == pytest.approx(1 - 0.4)


def test_categories_have_rules_of_their_own():
    """Each product is sold too seldom with any other one, their subcategories are not."""
    rng = np.random.default_rng(0)
    orders = [chr(97 + rng.integers(8)) + chr(105 + rng.integers(8)) for _ in range(40)]
    orders += [chr(113 + rng.integers(8)) for _ in range(400)]
    letters = [chr(97 + number) for number in range(24)]
    kinds = [("tools", "fixings", "paint")[number // 8] for number in range(24)]
    products = pd.DataFrame(
        {
            "product_key": letters,
            "product_name": letters,
            "category": ["hardware" if kind != "paint" else None for kind in kinds],
            "subcategory": kinds,
        }
    )
    table = product_rules(lines(*orders), products)
    assert set(table["item_level"]) == {"subcategory"}
    pairs = list(zip(table["antecedent_key"], table["consequent_key"], strict=True))
    assert pairs == [("fixings", "tools"), ("tools", "fixings")]
    assert table["order_count"].tolist() == [440, 440]


@pytest.mark.parametrize(
    "orders",
    [[], ["a"], ["a"] * 500, ["abcd"], ["abcd"] * 500, ["a", "b", "c", "d"] * 50],
    ids=["none", "one line", "one product", "one order", "all alike", "single items"],
)
def test_odd_orders_give_an_empty_table(orders):
    table = product_rules(lines(*orders), PRODUCTS)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 0


def test_too_many_sets_ask_for_more_support(company, monkeypatch):
    baskets = make_baskets(company)
    assert len(frequent_products(baskets)) == 6
    monkeypatch.setattr(told, "MAX_SETS", 5)
    assert len(frequent_products(baskets)) <= 5


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"order_key": ["o"]}), "product_key"),
        (pd.DataFrame({"order_key": ["o", None], "product_key": ["a", "b"]}), "order_key"),
    ],
)
def test_unusable_lines_are_named(frame, message):
    with pytest.raises(ValueError, match=message):
        make_baskets(frame)


def test_a_share_above_one_is_refused():
    sets = eclat(make_baskets(lines("ab")), 1)
    with pytest.raises(ValueError, match=r"1\.5"):
        association_rules(sets, min_confidence=1.5)
    with pytest.raises(ValueError, match="-1"):
        min_count(-1, 10)
