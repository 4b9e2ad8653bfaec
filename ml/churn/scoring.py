"""Scoring customers with a churn model: probability, band, sentences, and every contribution."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.churn.bands import risk_band
from ml.churn.contracts import KEY
from ml.churn.costs import ContactCosts
from ml.churn.kinds import kind_of
from ml.churn.model import ChurnModel

INTERCEPT = "(intercept)"
DIGITS = 6
"""Scores are rounded before they are written, so that published bytes repeat."""
TOP = 3


def score_churn(
    model: ChurnModel, features: pd.DataFrame, bands: pd.DataFrame, costs: ContactCosts
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every row of ``features``.

    Args:
        model: The champion.
        features: ``customer_features`` at one cut-off, one row a customer.
        bands: Risk bands, see ``ml.churn.bands``.
        costs: Of a contact.

    Returns:
        Two frames. Predictions, one row a customer: ``customer_key``, ``churn_probability``
        (6 digits), ``risk_band``, ``is_contact_worthwhile``, ``reason_1`` ... ``reason_3``.
        Contributions, one row a customer and fact, sorted by both: ``customer_key``, ``feature``,
        ``value``, ``contribution`` (log-odds, 6 digits), with one row ``(intercept)`` a customer,
        whose value is 1; a customer's rows sum to the uncalibrated log-odds.
    """
    return _scored(model, features, bands, costs)


def score_contract_churn(
    model: ChurnModel, contracts: pd.DataFrame, bands: pd.DataFrame, costs: ContactCosts
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the contracts that run.

    Args:
        model: The champion.
        contracts: ``subscription_features`` at one cut-off, one row a contract.
        bands: Risk bands.
        costs: Of a contact.

    Returns:
        As ``score_churn``, by ``subscription_key``. Predictions have a row for every contract with
        ``customer_key``, ``horizon_days`` and ``status``: ``scored``; ``ended``; or
        ``no_model_passed``, where the model is of contracts with dates and this one has a flag, or
        the other way round. Contributions have ``value_text`` for words.
    """
    frame = contracts.sort_values(KEY, ignore_index=True)
    alike = frame["horizon_days"].notna().to_numpy() == (model.horizon_days > 0)
    ended = frame["is_ended"].to_numpy(dtype=bool)
    predictions, reasons = _scored(model, frame[alike & ~ended], bands, costs)
    status = np.select([ended, alike], ["ended", "scored"], "no_model_passed")
    known = frame[[KEY, "customer_key", "horizon_days"]].assign(status=status.astype(object))
    return known.merge(predictions, on=KEY, how="left", validate="one_to_one"), reasons


def _scored(
    model: ChurnModel, rows: pd.DataFrame, bands: pd.DataFrame, costs: ContactCosts
) -> tuple[pd.DataFrame, pd.DataFrame]:
    kind = kind_of(model.kind)
    frame = rows.sort_values(kind.key, ignore_index=True)
    probability, parts, intercept = model.explain(frame)
    probability = np.round(probability, DIGITS)
    predictions = pd.DataFrame(
        {
            kind.key: frame[kind.key],
            "churn_probability": probability,
            "risk_band": risk_band(probability, bands),
            "is_contact_worthwhile": probability >= costs.threshold,
        }
    ).join(kind.sentences(frame, parts, TOP))
    facts = [*sorted(parts.columns)]
    names = [INTERCEPT, *facts]
    # a fact is written as a number or as a word; of customers all are numbers
    numbers = [fact for fact in facts if not _says_words(frame[fact])]
    values = np.full((len(frame), len(names)), np.nan)
    values[:, 0] = 1.0
    for number, fact in enumerate(facts, start=1):
        if fact in numbers:
            values[:, number] = frame[fact].astype(float)
    weights = np.column_stack([np.full(len(frame), intercept), parts[facts].to_numpy()])
    contributions = pd.DataFrame(
        {
            # as objects: made into texts of their own, seven a customer, they take seconds
            kind.key: _objects(np.repeat(frame[kind.key].to_numpy(dtype=object), len(names))),
            "feature": _objects(np.tile(np.array(names, dtype=object), len(frame))),
            "value": np.round(values.ravel(), DIGITS),
            "contribution": np.round(weights.ravel(), DIGITS),
        }
    )
    if len(numbers) < len(facts) or kind.key == KEY:
        words = np.full((len(frame), len(names)), None, dtype=object)
        for number, fact in enumerate(facts, start=1):
            if fact not in numbers:
                known = frame[fact].notna().to_numpy()
                words[:, number] = np.where(known, frame[fact].astype(object), None)
        contributions.insert(3, "value_text", words.ravel())
    return predictions, contributions


def _objects(values: np.ndarray) -> pd.Series:
    return pd.Series(values, dtype=object)


def _says_words(values: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(values):
        return False
    return any(isinstance(value, str) for value in values)
