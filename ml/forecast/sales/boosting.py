"""Gradient boosting with lags: one model of all daily series, each divided by its own level.

Direct forecasts: the days ahead are a feature, so no forecast is fed back in. All that is known of
a series at the origin is in its row; nothing of later days is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

FloatArray = NDArray[np.float64]

WEEK, MONTH, QUARTER, YEAR = 7, 28, 91, 364
"""Whole weeks, so that a lag falls on the same weekday."""
STEP = 7
MAX_ORIGINS = 52
PER_ORIGIN = 8
"""Targets drawn of each origin: by a fixed rule, so that the same data give the same rows."""
MIN_ROWS = 200
MAX_RATIO = 20.0
"""A day counts up to so many times the level: one huge order must not bend the trees."""


class LaggedBoosting:
    """Histogram gradient boosting on lags, means and the calendar.

    Parameters:
        first_day: Day of the first column, ISO.
        horizon: Most days ahead.
        seed: Of the boosting; nothing is drawn at random, so it decides nothing at present.

    Attributes:
        trees_: The fitted regressor of value / level; ``None`` where there was nothing to fit.
    """

    def __init__(self, first_day: str, horizon: int, seed: int = 0) -> None:
        """See the class."""
        self.first_day = first_day
        self.horizon = horizon
        self.seed = seed

    def fit(self, values: FloatArray, kinds: NDArray[np.int64]) -> LaggedBoosting:
        """Fit on targets within ``values``.

        Args:
            values: Shape (series, days).
            kinds: A number for what each series counts.
        """
        size = values.shape[1]
        last = size - 1
        origins = np.arange(last, MONTH - 1, -STEP)[:MAX_ORIGINS]
        rows, targets = [], []
        for number, n in enumerate(origins):
            reach = min(self.horizon, size - int(n))
            drawn = np.unique((number * 5 + np.arange(PER_ORIGIN) * reach // PER_ORIGIN) % reach)
            features, level = self._features(values, int(n), drawn + 1, kinds)
            ratio = values[:, int(n) + drawn] / np.where(level > 0, level, 1.0)[:, None]
            usable = np.repeat(level > 0, len(drawn))
            rows.append(features[usable])
            targets.append(np.clip(ratio, -MAX_RATIO, MAX_RATIO).ravel()[usable])
        self.trees_: HistGradientBoostingRegressor | None = None
        if rows and sum(len(part) for part in rows) >= MIN_ROWS:
            table = np.concatenate(rows)
            # scikit-learn cannot bin a column of nothing: the year before, where there is none
            table[:, np.isnan(table).all(axis=0)] = 0.0
            self.trees_ = HistGradientBoostingRegressor(
                learning_rate=0.08,
                max_iter=60,
                max_leaf_nodes=12,
                min_samples_leaf=40,
                l2_regularization=5.0,
                early_stopping=False,
                random_state=self.seed,
            ).fit(table, np.concatenate(targets))
        return self

    def forecasts(
        self,
        values: FloatArray,
        lengths: Sequence[int],
        horizon: int,
        kinds: NDArray[np.int64],
    ) -> FloatArray:
        """As ``ExponentialSmoothing.forecasts``; NaN where nothing was fitted."""
        found = np.full((len(lengths), len(values), horizon), np.nan)
        if self.trees_ is None:
            return found
        ahead = np.arange(1, horizon + 1)
        for number, n in enumerate(lengths):
            features, level = self._features(values, n, ahead, kinds)
            ratio = self.trees_.predict(features).reshape(len(values), horizon)
            found[number] = ratio * level[:, None]
        return found

    def _features(
        self, values: FloatArray, n: int, ahead: NDArray[np.int64], kinds: NDArray[np.int64]
    ) -> tuple[FloatArray, FloatArray]:
        """Rows (series by target) of what is known after ``n`` days, and each series' level."""
        known = values[:, :n]
        level = np.abs(known[:, -MONTH:]).mean(axis=1)
        safe = np.where(level > 0, level, 1.0)
        target = np.datetime64(self.first_day, "D") + (n + ahead - 1) * np.timedelta64(1, "D")
        month = target.astype("datetime64[M]")
        weekday = (target - np.datetime64("1970-01-05", "D")).astype(np.int64) % WEEK
        back = n - 1 - (-ahead % WEEK)  # the last known day of the target's weekday
        same_day = np.stack([known[:, np.maximum(back - WEEK * k, 0)] for k in range(4)])
        shape = (len(values), len(ahead))

        def of_series(column: FloatArray) -> FloatArray:
            return np.broadcast_to(column[:, None], shape)

        def of_target(column: NDArray) -> FloatArray:
            return np.broadcast_to(np.asarray(column, dtype=float)[None], shape)

        columns = [
            of_target(ahead),
            of_target(weekday),
            of_target((target - month.astype("datetime64[D]")).astype(np.int64)),
            of_target(month.astype(np.int64) % 12) if n >= YEAR else np.full(shape, np.nan),
            of_series(kinds.astype(float)),
            of_series(known[:, -WEEK:].mean(axis=1) / safe),
            of_series(known[:, -QUARTER:].mean(axis=1) / safe),
            of_series(known[:, -MONTH:].std(axis=1) / safe),
            same_day[0] / safe[:, None],
            same_day.mean(axis=0) / safe[:, None],
            self._last_year(known, n, ahead),
        ]
        return np.stack(columns, axis=2).reshape(-1, len(columns)), level

    @staticmethod
    def _last_year(known: FloatArray, n: int, ahead: NDArray[np.int64]) -> FloatArray:
        """The target's week a year before, over the four weeks a year before the origin."""
        if n < YEAR + MONTH:
            return np.full((len(known), len(ahead)), np.nan)
        total = np.concatenate([np.zeros((len(known), 1)), known.cumsum(axis=1)], axis=1)
        place = n + ahead - 1 - YEAR
        start, end = place - 3, np.minimum(place + 4, n)
        around = (total[:, end] - total[:, start]) / (end - start)
        then = (total[:, n - YEAR] - total[:, n - YEAR - MONTH]) / MONTH
        return around / np.where(then > 0, then, np.nan)[:, None]
