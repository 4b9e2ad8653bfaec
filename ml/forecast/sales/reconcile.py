"""Forecasts that add up: parts to the total, days to their weeks and months.

Every series at every grain is forecast by itself. What must hold is linear: the parts of each
dimension sum to the total, and the days ahead of a week or month, with what is known of it already,
sum to it. The forecasts are moved onto what holds by the least weighted squares,

    y = f - W C' (C W C')^-1 (C f - c),

the constraint form of trace minimisation with a diagonal W (Wickramasuriya, Athanasopoulos &
Hyndman 2019; Di Fonzo & Girolimetto 2023): no bottom level is needed, which three dimensions beside
each other, and weeks beside months, do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from ml.forecast.sales.panel import (
    ADDITIVE,
    DIMENSIONS,
    SUMMED_OVER_TIME,
    TOTAL,
    Panel,
    SeriesKey,
)
from ml.forecast.sales.periods import DAY, GRAINS, MONTH, WEEK, Days, period_ends, starts_ahead

FloatArray = NDArray[np.float64]

MAX_ROUNDS = 6
"""Rounds in which days that would be negative are set to zero and the rest is moved again."""
SMALLEST_WEIGHT = 1e-7


@dataclass(frozen=True)
class Ahead:
    """The periods ahead of an origin, and what is known of the running ones.

    Attributes:
        starts: Grain -> first days.
        observed: Grain -> (series, periods): what happened of a running period by the origin, of
            measures that sum over time.
    """

    starts: Mapping[str, Days]
    observed: Mapping[str, FloatArray]

    @property
    def sizes(self) -> dict[str, int]:
        """Grain -> number of periods."""
        return {grain: len(starts) for grain, starts in self.starts.items()}


def ahead_of(panel: Panel, origin: np.datetime64) -> Ahead:
    """Return the periods ahead of ``origin``; of the days only those by it are looked at."""
    starts = {grain: starts_ahead(grain, origin) for grain in GRAINS}
    known = panel.known(DAY, origin)
    observed = {DAY: np.zeros((len(panel.keys), len(starts[DAY])))}
    for grain in (WEEK, MONTH):
        begun = np.searchsorted(panel.starts[DAY][:known], starts[grain])
        days = panel.values[DAY][:, :known]
        observed[grain] = np.stack([days[:, place:].sum(axis=1) for place in begun], axis=1)
    return Ahead(starts, observed)


class Reconciler:
    """What must hold for the series of one measure, ahead of one origin."""

    def __init__(
        self, panel: Panel, measure: str, ahead: Ahead, is_nonnegative: NDArray[np.bool_]
    ) -> None:
        """See the class."""
        self.rows = [i for i, key in enumerate(panel.keys) if key.measure == measure]
        self.ahead = ahead
        keys = [panel.keys[i] for i in self.rows]
        self.is_nonnegative = is_nonnegative[self.rows]
        sizes = ahead.sizes
        self.width = sum(sizes.values())
        places: list[tuple[int, int, float]] = []
        constants: list[float] = []
        if measure in SUMMED_OVER_TIME:
            for series, row in enumerate(self.rows):
                self._sum_over_time(series, row, places, constants)
        total = keys.index((measure, TOTAL, TOTAL))
        for dimension in (d for d in DIMENSIONS if d in ADDITIVE[measure]):
            parts = [i for i, key in enumerate(keys) if key.dimension == dimension]
            for day in range(sizes[DAY] if parts else 0):
                number = len(constants)
                places.append((number, total * self.width + day, 1.0))
                places += [(number, part * self.width + day, -1.0) for part in parts]
                constants.append(0.0)
        self.constants = np.array(constants)
        shape = (len(constants), self.width * len(self.rows))
        at = np.array([(a, b) for a, b, _ in places], dtype=int).reshape(-1, 2)
        data = [value for _, _, value in places]
        self.matrix = sparse.csr_array((data, (at[:, 0], at[:, 1])), shape=shape)

    def _sum_over_time(
        self,
        series: int,
        row: int,
        places: list[tuple[int, int, float]],
        constants: list[float],
    ) -> None:
        days = self.ahead.starts[DAY]
        before = series * self.width
        offset = before + len(days)
        for grain in (WEEK, MONTH):
            starts = self.ahead.starts[grain]
            ends = period_ends(grain, starts)
            for j, (start, end) in enumerate(zip(starts, ends, strict=True)):
                number = len(constants)
                places.append((number, offset + j, 1.0))
                first, last = np.searchsorted(days, [start, end + np.timedelta64(1, "D")])
                places += [(number, before + day, -1.0) for day in range(first, last)]
                constants.append(float(self.ahead.observed[grain][row, j]))
            offset += len(starts)

    def move(
        self, forecasts: Mapping[str, FloatArray], variances: Mapping[str, FloatArray]
    ) -> dict[str, FloatArray]:
        """Return the forecasts of these series, moved as little as makes them add up.

        Args:
            forecasts: Grain -> (series of the panel, periods ahead).
            variances: Likewise: how far each may be off; one of zero stays.
        """
        base = self._flat(forecasts)
        weight = self._flat(variances)
        if len(self.constants) == 0:
            moved = np.maximum(base, self._floor())
        else:
            typical = weight[weight > 0].mean() if (weight > 0).any() else 1.0
            weight = np.maximum(weight / typical, SMALLEST_WEIGHT)
            moved = self._nonnegative(base, weight)
        moved = moved.reshape(len(self.rows), self.width)
        found, offset = {}, 0
        for grain in GRAINS:
            size = self.ahead.sizes[grain]
            found[grain] = moved[:, offset : offset + size]
            offset += size
        return found

    def _flat(self, of_grain: Mapping[str, FloatArray]) -> FloatArray:
        return np.concatenate([of_grain[grain][self.rows] for grain in GRAINS], axis=1).ravel()

    def _floor(self) -> FloatArray:
        return np.repeat(np.where(self.is_nonnegative, 0.0, -np.inf), self.width)

    def _nonnegative(self, base: FloatArray, weight: FloatArray) -> FloatArray:
        floor = self._floor()
        start, moved = base, base
        for _ in range(MAX_ROUNDS):
            moved = self._project(start, weight)
            below = moved < floor - 1e-9
            if not below.any():
                break
            start = np.where(below, 0.0, start)
            weight = np.where(below, SMALLEST_WEIGHT**2, weight)
        return np.maximum(moved, floor)

    def _project(self, base: FloatArray, weight: FloatArray) -> FloatArray:
        spread = self.matrix.T.multiply(weight[:, None]).tocsc()
        system = (self.matrix @ spread).tocsc()
        gap = self.matrix @ base - self.constants
        return base - spread @ splu(system).solve(gap)


def adds_up(key: SeriesKey) -> bool:
    """Return whether a series is moved so that it and its kind sum to the total."""
    is_part = key.dimension == TOTAL or key.dimension in ADDITIVE[key.measure]
    return key.measure in SUMMED_OVER_TIME and is_part
