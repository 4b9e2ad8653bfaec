"""Lead conversion: knows nothing later, earns its place beside what waiting tells, or abstains."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from skops.io import dumps, loads

from ml.evaluation.gate import decide
from ml.forecast.opportunities.durations import Durations
from ml.forecast.opportunities.kinds import LEAD
from ml.forecast.opportunities.leads import as_states
from ml.forecast.opportunities.model import SKOPS_TRUSTED_TYPES, WinModel
from ml.forecast.opportunities.scoring import score_leads
from ml.forecast.opportunities.snapshots import checked, outcomes, snapshot
from ml.forecast.opportunities.training import train_lead_conversion

AS_OF = pd.Timestamp("2024-12-31")
START = pd.Timestamp("2023-01-01")
HORIZON = 60


def leads_of(size=1000, signal=1.5, seed=0, later=False):
    """Leads of two years; channel and contacts decide how likely they convert, within weeks."""
    rng = np.random.default_rng(seed)
    created = START + pd.to_timedelta(rng.integers(0, 730, size), unit="D")
    channel = rng.integers(0, 4, size)
    is_touched = rng.random(size) < 0.5
    odds = -1.0 + signal * (channel - 1.5) + signal * (is_touched - 0.5)
    converts = rng.random(size) < 1 / (1 + np.exp(-odds))
    took = 2 + rng.geometric(1 / 12, size)
    converted = pd.Series(created + pd.to_timedelta(took, unit="D")).where(converts)
    frame = pd.DataFrame(
        {
            "lead_key": [f"s:{n:05d}" for n in range(size)],
            "state_number": 1,
            "source": "s",
            "customer_key": [f"s:c{n}" for n in rng.integers(0, 200, size)],
            "owner_key": [f"s:w{n}" for n in rng.integers(0, 6, size)],
            "channel": [f"channel {n}" for n in channel],
            "team": "t",
            "region": None,
            "industry": None,
            "employee_count": rng.integers(1, 900, size),
            "prior_order_count": rng.poisson(0.5, size),
            "created_on": created,
            "converted_on": converted,
            "is_given_up": (~converts) & (created < AS_OF - pd.Timedelta(days=40)),
            "entered_on": created,
            "touch_count": 0,
        }
    )
    second = frame[is_touched].assign(
        state_number=2, touch_count=1, entered_on=frame["created_on"] + pd.Timedelta(days=1)
    )
    frame = pd.concat([frame, second], ignore_index=True)
    if not later:
        frame["converted_on"] = frame["converted_on"].mask(frame["converted_on"] > AS_OF)
        frame = frame[frame["entered_on"] <= AS_OF]
    return frame


def train(leads, **more):
    return train_lead_conversion(leads, as_of=AS_OF, horizon_days=HORIZON, **more)


@cache
def trained():
    return train(leads_of())


def test_with_signal_it_is_promoted_and_calibrated():
    decided = decide(trained())
    assert decided.promoted, decided.reason
    assert "beats the rate at its age" in decided.reason
    figures = trained().evaluation.set_index("metric")
    assert figures.loc["roc_auc", "value"] > 0.75
    assert trained().gate.figures["calibration_error"] <= 0.05
    assert figures.loc["closing_error_days", "value"] < 12


def test_where_only_waiting_tells_it_is_refused():
    """The base rate is beaten, for who has waited long converts rarely: that is no model yet."""
    decided = decide(train(leads_of(signal=0.0, seed=1)))
    assert not decided.promoted
    assert "does not beat the rate at its age" in decided.reason


def test_what_happens_later_changes_nothing():
    other = train(leads_of(later=True))
    pd.testing.assert_frame_equal(trained().evaluation, other.evaluation)


def test_snapshots_know_no_later_contact_or_conversion_and_the_test_would_find_it():
    day = pd.Timestamp("2024-03-01")

    def features(change):
        leads = leads_of()
        late = leads["entered_on"] > day
        leads.loc[late, "touch_count"] = 9
        # given up is said today, of what was open then
        leads["is_given_up"] = change
        if change:
            leads["converted_on"] = leads["converted_on"].where(leads["converted_on"] <= day)
        frame = checked(as_states(leads, HORIZON), LEAD)
        ones = outcomes(frame, LEAD)
        return lambda on: snapshot(frame, ones, on, LEAD)[list(LEAD.features)]

    one, other = features(False), features(True)
    pd.testing.assert_frame_equal(one(day), other(day))
    assert not one(day + pd.Timedelta(days=1)).equals(other(day + pd.Timedelta(days=1)))


def test_outcomes_count_once_the_horizon_is_over():
    """Else those that convert would be known first, and the rates were too high."""
    frame = checked(as_states(leads_of(), HORIZON), LEAD)
    ones = outcomes(frame, LEAD)
    day = pd.Timestamp("2023-04-01")
    over = ones[ones["opened_on"] <= day - pd.Timedelta(days=HORIZON)]
    expected = (over["won"].sum() + 1) / (len(over) + 2)
    assert snapshot(frame, ones, day, LEAD)["base_rate"].unique() == pytest.approx([expected])


def test_scores_are_of_open_leads_and_say_why_not():
    leads = leads_of()
    leads.loc[leads["lead_key"] == "s:00000", ["is_given_up", "converted_on"]] = [False, pd.NaT]
    leads.loc[leads["lead_key"] == "s:00000", "created_on"] = START
    rows = score_leads(trained().estimator, leads, AS_OF, HORIZON).set_index("lead_key")
    first = leads.drop_duplicates("lead_key").set_index("lead_key")
    is_open = first["converted_on"].isna() & ~first["is_given_up"]
    assert rows.index.tolist() == sorted(first.index[is_open])
    assert rows.loc["s:00000", "status"] == "lapsed"
    assert rows.loc["s:00000"].drop("status").isna().all()
    scored = rows[rows["status"] == "scored"]
    assert scored["conversion_probability"].between(0, 1).all()
    assert scored["base_conversion_rate"].between(0.2, 0.6).all()
    known = scored.dropna(subset=["expected_conversion_on"])
    assert len(known) > 20
    assert (known["conversion_low_on"] <= known["expected_conversion_on"]).all()
    assert (known["expected_conversion_on"] <= known["conversion_high_on"]).all()
    days = (known["expected_conversion_on"] - AS_OF).dt.days
    assert (days == known["expected_conversion_days"]).all()
    # in time is in time
    created = first.loc[known.index, "created_on"]
    assert ((known["conversion_high_on"] - created).dt.days <= HORIZON).all()
    shuffled = leads.sample(frac=1, random_state=1)
    again = score_leads(trained().estimator, shuffled, AS_OF, HORIZON).set_index("lead_key")
    pd.testing.assert_frame_equal(again, rows)
    stored = loads(dumps(trained().estimator), trusted=SKOPS_TRUSTED_TYPES)
    pd.testing.assert_frame_equal(
        score_leads(stored, leads, AS_OF, HORIZON).set_index("lead_key"), rows
    )


def test_the_days_are_of_those_that_convert_in_time():
    """Worked by hand: of 8, after 1, 2, 3, 4 days; four never, looked at after ten."""
    found = Durations().fit(
        np.array([1, 2, 3, 4, 10, 10, 10, 10.0]), np.array([True] * 4 + [False] * 4)
    )
    age = np.array([0.0, 2.0, 5.0])
    assert found.remaining(age, 0.5, 10)[:2].tolist() == [2, 1]
    assert np.isnan(found.remaining(age, 0.5, 10)[2])  # nobody converted that late
    assert np.isnan(found.remaining(age, 0.75)[0])  # and of all, half never did


@pytest.mark.parametrize(
    "leads",
    [
        leads_of().head(0),
        leads_of().head(1),
        leads_of(size=120),
        leads_of().assign(converted_on=pd.NaT),
        leads_of().assign(created_on=AS_OF, entered_on=AS_OF, converted_on=pd.NaT),
    ],
)
def test_too_little_or_one_outcome_abstains_and_the_table_says_so(leads):
    result = train(leads)
    assert result.status == "too_little_data"
    assert "leads" in result.reason
    rows = score_leads(None, leads, AS_OF, HORIZON, "too_little_data")
    assert rows["conversion_probability"].isna().all()
    assert set(rows["status"]) <= {"too_little_data", "lapsed"}


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"the lead states lack columns: \['channel'\]"):
        train(leads_of().drop(columns="channel"))


def test_a_model_stored_before_leads_were_scored_is_of_opportunities():
    old = WinModel().__getstate__()
    del old["kind"]
    model = WinModel.__new__(WinModel)
    model.__setstate__(old)
    assert model.kind == "opportunity"
