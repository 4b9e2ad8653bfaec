"""Numbers and names from one training to the next, and customers from one month to the next."""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest
import skops.io

from crm_pipeline.defs.modelling.models import segments
from crm_pipeline.defs.modelling.store import replace_table
from ml.segmentation import SKOPS_TRUSTED_TYPES, SegmentModel, train_segments
from ml.segmentation.matching import TOLERANCE, match_centres
from ml.segmentation.naming import carry_names, profile_names
from ml.segmentation.scoring import score_segments
from ml.segmentation.transitions import DRIFT, MOVES, segment_moves, stability_index
from tests.unit.test_segmentation import SEED_TABLE, customers

ONE = np.ones(2)


# --- matching ---


def test_segments_keep_their_numbers_whatever_their_order():
    old = np.array([[0.0, 0], [5, 5], [9, 0]])
    match = match_centres(old[[2, 0, 1]] + 0.1, old, np.array([1, 2, 3]), ONE)
    assert match.numbers.tolist() == [3, 1, 2]
    assert match.previous.tolist() == [2, 0, 1]
    assert (match.anchors == old[[2, 0, 1]]).all()


def test_a_new_segment_gets_a_number_that_the_champion_did_not_use():
    old = np.array([[0.0, 0], [5, 5]])
    match = match_centres(np.array([[0.0, 0], [9, 9], [20, 0]]), old, np.array([1, 3]), ONE)
    assert match.numbers.tolist() == [1, 2, 4]
    assert match.previous.tolist() == [0, -1, -1]


def test_fewer_segments_leave_their_numbers_behind():
    old = np.array([[0.0, 0], [5, 5], [9, 0]])
    assert match_centres(old[1:], old, np.array([1, 2, 3]), ONE).numbers.tolist() == [2, 3]


def test_distance_counts_in_the_scale_of_each_feature():
    old, near = np.array([[0.0, 0]]), np.array([[1.0, 0]])
    assert match_centres(near, old, np.array([4]), np.array([2.0, 1])).numbers.tolist() == [4]
    assert match_centres(near, old, np.array([4]), ONE).numbers.tolist() == [1]


def test_a_hopeless_segment_does_not_cost_another_its_partner():
    # least total distance alone would pair 0.5 with 0 (.5) and 100 with .6 (99.4)
    old, new = np.array([[0.0, 0], [0.6, 0]]), np.array([[0.5, 0], [100.0, 0]])
    match = match_centres(new, old, np.array([1, 2]), ONE)
    assert match.numbers.tolist() == [2, 3]


def test_no_champion_segments_and_many_new_ones():
    match = match_centres(np.zeros((2, 2)), np.zeros((0, 2)), np.zeros(0, int), ONE)
    assert match.numbers.tolist() == [1, 2]


# --- names ---


def test_a_name_follows_the_seed_table_and_a_made_up_one_stays():
    centres = np.array([[-2.0, 1, 1], [2.0, -1, -1]])
    old = {"high/high/high": "Best"}
    kept = carry_names(centres, {"high/high/high": "Kings"}, [0, 1], ["Best", "Sleepers"], old)
    assert kept == ["Kings", "Sleepers"]
    assert carry_names(centres, {}, [0, -1], ["Best"], old) == [
        "Recently, often",
        "Long ago, rarely",
    ]


def test_a_new_segment_does_not_take_a_name_that_stays():
    centres = np.array([[-2.0, 1, 1], [-1.0, 1, 2]])
    table = {"high/high/high": "Best"}
    names = carry_names(centres, table, [-1, 0], ["Best"], table)
    assert names[1] == "Best"
    assert names[0] != "Best"


# --- retraining ---


@pytest.fixture(scope="module")
def profiles() -> pd.DataFrame:
    return pd.read_csv(SEED_TABLE)


def by_truth(model: SegmentModel, frame: pd.DataFrame) -> dict[int, tuple[int, str]]:
    found = model.predict(frame)
    return {
        group: tuple(rows[["segment_id", "segment_name"]].mode().iloc[0])
        for group, rows in found.groupby(np.arange(len(frame)) % 3)
    }


