"""The sales forecaster that is registered: a method for every series, what adds up, intervals.

Belongs here: fitting and forecasting. Does not: the examination on a later period
(``training.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.forecast.sales.intervals import Intervals, bands, level_of, spread_of
from ml.forecast.sales.methods import (
    MEAN,
    METHODS,
    NAIVE,
    BaseMethods,
    Forecasts,
    picked,
)
from ml.forecast.sales.panel import MEASURES, Panel, TooShort, build_panel
from ml.forecast.sales.periods import DAY, GRAINS, MAX_HORIZON
from ml.forecast.sales.reconcile import Ahead, Reconciler, ahead_of

FloatArray = NDArray[np.float64]

MIN_ORIGINS, MAX_ORIGINS = 2, 6
MONTHS_TO_LEARN = 3
"""Before the first origin."""
OWN_WEIGHT = 0.5
"""How much a series' own past decides on its method, the rest is decided by the grain's other
series: the best of six methods on a few origins of one series is mostly luck."""
BLOCK = 28

SKOPS_TRUSTED_TYPES = [
    "ml.forecast.sales.boosting.LaggedBoosting",
    "ml.forecast.sales.intervals.Intervals",
    "ml.forecast.sales.methods.BaseMethods",
    "ml.forecast.sales.model.SalesForecaster",
    "ml.forecast.sales.smoothing.ExponentialSmoothing",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
"""What skops must be told to trust beside scikit-learn's public estimators."""


@dataclass(frozen=True)
class Outlook:
    """What is forecast at one origin.

    Attributes:
        ahead: The periods.
        forecasts: Grain -> (series, periods).
        ends: Grain -> low 95, low 80, high 80, high 95, (series, periods) each.
    """

    ahead: Ahead
    forecasts: Mapping[str, FloatArray]
    ends: Mapping[str, tuple[FloatArray, ...]]


