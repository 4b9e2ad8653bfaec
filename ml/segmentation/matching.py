"""Which segment of a new training is which of the champion's: numbers and names that stay.

Belongs here: the matching of centres and what is carried over. Does not: how a name is made up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ml.segmentation.features import FloatArray
from ml.segmentation.kmeans import IntArray

TOLERANCE = 0.75
"""A segment is the same one while its centre lies within so many standard deviations (root of the
summed squares) of where it was when it got its number. Half of the smallest distance between two of
the four centres of Online Retail is .83: farther off, it might as well be its neighbour."""


@dataclass(frozen=True)
class Match:
    """What a training takes over from the champion, one value a new segment.

    Attributes:
        numbers: The segment's number, the champion's where it is the same segment.
        anchors: Where the segment was when it got that number, in the features' own units.
        previous: Place of the same segment in the champion; -1 for a new one.
    """

    numbers: IntArray
    anchors: FloatArray
    previous: IntArray


def match_centres(
    centres: FloatArray,
    champion_anchors: FloatArray,
    champion_numbers: IntArray,
    scale: FloatArray,
    tolerance: float = TOLERANCE,
) -> Match:
    """Return which segments stay, by the assignment of least total distance.

    Distances are to the champion's anchors, not to its latest centres: otherwise a segment that
    moves a little with each training would keep its name however far it goes. A new segment gets
    the smallest number that the champion does not use, so no number changes its meaning from one
    training to the next.

    Args:
        centres: New centres in the features' own units (here: logs), shape ``(k, d)``; never
            standard deviations, whose meaning differs between trainings.
        champion_anchors: The champion's, shape ``(m, d)``, in the same units.
        champion_numbers: The champion's segment numbers, shape ``(m,)``.
        scale: What counts as one unit of distance in each feature, shape ``(d,)``.
        tolerance: Largest distance of segments that are the same.
    """
    previous = np.full(len(centres), -1, dtype=np.intp)
    if len(champion_anchors):
        apart = (centres[:, None, :] - champion_anchors[None, :, :]) / scale
        distance = np.sqrt((apart**2).sum(axis=2))
        # out of reach counts alike, so that a hopeless pair never costs a good one its partner
        for new, old in zip(*linear_sum_assignment(np.minimum(distance, tolerance)), strict=True):
            if distance[new, old] < tolerance:
                previous[new] = old
    numbers = np.zeros(len(centres), dtype=np.intp)
    anchors = centres.copy()
    kept = previous >= 0
    numbers[kept] = champion_numbers[previous[kept]]
    anchors[kept] = champion_anchors[previous[kept]]
    unused = (n for n in range(1, len(centres) + len(champion_numbers) + 1))
    free = [n for n in unused if n not in set(champion_numbers.tolist())]
    numbers[~kept] = free[: int((~kept).sum())]
    return Match(numbers, anchors, previous)
