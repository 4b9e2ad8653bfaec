"""``train_sentiment``: learned on earlier comments, examined on later ones, beside the lexicon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ml.evaluation import metrics
from ml.evaluation.plots import calibration_figure
from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)
from ml.evaluation.sampling import hashed_shares
from ml.satisfaction.sentiment import MIN_COMMENTS, MIN_PER_CLASS, SentimentModel, with_scores

FloatArray = NDArray[np.float64]

GOOD_SHARE = 0.75
BAD_SHARE = 0.5
"""Of the scale: four of five is content; three of five and less is not; in between is no label."""

NEEDED = ("response_key", "text", "score_share", "responded_on")

EVALUATED_SHARE = 0.25
MIN_EVALUATED = 100
MAX_ROWS = 25_000
"""Comments are learned from up to this number, chosen by a hash of their keys."""

METRICS: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "log_loss": metrics.log_loss,
    "accuracy": lambda y, p: float(np.mean((np.asarray(p) >= 0.5) == (np.asarray(y) == 1))),
    "roc_auc": metrics.roc_auc,
    "brier": metrics.brier,
    "calibration_error": metrics.calibration_error,
}


def labels(comments: pd.DataFrame) -> FloatArray:
    """Return 1 for a content score, 0 for one that is not, NaN in between and without a score.

    Args:
        comments: ``score_share``: the score's place on its scale, 0 to 1.
    """
    share = pd.to_numeric(comments["score_share"]).to_numpy(dtype=float)
    return np.where(share >= GOOD_SHARE, 1.0, np.where(share <= BAD_SHARE, 0.0, np.nan))


def _is_later(rows: pd.DataFrame) -> tuple[NDArray[np.bool_], str]:
    days = pd.to_datetime(rows["responded_on"])
    if days.notna().all() and days.nunique() > 1:
        ordered = days.sort_values(kind="stable").reset_index(drop=True)
        first = ordered.iloc[int(len(ordered) * (1 - EVALUATED_SHARE))]
        is_later = (days >= first).to_numpy()
        if not is_later.all():
            return is_later, f"comments from {first.date()}"
    return hashed_shares("held out " + rows["response_key"].astype(str)) < EVALUATED_SHARE, (
        "held-out comments"
    )


def train_sentiment(
    comments: pd.DataFrame, *, champion: BaseEstimator | None = None
) -> TrainingResult:
    """Train and examine the sentiment model.

    Args:
        comments: One row a comment: ``response_key``, ``text``, ``score_share``,
            ``responded_on`` (may be missing), and the word lists' scores if known.
        champion: The ruling ``SentimentModel``; its ``evaluated_`` copy stands in for it where
            it has seen the later comments.

    Returns:
        Status ``too_little_data`` with the reason, or ``trained``. The losses of the gate are of
        the later comments; the rows to beat are the base rate and the calibrated word lists.
    """
    if missing := [name for name in NEEDED if name not in comments.columns]:
        raise ValueError(f"the comments lack the columns {missing}")
    rows = comments[comments["text"].notna()].reset_index(drop=True)
    if rows["response_key"].duplicated().any():
        raise ValueError("each comment needs a response_key of its own")
    y = labels(rows)
    rows, y = rows[np.isfinite(y)], y[np.isfinite(y)]
    order = np.argsort(rows["response_key"].to_numpy(dtype=str), kind="stable")
    rows, y = rows.iloc[order].reset_index(drop=True), y[order]
    if len(rows) > MAX_ROWS:
        kept = hashed_shares(rows["response_key"]) < MAX_ROWS / len(rows)
        rows, y = rows[kept].reset_index(drop=True), y[kept]
    rows = with_scores(rows)
    if rows.empty:
        return too_little_data("sentiment", "no comment with a score")
    is_later, period = _is_later(rows)
    reason = _too_few(y, is_later)
    if reason:
        return too_little_data("sentiment", reason)
    past = SentimentModel().fit(rows[~is_later], y[~is_later])
    estimator = SentimentModel().fit(rows, y)
    estimator.evaluated_ = past
    later, actual = rows[is_later], y[is_later]
    lexicon = SentimentModel(min_comments=2**62).fit(rows[~is_later], y[~is_later])
    probability = {
        "model": past.predict_proba(later)[:, 1],
        "lexicon": lexicon.predict_proba(later)[:, 1],
        "base rate": np.full(len(later), y[~is_later].mean()),
    }
    ruling = _comparable(champion, later)
    if ruling is not None:
        probability["champion"] = ruling.predict_proba(later)[:, 1]
    return _report(estimator, actual, probability, period)


def _too_few(y: FloatArray, is_later: NDArray[np.bool_]) -> str:
    for words, part, least in (
        ("earlier", y[~is_later], MIN_COMMENTS),
        ("later", y[is_later], MIN_EVALUATED),
    ):
        good = int(part.sum())
        if part.size < least or min(good, part.size - good) < MIN_PER_CLASS:
            return (
                f"{part.size} {words} comments with a score, {good} of them content: at least "
                f"{least} and {MIN_PER_CLASS} of either kind are needed"
            )
    return ""


def _comparable(champion: BaseEstimator | None, later: pd.DataFrame) -> BaseEstimator | None:
    if champion is None:
        return None
    days = pd.to_datetime(later["responded_on"])
    known = getattr(champion, "known_until_", "")
    if known and days.notna().all() and pd.Timestamp(known) < days.min():
        return champion
    own = getattr(champion, "evaluated_", None)
    return own if own is not None else champion


def _report(
    estimator: SentimentModel,
    actual: FloatArray,
    probability: dict[str, FloatArray],
    period: str,
) -> TrainingResult:
    figures = {
        name: {metric: measure(actual, p) for metric, measure in METRICS.items()}
        for name, p in probability.items()
    }
    losses = {name: metrics.log_losses(actual, p) for name, p in probability.items()}
    ruling = figures.get("champion", {})
    ours = figures["model"]
    languages = sorted(estimator.classifiers_)
    return TrainingResult(
        status=TRAINED,
        reason=(
            f"trained for {', '.join(languages) or 'no language'}, else word lists; log-loss "
            f"{ours['log_loss']:.4f}, AUC {ours['roc_auc']:.3f} on {len(actual)} {period}; word "
            f"lists {figures['lexicon']['log_loss']:.4f}, {figures['lexicon']['roc_auc']:.3f}"
        ),
        estimator=estimator,
        parameters={
            **estimator.get_params(),
            "languages": ",".join(languages),
            "evaluation_rows": len(actual),
        },
        evaluation=evaluation_frame(
            (period, metric, value, figures["lexicon"][metric], ruling.get(metric))
            for metric, value in ours.items()
        ),
        figures={
            "calibration": calibration_figure(
                actual, {name: probability[name] for name in ("model", "lexicon")}
            )
        },
        tables={"comparison": pd.DataFrame(figures).T.rename_axis("model").reset_index()},
        gate=GateInputs(
            model="sentiment",
            candidate=losses["model"],
            baselines={
                "the base rate": losses["base rate"],
                "the word lists": losses["lexicon"],
            },
            champion=losses.get("champion"),
            figures={"calibration_error": ours["calibration_error"]},
        ),
    )
