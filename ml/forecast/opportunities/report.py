"""What is reported of a trained win model: its figures beside naive rows, and what the gate reads.

Belongs here: figures of the examination. Does not: fitting and choosing (``training.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.evaluation import metrics
from ml.evaluation.leakage import suspicious_columns
from ml.evaluation.plots import calibration_figure, gain_figure
from ml.evaluation.result import TRAINED, GateInputs, TrainingResult, evaluation_frame
from ml.forecast.opportunities.durations import FloatArray, durations_of
from ml.forecast.opportunities.kinds import LEAD, Kind
from ml.forecast.opportunities.model import WinModel

if TYPE_CHECKING:
    from ml.forecast.opportunities.training import Data

BEST_RATE = "the best single rate"
"""In hindsight: to have a rate that rose or fell by luck is no merit (``crm_sales``, AUC .496)."""
PER_BIN = 100
"""Cases in a bin of the calibration error: with 30, chance alone is .07, above the gate's
.05; with 100 it is .04 at worst. Ten bins from 1,000 on, as everywhere."""


METRICS: dict[str, Callable[[FloatArray, FloatArray, FloatArray], float]] = {
    "log_loss": metrics.log_loss,
    "brier": metrics.brier,
    "roc_auc": metrics.roc_auc,
}


def _figures(evaluation: pd.DataFrame, probability: FloatArray) -> dict[str, float]:
    y, weight = (evaluation[name].to_numpy(dtype=float) for name in ("won", "weight"))
    found = {name: measure(y, probability, weight) for name, measure in METRICS.items()}
    bins = int(np.clip(cases(evaluation) // PER_BIN, 1, 10))
    found["calibration_error"] = metrics.calibration_error(y, probability, bins, weight)
    return found


def cases(evaluation: pd.DataFrame) -> float:
    """How many independent cases of equal weight would tell as much (Kish 1965)."""
    of_key = evaluation.groupby("key")["weight"].sum()
    return float(of_key.sum() ** 2 / (of_key**2).sum())


def _stage_rates(training: pd.DataFrame, evaluation: pd.DataFrame, base: float) -> FloatArray:
    """What the pipeline mart would say: the share won of those that were in the stage."""
    sums = training.assign(weighted=training["won"] * training["weight"])
    of = sums.groupby("stage_order")[["weighted", "weight"]].sum()
    rates = (of["weighted"] + 5 * base) / (of["weight"] + 5)
    return evaluation["stage_order"].map(rates).fillna(base).to_numpy(dtype=float)


def _age_rates(data: Data, evaluation: pd.DataFrame) -> FloatArray:
    """What waiting alone tells: of those whose horizon was over, that lasted as long, who did."""
    known = data.ones[data.ones["known_on"] <= data.evaluated_from]
    durations = durations_of(known, data.evaluated_from, only_won=True)
    still = durations.surviving(evaluation["age_days"].to_numpy(dtype=float))
    never = durations.surviving(np.array([float(data.horizon_days)]))[0]
    least = 1 / (len(known) + 2)
    return np.clip((still - never) / np.maximum(still, least), least, 1 - least)


def report(
    data: Data,
    training: pd.DataFrame,
    evaluation: pd.DataFrame,
    past: WinModel,
    estimator: WinModel,
    champion: WinModel | None,
    table: pd.DataFrame,
) -> TrainingResult:
    """Return the training's result.

    Args:
        data: What was read.
        training: Rows that the model was chosen and fitted on.
        evaluation: Rows that it is examined on.
        past: The model fitted on the training.
        estimator: The model fitted on everything.
        champion: The ruling model as it was before it saw the examination, or None.
        table: How the recipes did.
    """
    kind = data.kind
    y, weight = (evaluation[name].to_numpy(dtype=float) for name in ("won", "weight"))
    base = float(np.average(training["won"], weights=training["weight"]))
    observed = float(np.average(y, weights=weight))
    probability = {
        "model": past.predict_proba(evaluation)[:, 1],
        "base rate": np.full(len(y), base),
        BEST_RATE: np.full(len(y), observed),
        "rival": _age_rates(data, evaluation)
        if data.horizon_days
        else _stage_rates(training, evaluation, base),
    }
    if champion is not None:
        probability["champion"] = champion.predict_proba(evaluation)[:, 1]
    figures = {name: _figures(evaluation, p) for name, p in probability.items()}
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
    rival_loss = figures["rival"]["log_loss"]
    beside = "log_loss_beside_age" if data.horizon_days else "log_loss_beside_stage"
    rows.append((period, beside, figures["model"]["log_loss"], rival_loss, None))
    rows.append((period, "observed_rate", observed, base, None))
    rows += _closing_rows(data, evaluation, period)
    losses = {
        name: _by_key(evaluation, weight * metrics.log_losses(y, p), kind)
        for name, p in probability.items()
    }
    suspicious = suspicious_columns(training[list(kind.features)], training["won"])
    warning = ""
    if suspicious:
        names = ", ".join(f"{name} (AUC {area:.3f})" for name, area in suspicious.items())
        warning = f"; these facts alone tell the outcome, make sure they do not look ahead: {names}"
    recipe = past.get_params()
    count = evaluation["key"].nunique()
    reason = (
        f"{recipe['family']}, calibration {recipe['calibration']}; log-loss "
        f"{figures['model']['log_loss']:.4f} on {count} {kind.noun} from {period}, base rate "
        f"{figures['base rate']['log_loss']:.4f}, {kind.rival} {rival_loss:.4f}{warning}"
    )
    shown = {"model": probability["model"], kind.rival: probability["rival"]}
    return TrainingResult(
        status=TRAINED,
        reason=reason,
        estimator=estimator,
        parameters={
            **estimator.get_params(),
            "training_rows": len(training),
            f"training_{kind.noun}": training["key"].nunique(),
            f"evaluation_{kind.noun}": count,
        },
        evaluation=evaluation_frame(rows),
        figures={
            "calibration": calibration_figure(y, shown, weight),
            "gain": gain_figure(y, shown),
        },
        tables={
            "candidates": table,
            "calibration": metrics.calibration_table(y, shown["model"], weight=weight),
        },
        gate=GateInputs(
            model="win_probability",
            candidate=losses["model"],
            baselines={
                "the base rate": losses["base rate"],
                kind.rival: losses["rival"],
                BEST_RATE: losses[BEST_RATE],
            },
            champion=losses.get("champion"),
            figures={"calibration_error": figures["model"]["calibration_error"]},
        ),
    )


def _by_key(evaluation: pd.DataFrame, losses: FloatArray, kind: Kind) -> FloatArray:
    """One loss a key, as its snapshots are no independent cases.

    The mean of an opportunity's: those that wait for long would drown the others. The sum of a
    lead's: what converts soon is seen once or twice, what never does until its horizon is over, so
    that with means conversions would look more frequent than among those that wait.
    """
    of_key = pd.Series(losses).groupby(evaluation["key"].to_numpy())
    return (of_key.sum() if kind is LEAD else of_key.mean()).to_numpy(dtype=float)


def _closing_rows(
    data: Data, evaluation: pd.DataFrame, period: str
) -> list[tuple[str, str, float, float | None, float | None]]:
    """How well the expected day of decision was met, beside the mean duration."""
    until = float(data.horizon_days) if data.horizon_days else None
    if until:
        evaluation = evaluation[evaluation["won"] == 1]
    durations = durations_of(data.ones, data.evaluated_from, only_won=until is not None)
    age = evaluation["age_days"].to_numpy(dtype=float)
    left = (evaluation["closed_on"] - evaluation["cut_off_on"]).dt.days.to_numpy(dtype=float)
    expected, early, late = (durations.remaining(age, share, until) for share in (0.5, 0.1, 0.9))
    known = np.isfinite(expected)
    if not known.any():
        return []
    flat = durations.remaining(np.zeros(1), 0.5, until)[0]
    weight = evaluation["weight"].to_numpy(dtype=float)[known]
    error = np.average(np.abs(expected - left)[known], weights=weight)
    naive = np.average(np.abs(np.maximum(flat - age, 1.0) - left)[known], weights=weight)
    inside = (left >= early) & (left <= np.where(np.isfinite(late), late, np.inf))
    covered = float(np.average(inside[known], weights=weight))
    return [
        (period, "closing_error_days", float(error), float(naive), None),
        (period, "closing_coverage_80", covered, 0.8, None),
    ]
