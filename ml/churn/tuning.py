"""Choice of the recipe: which model, with which settings, judged on past cut-offs only.

The folds roll forward: train on cut-offs whose labels were known, validate on a later one. Where
there are no dates they are stratified fifths. The rows that are reported on never appear here.

Successive halving keeps the time in bounds: every recipe is tried on the latest fold, the best of
the best families on all of them; the log-odds of the best two are then blended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from ml.churn.features import FULL, STABLE
from ml.churn.kinds import CONTRACT, kind_of
from ml.churn.model import ChurnModel
from ml.churn.recipes import (
    BLEND,
    BOOSTING,
    FAMILIES,
    FOREST,
    LOGISTIC,
    NETWORK,
    SPLINES,
    SVM,
    TREE,
    Recipe,
    family_of,
)
from ml.evaluation.metrics import calibration_error, log_loss, log_losses, roc_auc
from ml.evaluation.sampling import key_halves, key_hash, sample_keys

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_FOLDS = 3
"""The latest rolling folds; earlier ones train on too little to tell recipes apart."""
MIN_FOLD_ROWS = 200
MIN_FOLD_CLASS = 30
FIFTHS = 5
SCREENED_ROWS = 8_000
"""Rows that a recipe is tried on first."""
FAMILIES_KEPT = 3
"""Families whose best recipe is tried on all folds."""
BOOK_DAYS_FOR_FULL = 365
"""Time on book and yearly windows are features only where the record is this old at the latest
training cut-off: before, nobody's first order can be told from the first recorded one. On Online
Retail (193 days) they cost .03 of calibration error on the evaluation period."""
CLEAR_GAIN = 0.001
"""Nats by which a family must beat a simpler one on the past: else the simpler one rules."""


def candidates(kind: str, book_days: int) -> list[str]:
    """Return the recipes worth trying, for a record that was ``book_days`` old."""
    if kind == CONTRACT:
        found = [
            *(Recipe(LOGISTIC, strength=value) for value in (1e2, 1e4)),
            *(Recipe(SPLINES, strength=value) for value in (1e3, 1e5)),
            Recipe(TREE, leaves=16),
            *(Recipe(BOOSTING, leaves=4, trees=trees) for trees in (80, 160)),
            Recipe(FOREST, trees=60, leaves=48),
            Recipe(SVM, strength=1e3),
            Recipe(NETWORK, strength=100.0),
        ]
        return [str(recipe) for recipe in found]
    best = FULL if book_days >= BOOK_DAYS_FOR_FULL else STABLE
    strong = (10.0, 1e3, 1e5) if best == FULL else (1e3,)
    found = [
        *(Recipe(LOGISTIC, STABLE, strength=value) for value in (10.0, 100.0, 1000.0)),
        *(Recipe(SPLINES, best, strength=value) for value in strong),
        Recipe(TREE, best, leaves=16),
        *(Recipe(BOOSTING, best, leaves=k, trees=n) for k, n in ((4, 60), (8, 120))),
        Recipe(FOREST, best, trees=40, leaves=32),
        Recipe(SVM, best, strength=1e3),
        Recipe(NETWORK, best, strength=100.0),
    ]
    return [str(recipe) for recipe in found]


def _usable(y: FloatArray) -> bool:
    churned = int(y.sum())
    return len(y) >= MIN_FOLD_ROWS and min(churned, len(y) - churned) >= MIN_FOLD_CLASS


def folds(
    frame: pd.DataFrame, y: FloatArray, horizon_days: int, kind: str = "rhythm"
) -> Iterator[tuple[Mask, Mask]]:
    """Yield (train, validate) masks.

    By cut-off: the latest ``MAX_FOLDS`` rolling ones in order of time. A cut-off is trained on only
    if its label window had closed by the validated cut-off. Where the history is too short for a
    single such pair, the two halves of the customers take turns. Of contracts at one cut-off:
    stratified fifths.
    """
    on = frame["cut_off_on"]
    if kind == CONTRACT and on.nunique() == 1:
        yield from stratified_folds(frame[kind_of(kind).key], y, FIFTHS)
        return
    rolling: list[tuple[Mask, Mask]] = []
    for cut_off in sorted(on.unique()):
        seen = (on <= cut_off - pd.Timedelta(days=horizon_days)).to_numpy()
        later = (on == cut_off).to_numpy()
        if seen.any() and _usable(y[seen]) and _usable(y[later]):
            rolling.append((seen, later))
    if rolling:
        yield from rolling[-MAX_FOLDS:]
        return
    half = key_halves(frame[kind_of(kind).key])
    yield half, ~half
    yield ~half, half


def stratified_folds(
    key: pd.Series, y: FloatArray, count: int, repeat: int = 0
) -> Iterator[tuple[Mask, Mask]]:
    """Yield (train, validate) masks of ``count`` folds with equal shares of either outcome.

    Who is in which fold depends on the keys and outcomes alone; ``repeat`` deals them out anew.
    """
    order = key_hash(key.astype(str) + f"#{repeat}")
    fold = np.empty(len(y), dtype=int)
    for outcome in (0.0, 1.0):
        rows = np.flatnonzero(y == outcome)
        fold[rows[np.argsort(order[rows], kind="stable")]] = np.arange(len(rows)) % count
    for number in range(count):
        yield fold != number, fold == number


@dataclass
class Past:
    """How recipes did on the past; scores are kept, so that a blend costs no fit.

    Attributes:
        frame: Checked training rows.
        y: Their labels.
        kind: Of the rows.
        horizon_days: Length of the label window.
        masks: (train, validate), latest last.
        scores: (recipe, fold) -> raw log-odds of the validated rows.
    """

    frame: pd.DataFrame
    y: FloatArray
    kind: str
    horizon_days: int
    seed: int = 0
    masks: list[tuple[Mask, Mask]] = field(default_factory=list)
    scores: dict[tuple[str, int], FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the folds; one in which a single outcome occurs teaches nothing."""
        found = folds(self.frame, self.y, self.horizon_days, self.kind)
        self.masks = [pair for pair in found if all(np.ptp(self.y[mask]) for mask in pair)]

    def figures(self, recipe: str, fold: int, *, screened: bool = False) -> list[float]:
        """Return log-loss, calibration error and AUC on one fold."""
        seen, later = self.masks[fold]
        if (recipe, fold) in self.scores:
            score = self.scores[recipe, fold]
        elif family_of(recipe) == BLEND:
            score = self.scores_of(recipe, fold)
        else:
            score, is_whole = self._fitted(recipe, seen, later, screened)
            if is_whole:
                self.scores[recipe, fold] = score
        p, held = expit(score), self.y[later]
        return [log_loss(held, p), calibration_error(held, p), roc_auc(held, p)]

    def losses(self, recipe: str) -> FloatArray:
        """Return the log-loss of every validated row, of a recipe that was tried on all folds."""
        parts = [self.scores_of(recipe, fold) for fold in range(len(self.masks))]
        held = [self.y[later] for _, later in self.masks]
        return np.concatenate(
            [log_losses(y, expit(score)) for y, score in zip(held, parts, strict=True)]
        )

    def scores_of(self, recipe: str, fold: int) -> FloatArray:
        """Return the log-odds of the validated rows; of a blend the mean of its members'."""
        return np.mean([self.scores[part, fold] for part in recipe.split(" + ")], axis=0)

    def _fitted(
        self, recipe: str, seen: Mask, later: Mask, screened: bool
    ) -> tuple[FloatArray, bool]:
        rows, y = self.frame[seen], self.y[seen]
        if screened:
            used = sample_keys(rows[kind_of(self.kind).key], SCREENED_ROWS)
            if not used.all() and np.ptp(y[used]):
                rows, y = rows[used], y[used]
        model = ChurnModel(
            recipe, kind=self.kind, horizon_days=self.horizon_days, seed=self.seed
        ).fit_checked(rows, y)
        return model.raw_scores(self.frame[later]), len(rows) == int(seen.sum())


