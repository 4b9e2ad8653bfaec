"""Weights of the customer score, learned by regression on what customers spent afterwards.

Belongs here: the components' places, the regression and what its weights are worth. Does not: the
score with the company's own weights, which is the mart ``customer_score``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from ml.evaluation.metrics import normalised_gini

FloatArray = NDArray[np.float64]

COMPONENTS = ("order_count", "average_order_amount", "rfm")
LEAST_CUSTOMERS = 100
RESAMPLES = 200
DIGITS = 6
WEIGHT_COLUMNS = (
    "component", "given_weight", "learned_weight", "learned_low", "learned_high",
    "customer_count", "given_gini", "learned_gini",
)  # fmt: skip


def places(features: pd.DataFrame) -> pd.DataFrame:
    """Return each customer's place in each component: 0 the worst, 100 the best, ties alike.

    Args:
        features: ``customer_key``, ``recency_days``, ``order_count``, ``net_amount``,
            ``average_order_amount``, one row a customer.

    Returns:
        ``customer_key`` and one column a component, rows by key. A place is 100 x (customers
        strictly worse) / (n - 1), as ``percent_rank`` in the mart; ``rfm`` is that of the sum of
        the three scores of ``customer_rfm``, 1 + floor(5 x (customers strictly worse) / n).
    """
    frame = features.sort_values("customer_key", ignore_index=True)
    scores = sum(
        1 + np.floor(5 * _worse(values) / max(len(frame), 1))
        for values in (
            -frame["recency_days"].to_numpy(dtype=float),
            frame["order_count"].to_numpy(dtype=float),
            frame["net_amount"].to_numpy(dtype=float),
        )
    )
    measured = {
        "order_count": frame["order_count"].to_numpy(dtype=float),
        "average_order_amount": frame["average_order_amount"].to_numpy(dtype=float),
        "rfm": np.asarray(scores, dtype=float),
    }
    found = {
        name: 100 * _worse(values) / max(len(frame) - 1, 1) for name, values in measured.items()
    }
    return pd.DataFrame({"customer_key": frame["customer_key"], **found})


def _worse(values: FloatArray) -> FloatArray:
    """How many are strictly worse than each; a missing value is the worst."""
    return np.asarray(rankdata(np.nan_to_num(values, nan=-np.inf), method="min") - 1, dtype=float)


def weighted(placed: pd.DataFrame, weights: FloatArray) -> FloatArray:
    """Return the score, 0 to 100: the places' mean with these weights; NaN where all are 0."""
    total = weights.sum()
    points = placed[list(COMPONENTS)].to_numpy(dtype=float)
    return points @ weights / total if total > 0 else np.full(len(placed), np.nan)


def learn_weights(
    features: pd.DataFrame, labels: pd.DataFrame, given: pd.DataFrame, *, seed: int = 0
) -> pd.DataFrame:
    """Return given and learned weights, one row a component.

    Non-negative least squares (Lawson & Hanson 1974) of the place by the amount spent after the
    cut-off on the places by the components before it; weights sum to 1. A place instead of the
    amount, because one large order would decide otherwise.

    Args:
        features: Rows of ``customer_features`` at a past cut-off.
        labels: ``customer_key``, ``future_gross_amount`` after it; customers whose window is not
            fully observed have none.
        given: ``component``, ``weight``: the company's own.
        seed: Of the bootstrap.

    Returns:
        Columns ``WEIGHT_COLUMNS``. ``learned_low`` and ``learned_high`` are the 95 % percentile
        interval over ``RESAMPLES`` bootstrap samples of customers. The two Gini coefficients say
        how well either score ranked the later amounts (normalised, 1 = perfectly); the learned
        one is cross-fitted: each half of the customers is scored by weights of the other half.
        Learned values are NaN below ``LEAST_CUSTOMERS`` and where nothing was spent.
    """
    own = given.set_index("component")["weight"].reindex(COMPONENTS).astype(float).fillna(0.0)
    with threadpool_limits(1):
        placed = places(features).merge(
            labels[["customer_key", "future_gross_amount"]].dropna(),
            on="customer_key",
            validate="one_to_one",
        )
        spent = placed["future_gross_amount"].to_numpy(dtype=float)
        table = pd.DataFrame({"component": COMPONENTS, "given_weight": own.to_numpy()})
        table["customer_count"] = len(placed)
        if len(placed) < LEAST_CUSTOMERS or np.ptp(spent) == 0:
            table[["learned_weight", "learned_low", "learned_high"]] = np.nan
            table[["given_gini", "learned_gini"]] = np.nan
            return table[list(WEIGHT_COLUMNS)]
        points = placed[list(COMPONENTS)].to_numpy(dtype=float)
        target = 100 * _worse(spent) / (len(spent) - 1)
        resampled = _bootstrap(points, target, seed)
        table["learned_weight"] = _fit(points, target, np.ones(len(target)))
        table["learned_low"], table["learned_high"] = np.quantile(resampled, [0.025, 0.975], axis=0)
        table["given_gini"] = (
            normalised_gini(spent, weighted(placed, own.to_numpy())) if own.sum() > 0 else np.nan
        )
        table["learned_gini"] = normalised_gini(spent, _cross_fitted(placed, target))
    numbers = table.columns.difference(["component", "customer_count"])
    table[numbers] = table[numbers].round(DIGITS)
    return table[list(WEIGHT_COLUMNS)]


def _fit(points: FloatArray, target: FloatArray, weight: FloatArray) -> FloatArray:
    """Return non-negative weights that sum to 1; equal ones where the regression finds none."""
    # centred, so that the level of the places needs no weight of its own
    total = weight.sum()
    x = points - weight @ points / total
    y = target - weight @ target / total
    root = np.sqrt(weight)
    found, _ = nnls(x * root[:, None], y * root)
    return found / found.sum() if found.sum() > 0 else np.full(points.shape[1], 1 / points.shape[1])


def _bootstrap(points: FloatArray, target: FloatArray, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    size = len(target)
    drawn = (rng.multinomial(size, np.full(size, 1 / size)) for _ in range(RESAMPLES))
    return np.array([_fit(points, target, weight.astype(float)) for weight in drawn])


def _cross_fitted(placed: pd.DataFrame, target: FloatArray) -> FloatArray:
    """Return scores of each half by the other half's weights; halves alternate by key."""
    points = placed[list(COMPONENTS)].to_numpy(dtype=float)
    half = np.arange(len(placed)) % 2 == 0
    scores = np.empty(len(placed))
    for held_out in (half, ~half):
        weights = _fit(points[~held_out], target[~held_out], np.ones((~held_out).sum()))
        scores[held_out] = points[held_out] @ weights
    return scores


def learned_scores(features: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return today's score with the learned weights: ``customer_key``, ``learned_score``.

    Empty where no weights could be learned.
    """
    placed = places(features)
    weights = table.set_index("component")["learned_weight"].reindex(COMPONENTS).to_numpy(float)
    if np.isnan(weights).any():
        return pd.DataFrame({"customer_key": pd.Series(dtype=str), "learned_score": []})
    score = weighted(placed, weights).round(DIGITS)
    return pd.DataFrame({"customer_key": placed["customer_key"], "learned_score": score})
