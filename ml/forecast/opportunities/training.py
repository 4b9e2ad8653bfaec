"""``train_win_probability``, ``train_lead_conversion``: choose on the past, examine later, refit.

Belongs here: the order of the steps. Does not: what is reported (``report.py``), or thresholds for
promotion, which are the gate's (``ml.evaluation.gate``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.churn.calibration import choose_calibration
from ml.evaluation import metrics
from ml.evaluation.result import TrainingResult, too_little_data
from ml.evaluation.sampling import key_hash
from ml.forecast.opportunities.kinds import LEAD, OPPORTUNITY, Kind
from ml.forecast.opportunities.leads import as_states
from ml.forecast.opportunities.model import BOOSTING, LOGISTIC, WinModel
from ml.forecast.opportunities.report import cases, report
from ml.forecast.opportunities.snapshots import checked, labelled, outcomes

FloatArray = NDArray[np.float64]

MIN_TRAINING, MIN_EVALUATION, MIN_EITHER = 150, 100, 20
"""Opportunities, and those of either outcome, in each part."""
MIN_CALIBRATION = 250
"""Cases from which on a map is learned: from fewer, one that is not needed does more harm (seen on
made-up companies of 1,400 opportunities, calibrated as they are: an error of .2)."""
WAITING_SHARE = 0.75
"""So many are decided within the days that the evaluation leaves them."""
CANDIDATES: tuple[dict[str, Any], ...] = (
    {"family": LOGISTIC, "penalty": 0.003},
    {"family": LOGISTIC, "penalty": 0.03},
    {"family": LOGISTIC, "penalty": 0.3},
    {"family": BOOSTING},
)


@dataclass(frozen=True)
class Data:
    """What a training reads, and its examination's days.

    Attributes:
        kind: Of the rows.
        horizon_days: Of leads: days in which one must convert.
        states: As known on ``as_of``.
        ones: One row each, see ``snapshots.outcomes``.
        as_of: Last day that counts.
        evaluated_from: Snapshots after this day are examined on.
        evaluated_to: Until this one, after which too many would still be open.
        first_opened: Day of the first one.
    """

    kind: Kind
    horizon_days: int
    states: pd.DataFrame
    ones: pd.DataFrame
    as_of: pd.Timestamp
    evaluated_from: pd.Timestamp
    evaluated_to: pd.Timestamp
    first_opened: pd.Timestamp


@dataclass(frozen=True)
class HeldOut:
    """What the calibration is learned from: scores of rows that their model did not see.

    Attributes:
        method: Of the calibration.
        score: Log-odds.
        won: 0 or 1.
        weight: How many each row stands for.
    """

    method: str
    score: FloatArray
    won: FloatArray
    weight: FloatArray


def train_win_probability(
    states: pd.DataFrame,
    *,
    as_of: object,
    champion: BaseEstimator | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train, calibrate and examine the win probability.

    Snapshots of every fortnight are the rows, as what is scored is what is open on a day. Those
    before the evaluation's first day, of opportunities decided by that day, choose and fit the
    model; later ones examine it. What is decided quickly is known sooner, and won more often: each
    row counts for those that are still open, too (``snapshots.labelled``). The tests compare an
    opportunity's mean losses.

    Args:
        states: Rows of ``features.opportunity_states``.
        as_of: Last day that counts; what happened later is not looked at.
        champion: The ruling ``WinModel``; where it knows the evaluation, its ``evaluated_`` copy
            stands in for it.
        seed: Of the boosting.

    Returns:
        Status ``too_little_data`` with the reason, or ``trained``.

    Raises:
        ValueError: Columns are missing.
    """
    return _train(states, OPPORTUNITY, 0, as_of, champion, seed)


