"""Bounds learned from history: plain numbers in, a bound out. No Dagster, no SQL, no clock.

A bound is *median plus or minus k robust deviations* of what came before, on a scale on which the
figure's noise is even: logarithms for counts and positive amounts, the arcsine root for rates, the
cube root for a population stability index. ``k`` is a Student quantile, since a deviation learned
from few values is itself uncertain; and a bound is never narrower than what chance alone does to
a figure of that many rows (Poisson, binomial), nor than a change that nobody would act on
(``SMALLEST``).

Measured, as ``tests/unit/test_quality_learned.py`` repeats it (fixed seeds); "spread" is how much
the truth itself changes from day to day or file to file, as a standard deviation of its logarithm:

====================================================================  =========================
1,000 unchanged days of 150 rows; spread 0, .1, .25 (weekends half)   0.5, 0.3, 0.3 % alarms
a day with half its rows; the same spreads                            100, 95, 26 % found
a day with a tenth of its rows; the same spreads                      100 % found
1,000 unchanged files of 8 columns, 500 rows; spread 0, .1            0.1, 0.2 % complained of
1,000 unchanged files of 2,000 rows, spread .2                        0.4 % complained of
a null rate of 2 % that becomes 8 %; 24 files before, 8 files         82, 45 % found
prices that double; 24 files before, 8 files                          100, 100 % found
a category of 70 % that becomes 40 %; 24 files before, 8 files        100, 98 % found
====================================================================  =========================

Half a day's rows is 2.8 standard deviations where days differ by .25: no bound that is quiet on
unchanged days finds more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ALARMS = 0.004
"""Share of unchanged deliveries of one table of which one family of measures may complain."""

SMALLEST = {
    "rows": math.log(1.2),  # a fifth more, or a sixth fewer
    "null_rate": 0.01,
    "distinct_share": math.log(1.25),
    "level": math.log(1.25),  # of a quantile of positive numbers
    "quantile": 0.1,  # of other numbers: of the distance between the 10 % and the 90 % quantile
    "category_shift": 0.1,  # what the trade calls a moderate population stability index
}
"""Changes below these are not reported."""

GAP_FACTOR = 1.5
"""A delivery is late after so many times the longest interval known: with 20 to 50 exponential
intervals behind it, fewer than 1 in 200 is longer."""


@dataclass(frozen=True)
class Bound:
    """One figure, and what history says it should be.

    Attributes:
        measure: What was measured.
        column: Of which column; ``None`` is the table.
        observed: The newest figure; ``None`` where there is none to judge.
        lower: Least figure that is usual; ``None`` is no limit.
        upper: Greatest figure that is usual; ``None`` is no limit.
        history: Earlier figures it was learned from.
        needed: Earlier figures that it takes; below that nothing is judged.
    """

    measure: str
    column: str | None
    observed: float | None
    lower: float | None
    upper: float | None
    history: int
    needed: int

    @property
    def is_judged(self) -> bool:
        """Whether there was a figure and history enough."""
        return self.observed is not None and self.history >= self.needed

    @property
    def is_within(self) -> bool:
        """Whether nothing speaks against the figure: also where there is too little history."""
        if not self.is_judged or self.observed is None:
            return True
        slack = 1e-9 * max(1.0, abs(self.observed))
        above = self.upper is not None and self.observed > self.upper + slack
        below = self.lower is not None and self.observed < self.lower - slack
        return not (above or below)

    def __str__(self) -> str:
        """The figure and its bound in words."""
        name = f"{self.measure} of {self.column}" if self.column else self.measure
        if not self.is_judged:
            return f"{name}: too little history ({self.history} of {self.needed})"
        ends = [f"{end:.4g}" if end is not None else "any" for end in (self.lower, self.upper)]
        return f"{name} {self.observed:.4g}, usual {ends[0]} to {ends[1]}"


def robust_deviation(values: Array) -> float:
    """Return the standard deviation without outliers.

    Outliers are values further than four times 1.4826 median absolute deviations from the median;
    were the values normal, one in 16,000 is. (The median absolute deviation itself would do without
    that step, but knows only a third as much: learned from twelve values it would have to be
    trusted so little that nothing is ever found.)
    """
    centre = np.median(values)
    usual = float(1.4826 * np.median(np.abs(values - centre)))
    kept = values[np.abs(values - centre) <= 4 * usual] if usual > 0 else values
    return float(np.std(kept, ddof=1)) if len(kept) > 1 else 0.0


def half_width(history: Array, chance: float, alarms: float, *, group: int = 0) -> float:
    """Return how far from the median of ``history`` an unchanged figure strays.

    Args:
        history: Earlier figures, on a scale of even noise; shape (n,).
        chance: Standard deviation that chance alone gives one figure.
        alarms: Share of unchanged figures that may stray further, both sides together.
        group: Figures that each adjustment (of a weekday) was learned from; 0 is no adjustment.
    """
    from scipy.special import stdtrit

    spread = robust_deviation(history) / math.sqrt(1 - 1 / group if group else 1)
    # the median it is measured from is itself uncertain: its variance is pi / 2n
    widened = math.sqrt(1 + math.pi / (2 * (group or len(history))))
    by_chance = NormalDist().inv_cdf(1 - alarms / 2) * chance
    learned = float(stdtrit(max(len(history) - 1, 1), 1 - alarms / 2)) * spread
    return max(by_chance, learned) * widened


def count_bound(
    measure: str,
    history: Sequence[float],
    observed: Sequence[float],
    *,
    needed: int,
    shifts: Sequence[float] | None = None,
) -> Bound:
    """Bound for counts, on the log scale; of several newest ones the most unusual is judged.

    Args:
        measure: Name.
        history: Earlier counts, adjusted for the day of the week if the newest are.
        observed: The newest counts, not adjusted.
        needed: Earlier counts it takes.
        shifts: What the day of the week adds to each newest count, in logarithms.
    """
    if not len(observed) or len(history) < needed:
        last = float(observed[-1]) if len(observed) else None
        return Bound(measure, None, last, None, None, len(history), needed)
    before = np.log1p(np.asarray(history, dtype=float))
    now = np.log1p(np.asarray(observed, dtype=float)) - np.asarray(shifts or [0.0] * len(observed))
    centre = float(np.median(before))
    chance = 1 / math.sqrt(max(math.expm1(centre), 1.0))
    group = len(before) // 7 if shifts and any(shifts) else 0
    width = half_width(before, chance, ALARMS / len(observed), group=group)
    width = max(width, SMALLEST["rows"])
    worst = int(np.argmax(np.abs(now - centre)))
    shift = shifts[worst] if shifts else 0.0
    lower, upper = (math.expm1(centre + shift + side * width) for side in (-1, 1))
    return Bound(measure, None, float(observed[worst]), max(lower, 0.0), upper, len(before), needed)


def weekday_shifts(counts: Sequence[float], weekdays: Sequence[int]) -> dict[int, float]:
    """Return weekday -> what it adds to the logarithm of a day's count.

    All zero unless every weekday was seen four times.
    """
    logs, days = np.log1p(np.asarray(counts, dtype=float)), np.asarray(weekdays)
    if any(np.sum(days == day) < 4 for day in range(7)):
        return dict.fromkeys(range(7), 0.0)
    medians = {day: float(np.median(logs[days == day])) for day in range(7)}
    middle = float(np.median(list(medians.values())))
    return {day: median - middle for day, median in medians.items()}


def age_bound(
    measure: str,
    intervals: Sequence[float],
    age: float | None,
    *,
    needed: int,
    declared: float | None = None,
    least: float = 1.0,
) -> Bound:
    """Bound for the time since the last delivery, from the intervals between those before.

    Args:
        measure: Name.
        intervals: Days between deliveries, oldest first.
        age: Days since the last one.
        needed: Intervals it takes.
        declared: What the contract promises; replaces what would be learned.
        least: Never complain before this many days.
    """
    if declared is not None:
        return Bound(measure, None, age, None, float(declared), len(intervals), 0)
    upper = max(GAP_FACTOR * max(intervals), least) if len(intervals) else None
    return Bound(measure, None, age, None, upper, len(intervals), needed)


def rate_bound(
    column: str,
    history: Sequence[float],
    rows: Sequence[int],
    observed: float,
    observed_rows: int,
    *,
    needed: int,
    alarms: float = ALARMS,
) -> Bound:
    """Bound for a null rate, on the arcsine scale, where its noise is 1 / (2 sqrt(rows))."""
    if len(history) < needed:
        return Bound("null_rate", column, observed, None, None, len(history), needed)
    before = np.arcsin(np.sqrt(np.asarray(history, dtype=float)))
    smallest_unit = min([observed_rows, int(np.median(np.asarray(rows)))])
    width = half_width(before, 0.5 / math.sqrt(smallest_unit), alarms)
    centre = float(np.median(before))
    usual = math.sin(centre) ** 2
    lower = math.sin(max(centre - width, 0.0)) ** 2
    upper = math.sin(min(centre + width, math.pi / 2)) ** 2
    lower = max(min(lower, usual - SMALLEST["null_rate"]), 0.0)
    upper = min(max(upper, usual + SMALLEST["null_rate"]), 1.0)
    return Bound("null_rate", column, observed, lower, upper, len(history), needed)


def distinct_bound(
    column: str,
    history: Sequence[int],
    rows: Sequence[int],
    observed: int,
    observed_rows: int,
    *,
    needed: int,
    alarms: float = ALARMS,
) -> Bound:
    """Bound for the share of distinct values, from earlier units of about as many rows.

    A share of distinct values depends on how many rows it is of, so only units of two thirds to
    one and a half times as many rows are compared.
    """
    pairs = [
        (value, count)
        for value, count in zip(history, rows, strict=True)
        if value > 0 and observed_rows / 1.5 <= count <= observed_rows * 1.5
    ]
    share = observed / observed_rows
    if len(pairs) < needed or observed == 0:
        return Bound("distinct_share", column, share, None, None, len(pairs), needed)
    before = np.log([value / count for value, count in pairs])
    chance = 1 / math.sqrt(min(observed, float(np.median([value for value, _ in pairs]))))
    width = max(half_width(before, chance, alarms), SMALLEST["distinct_share"])
    centre = float(np.median(before))
    upper = min(math.exp(centre + width), 1.0)
    return Bound(
        "distinct_share", column, share, math.exp(centre - width), upper, len(pairs), needed
    )


LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
"""The quantiles that are kept of a numeric column."""

_JUDGED = {"p10": (1, (0, 2), 0.20), "p50": (3, (2, 4), 0.50), "p90": (5, (4, 6), 0.20)}
"""Measure -> its place in ``LEVELS``, and two neighbours with the share of values between them:
what lies between them says how dense values are there, and so how much chance moves it."""


def quantile_bounds(
    column: str,
    history: Sequence[Sequence[float]],
    observed: Sequence[float],
    observed_rows: int,
    *,
    needed: int,
    alarms: float = ALARMS,
) -> list[Bound]:
    """Bounds for the 10, 50 and 90 % quantile of a numeric column.

    Args:
        column: Name.
        history: Earlier units' quantiles at ``LEVELS``; shape (n, 7).
        observed: The newest unit's; shape (7,).
        observed_rows: Values they are of.
        needed: Units it takes.
        alarms: Share of unchanged figures that may stray.
    """
    if len(history) < needed:
        return [
            Bound(name, column, float(observed[place]), None, None, len(history), needed)
            for name, (place, _, _) in _JUDGED.items()
        ]
    table, now = np.asarray(history, dtype=float), np.asarray(observed, dtype=float)
    # amounts scatter in proportion: where all are positive, the logarithm is judged
    is_positive = bool(np.all(table > 0) and np.all(now > 0))
    usual = np.median(table, axis=0)
    smallest = SMALLEST["quantile"] * float(usual[5] - usual[1])
    if is_positive:
        table, usual, smallest = np.log(table), np.log(usual), SMALLEST["level"]
    bounds = []
    for name, (place, (low, high), between) in _JUDGED.items():
        level, centre = LEVELS[place], float(usual[place])
        density = between / max(float(usual[high] - usual[low]), 1e-12)
        chance = math.sqrt(level * (1 - level) / observed_rows) / density
        width = max(half_width(table[:, place], chance, alarms / len(_JUDGED)), smallest)
        lower, upper = centre - width, centre + width
        if is_positive:
            lower, upper = math.exp(lower), math.exp(upper)
        bounds.append(Bound(name, column, float(now[place]), lower, upper, len(history), needed))
    return bounds


def stability_index(shares: Array, usual: Array) -> float:
    """Return the population stability index, sum of (p - q) ln(p / q): 0 where nothing changed."""
    return float(np.sum((shares - usual) * np.log(shares / usual)))


def _shares(counts: Array) -> Array:
    # half a row everywhere: a category that nobody had yet must not weigh infinitely
    return (counts + 0.5) / np.sum(counts + 0.5)


def category_bound(
    column: str,
    history: Sequence[Mapping[str, int]],
    observed: Mapping[str, int],
    *,
    needed: int,
    alarms: float = ALARMS,
) -> Bound:
    """Bound for how far the newest category shares are from those before, taken together.

    The index of the newest unit against all before is held against that of each earlier unit
    against the others, and against what chance gives units of so many rows.
    """
    if len(history) < needed:
        return Bound("category_shift", column, None, None, None, len(history), needed)
    names = sorted({name for unit in (*history, observed) for name in unit})
    counts = np.array([[unit.get(name, 0) for name in names] for unit in history], dtype=float)
    pool = counts.sum(axis=0)
    now = np.array([observed.get(name, 0) for name in names], dtype=float)
    index = stability_index(_shares(now), _shares(pool))
    before = np.array([stability_index(_shares(row), _shares(pool - row)) for row in counts])
    # by chance the index is noise x chi-squared / freedom, whose cube root is all but normal
    # (Wilson and Hilferty, 1931)
    freedom = max(len(names) - 1, 1)
    noise = freedom * (1 / max(float(now.sum()), 1) + 1 / max(float(pool.sum()), 1))
    roots = np.cbrt(before)
    chance = math.sqrt(2 / (9 * freedom)) * float(np.cbrt(noise))
    by_chance = (1 - 2 / (9 * freedom)) * float(np.cbrt(noise))
    centre = max(float(np.median(roots)), by_chance)
    upper = max((centre + half_width(roots, chance, 2 * alarms)) ** 3, SMALLEST["category_shift"])
    return Bound("category_shift", column, index, None, upper, len(history), needed)
