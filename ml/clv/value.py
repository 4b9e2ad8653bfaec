"""Customer value: BG/NBD purchases times Gamma-Gamma amounts, as one estimator.

Belongs here: the step from ``customer_features`` to money and its interval. Not here: whether the
model is good enough (``training.py`` and ``ml.evaluation.gate``).
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from ml.clv.amounts import GammaGamma
from ml.clv.purchases import BetaGeometricNBD

FEATURES = (
    "customer_key",
    "repeat_count",
    "last_repeat_age_days",
    "observed_age_days",
    "repeat_mean_amount",
)
"""What fitting and scoring read of ``customer_features``."""
PREDICTIONS = (
    "customer_key",
    "alive_probability",
    "expected_orders",
    "expected_order_amount",
    "clv_amount",
    "clv_low_amount",
    "clv_high_amount",
)
TRUSTED_TYPES = (
    "ml.clv.amounts.GammaGamma",
    "ml.clv.purchases.BetaGeometricNBD",
    "ml.clv.value.CustomerValue",
)
"""What skops has to be told to trust when it loads a ``CustomerValue``."""
DAYS_A_YEAR = 365.0
DAYS_A_WEEK = 7.0
WIDEST_LOG_REACH = np.log(1e4)
"""Bounds never lie further than a factor of ten thousand from the value, so that an amount that
the data hardly determine still fits its DECIMAL column."""


class CustomerValue(BaseEstimator):
    """Expected spending of each customer over a horizon, discounted, with its interval.

    ``clv = P(alive) * E[discounted purchases | alive] * E[amount per purchase day]``; the two
    models are independent by assumption. A purchase at day s counts ``(1 + rate)^(-s / 365)``.

    The interval is that of the *expectation*: it says how well the parameters are known (delta
    method on the log scale, deterministic), given that the model is right. What a single customer
    really spends varies far more.

    Args:
        horizon_days: Default horizon of ``predict``.
        discount_rate: Default rate a year of ``predict``.
        level: Confidence level of all intervals.

    Attributes:
        purchases_: The fitted ``BetaGeometricNBD``, in days.
        amounts_: The fitted ``GammaGamma``.
    """

    def __init__(
        self, *, horizon_days: int = 365, discount_rate: float = 0.10, level: float = 0.95
    ) -> None:
        """Keep the settings, as scikit-learn wants."""
        self.horizon_days = horizon_days
        self.discount_rate = discount_rate
        self.level = level

    def fit(self, X: pd.DataFrame, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit both models to the customers who have a purchase day.

        Args:
            X: One row a customer with the columns ``FEATURES``; rows whose
                ``observed_age_days`` is missing (no purchase day) are left out.
            y: Ignored.
            sample_weight: How many customers each row stands for.

        Raises:
            ValueError: A column is missing or impossible, or there is too little to fit.
        """
        frame, kept = _with_purchase_day(X)
        weight = None if sample_weight is None else np.asarray(sample_weight, float)[kept]
        with threadpool_limits(1):
            self.purchases_ = BetaGeometricNBD(level=self.level).fit(
                _in_days(frame), sample_weight=weight
            )
            self.amounts_ = GammaGamma(level=self.level).fit(frame, sample_weight=weight)
        return self

    def predict(
        self,
        X: pd.DataFrame,
        horizon_days: int | None = None,
        discount_rate: float | None = None,
    ) -> pd.DataFrame:
        """Score the customers who have a purchase day.

        Args:
            X: One row a customer with the columns ``FEATURES``.
            horizon_days: Days ahead, ``self.horizon_days`` if None.
            discount_rate: A year, at least 0; ``self.discount_rate`` if None.

        Returns:
            Rows of ``X`` whose ``observed_age_days`` is not missing, in their order and with
            their index; the caller decides what becomes of the others. Columns ``PREDICTIONS``:
            ``expected_orders`` (purchase days, undiscounted, 6 digits), amounts in the currency
            of the features, two digits; low <= clv <= high always.
        """
        check_is_fitted(self)
        horizon = float(self.horizon_days if horizon_days is None else horizon_days)
        rate = self.discount_rate if discount_rate is None else discount_rate
        if not horizon > 0 or not rate >= 0:
            raise ValueError("horizon_days must be above 0 and discount_rate at least 0")
        discount = float(np.log1p(rate)) / DAYS_A_YEAR
        frame, _ = _with_purchase_day(X)
        if frame.empty:
            nothing = {name: np.empty(0) for name in PREDICTIONS[1:]}
            return pd.DataFrame({"customer_key": frame["customer_key"], **nothing})
        with threadpool_limits(1):
            return self._score(frame, horizon, discount)

    def _score(self, frame: pd.DataFrame, horizon: float, discount: float) -> pd.DataFrame:
        history = _in_days(frame)
        orders = self.purchases_.expected_purchases(history, horizon)
        discounted = self.purchases_.expected_purchases(history, horizon, discount=discount)
        amount = self.amounts_.expected_mean(frame)
        value = discounted * amount
        purchase_slopes = self.purchases_.log_sensitivity(history, horizon, discount=discount)
        amount_slopes = self.amounts_.log_sensitivity(frame)
        variance = _quadratic(purchase_slopes, self.purchases_.log_covariance_) + _quadratic(
            amount_slopes, self.amounts_.log_covariance_
        )
        reach = float(norm.ppf(0.5 + self.level / 2)) * np.sqrt(variance)
        reach = np.minimum(reach, WIDEST_LOG_REACH)
        return pd.DataFrame(
            {
                "customer_key": frame["customer_key"],
                "alive_probability": self.purchases_.alive_probability(history).round(6),
                "expected_orders": orders.round(6),
                "expected_order_amount": amount.round(2),
                "clv_amount": value.round(2),
                "clv_low_amount": (value * np.exp(-reach)).round(2),
                "clv_high_amount": (value * np.exp(reach)).round(2),
            },
            index=frame.index,
        )

    def expected_spending(self, X: pd.DataFrame, days: float) -> np.ndarray:
        """E[spending in the next ``days``] of each row, neither discounted nor rounded."""
        check_is_fitted(self)
        return self.expected_purchases(X, days) * self.amounts_.expected_mean(X)

    def expected_purchases(self, X: pd.DataFrame, days: float) -> np.ndarray:
        """E[purchase days in the next ``days``] of each row."""
        check_is_fitted(self)
        return self.purchases_.expected_purchases(_in_days(X), days)

    def parameter_table(self) -> pd.DataFrame:
        """Estimates with time in weeks, as the literature prints them.

        Returns:
            One row a parameter, indexed by ``r, alpha_weeks, a, b, p, q, v``: ``estimate``,
            ``standard_error``, ``low``, ``high`` (not a number where it is not estimated).
        """
        check_is_fitted(self)
        purchases, amounts = self.purchases_, self.amounts_
        unit = np.array([1.0, 1 / DAYS_A_WEEK, 1.0, 1.0])
        return pd.DataFrame(
            {
                "estimate": np.append(
                    np.array([purchases.r_, purchases.alpha_, purchases.a_, purchases.b_]) * unit,
                    [amounts.p_, amounts.q_, amounts.v_],
                ),
                "standard_error": np.append(
                    purchases.standard_errors_ * unit, amounts.standard_errors_
                ),
                "low": np.append(purchases.intervals_[:, 0] * unit, amounts.intervals_[:, 0]),
                "high": np.append(purchases.intervals_[:, 1] * unit, amounts.intervals_[:, 1]),
            },
            index=pd.Index(["r", "alpha_weeks", "a", "b", "p", "q", "v"], name="parameter"),
        )


def _quadratic(slopes: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    return np.maximum(np.einsum("ij,jk,ik->i", slopes, covariance, slopes), 0.0)


def _with_purchase_day(X: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    if missing := [name for name in FEATURES if name not in X.columns]:
        raise ValueError(f"the customer features lack the columns {missing}")
    kept = X["observed_age_days"].notna().to_numpy()
    return X.loc[kept, list(FEATURES)], kept


def _in_days(X: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "repeat_count": X["repeat_count"].astype(float),
            "last_repeat_age": X["last_repeat_age_days"].astype(float),
            "age": X["observed_age_days"].astype(float),
        }
    )
