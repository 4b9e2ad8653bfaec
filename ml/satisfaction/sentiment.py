"""A trained sentiment: how likely the writer of a comment is content, from its characters.

Character n-grams need no word boundaries, which Chinese does not have. They are hashed, so that
the model holds numbers and no vocabulary: no name that somebody wrote is stored. A language with
too few labelled comments is told by the word lists of ``text_scores.py``, on the same scale.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ml.satisfaction.text_scores import score_text

FloatArray = NDArray[np.float64]

N_GRAMS = {"zh": ("char", (1, 3)), "en": ("char_wb", (2, 5))}
"""Language -> what is counted; for English within words, whose endings matter."""

HASHED = 2**18
PENALTY = 5.0
"""Inverse penalty of the regression. Of 1, 5 and 20 the best AUC on reviews_en (.929), and within
.001 of the best on reviews_zh (.969 of 10,000)."""

MIN_COMMENTS = 200
MIN_PER_CLASS = 30
"""Of a language: with fewer the word lists tell more."""
FOLDS = 3
FLOOR = 1e-4

SKOPS_TRUSTED_TYPES = [
    "ml.satisfaction.sentiment.SentimentModel",
    "ml.satisfaction.sentiment.Leaning",
    "numpy.dtype",
]


def normalised(text: str) -> str:
    """Return a text in one way of writing: composed, half-width, lower case."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def classifier(language: str, hashed: int = HASHED) -> Pipeline:
    """Return the unfitted classifier of a language: hashed n-grams, weights, regression."""
    analyzer, lengths = N_GRAMS[language]
    return Pipeline(
        [
            (
                "hash",
                HashingVectorizer(
                    analyzer=analyzer,
                    ngram_range=lengths,
                    n_features=hashed,
                    alternate_sign=False,
                    norm=None,
                    lowercase=False,
                ),
            ),
            ("weigh", TfidfTransformer(sublinear_tf=True)),
            ("fit", LogisticRegression(C=PENALTY, solver="liblinear", dual=True, random_state=0)),
        ]
    )


class Leaning(BaseEstimator):
    """One number -> a probability: logistic regression of the outcome on it (Platt).

    Attributes:
        slope_: Weight of the number; never negative: more is better.
        intercept_: Log-odds at 0.
    """

    def fit(self, score: ArrayLike, good: ArrayLike) -> Self:
        """Fit on scores and outcomes; one class gives its smoothed rate."""
        x, y = np.asarray(score, dtype=float), np.asarray(good, dtype=float)
        rate = (y.sum() + 1) / (y.size + 2)
        self.slope_, self.intercept_ = 0.0, float(logit(rate))
        if y.size and y.min() < y.max() and np.ptp(x) > 0:
            found = LogisticRegression(C=1e6, solver="newton-cholesky").fit(x[:, None], y)
            if found.coef_[0, 0] > 0:
                self.slope_ = float(found.coef_[0, 0])
                self.intercept_ = float(found.intercept_[0])
        return self

    def predict(self, score: ArrayLike) -> FloatArray:
        """Return the probability."""
        found: FloatArray = expit(self.intercept_ + self.slope_ * np.asarray(score, dtype=float))
        return np.clip(found, FLOOR, 1 - FLOOR)


