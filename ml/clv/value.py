"""Customer value: a purchase model times Gamma-Gamma amounts, as one estimator.

Belongs here: the step from ``customer_features`` to money and its interval. Not here: whether the
model is good enough (``training.py`` and ``ml.evaluation.gate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from ml.clv.amounts import GammaGamma
from ml.clv.purchase_model import PurchaseModel
from ml.clv.purchases import BetaGeometricNBD, ModifiedBetaGeometricNBD, ParetoNBD

PURCHASE_MODELS: dict[str, type[PurchaseModel]] = {
    "bg_nbd": BetaGeometricNBD,
    "mbg_nbd": ModifiedBetaGeometricNBD,
    "pareto_nbd": ParetoNBD,
}
TITLES = {"bg_nbd": "BG/NBD", "mbg_nbd": "MBG/NBD", "pareto_nbd": "Pareto/NBD"}

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
HORIZON_PREDICTIONS = (
    "customer_key",
    "horizon_days",
    "expected_orders",
    "purchase_probability",
    "clv_amount",
    "clv_low_amount",
    "clv_high_amount",
)
NEXT_ORDERS = ("customer_key", "next_order_on", "next_order_low_on", "next_order_high_on")
TRUSTED_TYPES = (
    "ml.clv.amounts.GammaGamma",
    "ml.clv.purchases.BetaGeometricNBD",
    "ml.clv.purchases.ModifiedBetaGeometricNBD",
    "ml.clv.purchases.ParetoNBD",
    "ml.clv.value.CustomerValue",
)
"""What skops has to be told to trust when it loads a ``CustomerValue``."""
LEAST_ALIVE = 0.05
"""Below this P(alive) no next order is expected."""
NEXT_ORDER_DAYS = 1825.0
"""Who does not order again within five years counts as not returning."""
NEXT_ORDER_SHARES = (0.1, 0.5, 0.9)
"""Low end, middle and high end of the next order's day."""
DAYS_A_YEAR = 365.0
DAYS_A_WEEK = 7.0
WIDEST_LOG_REACH = float(np.log(1e4))
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
        purchase_model: ``bg_nbd``, ``mbg_nbd`` or ``pareto_nbd``.
        horizon_days: Default horizon of ``predict``.
        discount_rate: Default rate a year of ``predict``.
        level: Confidence level of all intervals.

    Attributes:
        purchases_: The fitted purchase model, in days.
        amounts_: The fitted ``GammaGamma``.
    """

    purchase_model: str = "bg_nbd"  # of a model that was stored when there was no other

    def __init__(
        self,
        *,
        purchase_model: str = "bg_nbd",
        horizon_days: int = 365,
        discount_rate: float = 0.10,
        level: float = 0.95,
    ) -> None:
        """Keep the settings, as scikit-learn wants."""
        self.purchase_model = purchase_model
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
            ValueError: A column is missing or impossible, the purchase model is unknown, or there
                is too little to fit.
        """
        return self.fit_purchases(X, GammaGamma(level=self.level), sample_weight)

    def fit_purchases(
        self, X: pd.DataFrame, amounts: GammaGamma, sample_weight: ArrayLike | None = None
    ) -> Self:
        """As ``fit``, with an amount model that is fitted only if it is not yet."""
        if self.purchase_model not in PURCHASE_MODELS:
            known = ", ".join(PURCHASE_MODELS)
            raise ValueError(f"unknown purchase model {self.purchase_model!r}; known are {known}")
        frame, kept = _with_purchase_day(X)
        weight = None if sample_weight is None else np.asarray(sample_weight, float)[kept]
        with threadpool_limits(1):
            model = PURCHASE_MODELS[self.purchase_model](level=self.level)
            self.purchases_ = model.fit(_in_days(frame), sample_weight=weight)
            if not hasattr(amounts, "p_"):
                amounts.fit(frame, sample_weight=weight)
        self.amounts_ = amounts
        return self

    def predict(
        self,
        X: pd.DataFrame,
        horizon_days: int | None = None,
        discount_rate: float | None = None,
        *,
        factor: np.ndarray | float = 1.0,
        doubt: np.ndarray | float = 0.0,
    ) -> pd.DataFrame:
        """Score the customers who have a purchase day.

        Args:
            X: One row a customer with the columns ``FEATURES``.
            horizon_days: Days ahead, ``self.horizon_days`` if None.
            discount_rate: A year, at least 0; ``self.discount_rate`` if None.
            factor: What another model makes of each scored customer's orders.
            doubt: What the interval reaches further on the log scale, in quadrature.

        Returns:
            Rows of ``X`` whose ``observed_age_days`` is not missing, in their order and with
            their index; the caller decides what becomes of the others. Columns ``PREDICTIONS``:
            ``expected_orders`` (purchase days, undiscounted, 6 digits), amounts in the currency
            of the features, two digits; low <= clv <= high always.
        """
        check_is_fitted(self)
        horizon, discount = self._horizon_and_discount(horizon_days, discount_rate)
        frame, _ = _with_purchase_day(X)
        if frame.empty:
            return _nothing(frame, PREDICTIONS)
        with threadpool_limits(1):
            history = _in_days(frame)
            orders = self.purchases_.expected_purchases(history, horizon) * factor
            amount = self.amounts_.expected_mean(frame)
            slopes = self.purchases_.log_sensitivity(history, horizon, discount=discount)
            return pd.DataFrame(
                {
                    "customer_key": frame["customer_key"],
                    "alive_probability": self.purchases_.alive_probability(history).round(6),
                    "expected_orders": orders.round(6),
                    "expected_order_amount": amount.round(2),
                    **self._value(frame, history, horizon, discount, slopes, factor, doubt),
                },
                index=frame.index,
            )

    def predict_horizons(
        self,
        X: pd.DataFrame,
        horizons: Sequence[int],
        discount_rate: float | None = None,
        *,
        factor: np.ndarray | float = 1.0,
        doubt: np.ndarray | float = 0.0,
        season: Sequence[np.ndarray | float] | None = None,
    ) -> pd.DataFrame:
        """Score the customers who have a purchase day over several horizons.

        Args:
            X: As in ``predict``.
            horizons: Days ahead.
            discount_rate: As in ``predict``.
            factor: As in ``predict``.
            doubt: As in ``predict``.
            season: A further factor for each horizon.

        Returns:
            Columns ``HORIZON_PREDICTIONS``, customers in the order of ``X``, their horizons in the
            order given. Intervals as in ``predict``, but with the sensitivity of the undiscounted
            orders, which differs in the third digit and costs a tenth.
        """
        check_is_fitted(self)
        frame, _ = _with_purchase_day(X)
        if frame.empty or not len(horizons):
            return _nothing(frame.iloc[:0], HORIZON_PREDICTIONS)
        tables = []
        history = _in_days(frame)
        with threadpool_limits(1):
            for number, days in enumerate(horizons):
                horizon, discount = self._horizon_and_discount(days, discount_rate)
                own = factor * (1.0 if season is None else season[number])
                orders = self.purchases_.expected_purchases(history, horizon)
                buys = self.purchases_.purchase_probability(history, horizon)
                slopes = self.purchases_.log_sensitivity(history, horizon)
                tables.append(
                    pd.DataFrame(
                        {
                            "customer_key": frame["customer_key"].to_numpy(),
                            "horizon_days": int(days),
                            "expected_orders": (orders * own).round(6),
                            # as if each purchase were kept or doubled on its own: never above
                            # the expected orders, and 1 - (1 - p) without a factor
                            "purchase_probability": -np.expm1(
                                np.log1p(-np.minimum(buys, 1 - 1e-12)) * own
                            ).round(6),
                            **self._value(frame, history, horizon, discount, slopes, own, doubt),
                        }
                    )
                )
        order = np.arange(len(frame) * len(horizons)).reshape(len(horizons), -1).T.ravel()
        return pd.concat(tables, ignore_index=True).iloc[order].reset_index(drop=True)

    def next_orders(self, X: pd.DataFrame, as_of: date) -> pd.DataFrame:
        """On which day each customer is expected to order next.

        Args:
            X: As in ``predict``, features of the end of ``as_of``.
            as_of: The day after which orders are still to come.

        Returns:
            Columns ``NEXT_ORDERS`` of customers who have a purchase day: the median of the next
            order's day among futures in which she orders again within ``NEXT_ORDER_DAYS``, and
            the 10 % and 90 % quantiles. Missing where P(alive) is below ``LEAST_ALIVE``.
        """
        check_is_fitted(self)
        frame, _ = _with_purchase_day(X)
        if frame.empty:
            return _nothing(frame, NEXT_ORDERS)
        with threadpool_limits(1):
            history = _in_days(frame)
            times = self.purchases_.waiting_times(history, NEXT_ORDER_SHARES, NEXT_ORDER_DAYS)
            alive = self.purchases_.alive_probability(history) >= LEAST_ALIVE
        # rounded first, so that the last bit of a quantile moves no day
        days = np.maximum(np.ceil(times.round(3)), 1).astype("timedelta64[D]")
        dates = np.datetime64(as_of, "D") + days
        low, middle, high = np.where(alive[:, None], dates, np.datetime64("NaT")).T
        return pd.DataFrame(
            {
                "customer_key": frame["customer_key"],
                "next_order_on": middle.astype("datetime64[s]"),
                "next_order_low_on": low.astype("datetime64[s]"),
                "next_order_high_on": high.astype("datetime64[s]"),
            },
            index=frame.index,
        )

    def _horizon_and_discount(
        self, horizon_days: int | None, discount_rate: float | None
    ) -> tuple[float, float]:
        horizon = float(self.horizon_days if horizon_days is None else horizon_days)
        rate = self.discount_rate if discount_rate is None else discount_rate
        if not horizon > 0 or not rate >= 0:
            raise ValueError("horizon_days must be above 0 and discount_rate at least 0")
        return horizon, float(np.log1p(rate)) / DAYS_A_YEAR

    def _value(
        self,
        frame: pd.DataFrame,
        history: pd.DataFrame,
        horizon: float,
        discount: float,
        slopes: np.ndarray,
        factor: np.ndarray | float,
        doubt: np.ndarray | float,
    ) -> dict[str, np.ndarray]:
        orders = self.purchases_.expected_purchases(history, horizon, discount=discount)
        value = orders * factor * self.amounts_.expected_mean(frame)
        variance = _quadratic(slopes, self.purchases_.log_covariance_) + _quadratic(
            self.amounts_.log_sensitivity(frame), self.amounts_.log_covariance_
        )
        reach = float(norm.ppf(0.5 + self.level / 2)) * np.sqrt(variance)
        reach = np.minimum(np.hypot(reach, doubt), WIDEST_LOG_REACH)
        return {
            "clv_amount": value.round(2),
            "clv_low_amount": (value * np.exp(-reach)).round(2),
            "clv_high_amount": (value * np.exp(reach)).round(2),
        }

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
            One row a parameter, indexed by name, such as ``r, alpha_weeks, a, b, p, q, v``:
            ``estimate``, ``standard_error``, ``low``, ``high`` (not a number where it is not
            estimated).
        """
        check_is_fitted(self)
        purchases, amounts = self.purchases_, self.amounts_
        unit = np.ones(4)
        unit[list(purchases.TIMES)] = 1 / DAYS_A_WEEK
        names = [
            f"{name}_weeks" if place in purchases.TIMES else name
            for place, name in enumerate(purchases.NAMES)
        ]
        return pd.DataFrame(
            {
                "estimate": np.append(
                    purchases.estimates_ * unit, [amounts.p_, amounts.q_, amounts.v_]
                ),
                "standard_error": np.append(
                    purchases.standard_errors_ * unit, amounts.standard_errors_
                ),
                "low": np.append(purchases.intervals_[:, 0] * unit, amounts.intervals_[:, 0]),
                "high": np.append(purchases.intervals_[:, 1] * unit, amounts.intervals_[:, 1]),
            },
            index=pd.Index([*names, "p", "q", "v"], name="parameter"),
        )


def _quadratic(slopes: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    return np.maximum(np.einsum("ij,jk,ik->i", slopes, covariance, slopes), 0.0)


def _nothing(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    nothing: dict[str, object] = {"customer_key": frame["customer_key"]}
    for name in columns[1:]:
        nothing[name] = np.empty(0, dtype="datetime64[s]" if name.endswith("_on") else float)
    return pd.DataFrame(nothing)


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
