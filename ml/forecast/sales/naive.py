"""What any method must beat, and the steadier mean of a few seasons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class SeasonalNaive:
    """The last season once more; with ``season`` 1, the last value."""

    def __init__(self, season: int = 1) -> None:
        """See the class."""
        self.season = season

    def forecasts(self, values: FloatArray, lengths: Sequence[int], horizon: int) -> FloatArray:
        """As ``ExponentialSmoothing.forecasts``."""
        steps = np.arange(horizon) % self.season
        return np.stack([values[:, n - self.season : n][:, steps] for n in lengths])


class SeasonalMean:
    """The mean of the last few seasons, place by place; with ``season`` 1, of the last periods."""

    def __init__(self, season: int = 1, count: int = 8) -> None:
        """See the class."""
        self.season = season
        self.count = count

    def forecasts(self, values: FloatArray, lengths: Sequence[int], horizon: int) -> FloatArray:
        """As ``ExponentialSmoothing.forecasts``."""
        steps = np.arange(horizon) % self.season
        found = []
        for n in lengths:
            seasons = max(min(self.count, n // self.season), 1)
            known = values[:, max(n - seasons * self.season, 0) : n]
            found.append(known.reshape(len(values), seasons, -1).mean(axis=1)[:, steps])
        return np.stack(found)
