"""Intervals from what forecasts of the past missed by.

An error is divided by what such a forecast misses typically,

    z = (actual - forecast) / spread,    spread = sqrt(level x |forecast|) + level / 20,

with the level of the series at the origin (its mean absolute value lately): counts scatter with
their root, a growing company by more. The root mean square of a series' z in a band of horizons is
its own scale; the shape (the quantiles) is that of all series of the grain together, because a few
origins say nothing of the 2.5 % tail of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.forecast.sales.periods import DAY, MONTH, WEEK

FloatArray = NDArray[np.float64]

LEVELS = (0.80, 0.95)
TAILS = (0.025, 0.1, 0.9, 0.975)
BANDS = {DAY: (7, 28), WEEK: (4,), MONTH: (1,)}
"""Last horizon of each band but the last."""
LEVEL_PERIODS = {DAY: 56, WEEK: 8, MONTH: 3}
SHRINK = 4.0
"""A series' own scale counts as its number of origins, that of all series as so many."""
SMALLEST_SCALE = 0.02


def bands(grain: str, horizon: int) -> NDArray[np.int64]:
    """Return the band of each horizon from 1 to ``horizon``."""
    return np.searchsorted(BANDS[grain], np.arange(1, horizon + 1))


def level_of(values: FloatArray, grain: str) -> FloatArray:
    """Return the mean absolute value of each series lately."""
    return np.abs(values[:, -LEVEL_PERIODS[grain] :]).mean(axis=1)


def spread_of(forecast: FloatArray, level: FloatArray) -> FloatArray:
    """Return by what such forecasts miss typically, up to a factor; (series, periods)."""
    return np.sqrt(level[:, None] * np.abs(forecast)) + level[:, None] / 20 + 1e-9


class Intervals:
    """Scales of the series and the common shape, of one grain.

    Attributes:
        scales_: (series, bands).
        quantiles_: (bands, tails).
    """

    def __init__(self, grain: str) -> None:
        """See the class."""
        self.grain = grain

    def fit(self, errors: FloatArray) -> Intervals:
        """Learn from errors divided by their spread.

        Args:
            errors: (origins, series, horizons); NaN where the actual is not known.
        """
        band = bands(self.grain, errors.shape[2])
        count = len(BANDS[self.grain]) + 1
        scales = np.ones((errors.shape[1], count))
        shapes = np.zeros((count, len(TAILS)))
        for b in range(count):
            part = errors[:, :, band == b]
            seen = ~np.isnan(part)
            square = np.where(seen, part, 0.0) ** 2
            rows = seen.sum(axis=(0, 2))
            pooled = square.sum() / max(rows.sum(), 1)
            if rows.sum() == 0:
                # no horizon as long was examined: as wide as the band before
                scales[:, b], shapes[b] = scales[:, b - 1], shapes[b - 1]
                continue
            origins = seen.any(axis=2).sum(axis=0)
            own = square.sum(axis=(0, 2)) / np.maximum(rows, 1)
            mean = (origins * own + SHRINK * pooled) / (origins + SHRINK)
            scales[:, b] = np.maximum(np.sqrt(mean), SMALLEST_SCALE)
            shape = (part / scales[:, b][None, :, None])[seen]
            shapes[b] = [_tail(shape, share) for share in TAILS]
        self.scales_ = np.maximum.accumulate(scales, axis=1)
        self.quantiles_ = shapes
        return self

    def around(
        self, forecast: FloatArray, level: FloatArray, floor: FloatArray
    ) -> tuple[FloatArray, ...]:
        """Return low and high ends, (series, periods) each: low 95, low 80, high 80, high 95.

        Args:
            forecast: (series, periods).
            level: Of each series at the origin.
            floor: Smallest value that each series can have.
        """
        band = bands(self.grain, forecast.shape[1])
        reach = spread_of(forecast, level) * self.scales_[:, band]
        ends = [forecast + reach * self.quantiles_[band, tail] for tail in range(len(TAILS))]
        return tuple(np.maximum(end, floor[:, None]) for end in ends)


def _tail(shape: FloatArray, share: float) -> float:
    """Quantile by the conformal rule: a little beyond the empirical one, never across zero."""
    ranked = np.sort(shape)
    place = share * (len(ranked) + 1)
    value = float(np.interp(place, np.arange(1, len(ranked) + 1), ranked))
    return max(value, 0.0) if share > 0.5 else min(value, 0.0)


def covered(actual: FloatArray, ends: Sequence[FloatArray], level: float) -> NDArray[np.float64]:
    """Return 1 where an actual lies within its interval, 0 where not, NaN where it is not known."""
    low, high = (ends[0], ends[3]) if level == LEVELS[1] else (ends[1], ends[2])
    inside = (actual >= low - 1e-9) & (actual <= high + 1e-9)
    return np.where(np.isnan(actual), np.nan, inside)
