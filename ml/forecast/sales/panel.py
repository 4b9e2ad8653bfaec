"""From rows of ``features.sales_periods`` to one matrix a grain: which series there are.

Belongs here: which values of a dimension get a series of their own, and the rest together. Does
not: forecasting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.forecast.sales.periods import (
    DAY,
    GRAINS,
    Days,
    as_day,
    months_before,
    period_ends,
    starts_between,
)

FloatArray = NDArray[np.float64]

GROSS, ORDERS, CUSTOMERS = "gross_amount", "order_count", "active_customers"
MEASURES = (GROSS, ORDERS, CUSTOMERS)
TOTAL = "total"
DIMENSIONS = {"category": 8, "country": 6, "order_kind": 3}
"""Dimension -> most values with a series of their own; more make a report that nobody reads."""
OTHERS = "(all others)"
ADDITIVE = {
    GROSS: ("category", "country", "order_kind"),
    ORDERS: ("country", "order_kind"),
    CUSTOMERS: (),
}
"""Over which dimensions a measure may be summed: an order of two categories counts in both, a
customer with two orders once."""
SUMMED_OVER_TIME = (GROSS, ORDERS)
"""A customer who is active on two days of a month is one active customer of that month."""

MIN_DAYS = 180
"""Of a series' life: three months to be examined on, and as many to choose and learn on."""
MIN_HISTORY_DAYS = 245
"""Of the company's: eight months, three to be examined on, two at least to choose on."""
MIN_ORDERS = 200
YEAR = 365
"""Of the company, and of any series of its own, in the last year: with fewer, a day is a coin."""
MIN_ACTIVE_SHARE = 0.2
"""Of the last ``LATELY`` days: a series that is zero on more has too little to learn from."""
LATELY = 182


class SeriesKey(NamedTuple):
    """What is counted, and of what."""

    measure: str
    dimension: str
    value: str


class TooShort(Exception):
    """Too little data, and why."""


@dataclass(frozen=True)
class Panel:
    """Series by period, complete periods only.

    Attributes:
        keys: One per row of the matrices.
        as_of: Last day that is known.
        starts: Grain -> first days of the complete periods.
        values: Grain -> matrix (series, periods).
        members: Dimension -> values with a series of their own.
        sparse: Series made of what is too sparse for a series of its own.
        left_out: Values with too little data, as (dimension, value).
    """

    keys: tuple[SeriesKey, ...]
    as_of: np.datetime64
    starts: Mapping[str, Days]
    values: Mapping[str, FloatArray]
    members: Mapping[str, Sequence[str]]
    sparse: NDArray[np.bool_]
    left_out: tuple[tuple[str, str], ...]

    @property
    def first_day(self) -> np.datetime64:
        """Day of the first column of the days."""
        return self.starts[DAY][0]

    def known(self, grain: str, origin: np.datetime64) -> int:
        """Return how many periods of a grain are complete on a day."""
        return int(np.searchsorted(period_ends(grain, self.starts[grain]), origin, side="right"))

    def until(self, day: np.datetime64) -> Panel:
        """Return what was known on an earlier day, of the same series."""
        cut = {grain: self.known(grain, day) for grain in GRAINS}
        return Panel(
            self.keys,
            day,
            {grain: self.starts[grain][: cut[grain]] for grain in GRAINS},
            {grain: self.values[grain][:, : cut[grain]] for grain in GRAINS},
            self.members,
            self.sparse,
            self.left_out,
        )

    def origins(self, count: int) -> list[np.datetime64]:
        """Return the same day of earlier months, the earliest first."""
        return [months_before(self.as_of, back) for back in range(count, 0, -1)]


def build_panel(
    periods: pd.DataFrame,
    as_of: object,
    members: Mapping[str, Sequence[str]] | None = None,
) -> Panel:
    """Return the series as known on ``as_of``; rows of periods that end later are not looked at.

    Args:
        periods: ``period_grain``, ``period_start_on``, ``dimension``, ``dimension_value`` and the
            measures; periods without a sale may be missing.
        as_of: Last day that counts.
        members: Which values have a series of their own, as at an earlier training; chosen by
            size and history if not given.

    Raises:
        TooShort: Not even the total has enough history.
        ValueError: Columns are missing.
    """
    wanted = {"period_grain", "period_start_on", "dimension", "dimension_value", *MEASURES}
    if missing := wanted - set(periods.columns):
        raise ValueError(f"the periods lack columns: {sorted(missing)}")
    day = as_day(as_of)  # type: ignore[arg-type]
    starts_on = periods["period_start_on"].to_numpy().astype("datetime64[D]")
    rows = periods[starts_on <= day].assign(start=starts_on[starts_on <= day])
    rows = rows[~rows.duplicated(["period_grain", "start", "dimension", "dimension_value"])]
    first = _first_day(rows, day)
    starts = {grain: starts_between(grain, first, day) for grain in GRAINS}
    tables = {grain: _tables(rows, grain, starts[grain]) for grain in GRAINS}
    if missing_grains := [grain for grain in GRAINS if (TOTAL, TOTAL) not in tables[grain]]:
        raise TooShort(f"there are no sales by {' and '.join(missing_grains)} to forecast from")
    chosen, left_out = _choose_members(tables[DAY])
    if members is None:
        members = chosen
        _check_total(tables[DAY][TOTAL, TOTAL])
    left_out = tuple(pair for pair in left_out if pair[1] not in members.get(pair[0], ()))
    keys, values, sparse = _series(tables, members)
    return Panel(tuple(keys), day, starts, values, members, sparse, left_out)


