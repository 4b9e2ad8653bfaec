"""From numpy to Arrow columns: text, naive local instants, and money that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CENTS = 100
DAY_SECONDS = 86_400
_EPOCH = date(1970, 1, 1)


def text(values: Sequence[str | None] | np.ndarray) -> pa.Array:
    """Text column; None is null."""
    return pa.array(values, type=pa.string())


def instants(seconds: np.ndarray) -> pa.Array:
    """Naive timestamps from ``local_seconds``."""
    return pa.array(np.asarray(seconds, dtype="datetime64[s]"))


def local_seconds(on: date) -> int:
    """Seconds from 1970-01-01 to the day's midnight on the same wall clock."""
    return (on - _EPOCH).days * DAY_SECONDS


def amounts(cents: np.ndarray) -> pa.Array:
    """Whole cents as DECIMAL(18, 2)."""
    whole = pa.array(np.asarray(cents, dtype=np.int64)).cast(pa.decimal128(19, 0))
    return pc.multiply(whole, pa.scalar(Decimal("0.01"))).cast(pa.decimal128(18, 2))
