"""What the models of contracts see: any facts of a contract, numbers and words alike.

Belongs here: the checks, and the one step that turns facts into columns. That step learns which
words there are, so it lives inside the pipeline and is fitted on the training rows of a fold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from sklearn.base import BaseEstimator, TransformerMixin

from ml.churn.features import FeatureError

KEY = "subscription_key"
KEY_COLUMNS = ("cut_off_on", KEY)
NOT_FACTS = (*KEY_COLUMNS, "customer_key", "source", "is_churned", "is_ended", "horizon_days")
FEWEST_ROWS = 20
"""A word that fewer training rows say has no column of its own."""
MOST_WORDS = 20
"""Nor has one beyond the most frequent of a fact: an identifier must not become a fact."""
LISTS = ("services",)
"""Facts that say several words at once: a column says that one is among them."""
LIST_SEPARATOR = ", "


def check_contracts(contracts: pd.DataFrame, facts: Sequence[str] | None = None) -> pd.DataFrame:
    """Return keys and facts, sorted by key; numbers as floats, words as text or None.

    Args:
        contracts: One row a cut-off and contract: ``cut_off_on``, ``subscription_key``, facts.
        facts: Which facts, as the model knows them; all columns that can be one by default.

    Raises:
        FeatureError: A column is missing, a key is null or duplicated, or a number is infinite.
    """
    wanted = [c for c in contracts.columns if c not in NOT_FACTS] if facts is None else facts
    missing = [c for c in (*KEY_COLUMNS, *wanted) if c not in contracts.columns]
    if missing:
        raise FeatureError(f"the contracts lack {missing}; the churn model needs them")
    if not wanted:
        raise FeatureError("the contracts have no facts beside their keys")
    frame = contracts[[*KEY_COLUMNS, *wanted]].copy()
    if frame[list(KEY_COLUMNS)].isna().any(axis=None):
        raise FeatureError("the contracts have null keys")
    frame["cut_off_on"] = pd.to_datetime(frame["cut_off_on"]).astype("datetime64[s]")
    frame[KEY] = frame[KEY].astype(object)
    for fact in wanted:
        frame[fact] = _numbers(frame[fact]) if _is_number(frame[fact]) else _words(frame[fact])
        if frame[fact].dtype == float and np.isinf(frame[fact]).any():
            raise FeatureError(f"{fact} of a contract is infinite")
    frame = frame.sort_values(list(KEY_COLUMNS), kind="stable")
    if (count := int(frame.duplicated(list(KEY_COLUMNS)).sum())) > 0:
        raise FeatureError(f"the contracts have {count} duplicate (cut_off_on, {KEY})")
    return frame


def _is_number(values: pd.Series) -> bool:
    if is_numeric_dtype(values) or is_bool_dtype(values):
        return True
    known = values.dropna()
    # decimals of the warehouse, and a column that nobody filled
    return len(known) == 0 or not any(isinstance(value, str) for value in known.head(50))


def _numbers(values: pd.Series) -> pd.Series:
    try:
        return values.astype(float)
    except (TypeError, ValueError) as error:
        raise FeatureError(f"{values.name} of a contract holds numbers and words") from error


def _words(values: pd.Series) -> pd.Series:
    known = values.notna().to_numpy()
    text = np.array([str(value) for value in values], dtype=object)
    text[~known] = None
    return pd.Series(text, index=values.index, dtype=object)


def number_facts(frame: pd.DataFrame) -> list[str]:
    """Return the facts that are numbers, of a frame that went through ``check_contracts``."""
    return [c for c in frame.columns if c not in NOT_FACTS and frame[c].dtype == float]


def _said(values: pd.Series) -> pd.Series:
    """Return each word that a fact says, by the number of the row that says it."""
    known = values.reset_index(drop=True).dropna()
    if values.name not in LISTS:
        return known
    words = known.map(lambda text: sorted({*str(text).split(LIST_SEPARATOR)} - {""}))
    return words.explode().dropna()


class ContractDesign(TransformerMixin, BaseEstimator):
    """First step of every pipeline for contracts: numbers, then a column a word of each fact.

    A list of words (``LISTS``) has a column for each of the words that are in it.

    Attributes:
        numbers_: Facts that are numbers.
        words_: Fact -> the words that have a column.
    """

    def fit(self, frame: pd.DataFrame, churned: object = None) -> ContractDesign:
        """Learn which facts there are, and which words they use."""
        self.n_features_in_ = len(frame.columns)
        self.numbers_ = number_facts(frame)
        self.words_: dict[str, list[str]] = {}
        for fact in frame.columns:
            if fact in NOT_FACTS or fact in self.numbers_:
                continue
            counts = _said(frame[fact]).value_counts()
            often = sorted(counts.index[counts >= FEWEST_ROWS], key=lambda w: (-counts[w], w))
            self.words_[str(fact)] = sorted(often[:MOST_WORDS])
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return numbers as they are, and 1 where a fact says a word, else 0."""
        columns = {fact: frame[fact].astype(float) for fact in self.numbers_}
        for fact, words in self.words_.items():
            said = _said(frame[fact])
            for word in words:
                is_said = np.zeros(len(frame))
                is_said[said.index[(said == word).to_numpy()]] = 1.0
                columns[f"{fact}={word}"] = pd.Series(is_said, frame.index)
        if not columns:
            columns["(nothing)"] = pd.Series(0.0, frame.index)
        return pd.DataFrame(columns, index=frame.index)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the columns."""
        words = [f"{fact}={word}" for fact, words in self.words_.items() for word in words]
        return np.asarray([*self.numbers_, *words] or ["(nothing)"], dtype=object)

    def facts_of_columns(self) -> list[str]:
        """Return, for each column, the fact that it speaks about."""
        words = [fact for fact, words in self.words_.items() for _ in words]
        return [*self.numbers_, *words] or [*self.words_][:1]
