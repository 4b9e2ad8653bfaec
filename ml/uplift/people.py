"""What the uplift model reads of a person, and how it becomes numbers.

Everything was known the day before the person was drawn (for today's customers: by today).
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

FloatArray = NDArray[np.float64]

AMOUNTS = (
    "recency_days", "age_days", "order_count", "gross_amount", "average_order_amount",
    "order_count_365d", "gross_amount_365d",
)  # fmt: skip
"""Numbers of a wide range: logarithms, the sign kept."""
PLAIN = ("birth_year",)
LEVELS = ("acquisition_channel", "country")
FEATURES = (*AMOUNTS, *PLAIN, *LEVELS)

MIN_LEVEL_PEOPLE = 50
"""A level with fewer people is not told apart."""
MAX_LEVELS = 12

FOLDS = 5


class PeopleDesign(TransformerMixin, BaseEstimator):
    """Facts and attributes of people -> a table of finite numbers.

    Attributes:
        medians_: What stands for a missing number, in order of ``AMOUNTS`` and ``PLAIN``.
        levels_: Levels that are told apart, as ``column=level``.
        bounds_: Largest and smallest value seen, beyond which nothing is extrapolated.
    """

    def fit(self, people: pd.DataFrame, outcome: object = None) -> Self:
        """Learn medians, bounds and levels."""
        numbers = self._numbers(people)
        with np.errstate(all="ignore"):
            medians = [
                float(np.nanmedian(column)) if np.isfinite(column).any() else 0.0
                for column in numbers.T
            ]
        self.medians_ = np.array(medians)
        filled = self._filled(numbers)
        low = filled.min(axis=0) if len(filled) else self.medians_
        high = filled.max(axis=0) if len(filled) else self.medians_
        self.bounds_ = np.vstack([low, high])
        self.levels_ = []
        for column in LEVELS:
            counts = people[column].dropna().astype(str).value_counts()
            counts = counts[counts >= MIN_LEVEL_PEOPLE]
            order = sorted(((-int(n), str(level)) for level, n in counts.items()))[:MAX_LEVELS]
            self.levels_ += [f"{column}={level}" for _, level in order]
        return self

    @staticmethod
    def _numbers(people: pd.DataFrame) -> FloatArray:
        amounts = [pd.to_numeric(people[name]).to_numpy(dtype=float) for name in AMOUNTS]
        plain = [pd.to_numeric(people[name]).to_numpy(dtype=float) for name in PLAIN]
        logs = [np.sign(column) * np.log1p(np.abs(column)) for column in amounts]
        found = np.column_stack([*logs, *plain])
        return np.where(np.isfinite(found), found, np.nan)

    def _filled(self, numbers: FloatArray) -> FloatArray:
        return np.where(np.isnan(numbers), self.medians_, numbers)

    def transform(self, people: pd.DataFrame) -> FloatArray:
        """Return one row a person: numbers, then one column a level."""
        missing = [name for name in FEATURES if name not in people]
        if missing:
            raise ValueError(f"the uplift model needs the columns {', '.join(missing)}")
        numbers = np.clip(self._filled(self._numbers(people)), *self.bounds_)
        texts = {name: people[name].astype(object).to_numpy() for name in LEVELS}
        columns = [numbers]
        for both in self.levels_:
            column, _, level = both.partition("=")
            columns.append((texts[column] == level).astype(float)[:, None])
        return np.hstack(columns)
