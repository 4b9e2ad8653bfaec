"""BG/NBD as a scikit-learn estimator: how often customers buy and whether they still do.

Belongs here: input checks, the fit and its limits, the predictions mapped back to rows.
Not here: the likelihood (``likelihoods.py``), the integrals (``expectation.py``), money.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ml.clv import expectation
from ml.clv.expectation import PurchaseParameters
from ml.clv.likelihoods import PurchaseRows, beta_geometric_nbd, nbd
from ml.clv.optimise import Optimum, log_covariance, maximise
from ml.clv.rows import distinct_rows, weighted_rows

COLUMNS = ("repeat_count", "last_repeat_age", "age")

LEAST_GAIN = 2.0
"""Dropout counts as identifiable if its two parameters raise the log-likelihood by more than two
(Akaike). Online Retail's whole year gains .12, its first nine months nothing at all."""
SMALLEST, GREATEST = 1e-5, 1e4
"""Box for r, a and b. Beyond it the likelihood is flat: rates, or chances of leaving, that are
the same for all customers, or either none or certain."""
AGE_SMALLEST, AGE_GREATEST = 1e-7, 1e8
"""Box for alpha in units of the mean age."""
DROPOUT_STARTS = ((0.5, 3.0), (0.05, 0.5), (3.0, 3.0), (0.05, 30.0))
"""Where the climb starts in (a, b); all but the first are tried only where that one finds no
dropout."""


class BetaGeometricNBD(BaseEstimator):
    """BG/NBD by maximum likelihood on unique rows with weights (Fader, Hardie & Lee 2005).

    While active a customer buys at a constant rate, gamma-distributed over customers
    ``(r, alpha)``; after each repeat purchase she leaves for good with a chance that is
    beta-distributed over customers ``(a, b)``.

    Where dropout does not raise the likelihood noticeably (``LEAST_GAIN``), the optimum lies on
    or at the boundary ``a -> 0``: the estimator then *is* the NBD, with ``a_ = 0``, ``b_`` not a
    number, ``is_dropout_identifiable_`` false and P(alive) = 1 for everybody.

    Any time unit will do: ages are divided by their mean inside, and ``alpha_`` and the
    likelihood come back in the unit of the input.

    Intervals are ``exp(log estimate +- z * standard error of the log)`` from the Hessian in
    log-parameters: with 200 simulated fits they covered as often as profile intervals and were
    far narrower on small samples (docs/decisions/0010-value-model-intervals.md).

    Args:
        level: Confidence level of ``intervals_``.
        max_iterations: Newton steps per climb.

    Attributes:
        r_, alpha_, a_, b_: Estimates; ``alpha_`` in the unit of ``age``.
        standard_errors_: Of ``(r, alpha, a, b)``; not a number without dropout.
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

    def __init__(self, *, level: float = 0.95, max_iterations: int = 200) -> None:
        """Keep the settings, as scikit-learn wants."""
        self.level = level
        self.max_iterations = max_iterations

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
        columns = purchase_columns(X)
        (x, t_x, age), weight = weighted_rows(columns, checked_weight(sample_weight, len(X)))
        purchases = float(weight @ x)
        if purchases == 0:
            raise ValueError("nobody bought again, so no purchase rate can be estimated")
        scale = float(weight @ age / weight.sum())
        rows = PurchaseRows(x, t_x / scale, age / scale, weight)

        without = self._fit_nbd(rows, purchases / weight.sum())
        best = self._fit_dropout(rows, without)
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

    def _fit_nbd(self, rows: PurchaseRows, mean_count: float) -> Optimum:
        lower = np.log([SMALLEST, AGE_SMALLEST])
        upper = np.log([GREATEST, AGE_GREATEST])
        start = np.log([0.5, 0.5 / mean_count])
        return maximise(
            lambda point: nbd(point, rows),
            start,
            lower,
            upper,
            max_iterations=self.max_iterations,
        )

    def _fit_dropout(self, rows: PurchaseRows, without: Optimum) -> Optimum:
        lower = np.log([SMALLEST, AGE_SMALLEST, SMALLEST, SMALLEST])
        upper = np.log([GREATEST, AGE_GREATEST, GREATEST, GREATEST])
        best: Optimum | None = None
        for a, b in DROPOUT_STARTS:
            found = maximise(
                lambda point: beta_geometric_nbd(point, rows),
                np.concatenate([without.point, np.log([a, b])]),
                lower,
                upper,
                max_iterations=self.max_iterations,
            )
            if best is None or found.value > best.value:
                best = found
            if best.value > without.value + LEAST_GAIN:
                break
        assert best is not None
        return best

    def _store(self, optimum: Optimum, scale: float) -> None:
        estimates = np.exp(optimum.point)
        estimates[1] *= scale
        covariance = log_covariance(optimum)
        names = ("r", "alpha", "a", "b")
        self.limits_ = [
            name for name, held in zip(names, optimum.is_at_bound, strict=False) if held
        ]
        self.iteration_count_ = int(optimum.iterations)
        self.is_converged_ = bool(optimum.converged)
        count = estimates.size
        self.log_covariance_ = np.zeros((4, 4))
        self.log_covariance_[:count, :count] = covariance
        self.standard_errors_, self.intervals_ = log_intervals(
            estimates, covariance, optimum.is_at_bound, self.level
        )
        if count == 2:
            estimates = np.append(estimates, [0.0, np.nan])
            self.standard_errors_ = np.append(self.standard_errors_, [np.nan, np.nan])
            self.intervals_ = np.vstack([self.intervals_, np.full((2, 2), np.nan)])
        self.r_, self.alpha_, self.a_, self.b_ = (float(value) for value in estimates)

    def alive_probability(self, X: pd.DataFrame) -> np.ndarray:
        """P(alive at T) of each row; 1 for a customer without repeat purchase."""
        x, t_x, age = purchase_columns(X)
        return expectation.alive_probability(self._parameters(), x, t_x, age)

    def purchase_probability(self, X: pd.DataFrame, t: float) -> np.ndarray:
        """P(at least one purchase in (T, T + t]) of each row; ``t`` in the unit of ``age``."""
        x, t_x, age = purchase_columns(X)
        parameters = self._parameters()
        alive = expectation.alive_probability(parameters, x, t_x, age)
        return alive * expectation.purchase_probability_if_alive(parameters, x, age, t)

    def expected_purchases(self, X: pd.DataFrame, t: float, *, discount: float = 0.0) -> np.ndarray:
        """E[purchases in (T, T + t]] of each row, each discounted to T.

        Args:
            X: As in ``fit``.
            t: Horizon in the unit of ``age``.
            discount: Continuous rate per that unit; 0 counts every purchase as one.
        """
        x, t_x, age = purchase_columns(X)
        parameters = self._parameters()
        (distinct, ages), position = distinct_rows([x, age])
        expected = expectation.purchases_if_alive(parameters, distinct, ages, t, discount)
        return expectation.alive_probability(parameters, x, t_x, age) * expected[position]

    def log_sensitivity(
        self, X: pd.DataFrame, t: float, *, discount: float = 0.0, step: float = 1e-4
    ) -> np.ndarray:
        """Derivatives of log E[purchases] by ``log (r, alpha, a, b)``, shape ``(n, 4)``.

        Central differences for the integral, which depends on (x, T) alone, and the closed form
        for P(alive). Columns of parameters that were not estimated are 0.
        """
        x, t_x, age = purchase_columns(X)
        centre = self._parameters()
        (distinct, ages), position = distinct_rows([x, age])
        names = ("r", "alpha", "a", "b") if centre.a > 0 else ("r", "alpha")
        slopes = np.zeros((x.size, 4))
        for column, name in enumerate(names):
            ends = []
            for side in (step, -step):
                moved = PurchaseParameters(
                    **{**vars(centre), name: getattr(centre, name) * np.exp(side)}
                )
                ends.append(expectation.purchases_if_alive(moved, distinct, ages, t, discount))
            slope = np.log(ends[0] / ends[1]) / (2 * step)
            slopes[:, column] = slope[position]
        if centre.a > 0:
            some = x > 0
            left = 1 - expectation.alive_probability(centre, x, t_x, age)[some]
            now, then = centre.alpha + age[some], centre.alpha + t_x[some]
            exponent = centre.r + x[some]
            slopes[some, 0] -= left * centre.r * np.log(now / then)
            slopes[some, 1] -= left * centre.alpha * exponent * (1 / now - 1 / then)
            slopes[some, 2] -= left
            slopes[some, 3] += left * centre.b / (centre.b + x[some] - 1.0)
        return slopes

    def _parameters(self) -> PurchaseParameters:
        check_is_fitted(self)
        return PurchaseParameters(self.r_, self.alpha_, self.a_, self.b_)


def log_intervals(
    estimates: np.ndarray, log_covariance_: np.ndarray, is_at_bound: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors ``(k,)`` and intervals ``(k, 2)`` from a covariance of the logarithms.

    Not a number where the estimate sits on the edge of its box.
    """
    spread = np.sqrt(np.diag(log_covariance_))
    spread[is_at_bound] = np.nan
    reach = np.minimum(float(norm.ppf(0.5 + level / 2)) * spread, 700.0)
    bounds = np.stack([estimates * np.exp(-reach), estimates * np.exp(reach)], axis=1)
    return estimates * spread, bounds


