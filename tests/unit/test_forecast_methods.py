"""Forecast methods against published figures, plain loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from ml.forecast.sales.naive import SeasonalMean, SeasonalNaive
from ml.forecast.sales.periods import (
    MONTH,
    WEEK,
    as_day,
    last_day_ahead,
    months_before,
    starts_ahead,
    starts_between,
)
from ml.forecast.sales.smoothing import ExponentialSmoothing
from ml.forecast.sales.theta import Theta, smoothed_level

OIL = np.array([
    445.36, 453.20, 454.41, 422.38, 456.04, 440.39, 425.19, 486.21, 500.43, 521.28, 508.95,
    488.89, 509.87, 456.72, 473.82, 525.95, 549.83, 542.34,
])  # fmt: skip
"""Saudi Arabian oil production 1996-2013, Hyndman & Athanasopoulos, Forecasting: Principles and
Practice (2nd ed.), section 7.1: alpha .83, level at the start 446.6, all forecasts 542.68."""


def test_simple_smoothing_forecasts_what_the_textbook_does():
    model = ExponentialSmoothing(has_trend=False).fit(OIL[None])
    alpha, beta, gamma, _ = model.parameters_[0]
    assert alpha == pytest.approx(0.83, abs=0.05)
    assert (beta, gamma) == (0, 0)
    [[ahead]] = model.forecasts(OIL[None], [len(OIL)], 5)
    assert ahead == pytest.approx(542.68, abs=0.5)
    assert np.ptp(ahead) == 0


def _by_hand(y, m, alpha, beta, gamma, phi, horizon):
    level = np.mean(y[: 2 * m])
    means = [np.mean(y[:m]), np.mean(y[m : 2 * m])]
    season = [((y[i] - means[0]) + (y[m + i] - means[1])) / 2 for i in range(m)]
    trend = 0.0
    for t, value in enumerate(y):
        error = value - level - phi * trend - season[t]
        level, trend = level + phi * trend + alpha * error, phi * trend + beta * error
        season.append(season[t] + gamma * error)
    found, damping = [], 0.0
    for h in range(1, horizon + 1):
        damping += phi**h
        found.append(level + damping * trend + season[len(y) + (h - 1) % m])
    return np.array(found)


def test_the_recursion_is_that_of_the_formula():
    rng = np.random.default_rng(1)
    y = 50 + np.tile([5, -2, 0, -3], 10) + rng.normal(0, 2, 40) + np.arange(40) / 3
    model = ExponentialSmoothing(season=4)
    model.parameters_, model.caps_ = np.array([[0.3, 0.05, 0.2, 0.9]]), np.array([np.inf])
    found = model.forecasts(np.stack([y]), [33, 40], 6)
    np.testing.assert_allclose(found[1, 0], _by_hand(y, 4, 0.3, 0.05, 0.2, 0.9, 6))
    np.testing.assert_allclose(found[0, 0], _by_hand(y[:33], 4, 0.3, 0.05, 0.2, 0.9, 6))


def test_the_search_comes_close_to_an_optimiser():
    """Within 2 % of what Nelder-Mead finds from two starts."""
    rng = np.random.default_rng(2)
    level = np.cumsum(rng.normal(0, 1, 140)) + 80
    y = (level + np.tile([6, 2, 0, 0, 1, -4, -5], 20) + rng.normal(0, 2, 140))[None]
    model = ExponentialSmoothing(season=7).fit(y)

    def loss(free):
        a, b, g, p = 1 / (1 + np.exp(-np.clip(free, -9, 9)))
        return model.loss(y, np.array([[[a, b * a, g * (1 - a), 0.8 + 0.18 * p]]]))[0, 0]

    starts = ([0, -3, -3, 0], [-2, -3, -2, 1])
    limit = {"maxiter": 250}
    best = min(minimize(loss, s, method="Nelder-Mead", options=limit).fun for s in starts)
    ours = model.loss(y, model.parameters_[:, None, :])[0, 0]
    assert ours <= 1.02 * best


def test_one_huge_day_does_not_choose_the_parameters():
    rng = np.random.default_rng(3)
    y = 100 + np.tile([10, 0, 0, 0, 0, -10, -20], 30) + rng.normal(0, 3, 210)
    spoilt = y.copy()
    spoilt[150] = 20_000
    models = [ExponentialSmoothing(7).fit(v[None]) for v in (y, spoilt)]
    assert [m.parameters_[0, 0] < 0.1 for m in models] == [True, True]
    ahead = models[1].forecasts(spoilt[None], [152], 7)[0, 0]
    np.testing.assert_allclose(ahead.mean(), y.mean(), rtol=0.02)


def test_theta_is_the_mean_of_a_line_and_of_twice_the_curvature():
    """Hyndman & Billah 2003: half the line's extrapolation, half smoothing of the 2-theta line."""
    rng = np.random.default_rng(4)
    y = 20 + 0.7 * np.arange(60) + rng.normal(0, 3, 60)
    found = Theta().forecasts(y[None], [60], 8)[0, 0]
    _, alpha = smoothed_level(y[None])
    slope, start = np.polyfit(np.arange(60), y, 1)
    twice = 2 * y - (start + slope * np.arange(60))
    level = twice[0]
    for value in twice[1:]:
        level += alpha[0] * (value - level)
    line = start + slope * (60 + np.arange(8))
    np.testing.assert_allclose(found, (line + level) / 2, rtol=1e-3)


