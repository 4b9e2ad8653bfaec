"""``train_win_probability``: choose on the past, examine on later opportunities, refit.

Belongs here: the order of the steps and what is reported. Does not: thresholds for promotion,
which are the gate's (``ml.evaluation.gate``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.churn.calibration import choose_calibration
from ml.churn.sampling import customer_hash
from ml.evaluation import metrics
from ml.evaluation.leakage import suspicious_columns
from ml.evaluation.plots import calibration_figure, gain_figure
from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)
from ml.forecast.opportunities.durations import Durations
from ml.forecast.opportunities.model import BOOSTING, LOGISTIC, WinModel
from ml.forecast.opportunities.snapshots import FEATURES, checked, labelled, outcomes

FloatArray = NDArray[np.float64]

STEP_DAYS = 14
MAX_STEPS = 40
MIN_TRAINING, MIN_EVALUATION, MIN_EITHER = 150, 100, 20
"""Opportunities, and those of either outcome, in each part."""
WAITING_SHARE = 0.75
"""So many are decided within the days that the evaluation leaves them."""
MAX_WEIGHT = 5.0
CANDIDATES = (
    {"family": LOGISTIC, "penalty": 0.003},
    {"family": LOGISTIC, "penalty": 0.03},
    {"family": LOGISTIC, "penalty": 0.3},
    {"family": BOOSTING},
)
PER_BIN = 100
"""Opportunities in a bin of the calibration error: with 30, chance alone is .07, above the gate's
.05; with 100 it is .04 at worst. Ten bins from 1,000 on, as everywhere."""


def _calibration_error(outcome: FloatArray, probability: FloatArray) -> float:
    return metrics.calibration_error(
        outcome, probability, int(np.clip(len(outcome) // PER_BIN, 1, 10))
    )


METRICS: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "log_loss": metrics.log_loss,
    "brier": metrics.brier,
    "roc_auc": metrics.roc_auc,
    "calibration_error": _calibration_error,
}


@dataclass(frozen=True)
class _Data:
    states: pd.DataFrame
    ones: pd.DataFrame
    as_of: pd.Timestamp
    evaluated_from: pd.Timestamp
    evaluated_to: pd.Timestamp
    first_opened: pd.Timestamp


def train_win_probability(
    states: pd.DataFrame,
    *,
    as_of: object,
    champion: BaseEstimator | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train, calibrate and examine the win probability.

    Snapshots of every fortnight are the rows. Those before the evaluation's first day, of
    opportunities decided by that day, choose and fit the model; quickly decided ones are known
    sooner, so each row counts inversely to its chance of being decided by then. The evaluation's
    rows are one snapshot an opportunity, later.

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
    with threadpool_limits(1):
        day = pd.Timestamp(as_of)  # type: ignore[arg-type]
        data = _data(states, day)
        if isinstance(data, str):
            return _abstain(data, seed)
        training = _rows(data, data.first_opened, data.evaluated_from, data.evaluated_from)
        evaluation = _one_each(_rows(data, data.evaluated_from, data.evaluated_to, day))
        # who was in the training is known already
        evaluation = evaluation[~evaluation["opportunity_key"].isin(_keys(training))]
        if short := _too_few(training, evaluation):
            return _abstain(short, seed)
        recipe, table, calibration = _choose(data, training, seed)
        past = _fit(recipe, calibration, data, training, data.evaluated_from, seed)
        everything = _rows(data, data.first_opened, day, day)
        estimator = _fit(recipe, calibration, data, everything, day, seed)
        estimator.evaluated_ = past
        ruling = _comparable(champion, data.evaluated_from)
        return _report(data, training, evaluation, past, estimator, ruling, table)


def _abstain(reason: str, seed: int) -> TrainingResult:
    return too_little_data("win_probability", reason, {"seed": seed})


def _keys(rows: pd.DataFrame) -> set[str]:
    return set(rows["opportunity_key"]) if len(rows) else set()


def _data(states: pd.DataFrame, day: pd.Timestamp) -> _Data | str:
    frame = checked(states)
    frame = frame[frame["opened_on"] <= day]
    # what was decided later is open
    later = frame["closed_on"] > day
    frame = frame.assign(
        closed_on=frame["closed_on"].mask(later), is_won=frame["is_won"].mask(later, None)
    ).reset_index(drop=True)
    ones = outcomes(frame)
    decided = ones[ones["is_decided"]]
    least = MIN_TRAINING + MIN_EVALUATION
    if len(decided) < least:
        return f"{len(decided)} decided opportunities are too few: at least {least} are needed"
    took = (decided["closed_on"] - decided["opened_on"]).dt.days
    first = ones["opened_on"].min()
    waiting = int(np.ceil(took.quantile(WAITING_SHARE)))
    history = int((day - first).days)
    span = int(np.clip(history / 4, 56, 180))
    to = day - pd.Timedelta(days=waiting)
    return _Data(frame, ones, day, to - pd.Timedelta(days=span), to, first)


def _rows(
    data: _Data, after: pd.Timestamp, until: pd.Timestamp, known_on: pd.Timestamp
) -> pd.DataFrame:
    """Snapshots of each fortnight back from ``until``, outcomes known by ``known_on``."""
    days = [until - pd.Timedelta(days=STEP_DAYS * k) for k in range(MAX_STEPS)]
    days = [day for day in reversed(days) if day > after]
    rows = labelled(data.states, data.ones, days, known_on)
    if len(rows) == 0:
        return pd.DataFrame({"opportunity_key": [], "won": []})
    return rows.assign(weight=_weights(data, rows, known_on))


def _weights(data: _Data, rows: pd.DataFrame, known_on: pd.Timestamp) -> FloatArray:
    """Inverse chance of being decided by ``known_on``, shared among an opportunity's snapshots."""
    durations = durations_of(data.ones, known_on)
    age = rows["age_days"].to_numpy(dtype=float)
    at_end = (known_on - rows["opened_on"]).dt.days.to_numpy(dtype=float)
    still = durations.surviving(age)
    decided = 1 - durations.surviving(at_end) / np.where(still > 0, still, 1.0)
    weight = np.minimum(1 / np.maximum(decided, 1 / MAX_WEIGHT), MAX_WEIGHT)
    return weight / rows.groupby("opportunity_key")["age_days"].transform("size").to_numpy()


