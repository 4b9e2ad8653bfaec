"""When an opportunity will be decided: the empirical distribution, given how long it has waited.

Those still open count too, as having lasted so long at least (Kaplan & Meier 1958): leaving them
out would promise that everything is decided as fast as what is decided already.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Durations:
    """Kaplan-Meier estimate of the days from opening to decision.

    Attributes:
        days_: Days on which something was decided, ascending.
        survival_: Share still open after each.
        decided_count_: Decisions it rests on.
    """

    def fit(self, days: FloatArray, is_decided: NDArray[np.bool_]) -> Durations:
        """Learn from durations, of the undecided until now.

        Args:
            days: Days from opening to the decision, or to the day on which was looked.
            is_decided: Whether it was decided by then.
        """
        days = np.maximum(np.asarray(days, dtype=float), 0.0)
        decided = np.asarray(is_decided, dtype=bool)
        self.days_, counts = np.unique(days[decided], return_counts=True)
        at_risk = len(days) - np.searchsorted(np.sort(days), self.days_, side="left")
        self.survival_ = np.cumprod(1 - counts / np.maximum(at_risk, 1))
        self.decided_count_ = int(decided.sum())
        return self

    def surviving(self, age: FloatArray) -> FloatArray:
        """Return the share that is still open after so many days."""
        place = np.searchsorted(self.days_, np.asarray(age, dtype=float), side="right")
        return np.concatenate([[1.0], self.survival_])[place]

    def remaining(self, age: FloatArray, share: float) -> FloatArray:
        """Return in how many days ``share`` of those as old as this are decided.

        NaN where so many never were: the history does not reach so far.
        """
        target = (1 - share) * self.surviving(age)
        # survival falls, so it is searched backwards
        place = len(self.survival_) - np.searchsorted(self.survival_[::-1], target, side="right")
        is_known = (place < len(self.days_)) & (target > 0)
        days = np.append(self.days_, np.nan)[np.minimum(place, len(self.days_))]
        left = np.where(is_known, days - np.asarray(age, dtype=float), np.nan)
        return np.maximum(left, 1.0)
