"""Methods, their comparison, the classifier and its tree: worked examples, rules, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score, silhouette_score

from ml.segmentation import train as training
from ml.segmentation import train_segments
from ml.segmentation.classifier import (
    cross_fitted_accuracy,
    learn_segments,
    linear_classifier,
    readable_tree,
    tree_rules,
)
from ml.segmentation.comparison import COLUMNS, compare, pick, segment_means
from ml.segmentation.features import FEATURES
from ml.segmentation.methods import GRID_NAMES, METHODS, partition, score_edges, scores
from ml.segmentation.model import SegmentModel
from ml.segmentation.report import compare_customers
from ml.segmentation.selection import silhouettes
from tests.unit.test_segmentation import customers


def blobs(count: int = 240, groups: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Groups that every method must find, and the truth."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % groups
    corners = np.array([[0.0, 0, 0], [6, 0, 0], [0, 6, 0], [0, 0, 6]])
    return rng.normal(0, 0.5, (count, 3)) + corners[truth], truth


def moons(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Two groups that no method of centres can find."""
    return make_moons(count, noise=0.04, random_state=0)


# --- methods ---


@pytest.mark.parametrize("method", ["kmeans", "ward", "hdbscan", "gaussian_mixture"])
def test_every_method_finds_clear_groups_and_assigns_others(method):
    points, truth = blobs()
    others, theirs = blobs(seed=1)
    found = partition(method, points, 3)
    known = found.labels >= 0
    assert known.mean() > 0.95
    assert adjusted_rand_score(truth[known], found.labels[known]) == 1.0
    assigned = found.assign(others)
    assert adjusted_rand_score(theirs[assigned >= 0], assigned[assigned >= 0]) > 0.99


def test_density_finds_what_centres_cannot():
    points, truth = moons()
    dense, centred = partition("hdbscan", points, 2), partition("kmeans", points, 2)
    assert adjusted_rand_score(truth, dense.labels) > 0.95
    assert adjusted_rand_score(truth, centred.labels) < 0.6


def test_density_calls_far_points_noise():
    points, _ = blobs()
    far = np.vstack([points, [[50.0, 50, 50], [-40.0, 30, 9]]])
    assert (partition("hdbscan", far, 3).labels[-2:] == -1).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="no method 'dbscan': use one of rfm_grid, kmeans"):
        partition("dbscan", np.zeros((5, 2)), 2)