def checked_weight(sample_weight: ArrayLike | None, rows: int) -> np.ndarray | None:
    """Weights as an array; None stays None.

    Raises:
        ValueError: Not one finite weight of at least 0 a row.
    """
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=float)
    if weight.shape != (rows,) or not np.all(np.isfinite(weight)) or np.any(weight < 0):
        raise ValueError("sample_weight needs one finite weight of at least 0 a row")
    return weight


def purchase_columns(X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(x, t_x, T)`` as arrays, checked.

    Raises:
        ValueError: A column is missing, not finite or negative, a count is not whole, a purchase
            lies after T, or an age contradicts its count.
    """
    if missing := [name for name in COLUMNS if name not in X.columns]:
        raise ValueError(f"the purchase history lacks the columns {missing}")
    raw, t_x, age = (X[name].to_numpy(dtype=float) for name in COLUMNS)
    if raw.size == 0:
        raise ValueError("the purchase history has no rows")
    for name, values in zip(COLUMNS, (raw, t_x, age), strict=True):
        if not np.all(np.isfinite(values)) or np.any(values < 0):
            raise ValueError(f"{name} has missing, infinite or negative values")
    if np.any(raw != np.floor(raw)):
        raise ValueError("repeat_count has values that are not whole")
    if np.any(t_x > age):
        raise ValueError("last_repeat_age exceeds age: a purchase lies after the cut-off")
    if np.any((raw > 0) != (t_x > 0)):
        raise ValueError("last_repeat_age must be 0 without repeat purchase, else above 0")
    return raw.astype(np.int64), t_x, age
