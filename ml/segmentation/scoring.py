"""What a champion says today: everybody's segment, the segments' profiles, who moved.

Belongs here: the tables that are published. Does not: training.
"""

from __future__ import annotations

import pandas as pd

from ml.segmentation.features import KEY
from ml.segmentation.model import SegmentModel
from ml.segmentation.naming import seeded_descriptions
from ml.segmentation.report import DIGITS, comparison, profile, rules
from ml.segmentation.transitions import segment_moves


def score_segments(
    model: SegmentModel, features: pd.DataFrame, profiles: pd.DataFrame, history: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return each customer's segment, and the further tables by name.

    Args:
        model: The champion.
        features: One row a customer, today.
        profiles: The seed table ``segment_profiles``, for descriptions.
        history: One row a customer and past date, for ``segment_moves``.
    """
    predictions = model.predict(features)
    segments = profile(features.merge(predictions, on=KEY, validate="one_to_one"), model)
    segments["description"] = seeded_descriptions(model.names_, profiles)
    moves, drift = segment_moves(model, history)
    return predictions, {
        "segment_profiles": segments.sort_values("segment_id", ignore_index=True).round(DIGITS),
        "segment_comparison": comparison(model),
        "segment_rules": rules(model),
        "segment_transitions": moves,
        "segment_drift": drift,
    }
