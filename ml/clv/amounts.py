"""Gamma-Gamma as a scikit-learn estimator: how much customers spend when they buy.

Belongs here: input checks, the fit, the expected mean amount. Not here: how often they buy.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ml.clv.columns import checked_weight, log_intervals
from ml.clv.likelihoods import AmountRows, gamma_gamma
from ml.clv.optimise import log_covariance, maximise
from ml.clv.rows import weighted_rows

COLUMNS = ("repeat_count", "repeat_mean_amount")

SHAPE_SMALLEST, SHAPE_GREATEST = 1e-3, 1e4
"""Box for p, and upper edge for q: beyond 1e4 amounts vary by less than 1 %."""
TAIL_SMALLEST = 1.05
"""Lower edge of q: at q <= 1 the population's mean amount is infinite."""
LEAST_SPREAD = 1e-9
"""Variance of log amounts below which they count as constant."""


class GammaGamma(BaseEstimator):
    """Gamma-Gamma model of spending by maximum likelihood (Fader & Hardie 2013).

    A customer's amounts are gamma-distributed with shape p and a scale whose inverse is
    gamma-distributed over customers ``(q, v)``; amounts do not depend on how often she buys.

    Args:
        level: Confidence level of ``intervals_``.
        max_iterations: Newton steps.

    Attributes:
        p_, q_, v_: Estimates; ``v_`` in the unit of the amounts.
        standard_errors_: Shape ``(3,)``.
        intervals_: Shape ``(3, 2)``, from the Hessian in log-parameters.
        log_covariance_: Of the log-parameters, shape ``(3, 3)``.
        log_likelihood_: At the optimum, with amounts in the input's unit.
        limits_: Names of parameters at the edge of the box (``p``: a customer's amounts hardly
            vary; ``q``: customers hardly differ, or their mean would be infinite).
        customer_count_: Sum of the weights of the customers used.
        iteration_count_: Newton steps.
        is_converged_: False if the climb gave up.
    """

    def __init__(self, *, level: float = 0.95, max_iterations: int = 200) -> None:
        """Keep the settings, as scikit-learn wants."""
        self.level = level
        self.max_iterations = max_iterations

    def fit(self, X: pd.DataFrame, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to the customers who bought again.

        Args:
            X: One row a customer: ``repeat_count`` (x) and ``repeat_mean_amount`` (mean amount
                of these purchases). Rows without repeat purchase or without a positive mean are
                left out.
            y: Ignored.
            sample_weight: How many customers each row stands for.

        Raises:
            ValueError: Fewer than two usable customers, or amounts that do not vary.
        """
        x, mean = amount_columns(X)
        given = checked_weight(sample_weight, x.size)
        usable = (x > 0) & (mean > 0)
        if given is not None:
            usable &= given > 0
            given = given[usable]
        if np.count_nonzero(usable) < 2:
            raise ValueError("fewer than two customers bought again for a positive amount")
        (x, mean), weight = weighted_rows([x[usable], mean[usable]], given)
        logs = np.log(mean)
        centre = float(weight @ logs / weight.sum())
        if weight @ (logs - centre) ** 2 / weight.sum() < LEAST_SPREAD:
            raise ValueError("all customers spend the same amount, so its spread is unknown")
        scale = float(weight @ mean / weight.sum())
        rows = AmountRows(x, mean / scale, weight)
        optimum = maximise(
            lambda point: gamma_gamma(point, rows),
            np.log([2.0, 3.0, 1.0]),
            np.log([SHAPE_SMALLEST, TAIL_SMALLEST, 1e-8]),
            np.log([SHAPE_GREATEST, SHAPE_GREATEST, 1e10]),
            max_iterations=self.max_iterations,
        )
        estimates = np.exp(optimum.point) * np.array([1.0, 1.0, scale])
        self.p_, self.q_, self.v_ = (float(value) for value in estimates)
        self.log_covariance_ = log_covariance(optimum)
        self.standard_errors_, self.intervals_ = log_intervals(
            estimates, self.log_covariance_, optimum.is_at_bound, self.level
        )
        self.log_likelihood_ = float(optimum.value - weight.sum() * np.log(scale))
        self.limits_ = [
            name for name, held in zip(("p", "q", "v"), optimum.is_at_bound, strict=True) if held
        ]
        self.customer_count_ = float(weight.sum())
        self.iteration_count_ = int(optimum.iterations)
        self.is_converged_ = bool(optimum.converged)
        return self

    @property
    def population_mean_(self) -> float:
        """Expected mean amount of a customer of whom nothing is known: ``p v / (q - 1)``."""
        check_is_fitted(self)
        return self.p_ * self.v_ / (self.q_ - 1)

    def expected_mean(self, X: pd.DataFrame) -> np.ndarray:
        """E[mean amount | x, observed mean] of each row: ``p (v + x m) / (p x + q - 1)``.

        The population mean for a customer without repeat purchase or without a positive mean.
        """
        check_is_fitted(self)
        x, mean = _known_columns(X)
        return self.p_ * (self.v_ + x * mean) / (self.p_ * x + self.q_ - 1)

    def log_sensitivity(self, X: pd.DataFrame) -> np.ndarray:
        """Derivatives of ``log expected_mean`` by ``log (p, q, v)``, shape ``(n, 3)``."""
        check_is_fitted(self)
        x, mean = _known_columns(X)
        divisor = self.p_ * x + self.q_ - 1
        return np.stack(
            [
                1 - self.p_ * x / divisor,
                -self.q_ / divisor,
                self.v_ / (self.v_ + x * mean),
            ],
            axis=1,
        )


def _known_columns(X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """``(x, mean amount)``, x being 0 where no positive amount is known."""
    x, mean = amount_columns(X)
    return np.where(mean > 0, x, 0), mean


def amount_columns(X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """``(x, mean amount)`` as arrays, a missing mean as 0.

    Raises:
        ValueError: A column is missing, or a value is infinite or negative.
    """
    if missing := [name for name in COLUMNS if name not in X.columns]:
        raise ValueError(f"the purchase history lacks the columns {missing}")
    x = X["repeat_count"].to_numpy(dtype=float)
    mean = np.nan_to_num(X["repeat_mean_amount"].astype(float).to_numpy(), nan=0.0, posinf=np.inf)
    for name, values in (("repeat_count", x), ("repeat_mean_amount", mean)):
        if not np.all(np.isfinite(values)) or np.any(values < 0):
            raise ValueError(f"{name} has missing, infinite or negative values")
    return x.astype(np.int64), mean
