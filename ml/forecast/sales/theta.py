"""The Theta method for many series at once.

Assimakopoulos & Nikolopoulos (2000), in the form of Hyndman & Billah (2003): simple exponential
smoothing plus half the slope of a straight line through the history,

    y(n + h) = l_n + b / 2 (h - 1 + (1 - (1 - alpha)^n) / alpha),

on a series whose season was taken out, and put back afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ALPHAS = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99])
SMALLEST_INDEX = 0.05
"""A season's place with less than this part of a typical one is closed: nothing to divide by."""


class Theta:
    """Theta forecasts of each row of a matrix; estimated anew at each origin, so nothing to fit.

    Parameters:
        season: Periods of a season, 1 for none. Two seasons of history are needed.
        window: How many of the last periods are looked at; all if fewer.
    """

    def __init__(self, season: int = 1, window: int = 400) -> None:
        """See the class."""
        self.season = season
        self.window = window

    def forecasts(self, values: FloatArray, lengths: Sequence[int], horizon: int) -> FloatArray:
        """As ``ExponentialSmoothing.forecasts``."""
        return np.stack(
            [self._ahead(values[:, max(0, n - self.window) : n], horizon) for n in lengths]
        )

    def _ahead(self, values: FloatArray, horizon: int) -> FloatArray:
        size = values.shape[1]
        factors, shifts = self._season(values)
        places = np.arange(size + horizon) % self.season
        scale, shift = factors[:, places], shifts[:, places]
        trend, slope = _line(values)
        is_open = scale[:, :size] >= SMALLEST_INDEX
        divisor = np.where(is_open, scale[:, :size], 1.0)
        adjusted = np.where(is_open, (values - shift[:, :size]) / divisor, trend)
        _, slope = _line(adjusted)
        level, alpha = smoothed_level(adjusted)
        ahead = np.arange(horizon)[None]
        memory = ((1 - (1 - alpha) ** size) / alpha)[:, None]
        flat = level[:, None] + slope[:, None] / 2 * (ahead + memory)
        return flat * scale[:, size:] + shift[:, size:]

    def _season(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Factor and shift of each place: a factor for what is never negative, else a shift."""
        series, size = values.shape
        factors, shifts = np.ones((series, self.season)), np.zeros((series, self.season))
        if self.season == 1:
            return factors, shifts
        trend, _ = _line(values)
        places = np.arange(size) % self.season
        floor = 0.1 * np.abs(values).mean(axis=1, keepdims=True) + 1e-12
        level = np.maximum(trend, floor)
        for place in range(self.season):
            here = places == place
            factors[:, place] = values[:, here].sum(axis=1) / level[:, here].sum(axis=1)
            shifts[:, place] = (values[:, here] - trend[:, here]).mean(axis=1)
        mean = factors.mean(axis=1, keepdims=True)
        is_signed = (values.min(axis=1, keepdims=True) < 0) | (mean <= 0)
        factors = np.where(is_signed, 1.0, factors / np.where(mean > 0, mean, 1.0))
        shifts = np.where(is_signed, shifts - shifts.mean(axis=1, keepdims=True), 0.0)
        return factors, shifts


def smoothed_level(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the last level of simple exponential smoothing, and the alpha that fits best."""
    level = np.repeat(values[:, :1], len(ALPHAS), axis=1)
    total = np.zeros_like(level)
    for t in range(1, values.shape[1]):
        error = values[:, t, None] - level
        total += error * error
        level = level + ALPHAS * error
    chosen = np.argmin(total, axis=1)
    return level[np.arange(len(values)), chosen], ALPHAS[chosen]


def _line(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Straight line by least squares through each row, and its slope."""
    size = values.shape[1]
    centred = np.arange(size) - (size - 1) / 2
    spread = float((centred**2).sum())
    slope = values @ centred / spread if spread > 0 else np.zeros(len(values))
    return values.mean(axis=1, keepdims=True) + slope[:, None] * centred, slope