@pytest.mark.parametrize("method", METHODS)
def test_alike_and_few_customers_give_a_partition(method):
    for points in (np.zeros((30, 3)), np.repeat([[0.0, 0, 0], [1, 1, 1]], 8, axis=0)):
        found = partition(method, points, 2)
        assert len(found.labels) == len(found.assign(points)) == len(points)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_scores_are_one_plus_the_fifths_that_are_strictly_worse(values):
    """references.md section 3: tie-safe; the definition of marts.customer_rfm (contract.md)."""
    found = scores(np.array(values, dtype=float), score_edges(np.array(values, dtype=float)))
    worse = [sum(other < value for other in values) for value in values]
    assert found.tolist() == [1 + 5 * count // len(values) for count in worse]


def test_the_grid_is_the_common_ten_segments_over_all_cells():
    """references.md section 3."""
    rows = pd.DataFrame([(r, f) for r in range(1, 6) for f in range(1, 6)], columns=["r", "f"])
    points = np.column_stack([-rows["r"], rows["f"], np.zeros(25)]).astype(float)
    names = np.array(GRID_NAMES)[partition("rfm_grid", points, 0).labels].reshape(5, 5)
    assert names.tolist() == [
        ["hibernating"] * 2 + ["at risk"] * 2 + ["can't lose"],
        ["hibernating"] * 2 + ["at risk"] * 2 + ["can't lose"],
        ["about to sleep"] * 2 + ["need attention"] + ["loyal"] * 2,
        ["promising"] + ["potential loyalist"] * 2 + ["loyal"] * 2,
        ["new"] + ["potential loyalist"] * 2 + ["champions"] * 2,
    ]
    assert len(set(names.ravel())) == 10


# --- the report ---


@pytest.mark.parametrize("seed", [0, 1])
def test_silhouettes_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    points = np.vstack([rng.normal(0, 1, (1_300, 3)), [[9.0, 9, 9]]])
    partitions = [rng.integers(0, 4, 1_301), (points[:, 0] > 0).astype(int)]
    partitions[0][-1] = 4  # a segment of one
    want = [silhouette_score(points, labels) for labels in partitions]
    assert silhouettes(points, partitions) == pytest.approx(want)


def test_noise_is_left_out_of_a_silhouette():
    points, truth = blobs()
    some = np.where(np.arange(len(points)) < 40, -1, truth)
    want = silhouette_score(points[40:], truth[40:])
    assert silhouettes(points, [some, np.full(len(points), -1)])[0] == pytest.approx(want)


def test_the_report_says_the_same_of_every_method():
    points, _ = blobs()
    report = compare(points, 3, data="purchases", n_bootstrap=4)
    table = report.table.set_index("method")
    assert list(report.table.columns) == list(COLUMNS)
    assert table.index.tolist() == list(METHODS)
    clear = table.drop(index="rfm_grid")
    assert (clear["segment_count"] == 3).all()
    assert clear["is_eligible"].all()
    assert (clear["assigner_accuracy"] > 0.95).all()
    assert (clear["silhouette"] - clear["kmeans_silhouette"]).abs().max() < 0.05
    assert table.loc["rfm_grid", "segment_count"] == 10
    assert table.loc["rfm_grid", "silhouette"] < table.loc["rfm_grid", "kmeans_silhouette"]


def test_a_method_that_finds_nothing_has_no_figures_and_is_not_eligible():
    points = np.repeat(np.eye(3), 40, axis=0)
    row = compare(points, 3, data="x", methods=["hdbscan"], n_bootstrap=2).table.iloc[0]
    assert row["segment_count"] < 2
    assert np.isnan(row["adjusted_rand_index"])
    assert not row["is_eligible"]


def test_profiles_of_all_methods_count_every_row_once():
    points, _ = blobs()
    report = compare(points, 3, data="purchases", n_bootstrap=1)
    values = pd.DataFrame(points, columns=["a", "b", "c"])
    table = segment_means(values, report.labels, data="purchases")
    assert (table.groupby("method")["row_count"].sum() == len(points)).all()
    means = table[table["method"] == "kmeans"].set_index("segment_number")
    assert sorted(means["mean_a"].round()) == [0, 0, 6]
    assert (table.loc[table["segment_number"] == 0, "method"] == "hdbscan").all()


def row(method: str, **changes) -> dict:
    """A rival that wins, if nothing is changed."""
    known = {
        "method": method,
        "segment_count": 3,
        "silhouette": 0.5,
        "kmeans_silhouette": 0.4,
        "assigner_accuracy": 0.97,
        "is_eligible": True,
    }
    return {**known, **changes}


@pytest.mark.parametrize(
    ("rows", "picked"),
    [
        ([row("ward")], "ward"),
        ([row("ward"), row("hdbscan", silhouette=0.6)], "hdbscan"),
        ([row("ward", silhouette=0.449)], "kmeans"),
        ([row("ward", is_eligible=False)], "kmeans"),
        ([row("ward", segment_count=2)], "kmeans"),
        ([row("ward", assigner_accuracy=0.94)], "kmeans"),
        ([row("rfm_grid", segment_count=10)], "kmeans"),
        ([row("hdbscan", silhouette=float("nan"))], "kmeans"),
    ],
)
def test_kmeans_stays_unless_a_rival_clearly_wins(rows, picked):
    assert pick(pd.DataFrame([row("kmeans", silhouette=0.4), *rows]), kmeans_count=3) == picked


def test_a_rival_that_wins_is_published(monkeypatch):
    monkeypatch.setattr(training, "pick", lambda _table, _count: "gaussian_mixture")
    result = train_segments(customers(), n_bootstrap=2)
    model = result.estimator
    assert result.parameters["method"] == "gaussian_mixture"
    assert "segments by gaussian_mixture, which is stable" in result.reason
    chosen = result.tables["comparison"].query("is_chosen")
    assert chosen["method"].tolist() == ["gaussian_mixture"]
    assert result.gate.figures["adjusted_rand_index"] == pytest.approx(
        chosen["adjusted_rand_index"].iloc[0], abs=1e-6
    )
    truth = np.arange(300) % 3
    assert adjusted_rand_score(truth, model.predict(customers())["segment_id"]) > 0.5


def test_segments_of_another_method_are_learned_and_numbered_by_amount():
    model = SegmentModel(3, method="ward").fit(customers())
    found = model.predict(customers())
    assert (found["segment_id"].to_numpy() == np.arange(300) % 3 + 1).all()
    assert model.classifier_ is not None


# --- page views ---


def pages(count: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    seen = rng.poisson(3, count)
    return pd.DataFrame(
        {
            "customer_key": [f"shop:{i:06d}" for i in range(count)],
            "session_count": seen,
            "page_count": seen * 7,
            "product_page_count": seen * 3,
        }
    )


def test_page_views_are_a_second_set_of_features():
    found = compare_customers(customers(), pages(200), 3, n_bootstrap=2)
    assert set(found.table["data"]) == {"purchases", "purchases_and_pages"}
    assert "rfm_grid" not in found.table[found.table["data"] != "purchases"]["method"].tolist()
    assert "mean_page_count" in found.profile
    assert not found.table["is_chosen"].any()


@pytest.mark.parametrize(
    "given",
    [
        None,
        pages().head(0),
        pages().assign(session_count=1, page_count=4, product_page_count=2),
        pages().assign(session_count=0, page_count=None, product_page_count=np.nan),
    ],
)
def test_page_views_that_tell_nothing_are_left_out(given):
    found = compare_customers(customers(), given, 3, n_bootstrap=1)
    assert set(found.table["data"]) == {"purchases"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.drop(columns="page_count"), r"lack the columns \['page_count'\]"),
        (lambda p: pd.concat([p, p.head(3)]), "repeated on 3 rows of page views"),
        (lambda p: p.assign(page_count=-1), "page_count is negative on 300 rows"),
    ],
)
def test_unusable_page_views_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        compare_customers(customers(), change(pages()), 3, n_bootstrap=1)


