"""``train_forecast``: choose on the past, examine on three later months, refit on everything.

Belongs here: the order of the steps and what is reported. Does not: the gate's rule
(``ml.evaluation.gate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)
from ml.forecast.sales.intervals import LEVELS, covered
from ml.forecast.sales.methods import NAIVE, season_of
from ml.forecast.sales.model import Outlook, SalesForecaster, actuals
from ml.forecast.sales.naive import SeasonalNaive
from ml.forecast.sales.panel import GROSS, TOTAL, Panel, SeriesKey, TooShort, build_panel
from ml.forecast.sales.periods import DAY, GRAINS, MAX_HORIZON

FloatArray = NDArray[np.float64]

EVALUATION_ORIGINS = 3
"""Each a month after the one before; from the first on, nothing was known when methods were
chosen."""
BLOCK_DAYS = 7
LATELY_DAYS = 182
"""Shown in the figure."""


@dataclass(frozen=True)
class _Errors:
    """What was missed on the evaluation origins: grain -> (origins, series, horizons)."""

    actual: dict[str, FloatArray]
    ours: dict[str, FloatArray]
    naive: dict[str, FloatArray]
    inside: dict[float, dict[str, FloatArray]]
    scale: dict[str, FloatArray]
    champion: dict[str, FloatArray] | None


def train_forecast(
    periods: pd.DataFrame,
    *,
    as_of: object,
    champion: BaseEstimator | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train and examine the sales forecaster.

    Methods are chosen, intervals learned and parameters fitted on what was known three months
    before ``as_of``; the forecasts made so on that day and one and two months later are compared
    with what happened, beside the seasonal naive ones and the champion's. The estimator handed back
    is the same recipe fitted on everything.

    Args:
        periods: Rows of ``features.sales_periods``.
        as_of: Last day that counts.
        champion: The ruling ``SalesForecaster``. Where it knows the evaluation period, its
            ``evaluated_`` copy, which does not, stands in for it.
        seed: Of the boosting.

    Returns:
        Status ``too_little_data`` with the reason, or ``trained``. Table ``series``: what is
        published of each series' accuracy.

    Raises:
        ValueError: Columns are missing.
    """
    with threadpool_limits(1):
        try:
            panel = build_panel(periods, as_of)
            origins = panel.origins(EVALUATION_ORIGINS)
            past = SalesForecaster(seed).fit_panel(panel.until(origins[0]))
        except TooShort as short:
            return too_little_data("forecast", str(short), {"seed": seed})
        estimator = SalesForecaster(seed).fit_panel(panel)
        estimator.evaluated_ = past
        ruling = _comparable(champion, origins[0])
        errors = _examine(panel, origins, past, ruling, periods)
        accuracy = accuracy_table(panel, past, errors)
        estimator.accuracy_ = accuracy.to_dict("list")
        return _report(panel, origins, past, estimator, errors, accuracy)


def _comparable(champion: BaseEstimator | None, day: np.datetime64) -> SalesForecaster | None:
    """The champion as it was before it knew the evaluation period; None without a rival."""
    if not isinstance(champion, SalesForecaster):
        return None
    if np.datetime64(champion.known_until_) <= day:
        return champion
    earlier = champion.evaluated_
    is_rival = earlier is not None and np.datetime64(earlier.known_until_) <= day
    return earlier if is_rival else None


def _examine(
    panel: Panel,
    origins: Sequence[np.datetime64],
    past: SalesForecaster,
    champion: SalesForecaster | None,
    periods: pd.DataFrame,
) -> _Errors:
    known = panel.until(origins[0])
    actual = {grain: actuals(panel, grain, origins) for grain in GRAINS}
    outlooks = past.outlook(panel, origins)
    ours = {grain: _padded(outlooks, grain) - actual[grain] for grain in GRAINS}
    naive, scale, inside = {}, {}, {level: {} for level in LEVELS}  # type: ignore[var-annotated]
    for grain in GRAINS:
        lengths = [panel.known(grain, origin) for origin in origins]
        season = season_of(grain, lengths[0])
        values = known.values[grain]
        forecasts = SeasonalNaive(season).forecasts(
            panel.values[grain], lengths, MAX_HORIZON[grain]
        )
        naive[grain] = forecasts - actual[grain]
        # only where ours says something too
        naive[grain] = np.where(np.isnan(ours[grain]), np.nan, naive[grain])
        changes = np.abs(values[:, season:] - values[:, :-season])
        scale[grain] = changes.mean(axis=1)
        for level in LEVELS:
            inside[level][grain] = _coverage(outlooks, grain, actual[grain], level)
    theirs = _champion_errors(panel, origins, champion, periods, ours)
    return _Errors(actual, ours, naive, inside, scale, theirs)