class SalesForecaster(BaseEstimator):
    """Sales, orders and active customers by day, week and month, with intervals.

    Each series gets, at each grain, the method with the least error at origins in the past (the
    same day of earlier months); the forecasts are then moved so that they add up
    (``reconcile.py``), and what they missed by at those origins, so moved, makes the intervals.

    Parameters:
        seed: Of the boosting.

    Attributes:
        keys_: Measure, dimension and value of each series.
        members_: Dimension -> values with a series of their own.
        methods_: Grain -> method of each series.
        errors_: Grain -> mean absolute error of each method, (methods, series).
        known_until_: Last day (ISO) that the fit knew.
        origin_count_: Origins that decided.
        evaluated_: The same recipe fitted on the past only, whose figures were reported; or None.
    """

    def __init__(self, seed: int = 0) -> None:
        """See the class."""
        self.seed = seed

    def fit(self, periods: pd.DataFrame, as_of: object) -> SalesForecaster:
        """Fit on what was known on ``as_of``.

        Args:
            periods: Rows of ``features.sales_periods``, in any order.
            as_of: Last day that counts.

        Raises:
            TooShort: There is too little to learn from, and why.
        """
        with threadpool_limits(1):
            return self.fit_panel(build_panel(periods, as_of))

    def fit_panel(self, panel: Panel) -> SalesForecaster:
        """Fit on all that a panel knows."""
        months = (panel.as_of - panel.first_day).astype(int) // 30
        count = min(MAX_ORIGINS, int(months) - MONTHS_TO_LEARN)
        if count < MIN_ORIGINS:
            raise TooShort(
                f"{int(months)} months are too few: a forecast needs {MONTHS_TO_LEARN} to learn "
                f"and {MIN_ORIGINS} to choose its methods on"
            )
        origins = panel.origins(count)
        self.keys_ = [list(key) for key in panel.keys]
        self.members_ = {name: list(values) for name, values in panel.members.items()}
        self.evaluated_: SalesForecaster | None = None
        self.known_until_ = str(panel.as_of)
        self.origin_count_ = count
        self.base_ = BaseMethods(self.seed).fit(panel.until(origins[0]))
        tried = {
            grain: self.base_.forecasts(panel, grain, origins, set(METHODS[grain]))
            for grain in GRAINS
        }
        actual = {grain: actuals(panel, grain, origins) for grain in GRAINS}
        self._choose(panel, tried, actual)
        chosen = {grain: picked(tried[grain], self.methods_[grain]) for grain in GRAINS}
        self._weigh(panel, origins, chosen, actual)
        self._learn_intervals(panel, origins, chosen, actual)
        self.base_ = BaseMethods(self.seed).fit(panel)
        return self

    def outlook(self, panel: Panel, origins: Sequence[np.datetime64]) -> list[Outlook]:
        """Return what is forecast at each origin, from what was known there."""
        chosen = {
            grain: picked(
                self.base_.forecasts(panel, grain, origins, set(self.methods_[grain])),
                self.methods_[grain],
            )
            for grain in GRAINS
        }
        found = []
        for number, origin in enumerate(origins):
            ahead, moved = self._moved(panel, origin, {g: chosen[g][number] for g in GRAINS})
            floor = np.where(_is_nonnegative(panel, origin), 0.0, -np.inf)
            ends = {
                grain: self.intervals_[grain].around(
                    moved[grain], _level(panel, grain, origin), floor
                )
                for grain in GRAINS
            }
            found.append(Outlook(ahead, moved, ends))
        return found

    def predict(self, periods: pd.DataFrame, as_of: object) -> tuple[Panel, Outlook]:
        """Return the series as known on ``as_of``, and what is forecast for them."""
        with threadpool_limits(1):
            panel = build_panel(periods, as_of, self.members_)
            return panel, self.outlook(panel, [panel.as_of])[0]

    def _choose(
        self, panel: Panel, tried: Mapping[str, Forecasts], actual: Mapping[str, FloatArray]
    ) -> None:
        self.methods_: dict[str, list[str]] = {}
        self.errors_: dict[str, FloatArray] = {}
        for grain in GRAINS:
            names = [m for m in METHODS[grain] if not np.isnan(tried[grain][m]).any()]
            errors = np.stack([mean_absolute(tried[grain][name], actual[grain]) for name in names])
            naive = np.maximum(errors[names.index(NAIVE)], 1e-12)
            ratio = np.log(np.maximum(errors, 1e-12) / naive)
            is_known = np.isfinite(ratio).all(axis=0) & (naive > 1e-9)
            pooled = ratio[:, is_known].mean(axis=1) if is_known.any() else np.zeros(len(names))
            score = OWN_WEIGHT * np.where(is_known, ratio, 0.0)
            score = score + (1 - OWN_WEIGHT) * pooled[:, None]
            # rounded, so that a tie in the last digits goes to the plainer everywhere
            best = np.argmin(np.round(score, 6), axis=0)
            chosen = [names[i] for i in best]
            self.methods_[grain] = [
                MEAN if alone else name for name, alone in zip(chosen, panel.sparse, strict=True)
            ]
            self.errors_[grain] = errors

    def _weigh(
        self,
        panel: Panel,
        origins: Sequence[np.datetime64],
        chosen: Mapping[str, FloatArray],
        actual: Mapping[str, FloatArray],
    ) -> None:
        """Learn by how much each forecast may be moved."""
        self.weights_ = {}
        for grain in GRAINS:
            errors = _standard_errors(panel, grain, origins, chosen[grain], actual[grain])
            self.weights_[grain] = Intervals(grain).fit(errors).scales_
        # errors of days lean to one side together: their sum is off by more than the weights say
        gap = np.nan_to_num((actual[DAY] - chosen[DAY])[:, :, :BLOCK])
        together = gap.sum(axis=2) ** 2 / np.maximum((gap**2).sum(axis=2), 1e-12)
        self.together_ = np.clip(together.mean(axis=0), 1.0, BLOCK)

    def _learn_intervals(
        self,
        panel: Panel,
        origins: Sequence[np.datetime64],
        chosen: Mapping[str, FloatArray],
        actual: Mapping[str, FloatArray],
    ) -> None:
        moved = {grain: np.full_like(chosen[grain], np.nan) for grain in GRAINS}
        for number, origin in enumerate(origins):
            _, found = self._moved(panel, origin, {g: chosen[g][number] for g in GRAINS})
            for grain in GRAINS:
                moved[grain][number, :, : found[grain].shape[1]] = found[grain]
        self.intervals_ = {
            grain: Intervals(grain).fit(
                _standard_errors(panel, grain, origins, moved[grain], actual[grain])
            )
            for grain in GRAINS
        }

    def _moved(
        self, panel: Panel, origin: np.datetime64, base: Mapping[str, FloatArray]
    ) -> tuple[Ahead, dict[str, FloatArray]]:
        ahead = ahead_of(panel, origin)
        sizes = ahead.sizes
        cut = {grain: base[grain][:, : sizes[grain]] for grain in GRAINS}
        variances = {}
        for grain in GRAINS:
            band = bands(grain, sizes[grain])
            spread = spread_of(cut[grain], _level(panel, grain, origin))
            variances[grain] = (spread * self.weights_[grain][:, band]) ** 2
            # a day on which the shop is closed stays closed
            variances[grain] = np.where(np.abs(cut[grain]) < 1e-9, 0.0, variances[grain])
        variances[DAY] = variances[DAY] * self.together_[:, None]
        positive = _is_nonnegative(panel, origin)
        moved = {grain: np.empty_like(cut[grain]) for grain in GRAINS}
        for measure in MEASURES:
            reconciler = Reconciler(panel, measure, ahead, positive)
            for grain, part in reconciler.move(cut, variances).items():
                stays = variances[grain][reconciler.rows] == 0
                moved[grain][reconciler.rows] = np.where(stays, 0.0, part)
        return ahead, moved


