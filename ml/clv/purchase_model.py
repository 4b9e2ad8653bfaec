"""What BG/NBD, MBG/NBD and Pareto/NBD share as scikit-learn estimators.

Belongs here: input checks, the fit and its limits, intervals, predictions mapped back to rows.
Not here: which model (``purchases.py``), likelihoods and integrals (``likelihoods.py``,
``pareto.py``, ``expectation.py``), money.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ml.clv.columns import compressed_columns, log_intervals, purchase_columns
from ml.clv.likelihoods import PurchaseRows, nbd
from ml.clv.optimise import (
    RELATIVE_TOLERANCE,
    Derivatives,
    Optimum,
    log_covariance,
    maximise,
)
from ml.clv.rows import distinct_rows

LEAST_GAIN = 2.0
"""Dropout counts as identifiable if its two parameters raise the log-likelihood by more than two
(Akaike). Online Retail's whole year gains .12, its first nine months nothing at all."""
SMALLEST, GREATEST = 1e-5, 1e4
"""Box for shapes. Beyond it the likelihood is flat: rates, or chances of leaving, that are the
same for all customers, or either none or certain."""
AGE_SMALLEST, AGE_GREATEST = 1e-7, 1e8
"""Box for parameters with a time unit, in units of the mean age."""
WORTH_POLISHING = 1.0
"""A rough climb that gained less than this is not finished: it is on its way to the boundary."""
MANY_ROWS = 20_000
"""With more unique rows the climb begins on a part of them, about this many."""
RESAMPLED = 200
"""Bootstrap fits: their 2.5 % quantile rests on five of them."""