def a_month_later(frame: pd.DataFrame, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return frame.assign(
        recency_days=frame["recency_days"] * rng.uniform(0.9, 1.25, len(frame)),
        net_amount=frame["net_amount"] * rng.uniform(0.95, 1.2, len(frame)),
    )


def test_retraining_on_slightly_changed_data_keeps_numbers_and_names(profiles):
    frame = customers()
    names = profile_names(profiles)
    champion = SegmentModel(3, names=names).fit(frame)
    champion.ids_ = np.array([7, 2, 5])  # as after earlier changes
    champion.names_ = ["Kings", "Middle", "Sleepers"]
    later = a_month_later(frame)
    again = SegmentModel(3, names=names).fit(later).follow(champion)
    assert by_truth(again, later) == by_truth(champion, frame)
    assert by_truth(again, later)[0] == (7, "Kings")


@pytest.mark.parametrize(("count", "fewest"), [(2, 1), (4, 2)])
def test_retraining_with_another_number_keeps_what_stays(count, fewest):
    frame = customers()
    champion = SegmentModel(3).fit(frame)
    again = SegmentModel(count).fit(a_month_later(frame)).follow(champion)
    before, after = by_truth(champion, frame), by_truth(again, frame)
    assert sum(before[group] == after[group] for group in range(3)) >= fewest
    assert len(set(again.ids_)) == len(set(again.names_)) == count
    centres = again.centres_ * again.scale_ + again.mean_
    for place, number in enumerate(again.ids_):
        apart = np.linalg.norm((champion.anchors_ - centres[place]) / again.scale_, axis=1)
        if number <= 3:
            assert apart[number - 1] < TOLERANCE
            assert again.names_[place] == champion.names_[number - 1]
        else:
            assert number >= 4


def test_a_segment_that_creeps_away_gets_another_number_in_the_end():
    frame = customers()
    model = SegmentModel(3).fit(frame)
    first = model.ids_.tolist()
    step = 0.4 * TOLERANCE  # no whole number of steps is TOLERANCE, where rounding would decide
    seen = [first]
    for month in range(1, 5):
        moved = np.exp(step * month * model.scale_[0])
        later = frame.assign(recency_days=(frame["recency_days"] + 1) * moved - 1)
        model = SegmentModel(3).fit(later).follow(model)
        seen.append(model.ids_.tolist())
    assert seen[:3] == [first] * 3
    assert not set(seen[-1]) & set(first)


def test_training_takes_the_champions_numbers_and_says_how_many(profiles):
    frame = customers()
    champion = SegmentModel(3, names=profile_names(profiles)).fit(frame)
    champion.ids_ = np.array([3, 1, 2])
    result = train_segments(a_month_later(frame), profiles, champion=champion, n_bootstrap=15)
    figures = result.evaluation.set_index("metric")["value"]
    assert result.parameters["segment_count"] == 3
    assert result.estimator.ids_.tolist() == [3, 1, 2]
    assert result.estimator.names_ == champion.names_
    assert figures["kept_segment_count"] == 3
    assert figures["classifier_accuracy"] > 0.95
    assert result.tables["profile"]["segment_id"].tolist() == [3, 1, 2]


def test_a_champion_from_before_numbers_were_kept_still_scores():
    frame = customers()
    model = SegmentModel(3).fit(frame)
    want = model.predict(frame)
    for name in ("ids_", "anchors_", "classifier_", "tables_"):
        delattr(model, name)
    old = skops.io.loads(skops.io.dumps(model), trusted=SKOPS_TRUSTED_TYPES)
    pd.testing.assert_frame_equal(old.predict(frame), want)
    assert SegmentModel(3).fit(frame).follow(old).ids_.tolist() == [1, 2, 3]


# --- from month to month ---


def history(model: SegmentModel) -> pd.DataFrame:
    """Three customers over three month-ends: one stays, one moves, one is new in the second."""
    good, poor = (9.0, 20, 4000.0), (360.0, 1, 100.0)
    rows = [
        ("a", "2026-01-31", *good),
        ("a", "2026-02-28", *good),
        ("a", "2026-03-15", *good),
        ("b", "2026-01-31", *good),
        ("b", "2026-02-28", *poor),
        ("b", "2026-03-15", *poor),
        ("c", "2026-02-28", *poor),
        ("c", "2026-03-15", *poor),
    ]
    columns = ["customer_key", "as_of", "recency_days", "order_count", "net_amount"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(as_of=pd.to_datetime(frame["as_of"]))


@pytest.fixture(scope="module")
def model() -> SegmentModel:
    return SegmentModel(3).fit(customers())


def test_moves_are_counted_between_neighbouring_dates(model):
    moves, drift = segment_moves(model, history(model))
    assert list(moves.columns) == list(MOVES)
    assert list(drift.columns) == list(DRIFT)
    first = moves[moves["to_on"].astype(str) == "2026-02-28"]
    known = first[["from_segment_id", "to_segment_id", "customer_count", "customer_share"]]
    assert known.astype(object).where(known.notna(), None).to_numpy().tolist() == [
        [None, 3, 1, 1.0],
        [1, 1, 1, 0.5],
        [1, 3, 1, 0.5],
    ]
    assert drift["moved_count"].tolist() == [1, 0]
    assert drift["moved_share"].tolist() == [0.5, 0.0]
    assert drift["new_customer_count"].tolist() == [1, 0]
    assert drift["population_stability_index"].iloc[1] == 0


def test_row_order_changes_no_count(model):
    frame = history(model)
    for one, two in zip(
        segment_moves(model, frame),
        segment_moves(model, frame.sample(frac=1, random_state=1)),
        strict=True,
    ):
        pd.testing.assert_frame_equal(one, two)


def test_rows_after_a_date_change_no_move_up_to_it(model):
    """No leak: what comes later changes neither segments nor moves of what was."""
    frame = history(model)
    later = frame["as_of"] > "2026-02-28"
    changed = frame.assign(net_amount=frame["net_amount"].where(~later, 9.99))
    changed["order_count"] = changed["order_count"].where(~later, 30)
    before, after = segment_moves(model, frame)[0], segment_moves(model, changed)[0]
    past = before["to_on"].astype(str) <= "2026-02-28"
    pd.testing.assert_frame_equal(before[past], after[: past.sum()])
    assert not before[~past].reset_index().equals(after[past.sum() :].reset_index())


def test_no_month_and_one_month_have_no_move(model):
    for frame in (history(model).head(0), history(model).query("as_of < '2026-02-01'")):
        moves, drift = segment_moves(model, frame)
        assert moves.empty
        assert drift.empty


def test_a_customer_twice_at_a_date_is_refused(model):
    frame = history(model)
    with pytest.raises(ValueError, match="repeated on 2 rows"):
        segment_moves(model, pd.concat([frame, frame.head(2)]))


def test_the_stability_index_is_zero_without_drift_and_grows_with_it():
    same = stability_index(np.array([500, 300, 200]), np.array([1000, 600, 400]))
    some = stability_index(np.array([500, 300, 200]), np.array([450, 320, 230]))
    much = stability_index(np.array([500, 300, 200]), np.array([100, 300, 600]))
    assert same == pytest.approx(0, abs=1e-5)
    assert same < some < 0.1 < 0.25 < much
    # (.1 - .5) ln(.1 / .5) + (.6 - .2) ln(.6 / .2)
    assert much == pytest.approx(1.0832, abs=0.01)
    assert np.isfinite(stability_index(np.array([5, 0]), np.array([0, 5])))


# --- what is published ---


def test_everything_published_fits_together(profiles):
    frame = customers()
    result = train_segments(frame, profiles, n_bootstrap=15)
    stored = skops.io.dumps(result.estimator)
    assert skops.io.get_untrusted_types(data=stored) == SKOPS_TRUSTED_TYPES
    model = skops.io.loads(stored, trusted=SKOPS_TRUSTED_TYPES)
    predictions, tables = score_segments(model, frame, profiles, history(model))
    sizes = tables["segment_profiles"].set_index("segment_id")["customer_count"]
    assert sizes.to_dict() == predictions["segment_id"].value_counts().to_dict()
    pd.testing.assert_frame_equal(tables["segment_comparison"], result.tables["comparison"])
    assert tables["segment_comparison"]["is_chosen"].sum() == 1
    rules = tables["segment_rules"]
    names = tables["segment_profiles"].set_index("segment_id")["segment_name"]
    assert (rules["segment_name"] == rules["segment_id"].map(names)).all()
    assert len(tables["segment_transitions"]) > 0
    assert len(tables["segment_drift"]) == 2


@pytest.mark.parametrize("count", [0, 1])
def test_no_customer_and_one_are_scored(model, profiles, count):
    frame, past = customers().head(count), history(model).head(count)
    predictions, tables = score_segments(model, frame, profiles, past)
    assert len(predictions) == count
    assert tables["segment_profiles"]["customer_count"].tolist() == [count, 0, 0]
    assert tables["segment_transitions"].empty
    for name, table in tables.items():  # what is empty fits its table too
        types = segments.SPEC.further[name]
        replace_table(duckdb.connect(), name, types, table, date(2026, 1, 31), "v")