def past_performance(past: Past, recipes: Sequence[str]) -> pd.DataFrame:
    """Judge the recipes on the past.

    Args:
        past: The training rows.
        recipes: Texts, see ``ml.churn.recipes``.

    Returns:
        One row a recipe, in the given order, a blend of the best two last where there are two
        families: ``candidate, family, feature_set, log_loss, calibration_error, roc_auc,
        fold_count`` (means over the folds that it was tried on), ``latest_log_loss`` (of the
        latest fold alone), ``is_kept`` (tried on all).
    """
    last = len(past.masks) - 1
    screened = {one: past.figures(one, last, screened=True) for one in recipes}
    first = {one: figures[0] for one, figures in screened.items()}
    best: dict[str, str] = {}
    for one in recipes:
        family = family_of(one)
        if family not in best or first[one] < first[best[family]]:
            best[family] = one
    ranked = sorted(best.values(), key=lambda one: (first[one], recipes.index(one)))
    kept = ranked[:FAMILIES_KEPT]
    everywhere = {one: _means(past, one) for one in kept}
    leaders = sorted(kept, key=lambda one: everywhere[one][0])[:2]
    if len(leaders) == 2:
        # in the order of the recipes, so that the blend has one name
        blend = " + ".join(sorted(leaders, key=recipes.index))
        everywhere[blend] = _means(past, blend)
    rows = []
    for one in [*recipes, *(name for name in everywhere if name not in recipes)]:
        figures = everywhere.get(one) or screened[one]
        feature_set = one.split()[1]
        count = len(past.masks) if one in everywhere else 1
        latest = first[one] if one in first else past.figures(one, last)[0]
        rows.append((one, family_of(one), feature_set, *figures, count, latest, one in everywhere))
    columns = ["candidate", "family", "feature_set", "log_loss", "calibration_error", "roc_auc"]
    return pd.DataFrame(rows, columns=[*columns, "fold_count", "latest_log_loss", "is_kept"])


def _means(past: Past, recipe: str) -> tuple[float, float, float]:
    loss, error, area = np.mean(
        [past.figures(recipe, fold) for fold in range(len(past.masks))], axis=0
    )
    return float(loss), float(error), float(area)


def best_recipe(past: Past, table: pd.DataFrame) -> str:
    """Return the winner of the past among the recipes that were tried on all folds.

    The simplest rules unless a more complex one has a log-loss lower by ``CLEAR_GAIN`` and by more
    than two standard errors of that gain: what chance brings about would not come again.
    """
    rank = {family: place for place, family in enumerate([*FAMILIES, BLEND])}
    kept = table[table["is_kept"]]
    first, *others = sorted(kept["candidate"], key=lambda one: rank[family_of(one)])
    winner, losses = first, past.losses(first)
    for one in others:
        gain = losses - past.losses(one)
        error = gain.std() / np.sqrt(len(gain))
        if gain.mean() > max(CLEAR_GAIN, 2 * error):
            winner, losses = one, losses - gain
    return str(winner)