def train_lead_conversion(
    leads: pd.DataFrame,
    *,
    as_of: object,
    horizon_days: int,
    champion: BaseEstimator | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train, calibrate and examine the probability that a lead converts in time.

    As ``train_win_probability``, by snapshots of every week, of leads whose horizon is over.

    Args:
        leads: Rows of ``features.lead_states``.
        as_of: Last day that counts.
        horizon_days: Days after it came in which a lead must convert.
        champion: The ruling ``WinModel``.
        seed: Of the boosting.

    Returns:
        As ``train_win_probability``.

    Raises:
        ValueError: Columns are missing.
    """
    states = as_states(leads, horizon_days)
    return _train(states, LEAD, horizon_days, as_of, champion, seed)


def _train(
    states: pd.DataFrame,
    kind: Kind,
    horizon_days: int,
    as_of: object,
    champion: BaseEstimator | None,
    seed: int,
) -> TrainingResult:
    with threadpool_limits(1):
        day = pd.Timestamp(as_of)  # type: ignore[arg-type]
        data = _data(states, kind, horizon_days, day)
        if isinstance(data, str):
            return _abstain(data, seed)
        training = _rows(data, data.first_opened, data.evaluated_from, data.evaluated_from)
        evaluation = _rows(data, data.evaluated_from, data.evaluated_to, day)
        # who was in the training is known already
        evaluation = evaluation[~evaluation["key"].isin(_keys(training))]
        if short := _too_few(training, evaluation, kind):
            return _abstain(short, seed)
        recipe, table, held_out = _choose(data, training, seed)
        past = _fit(recipe, held_out, data, training, data.evaluated_from, seed)
        everything = _rows(data, data.first_opened, day, day)
        estimator = _fit(recipe, held_out, data, everything, day, seed)
        estimator.evaluated_ = past
        ruling = _comparable(champion, data.evaluated_from)
        return report(data, training, evaluation, past, estimator, ruling, table)


def _abstain(reason: str, seed: int) -> TrainingResult:
    return too_little_data("win_probability", reason, {"seed": seed})


def _keys(rows: pd.DataFrame) -> set[str]:
    return set(rows["key"]) if len(rows) else set()


def _data(states: pd.DataFrame, kind: Kind, horizon_days: int, day: pd.Timestamp) -> Data | str:
    frame = checked(states, kind)
    frame = frame[frame["opened_on"] <= day]
    # what was decided later is open
    later = frame["closed_on"] > day
    frame = frame.assign(
        closed_on=frame["closed_on"].mask(later), is_won=frame["is_won"].mask(later, None)
    ).reset_index(drop=True)
    ones = outcomes(frame, kind)
    decided = ones[ones["is_decided"]]
    least = MIN_TRAINING + MIN_EVALUATION
    if len(decided) < least:
        return f"{len(decided)} decided {kind.noun} are too few: at least {least} are needed"
    took = (decided["closed_on"] - decided["opened_on"]).dt.days
    first = ones["opened_on"].min()
    waiting = int(np.ceil(took.quantile(WAITING_SHARE)))
    history = int((day - first).days)
    span = int(np.clip(history / 4, 56, 180))
    to = day - pd.Timedelta(days=waiting)
    evaluated_from = to - pd.Timedelta(days=span)
    return Data(kind, horizon_days, frame, ones, day, evaluated_from, to, first)


def _rows(
    data: Data, after: pd.Timestamp, until: pd.Timestamp, known_on: pd.Timestamp
) -> pd.DataFrame:
    """Snapshots of each step back from ``until``, outcomes known by ``known_on``."""
    days = [until - _step(data) * k for k in range(data.kind.max_steps)]
    days = [day for day in reversed(days) if day > after]
    return labelled(data.states, data.ones, days, known_on, data.kind)


def _step(data: Data) -> pd.Timedelta:
    return pd.Timedelta(days=data.kind.step_days)


def _too_few(training: pd.DataFrame, evaluation: pd.DataFrame, kind: Kind) -> str:
    for name, rows, least in (
        ("to learn from", training, MIN_TRAINING),
        ("to be examined on", evaluation, MIN_EVALUATION),
    ):
        of = rows.groupby("key")["won"].first()
        fewest = int(min(of.sum(), len(of) - of.sum())) if len(of) else 0
        if len(of) < least or fewest < MIN_EITHER:
            return (
                f"{len(of)} decided {kind.noun} {name}, {fewest} of the rarer outcome, are too "
                f"few: {least} and {MIN_EITHER} are needed"
            )
    return ""


def _choose(
    data: Data, training: pd.DataFrame, seed: int
) -> tuple[dict[str, Any], pd.DataFrame, HeldOut]:
    """Choose recipe and calibration on the later third of the training."""
    days = np.sort(training["cut_off_on"].unique())
    split = pd.Timestamp(days[int(len(days) * 2 / 3)])
    earlier = split - _step(data)
    before = _rows(data, data.first_opened, earlier, split)
    after = _rows(data, earlier, data.evaluated_from, data.evaluated_from)
    after = after[~after["key"].isin(_keys(before))]
    usable = before["won"].nunique() == 2 and after["won"].nunique() == 2
    losses, scores = [], []
    for recipe in CANDIDATES if usable else CANDIDATES[:1]:
        if not usable:
            losses.append(float("nan"))
            continue
        model = WinModel(**recipe, seed=seed, kind=data.kind.name).fit(
            before, before["won"], before["weight"]
        )
        score = model.decision_function(after)
        scores.append(score)
        losses.append(metrics.log_loss(after["won"], expit(score), after["weight"]))
    table = pd.DataFrame([{"penalty": np.nan, **recipe} for recipe in CANDIDATES[: len(losses)]])
    table["log_loss"] = losses
    best = int(np.argmin(np.round(losses, 6))) if usable else 0
    table["is_winner"] = np.arange(len(table)) == best
    if not usable:
        return CANDIDATES[best], table, HeldOut("none", np.empty(0), np.empty(0), np.empty(0))
    won, weight = (after[name].to_numpy(dtype=float) for name in ("won", "weight"))
    half = key_hash(after["key"]) % 2 == 1
    method = "none"
    if cases(after) >= MIN_CALIBRATION and all(len(set(won[part])) == 2 for part in (half, ~half)):
        method = choose_calibration(scores[best], won, half, weight)[0]
    return CANDIDATES[best], table, HeldOut(method, scores[best], won, weight)


def _fit(
    recipe: dict[str, Any],
    held_out: HeldOut,
    data: Data,
    rows: pd.DataFrame,
    known_on: pd.Timestamp,
    seed: int,
) -> WinModel:
    model = WinModel(**recipe, calibration=held_out.method, seed=seed, kind=data.kind.name)
    model.fit(rows, rows["won"].to_numpy(dtype=float), rows["weight"].to_numpy(dtype=float))
    if held_out.method != "none":
        model.calibrate(held_out.score, held_out.won, held_out.weight)
    model.known_until_ = str(known_on.date())
    return model


def _comparable(champion: BaseEstimator | None, day: pd.Timestamp) -> WinModel | None:
    if not isinstance(champion, WinModel):
        return None
    if pd.Timestamp(champion.known_until_) <= day:
        return champion
    earlier = champion.evaluated_
    is_rival = earlier is not None and pd.Timestamp(earlier.known_until_) <= day
    return earlier if is_rival else None
