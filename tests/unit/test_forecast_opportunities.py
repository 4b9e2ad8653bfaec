"""Win probability: knows nothing later, earns its place or abstains; when decisions fall."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.gate import decide
from ml.forecast.opportunities.durations import Durations
from ml.forecast.opportunities.model import SKOPS_TRUSTED_TYPES
from ml.forecast.opportunities.scoring import score_opportunities
from ml.forecast.opportunities.snapshots import (
    FEATURES,
    checked,
    labelled,
    outcomes,
    snapshot,
)
from ml.forecast.opportunities.training import train_win_probability

AS_OF = "2024-12-31"
START = pd.Timestamp("2023-01-01")


def states_of(size=3000, signal=1.6, seed=0, later=False, days=(40, 40)):
    """Opportunities of two years whose owner and stage decide how likely they are won.

    ``days``: how long winning and losing take in the mean.
    """
    rng = np.random.default_rng(seed)
    opened = START + pd.to_timedelta(rng.integers(0, 730, size), unit="D")
    owner = rng.integers(0, 8, size)
    passes = rng.random(size) < 0.6
    odds = signal * (owner - 3.5) / 3.5 + signal * (passes - 0.6)
    won = rng.random(size) < 1 / (1 + np.exp(-odds))
    took = rng.geometric(1 / np.where(won, *days))
    closed = opened + pd.to_timedelta(took, unit="D")
    frame = pd.DataFrame(
        {
            "opportunity_key": [f"s:{n:05d}" for n in range(size)],
            "state_number": 1,
            "source": "s",
            "customer_key": [f"s:c{n}" for n in rng.integers(0, 200, size)],
            "owner_key": [f"s:w{n}" for n in owner],
            "product_key": [f"s:p{n}" for n in rng.integers(0, 6, size)],
            "team": "t",
            "region": np.where(owner % 2 == 0, "north", "south"),
            "industry": None,
            "employee_count": rng.integers(1, 900, size),
            "opened_on": opened,
            "closed_on": closed,
            "is_won": won.astype(object),
            "entered_on": opened,
            "stage_order": 30,
        }
    )
    second = frame[passes].assign(
        state_number=2, stage_order=60,
        entered_on=opened[passes] + pd.to_timedelta(took[passes] // 2, unit="D"),
    )  # fmt: skip
    frame = pd.concat([frame, second], ignore_index=True)
    if not later:
        open_ones = frame["closed_on"] > AS_OF
        frame.loc[open_ones, "closed_on"] = pd.NaT
        frame.loc[open_ones, "is_won"] = None
        frame = frame[frame["entered_on"] <= AS_OF]
    return frame


@cache
def trained():
    return train_win_probability(states_of(), as_of=AS_OF)


def test_with_signal_it_is_promoted_and_calibrated():
    decided = decide(trained())
    assert decided.promoted, decided.reason
    figures = trained().evaluation.set_index("metric")
    assert figures.loc["roc_auc", "value"] > 0.65
    assert trained().gate.figures["calibration_error"] <= 0.05


def test_what_is_open_is_won_as_often_as_is_said_though_losing_takes_longer(monkeypatch):
    """Of what is decided by a day more is won than of what is open on it."""
    everything = states_of(size=6000, days=(30, 90), later=True)
    first = everything.drop_duplicates("opportunity_key").set_index("opportunity_key")
    won = first["is_won"].astype(float)
    took = (first["closed_on"] - first["opened_on"]).dt.days
    open_ones = float((won * took).sum() / took.sum())
    assert open_ones < won.mean() - 0.2
    states = states_of(size=6000, days=(30, 90))

    def observed(result):
        return result.evaluation.set_index("metric").loc["observed_rate", "value"]

    result = train_win_probability(states, as_of=AS_OF)
    assert decide(result).promoted
    assert observed(result) == pytest.approx(open_ones, abs=0.015)
    scored = score_opportunities(result.estimator, states, AS_OF)
    truth = won.reindex(scored["opportunity_key"])
    assert scored["win_probability"].mean() == pytest.approx(truth.mean(), abs=0.03)
    # what was decided alone, as if it stood for itself
    monkeypatch.setattr("ml.forecast.opportunities.snapshots.MAX_WEIGHT", 1.0)
    assert observed(train_win_probability(states, as_of=AS_OF)) > open_ones + 0.02


def test_weights_are_the_inverse_share_of_those_followed_as_long():
    """By hand: ten days apart, decided after 5 or 25 days, looked at on the thirtieth."""
    days = [pd.Timestamp("2024-01-01") + pd.Timedelta(days=d) for d in (0, 10, 20)]
    frame = states_of(size=2).drop_duplicates("opportunity_key").assign(
        opened_on=days[0], entered_on=days[0], is_won=[True, False],
        closed_on=[days[0] + pd.Timedelta(days=25), days[0] + pd.Timedelta(days=45)],
    )  # fmt: skip
    states = checked(frame)
    rows = labelled(states, outcomes(states), days, days[0] + pd.Timedelta(days=30))
    # six snapshots, two each followed for 30, 20 and 10 days; those of the second are not decided
    assert rows["key"].tolist() == ["s:00000"] * 3
    assert rows["weight"].tolist() == pytest.approx([6 / 2, 6 / 4, 6 / 6])


def test_without_signal_it_is_refused():
    result = train_win_probability(states_of(signal=0.0, seed=4), as_of=AS_OF)
    assert result.status == "trained"
    assert not decide(result).promoted


def test_what_happens_later_changes_nothing():
    """Later stages, decisions and openings: as if they were not there."""
    honest = trained()
    other = train_win_probability(states_of(later=True), as_of=AS_OF)
    pd.testing.assert_frame_equal(honest.evaluation, other.evaluation)


def test_snapshots_know_no_later_stage_or_decision_and_the_test_would_find_it():
    day = pd.Timestamp("2024-03-01")

    def features(change):
        states = states_of()
        late = states["entered_on"] > day
        states.loc[late, "stage_order"] = 99
        decided_later = states["closed_on"] > day
        if change:
            states.loc[decided_later, "is_won"] = ~states.loc[decided_later, "is_won"].astype(bool)
            states.loc[decided_later, "closed_on"] += pd.Timedelta(days=50)
        frame = checked(states)
        return lambda on: snapshot(frame, outcomes(frame), on)[list(FEATURES)]

    one, other = features(False), features(True)
    pd.testing.assert_frame_equal(one(day), other(day))
    ahead = day + pd.Timedelta(days=1)
    assert not one(ahead).equals(other(ahead))


@pytest.mark.slow
def test_permuted_outcomes_are_not_promoted():
    promotions = 0
    for seed in range(4):
        states = states_of(size=900, seed=seed)
        rng = np.random.default_rng(seed)
        first = states.drop_duplicates("opportunity_key").set_index("opportunity_key")["is_won"]
        known = first.dropna()
        shuffled = pd.Series(rng.permutation(known.to_numpy()), index=known.index)
        mixed = states["opportunity_key"].map(shuffled).where(states["is_won"].notna(), None)
        states["is_won"] = mixed
        promotions += decide(train_win_probability(states, as_of=AS_OF)).promoted
    assert promotions <= 1


def test_a_champion_stays_against_itself():
    same = train_win_probability(states_of(), as_of=AS_OF, champion=trained().estimator)
    decided = decide(same)
    assert not decided.promoted
    assert "does not beat champion" in decided.reason


def test_an_uncalibrated_challenger_stays_out():
    gate = dataclasses.replace(trained().gate, figures={"calibration_error": 0.2})
    decided = decide(dataclasses.replace(trained(), gate=gate))
    assert not decided.promoted
    assert "calibration error" in decided.reason


@pytest.mark.parametrize(
    "states",
    [
        states_of().head(0),
        states_of().head(1),
        states_of(size=120),
        states_of().assign(is_won=True),
        states_of().assign(closed_on=pd.NaT, is_won=None),
        states_of().assign(opened_on=pd.Timestamp(AS_OF), entered_on=pd.NaT),
    ],
)
def test_too_little_or_one_outcome_abstains_and_the_table_says_so(states):
    result = train_win_probability(states, as_of=AS_OF)
    assert result.status == "too_little_data"
    assert result.reason
    rows = score_opportunities(None, states, AS_OF, "too_little_data")
    assert rows["win_probability"].isna().all()
    assert set(rows["status"]) <= {"too_little_data"}


def test_nulls_constants_and_order_of_rows():
    odd = states_of().assign(team=None, region=None, product_key=None, employee_count=np.nan,
                             entered_on=pd.NaT)  # fmt: skip
    assert train_win_probability(odd, as_of=AS_OF).status == "trained"
    shuffled = states_of().sample(frac=1, random_state=1)
    again = train_win_probability(shuffled, as_of=AS_OF)
    pd.testing.assert_frame_equal(again.evaluation, trained().evaluation)
    rows = score_opportunities(trained().estimator, states_of(), AS_OF)
    pd.testing.assert_frame_equal(score_opportunities(trained().estimator, shuffled, AS_OF), rows)
    assert rows["win_probability"].between(0, 1).all()
    assert rows["opportunity_key"].is_unique
    known = rows.dropna(subset=["expected_close_on"])
    assert (known["expected_close_on"] > AS_OF).all()
    assert (known["close_low_on"] <= known["expected_close_on"]).all()


def test_durations_are_kaplan_and_meier_s():
    """Worked by hand: 6 opportunities, decided after 1, 2, 2, 4, still open after 3 and 5 days."""
    found = Durations().fit(
        np.array([1, 2, 2, 3, 4, 5.0]), np.array([True, True, True, False, True, False])
    )
    np.testing.assert_allclose(found.survival_, [5 / 6, 5 / 6 * 3 / 5, 5 / 6 * 3 / 5 * 1 / 2])
    assert found.surviving(np.array([0, 1, 3, 9])).tolist() == pytest.approx([1, 5 / 6, 0.5, 0.25])
    assert found.remaining(np.array([0.0, 1.0]), 0.5).tolist() == [2, 3]
    assert np.isnan(found.remaining(np.array([4.0]), 0.5)[0])


def test_expected_days_are_right_where_waiting_does_not_matter():
    """Geometric durations have no memory: the median to come is the same at every age."""
    rng = np.random.default_rng(0)
    took = rng.geometric(0.05, 20_000).astype(float)
    looked = rng.integers(1, 120, 20_000).astype(float)
    found = Durations().fit(np.minimum(took, looked), took <= looked)
    median = found.remaining(np.array([0.0, 10.0, 30.0]), 0.5)
    np.testing.assert_allclose(median, 14, atol=1.5)


def test_it_is_stored_without_pickle():
    from skops.io import dumps, loads

    again = loads(dumps(trained().estimator), trusted=SKOPS_TRUSTED_TYPES)
    pd.testing.assert_frame_equal(
        score_opportunities(again, states_of(), AS_OF),
        score_opportunities(trained().estimator, states_of(), AS_OF),
    )
