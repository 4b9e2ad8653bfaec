"""Tables and pictures of the value model's holdout; no decision is taken here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ml.evaluation.metrics import gain_curve, normalised_gini

if TYPE_CHECKING:
    from ml.clv.training import Holdout

FREQUENCY_TOP = 7
"""Customers with this many repeat purchases or more share a bin."""
DECILES = 10


def comparison_table(holdout: Holdout) -> pd.DataFrame:
    """Metrics of the model, the naive rows, the champion and the contest's candidates.

    Returns:
        One row a prediction, indexed by its name. Of amounts: ``normalised_gini``,
        ``total_bias_rate`` (predicted over actual total, minus 1), ``mean_absolute_error``,
        ``root_mean_squared_error``; the same of purchase days with the prefix ``order_`` (not a
        number for rows that predict amounts only).
    """
    rows = {}
    for name, amounts in holdout.amounts.items():
        rows[name] = _metrics(holdout.actual_amount, amounts, "")
        if name in holdout.orders:
            rows[name] |= _metrics(holdout.actual_orders, holdout.orders[name], "order_")
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("prediction")


def _metrics(actual: np.ndarray, predicted: np.ndarray, prefix: str) -> dict[str, float]:
    error = predicted - actual
    total = float(actual.sum())
    return {
        f"{prefix}normalised_gini": normalised_gini(actual, predicted),
        f"{prefix}total_bias_rate": float(predicted.sum()) / total - 1 if total else np.nan,
        f"{prefix}mean_absolute_error": float(np.abs(error).mean()),
        f"{prefix}root_mean_squared_error": float(np.sqrt(np.mean(error**2))),
    }


def frequency_table(holdout: Holdout) -> pd.DataFrame:
    """Mean purchase days in the holdout, predicted and actual, by repeat count before it."""
    count = np.minimum(holdout.features["repeat_count"].to_numpy(dtype=np.int64), FREQUENCY_TOP)
    return (
        pd.DataFrame(
            {
                "repeat_count": count,
                "predicted_orders": holdout.orders["model"],
                "actual_orders": holdout.actual_orders,
            }
        )
        .groupby("repeat_count", as_index=False)
        .agg(
            customer_count=("actual_orders", "size"),
            predicted_orders=("predicted_orders", "mean"),
            actual_orders=("actual_orders", "mean"),
        )
    )


def decile_table(holdout: Holdout) -> pd.DataFrame:
    """Mean amount in the holdout, predicted and actual, by tenth of the prediction (1 = top)."""
    predicted = holdout.amounts["model"]
    rank = pd.Series(-predicted).rank(method="average").to_numpy() - 0.5
    decile = np.minimum(np.floor(DECILES * rank / predicted.size), DECILES - 1).astype(int) + 1
    return (
        pd.DataFrame(
            {
                "decile": decile,
                "predicted_amount": predicted,
                "actual_amount": holdout.actual_amount,
            }
        )
        .groupby("decile", as_index=False)
        .agg(
            customer_count=("actual_amount", "size"),
            predicted_amount=("predicted_amount", "mean"),
            actual_amount=("actual_amount", "mean"),
        )
    )


def figures(holdout: Holdout, scores: pd.DataFrame) -> dict[str, Figure]:
    """Calibration by frequency, amounts by decile, gain curve, distribution of values."""
    frequency, deciles = frequency_table(holdout), decile_table(holdout)
    labels = [
        f"{count}+" if count == FREQUENCY_TOP else str(count) for count in frequency["repeat_count"]
    ]
    return {
        "holdout_by_frequency": _bars(
            labels,
            frequency["actual_orders"].to_numpy(),
            frequency["predicted_orders"].to_numpy(),
            "repeat purchases before the holdout",
            "mean purchase days in the holdout",
        ),
        "holdout_by_decile": _bars(
            [str(decile) for decile in deciles["decile"]],
            deciles["actual_amount"].to_numpy(),
            deciles["predicted_amount"].to_numpy(),
            "tenth of customers by predicted value (1 = top)",
            "mean amount in the holdout",
        ),
        "gain_curve": _gain(holdout),
        "value_distribution": _distribution(scores["clv_amount"].to_numpy(dtype=float)),
    }


def _bars(
    labels: list[str], actual: np.ndarray, predicted: np.ndarray, x_label: str, y_label: str
) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(labels))
    axes.bar(place - 0.2, actual, 0.4, label="actual")
    axes.bar(place + 0.2, predicted, 0.4, label="predicted")
    axes.set_xticks(place, labels)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend()
    return figure


def _gain(holdout: Holdout) -> Figure:
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for name, predicted in holdout.amounts.items():
        if name in holdout.candidates:
            continue
        share, reached = gain_curve(holdout.actual_amount, predicted)
        axes.plot(share, reached, label=name, linewidth=2 if name == "model" else 1)
    share, reached = gain_curve(holdout.actual_amount, holdout.actual_amount)
    axes.plot(share, reached, label="perfect", color="grey", linestyle=":")
    axes.set_xlabel("share of customers, highest prediction first")
    axes.set_ylabel("share of the holdout's amount")
    axes.legend()
    return figure


def _distribution(values: np.ndarray) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    shown = values[values > 0]
    if shown.size:
        low, high = float(shown.min()), float(shown.max())
        edges = np.geomspace(low, high if high > low else 2 * low, 41)
        axes.hist(shown, bins=[float(edge) for edge in edges])
        axes.set_xscale("log")
    axes.set_xlabel("customer value over the horizon, discounted")
    axes.set_ylabel("customers")
    return figure
