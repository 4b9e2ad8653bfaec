"""Choosing rows by a hash of their key: the same in every run, for any order of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def customer_hash(key: pd.Series) -> NDArray[np.uint64]:
    """Return a hash of each key that depends on nothing else; spread over 64 bits."""
    return pd.util.hash_array(key.to_numpy(dtype=object), categorize=True)


def customer_halves(key: pd.Series) -> Mask:
    """Split customers into two halves by a hash of the key, the same in every run.

    All rows of a customer, at all cut-offs, fall into the same half.
    """
    return customer_hash(key) % 2 == 1


def sample_customers(key: pd.Series, max_rows: int) -> Mask:
    """Return a mask of about ``max_rows`` rows: all rows of customers chosen by a hash.

    The choice depends on the keys alone, so it is the same in every run and for any row order.
    """
    if len(key) <= max_rows:
        return np.ones(len(key), dtype=bool)
    chosen = customer_hash(key) % 10_000
    return np.asarray(chosen < int(10_000 * max_rows / len(key)))
