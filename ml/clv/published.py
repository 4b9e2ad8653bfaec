"""The value model that is published: the winner of the contest, in its season.

Belongs here: how the hurdle model joins a purchase model, other horizons, the season's factor.
Not here: which of them wins (``contest.py``), whether it may rule (``ml.evaluation.gate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ml.clv.hurdle import HurdleValue, design
from ml.clv.value import DAYS_A_YEAR, CustomerValue
from ml.clv.value import TRUSTED_TYPES as VALUE_TYPES

SHARES = {"blend": 0.5, "hurdle": 1.0}
"""How much of a prediction is the hurdle model's; of any other winner nothing."""
LEAST_ORDERS = 1e-200
"""A purchase model that expects less than this of somebody has nothing that could be scaled."""
TRUSTED_TYPES = (
    *VALUE_TYPES,
    "ml.clv.hurdle.HurdleValue",
    "ml.clv.published.PublishedValue",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""What skops has to be told to trust when it loads a ``PublishedValue``."""


class PublishedValue(BaseEstimator):
    """A purchase model with Gamma-Gamma, a hurdle model, or the mean of the two.

    The hurdle model knows one period of ``hurdle_days_`` and one season. So it moves value
    between customers, not the total: it is scaled to the purchase model's total, and divided by
    the purchase model's value of the same customer it is a factor on her orders, which then holds
    for every horizon. ``factor = 1 - share + share * scale * hurdle / (orders * amount)``.

    The interval reaches further by the logarithm of that factor, in quadrature: what two models
    do not agree on is not known.

    Where the same season was seen a year earlier, all orders are multiplied by how it differed from
    its year (``contest.season_factors``); from a horizon of a year on there is no season.

    Args:
        winner: ``bg_nbd``, ``mbg_nbd``, ``pareto_nbd``, ``hurdle`` or ``blend``.
        horizon_days: Default horizon of ``predict``.
        discount_rate: Default rate a year of ``predict``.

    Attributes:
        base_: The ``CustomerValue``: the winner, or the purchase model beside the hurdle.
        hurdle_: The ``HurdleValue``, or None.
        hurdle_days_: The period that it predicts.
        scale_: What brings its total to that of ``base_``.
        season_days_, season_factors_: Horizons and their factors, ascending; empty without.
    """

    def __init__(
        self, *, winner: str = "bg_nbd", horizon_days: int = 365, discount_rate: float = 0.10
    ) -> None:
        """Keep the settings, as scikit-learn wants."""
        self.winner = winner
        self.horizon_days = horizon_days
        self.discount_rate = discount_rate

    def fit(
        self,
        X: pd.DataFrame,
        y: None = None,
        *,
        base: CustomerValue,
        hurdle: HurdleValue | None = None,
        hurdle_days: int = 0,
        season: dict[int, float] | None = None,
    ) -> Self:
        """Put fitted models together.

        Args:
            X: ``customer_features`` of the customers whose totals the two models shall share.
            y: Ignored.
            base: Fitted on ``X``.
            hurdle: Fitted on earlier periods.
            hurdle_days: Their length.
            season: Horizon in days -> factor.

        Raises:
            ValueError: The winner needs a hurdle model and there is none.
        """
        if self.winner in SHARES and hurdle is None:
            raise ValueError(f"the winner {self.winner} needs a hurdle model")
        self.base_ = base
        self.hurdle_ = hurdle if self.winner in SHARES else None
        self.hurdle_days_ = int(hurdle_days)
        self.scale_ = 1.0
        if self.hurdle_ is not None:
            own = self.hurdle_.predict(design(X, base, hurdle_days)).sum()
            self.scale_ = float(base.expected_spending(X, hurdle_days).sum() / own)
        known = sorted((season or {}).items())
        self.season_days_ = np.array([days for days, _ in known], dtype=float)
        self.season_factors_ = np.array([factor for _, factor in known], dtype=float)
        return self

    def factor(self, X: pd.DataFrame) -> np.ndarray:
        """What the hurdle model makes of each customer's orders, the season left out."""
        check_is_fitted(self, "base_")
        if self.hurdle_ is None:
            return np.ones(len(X))
        own = self.hurdle_.predict(design(X, self.base_, self.hurdle_days_)) * self.scale_
        orders = np.maximum(self.base_.expected_purchases(X, self.hurdle_days_), LEAST_ORDERS)
        share = SHARES[self.winner]
        return 1 - share + share * own / (orders * self.base_.amounts_.expected_mean(X))

    def season(self, days: float) -> float:
        """The season's factor over the next ``days``: 1 without one, and from a year on."""
        if not self.season_days_.size:
            return 1.0
        known = np.append(self.season_days_, DAYS_A_YEAR), np.append(self.season_factors_, 1.0)
        return float(np.interp(days, *known))

    def seasoned(self, X: pd.DataFrame, days: float) -> np.ndarray | float:
        """The season's factor on each customer's orders in the next ``days``.

        ``season(days)``, but never so much that fewer orders would be expected of a longer time:
        who has probably left by summer brings no second Christmas.
        """
        if not self.season_days_.size or days >= DAYS_A_YEAR:
            return 1.0
        factor = np.full(len(X), self.season(days))
        orders = np.maximum(self.base_.expected_purchases(X, days), LEAST_ORDERS)
        for longer in [*self.season_days_[self.season_days_ > days], DAYS_A_YEAR]:
            later = self.base_.expected_purchases(X, longer) * self.season(longer)
            factor = np.minimum(factor, later / orders)
        return factor

    def predict(
        self,
        X: pd.DataFrame,
        horizon_days: int | None = None,
        discount_rate: float | None = None,
    ) -> pd.DataFrame:
        """Score the customers who have a purchase day; see ``CustomerValue.predict``."""
        days, rate, kept, factor = self._common(X, horizon_days, discount_rate)
        season = self.seasoned(kept, days) if len(kept) else 1.0
        return self.base_.predict(kept, days, rate, factor=factor * season, doubt=_doubt(factor))

    def predict_horizons(
        self, X: pd.DataFrame, horizons: Sequence[int], discount_rate: float | None = None
    ) -> pd.DataFrame:
        """Score several horizons; see ``CustomerValue.predict_horizons``."""
        _, rate, kept, factor = self._common(X, None, discount_rate)
        return self.base_.predict_horizons(
            kept,
            horizons,
            rate,
            factor=factor,
            doubt=_doubt(factor),
            season=[self.seasoned(kept, days) if len(kept) else 1.0 for days in horizons],
        )

    def next_orders(self, X: pd.DataFrame, as_of: date) -> pd.DataFrame:
        """Expect the next order's day; see ``CustomerValue.next_orders``."""
        check_is_fitted(self, "base_")
        return self.base_.next_orders(X, as_of)

    def expected_spending(self, X: pd.DataFrame, days: float) -> np.ndarray:
        """E[spending in the next ``days``] of each row, neither discounted nor rounded."""
        return self.expected_purchases(X, days) * self.base_.amounts_.expected_mean(X)

    def expected_purchases(self, X: pd.DataFrame, days: float) -> np.ndarray:
        """E[purchase days in the next ``days``] of each row."""
        orders = self.base_.expected_purchases(X, days)
        return self.factor(X) * self.seasoned(X, days) * orders

    def parameter_table(self) -> pd.DataFrame:
        """Return the purchase and amount models' estimates."""
        check_is_fitted(self, "base_")
        return self.base_.parameter_table()

    def _common(
        self, X: pd.DataFrame, horizon_days: int | None, discount_rate: float | None
    ) -> tuple[int, float, pd.DataFrame, np.ndarray]:
        check_is_fitted(self, "base_")
        days = self.horizon_days if horizon_days is None else horizon_days
        rate = self.discount_rate if discount_rate is None else discount_rate
        if "observed_age_days" not in X.columns:
            raise ValueError("the customer features lack the columns ['observed_age_days']")
        kept = X.loc[X["observed_age_days"].notna()]
        return days, rate, kept, self.factor(kept) if len(kept) else np.ones(0)


def _doubt(factor: np.ndarray) -> np.ndarray:
    return np.abs(np.log(np.maximum(factor, 1e-300)))
