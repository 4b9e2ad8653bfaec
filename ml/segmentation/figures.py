"""Pictures of a segmentation: elbow, stability, silhouette, scatter and sizes.

Belongs here: drawing. Does not: any number that is not already in a frame it is given.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml.segmentation.selection import MIN_AGREEMENT

MAX_POINTS = 5_000


def draw_all(
    evidence: pd.DataFrame, chosen: int, profile: pd.DataFrame, sample: pd.DataFrame
) -> dict[str, Figure]:
    """Return the figures by name.

    Args:
        evidence: From ``ml.segmentation.selection.search``.
        chosen: The number of segments taken.
        profile: One row a segment: ``segment_id, segment_name, customer_count``.
        sample: One row a customer: ``recency_days, net_amount, segment_id``; at most
            ``MAX_POINTS`` rows are drawn.
    """
    return {
        "elbow": _by_count(evidence, "inertia", "within-cluster sum of squares", chosen),
        "silhouette": _by_count(evidence, "silhouette", "mean silhouette", chosen),
        "stability": _stability(evidence, chosen),
        "scatter": _scatter(profile, sample),
        "sizes": _sizes(profile),
    }


def _new(width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _by_count(evidence: pd.DataFrame, column: str, label: str, chosen: int) -> Figure:
    figure, axes = _new()
    axes.plot(evidence["segment_count"], evidence[column], marker="o")
    axes.axvline(chosen, color="grey", linestyle="--", label=f"chosen: {chosen}")
    axes.set(xlabel="segments", ylabel=label)
    axes.set_xticks(evidence["segment_count"])
    axes.legend()
    return figure


def _stability(evidence: pd.DataFrame, chosen: int) -> Figure:
    figure = _by_count(evidence, "adjusted_rand_index", "bootstrap adjusted Rand index", chosen)
    axes = figure.axes[0]
    axes.plot(
        evidence["segment_count"],
        evidence["adjusted_rand_index_lower"],
        marker="_",
        linestyle=":",
        label="lower 95 % bound",
    )
    axes.axhline(MIN_AGREEMENT, color="red", linewidth=0.8, label=f"required: {MIN_AGREEMENT}")
    axes.legend()
    return figure


def _scatter(profile: pd.DataFrame, sample: pd.DataFrame) -> Figure:
    figure, axes = _new(7.2, 5.0)
    shown = sample.iloc[:: max(1, -(-len(sample) // MAX_POINTS))]
    for number, name in zip(profile["segment_id"], profile["segment_name"], strict=True):
        rows = shown[shown["segment_id"] == number]
        axes.scatter(
            rows["recency_days"].to_numpy(dtype=float) + 1,
            np.clip(rows["net_amount"].to_numpy(dtype=float), 0, None) + 1,
            s=6,
            alpha=0.5,
            label=f"{number} {name}",
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="days since the last order + 1",
        ylabel="net amount (negative as 0) + 1",
    )
    axes.legend(markerscale=2, fontsize="small")
    return figure


def _sizes(profile: pd.DataFrame) -> Figure:
    figure, axes = _new()
    labels = [
        f"{number} {name}"
        for number, name in zip(profile["segment_id"], profile["segment_name"], strict=True)
    ]
    axes.barh(labels, profile["customer_count"])
    axes.invert_yaxis()
    axes.set(xlabel="customers")
    return figure
