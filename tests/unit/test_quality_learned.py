"""Learned bounds, both ways: what never changed is left alone, what changed is found.

The rates measured here are those that ``crm_pipeline/defs/quality/learned.py`` quotes.
"""

from __future__ import annotations

import numpy as np
import pytest

from crm_pipeline.defs.quality.learned import (
    ALARMS,
    LEVELS,
    Bound,
    age_bound,
    category_bound,
    count_bound,
    distinct_bound,
    quantile_bounds,
    rate_bound,
    robust_deviation,
    weekday_shifts,
)

DAYS, WINDOW = 1000, 84


def simulated_days(seed: int, *, spread: float, weekend: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    weekday = np.arange(DAYS + WINDOW) % 7
    level = 150 * np.where(weekday >= 5, weekend, 1.0)
    return random.poisson(level * np.exp(random.normal(0, spread, DAYS + WINDOW)))


def judged(counts: np.ndarray, day: int, times: float = 1.0) -> Bound:
    """Day ``day`` with ``times`` its rows, against the twelve weeks before."""
    weekdays = (np.arange(day - WINDOW, day) % 7).tolist()
    before = counts[day - WINDOW : day]
    shifts = weekday_shifts(before.tolist(), weekdays)
    adjusted = np.expm1(np.log1p(before) - [shifts[d] for d in weekdays])
    return count_bound(
        "rows_per_day", adjusted.tolist(), [float(round(counts[day] * times))], needed=28,
        shifts=[shifts[day % 7]],
    )  # fmt: skip


def alarms(counts: np.ndarray, times: float = 1.0, step: int = 1) -> float:
    days = range(WINDOW, WINDOW + DAYS, step)
    return float(np.mean([not judged(counts, day, times).is_within for day in days]))


@pytest.mark.parametrize(
    ("spread", "weekend", "found"),
    [
        (0.1, 0.5, 0.9),
        pytest.param(0.0, 1.0, 1.0, marks=pytest.mark.slow),
        pytest.param(0.25, 0.5, 0.25, marks=pytest.mark.slow),
    ],
)
def test_of_a_thousand_unchanged_days_one_in_a_hundred_alarms_at_most(spread, weekend, found):
    """And of days with half their rows, and with twice, as many are found as can be."""
    counts = simulated_days(1, spread=spread, weekend=weekend)
    assert alarms(counts) <= 0.01
    assert alarms(counts, 0.5, step=5) >= found
    assert alarms(counts, 2.0, step=5) >= found


def test_a_closed_sunday_is_usual_and_a_closed_monday_is_not():
    counts = simulated_days(2, spread=0.1, weekend=1.0)
    counts[np.arange(len(counts)) % 7 == 6] = 0
    assert judged(counts, WINDOW + 6 - WINDOW % 7).is_within
    monday = judged(counts, WINDOW + 7 - WINDOW % 7, 0.0)
    assert not monday.is_within
    assert monday.observed == 0


def test_outliers_of_the_past_do_not_widen_a_bound():
    random = np.random.default_rng(3)
    usual = random.normal(0, 1, 60)
    spoiled = np.concatenate([usual, [50.0, -80.0]])
    assert robust_deviation(spoiled) == pytest.approx(robust_deviation(usual), rel=0.1)
    assert robust_deviation(np.zeros(9)) == 0.0


def test_of_several_new_days_the_most_unusual_is_judged():
    bound = count_bound("rows_per_day", [100.0] * 40, [101, 20, 99], needed=28)
    assert bound.observed == 20
    assert not bound.is_within
    assert bound.lower == pytest.approx(100 * np.exp(-np.log(101 / bound.lower)), rel=0.02)


def test_a_fifth_more_is_nobodys_concern_however_steady_it_was():
    steady = [10_000_000.0] * 40
    assert count_bound("rows", steady, [11_900_000], needed=28).is_within
    assert not count_bound("rows", steady, [12_500_000], needed=28).is_within
    assert not count_bound("rows", steady, [8_000_000], needed=28).is_within


@pytest.mark.parametrize("size", [0, 7])
def test_too_little_history_passes_and_says_so(size):
    few = [100] * size
    bounds = [
        count_bound("rows", few, [1], needed=8),
        age_bound("age", few, 9999.0, needed=8),
        rate_bound("c", [0.0] * size, few, 1.0, 100, needed=8),
        distinct_bound("c", few, few, 1, 100, needed=8),
        category_bound("c", [{"a": 100}] * size, {"b": 100}, needed=8),
        *quantile_bounds("c", [[1.0] * 7] * size, [9e9] * 7, 100, needed=8),
    ]
    for bound in bounds:
        assert not bound.is_judged
        assert bound.is_within
        assert str(bound).endswith(f"too little history ({size} of 8)")


# --- ages --------------------------------------------------------------------------------------


def test_a_delivery_is_late_after_half_as_long_again_as_ever():
    weekdays_only = [1.0, 1.0, 1.0, 1.0, 3.0] * 4
    assert age_bound("age", weekdays_only, 4.0, needed=8).is_within
    assert not age_bound("age", weekdays_only, 5.0, needed=8).is_within


def test_a_declared_interval_replaces_what_was_learned():
    assert age_bound("age", [], 31.0, needed=8, declared=31).is_within
    late = age_bound("age", [1.0] * 30, 32.0, needed=8, declared=31)
    assert not late.is_within
    assert late.upper == 31


def test_landings_seconds_apart_do_not_make_an_hour_late():
    assert age_bound("age", [0.01] * 20, 0.9, needed=8).is_within


def test_irregular_deliveries_are_rarely_called_late():
    """Each interval, at its very end, against the twenty to fifty before."""
    random = np.random.default_rng(4)
    gaps = random.exponential(5, 2000)
    late = [
        not age_bound("age", gaps[max(0, n - 50) : n].tolist(), gaps[n], needed=8).is_within
        for n in range(20, len(gaps))
    ]
    assert np.mean(late) <= 0.01


# --- distributions -----------------------------------------------------------------------------

COLUMNS = 8


def simulated_file(
    random: np.random.Generator, rows: int, spread: float, changed: str = ""
) -> dict[str, object]:
    """Figures of one file: two null rates, three amounts, three categories.

    ``spread`` is how much each file's own truth differs from the next one's.
    """

    def level(sd: float = spread) -> float:
        return float(np.exp(random.normal(0, sd)))

    count = int(rows * np.exp(random.normal(0, 0.2)))
    rates = (0.02 * level() * (4 if changed == "nulls" else 1), 0.3 * level())
    times = 2.0 if changed == "prices" else 1.0
    amounts = (
        random.lognormal(3, 1, count),
        random.normal(50, 10, count),
        random.exponential(10, count).round(1) - 1,
    )
    shares = []
    for usual in ([0.7, 0.3], [0.5, 0.3, 0.1, 0.05, 0.05], np.arange(1, 21) / 210):
        each = np.asarray(usual) * np.exp(random.normal(0, spread, len(usual)))
        if changed == "shares" and len(usual) == 2:
            each = np.array([0.4, 0.6])
        drawn = random.multinomial(count, each / each.sum())
        shares.append({str(n): int(v) for n, v in enumerate(drawn)})
    return {
        "rows": count,
        "nulls": [random.binomial(count, min(rate, 0.9)) / count for rate in rates],
        "quantiles": [np.quantile(a * times * level(spread / 3), LEVELS) for a in amounts],
        "shares": shares,
    }


def judged_file(before: list[dict], now: dict) -> list[Bound]:
    each = ALARMS / (2 * COLUMNS)
    bounds = []
    for n in range(2):
        rates, rows = [f["nulls"][n] for f in before], [f["rows"] for f in before]
        bounds.append(
            rate_bound("c", rates, rows, now["nulls"][n], now["rows"], needed=8, alarms=each)
        )
    for n in range(3):
        table = [f["quantiles"][n] for f in before]
        new = now["quantiles"][n]
        bounds += quantile_bounds("c", table, new, now["rows"], needed=8, alarms=each)
        units = [f["shares"][n] for f in before]
        bounds.append(category_bound("c", units, now["shares"][n], needed=8, alarms=each))
    return bounds


def complaints(files: int, history: int, rows: int, spread: float, changed: str = "") -> float:
    """Share of files that any of eight columns is complained of, each against those before it."""
    random = np.random.default_rng(history + rows)
    usual = [simulated_file(random, rows, spread) for _ in range(history + files)]
    found = 0
    for n in range(history, history + files):
        now = simulated_file(random, rows, spread, changed) if changed else usual[n]
        found += any(not bound.is_within for bound in judged_file(usual[n - history : n], now))
    return found / files


@pytest.mark.parametrize(
    ("history", "rows", "spread"),
    [
        (8, 100, 0.0),
        pytest.param(12, 500, 0.0, marks=pytest.mark.slow),
        pytest.param(24, 500, 0.1, marks=pytest.mark.slow),
        pytest.param(40, 2000, 0.2, marks=pytest.mark.slow),
    ],
)
def test_of_a_thousand_unchanged_files_one_in_a_hundred_is_complained_of(history, rows, spread):
    assert complaints(1000, history, rows, spread) <= 0.01


@pytest.mark.parametrize(("changed", "found"), [("nulls", 0.75), ("prices", 1.0), ("shares", 0.9)])
def test_a_changed_file_is_found(changed, found):
    """Nulls from 2 to 8 %, prices doubled, a category from 70 to 40 %; 500 rows a file."""
    assert complaints(100, 24, 500, 0.0, changed) >= found
    assert complaints(100, 24, 500, 0.1, changed) >= found


def test_a_null_rate_may_move_by_a_point():
    rows = [1_000_000] * 20
    assert rate_bound("c", [0.02] * 20, rows, 0.029, 1_000_000, needed=8).is_within
    assert not rate_bound("c", [0.02] * 20, rows, 0.032, 1_000_000, needed=8).is_within
    assert not rate_bound("c", [0.0] * 20, rows, 1.0, 1_000_000, needed=8).is_within


def test_distinct_values_are_compared_among_units_of_about_one_size():
    history, rows = [900] * 12 + [950] * 12, [1000] * 12 + [20_000] * 12
    usual = distinct_bound("c", history, rows, 880, 1000, needed=8)
    assert (usual.history, usual.is_within) == (12, True)
    assert not distinct_bound("c", history, rows, 300, 1000, needed=8).is_within
    assert not distinct_bound("c", history, rows, 300, 200_000, needed=8).is_judged


def test_a_category_nobody_knew_is_found_and_a_month_number_is_not():
    usual = [{"a": 500, "b": 500}] * 12
    assert not category_bound("c", usual, {"a": 400, "b": 400, "new": 200}, needed=8).is_within
    weeks = [{f"{4 * n + k}": 250 for k in range(4)} for n in range(13)]
    assert category_bound("week", weeks[:-1], weeks[-1], needed=8).is_within