def _padded(outlooks: Sequence[Outlook], grain: str) -> FloatArray:
    series = len(outlooks[0].forecasts[grain])
    found = np.full((len(outlooks), series, MAX_HORIZON[grain]), np.nan)
    for number, outlook in enumerate(outlooks):
        part = outlook.forecasts[grain]
        found[number, :, : part.shape[1]] = part
    return found


def _coverage(
    outlooks: Sequence[Outlook], grain: str, actual: FloatArray, level: float
) -> FloatArray:
    found = np.full(actual.shape, np.nan)
    for number, outlook in enumerate(outlooks):
        size = outlook.forecasts[grain].shape[1]
        found[number, :, :size] = covered(actual[number, :, :size], outlook.ends[grain], level)
    return found


def _champion_errors(
    panel: Panel,
    origins: Sequence[np.datetime64],
    champion: SalesForecaster | None,
    periods: pd.DataFrame,
    ours: dict[str, FloatArray],
) -> dict[str, FloatArray] | None:
    """The champion's errors on the series that both know; NaN on others."""
    if champion is None:
        return None
    its = build_panel(periods, panel.as_of, champion.members_)
    outlooks = champion.outlook(its, origins)
    places = {key: i for i, key in enumerate(its.keys)}
    both = [(i, places[key]) for i, key in enumerate(panel.keys) if key in places]
    mine, theirs = (list(part) for part in zip(*both, strict=True))
    found = {}
    for grain in GRAINS:
        errors = _padded(outlooks, grain) - actuals(its, grain, origins)
        found[grain] = np.full_like(ours[grain], np.nan)
        found[grain][:, mine] = errors[:, theirs]
    return found


def block_losses(
    errors: dict[str, FloatArray], scale: dict[str, FloatArray], both: dict[str, FloatArray]
) -> FloatArray:
    """Return the mean scaled absolute error of each week of targets, over series and origins.

    Errors of series that share their customers, and of origins that share their days, are no
    independent evidence: their mean over a week of days is one number.

    Args:
        errors: Grain -> (origins, series, horizons); the days are used.
        scale: Grain -> mean absolute change of each series by its season.
        both: Errors of the opponent: what is NaN there does not count.
    """
    use = scale[DAY] > 1e-9
    scaled = np.abs(errors[DAY][:, use]) / scale[DAY][use][None, :, None]
    scaled = np.where(np.isnan(both[DAY][:, use]), np.nan, scaled)
    blocks = np.arange(scaled.shape[2]) // BLOCK_DAYS
    losses = []
    for origin in range(len(scaled)):
        for block in range(blocks[-1] + 1):
            part = scaled[origin][:, blocks == block]
            if not np.isnan(part).all():
                losses.append((origin, block, float(np.nanmean(part))))
    table = pd.DataFrame(losses, columns=["origin", "block", "loss"])
    # origins are a month apart: four weeks, so the same week of targets is one block
    table["week"] = table["block"] + 4 * table["origin"]
    return table.groupby("week")["loss"].mean().to_numpy()


def accuracy_table(panel: Panel, past: SalesForecaster, errors: _Errors) -> pd.DataFrame:
    """Return each series' accuracy at each grain on the evaluation origins, the naive one beside.

    ``mase`` is the mean absolute error over that of the seasonal naive forecast one season ahead
    within the past (Hyndman & Koehler 2006); ``smape`` is 200 |e| / (|y| + |f|) in percent / 100.
    """
    rows = []
    for grain in GRAINS:
        for i, key in enumerate(panel.keys):
            actual = errors.actual[grain][:, i]
            ours, naive = errors.ours[grain][:, i], errors.naive[grain][:, i]
            known = ~np.isnan(ours)
            scale = errors.scale[grain][i]
            if not known.any() or scale <= 1e-9:
                continue
            rows.append(
                {
                    **key._asdict(),
                    "period_grain": grain,
                    "method": past.methods_[grain][i],
                    "forecast_count": int(known.sum()),
                    "mase": float(np.abs(ours[known]).mean() / scale),
                    "naive_mase": float(np.abs(naive[known]).mean() / scale),
                    "smape": smape(actual[known], actual[known] + ours[known]),
                    "naive_smape": smape(actual[known], actual[known] + naive[known]),
                    "coverage_80_rate": float(np.nanmean(errors.inside[0.80][grain][:, i])),
                    "coverage_95_rate": float(np.nanmean(errors.inside[0.95][grain][:, i])),
                }
            )
    return pd.DataFrame(rows).rename(columns={"value": "dimension_value"})


