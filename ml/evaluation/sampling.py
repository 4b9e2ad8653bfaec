"""Choosing rows by a hash of their key: the same in every run, for any order of the rows."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def key_hash(key: pd.Series) -> NDArray[np.uint64]:
    """Return a hash of each key that depends on nothing else; spread over 64 bits."""
    return pd.util.hash_array(key.to_numpy(dtype=object), categorize=True)


def key_halves(key: pd.Series) -> Mask:
    """Split keys into two halves by their hash, the same in every run.

    All rows of a key (of a customer, at all cut-offs) fall into the same half.
    """
    return key_hash(key) % 2 == 1


def sample_keys(key: pd.Series, max_rows: int) -> Mask:
    """Return a mask of about ``max_rows`` rows: all rows of keys chosen by a hash.

    The choice depends on the keys alone, so it is the same in every run and for any row order.
    """
    if len(key) <= max_rows:
        return np.ones(len(key), dtype=bool)
    chosen = key_hash(key) % 10_000
    return np.asarray(chosen < int(10_000 * max_rows / len(key)))


def hashed_shares(keys: pd.Series) -> NDArray[np.float64]:
    """Return a number from 0 to 1 a key, by SHA-256: the same everywhere, in every version."""
    digests = [hashlib.sha256(str(key).encode()).digest()[:7] for key in keys]
    return np.array([int.from_bytes(one, "big") / 2**56 for one in digests])
