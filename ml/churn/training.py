"""``train_churn``: choose on the past, examine on a later cut-off, refit on everything known.

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

from ml.churn.baselines import BaseRate, RecencyOnly
from ml.churn.calibration import choose_calibration, customer_halves
from ml.churn.data import LabelledData, labelled_data
from ml.churn.model import ChurnModel
from ml.churn.tuning import (
    Candidate,
    best_of_each_family,
    candidates,
    past_performance,
    sample_customers,
)
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

FloatArray = NDArray[np.float64]

MAX_TUNING_ROWS = 40_000
"""Recipes are compared on about this many rows, whole customers chosen by a hash."""
MAX_FIT_ROWS = 400_000
"""And fitted on at most about this many: more change the figures in the fifth digit."""

METRICS: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "log_loss": metrics.log_loss,
    "brier": metrics.brier,
    "roc_auc": metrics.roc_auc,
    "pr_auc": metrics.pr_auc,
    "calibration_error": metrics.calibration_error,
    "lift_top_tenth": metrics.lift,
}


@dataclass(frozen=True)
class _Choice:
    """What the past decided."""

    winner: Candidate
    finalists: list[Candidate]
    calibration: dict[str, str]
    table: pd.DataFrame
    tuning_rows: int
    suspicious: dict[str, float]


def train_churn(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    cut_offs: pd.DataFrame,
    *,
    horizon_days: int,
    champion: BaseEstimator | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train, tune, calibrate and examine the churn model.

    Recipes are compared on ``churn_training`` cut-offs only, all of whose labels were known at
    the ``churn_evaluation`` cut-off. There the winner (fitted on the training cut-offs) is
    measured beside the naive baselines and the champion. The estimator that is handed back is
    the same recipe refitted on every labelled cut-off.

    Args:
        features: Rows of ``customer_features``; others' cut-offs are ignored.
        labels: Rows of ``customer_labels``; other horizons are ignored.
        cut_offs: ``cut_off_on``, ``purpose``.
        horizon_days: Length of the label window.
        champion: The ruling ``ChurnModel``. Where it was fitted on the evaluation period, its
            ``evaluated_`` copy, which was not, stands in for it.
        seed: Seed of every random choice.

    Returns:
        Status ``too_little_data`` with the reason, or ``trained``. Tables: ``candidates`` (past
        performance of each recipe), ``comparison`` (both finalists, baselines and champion on
        the evaluation period), ``calibration`` (bins).

    Raises:
        ValueError: Columns are missing, keys are duplicated, or a feature looks ahead.
    """
    with threadpool_limits(1):
        data = labelled_data(features, labels, cut_offs, horizon_days)
        if isinstance(data, str):
            return too_little_data("churn", data, {"horizon_days": horizon_days, "seed": seed})
        choice = _choose(data, horizon_days)
        finalists = {
            recipe.family: _fit(recipe, choice, data.training, horizon_days, seed)
            for recipe in choice.finalists
        }
        past_model = finalists[choice.winner.family]
        estimator = _fit(choice.winner, choice, data.everything, horizon_days, seed)
        estimator.evaluated_ = past_model
        ruling = _comparable(champion, data.evaluation_on, horizon_days)
        return _report(data, choice, finalists, estimator, ruling)


def _choose(data: LabelledData, horizon_days: int) -> _Choice:
    frame, y = data.training
    used = sample_customers(frame, MAX_TUNING_ROWS)
    frame, y = frame[used], y[used]
    recipes = candidates(data.book_days)
    table = past_performance(frame, y, recipes, horizon_days=horizon_days)
    finalists, winner = best_of_each_family(table, recipes)
    half = customer_halves(frame["customer_key"])
    calibration = {}
    for recipe in finalists:
        held_out = recipe.model(horizon_days=horizon_days).held_out_scores(frame, y)
        calibration[recipe.family], _ = choose_calibration(held_out, y, half)
    chosen = [recipe.name for recipe in finalists]
    table["is_finalist"] = table["candidate"].isin(chosen)
    table["is_winner"] = table["candidate"] == winner.name
    suspicious = suspicious_columns(frame, y)
    return _Choice(winner, finalists, calibration, table, len(frame), suspicious)


def _fit(
    recipe: Candidate,
    choice: _Choice,
    rows: tuple[pd.DataFrame, FloatArray],
    horizon_days: int,
    seed: int,
) -> ChurnModel:
    frame, y = rows
    used = sample_customers(frame, MAX_FIT_ROWS)
    model = recipe.model(
        horizon_days=horizon_days, calibration=choice.calibration[recipe.family], seed=seed
    )
    return model.fit_checked(frame[used], y[used])


