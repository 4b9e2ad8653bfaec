"""Exponential smoothing with damped trend and additive season, for many series at once.

The error-correction form of Hyndman, Koehler, Ord & Snyder (2008), ETS(A, Ad, A):

    e_t = y_t - (l_{t-1} + phi b_{t-1} + s_{t-m})
    l_t = l_{t-1} + phi b_{t-1} + alpha e_t
    b_t = phi b_{t-1} + beta e_t
    s_t = s_{t-m} + gamma e_t

Without season (m = 1) and with beta = 0 this is simple exponential smoothing. An error counts up to
``CAP`` typical ones, in what is learned and in what the states take over, so that one day on which
somebody ordered 80,000 units (Online Retail, 2011-12-09) is not the level of the next ones (after
Gelper, Fried & Croux 2010). All series and all
parameters that are tried run through the recursion together, which makes a search of a grid, twice
refined, cheaper than one gradient descent a series, and the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ALPHAS = (0.02, 0.06, 0.14, 0.28, 0.5, 0.8)
TRENDS = ((0.0, 0.9), (0.03, 0.9), (0.15, 0.98))
"""(beta / alpha, phi). The trend starts at zero, so without beta there is none."""
SEASONS = (0.01, 0.06, 0.2)
"""gamma / (1 - alpha)."""
STEPS = ((1.8, 0.12, 2.2), (1.25, 0.05, 1.4), (1.1, 0.02, 1.15))
"""How far each round of the refinement looks: factor of alpha, part of phi, factor of the rest."""
CAP = 4.0
"""Times 1.4826 median absolute seasonal changes: four standard deviations of a bell."""
MIN_ALPHA, MAX_ALPHA = 0.001, 0.9999


class ExponentialSmoothing:
    """ETS(A, Ad, A) or, with ``season`` 1, ETS(A, Ad, N), of each row of a matrix.

    Parameters:
        season: Periods of a season, 1 for none. Two seasons of history are needed.
        has_trend: Whether a damped trend is tried.

    Attributes:
        parameters_: alpha, beta, gamma, phi of each series; shape (series, 4).
        caps_: Greatest error of each series that counts in full.
    """

    def __init__(self, season: int = 1, has_trend: bool = True) -> None:
        """See the class."""
        self.season = season
        self.has_trend = has_trend

    def fit(self, values: FloatArray) -> ExponentialSmoothing:
        """Choose the parameters with the least (capped) squared error one step ahead.

        Args:
            values: One row a series, one column a period, oldest first.
        """
        self.caps_ = self._caps(values)
        tried = self._grid(len(values))
        best = self._best(values, tried)
        for factor, shift, spread in STEPS:
            best = self._best(values, self._around(best, factor, shift, spread))
        self.parameters_ = best
        return self

    def loss(self, values: FloatArray, parameters: FloatArray) -> FloatArray:
        """Return the mean capped squared error of each series (row) and each tried set.

        Args:
            values: Shape (series, periods).
            parameters: Shape (series, tried, 4).
        """
        warm_up = min(2 * self.season, max(values.shape[1] - 1, 0))
        total, _ = self._run(values, parameters, warm_up, ())
        return total / max(values.shape[1] - warm_up, 1)

    def _caps(self, values: FloatArray) -> FloatArray:
        changes = np.abs(values[:, self.season :] - values[:, : -self.season])
        typical = 1.4826 * np.median(changes, axis=1) if changes.size else np.zeros(len(values))
        spread = values.std(axis=1)
        return CAP * np.where(typical > 0, typical, np.where(spread > 0, spread, 1.0))

    def forecasts(self, values: FloatArray, lengths: Sequence[int], horizon: int) -> FloatArray:
        """Return forecasts from each of some origins, from what was known there and no more.

        Args:
            values: Shape (series, periods).
            lengths: How many periods are known at each origin, ascending.
            horizon: Periods ahead.

        Returns:
            Shape (origins, series, horizon).
        """
        parameters = self.parameters_[:, None, :]
        known = values[:, : max(lengths)]
        _, states = self._run(known, parameters, 0, lengths)
        phi = self.parameters_[:, 3][:, None]
        ahead = np.arange(1, horizon + 1)
        damping = np.cumsum(phi**ahead, axis=1)
        found = []
        for length in lengths:
            level, trend, season = states[length]
            pattern = season[(length + ahead - 1) % self.season].T
            found.append(level[:, None] + damping * trend[:, None] + pattern)
        return np.stack(found)

    def _start(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Level and season to begin with, from the first two seasons (or four periods)."""
        m = self.season
        if m == 1:
            return values[:, :4].mean(axis=1), np.zeros((1, len(values)))
        first = values[:, : 2 * m].reshape(len(values), -1, m)
        level = first.mean(axis=(1, 2))
        return level, (first - first.mean(axis=2, keepdims=True)).mean(axis=1).T

    def _run(
        self,
        values: FloatArray,
        parameters: FloatArray,
        warm_up: int,
        keep: Sequence[int],
    ) -> tuple[FloatArray, dict[int, tuple[FloatArray, FloatArray, FloatArray]]]:
        alpha, beta, gamma, phi = np.moveaxis(parameters, 2, 0)
        first_level, first_season = self._start(values)
        shape = alpha.shape
        level = np.repeat(first_level[:, None], shape[1], axis=1)
        trend = np.zeros(shape)
        season = [np.repeat(part[:, None], shape[1], axis=1) for part in first_season]
        total = np.zeros(shape)
        ceiling = self.caps_[:, None]
        floor = -ceiling
        states = {}
        for t in range(values.shape[1]):
            place = t % self.season
            damped = phi * trend
            mean = level + damped
            error = np.minimum(values[:, t, None] - mean - season[place], ceiling)
            error = np.maximum(error, floor)
            level = mean + alpha * error
            trend = damped + beta * error
            if self.season > 1:
                season[place] = season[place] + gamma * error
            if t >= warm_up:
                total += error * error
            if t + 1 in keep:
                states[t + 1] = (
                    level[:, 0], trend[:, 0], np.stack([part[:, 0] for part in season])
                )  # fmt: skip
        return total, states

    def _best(self, values: FloatArray, tried: FloatArray) -> FloatArray:
        loss = self.loss(values, tried)
        return tried[np.arange(len(values)), np.argmin(loss, axis=1)]

    def _grid(self, size: int) -> FloatArray:
        rows = [
            (alpha, share * alpha, gamma * (1 - alpha), phi)
            for alpha in ALPHAS
            for share, phi in (TRENDS if self.has_trend else TRENDS[:1])
            for gamma in (SEASONS if self.season > 1 else (0.0,))
        ]
        return np.repeat(np.array(rows)[None], size, axis=0)

    def _around(self, best: FloatArray, factor: float, shift: float, spread: float) -> FloatArray:
        tried = []
        for up in (1.0, factor, 1 / factor):
            alpha = np.clip(best[:, 0] * up, MIN_ALPHA, MAX_ALPHA)
            for of_beta, of_gamma, of_phi in (
                (1, 1, 0), (spread, 1, 0), (1 / spread, 1, 0), (1, spread, 0), (1, 1 / spread, 0),
                (1, 1, shift), (1, 1, -shift),
            ):  # fmt: skip
                beta = np.minimum(best[:, 1] * of_beta, alpha)
                gamma = np.minimum(best[:, 2] * of_gamma, 1 - alpha)
                phi = np.clip(best[:, 3] + of_phi, 0.8, 0.98)
                tried.append(np.stack([alpha, beta, gamma, phi], axis=1))
        return np.stack(tried, axis=1)
