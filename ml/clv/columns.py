"""What the value models check of their input, and the intervals they print.

Belongs here: columns and weights as checked arrays, intervals from a covariance of logarithms.
Not here: any model.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from ml.clv.rows import weighted_rows

COLUMNS = ("repeat_count", "last_repeat_age", "age")


def compressed_columns(
    X: pd.DataFrame, sample_weight: ArrayLike | None
) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Unique (x, t_x, T), their weights, and the mean age.

    Raises:
        ValueError: As ``purchase_columns``; or nobody bought again.
    """
    columns = purchase_columns(X)
    (x, t_x, age), weight = weighted_rows(columns, checked_weight(sample_weight, len(X)))
    if weight @ x == 0:
        raise ValueError("nobody bought again, so no purchase rate can be estimated")
    return [x, t_x, age], weight, float(weight @ age / weight.sum())


def log_intervals(
    estimates: np.ndarray, log_covariance_: np.ndarray, is_at_bound: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors ``(k,)`` and intervals ``(k, 2)`` from a covariance of the logarithms.

    Not a number where the estimate sits on the edge of its box.
    """
    spread = np.sqrt(np.diag(log_covariance_))
    spread[is_at_bound] = np.nan
    reach = np.minimum(float(norm.ppf(0.5 + level / 2)) * spread, 700.0)
    bounds = np.stack([estimates * np.exp(-reach), estimates * np.exp(reach)], axis=1)
    return estimates * spread, bounds


def checked_weight(sample_weight: ArrayLike | None, rows: int) -> np.ndarray | None:
    """Weights as an array; None stays None.

    Raises:
        ValueError: Not one finite weight of at least 0 a row.
    """
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=float)
    if weight.shape != (rows,) or not np.all(np.isfinite(weight)) or np.any(weight < 0):
        raise ValueError("sample_weight needs one finite weight of at least 0 a row")
    return weight


def purchase_columns(X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(x, t_x, T)`` as arrays, checked.

    Raises:
        ValueError: A column is missing, not finite or negative, a count is not whole, a purchase
            lies after T, or an age contradicts its count.
    """
    if missing := [name for name in COLUMNS if name not in X.columns]:
        raise ValueError(f"the purchase history lacks the columns {missing}")
    raw, t_x, age = (X[name].to_numpy(dtype=float) for name in COLUMNS)
    if raw.size == 0:
        raise ValueError("the purchase history has no rows")
    for name, values in zip(COLUMNS, (raw, t_x, age), strict=True):
        if not np.all(np.isfinite(values)) or np.any(values < 0):
            raise ValueError(f"{name} has missing, infinite or negative values")
    if np.any(raw != np.floor(raw)):
        raise ValueError("repeat_count has values that are not whole")
    if np.any(t_x > age):
        raise ValueError("last_repeat_age exceeds age: a purchase lies after the cut-off")
    if np.any((raw > 0) != (t_x > 0)):
        raise ValueError("last_repeat_age must be 0 without repeat purchase, else above 0")
    return raw.astype(np.int64), t_x, age