def test_theta_knows_closed_days_and_negative_values():
    week = np.array([10.0, 12, 11, 9, 14, 0, 3])
    found = Theta(7).forecasts(np.tile(week, 20)[None], [140], 14)[0, 0]
    np.testing.assert_allclose(found, np.tile(week, 2), rtol=0.05, atol=0.3)
    assert found[5] == 0
    signed = np.tile(week - 11, 20)
    below = Theta(7).forecasts(signed[None], [140], 7)[0, 0]
    np.testing.assert_allclose(below, week - 11, atol=0.5)


def test_naive_ones_repeat_the_last_season_and_the_mean_of_some():
    y = np.arange(21.0)[None]
    assert SeasonalNaive(7).forecasts(y, [21], 9)[0, 0].tolist() == [
        14, 15, 16, 17, 18, 19, 20, 14, 15
    ]  # fmt: skip
    assert SeasonalNaive().forecasts(y, [5, 21], 2)[:, 0].tolist() == [[4, 4], [20, 20]]
    assert SeasonalMean(7, 2).forecasts(y, [21], 1)[0, 0, 0] == (7 + 14) / 2
    assert SeasonalMean(1, 4).forecasts(y, [21], 1)[0, 0, 0] == 18.5


def test_the_calendar_leaves_cut_periods_out_and_puts_the_running_one_ahead():
    first, day = as_day("2025-01-15"), as_day("2025-03-20")
    assert starts_between(MONTH, first, day).tolist() == [np.datetime64("2025-02-01").item()]
    weeks = starts_between(WEEK, first, day)
    assert str(weeks[0]) == "2025-01-20"
    assert str(weeks[-1]) == "2025-03-10"
    assert [str(m) for m in starts_ahead(MONTH, day)] == ["2025-03-01", "2025-04-01", "2025-05-01"]
    assert str(starts_ahead(WEEK, day)[0]) == "2025-03-17"
    assert str(last_day_ahead(day)) == "2025-05-31"
    ended = as_day("2025-03-31")
    assert str(starts_ahead(MONTH, ended)[0]) == "2025-04-01"
    assert str(last_day_ahead(ended)) == "2025-06-30"


def test_origins_are_the_same_day_of_earlier_months():
    assert str(months_before(as_day("2025-03-20"), 2)) == "2025-01-20"
    assert str(months_before(as_day("2025-03-31"), 1)) == "2025-02-28"
    assert str(months_before(as_day("2025-03-30"), 1)) == "2025-02-28"
    assert str(months_before(as_day("2025-02-28"), 1)) == "2025-01-31"