def durations_of(ones: pd.DataFrame, day: pd.Timestamp) -> Durations:
    """Return how long opportunities took, as known on ``day``."""
    known = ones[ones["opened_on"] <= day]
    decided = (known["closed_on"] <= day).to_numpy()
    end = known["closed_on"].where(decided, day)
    return Durations().fit((end - known["opened_on"]).dt.days.to_numpy(dtype=float), decided)


def _one_each(rows: pd.DataFrame) -> pd.DataFrame:
    """One snapshot an opportunity, chosen by a hash of its key."""
    if len(rows) == 0:
        return rows
    place = rows.groupby("opportunity_key").cumcount()
    size = rows.groupby("opportunity_key")["age_days"].transform("size")
    chosen = customer_hash(rows["opportunity_key"]) % size.to_numpy(dtype=np.uint64)
    return rows[place.to_numpy() == chosen].reset_index(drop=True)


def _too_few(training: pd.DataFrame, evaluation: pd.DataFrame) -> str:
    for name, rows, least in (
        ("to learn from", training, MIN_TRAINING),
        ("to be examined on", evaluation, MIN_EVALUATION),
    ):
        of = rows.groupby("opportunity_key")["won"].first()
        fewest = int(min(of.sum(), len(of) - of.sum())) if len(of) else 0
        if len(of) < least or fewest < MIN_EITHER:
            return (
                f"{len(of)} decided opportunities {name}, {fewest} of the rarer outcome, are too "
                f"few: {least} and {MIN_EITHER} are needed"
            )
    return ""


def _choose(
    data: _Data, training: pd.DataFrame, seed: int
) -> tuple[dict[str, object], pd.DataFrame, tuple[str, FloatArray, FloatArray]]:
    """Choose recipe and calibration on the later third of the training."""
    days = np.sort(training["cut_off_on"].unique())
    split = pd.Timestamp(days[int(len(days) * 2 / 3)])
    known = training["closed_on"] <= split
    before = training[(training["cut_off_on"] < split) & known]
    after = _one_each(training[(training["cut_off_on"] >= split)])
    after = after[~after["opportunity_key"].isin(_keys(before))]
    usable = before["won"].nunique() == 2 and after["won"].nunique() == 2
    losses, scores = [], []
    for recipe in CANDIDATES if usable else CANDIDATES[:1]:
        if not usable:
            losses.append(float("nan"))
            continue
        model = WinModel(**recipe, seed=seed).fit(before, before["won"], before["weight"])
        score = model.decision_function(after)
        scores.append(score)
        losses.append(metrics.log_loss(after["won"], 1 / (1 + np.exp(-score))))
    table = pd.DataFrame([{"penalty": np.nan, **recipe} for recipe in CANDIDATES[: len(losses)]])
    table["log_loss"] = losses
    best = int(np.argmin(np.round(losses, 6))) if usable else 0
    table["is_winner"] = np.arange(len(table)) == best
    if not usable or len(after) < MIN_EVALUATION:
        return CANDIDATES[best], table, ("none", np.empty(0), np.empty(0))
    won = after["won"].to_numpy(dtype=float)
    half = customer_hash(after["opportunity_key"]) % 2 == 1
    both = all(len(set(won[part])) == 2 for part in (half, ~half))
    method = choose_calibration(scores[best], won, half)[0] if both else "none"
    return CANDIDATES[best], table, (method, scores[best], won)