def _first_day(rows: pd.DataFrame, day: np.datetime64) -> np.datetime64:
    total = rows[(rows["dimension"] == TOTAL) & (rows["period_grain"] == DAY)]
    if total.empty:
        raise TooShort("there are no sales to forecast from")
    first = total["start"].to_numpy().astype("datetime64[D]").min()
    days = int((day - first).astype(int)) + 1
    if days < MIN_HISTORY_DAYS:
        raise TooShort(
            f"sales of {days} days are too few: a forecast needs {MIN_HISTORY_DAYS}, to learn, to "
            "choose and to be examined on"
        )
    return first


def _tables(
    rows: pd.DataFrame, grain: str, starts: Days
) -> dict[tuple[str, str], dict[str, FloatArray]]:
    """(Dimension, value) -> measure -> value of each period, zero where nothing happened."""
    here = rows[rows["period_grain"] == grain]
    place = pd.Index(starts).get_indexer(pd.Index(here["start"].to_numpy().astype(starts.dtype)))
    here = here.assign(place=place)[place >= 0]
    found = {}
    for (dimension, value), group in here.groupby(["dimension", "dimension_value"], sort=True):
        columns = {}
        for measure in MEASURES:
            column = np.zeros(len(starts))
            column[group["place"]] = np.nan_to_num(group[measure].to_numpy(dtype=float))
            columns[measure] = column
        found[str(dimension), str(value)] = columns
    return found


def _is_enough(days: FloatArray) -> bool:
    sold = np.flatnonzero(days)
    if sold.size == 0 or len(days) - sold[0] < MIN_DAYS:
        return False
    return bool(np.count_nonzero(days[-LATELY:]) >= MIN_ACTIVE_SHARE * min(LATELY, len(days)))


def _has_enough_orders(columns: Mapping[str, FloatArray]) -> bool:
    return bool(columns[ORDERS][-YEAR:].sum() >= MIN_ORDERS and _is_enough(columns[GROSS]))


def _check_total(total: Mapping[str, FloatArray]) -> None:
    days, orders = total[GROSS], float(total[ORDERS][-YEAR:].sum())
    if orders < MIN_ORDERS:
        raise TooShort(
            f"{orders:.0f} orders in the last {YEAR} days are too few: a forecast needs "
            f"{MIN_ORDERS}"
        )
    if not _is_enough(days):
        share = np.count_nonzero(days[-LATELY:]) / min(LATELY, len(days))
        raise TooShort(
            f"sales on {share:.0%} of the last {LATELY} days are too few: a forecast needs "
            f"{MIN_ACTIVE_SHARE:.0%}"
        )


def _choose_members(
    tables: Mapping[tuple[str, str], Mapping[str, FloatArray]],
) -> tuple[dict[str, list[str]], tuple[tuple[str, str], ...]]:
    members: dict[str, list[str]] = {}
    left_out = []
    for dimension, most in DIMENSIONS.items():
        size = {
            value: float(np.abs(columns[GROSS][-365:]).sum())
            for (name, value), columns in tables.items()
            if name == dimension
        }
        ranked = sorted((v for v in size if size[v] > 0), key=lambda v: (-size[v], v))
        enough = [v for v in ranked if _has_enough_orders(tables[dimension, v])]
        members[dimension] = sorted(enough[:most]) if len(ranked) > 1 else []
        left_out += [(dimension, v) for v in sorted(set(ranked) - set(enough))]
    return members, tuple(left_out)


def _series(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, FloatArray]]],
    members: Mapping[str, Sequence[str]],
) -> tuple[list[SeriesKey], dict[str, FloatArray], NDArray[np.bool_]]:
    keys: list[SeriesKey] = []
    sparse: list[bool] = []
    columns: dict[str, list[FloatArray]] = {grain: [] for grain in GRAINS}

    def add(key: SeriesKey, values: Mapping[str, FloatArray]) -> None:
        keys.append(key)
        sparse.append(key.value == OTHERS and not _is_enough(values[DAY]))
        for grain in GRAINS:
            columns[grain].append(values[grain])

    for measure in MEASURES:
        total = {g: tables[g][TOTAL, TOTAL][measure] for g in GRAINS if (TOTAL, TOTAL) in tables[g]}
        total = {g: total.get(g, np.zeros(0)) for g in GRAINS}
        add(SeriesKey(measure, TOTAL, TOTAL), total)
        for dimension in DIMENSIONS:
            rest = {grain: total[grain].copy() for grain in GRAINS}
            for value in members.get(dimension, ()):
                empty = dict.fromkeys(MEASURES)
                own = {}
                for grain in GRAINS:
                    found = tables[grain].get((dimension, value), empty)[measure]
                    own[grain] = np.zeros(len(total[grain])) if found is None else found
                    rest[grain] -= own[grain]
                add(SeriesKey(measure, dimension, value), own)
            if members.get(dimension) and dimension in ADDITIVE[measure]:
                # also where nothing is left at present: what is new later belongs somewhere
                tiny = {g: 1e-9 * max(np.abs(total[g]).max(initial=0), 1) for g in GRAINS}
                clean = {g: np.where(np.abs(rest[g]) < tiny[g], 0.0, rest[g]) for g in GRAINS}
                add(SeriesKey(measure, dimension, OTHERS), clean)
    matrices = {grain: np.stack(columns[grain]) for grain in GRAINS}
    return keys, matrices, np.array(sparse)
