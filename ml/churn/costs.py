"""From which probability on contacting a customer pays, and how good that choice is.

A contact costs ``contact_amount``. It keeps ``success_rate`` of those who would have left, and each
is worth ``saved_amount``. So it pays from the probability ``contact / (success x saved)`` on: with
calibrated probabilities no other threshold earns more, and none has to be fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ContactCosts:
    """What a contact costs and what it may save, in the company's currency."""

    contact_amount: float = 1.0
    saved_amount: float = 20.0
    success_rate: float = 0.10

    def __post_init__(self) -> None:
        """Refuse what gives no threshold."""
        if not (self.contact_amount >= 0 and self.saved_amount > 0 and 0 < self.success_rate <= 1):
            raise ValueError(
                "churn costs need contact_amount >= 0, saved_amount > 0 and a success_rate above "
                f"0 and up to 1; got {self}"
            )

    @property
    def threshold(self) -> float:
        """The lowest probability from which on a contact pays; above 1 it never does."""
        return self.contact_amount / (self.success_rate * self.saved_amount)


def contact_costs(table: pd.DataFrame, model: str) -> ContactCosts:
    """Return the costs of a model from the seed ``churn_costs``.

    Raises:
        ValueError: The table has no row, or several, for the model.
    """
    columns = ["contact_amount", "saved_amount", "success_rate"]
    if missing := {"model", *columns} - set(table.columns):
        raise ValueError(f"the churn costs lack {sorted(missing)}")
    rows = table.loc[table["model"] == model, columns].astype(float)
    if len(rows) != 1:
        raise ValueError(f"the churn costs (seed churn_costs) need one row for the model {model}")
    return ContactCosts(*rows.iloc[0])


def at_threshold(y: FloatArray, p: FloatArray, costs: ContactCosts) -> dict[str, float]:
    """Return how good it is to contact from the threshold on.

    Returns:
        ``threshold``, ``accuracy``, ``precision``, ``recall``, ``f1`` (0 where nobody is
        contacted), ``contact_rate``, ``net_amount`` (a customer's mean gain, less the contacts).
    """
    contacted = p >= costs.threshold
    hits = float(np.sum(contacted & (y == 1)))
    precision = hits / contacted.sum() if contacted.any() else 0.0
    recall = hits / y.sum() if y.any() else 0.0
    return {
        "threshold": costs.threshold,
        "accuracy": float(np.mean(contacted == (y == 1))),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / (precision + recall)) if hits else 0.0,
        "contact_rate": float(np.mean(contacted)),
        "net_amount": net_amount(y, contacted, costs),
    }


def net_amount(y: FloatArray, contacted: NDArray[np.bool_], costs: ContactCosts) -> float:
    """Return the mean gain of a customer when these are contacted."""
    gain = y * costs.success_rate * costs.saved_amount - costs.contact_amount
    return float(np.mean(np.where(contacted, gain, 0.0)))


def best_without_a_model(y: FloatArray, costs: ContactCosts) -> float:
    """Return the mean gain of contacting everybody, or nobody, whichever is better."""
    return max(0.0, net_amount(y, np.ones(len(y), dtype=bool), costs))
