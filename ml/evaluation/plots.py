"""Figures of classifiers, drawn with matplotlib's object API: no global state, no window."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ml.evaluation.metrics import calibration_error, calibration_table, gain_curve, lift
from ml.evaluation.qini import qini_auc, qini_curve


def _figure() -> Figure:
    figure = Figure(figsize=(6, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def calibration_figure(
    outcome: ArrayLike, probabilities: Mapping[str, ArrayLike], weight: ArrayLike | None = None
) -> Figure:
    """Draw observed against predicted rates in ten bins that weigh alike, one line a model."""
    figure = _figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    for name, probability in probabilities.items():
        table = calibration_table(outcome, probability, weight=weight)
        error = calibration_error(outcome, probability, weight=weight)
        axes.plot(
            table["predicted_rate"].to_numpy(),
            table["observed_rate"].to_numpy(),
            marker="o",
            label=f"{name} (calibration error {error:.3f})",
        )
    axes.set(
        xlabel="predicted rate",
        ylabel="observed rate",
        title="Calibration",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.legend()
    return figure


def gain_figure(outcome: ArrayLike, scores: Mapping[str, ArrayLike]) -> Figure:
    """Draw the share of outcomes reached against the share of customers, highest scores first."""
    figure = _figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    for name, score in scores.items():
        rows, reached = gain_curve(outcome, score)
        axes.plot(rows, reached, label=f"{name} (lift in top tenth {lift(outcome, score):.2f})")
    axes.set(
        xlabel="share of customers",
        ylabel="share of outcomes",
        title="Gain",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.legend()
    return figure


def qini_figure(
    outcome: ArrayLike,
    scores: Mapping[str, ArrayLike],
    treated: ArrayLike,
    weight: ArrayLike | None = None,
) -> Figure:
    """Draw the outcomes gained against the people contacted, highest uplift first."""
    figure = _figure()
    axes = figure.add_subplot()
    for name, score in scores.items():
        people, gained = qini_curve(outcome, score, treated, weight)
        qini = qini_auc(outcome, score, treated, weight)
        axes.plot(people, gained, label=f"{name} (Qini {qini:.3f})")
        axes.plot(people[[0, -1]], gained[[0, -1]], color="grey", linewidth=1, linestyle=":")
    axes.set(xlabel="people contacted", ylabel="outcomes gained", title="Qini")
    axes.legend()
    return figure
