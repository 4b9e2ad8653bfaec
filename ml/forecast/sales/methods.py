"""Which methods are tried at which grain, and their forecasts from a list of origins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.forecast.sales.boosting import LaggedBoosting
from ml.forecast.sales.naive import SeasonalMean, SeasonalNaive
from ml.forecast.sales.panel import MEASURES, Panel
from ml.forecast.sales.periods import DAY, GRAINS, MAX_HORIZON, MONTH, WEEK
from ml.forecast.sales.smoothing import ExponentialSmoothing
from ml.forecast.sales.theta import Theta

FloatArray = NDArray[np.float64]
Forecasts = dict[str, FloatArray]
"""Method -> (origins, series, periods ahead)."""

NAIVE = "seasonal_naive"
MEAN = "seasonal_mean"
ETS = "exponential_smoothing"
THETA = "theta"
BOOSTING = "gradient_boosting"
MIXED = "combination"
METHODS = {
    DAY: (NAIVE, MEAN, ETS, THETA, BOOSTING, MIXED),
    WEEK: (NAIVE, MEAN, ETS, THETA, MIXED),
    MONTH: (NAIVE, MEAN, ETS, THETA, MIXED),
}
"""In the order of their names for the same error: the plainer first. The combination is the mean of
all but the naive one: no single method won the M4 competition, and their mean nearly did."""
SEASON = {DAY: 7, WEEK: 52, MONTH: 12}
LEARNED_PERIODS = {DAY: 400, WEEK: 208, MONTH: 120}
"""Parameters of smoothing are learned on at most so many of the latest periods."""
SEASONS_OF_MEAN = {DAY: 6, WEEK: 2, MONTH: 2}
PERIODS_OF_MEAN = {DAY: 28, WEEK: 6, MONTH: 3}
"""Where no season is known."""
CLOSED_WEEKS = 12


def season_of(grain: str, known: int) -> int:
    """Return the periods of a season, 1 where less than two seasons are known."""
    return SEASON[grain] if known >= 2 * SEASON[grain] else 1


class BaseMethods:
    """All methods of all grains, as they were learned from what a panel knows.

    Parameters:
        seed: Of the boosting.

    Attributes:
        smoothing_: Grain -> exponential smoothing.
        boosting_: The boosting of the days.
    """

    def __init__(self, seed: int = 0) -> None:
        """See the class."""
        self.seed = seed

    def fit(self, panel: Panel) -> BaseMethods:
        """Learn from every period that the panel knows."""
        self.smoothing_: dict[str, ExponentialSmoothing] = {}
        for grain in GRAINS:
            values = panel.values[grain]
            season = season_of(grain, values.shape[1])
            # smoothing begins with two seasons, so whole seasons are left out before
            skipped = max(values.shape[1] - LEARNED_PERIODS[grain], 0) // season * season
            smoothing = ExponentialSmoothing(season, has_trend=grain != DAY)
            self.smoothing_[grain] = smoothing.fit(values[:, skipped:])
        self.boosting_ = LaggedBoosting(str(panel.first_day), MAX_HORIZON[DAY], self.seed)
        self.boosting_.fit(panel.values[DAY], kinds_of(panel))
        return self

    def forecasts(
        self, panel: Panel, grain: str, origins: Sequence[np.datetime64], only: set[str]
    ) -> Forecasts:
        """Return each method's forecasts from each origin, of what was known there.

        Args:
            panel: The same series as in ``fit``, in the same order.
            grain: day, week or month.
            origins: Ascending; from each, what is known is what is complete by then.
            only: Methods that are asked for.
        """
        values = panel.values[grain]
        lengths = [panel.known(grain, origin) for origin in origins]
        season, horizon = self.smoothing_[grain].season, MAX_HORIZON[grain]
        short = season if min(lengths) >= 2 * season else 1
        every = set(METHODS[grain]) if MIXED in only else only
        found: Forecasts = {}
        for method in METHODS[grain]:
            if method not in every or method == MIXED:
                continue
            if method == NAIVE:
                found[method] = SeasonalNaive(short).forecasts(values, lengths, horizon)
            elif method == MEAN:
                count = (SEASONS_OF_MEAN if short > 1 else PERIODS_OF_MEAN)[grain]
                found[method] = SeasonalMean(short, count).forecasts(values, lengths, horizon)
            elif method == THETA:
                found[method] = Theta(short).forecasts(values, lengths, horizon)
            elif method == ETS:
                found[method] = self._smoothed(grain, short, values, lengths)
            else:
                found[method] = self.boosting_.forecasts(values, lengths, horizon, kinds_of(panel))
        if MIXED in only:
            parts = [part for name, part in found.items() if name != NAIVE]
            known = [part for part in parts if not np.isnan(part).any()]
            found[MIXED] = np.mean(known, axis=0)
        if grain == DAY:
            is_open = ~np.stack([closed_days(values[:, :length]) for length in lengths])
            found = {name: np.where(is_open, part, 0.0) for name, part in found.items()}
        return found

    def _smoothed(
        self, grain: str, season: int, values: FloatArray, lengths: Sequence[int]
    ) -> FloatArray:
        learned = self.smoothing_[grain]
        smoothing = ExponentialSmoothing(season)
        smoothing.parameters_, smoothing.caps_ = learned.parameters_, learned.caps_
        skipped = max(min(lengths) - LEARNED_PERIODS[grain], 0) // season * season
        known = [length - skipped for length in lengths]
        return smoothing.forecasts(values[:, skipped:], known, MAX_HORIZON[grain])


def closed_days(known: FloatArray) -> NDArray[np.bool_]:
    """Return which days ahead fall on a weekday on which nothing happened for twelve weeks."""
    weeks = known[:, -7 * CLOSED_WEEKS :]
    if weeks.shape[1] < 7 * CLOSED_WEEKS:
        return np.zeros((len(known), MAX_HORIZON[DAY]), dtype=bool)
    is_closed = ~weeks.reshape(len(known), CLOSED_WEEKS, 7).any(axis=1)
    return is_closed[:, np.arange(MAX_HORIZON[DAY]) % 7]


def kinds_of(panel: Panel) -> NDArray[np.int64]:
    """Return the number of each series' measure."""
    return np.array([MEASURES.index(key.measure) for key in panel.keys])


def picked(forecasts: Mapping[str, FloatArray], methods: Sequence[str]) -> FloatArray:
    """Return of each series the forecasts of its own method; (origins, series, periods ahead)."""
    stacked = {name: forecasts[name] for name in set(methods)}
    return np.stack([stacked[name][:, i] for i, name in enumerate(methods)], axis=1)
