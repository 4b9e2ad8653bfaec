"""The season's level: how far churn at this time of the year lay from the average, a year ago."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator

FloatArray = NDArray[np.float64]

YEAR_DAYS = 365
REACH_DAYS = 20
"""How far a training cut-off may lie from the day a year ago where it stands on one side only."""
WIDEST_GAP_DAYS = 45
"""Between two neighbouring cut-offs a level is interpolated only if they are this close."""
TRUST = 0.75
"""Part of last year's deviation that is carried forward: one year alone cannot tell the season
from a passing event."""


class SeasonLevels(BaseEstimator):
    """Level of each training cut-off, in log-odds around their mean, looked up a year later.

    A level says by how much the model, pooled over all cut-offs, under- or overstated churn at
    that time of the year. A cut-off with no counterpart a year before gets 0: half a year of
    history says nothing about the other half.

    Attributes:
        days_: Training cut-offs, days since 1970, ascending.
        levels_: Their levels, log-odds; weighted mean 0.
    """

    def fit(self, cut_off_on: pd.Series, score: FloatArray, outcome: FloatArray) -> SeasonLevels:
        """Solve each cut-off's level: mean predicted probability = observed rate."""
        days, group = np.unique(_days(cut_off_on), return_inverse=True)
        size = np.bincount(group).astype(float)
        level = np.zeros(len(days))
        for _ in range(25):
            probability = expit(score + level[group])
            gap = np.bincount(group, weights=outcome - probability)
            bend = np.bincount(group, weights=probability * (1 - probability))
            level = np.clip(level + (gap - level) / (bend + 1.0), -5.0, 5.0)
        self.days_ = days
        self.levels_ = level - float(np.average(level, weights=size))
        return self

    def offset(self, cut_off_on: pd.Series) -> FloatArray:
        """Return the log-odds to add at each row's cut-off."""
        days, group = np.unique(_days(cut_off_on), return_inverse=True)
        return np.array([self._at(int(day)) for day in days])[group]

    def _at(self, day: int) -> float:
        """The level of the latest year before ``day`` that covers its counterpart."""
        target = day - YEAR_DAYS
        while target >= self.days_[0] - REACH_DAYS:
            level = self._interpolated(target)
            if level is not None:
                return TRUST * level
            target -= YEAR_DAYS
        return 0.0

    def _interpolated(self, target: int) -> float | None:
        after = int(np.searchsorted(self.days_, target))
        if 0 < after < len(self.days_):
            if self.days_[after] - self.days_[after - 1] <= WIDEST_GAP_DAYS:
                return float(np.interp(target, self.days_, self.levels_))
            return None
        edge = 0 if after == 0 else len(self.days_) - 1
        near = abs(int(self.days_[edge]) - target) <= REACH_DAYS
        return float(self.levels_[edge]) if near else None


def _days(cut_off_on: pd.Series) -> NDArray[np.int64]:
    dates = pd.to_datetime(cut_off_on).to_numpy().astype("datetime64[D]")
    return dates.astype(np.int64)
