"""What the champion says of the periods ahead, as rows to publish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.forecast.sales.model import SalesForecaster
from ml.forecast.sales.panel import MEASURES, TooShort
from ml.forecast.sales.periods import GRAINS, as_day, starts_ahead
from ml.forecast.sales.reconcile import adds_up

DIGITS = 4
SCORED, TOO_LITTLE = "scored", "too_little_data"
ENDS = ("low_95", "low_80", "high_80", "high_95")
KEY = ["measure", "dimension", "dimension_value", "period_grain", "period_start_on"]
COLUMNS = [*KEY, "horizon", "status", "forecast", *ENDS, "method", "is_reconciled"]


def score_forecast(model: SalesForecaster, periods: pd.DataFrame, as_of: object) -> pd.DataFrame:
    """Forecast every series from ``as_of``.

    Returns:
        One row per series, grain and period ahead, sorted by key; the first period is the running
        one, of which the days by ``as_of`` are in. Values have four digits. A series with too
        little data has one row a grain, without values.
    """
    try:
        panel, outlook = model.predict(periods, as_of)
    except TooShort:
        return without_champion(TOO_LITTLE, as_of)
    parts = []
    for grain in GRAINS:
        starts = outlook.ahead.starts[grain]
        for i, key in enumerate(panel.keys):
            if not panel.values[grain][i].any():
                continue
            columns: dict[str, object] = {
                "measure": key.measure,
                "dimension": key.dimension,
                "dimension_value": key.value,
                "period_grain": grain,
                "period_start_on": starts,
                "horizon": np.arange(1, len(starts) + 1),
                "status": SCORED,
                "forecast": np.round(outlook.forecasts[grain][i], DIGITS) + 0.0,
                "method": model.methods_[grain][i],
                "is_reconciled": adds_up(key),
            }
            for name, end in zip(ENDS, outlook.ends[grain], strict=True):
                columns[name] = np.round(end[i], DIGITS) + 0.0
            parts.append(pd.DataFrame(columns))
    parts += [
        _empty_rows(measure, dimension, value, TOO_LITTLE, panel.as_of)
        for dimension, value in panel.left_out
        for measure in MEASURES
    ]
    return pd.concat(parts)[COLUMNS].sort_values(KEY, ignore_index=True)


def without_champion(status: str, as_of: object) -> pd.DataFrame:
    """Return the totals without values: they say why nothing is forecast."""
    parts = [_empty_rows(measure, "total", "total", status, as_day(as_of)) for measure in MEASURES]  # type: ignore[arg-type]
    return pd.concat(parts)[COLUMNS].sort_values(KEY, ignore_index=True)


def _empty_rows(
    measure: str, dimension: str, value: str, status: str, as_of: np.datetime64
) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "measure": measure,
            "dimension": dimension,
            "dimension_value": value,
            "period_grain": list(GRAINS),
            "period_start_on": [starts_ahead(grain, as_of)[0] for grain in GRAINS],
            "horizon": 1,
            "status": status,
            "is_reconciled": False,
        }
    )
    for name in ("forecast", *ENDS):
        frame[name] = np.nan
    return frame.assign(method=pd.Series([None] * len(frame), dtype=object))


def accuracy_rows(model: SalesForecaster) -> pd.DataFrame:
    """Return how accurate each series was on the three months that its method never saw."""
    accuracy: dict[str, Sequence[object]] = model.accuracy_
    frame = pd.DataFrame(accuracy)
    numbers = frame.select_dtypes("float").columns
    frame[numbers] = frame[numbers].round(DIGITS)
    key = ["measure", "dimension", "dimension_value", "period_grain"]
    return frame.sort_values(key, ignore_index=True)
