"""The card of a model that rules: what it is, what it saw, how it did, what it cannot do.

After Mitchell et al. 2019, Model Cards for Model Reporting. Belongs here: the page. Does not: any
figure of its own; all come from the training's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.evaluation.result import TrainingResult


@dataclass(frozen=True)
class About:
    """What the training's result does not know of itself.

    Attributes:
        model: Name in the registry.
        model_version: Derived from data, settings and code.
        as_of: Last day of the data, ISO.
        description: What it says, and of whom.
        limits: What a reader must not conclude, one sentence an item.
        input_digest: SHA-256 of the training frames.
        settings: What else decided the result.
        opponent: What it had to beat: ``baseline``, or the version that ruled.
    """

    model: str
    model_version: str
    as_of: str
    description: str
    limits: tuple[str, ...]
    input_digest: str
    settings: Mapping[str, object]
    opponent: str


def model_card(about: About, result: TrainingResult, reason: str) -> str:
    """Return the card as Markdown; the same input gives the same text.

    Args:
        about: What the model is.
        result: Of its training.
        reason: The gate's sentence.
    """
    settings = ", ".join(f"{name} = {value}" for name, value in sorted(about.settings.items()))
    parts = [
        f"# {about.model} {about.model_version}",
        about.description,
        "## Data and date",
        f"Everything known at the end of {about.as_of}; digest of the input "
        f"`{about.input_digest[:12]}`. Settings: {settings or 'none'}.",
        "## Choice",
        f"{result.reason.rstrip('.')}.",
        "## Why it rules",
        f"{reason.rstrip('.')}. Opponent: {about.opponent}.",
        *_figures(result.evaluation),
        "## Parameters",
        _parameters(result.parameters),
        "## Limits",
        "\n".join(f"- {limit}" for limit in about.limits),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(evaluation: pd.DataFrame) -> list[str]:
    found = []
    for period, rows in evaluation.groupby("period", sort=True):
        lines = ["| figure | this model | baseline | champion before |", "|---|---:|---:|---:|"]
        lines += [
            f"| {row.metric} | {_number(row.value)} | {_number(row.baseline_value)} "
            f"| {_number(row.champion_value)} |"
            for row in rows.sort_values("metric", kind="stable").itertuples()
        ]
        found += [f"## Figures: {period}", "\n".join(lines)]
    return found


def _parameters(parameters: Mapping[str, float | str | int]) -> str:
    lines = [
        f"- {name}: {_number(value) if isinstance(value, float) else value}"
        for name, value in sorted(parameters.items())
    ]
    return "\n".join(lines) or "none"


def _number(value: float) -> str:
    return "" if not np.isfinite(value) else f"{value:.6g}"