class SentimentModel(ClassifierMixin, BaseEstimator):
    """Probability that a comment's writer is content.

    Parameters:
        min_comments: Fewest labelled comments of a language for a classifier of its own.
        hashed: Number of hashed features.

    Attributes:
        classes_: ``[0, 1]``: not content, content.
        classifiers_: Language -> fitted classifier.
        leanings_: Language -> calibration of that classifier, on comments it did not see.
        lexicon_: Language -> probability from the word lists' score; ``""`` for all languages.
        known_until_: Last day (ISO) of a comment; empty undated.
        evaluated_: The same recipe fitted on the past only, whose figures were reported.
    """

    def __init__(self, min_comments: int = MIN_COMMENTS, hashed: int = HASHED) -> None:
        """See the class."""
        self.min_comments = min_comments
        self.hashed = hashed

    def fit(self, comments: pd.DataFrame, good: ArrayLike) -> Self:
        """Fit on labelled comments, in any order.

        Args:
            comments: ``response_key``, ``text``, and if known ``comment_language``,
                ``comment_sentiment`` (of the word lists) and ``responded_on``.
            good: 0 or 1 for each.

        Raises:
            ValueError: A label is missing.
        """
        y = np.asarray(good, dtype=float)
        if y.shape != (len(comments),) or not np.isin(y, (0.0, 1.0)).all():
            raise ValueError("each comment needs a label of 0 or 1")
        rows = comments.reset_index(drop=True)
        order = rows.sort_values("response_key", kind="stable").index.to_numpy()
        rows, y = with_scores(rows.iloc[order].reset_index(drop=True)), y[order]
        self.classes_ = np.array([0, 1])
        self.classifiers_: dict[str, Pipeline] = {}
        self.leanings_: dict[str, Leaning] = {}
        lexicon = rows["comment_sentiment"].to_numpy(dtype=float)
        told = np.isfinite(lexicon)
        self.lexicon_ = {"": Leaning().fit(lexicon[told], y[told])}
        with threadpool_limits(1):
            for language in N_GRAMS:
                self._fit_language(language, rows, y, lexicon)
        days = pd.to_datetime(rows["responded_on"]) if "responded_on" in rows else pd.Series([])
        self.known_until_ = "" if days.isna().all() else str(days.max().date())
        self.evaluated_: SentimentModel | None = None
        return self

    def _fit_language(
        self, language: str, rows: pd.DataFrame, y: FloatArray, lexicon: FloatArray
    ) -> None:
        own = (rows["comment_language"] == language).to_numpy()
        told = own & np.isfinite(lexicon)
        if told.any():
            self.lexicon_[language] = Leaning().fit(lexicon[told], y[told])
        content = int(y[own].sum())
        if own.sum() < self.min_comments or min(content, own.sum() - content) < MIN_PER_CLASS:
            return
        texts = [normalised(text) for text in rows.loc[own, "text"]]
        good = y[own].astype(int)
        held_out = np.zeros(len(good))
        fold = _folds(good)
        for number in range(FOLDS):
            past, out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            model = classifier(language, self.hashed).fit([texts[i] for i in past], good[past])
            held_out[out] = model.decision_function([texts[i] for i in out])
        self.leanings_[language] = Leaning().fit(held_out, good)
        self.classifiers_[language] = classifier(language, self.hashed).fit(texts, good)

    def predict_proba(self, comments: pd.DataFrame) -> FloatArray:
        """Return (not content, content) a comment; without anything to go by, the base rate."""
        rows = with_scores(comments.reset_index(drop=True))
        lexicon = rows["comment_sentiment"].to_numpy(dtype=float)
        languages = rows["comment_language"].to_numpy(dtype=object)
        found = self.lexicon_[""].predict(np.where(np.isfinite(lexicon), lexicon, 0.0))
        with threadpool_limits(1):
            for language in N_GRAMS:
                own = np.flatnonzero((languages == language) & rows["text"].notna().to_numpy())
                if not own.size:
                    continue
                if language in self.classifiers_:
                    texts = [normalised(text) for text in rows["text"].iloc[own]]
                    scores = self.classifiers_[language].decision_function(texts)
                    found[own] = self.leanings_[language].predict(scores)
                elif language in self.lexicon_:
                    known = np.where(np.isfinite(lexicon[own]), lexicon[own], 0.0)
                    found[own] = self.lexicon_[language].predict(known)
        return np.column_stack([1 - found, found])

    def predict(self, comments: pd.DataFrame) -> NDArray[np.int64]:
        """Return 1 where content is likelier than not."""
        likely: NDArray[np.int64] = (self.predict_proba(comments)[:, 1] >= 0.5).astype(np.int64)
        return likely

    def methods(self, comments: pd.DataFrame) -> list[str]:
        """Return how each comment is told: ``model``, or ``lexicon``."""
        languages = with_scores(comments.reset_index(drop=True))["comment_language"]
        return ["model" if one in self.classifiers_ else "lexicon" for one in languages]


def with_scores(comments: pd.DataFrame) -> pd.DataFrame:
    """Return comments with language and sentiment of the word lists, worked out where missing."""
    if {"comment_language", "comment_sentiment"} <= set(comments.columns):
        return comments
    scores = [score_text(text if isinstance(text, str) else "") for text in comments["text"]]
    return comments.assign(
        comment_language=[one.language for one in scores],
        comment_sentiment=np.array([one.sentiment for one in scores], dtype=float),
    )


def _folds(good: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fold of each row, both classes spread evenly; rows come in order of key."""
    fold = np.zeros(len(good), dtype=np.int64)
    for label in (0, 1):
        own = np.flatnonzero(good == label)
        fold[own] = np.arange(own.size) % FOLDS
    return fold


def comment_rows(texts: Sequence[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
    """Return comments as the model takes them, with their word-list scores."""
    named = [f"{number:08d}" for number in range(len(texts))] if keys is None else list(keys)
    return with_scores(pd.DataFrame({"response_key": named, "text": list(texts)}))