def _comparable(
    champion: BaseEstimator | None, evaluation_on: pd.Timestamp, horizon_days: int
) -> BaseEstimator | None:
    """The champion as it was before it saw the evaluation period; None without a rival.

    A champion for another horizon answers another question and is no rival.
    """
    if champion is None or getattr(champion, "horizon_days", horizon_days) != horizon_days:
        return None
    known = getattr(champion, "known_until_", None)
    if known is None or pd.Timestamp(known) <= evaluation_on:
        return champion
    return champion.evaluated_ if champion.evaluated_ is not None else champion


def _report(
    data: LabelledData,
    choice: _Choice,
    finalists: dict[str, ChurnModel],
    estimator: ChurnModel,
    champion: BaseEstimator | None,
) -> TrainingResult:
    frame, y = data.evaluation
    base_rate = BaseRate().fit(*data.training)
    recency = RecencyOnly().fit(*data.training)
    rivals: dict[str, BaseEstimator] = {**finalists, "base rate": base_rate, "recency": recency}
    if champion is not None:
        rivals["champion"] = champion
    probability = {name: model.predict_proba(frame)[:, 1] for name, model in rivals.items()}
    figures = {
        name: {metric: measure(y, p) for metric, measure in METRICS.items()}
        for name, p in probability.items()
    }
    winner = choice.winner.family
    ours = figures[winner]
    period = f"{data.evaluation_on.date()} + {estimator.horizon_days} days"
    rows: list[tuple[str, str, float, float | None, float | None]] = [
        (
            period,
            metric,
            value,
            figures["base rate"][metric],
            figures["champion"][metric] if champion is not None else None,
        )
        for metric, value in ours.items()
    ]
    recency_loss = figures["recency"]["log_loss"]
    rows.append((period, "log_loss_beside_recency", ours["log_loss"], recency_loss, None))
    means = {name: float(p.mean()) for name, p in probability.items()}
    rows.append(
        (period, "mean_probability", means[winner], means["base rate"], means.get("champion"))
    )
    rows.append((period, "observed_rate", float(y.mean()), None, None))
    past = choice.table[choice.table["is_winner"]].iloc[0]
    for metric in ("log_loss", "calibration_error", "roc_auc"):
        rows.append(("past cut-offs", metric, float(past[metric]), None, None))
    comparison = pd.DataFrame(figures).T.rename_axis("model").reset_index()
    shown = {"model": probability[winner], "recency only": probability["recency"]}
    losses = {name: metrics.log_losses(y, p) for name, p in probability.items()}
    return TrainingResult(
        status=TRAINED,
        reason=_sentence(choice, data, ours["log_loss"], figures["base rate"]["log_loss"]),
        estimator=estimator,
        parameters=_parameters(choice, data, estimator),
        evaluation=evaluation_frame(rows),
        figures={"calibration": calibration_figure(y, shown), "gain": gain_figure(y, shown)},
        tables={
            "candidates": choice.table,
            "comparison": comparison,
            "calibration": metrics.calibration_table(y, probability[winner]),
        },
        gate=GateInputs(
            model="churn",
            candidate=losses[winner],
            baselines={"the base rate": losses["base rate"]},
            champion=losses.get("champion"),
            figures={"calibration_error": ours["calibration_error"]},
        ),
    )


def _sentence(choice: _Choice, data: LabelledData, loss: float, base_loss: float) -> str:
    calibration = choice.calibration[choice.winner.family]
    warning = ""
    if choice.suspicious:
        names = ", ".join(f"{name} (AUC {area:.3f})" for name, area in choice.suspicious.items())
        warning = f"; these facts alone tell the outcome, make sure they do not look ahead: {names}"
    return (
        f"{choice.winner.name}, calibration {calibration}, chosen on {data.training_cut_offs} past "
        f"cut-offs ({choice.tuning_rows} rows); log-loss {loss:.4f} on {len(data.evaluation[1])} "
        f"customers at {data.evaluation_on.date()}, base rate {base_loss:.4f}" + warning
    )


def _parameters(
    choice: _Choice, data: LabelledData, estimator: ChurnModel
) -> dict[str, float | str | int]:
    return {
        **estimator.get_params(),
        "training_cut_offs": data.training_cut_offs,
        "training_rows": len(data.training[1]),
        "tuning_rows": choice.tuning_rows,
        "evaluation_cut_off_on": str(data.evaluation_on.date()),
        "evaluation_rows": len(data.evaluation[1]),
        "refit_rows": len(data.everything[1]),
        "refit_sampled_rows": int(sample_customers(data.everything[0], MAX_FIT_ROWS).sum()),
        "book_days": data.book_days,
    }
