"""What a training of churn reports: figures beside the naive rows and the champion, and why.

Belongs here: measuring and wording. Does not: any choice (``tuning.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ml.churn.baselines import BaseRate, OneFact
from ml.churn.costs import ContactCosts, at_threshold, best_without_a_model
from ml.churn.data import LabelledData
from ml.churn.features import STABLE
from ml.churn.kinds import RHYTHM, kind_of
from ml.churn.model import ChurnModel
from ml.churn.recipes import LOGISTIC, Recipe, family_of
from ml.evaluation import metrics
from ml.evaluation.delong import delong
from ml.evaluation.plots import calibration_figure, gain_figure
from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    by_tenth,
    evaluation_frame,
)

FloatArray = NDArray[np.float64]
Figures = dict[str, dict[str, float]]
Row = tuple[str, str, float, float | None, float | None]

METRICS: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "log_loss": metrics.log_loss,
    "brier": metrics.brier,
    "roc_auc": metrics.roc_auc,
    "pr_auc": metrics.pr_auc,
    "calibration_error": metrics.calibration_error,
    "lift_top_tenth": metrics.lift,
}
BASE_RATE = "base rate"
CHAMPION = "champion"
WINNER = "winner"
PLAIN = "logistic on log features"
"""What every family must not fall significantly below (DeLong's test of the AUC)."""


@dataclass(frozen=True)
class Choice:
    """What the past decided.

    Attributes:
        winner: The recipe.
        calibration: Its map.
        calibration_losses: Log-loss of each map, cross-fitted.
        table: Past performance of every recipe.
        tuning_rows: Rows that they were compared on.
        suspicious: Facts that alone tell the outcome.
    """

    winner: str
    calibration: str
    calibration_losses: dict[str, float]
    table: pd.DataFrame
    tuning_rows: int
    suspicious: dict[str, float]


def report(
    data: LabelledData,
    choice: Choice,
    past_model: ChurnModel,
    estimator: ChurnModel,
    champion: BaseEstimator | None,
    costs: ContactCosts,
) -> TrainingResult:
    """Return the result of a training: the winner examined on rows that nothing has seen."""
    frame, y = data.evaluation
    fact = kind_of(data.kind).lone_fact
    recency = "recency" if data.kind == RHYTHM else fact
    rivals: dict[str, BaseEstimator] = {
        WINNER: past_model,
        BASE_RATE: BaseRate().fit(*data.training),
        PLAIN: _plain(data, estimator.horizon_days),
    }
    if fact in frame:
        rivals[recency] = OneFact(fact).fit(*data.training)
    if champion is not None:
        rivals[CHAMPION] = champion
    probability = {name: model.predict_proba(frame)[:, 1] for name, model in rivals.items()}
    figures = {
        name: {metric: measure(y, p) for metric, measure in METRICS.items()}
        for name, p in probability.items()
    }
    rows = [
        (data.period, name, value, base, ruling)
        for name, value, base, ruling in (
            *_beside(figures),
            *_beside_others(figures, probability, y, recency),
            *_at_threshold(y, probability, costs),
        )
    ]
    past = choice.table[choice.table["is_winner"]].iloc[0]
    past_period = "past cut-offs" if data.kind == RHYTHM else "folds"
    for metric in ("log_loss", "calibration_error", "roc_auc"):
        rows.append((past_period, metric, float(past[metric]), None, None))
    tenths = metrics.calibration_table(y, probability[WINNER])
    rows += by_tenth(tenths["bin"] + 1, tenths["predicted_rate"], tenths["observed_rate"])
    losses = {name: metrics.log_losses(y, p) for name, p in probability.items()}
    shown = {"model": probability[WINNER], BASE_RATE: probability[BASE_RATE]}
    if recency in probability:
        shown = {"model": probability[WINNER], f"{recency} only": probability[recency]}
    return TrainingResult(
        status=TRAINED,
        reason=_sentence(data, choice, figures),
        estimator=estimator,
        parameters=_parameters(data, choice, estimator, costs),
        evaluation=evaluation_frame(rows),
        figures={"calibration": calibration_figure(y, shown), "gain": gain_figure(y, shown)},
        tables={
            "candidates": choice.table,
            "comparison": pd.DataFrame(figures).T.rename_axis("model").reset_index(),
            "calibration": tenths,
        },
        gate=GateInputs(
            model="churn",
            candidate=losses[WINNER],
            baselines={"the base rate": losses[BASE_RATE]},
            champion=losses.get(CHAMPION),
            figures={"calibration_error": figures[WINNER]["calibration_error"]},
        ),
    )


Measured = tuple[str, float, float | None, float | None]


def _plain(data: LabelledData, horizon_days: int) -> ChurnModel:
    recipe = str(Recipe(LOGISTIC, STABLE, strength=1000.0))
    return ChurnModel(recipe, kind=data.kind, horizon_days=horizon_days).fit_checked(*data.training)


def _beside(figures: Figures) -> list[Measured]:
    ruling = figures.get(CHAMPION, {})
    return [
        (metric, value, figures[BASE_RATE][metric], ruling.get(metric))
        for metric, value in figures[WINNER].items()
    ]


def _beside_others(
    figures: Figures, probability: dict[str, FloatArray], y: FloatArray, recency: str
) -> list[Measured]:
    found: list[Measured] = []
    if recency in figures:
        loss = figures[recency]["log_loss"]
        found.append((f"log_loss_beside_{recency}", figures[WINNER]["log_loss"], loss, None))
    test = delong(y, probability[WINNER], probability[PLAIN])
    found += [
        ("roc_auc_beside_logistic", test.first, test.second, None),
        ("roc_auc_below_logistic_p", test.p_below, None, None),
    ]
    means = {name: float(p.mean()) for name, p in probability.items()}
    found.append(("mean_probability", means[WINNER], means[BASE_RATE], means.get(CHAMPION)))
    found.append(("observed_rate", float(y.mean()), None, None))
    return found


def _at_threshold(
    y: FloatArray, probability: dict[str, FloatArray], costs: ContactCosts
) -> list[Measured]:
    ours = at_threshold(y, probability[WINNER], costs)
    base = at_threshold(y, probability[BASE_RATE], costs)
    base["net_amount"] = best_without_a_model(y, costs)
    ruling = at_threshold(y, probability[CHAMPION], costs) if CHAMPION in probability else {}
    return [(name, value, base[name], ruling.get(name)) for name, value in ours.items()]


def _sentence(data: LabelledData, choice: Choice, figures: Figures) -> str:
    warning = ""
    if choice.suspicious:
        names = ", ".join(f"{name} (AUC {area:.3f})" for name, area in choice.suspicious.items())
        warning = f"; these facts alone tell the outcome, make sure they do not look ahead: {names}"
    if data.evaluation_on is None:
        where = f"{len(data.evaluation[1])} contracts set aside"
        chosen = f"chosen in folds ({choice.tuning_rows} rows)"
    else:
        where = f"{len(data.evaluation[1])} customers at {data.evaluation_on.date()}"
        chosen = f"chosen on {data.training_cut_offs} past cut-offs ({choice.tuning_rows} rows)"
    return (
        f"{choice.winner}, calibration {choice.calibration}, {chosen}; log-loss "
        f"{figures[WINNER]['log_loss']:.4f} on {where}, base rate "
        f"{figures[BASE_RATE]['log_loss']:.4f}" + warning
    )


def _parameters(
    data: LabelledData, choice: Choice, estimator: ChurnModel, costs: ContactCosts
) -> dict[str, float | str | int]:
    on = data.evaluation_on
    return {
        **estimator.get_params(),
        "family": family_of(choice.winner),
        "feature_set": choice.winner.split()[1],
        "threshold": costs.threshold,
        "training_cut_offs": data.training_cut_offs,
        "training_rows": len(data.training[1]),
        "tuning_rows": choice.tuning_rows,
        "evaluation_cut_off_on": "none" if on is None else str(on.date()),
        "evaluation_rows": len(data.evaluation[1]),
        "refit_rows": len(data.everything[1]),
        "book_days": data.book_days,
    }
