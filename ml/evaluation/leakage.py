"""Does a feature look ahead? Two independent ways to find out.

``look_ahead_columns`` changes everything after the cut-off and sees which features move;
``suspicious_columns`` finds features that alone tell the outcome better than any honest one can.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ml.evaluation.metrics import roc_auc

TOO_GOOD_AUC = 0.98
"""Features that run through the label window reach 1.000 on Online Retail, honest models .74."""


def scramble_after(
    facts: pd.DataFrame, cut_off: date, time_column: str, *, seed: int = 0
) -> pd.DataFrame:
    """Return ``facts`` with every row after ``cut_off`` changed at random, all others as they are.

    A third of the later rows is dropped, a third doubled; in what remains the numbers and times
    are shuffled and the numbers scaled. No row moves to or before the cut-off.
    """
    rng = np.random.default_rng(seed)
    times = pd.to_datetime(facts[time_column])
    later = (times >= pd.Timestamp(cut_off) + pd.Timedelta(days=1)).to_numpy()
    changed = facts[later].copy()
    copies = rng.integers(0, 3, len(changed))
    changed = changed.iloc[np.repeat(np.arange(len(changed)), copies)].copy()
    for column in changed.columns:
        values = changed[column]
        is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if is_number or column == time_column:
            shuffled = values.to_numpy()[rng.permutation(len(changed))]
            changed[column] = shuffled * 3 if is_number else shuffled
    return pd.concat([facts[~later], changed], ignore_index=True)


def look_ahead_columns(
    build: Callable[[pd.DataFrame], pd.DataFrame],
    facts: pd.DataFrame,
    cut_off: date,
    time_column: str,
    *,
    key: str = "customer_key",
    seed: int = 0,
) -> list[str]:
    """Return the features at ``cut_off`` that change when only later facts change.

    Args:
        build: Facts -> features as known at ``cut_off``, one row a ``key``.
        facts: One row an event.
        cut_off: Last day that may be known, inclusive.
        time_column: Day or time of the event.
        key: Column that identifies a row of the features.
        seed: Seed of the change.

    Returns:
        Names of leaking features, ``key`` among them if rows appear or vanish; empty if honest.
    """
    honest = build(facts).sort_values(key).set_index(key)
    other = build(scramble_after(facts, cut_off, time_column, seed=seed))
    other = other.sort_values(key).set_index(key)
    leaking = [] if honest.index.equals(other.index) else [key]
    shared = honest.index.intersection(other.index)
    for column in honest.columns:
        if not honest.loc[shared, column].equals(other.loc[shared, column]):
            leaking.append(str(column))
    return leaking


def suspicious_columns(
    features: pd.DataFrame, outcome: ArrayLike, threshold: float = TOO_GOOD_AUC
) -> dict[str, float]:
    """Return numeric features whose AUC alone, in either direction, reaches ``threshold``."""
    found: dict[str, float] = {}
    for column in features.select_dtypes("number").columns:
        values = features[column].astype(float)
        area = roc_auc(outcome, values.fillna(values.min() - 1 if values.notna().any() else 0.0))
        if max(area, 1 - area) >= threshold:
            found[str(column)] = max(area, 1 - area)
    return found