# --- classifier and tree ---


def test_clear_groups_are_learned_and_coin_tosses_are_not():
    points, truth = blobs()
    coin = np.random.default_rng(1).integers(0, 3, len(points))
    assert cross_fitted_accuracy(linear_classifier, points, truth) == 1.0
    # 240 tosses of a third: 4 standard deviations are .12
    assert cross_fitted_accuracy(linear_classifier, points, coin) < 1 / 3 + 0.12
    assert cross_fitted_accuracy(readable_tree, points, coin) < 1 / 3 + 0.12


def test_one_segment_is_learned_and_a_single_row_is_nobody_unseen():
    points, _ = blobs()
    assert cross_fitted_accuracy(linear_classifier, points, np.zeros(len(points), int)) == 1.0
    assert cross_fitted_accuracy(linear_classifier, points[:1], np.zeros(1, int)) == 0.0


def test_the_rules_describe_every_customer_once_in_own_units():
    frame = customers()
    ids = (np.arange(len(frame)) % 3 + 1).astype(np.intp)
    values = frame[list(FEATURES)]
    learned = learn_segments(SegmentModel(3).fit(frame).transform(frame), values, ids)
    assert learned.accuracy == learned.tree_accuracy == 1.0
    assert learned.largest_share == pytest.approx(1 / 3)
    assert learned.rules["customer_count"].sum() == len(frame)
    for number, text, count in zip(
        learned.rules["segment_id"],
        learned.rules["rule"],
        learned.rules["customer_count"],
        strict=True,
    ):
        covered = frame.query(text)
        assert len(covered) == count
        assert set(ids[covered.index]) == {number}


def test_a_tree_has_at_most_four_questions_and_names_each_bound_once():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 50, (600, 2)).astype(float)
    labels = (values.sum(axis=1) // 20).astype(int)
    rules = tree_rules(readable_tree(values, labels), ["a", "b"], values, labels)
    assert len(rules) <= 16
    frame = pd.DataFrame(values, columns=["a", "b"])
    assert sum(len(frame.query(text)) for text in rules["rule"]) == len(frame)
    for text in rules["rule"]:
        assert "." not in text
        for bound in ("a >", "a <=", "b >", "b <="):
            assert text.count(bound) <= 1
    first = rules[rules["rule_number"] == 1].set_index("segment_id")["customer_count"]
    assert (first == rules.groupby("segment_id")["customer_count"].max()).all()


def test_one_segment_has_one_rule():
    values = np.arange(10.0)[:, None]
    rules = tree_rules(readable_tree(values, np.ones(10, int)), ["a"], values, np.ones(10, int))
    assert rules["rule"].tolist() == ["always"]
