"""The table of recommendations: N products a customer, each with its reason."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ml.recommendation.model import Recommender
from ml.recommendation.purchases import day_number, make_history, snapshot
from ml.recommendation.ranking import NOBODY
from ml.recommendation.shop import Shop

COLUMNS = (
    "customer_key",
    "recommendation_rank",
    "product_key",
    "score",
    "reason",
    "reason_product_key",
)
POPULAR = "popular lately"
"""The reason where nothing that the customer bought speaks for a product."""


def score_recommendations(
    model: Recommender,
    purchases: pd.DataFrame,
    sales: pd.DataFrame,
    inventory: pd.DataFrame,
    products: pd.DataFrame,
    customers: pd.DataFrame,
    *,
    as_of: date,
    shop: Shop | None = None,
) -> pd.DataFrame:
    """Return the products to offer to each customer, best first.

    Args:
        model: The champion.
        purchases: As in training, up to ``as_of``.
        sales: Likewise.
        inventory: Likewise.
        products: Likewise; may hold products that the model has not seen.
        customers: ``customer_key`` of everybody who gets recommendations.
        as_of: The scoring day.
        shop: The shop's rules.

    Returns:
        ``COLUMNS``, by customer and rank: ``recommended_count`` rows a customer, fewer only
        where fewer products could be offered. ``score`` compares products of one customer; it
        is rounded. ``reason_product_key`` is what the customer bought that added most to the
        score, null where popularity decided.
    """
    shop = shop or Shop()
    with threadpool_limits(1):
        history = make_history(
            purchases, sales, inventory, products, customers=customers["customer_key"]
        )
        known = snapshot(history, day_number(as_of), unsold_days=shop.unsold_days)
        wanted = np.sort(customers["customer_key"].astype(object).unique())
        rows = pd.Index(history.customers).get_indexer(pd.Index(wanted))
        found, scores, because = model.offers(known, rows, shop.recommended_count)
    place, rank = np.nonzero(found != NOBODY)
    reason = because[place, rank]
    names = np.array([f"bought {name}" for name in history.names] + [POPULAR], dtype=object)
    keys = np.append(history.products, [None])
    return pd.DataFrame(
        {
            "customer_key": history.customers[rows[place]],
            "recommendation_rank": (rank + 1).astype(np.int32),
            "product_key": history.products[found[place, rank]],
            "score": scores[place, rank],
            "reason": names[reason],
            "reason_product_key": keys[reason],
        },
        columns=list(COLUMNS),
    )
