"""Distinct rows and how often they occur: why a fit costs the same for any number of customers.

Belongs here: compression of columns to distinct rows. Not here: what the columns mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

MOST_KEYS = 2.0**62
"""Packed keys stay below this, well inside a signed 64-bit integer."""
DENSE = 8
"""Up to so many possible keys a row they are counted in a table; beyond, sorting is cheaper."""


def distinct_rows(columns: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Distinct rows in ascending order, and for each row the position of its distinct one.

    Args:
        columns: Finite numbers, all of the same length.
    """
    packing = _Packing(columns)
    keys = packing.keys()
    if packing.is_dense:
        present = np.bincount(keys, minlength=packing.size) > 0
        return packing.decode(np.flatnonzero(present)), (np.cumsum(present) - 1)[keys]
    found, position = np.unique(keys, return_inverse=True)
    return packing.decode(found), position


def weighted_rows(
    columns: Sequence[np.ndarray], weight: np.ndarray | None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Distinct rows in ascending order and the sum of their weights; zero weights are dropped.

    Args:
        columns: Finite numbers, all of the same length.
        weight: One a row; None counts every row as one, which is faster.
    """
    if weight is None:
        packing = _Packing(columns)
        keys = packing.keys()
        if packing.is_dense:
            times = np.bincount(keys, minlength=packing.size).astype(float)
            some: np.ndarray = np.nonzero(times)[0]
            return packing.decode(some), times[some]
        found, count = np.unique(keys, return_counts=True)
        return packing.decode(found), count.astype(float)
    rows, position = distinct_rows(columns)
    total = np.bincount(position, weights=weight, minlength=rows[0].size)
    used = total > 0
    return [row[used] for row in rows], total[used]


class _Packing:
    """One integer a row, ascending with the row, and the way back."""

    def __init__(self, columns: Sequence[np.ndarray]) -> None:
        self.offsets: list[float] = []
        self.levels: list[np.ndarray | None] = []
        self.sizes: list[int] = []
        self.codes: list[np.ndarray] = []
        self.types = [column.dtype for column in columns]
        for column in columns:
            low, high = column.min(), column.max()
            if high - low < max(4 * column.size, 65536) and np.all(column == np.floor(column)):
                self.offsets.append(low)
                self.levels.append(None)
                self.sizes.append(int(high - low) + 1)
                self.codes.append((column - low).astype(np.int64))
            else:
                level, code = np.unique(column, return_inverse=True)
                self.offsets.append(0)
                self.levels.append(level)
                self.sizes.append(level.size)
                self.codes.append(code)
        self.size = prod(self.sizes)
        """Possible keys."""
        self.is_dense = self.size <= DENSE * columns[0].size

    def keys(self) -> np.ndarray:
        if self.size >= MOST_KEYS:
            raise ValueError("too many distinct values to compress the rows")
        packed = self.codes[0]
        for size, code in zip(self.sizes[1:], self.codes[1:], strict=True):
            packed = packed * size + code
        return packed

    def decode(self, keys: np.ndarray) -> list[np.ndarray]:
        rows = []
        for place in reversed(range(len(self.sizes))):
            keys, code = np.divmod(keys, self.sizes[place])
            level = self.levels[place]
            values = code + self.offsets[place] if level is None else level[code]
            rows.append(values.astype(self.types[place]))
        return rows[::-1]
