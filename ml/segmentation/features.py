"""What segmentation reads of a customer, and how it is checked and put on a log scale.

Belongs here: column names, input checks, the log transform. Does not: any fitted number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

KEY = "customer_key"
FEATURES = ("recency_days", "order_count", "net_amount")
SIGNED = ("net_amount",)
PAGES = ("session_count", "page_count", "product_page_count")


def check_features(frame: pd.DataFrame) -> None:
    """Raise unless ``frame`` is one row a customer with usable numbers.

    Raises:
        ValueError: A column is missing, a key is null or repeated, or a feature is null, not a
            finite number, or (recency, order count) negative. Counts are named, never values.
    """
    check_values(frame, (KEY,))
    if repeated := int(frame[KEY].duplicated().sum()):
        raise ValueError(
            f"{KEY} is repeated on {repeated} rows: pass one row a customer, of one cut-off"
        )


def check_values(
    frame: pd.DataFrame,
    keys: Sequence[str],
    features: Sequence[str] = FEATURES,
    signed: Sequence[str] = SIGNED,
) -> None:
    """Raise unless ``frame`` has ``keys`` and ``features``, none null, all features usable numbers.

    Raises:
        ValueError: As ``check_features``, but keys may repeat.
    """
    if missing := [c for c in (*keys, *features) if c not in frame.columns]:
        raise ValueError(f"customer features lack the columns {missing}")
    for key in keys:
        if nulls := int(frame[key].isna().sum()):
            raise ValueError(f"{key} is null on {nulls} rows")
    for column in features:
        try:
            values = frame[column].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{column} holds something that is not a number") from error
        if bad := int((~np.isfinite(values)).sum()):
            raise ValueError(f"{column} is null or not finite on {bad} rows")
        if column not in signed and (bad := int((values < 0).sum())):
            raise ValueError(f"{column} is negative on {bad} rows")


def log_features(frame: pd.DataFrame, features: Sequence[str] = FEATURES) -> FloatArray:
    """Return log(1 + feature), shape ``(rows, features)``, columns as in ``features``.

    A negative net amount (more returned than bought) counts as zero: a signed log tears a gap
    around zero, and the 22 of 4,339 customers of Online Retail at or below zero then pull a
    segment of .6 % to themselves from k = 5 on, at an adjusted Rand index of .62 (20 refits).

    log1p is not free of scale: amounts in another currency unit shift by a constant only where
    they are far above one unit, so segments are the same up to customers near a border there,
    and differ where typical amounts are about one unit or less.
    """
    # Sums over rows depend in their last bits on the memory layout, which a frame hides.
    values = np.ascontiguousarray(frame[list(features)].to_numpy(dtype=float))
    return np.log1p(np.clip(values, 0.0, None))


def standardise(logs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each column; 1 where a column is constant."""
    # A constant column's deviation is rounding noise, not always exactly zero.
    return logs.mean(axis=0), np.where(np.ptp(logs, axis=0) > 0, logs.std(axis=0), 1.0)
