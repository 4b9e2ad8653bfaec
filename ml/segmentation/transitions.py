"""How customers move between segments from month-end to month-end, and how much the mix drifts.

Belongs here: counting with one model over past months' features. Does not: reading those features;
they are recomputed from facts, so the same facts and champion give the same counts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.segmentation.features import KEY, check_values, log_features
from ml.segmentation.kmeans import IntArray
from ml.segmentation.model import SegmentModel

MOVES = (
    "from_on",
    "to_on",
    "from_segment_id",
    "from_segment_name",
    "to_segment_id",
    "to_segment_name",
    "customer_count",
    "customer_share",
)
DRIFT = (
    "from_on",
    "to_on",
    "customer_count",
    "moved_count",
    "moved_share",
    "new_customer_count",
    "population_stability_index",
)
SHARE_DIGITS = 6
_HALF = 0.5
"""Added to each count before shares are compared, so that an empty segment has a logarithm."""


def segment_moves(model: SegmentModel, history: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return who went where between neighbouring dates, and one row of drift for each step.

    Args:
        model: Places every month by today's centres, so a move is the customer's, not the model's.
        history: One row a customer and date: ``customer_key``, ``as_of`` and ``FEATURES`` as they
            were then. Dates without rows are no step.

    Returns:
        ``MOVES``: one row for each step and pair of segments that occurs; ``from_segment_id`` is
        empty for customers who had no order before. ``customer_share`` is of all who came from
        there. ``DRIFT``: one row a step; ``moved_share`` is of those who had a segment before, and
        the population stability index compares all segments' shares at both dates.

    Raises:
        ValueError: A feature is missing or not a usable number, or a customer has two rows of one
            date.
    """
    check_values(history, (KEY, "as_of"))
    who, customers = pd.factorize(history[KEY])
    when, dates = pd.factorize(pd.to_datetime(history["as_of"]), sort=True)
    repeated = len(history) - len(np.unique(who * (len(dates) + 1) + when))
    if repeated:
        raise ValueError(f"{KEY} and as_of are repeated on {repeated} rows")
    place = np.zeros((len(customers), len(dates)), dtype=np.intp)  # 0: no order yet
    if len(history):
        points = (log_features(history) - model.mean_) / model.scale_
        place[who, when] = model.locate(points) + 1
    moves, drift = [], []
    for step in range(1, len(dates)):
        counts = _pair_counts(place[:, step - 1], place[:, step], len(model.ids_))
        between = (dates[step - 1].date(), dates[step].date())
        moves += [(*between, *row) for row in _moves(model, counts)]
        drift.append((*between, *_drift(counts)))
    moved = pd.DataFrame(moves, columns=list(MOVES))
    moved["from_segment_id"] = moved["from_segment_id"].astype("Int64")
    return moved, pd.DataFrame(drift, columns=list(DRIFT))


def _pair_counts(before: IntArray, after: IntArray, count: int) -> IntArray:
    """Return customers by (place before, place after); 0 is "had no order", never an end."""
    there = after > 0
    pairs = before[there] * (count + 1) + after[there]
    return np.bincount(pairs, minlength=(count + 1) ** 2).reshape(count + 1, count + 1)


def _moves(model: SegmentModel, counts: IntArray) -> list[tuple]:
    order = [0, *(np.argsort(model.ids_) + 1)]
    rows = []
    for before in order:
        total = counts[before].sum()
        source = (None, None) if before == 0 else _segment(model, before)
        rows += [
            (
                *source,
                *_segment(model, after),
                int(counts[before, after]),
                round(counts[before, after] / total, SHARE_DIGITS),
            )
            for after in order[1:]
            if counts[before, after]
        ]
    return rows


def _segment(model: SegmentModel, place: int) -> tuple[int, str]:
    return int(model.ids_[place - 1]), model.names_[place - 1]


def _drift(counts: IntArray) -> tuple[int, int, float, int, float]:
    known = counts[1:, 1:]
    stayed = int(np.trace(known))
    total = int(known.sum())
    index = stability_index(known.sum(axis=1), counts[:, 1:].sum(axis=0))
    share = round((total - stayed) / total, SHARE_DIGITS) if total else float("nan")
    return total, total - stayed, share, int(counts[0].sum()), round(index, SHARE_DIGITS)


def stability_index(before: IntArray, after: IntArray) -> float:
    """Return the population stability index of two sets of counts over the same segments.

    Below .1 it is customary to speak of no drift, above .25 of much.
    """
    old = (before + _HALF) / (before + _HALF).sum()
    new = (after + _HALF) / (after + _HALF).sum()
    return float(((new - old) * np.log(new / old)).sum())
