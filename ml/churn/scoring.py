"""Scoring customers with a churn model: probability, band, sentences, and every contribution."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.churn.bands import risk_band
from ml.churn.model import ChurnModel
from ml.churn.reasons import reason_table

INTERCEPT = "(intercept)"
DIGITS = 6
"""Scores are rounded before they are written, so that published bytes repeat."""
TOP = 3


def score_churn(
    model: ChurnModel, features: pd.DataFrame, bands: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every row of ``features``.

    Args:
        model: The champion.
        features: ``customer_features`` at one cut-off, one row a customer.
        bands: Risk bands, see ``ml.churn.bands``.

    Returns:
        Two frames. Predictions, one row a customer: ``customer_key``, ``churn_probability``
        (6 digits), ``risk_band``, ``reason_1`` ... ``reason_3``. Contributions, one row a customer
        and fact, sorted by both: ``customer_key``, ``feature``, ``value``, ``contribution``
        (log-odds, 6 digits), with one row ``(intercept)`` a customer, whose value is 1; a
        customer's rows sum to the uncalibrated log-odds.
    """
    frame = features.sort_values("customer_key", ignore_index=True)
    probability = np.round(model.predict_proba(frame)[:, 1], DIGITS)
    parts, intercept = model.contributions(frame)
    predictions = pd.DataFrame(
        {
            "customer_key": frame["customer_key"],
            "churn_probability": probability,
            "risk_band": risk_band(probability, bands),
        }
    ).join(reason_table(frame, parts, TOP))
    facts = [*sorted(parts.columns)]
    names = [INTERCEPT, *facts]
    known = frame.reindex(columns=facts).astype(float)
    values = np.column_stack([np.ones(len(frame)), known.to_numpy()])
    weights = np.column_stack([np.full(len(frame), intercept), parts[facts].to_numpy()])
    contributions = pd.DataFrame(
        {
            "customer_key": np.repeat(frame["customer_key"].to_numpy(), len(names)),
            "feature": np.tile(np.array(names, dtype=object), len(frame)),
            "value": np.round(values.ravel(), DIGITS),
            "contribution": np.round(weights.ravel(), DIGITS),
        }
    )
    return predictions, contributions
