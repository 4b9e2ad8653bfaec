"""When an opportunity will be decided: the empirical distribution, given how long it has waited.

Those still open count too, as having lasted so long at least (Kaplan & Meier 1958): leaving them
out would promise that everything is decided as fast as what is decided already.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
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

    def remaining(self, age: FloatArray, share: float, until: float | None = None) -> FloatArray:
        """Return in how many days ``share`` of those as old as this are decided.

        NaN where so many never were: the history does not reach so far.

        Args:
            age: Days that they have waited.
            share: Of those that are decided.
            until: An age: only those that are decided by then are counted.
        """
        now = self.surviving(age)
        last = 0.0 if until is None else float(self.surviving(np.array([until]))[0])
        target = (1 - share) * now + share * last
        # survival falls, so it is searched backwards
        place = len(self.survival_) - np.searchsorted(self.survival_[::-1], target, side="right")
        is_known = (place < len(self.days_)) & (target > 0) & (now > last)
        days = np.append(self.days_, np.nan)[np.minimum(place, len(self.days_))]
        left = np.where(is_known, days - np.asarray(age, dtype=float), np.nan)
        return np.maximum(left, 1.0)


def durations_of(ones: pd.DataFrame, day: pd.Timestamp, *, only_won: bool = False) -> Durations:
    """Return how long it took, as known on ``day``.

    Args:
        ones: As ``snapshots.outcomes`` returns them.
        day: Last day that is known.
        only_won: Whether a bad end is none: then it had lasted so long at least.
    """
    known = ones[ones["opened_on"] <= day]
    closed = (known["closed_on"] <= day).to_numpy()
    end = known["closed_on"].where(closed, day)
    decided = closed & (known["won"].to_numpy() == 1) if only_won else closed
    return Durations().fit((end - known["opened_on"]).dt.days.to_numpy(dtype=float), decided)
