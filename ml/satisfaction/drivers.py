"""What moves satisfaction: regression of the score on what is known of the answer.

Least squares with standard errors that hold whatever the spread (HC3: MacKinnon & White 1985,
"Some heteroskedasticity-consistent covariance matrix estimators with improved finite sample
properties"), so the intervals are honest for scores, whose spread depends on their mean. An
estimate tells what goes together with satisfaction, other things equal; not what causes it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ml.evaluation.metrics import holm
from ml.satisfaction.lexicons import TOPICS

FloatArray = NDArray[np.float64]

COLUMNS = (
    "survey", "driver_kind", "driver", "response_count", "driver_count", "effect_share",
    "effect_low_share", "effect_high_share", "p_value", "adjusted_p_value", "verdict",
)  # fmt: skip
ATTRIBUTES = ("channel", "comment_language", "category")
MIN_RESPONSES = 100
MIN_DRIVER = 15
"""Answers that have, and that lack, what is looked at."""
SIGNIFICANCE = 0.05


def satisfaction_drivers(responses: pd.DataFrame) -> pd.DataFrame:
    """Return each driver's effect on the score, as a share of the scale, with interval.

    Args:
        responses: One row an answer: ``response_key``, ``survey``, ``score_share`` (0 to 1),
            ``comment_topics`` (with commas between; null without a comment) and ``ATTRIBUTES``,
            each of which may be null.

    Returns:
        ``COLUMNS``, in order of key; topics are told among answers with a comment, attributes
        against the most frequent level. Surveys with too few answers have no rows.
    """
    frames = []
    known = responses[responses["score_share"].notna()].sort_values("response_key", kind="stable")
    for survey, rows in known.groupby("survey", sort=True):
        for part, drivers in (
            (rows[rows["comment_topics"].notna()], ["topic"]),
            (rows, list(ATTRIBUTES)),
        ):
            found = _regressed(str(survey), part, drivers)
            if found is not None:
                frames.append(found)
    if not frames:
        return pd.DataFrame({name: [] for name in COLUMNS})
    found = pd.concat(frames, ignore_index=True)
    # rows of one survey answer one question together
    for _, index in found.groupby("survey").groups.items():
        found.loc[index, "adjusted_p_value"] = holm(found.loc[index, "p_value"])
    found["verdict"] = np.where(
        ~(found["adjusted_p_value"] < SIGNIFICANCE),
        "no_effect_found",
        np.where(found["effect_share"] > 0, "raises", "lowers"),
    )
    key = ["survey", "driver_kind", "driver"]
    return found.sort_values(key, kind="stable").reset_index(drop=True)[list(COLUMNS)]


def _columns(rows: pd.DataFrame, kinds: list[str]) -> dict[tuple[str, str], FloatArray]:
    """Indicator of each driver that enough answers have and enough lack."""
    found: dict[tuple[str, str], FloatArray] = {}
    for kind in kinds:
        if kind == "topic":
            named = [set(str(text).split(",")) for text in rows["comment_topics"]]
            levels = {topic: [topic in one for one in named] for topic in TOPICS}
        else:
            values = rows[kind].astype(object).where(rows[kind].notna(), None)
            counts = pd.Series(values).dropna().astype(str).value_counts()
            order = [level for _, level in sorted((-int(n), str(v)) for v, n in counts.items())]
            texts = [None if value is None else str(value) for value in values]
            levels = {level: [text == level for text in texts] for level in order[1:13]}
        for level, has in levels.items():
            column = np.asarray(has, dtype=float)
            if MIN_DRIVER <= column.sum() <= len(rows) - MIN_DRIVER:
                found[kind, str(level)] = column
    return found


def _regressed(survey: str, rows: pd.DataFrame, kinds: list[str]) -> pd.DataFrame | None:
    if len(rows) < MIN_RESPONSES:
        return None
    columns = _columns(rows, kinds)
    y = rows["score_share"].to_numpy(dtype=float)
    if not columns or np.ptp(y) == 0:
        return None
    x = np.column_stack([np.ones(len(rows)), *columns.values()])
    estimate, error = least_squares(x, y)
    degrees = len(y) - np.linalg.matrix_rank(x)
    effect, spread = estimate[1:], error[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = 2 * stats.t.sf(np.abs(effect / spread), degrees)
    reach = float(stats.t.ppf(0.975, degrees)) * spread
    return pd.DataFrame(
        {
            "survey": survey,
            "driver_kind": [kind for kind, _ in columns],
            "driver": [level for _, level in columns],
            "response_count": len(rows),
            "driver_count": [int(column.sum()) for column in columns.values()],
            "effect_share": effect,
            "effect_low_share": effect - reach,
            "effect_high_share": effect + reach,
            "p_value": p_value,
            "adjusted_p_value": np.nan,
            "verdict": "",
        }
    )


def least_squares(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return estimates and HC3 standard errors; columns that repeat others share an estimate."""
    inverse = np.linalg.pinv(x.T @ x)
    estimate = inverse @ (x.T @ y)
    leverage = np.clip(((x @ inverse) * x).sum(axis=1), 0, 1 - 1e-9)
    scaled = (y - x @ estimate) / (1 - leverage)
    middle = (x * scaled[:, None]).T @ (x * scaled[:, None])
    covariance = inverse @ middle @ inverse
    return estimate, np.sqrt(np.clip(np.diag(covariance), 0, None))
