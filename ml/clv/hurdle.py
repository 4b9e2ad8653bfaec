"""A hurdle model by gradient boosting: who buys at all within some days, and for how much.

Belongs here: the columns it learns from, fit and prediction for the days it was trained on. Not
here: other horizons and the place beside the other models (``published.py``, ``contest.py``).
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from ml.clv.value import CustomerValue

FEATURES = (
    "recency_days",
    "observed_age_days",
    "repeat_count",
    "last_repeat_age_days",
    "repeat_mean_amount",
    "gross_amount",
    "average_order_amount",
    "order_count_30d",
    "order_count_90d",
    "order_count_180d",
    "order_count_365d",
    "gross_amount_30d",
    "gross_amount_90d",
    "gross_amount_180d",
    "gross_amount_365d",
    "mean_gap_days",
    "stddev_gap_days",
    "latest_gap_days",
    "recency_to_gap_ratio",
    "item_quantity",
    "line_count",
    "distinct_product_count",
    "returned_share",
)
"""Of ``customer_features``; columns that a frame lacks are done without."""
LEAST_ROWS = 200
LEAST_OF_A_KIND = 50
"""Fewer customers, or fewer who bought or did not, teach a tree nothing but noise."""
MOST_ROWS = 100_000
"""With more rows it learns from about so many, chosen by a hash of the key."""


def design(features: pd.DataFrame, base: CustomerValue, days: float) -> pd.DataFrame:
    """What the trees see of customers who have a purchase day.

    Args:
        features: Rows of ``customer_features``.
        base: Fitted on the same features; what it expects is a column, as rates a day.
        days: The period to predict.

    Returns:
        Floats, one row a customer, missing values as NaN.
    """
    known = [name for name in FEATURES if name in features.columns]
    frame = features[known].astype(float)
    age = features["observed_age_days"].astype(float)
    idle = age - features["last_repeat_age_days"].astype(float)
    return frame.assign(
        repeat_rate=features["repeat_count"].astype(float) / (age + 1),
        idle_share=idle / (age + 1),
        expected_rate=base.expected_purchases(features, days) / days,
        expected_order_amount=base.amounts_.expected_mean(features),
    )


class HurdleValue(BaseEstimator):
    """P(any purchase) times E[amount | any], both by histogram gradient boosting.

    Small trees with many customers a leaf: value data are a few heavy spenders and noise. More
    leaves ranked worse on every earlier period looked at (docs/decisions/0013-value-contest.md).

    Args:
        max_iter: Trees of each of the two.
        learning_rate: Their step.
        max_leaf_nodes: Leaves of a tree.
        min_samples_leaf: Customers in a leaf at least.
        seed: Of the binning, where rows are many.

    Attributes:
        columns_: What it reads, in order.
        buys_: The classifier.
        spends_: The regressor, of those who bought.
        row_count_: Rows it learned from.
    """

    def __init__(
        self,
        *,
        max_iter: int = 100,
        learning_rate: float = 0.05,
        max_leaf_nodes: int = 4,
        min_samples_leaf: int = 60,
        seed: int = 0,
    ) -> None:
        """Keep the settings, as scikit-learn wants."""
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Learn from what customers spent afterwards.

        Args:
            X: Rows of ``design``, in an order of their own (sorted by key).
            y: Amount spent in the days that followed, not negative.

        Raises:
            ValueError: Too few rows, or too few who bought or who did not.
        """
        spent = np.asarray(y, dtype=float)
        if spent.shape != (len(X),) or not np.all(np.isfinite(spent)) or np.any(spent < 0):
            raise ValueError("the hurdle model needs one finite amount of at least 0 a row")
        bought = spent > 0
        fewest = min(int(bought.sum()), int((~bought).sum()))
        if len(X) < LEAST_ROWS or fewest < LEAST_OF_A_KIND:
            raise ValueError(
                f"{len(X)} customers, {int(bought.sum())} of whom bought, are too few for the "
                f"hurdle model: it needs {LEAST_ROWS}, {LEAST_OF_A_KIND} of either kind"
            )
        options = {
            "max_iter": self.max_iter,
            "learning_rate": self.learning_rate,
            "max_leaf_nodes": self.max_leaf_nodes,
            "l2_regularization": 1.0,
            "early_stopping": False,
            "random_state": self.seed,
        }
        buyers = int(bought.sum())
        self.columns_ = list(X.columns)
        values = X.to_numpy(dtype=float)
        with threadpool_limits(1):
            self.buys_ = HistGradientBoostingClassifier(
                min_samples_leaf=min(self.min_samples_leaf, len(X) // 10), **options
            ).fit(values, bought)
            self.spends_ = HistGradientBoostingRegressor(
                loss="gamma", min_samples_leaf=min(self.min_samples_leaf, buyers // 5), **options
            ).fit(values[bought], spent[bought])
        self.row_count_ = len(X)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """E[amount] of each row over the days that it was trained on.

        Raises:
            ValueError: A column that it learned from is missing.
        """
        check_is_fitted(self)
        if missing := [name for name in self.columns_ if name not in X.columns]:
            raise ValueError(f"the customer features lack the columns {missing}")
        values = X[self.columns_].to_numpy(dtype=float)
        with threadpool_limits(1):
            return self.buys_.predict_proba(values)[:, 1] * self.spends_.predict(values)
