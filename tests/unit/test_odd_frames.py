"""Odd companies, for every registered model: a result with a plain reason, or one clear error.

Each change is made to whatever frame of the model has the columns that it is about.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from crm_pipeline.defs.modelling.spec import Frames, Scored
from ml.evaluation.gate import decide
from tests.unit.model_company import QUICK_RECIPES, SPECS, example, trained

FIXED = ("profiles", "costs", "bands", "rules", "cut_offs", "horizons", "products", "inventory")
"""Seeds and settings: edited by the company, not measured."""
LABELS = {
    "is_churned": False, "is_won": True, "converted_on": pd.NaT, "conversions": 0,
    "score_share": 1.0, "future_gross_amount": 0.0, "future_purchase_day_count": 0,
}  # fmt: skip
KEYS = (
    "cut_off_on", "customer_key", "product_key", "subscription_key", "lead_key", "opportunity_key",
    "state_number", "session_key", "campaign_key", "person_key", "response_key", "ordered_on",
    "category", "period_grain", "period_start_on", "dimension", "dimension_value", "horizon_days",
)  # fmt: skip
OF_NEWCOMERS = {
    "recency_days": 0, "age_days": 0, "observed_age_days": 0, "repeat_count": 0,
    "last_repeat_age_days": 0, "order_count": 1, "purchase_day_count": 1, "median_gap_days": np.nan,
    "repeat_mean_amount": np.nan, "tenure_months": 0, "charged_amount": 0, "prior_order_count": 0,
}  # fmt: skip
OF_A_GIANT = {
    "order_count": 10_000, "purchase_day_count": 10_000, "repeat_count": 9_999,
    "distinct_product_count": 10_000, "prior_order_count": 10_000, "session_count": 10_000,
    "gross_amount": 1e7, "net_amount": 1e7, "page_count": 10_000,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("ml.churn.training.candidates", lambda *_: QUICK_RECIPES)
    monkeypatch.setattr("ml.clv.training.figures", lambda *_: {})


def measured(frame: pd.DataFrame) -> list[str]:
    """Return columns that hold figures, neither key nor label."""
    known = {*KEYS, *LABELS}
    numbers = [c for c in frame if is_numeric_dtype(frame[c]) and not is_bool_dtype(frame[c])]
    return [str(c) for c in numbers if c not in known]


def _set(frame: pd.DataFrame, values: dict[str, object], rows: slice) -> pd.DataFrame:
    changed = frame.copy()
    for column in set(values) & set(frame.columns):
        cells = changed[column].astype(object)
        cells.iloc[rows] = values[column]
        changed[column] = cells if frame[column].dtype == object else cells.infer_objects()
    return changed


def constant(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**dict.fromkeys(measured(frame), 1.0))


def one_class(frame: pd.DataFrame) -> pd.DataFrame:
    return _set(frame, LABELS, slice(None))


def newcomers(frame: pd.DataFrame) -> pd.DataFrame:
    """Everybody has just come; of frames of events, all happened on the last day."""
    changed = _set(frame, OF_NEWCOMERS, slice(None))
    for begun in ("first_order_on", "last_order_on"):
        if begun in frame:
            changed[begun] = frame["cut_off_on"]
    for day in ("ordered_on", "opened_on", "created_on", "entered_on"):
        if day in frame and len(frame):
            changed[day] = frame[day].max()
    return changed


def giant(frame: pd.DataFrame) -> pd.DataFrame:
    """One customer has 10,000 orders, or as many rows of events as there are."""
    changed = _set(frame, OF_A_GIANT, slice(0, 1))
    if "customer_key" in frame and "ordered_on" in frame and len(frame):
        copies = frame.sample(10_000, replace=True, random_state=0)
        copies = copies.assign(customer_key=frame["customer_key"].iloc[0])
        changed = pd.concat([frame, copies]).drop_duplicates(ignore_index=True)
    return changed


def negative(frame: pd.DataFrame) -> pd.DataFrame:
    """A fifth of the customers brought back more than they bought."""
    amounts = [c for c in frame if str(c).endswith("_amount") and c not in LABELS]
    return _set(frame, dict.fromkeys(amounts, -50.0), slice(None, None, 5))


def unknown(frame: pd.DataFrame) -> pd.DataFrame:
    """No figure is known of every other row."""
    return _set(frame, dict.fromkeys(measured(frame), np.nan), slice(None, None, 2))


def duplicated(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.head(3)], ignore_index=True)


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "constant columns": constant,
    "one class": one_class,
    "all-new customers": newcomers,
    "a customer with 10,000 orders": giant,
    "negative net value": negative,
    "features unknown": unknown,
    "duplicated keys": duplicated,
    "one row": lambda frame: frame.head(1),
    "no row": lambda frame: frame.head(0),
}
QUICK = ("one row", "no row")
CASES = [
    pytest.param(name, change, marks=[] if change in QUICK else pytest.mark.slow)
    for name in SPECS
    for change in CHANGES
]


def changed(frames: Frames, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Frames:
    return {name: f.copy() if name in FIXED else change(f) for name, f in frames.items()}


def outcome_of(call: Callable[[], object]) -> object:
    """Return what a call returns, or the error with which it refuses; any other error is raised."""
    try:
        return call()
    except ValueError as error:
        return error


def is_clear(error: ValueError) -> bool:
    """Whether a message says in words what is wrong, and none of a library's inner workings."""
    inner = ("shape", "broadcast", "NaN", "n_samples", "dtype", "Length", "index", "scalar", "axis")
    return len(str(error).split()) >= 3 and not any(word in str(error) for word in inner)


@pytest.mark.parametrize(("name", "change"), CASES)
def test_training_on_odd_frames_ends_in_a_result_or_one_clear_error(name, change):
    of, spec = example(name), SPECS[name]
    frames = changed(of.training, CHANGES[change])
    result = outcome_of(lambda: spec.train(frames, of.settings, None))
    if isinstance(result, ValueError):
        assert is_clear(result), result
        return
    assert result.status in ("trained", "too_little_data")
    assert len(result.reason.split()) >= 3
    assert decide(result).reason
    assert (result.estimator is None) == (result.status == "too_little_data")
    if change in QUICK:
        assert result.status == "too_little_data"


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("change", CHANGES)
def test_scoring_odd_frames_ends_in_finite_values_or_one_clear_error(name, change):
    of, spec = example(name), SPECS[name]
    frames = changed(of.scoring, CHANGES[change])
    scored = outcome_of(lambda: spec.score(trained(name).estimator, frames, of.settings))
    if isinstance(scored, ValueError):
        assert is_clear(scored), scored
        return
    assert isinstance(scored, Scored)
    for rows in (scored.predictions, *scored.further.values()):
        assert not np.isinf(rows.select_dtypes("number").to_numpy(dtype=float)).any()
        for rate in [c for c in rows if str(c).endswith("_probability")]:
            assert rows[rate].dropna().between(0, 1).all()


@pytest.mark.parametrize("name", SPECS)
def test_a_missing_column_is_named(name):
    of, spec = example(name), SPECS[name]
    frames = dict(of.training)
    subject = "comments" if name == "sentiment" else spec.subject
    column = next(c for c in NEEDED if c in frames[subject])
    frames[subject] = frames[subject].drop(columns=column)
    with pytest.raises(ValueError, match=column):
        spec.train(frames, of.settings, None)


NEEDED = (
    "recency_days", "repeat_count", "is_churned", "gross_amount", "channel", "category",
    "ordered_on", "score_share", "page_count", "is_control", "stage_order",
)  # fmt: skip
"""The first of these that a model's frame has is taken away."""
