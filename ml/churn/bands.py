"""Risk bands: names for ranges of churn probability, from a table that a company can change."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def risk_band(probability: ArrayLike, bands: pd.DataFrame) -> pd.Series:
    """Return the band of each probability.

    Args:
        probability: Values from 0 to 1; NaN gives a null band.
        bands: ``risk_band`` (name) and ``minimum_rate``, the lowest probability of the band; it
            reaches up to the next one's. One band begins at 0.

    Raises:
        ValueError: The bands do not cover 0 to 1, or two begin at the same rate.
    """
    if missing := {"risk_band", "minimum_rate"} - set(bands.columns):
        raise ValueError(f"the risk bands lack {sorted(missing)}")
    table = bands.sort_values("minimum_rate", kind="stable")
    edges = table["minimum_rate"].astype(float).to_numpy()
    if len(edges) == 0 or edges[0] != 0:
        raise ValueError("one risk band must begin at a minimum_rate of 0")
    if (np.diff(edges) == 0).any() or edges[-1] > 1:
        raise ValueError("risk bands need different minimum rates between 0 and 1")
    values = np.asarray(probability, dtype=float)
    index = probability.index if isinstance(probability, pd.Series) else None
    if ((values < 0) | (values > 1)).any():
        raise ValueError("a probability lies outside 0 to 1")
    place = np.searchsorted(edges, np.nan_to_num(values), side="right") - 1
    names = table["risk_band"].to_numpy(dtype=object)[place]
    named = np.where(np.isnan(values), None, names)
    return pd.Series(named, index=index, name="risk_band", dtype=object)