def _fit(
    recipe: dict[str, object],
    calibration: tuple[str, FloatArray, FloatArray],
    data: _Data,
    rows: pd.DataFrame,
    known_on: pd.Timestamp,
    seed: int,
) -> WinModel:
    method, score, won = calibration
    model = WinModel(**recipe, calibration=method, seed=seed)  # type: ignore[arg-type]
    model.fit(rows, rows["won"].to_numpy(dtype=float), rows["weight"].to_numpy())
    if method != "none":
        model.calibrate(score, won)
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


def _stage_rates(training: pd.DataFrame, evaluation: pd.DataFrame, base: float) -> FloatArray:
    """What the pipeline mart would say: the share won of those that were in the stage."""
    sums = training.assign(weighted=training["won"] * training["weight"])
    of = sums.groupby("stage_order")[["weighted", "weight"]].sum()
    rates = (of["weighted"] + 5 * base) / (of["weight"] + 5)
    return evaluation["stage_order"].map(rates).fillna(base).to_numpy(dtype=float)


def _report(
    data: _Data,
    training: pd.DataFrame,
    evaluation: pd.DataFrame,
    past: WinModel,
    estimator: WinModel,
    champion: WinModel | None,
    table: pd.DataFrame,
) -> TrainingResult:
    y = evaluation["won"].to_numpy(dtype=float)
    base = float(np.average(training["won"], weights=training["weight"]))
    probability = {
        "model": past.predict_proba(evaluation)[:, 1],
        "base rate": np.full(len(y), base),
        "stage": _stage_rates(training, evaluation, base),
    }
    if champion is not None:
        probability["champion"] = champion.predict_proba(evaluation)[:, 1]
    figures = {
        name: {metric: measure(y, p) for metric, measure in METRICS.items()}
        for name, p in probability.items()
    }
    period = f"{data.evaluated_from.date()} to {data.evaluated_to.date()}"
    rows: list[tuple[str, str, float, float | None, float | None]] = [
        (
            period,
            metric,
            value,
            figures["base rate"][metric],
            figures["champion"][metric] if champion is not None else None,
        )
        for metric, value in figures["model"].items()
    ]
    stage_loss = figures["stage"]["log_loss"]
    rows.append((period, "log_loss_beside_stage", figures["model"]["log_loss"], stage_loss, None))
    rows.append((period, "observed_rate", float(y.mean()), base, None))
    rows += _closing_rows(data, evaluation, period)
    losses = {name: metrics.log_losses(y, p) for name, p in probability.items()}
    suspicious = suspicious_columns(training[list(FEATURES)], training["won"])
    warning = ""
    if suspicious:
        names = ", ".join(f"{name} (AUC {area:.3f})" for name, area in suspicious.items())
        warning = f"; these facts alone tell the outcome, make sure they do not look ahead: {names}"
    recipe = past.get_params()
    reason = (
        f"{recipe['family']}, calibration {recipe['calibration']}; log-loss "
        f"{figures['model']['log_loss']:.4f} on {len(y)} opportunities from {period}, base rate "
        f"{figures['base rate']['log_loss']:.4f}, stage {stage_loss:.4f}{warning}"
    )
    shown = {"model": probability["model"], "stage": probability["stage"]}
    return TrainingResult(
        status=TRAINED,
        reason=reason,
        estimator=estimator,
        parameters={
            **estimator.get_params(),
            "training_rows": len(training),
            "training_opportunities": training["opportunity_key"].nunique(),
            "evaluation_opportunities": len(y),
        },
        evaluation=evaluation_frame(rows),
        figures={"calibration": calibration_figure(y, shown), "gain": gain_figure(y, shown)},
        tables={"candidates": table, "calibration": metrics.calibration_table(y, shown["model"])},
        gate=GateInputs(
            model="win_probability",
            candidate=losses["model"],
            baselines={
                "the base rate": losses["base rate"],
                "the stage's win rate": losses["stage"],
            },
            champion=losses.get("champion"),
            figures={"calibration_error": figures["model"]["calibration_error"]},
        ),
    )


def _closing_rows(
    data: _Data, evaluation: pd.DataFrame, period: str
) -> list[tuple[str, str, float, float | None, float | None]]:
    """How well the expected day of decision was met, beside the mean duration."""
    durations = durations_of(data.ones, data.evaluated_from)
    age = evaluation["age_days"].to_numpy(dtype=float)
    left = (evaluation["closed_on"] - evaluation["cut_off_on"]).dt.days.to_numpy(dtype=float)
    expected, early, late = (durations.remaining(age, share) for share in (0.5, 0.1, 0.9))
    known = np.isfinite(expected)
    if not known.any():
        return []
    flat = durations.remaining(np.zeros(1), 0.5)[0]
    error = np.abs(expected - left)[known].mean()
    naive = np.abs(np.maximum(flat - age, 1.0) - left)[known].mean()
    inside = (left >= early) & (left <= np.where(np.isfinite(late), late, np.inf))
    return [
        (period, "closing_error_days", float(error), float(naive), None),
        (period, "closing_coverage_80", float(inside[known].mean()), 0.8, None),
    ]
