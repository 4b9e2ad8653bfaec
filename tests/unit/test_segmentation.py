"""SegmentModel, K-means and names: worked examples, invariances, refusals."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError

from ml.segmentation import SKOPS_TRUSTED_TYPES, SegmentModel
from ml.segmentation.kmeans import SAMPLE_SIZE, assign, fit_centres, subsample
from ml.segmentation.naming import describe, level_key, name_segments, profile_names

SEED_TABLE = Path(__file__).parents[2] / "dbt_project" / "seeds" / "segment_profiles.csv"


def customers(count: int = 300, seed: int = 1) -> pd.DataFrame:
    """Three groups of customers that nobody would confuse, each a round cloud within.

    Recency is not rounded to days: with so clear groups, single days would be stable segments.
    """
    rng = np.random.default_rng(seed)
    group = np.arange(count) % 3
    spread = np.exp(rng.normal(0, 0.2, (2, count)))
    recency = np.array([9, 60, 360])[group] * spread[0]
    amount = np.array([4000, 630, 100])[group] * spread[1]
    return pd.DataFrame(
        {
            "customer_key": [f"shop:{i:06d}" for i in range(count)],
            "recency_days": recency,
            "order_count": np.array([20, 6, 1])[group],
            "net_amount": amount.round(2),
        }
    )


# --- K-means: references.md section 8 ---


def test_worked_example_of_four_points():
    points = np.array([[1, 1], [1, 2], [3, 3], [3, 4]], dtype=float)
    centres = fit_centres(points, 2)
    assert sorted(map(tuple, centres)) == [(1.0, 1.5), (3.0, 3.5)]


def test_worked_example_of_age_income_and_orders():
    points = np.array(
        [[25, 50000, 3], [30, 60000, 5], [22, 45000, 2], [35, 70000, 4], [28, 55000, 3]],
        dtype=float,
    )
    labels, _ = assign(points, fit_centres(points, 2))
    groups = {frozenset(np.flatnonzero(labels == number) + 1) for number in (0, 1)}
    assert groups == {frozenset({1, 3, 5}), frozenset({2, 4})}


def test_assign_gives_the_nearest_centre_and_the_first_of_equals():
    labels, distance = assign(np.array([[0.0], [1.0], [5.0]]), np.array([[0.0], [2.0]]))
    assert labels.tolist() == [0, 0, 1]
    assert distance.tolist() == [0.0, 1.0, 3.0]


def test_many_points_are_refined_on_all_of_them():
    rng = np.random.default_rng(3)
    points = rng.normal(0, 1, (SAMPLE_SIZE + 5_000, 2)) + 8 * rng.integers(0, 3, (15_000, 1))
    mine = sorted(fit_centres(points, 3)[:, 0])
    theirs = sorted(KMeans(3, n_init=10, random_state=5).fit(points).cluster_centers_[:, 0])
    assert mine == pytest.approx(theirs, abs=0.01)


def test_subsample_is_fixed_sorted_and_distinct():
    chosen = subsample(1_000, 100, seed=4)
    assert len(set(chosen)) == 100
    assert (np.diff(chosen) > 0).all()
    assert (chosen == subsample(1_000, 100, seed=4)).all()
    assert subsample(5, 100, seed=4).tolist() == [0, 1, 2, 3, 4]


# --- the model ---


def test_segments_are_numbered_by_mean_net_amount():
    frame = customers()
    scored = SegmentModel(3).fit(frame).predict(frame).merge(frame, on="customer_key")
    means = scored.groupby("segment_id")["net_amount"].mean()
    assert means.index.tolist() == [1, 2, 3]
    assert means.is_monotonic_decreasing


def test_the_groups_put_in_come_out():
    frame = customers()
    found = SegmentModel(3).fit_predict(frame)["segment_id"]
    assert (found.to_numpy() == np.arange(len(frame)) % 3 + 1).all()


def test_prediction_has_the_agreed_columns_in_the_rows_order():
    frame = customers().sample(frac=1, random_state=2)
    model = SegmentModel(3).fit(frame)
    scored = model.predict(frame)
    assert list(scored.columns) == ["customer_key", "segment_id", "segment_name", "distance"]
    assert scored["customer_key"].tolist() == frame["customer_key"].tolist()
    assert scored.index.equals(frame.index)
    own = model.centres_[scored["segment_id"] - 1]
    want = np.linalg.norm(model.transform(frame) - own, axis=1)
    assert scored["distance"].to_numpy() == pytest.approx(want, abs=1e-6)
    assert scored["distance"].equals(scored["distance"].round(6))


def test_row_order_and_index_change_nothing():
    frame = customers()
    shuffled = frame.sample(frac=1, random_state=7)
    one, two = SegmentModel(3).fit(frame), SegmentModel(3).fit(shuffled)
    assert (one.centres_ == two.centres_).all()
    pd.testing.assert_frame_equal(one.predict(frame), two.predict(frame))


def test_another_money_unit_changes_no_segment_of_clear_groups():
    # log1p is nearly a shift where amounts are far above one unit; borders may move a little.
    frame = customers()
    cents = frame.assign(net_amount=frame["net_amount"] * 100)
    assert (
        SegmentModel(3)
        .fit_predict(frame)["segment_id"]
        .equals(SegmentModel(3).fit_predict(cents)["segment_id"])
    )


def test_negative_net_amount_counts_as_zero():
    frame = customers()
    model = SegmentModel(3).fit(frame)
    row = frame.head(1)
    below = model.transform(row.assign(net_amount=-500.0))
    assert below == pytest.approx(model.transform(row.assign(net_amount=0.0)))


def test_decimals_and_nullable_integers_are_numbers():
    frame = customers()
    typed = frame.assign(
        net_amount=[Decimal(str(v)) for v in frame["net_amount"]],
        order_count=frame["order_count"].astype("Int64"),
    )
    assert (
        SegmentModel(3)
        .fit_predict(typed)["segment_id"]
        .equals(SegmentModel(3).fit_predict(frame)["segment_id"])
    )


def test_survives_skops_and_clone():
    frame = customers()
    model = SegmentModel(3, names={"high/high/high": "Kings"}).fit(frame)
    stored = skops.io.dumps(model)
    assert skops.io.get_untrusted_types(data=stored) == SKOPS_TRUSTED_TYPES
    again = skops.io.loads(stored, trusted=SKOPS_TRUSTED_TYPES)
    pd.testing.assert_frame_equal(again.predict(frame), model.predict(frame))
    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(frame)


def test_a_fresh_process_with_more_threads_gives_the_same_bytes():
    program = (
        "import hashlib; from tests.unit.test_segmentation import customers; "
        "from ml.segmentation import SegmentModel; f = customers(2000); "
        "m = SegmentModel(4).fit(f); "
        "print(hashlib.sha256(m.centres_.tobytes() + m.predict(f).to_csv().encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"OMP_NUM_THREADS": threads, "PYTHONPATH": str(SEED_TABLE.parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="net_amount"), r"lack the columns \['net_amount'\]"),
        (lambda f: f.drop(columns="customer_key"), r"\['customer_key'\]"),
        (lambda f: pd.concat([f, f.head(2)]), "repeated on 2 rows"),
        (lambda f: f.assign(customer_key=f["customer_key"].where(f.index > 0)), "null on 1 rows"),
        (lambda f: f.assign(net_amount=f["net_amount"].where(f.index > 2)), "net_amount is null"),
        (lambda f: f.assign(net_amount=np.inf), "not finite on 300 rows"),
        (lambda f: f.assign(recency_days=-1), "recency_days is negative on 300 rows"),
        (lambda f: f.assign(order_count="many"), "order_count holds something"),
    ],
)
def test_unusable_frames_are_refused_by_name(change, message):
    frame = customers()
    with pytest.raises(ValueError, match=message):
        SegmentModel(3).fit(change(frame))
    with pytest.raises(ValueError, match=message):
        SegmentModel(3).fit(frame).predict(change(frame))


def test_fewer_customers_than_segments_is_refused():
    with pytest.raises(ValueError, match="2 customers cannot form 3 segments"):
        SegmentModel(3).fit(customers(2))


def test_a_constant_feature_does_not_divide_by_zero():
    scored = SegmentModel(3).fit_predict(customers().assign(order_count=1))
    assert np.isfinite(scored["distance"]).all()
    assert scored["segment_id"].nunique() == 3


# --- names ---


def test_levels_count_high_recency_as_bought_lately():
    assert level_key(np.array([-1.2, 0.1, 0.5])) == "high/medium/high"
    assert level_key(np.array([0.9, -0.5, -0.49])) == "low/low/medium"


def test_a_description_names_the_two_strongest_deviations():
    assert describe(np.array([0.2, -0.9, -0.8])) == "Rarely, low spend"
    assert describe(np.array([-2.0, 0.1, 0.9])) == "Recently, high spend"
    assert describe(np.array([0.0, 0.05, 0.0])) == "Average"


def test_the_first_that_fits_takes_the_seeded_name_and_the_rest_are_described():
    centres = np.array([[-2.0, 1, 1], [-1.0, 0.6, 2.0], [-1.0, 0.6, 2.0], [-1.0, 0.6, 2.0]])
    assert name_segments(centres, {"high/high/high": "Kings"}) == [
        "Kings",
        "Recently, high spend",
        "Recently, often, high spend",
        "Kings 2",
    ]


@given(
    st.lists(
        st.tuples(*[st.floats(-3, 3, allow_nan=False)] * 3).map(list), min_size=2, max_size=10
    ),
    st.booleans(),
)
def test_names_are_always_unique(centres, is_seeded):
    names = profile_names(pd.read_csv(SEED_TABLE)) if is_seeded else {}
    given_names = name_segments(np.array(centres), names)
    assert len({n.casefold() for n in given_names}) == len(centres)
    assert all(given_names)


def test_the_shipped_seed_table_names_every_combination():
    table = pd.read_csv(SEED_TABLE)
    assert len(profile_names(table)) == 27
    assert table["description"].notna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="segment_name"), "lacks the columns"),
        (lambda t: t.assign(recency_level="fresh"), "levels are low, medium, high"),
        (lambda t: t.assign(segment_name="Same"), "the same segment_name"),
        (lambda t: pd.concat([t, t.assign(segment_name="Other")]), "the same combination"),
        (lambda t: t.assign(segment_name=" "), "segment_name is empty"),
    ],
)
def test_an_unusable_seed_table_is_refused(change, message):
    table = pd.read_csv(SEED_TABLE).head(2)
    with pytest.raises(ValueError, match=message):
        profile_names(change(table))


def test_no_seed_table_is_no_name():
    assert profile_names(None) == {}
    assert profile_names(pd.DataFrame()) == {}