def smape(actual: FloatArray, forecast: FloatArray) -> float:
    """Return the symmetric mean absolute error, 0 (exact) to 2; both zero counts as exact."""
    size = np.abs(actual) + np.abs(forecast)
    part = 2 * np.abs(actual - forecast) / np.where(size > 0, size, 1.0)
    return float(np.where(size > 0, part, 0.0).mean())


def _report(
    panel: Panel,
    origins: Sequence[np.datetime64],
    past: SalesForecaster,
    estimator: SalesForecaster,
    errors: _Errors,
    accuracy: pd.DataFrame,
) -> TrainingResult:
    period = f"{origins[0]} to {panel.as_of}"
    rows: list[tuple[str, str, float, float | None, float | None]] = []
    for grain, part in accuracy.groupby("period_grain", sort=True):
        for metric in ("mase", "smape"):
            mean, naive = float(part[metric].mean()), float(part[f"naive_{metric}"].mean())
            rows.append((period, f"{metric}_{grain}", mean, naive, None))
        for level in LEVELS:
            name = f"coverage_{round(level * 100)}_{grain}"
            rows.append((period, name, float(np.nanmean(errors.inside[level][grain])), level, None))
    total = accuracy[(accuracy["dimension"] == TOTAL) & (accuracy["measure"] == GROSS)]
    for row in total.itertuples():
        name = f"mase_total_{row.period_grain}"
        rows.append((period, name, float(row.mase), float(row.naive_mase), None))
    compared = errors.ours if errors.champion is None else errors.champion
    losses = block_losses(errors.ours, errors.scale, compared)
    naive_losses = block_losses(errors.naive, errors.scale, compared)
    champion = None
    if errors.champion is not None:
        champion = block_losses(errors.champion, errors.scale, compared)
        rows.append((period, "mase_weeks", losses.mean(), naive_losses.mean(), champion.mean()))
    else:
        rows.append((period, "mase_weeks", losses.mean(), naive_losses.mean(), None))
    coverage = {
        level: float(np.nanmean(np.concatenate([a.ravel() for a in errors.inside[level].values()])))
        for level in LEVELS
    }
    days = pd.Series(past.methods_[DAY]).value_counts()
    methods = ", ".join(f"{name} {count}" for name, count in days.sort_index().items())
    reason = (
        f"{len(panel.keys)} series; by day: {methods}; scaled error {losses.mean():.3f} on "
        f"{len(losses)} weeks from {origins[0]}, {NAIVE} {naive_losses.mean():.3f}; intervals of "
        f"80 and 95 % held {coverage[0.80]:.0%} and {coverage[0.95]:.0%}"
    )
    return TrainingResult(
        status=TRAINED,
        reason=reason,
        estimator=estimator,
        parameters={
            **estimator.get_params(),
            "series": len(panel.keys),
            "history_days": panel.values[DAY].shape[1],
            "choice_origins": past.origin_count_,
            "evaluation_origins": len(origins),
            "evaluated_from_on": str(origins[0]),
        },
        evaluation=evaluation_frame(rows),
        figures={"total": _figure(panel, origins[0], past)},
        tables={"series": accuracy},
        gate=GateInputs(
            model="forecast",
            candidate=losses,
            baselines={"the seasonal naive forecast": naive_losses},
            champion=champion,
            figures={"coverage_80": coverage[0.80], "coverage_95": coverage[0.95]},
        ),
    )


def _figure(panel: Panel, origin: np.datetime64, past: SalesForecaster) -> Figure:
    """The total by day: the last half year, and what was forecast three months ago."""
    outlook = past.outlook(panel, [origin])[0]
    place = panel.keys.index(SeriesKey(GROSS, TOTAL, TOTAL))
    days = panel.starts[DAY][-LATELY_DAYS:]
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    axes.plot(days, panel.values[DAY][place, -LATELY_DAYS:], color="0.6", label="actual")
    ahead = outlook.ahead.starts[DAY]
    low, high = outlook.ends[DAY][1][place], outlook.ends[DAY][2][place]
    axes.fill_between(ahead, low, high, alpha=0.2, label="80 %")
    axes.plot(ahead, outlook.forecasts[DAY][place], label="forecast")
    axes.set_ylabel("gross amount")
    axes.legend()
    return figure