def actuals(panel: Panel, grain: str, origins: Sequence[np.datetime64]) -> FloatArray:
    """Return what happened after each origin, NaN where it is not known yet.

    Returns:
        (origins, series, ``MAX_HORIZON``).
    """
    horizon = MAX_HORIZON[grain]
    values = panel.values[grain]
    padded = np.concatenate([values, np.full((len(values), horizon), np.nan)], axis=1)
    lengths = [panel.known(grain, origin) for origin in origins]
    return np.stack([padded[:, n : n + horizon] for n in lengths])


def mean_absolute(forecasts: FloatArray, actual: FloatArray) -> FloatArray:
    """Return each series' mean absolute error over origins and horizons; NaN without any."""
    gap = np.abs(forecasts - actual)
    seen = (~np.isnan(gap)).sum(axis=(0, 2))
    return np.where(seen > 0, np.nansum(gap, axis=(0, 2)) / np.maximum(seen, 1), np.nan)


def _standard_errors(
    panel: Panel,
    grain: str,
    origins: Sequence[np.datetime64],
    forecasts: FloatArray,
    actual: FloatArray,
) -> FloatArray:
    """Errors over their typical size, see ``intervals.py``; (origins, series, horizons)."""
    found = []
    for number, origin in enumerate(origins):
        level = _level(panel, grain, origin)
        error = (actual[number] - forecasts[number]) / spread_of(forecasts[number], level)
        # of what did not sell there is nothing to learn
        found.append(np.where(level[:, None] > 0, error, np.nan))
    return np.stack(found)


def _level(panel: Panel, grain: str, origin: np.datetime64) -> FloatArray:
    return level_of(panel.values[grain][:, : panel.known(grain, origin)], grain)


def _is_nonnegative(panel: Panel, origin: np.datetime64) -> NDArray[np.bool_]:
    return panel.values[DAY][:, : panel.known(DAY, origin)].min(axis=1) >= 0