class PurchaseModel(BaseEstimator):
    """A model of when customers buy and whether they still do, by maximum likelihood.

    While active a customer buys at a constant rate, gamma-distributed over customers
    ``(r, alpha)``; subclasses say how she leaves, with two more parameters.

    Where dropout does not raise the likelihood noticeably (``LEAST_GAIN``), the optimum lies on
    or at the boundary where nobody leaves: the estimator then *is* the NBD, the third parameter
    is 0, the fourth not a number, ``is_dropout_identifiable_`` false and P(alive) = 1 for all.

    Any time unit will do: ages are divided by their mean inside, and parameters with a time unit
    and the likelihood come back in the unit of the input.

    Intervals are ``exp(log estimate +- z * standard error of the log)`` from the Hessian in
    log-parameters: with 200 simulated fits they covered as often as profile intervals and were
    far narrower on small samples (docs/decisions/0010-value-model-intervals.md). ``bootstrap``
    gives them without trust in the Hessian.

    Args:
        level: Confidence level of ``intervals_``.
        max_iterations: Newton steps per climb.

    Attributes:
        standard_errors_: Of the four parameters; not a number for those not estimated.
        intervals_: Shape ``(4, 2)``, low and high of each.
        log_covariance_: Of the log-parameters, shape ``(4, 4)``; zero where a parameter is not
            estimated.
        log_likelihood_: At the optimum, with ages in the input's unit.
        nbd_log_likelihood_: The same without dropout.
        dropout_gain_: What dropout adds to the log-likelihood, also where it is not used.
        is_dropout_identifiable_: See above.
        limits_: Names of parameters at the edge of the box, whose value is therefore no
            estimate (``r``: customers do not differ in their rates).
        customer_count_: Sum of the weights.
        purchase_count_: Sum of the repeat counts.
        unique_row_count_: Distinct (x, t_x, T).
        iteration_count_: Newton steps.
        is_converged_: False if the climb gave up.
    """

    NAMES: ClassVar[tuple[str, str, str, str]]
    """Parameters in order; the first two are those of the NBD."""
    TIMES: ClassVar[tuple[int, ...]]
    """Positions of parameters that have a time unit."""
    STARTS: ClassVar[tuple[tuple[float, float], ...]]
    """Where the climb starts in the last two, time in mean ages; all but the first are tried only
    where that one finds no dropout."""
    ROUGHNESS: ClassVar[float] = 0.0
    """Relative tolerance of the climbs that look for dropout, where a likelihood is dear."""

    def __init__(self, *, level: float = 0.95, max_iterations: int = 200) -> None:
        """Keep the settings, as scikit-learn wants."""
        self.level = level
        self.max_iterations = max_iterations

    # what a subclass says

    def _rows(
        self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray, weight: np.ndarray
    ) -> PurchaseRows:
        raise NotImplementedError

    def _objective(self, point: np.ndarray, rows: Any) -> Derivatives:
        raise NotImplementedError

    def _parameters(self, **moved: float) -> Any:
        raise NotImplementedError

    def _log_odds(self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> np.ndarray:
        """Log-odds of having left by T."""
        raise NotImplementedError

    def _alive_slopes(self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> np.ndarray:
        """Derivatives of log P(alive) by the log-parameters, shape ``(n, 4)``."""
        raise NotImplementedError

    def _if_alive(
        self, parameters: Any, x: np.ndarray, age: np.ndarray, t: float, discount: float
    ) -> np.ndarray:
        """Discounted purchases expected until ``t``, which may be infinite with a discount."""
        raise NotImplementedError

    def _bought_if_alive(self, x: np.ndarray, age: np.ndarray, t: float) -> np.ndarray:
        raise NotImplementedError

    def _waiting_times(
        self, x: np.ndarray, age: np.ndarray, shares: Sequence[float], within: float
    ) -> np.ndarray:
        raise NotImplementedError

    # the fit

    def fit(self, X: pd.DataFrame, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to one row a customer.

        Args:
            X: Columns ``repeat_count`` (x), ``last_repeat_age`` (t_x, from the first to the last
                purchase) and ``age`` (T, from the first purchase to the cut-off), the ages in
                one unit.
            y: Ignored.
            sample_weight: How many customers each row stands for.

        Raises:
            ValueError: A column is missing or impossible, or nobody bought again, so that no
                purchase rate can be estimated.
        """
        (x, t_x, age), weight, scale = compressed_columns(X, sample_weight)
        purchases = float(weight @ x)
        rows = self._rows(x, t_x / scale, age / scale, weight)
        without = self._fit_nbd(rows, purchases / weight.sum())
        best = self._fit_dropout(rows, without, self._starts((x, t_x, age), weight, scale, without))
        gain = best.value - without.value
        self.is_dropout_identifiable_ = bool(gain > LEAST_GAIN)
        used_optimum = best if self.is_dropout_identifiable_ else without
        unit = -purchases * np.log(scale)
        self.customer_count_ = float(weight.sum())
        self.unique_row_count_ = int(weight.size)
        self.log_likelihood_ = float(used_optimum.value + unit)
        self.nbd_log_likelihood_ = float(without.value + unit)
        self.dropout_gain_ = float(gain)
        self.purchase_count_ = purchases
        self._store(used_optimum, scale)
        return self

    def _box(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = np.full(4, SMALLEST), np.full(4, GREATEST)
        lower[list(self.TIMES)], upper[list(self.TIMES)] = AGE_SMALLEST, AGE_GREATEST
        return np.log(lower[:count]), np.log(upper[:count])

    def _fit_nbd(self, rows: PurchaseRows, mean_count: float) -> Optimum:
        return maximise(
            lambda point: nbd(point, rows),
            np.log([0.5, 0.5 / mean_count]),
            *self._box(2),
            max_iterations=self.max_iterations,
        )

    def _fit_dropout(self, rows: Any, without: Optimum, starts: Sequence[np.ndarray]) -> Optimum:
        best: Optimum | None = None
        for start in starts:
            found = self._climb(rows, start, max(self.ROUGHNESS, RELATIVE_TOLERANCE))
            if self.ROUGHNESS and found.value > without.value + WORTH_POLISHING:
                found = self._climb(rows, found.point, RELATIVE_TOLERANCE)
            if best is None or found.value > best.value:
                best = found
            if best.value > without.value + LEAST_GAIN:
                break
        assert best is not None
        return best

    def _climb(self, rows: Any, start: np.ndarray, tolerance: float) -> Optimum:
        return maximise(
            lambda point: self._objective(point, rows),
            start,
            *self._box(4),
            max_iterations=self.max_iterations,
            relative_tolerance=tolerance,
        )

    def _starts(
        self, columns: Sequence[np.ndarray], weight: np.ndarray, scale: float, without: Optimum
    ) -> list[np.ndarray]:
        """Where to begin: at the optimum of every so-manieth row, where rows are many."""
        starts = [np.concatenate([without.point, np.log(start)]) for start in self.STARTS]
        every = weight.size // MANY_ROWS
        if not self.ROUGHNESS or every < 2:
            return starts
        x, t_x, age = (column[::every] for column in columns)
        rows = self._rows(x, t_x / scale, age / scale, weight[::every])
        part = self._fit_dropout(rows, self._fit_nbd(rows, float(x.mean())), starts)
        return [part.point, *starts]

    def _store(self, optimum: Optimum, scale: float) -> None:
        count = optimum.point.size
        estimates = np.exp(optimum.point) * self._unit(scale)[:count]
        covariance = log_covariance(optimum)
        self.limits_ = [
            name for name, held in zip(self.NAMES, optimum.is_at_bound, strict=False) if held
        ]
        self.iteration_count_ = int(optimum.iterations)
        self.is_converged_ = bool(optimum.converged)
        self.log_covariance_ = np.zeros((4, 4))
        self.log_covariance_[:count, :count] = covariance
        self.standard_errors_, self.intervals_ = log_intervals(
            estimates, covariance, optimum.is_at_bound, self.level
        )
        if count == 2:
            estimates = np.append(estimates, [0.0, np.nan])
            self.standard_errors_ = np.append(self.standard_errors_, [np.nan, np.nan])
            self.intervals_ = np.vstack([self.intervals_, np.full((2, 2), np.nan)])
        for name, value in zip(self.NAMES, estimates, strict=True):
            setattr(self, f"{name}_", float(value))

    def _unit(self, scale: float) -> np.ndarray:
        unit = np.ones(4)
        unit[list(self.TIMES)] = scale
        return unit

    @property
    def estimates_(self) -> np.ndarray:
        """The four parameters in the order of ``NAMES``."""
        check_is_fitted(self, f"{self.NAMES[0]}_")
        return np.array([getattr(self, f"{name}_") for name in self.NAMES])

    def bootstrap(
        self,
        X: pd.DataFrame,
        *,
        draws: int = RESAMPLED,
        seed: int = 0,
        sample_weight: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Estimates from customers drawn with replacement; their quantiles are intervals.

        Each fit climbs from the estimates of this one; where this one is the NBD, so are they.

        Args:
            X: What ``fit`` saw.
            draws: Number of samples.
            seed: Seed of the draws.
            sample_weight: What ``fit`` saw.

        Returns:
            One row a sample in which somebody bought again, one column a parameter.
        """
        (x, t_x, age), weight, scale = compressed_columns(X, sample_weight)
        centre, unit = self.estimates_, self._unit(scale)
        count = 4 if self.is_dropout_identifiable_ else 2
        start = np.log(centre[:count] / unit[:count])
        random = np.random.default_rng(seed)
        share, size = weight / weight.sum(), round(float(weight.sum()))
        found = []
        for _ in range(draws):
            drawn = random.multinomial(size, share).astype(float)
            if drawn @ x == 0:
                continue
            used = drawn > 0
            rows = self._rows(x[used], t_x[used] / scale, age[used] / scale, drawn[used])
            optimum = maximise(
                lambda point, rows=rows: (  # type: ignore[misc]
                    self._objective(point, rows) if count == 4 else nbd(point, rows)
                ),
                start,
                *self._box(count),
                max_iterations=self.max_iterations,
            )
            rest = [] if count == 4 else [0.0, np.nan]
            found.append([*(np.exp(optimum.point) * unit[:count]), *rest])
        return pd.DataFrame(found, columns=list(self.NAMES))

    # predictions

    def alive_probability(self, X: pd.DataFrame) -> np.ndarray:
        """P(alive at T) of each row."""
        return expit(-self._log_odds(*purchase_columns(X)))

    def purchase_probability(self, X: pd.DataFrame, t: float) -> np.ndarray:
        """P(at least one purchase in (T, T + t]) of each row; ``t`` in the unit of ``age``."""
        x, t_x, age = purchase_columns(X)
        (counts, ages), position = distinct_rows([x, age])
        bought = self._bought_if_alive(counts, ages, t)
        return expit(-self._log_odds(x, t_x, age)) * bought[position]

    def expected_purchases(self, X: pd.DataFrame, t: float, *, discount: float = 0.0) -> np.ndarray:
        """E[purchases in (T, T + t]] of each row, each discounted to T.

        Args:
            X: As in ``fit``.
            t: Horizon in the unit of ``age``.
            discount: Continuous rate per that unit; 0 counts every purchase as one.
        """
        x, t_x, age = purchase_columns(X)
        (counts, ages), position = distinct_rows([x, age])
        expected = self._if_alive(self._parameters(), counts, ages, t, discount)
        return expit(-self._log_odds(x, t_x, age)) * expected[position]

    def residual_purchases(self, X: pd.DataFrame, discount: float) -> np.ndarray:
        """Discounted expected residual purchases (DERT): all time to come.

        Args:
            X: As in ``fit``.
            discount: Continuous rate per unit of ``age``, above 0.

        Raises:
            ValueError: Without a discount the sum may be infinite.
        """
        if not discount > 0:
            raise ValueError("the discount of residual purchases must be above 0")
        return self.expected_purchases(X, np.inf, discount=discount)

    def waiting_times(self, X: pd.DataFrame, shares: Sequence[float], within: float) -> np.ndarray:
        """Quantiles of the time to the next purchase, of customers who make one within ``within``.

        Args:
            X: As in ``fit``.
            shares: Which quantiles, between 0 and 1.
            within: Longest time that counts as a return, in the unit of ``age``.

        Returns:
            Shape ``(n, len(shares))``. Who is alive and buys again is a condition; that somebody
            may have left does not prolong the wait, and is told by ``alive_probability``.
        """
        x, _, age = purchase_columns(X)
        check_is_fitted(self, f"{self.NAMES[0]}_")
        (counts, ages), position = distinct_rows([x, age])
        return self._waiting_times(counts, ages, shares, within)[position]

    def log_sensitivity(
        self, X: pd.DataFrame, t: float, *, discount: float = 0.0, step: float = 1e-4
    ) -> np.ndarray:
        """Derivatives of log E[purchases] by the log-parameters, shape ``(n, 4)``.

        Central differences for the integral, which depends on (x, T) alone, and the closed form
        for P(alive). Columns of parameters that were not estimated are 0.
        """
        x, t_x, age = purchase_columns(X)
        (counts, ages), position = distinct_rows([x, age])
        slopes = np.zeros((x.size, 4))
        estimates = self.estimates_
        for column in range(4 if estimates[2] > 0 else 2):
            ends = []
            for side in (step, -step):
                moved = {self.NAMES[column]: estimates[column] * np.exp(side)}
                ends.append(self._if_alive(self._parameters(**moved), counts, ages, t, discount))
            slope = np.log(ends[0] / ends[1]) / (2 * step)
            slopes[:, column] = slope[position]
        return slopes + self._alive_slopes(x, t_x, age)
