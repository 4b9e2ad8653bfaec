"""What every ``train_*`` function hands back: the fitted model, its figures, its evidence.

Belongs here: the shapes that all models share. Does not: any threshold (``gate.py``) or any
arithmetic (``metrics.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

FloatArray = NDArray[np.float64]

TRAINED = "trained"
TOO_LITTLE_DATA = "too_little_data"

EVALUATION_COLUMNS = ("period", "metric", "value", "baseline_value", "champion_value")

ModelName = Literal[
    "choice",
    "churn",
    "forecast",
    "ranking",
    "segments",
    "sentiment",
    "uplift",
    "value",
    "win_probability",
]


@dataclass(frozen=True)
class GateInputs:
    """The evidence a gate decides on; the rules themselves are in ``ml.evaluation.gate``.

    All arrays run over the same evaluation rows, in the same order (sorted by key).

    Attributes:
        model: Which rule applies.
        candidate: Churn, win probability, sentiment, choice: per-row log-loss of the candidate.
            Value: its predicted amount per row. Forecast: scaled error per week of targets.
            Ranking: per-customer nDCG. Uplift: its predicted uplift. Segments: unused.
        baselines: Name of a naive row -> the same quantity for it. Churn needs at least one;
            value needs its two (rate and mean), ranking and choice popularity.
        champion: The same quantity for the current champion, ``None`` while there is none.
        actual: Value: what each customer really spent in the evaluation window. Uplift: whether
            each person responded.
        treated: Uplift only: 1 for treated, 0 for held back.
        weight: Uplift only: row weights that make campaigns comparable.
        figures: Single numbers a rule reads. Churn: ``calibration_error``. Segments:
            ``adjusted_rand_index``. Value: ``total_bias_rate`` (predicted / actual - 1) and
            ``season_count`` (full years of history before the evaluation cut-off). Forecast:
            ``coverage_80``, ``coverage_95`` and ``total_error_ratio``. Win probability: as churn.
    """

    model: ModelName
    candidate: FloatArray | None = None
    baselines: Mapping[str, FloatArray] = field(default_factory=dict)
    champion: FloatArray | None = None
    actual: FloatArray | None = None
    treated: FloatArray | None = None
    weight: FloatArray | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingResult:
    """One training run, as plain values.

    Attributes:
        status: ``"trained"`` or ``"too_little_data"``.
        reason: A plain sentence: why too little, or what was chosen.
        estimator: Refitted on all labelled data, ready to be registered; ``None`` without one.
        parameters: What was chosen, for the tracking server.
        evaluation: One row a figure; columns ``EVALUATION_COLUMNS``.
        figures: Name -> matplotlib figure (object-oriented API, no global state).
        tables: Name -> frame worth keeping, for example a profile.
        gate: The evidence for ``ml.evaluation.gate.decide``.
    """

    status: str
    reason: str
    estimator: BaseEstimator | None
    parameters: dict[str, float | str | int]
    evaluation: pd.DataFrame
    figures: dict[str, Figure]
    tables: dict[str, pd.DataFrame]
    gate: GateInputs


def evaluation_frame(
    rows: Iterable[tuple[str, str, float, float | None, float | None]] = (),
) -> pd.DataFrame:
    """Return evaluation rows (period, metric, value, baseline, champion) as the agreed frame.

    ``None`` becomes NaN, which stands for "there is none".
    """
    frame = pd.DataFrame(list(rows), columns=list(EVALUATION_COLUMNS))
    numbers = ["value", "baseline_value", "champion_value"]
    frame[numbers] = frame[numbers].astype(float)
    return frame


BY_TENTH = "by tenth"
"""The period under which predictions stand beside what happened, in tenths of the rows."""


def by_tenth(
    number: Iterable[int], predicted: Iterable[float], happened: Iterable[float]
) -> list[tuple[str, str, float, float | None, float | None]]:
    """Return evaluation rows of a table of tenths: what was predicted and what happened in each.

    Metrics are ``predicted_01`` and ``happened_01`` for the tenth numbered 1, both means a row.
    """
    rows: list[tuple[str, str, float, float | None, float | None]] = []
    for one, said, was in zip(number, predicted, happened, strict=True):
        rows.append((BY_TENTH, f"predicted_{one:02d}", float(said), None, None))
        rows.append((BY_TENTH, f"happened_{one:02d}", float(was), None, None))
    return rows


def too_little_data(
    model: ModelName, reason: str, parameters: dict[str, float | str | int] | None = None
) -> TrainingResult:
    """Return the result of a training that abstained, with ``reason`` as its plain sentence."""
    return TrainingResult(
        status=TOO_LITTLE_DATA,
        reason=reason,
        estimator=None,
        parameters=dict(parameters or {}),
        evaluation=evaluation_frame(),
        figures={},
        tables={},
        gate=GateInputs(model=model),
    )
