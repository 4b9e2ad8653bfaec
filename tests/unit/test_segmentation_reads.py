"""What segments read of the warehouse: nothing after the day, a sample where there is much."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest

from crm_pipeline.defs.modelling.models import segments, session_segments
from crm_pipeline.defs.modelling.store import RunSettings, replace_table
from ml.evaluation.gate import decide
from ml.segmentation import sessions as training
from ml.segmentation.sessions import PROFILE, SESSION_FEATURES, SessionSegmentModel
from tests.unit.test_segmentation import SEED_TABLE, customers

TODAY = date(2026, 1, 31)
SETTINGS = RunSettings(TODAY, 90, 365, 180, 0.1)


def visits(count: int = 900) -> pd.DataFrame:
    """Three kinds of visits of a hundred customers, up to ten days after ``TODAY``."""
    rng = np.random.default_rng(4)
    kind = np.arange(count) % 3
    pages = np.maximum(1, (np.array([1, 8, 60])[kind] * np.exp(rng.normal(0, 0.1, count))).round())
    day = pd.Timestamp(TODAY) + pd.to_timedelta(rng.integers(-60, 11, count), unit="D")
    return pd.DataFrame(
        {
            "session_key": [f"shop:s{i:05d}" for i in range(count)],
            "customer_key": [f"shop:{i:06d}" for i in rng.integers(0, 100, count)],
            "started_on": day.where(np.arange(count) % 50 > 0),
            "page_count": pages.astype(int),
            "product_page_count": (pages * 0.8).astype(int),
            "duration_seconds": pages * 40 * np.exp(rng.normal(0, 0.2, count)),
            "bounce_rate": np.array([0.15, 0.02, 0.005])[kind] * np.exp(rng.normal(0, 0.1, count)),
            "exit_rate": np.array([0.18, 0.04, 0.02])[kind] * np.exp(rng.normal(0, 0.1, count)),
            "has_order": np.where(kind == 2, rng.random(count) < 0.2, False),
        }
    )


def warehouse(sessions: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("create schema features; create schema marts; create schema seeds")
    features = customers(120).assign(cut_off_on=TODAY)
    cut_offs = pd.DataFrame({"cut_off_on": [TODAY], "purpose": ["scoring"]})
    rfm = pd.concat(customers(120).assign(as_of=day) for day in (date(2025, 12, 31), TODAY))
    for name, table in {
        "features.customer_features": features,
        "features.cut_offs": cut_offs,
        "seeds.segment_profiles": pd.read_csv(SEED_TABLE),
        "marts.fct_sessions": sessions,
        "marts.customer_rfm": rfm,
    }.items():
        con.register("given", table)
        con.execute(f"create table {name} as select * from given")
        con.unregister("given")
    con.execute("alter table marts.fct_sessions alter started_on type date")
    return con


def read(spec, sessions: pd.DataFrame, settings: RunSettings = SETTINGS) -> pd.DataFrame:
    frames = spec.training_frames(warehouse(sessions), settings)
    return frames["pages"] if spec.name == "segments" else frames["features"]


SPECS = [segments.SPEC, session_segments.SPEC]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_visits_after_the_day_change_nothing_that_is_read(spec):
    sessions = visits()
    later = sessions["started_on"] > pd.Timestamp(TODAY)
    assert later.sum() > 50
    changed = sessions.assign(
        page_count=sessions["page_count"].where(~later, 999),
        customer_key=sessions["customer_key"].where(~later, "shop:000001"),
    )
    pd.testing.assert_frame_equal(read(spec, sessions), read(spec, changed))
    # the same test fails for who looks one day ahead
    ahead = replace(SETTINGS, as_of=TODAY + timedelta(days=1))
    assert not read(spec, sessions, ahead).equals(read(spec, changed, ahead))


def test_page_views_of_customers_leave_out_visits_without_a_day():
    sessions = visits()
    undated = sessions["started_on"].isna()
    without = read(segments.SPEC, sessions[~undated])
    pd.testing.assert_frame_equal(read(segments.SPEC, sessions), without)


def test_kinds_of_visits_include_those_without_a_day():
    assert len(read(session_segments.SPEC, visits().assign(started_on=pd.NaT))) == 900


def test_a_visit_that_cannot_be_is_not_known():
    sessions = visits().assign(page_count=lambda v: v["page_count"].where(v.index > 0, -3))
    sessions["started_on"] = pd.Timestamp(TODAY)
    assert read(session_segments.SPEC, sessions)["page_count"].isna().sum() == 1
    seen = read(segments.SPEC, sessions)["page_count"].sum()
    assert seen == sessions["page_count"].iloc[1:].sum()


def test_what_is_read_of_visits_is_what_the_model_measures():
    assert session_segments.MEASURED == SESSION_FEATURES


def test_of_many_visits_and_customers_a_fixed_sample_is_read(monkeypatch):
    monkeypatch.setattr(session_segments, "SESSIONS_READ", 50)
    monkeypatch.setattr(segments, "MOVES_FOLLOWED", 30)
    one, two = read(session_segments.SPEC, visits()), read(session_segments.SPEC, visits())
    assert len(one) == 50
    assert one.equals(two)
    history = segments.SPEC.scoring_frames(warehouse(visits()), SETTINGS)["history"]
    assert history.groupby("as_of")["customer_key"].nunique().tolist() == [30, 30]


# --- kinds of visits ---


@pytest.fixture
def at_most_three(monkeypatch):
    monkeypatch.setattr(training, "MAX_COUNT", 3)


def train(sessions: pd.DataFrame, champion=None):
    frames = session_segments.SPEC.training_frames(warehouse(sessions), SETTINGS)
    return session_segments.SPEC.train(frames, SETTINGS, champion), frames


@pytest.mark.usefixtures("at_most_three")
def test_clear_kinds_are_found_compared_promoted_and_profiled():
    result, frames = train(visits())
    assert result.parameters["segment_count"] == 3
    assert decide(result).promoted
    comparison = result.tables["comparison"]
    assert set(comparison["data"]) == {"sessions"}
    assert comparison[comparison["is_chosen"]]["method"].tolist() == ["kmeans"]
    scored = session_segments.SPEC.score(result.estimator, frames, SETTINGS)
    table = scored.predictions
    assert list(table.columns) == list(PROFILE)
    assert table["mean_page_count"].is_monotonic_decreasing
    assert table["session_count"].sum() == len(frames["features"])
    assert table["order_rate"].iloc[0] == pytest.approx(0.2, abs=0.05)
    assert (table["order_rate"].iloc[1:] == 0).all()
    con = duckdb.connect()
    types = {"as_of": "date", **session_segments.SPEC.types, "model_version": "varchar"}
    assert replace_table(con, "session_segments", types, table, TODAY, "v") == 3


@pytest.mark.usefixtures("at_most_three")
def test_kinds_keep_their_numbers():
    first, _ = train(visits())
    first.estimator.ids_ = np.array([4, 9, 2])
    again, _ = train(visits(870), first.estimator)
    assert again.estimator.ids_.tolist() == [4, 9, 2]
    assert again.estimator.names_ == first.estimator.names_


@pytest.mark.usefixtures("at_most_three")
def test_a_champion_that_read_other_features_gives_no_numbers():
    first, _ = train(visits().assign(exit_rate=None))
    assert "exit_rate" not in first.estimator.features_
    first.estimator.ids_ = np.array([4, 9, 2])
    again, _ = train(visits(), first.estimator)
    assert again.estimator.ids_.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("sessions", "reason"),
    [
        (visits().head(0), "0 sessions with known figures"),
        (visits(60), r"\d\d sessions with known figures"),
        (visits().assign(**dict.fromkeys(SESSION_FEATURES, None)), "0 sessions with known"),
        (visits().assign(**dict.fromkeys(SESSION_FEATURES, 1.0)), "all sessions are alike"),
    ],
)
def test_too_little_to_tell_kinds_apart_abstains(sessions, reason):
    result, _ = train(sessions)
    assert result.status == "too_little_data"
    assert pd.Series([result.reason]).str.match(reason).all()


def test_visits_with_a_missing_figure_are_left_out_and_unknown_orders_have_no_rate():
    sessions = visits().assign(has_order=None)
    sessions.loc[::40, "page_count"] = None
    result, frames = train(sessions)
    table = session_segments.SPEC.score(result.estimator, frames, SETTINGS).predictions
    assert table["session_count"].sum() == frames["features"]["page_count"].notna().sum()
    assert table["session_count"].sum() < len(frames["features"])
    assert table["order_rate"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop(columns="page_count"), r"lack the columns \['page_count'\]"),
        (lambda s: pd.concat([s, s.head(2)]), "repeated on 2 rows"),
        (lambda s: s.assign(duration_seconds=-1.0), "duration_seconds is negative on 900 rows"),
    ],
)
def test_unusable_visits_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SessionSegmentModel(3).fit(change(visits()))


def test_the_order_of_rows_changes_nothing():
    sessions = visits()
    one = SessionSegmentModel(3).fit(sessions)
    two = SessionSegmentModel(3).fit(sessions.sample(frac=1, random_state=1))
    assert (one.centres_ == two.centres_).all()
    assert one.predict(sessions).equals(two.predict(sessions))


def test_the_visits_of_a_few_people_are_too_few():
    """Of thirty people a hundred visits are not a hundred looks; nobody's are."""
    n = training.MIN_SESSIONS * 2
    sessions = pd.DataFrame(
        {"session_key": [f"web:{i:04d}" for i in range(n)]}
        | {name: np.arange(n) % 7 + 1.0 for name in SESSION_FEATURES}
    )
    of_few = sessions.assign(customer_key=[f"web:{i % 30}" for i in range(n)])
    said = training.train_session_segments(of_few)
    assert said.status == "too_little_data"
    assert "of 30 visitors" in said.reason
    assert training.visitor_count(sessions) == n
    assert training.visitor_count(of_few.assign(customer_key=None)) == n
    half_known = of_few.assign(customer_key=of_few["customer_key"].where(of_few.index % 2 == 0))
    assert training.visitor_count(half_known) == 30
    assert training.train_session_segments(sessions).status != "too_little_data"
