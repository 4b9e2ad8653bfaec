"""Choice of the recipe: which model, with which settings, judged on past cut-offs only.

The folds roll forward: train on cut-offs whose labels were known, validate on a later one. The
period that is reported never appears here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from ml.churn.calibration import customer_halves, customer_hash
from ml.churn.features import FULL, STABLE
from ml.churn.model import BOOSTING, LOGISTIC, ChurnModel
from ml.evaluation.metrics import calibration_error, log_loss, roc_auc

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_FOLDS = 3
"""The latest rolling folds; earlier ones train on too little to tell recipes apart."""
MIN_FOLD_ROWS = 200
MIN_FOLD_CLASS = 30
BOOK_DAYS_FOR_FULL = 365
"""Time on book and yearly windows are features only where the record is this old at the latest
training cut-off: before, nobody's first order can be told from the first recorded one. On Online
Retail (193 days) they cost .03 of calibration error on the evaluation period."""
CLEAR_GAIN = 0.0005
"""Nats by which the trees must beat the logistic model on the past: else the simpler one rules."""


@dataclass(frozen=True)
class Candidate:
    """One recipe: the parameters of a ``ChurnModel`` that differ between candidates."""

    family: str
    feature_set: str
    strength: float = 0.0
    max_leaf_nodes: int = 0
    max_iter: int = 0

    @property
    def name(self) -> str:
        """Short text for tables."""
        if self.family == LOGISTIC:
            return f"{self.family} {self.feature_set} strength={self.strength:g}"
        return (
            f"{self.family} {self.feature_set} leaves={self.max_leaf_nodes} trees={self.max_iter}"
        )

    def model(self, *, horizon_days: int, calibration: str = "none", seed: int = 0) -> ChurnModel:
        """Return an unfitted model of this recipe."""
        return ChurnModel(
            family=self.family,
            feature_set=self.feature_set,
            strength=self.strength,
            max_leaf_nodes=self.max_leaf_nodes,
            max_iter=self.max_iter,
            calibration=calibration,
            horizon_days=horizon_days,
            seed=seed,
        )


def candidates(book_days: int) -> list[Candidate]:
    """Return the recipes worth trying for a record that was ``book_days`` old."""
    feature_set = FULL if book_days >= BOOK_DAYS_FOR_FULL else STABLE
    found = [Candidate(LOGISTIC, STABLE, strength=value) for value in (10.0, 100.0, 1000.0)]
    if feature_set == FULL:
        found += [Candidate(LOGISTIC, FULL, strength=value) for value in (10.0, 1e3, 1e5)]
    found += [
        Candidate(BOOSTING, feature_set, max_leaf_nodes=leaves, max_iter=trees)
        for leaves, trees in ((4, 60), (8, 120))
    ]
    return found


def sample_customers(frame: pd.DataFrame, max_rows: int) -> Mask:
    """Return a mask of about ``max_rows`` rows: all rows of customers chosen by a hash.

    The choice depends on the keys alone, so it is the same in every run and for any row order.
    """
    if len(frame) <= max_rows:
        return np.ones(len(frame), dtype=bool)
    chosen = customer_hash(frame["customer_key"]) % 10_000
    return np.asarray(chosen < int(10_000 * max_rows / len(frame)))


def _usable(y: FloatArray) -> bool:
    churned = int(y.sum())
    return len(y) >= MIN_FOLD_ROWS and min(churned, len(y) - churned) >= MIN_FOLD_CLASS


def folds(frame: pd.DataFrame, y: FloatArray, horizon_days: int) -> Iterator[tuple[Mask, Mask]]:
    """Yield (train, validate) masks, the latest ``MAX_FOLDS`` rolling ones in order of time.

    A cut-off is trained on only if its label window had closed by the validated cut-off. Where
    the history is too short for a single such pair, the two halves of the customers take turns.
    """
    on = frame["cut_off_on"]
    rolling: list[tuple[Mask, Mask]] = []
    for cut_off in sorted(on.unique()):
        seen = (on <= cut_off - pd.Timedelta(days=horizon_days)).to_numpy()
        later = (on == cut_off).to_numpy()
        if seen.any() and _usable(y[seen]) and _usable(y[later]):
            rolling.append((seen, later))
    if rolling:
        yield from rolling[-MAX_FOLDS:]
        return
    half = customer_halves(frame["customer_key"])
    yield half, ~half
    yield ~half, half


def past_performance(
    frame: pd.DataFrame, y: FloatArray, recipes: Sequence[Candidate], *, horizon_days: int
) -> pd.DataFrame:
    """Judge every recipe on the past.

    Args:
        frame: Training rows as ``check_features`` returns them.
        y: Their labels.
        recipes: Candidates.
        horizon_days: Length of the label window.

    Returns:
        One row a recipe, in the given order: ``candidate, family, feature_set, log_loss,
        calibration_error, roc_auc, fold_count``; means over the folds.
    """
    masks = [pair for pair in folds(frame, y, horizon_days) if all(np.ptp(y[m]) for m in pair)]
    rows = []
    for recipe in recipes:
        figures = []
        for seen, later in masks:
            model = recipe.model(horizon_days=horizon_days).fit_checked(frame[seen], y[seen])
            p = expit(model.raw_scores(frame[later]))
            held = y[later]
            figures.append([log_loss(held, p), calibration_error(held, p), roc_auc(held, p)])
        loss, error, area = np.mean(figures, axis=0)
        rows.append((recipe.name, recipe.family, recipe.feature_set, loss, error, area, len(masks)))
    columns = ["candidate", "family", "feature_set", "log_loss", "calibration_error", "roc_auc"]
    return pd.DataFrame(rows, columns=[*columns, "fold_count"])


def best_of_each_family(
    table: pd.DataFrame, recipes: Sequence[Candidate]
) -> tuple[list[Candidate], Candidate]:
    """Return the best recipe of each family and, first among them by the past, the winner.

    The trees win only with a log-loss lower by ``CLEAR_GAIN``. Equal recipes: the earlier one.
    """
    best: dict[str, int] = {}
    for number, row in enumerate(table.itertuples()):
        family = recipes[number].family
        if family not in best or row.log_loss < table["log_loss"][best[family]]:
            best[family] = number
    loss = {family: float(table["log_loss"][number]) for family, number in best.items()}
    winner = BOOSTING if loss[BOOSTING] < loss[LOGISTIC] - CLEAR_GAIN else LOGISTIC
    return [recipes[best[LOGISTIC]], recipes[best[BOOSTING]]], recipes[best[winner]]
