"""BG/NBD, MBG/NBD and Pareto/NBD: how often customers buy and whether they still do.

Belongs here: which formulas make which model. Not here: what they share (``purchase_model.py``),
the formulas (``likelihoods.py``, ``pareto.py``, ``expectation.py``), money.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from ml.clv import expectation, pareto
from ml.clv.expectation import PurchaseParameters
from ml.clv.likelihoods import PurchaseRows, beta_geometric_nbd
from ml.clv.optimise import Derivatives
from ml.clv.pareto import ParetoParameters, ParetoRows
from ml.clv.purchase_model import PurchaseModel
from ml.clv.rows import distinct_rows

WAITING_STEPS = 60
"""Newton steps for a quantile of the waiting time; from where they start, six or seven do."""
WAITING_TOLERANCE = 1e-7
"""Of the probability: far below a day."""


class BetaGeometricNBD(PurchaseModel):
    """BG/NBD on unique rows with weights (Fader, Hardie & Lee 2005).

    After each repeat purchase a customer leaves for good with a chance that is beta-distributed
    over customers ``(a, b)``. P(alive) is 1 for everybody without repeat purchase.

    Attributes:
        r_, alpha_, a_, b_: Estimates; ``alpha_`` in the unit of ``age``.
    """

    NAMES: ClassVar[tuple[str, str, str, str]] = ("r", "alpha", "a", "b")
    TIMES: ClassVar[tuple[int, ...]] = (1,)
    STARTS: ClassVar[tuple[tuple[float, float], ...]] = (
        (0.5, 3.0),
        (0.05, 0.5),
        (3.0, 3.0),
        (0.05, 30.0),
    )
    LEAVES_AT_FIRST: ClassVar[bool] = False

    def _rows(
        self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray, weight: np.ndarray
    ) -> PurchaseRows:
        return PurchaseRows(x, t_x, age, weight, leaves_at_first=self.LEAVES_AT_FIRST)

    def _objective(self, point: np.ndarray, rows: PurchaseRows) -> Derivatives:
        return beta_geometric_nbd(point, rows)

    def _parameters(self, **moved: float) -> PurchaseParameters:
        check_is_fitted(self, "r_")
        own = {"r": self.r_, "alpha": self.alpha_, "a": self.a_, "b": self.b_}
        return PurchaseParameters(**(own | moved), leaves_at_first=self.LEAVES_AT_FIRST)

    def _log_odds(self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> np.ndarray:
        return expectation.log_odds_of_having_left(self._parameters(), x, t_x, age)

    def _alive_slopes(self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> np.ndarray:
        centre = self._parameters()
        slopes = np.zeros((x.size, 4))
        chances = x + self.LEAVES_AT_FIRST
        some = chances > 0
        if centre.a > 0:
            left = expit(self._log_odds(x, t_x, age)[some])
            now, then = centre.alpha + age[some], centre.alpha + t_x[some]
            exponent = centre.r + x[some]
            slopes[some, 0] = -left * centre.r * np.log(now / then)
            slopes[some, 1] = -left * centre.alpha * exponent * (1 / now - 1 / then)
            slopes[some, 2] = -left
            slopes[some, 3] = left * centre.b / (centre.b + chances[some] - 1.0)
        return slopes

    def _if_alive(
        self,
        parameters: PurchaseParameters,
        x: np.ndarray,
        age: np.ndarray,
        t: float,
        discount: float,
    ) -> np.ndarray:
        if np.isinf(t):
            return expectation.residual_purchases_if_alive(parameters, x, age, discount)
        return expectation.purchases_if_alive(parameters, x, age, t, discount)

    def _bought_if_alive(self, x: np.ndarray, age: np.ndarray, t: float) -> np.ndarray:
        return expectation.purchase_probability_if_alive(self._parameters(), x, age, t)

    def _waiting_times(
        self, x: np.ndarray, age: np.ndarray, shares: Sequence[float], within: float
    ) -> np.ndarray:
        bought = self._bought_if_alive(x, age, within)[:, None] * np.asarray(shares)
        scale, shape = (self.alpha_ + age)[:, None], (self.r_ + x)[:, None]
        return np.minimum(scale * np.expm1(-np.log1p(-bought) / shape), within)


class ModifiedBetaGeometricNBD(BetaGeometricNBD):
    """MBG/NBD (Batislam, Denizel & Filiztekin 2007): as BG/NBD, and the first purchase counts.

    A customer may leave after her first purchase too, so that P(alive) says something about those
    without a second one.
    """

    LEAVES_AT_FIRST: ClassVar[bool] = True


class ParetoNBD(PurchaseModel):
    """Pareto/NBD (Schmittlein, Morrison & Colombo 1987): customers leave at any moment.

    The rate of leaving is gamma-distributed over customers ``(s, beta)``.

    Attributes:
        r_, alpha_, s_, beta_: Estimates; ``alpha_`` and ``beta_`` in the unit of ``age``.
    """

    NAMES: ClassVar[tuple[str, str, str, str]] = ("r", "alpha", "s", "beta")
    TIMES: ClassVar[tuple[int, ...]] = (1, 3)
    STARTS: ClassVar[tuple[tuple[float, float], ...]] = (
        (0.5, 0.5),
        (0.05, 1.0),
        (3.0, 3.0),
        (0.5, 10.0),
    )
    ROUGHNESS: ClassVar[float] = 1e-8

    def _rows(
        self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray, weight: np.ndarray
    ) -> ParetoRows:
        return ParetoRows(x, t_x, age, weight)

    def _objective(self, point: np.ndarray, rows: ParetoRows) -> Derivatives:
        return pareto.pareto_nbd(point, rows)

    def _parameters(self, **moved: float) -> ParetoParameters:
        check_is_fitted(self, "r_")
        own = {"r": self.r_, "alpha": self.alpha_, "s": self.s_, "beta": self.beta_}
        return ParetoParameters(**(own | moved))

    def _log_odds(self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> np.ndarray:
        rows, position = distinct_rows([x, t_x, age])
        return pareto.log_odds_of_having_left(self._parameters(), *rows)[position]

    def _alive_slopes(self, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> np.ndarray:
        rows, position = distinct_rows([x, t_x, age])
        return pareto.alive_slopes(self._parameters(), *rows)[position]

    def _if_alive(
        self,
        parameters: ParetoParameters,
        x: np.ndarray,
        age: np.ndarray,
        t: float,
        discount: float,
    ) -> np.ndarray:
        return pareto.purchases_if_alive(parameters, x, age, t, discount)

    def _bought_if_alive(self, x: np.ndarray, age: np.ndarray, t: float) -> np.ndarray:
        return pareto.purchase_probability_if_alive(self._parameters(), x, age, t)[0]

    def _waiting_times(
        self, x: np.ndarray, age: np.ndarray, shares: Sequence[float], within: float
    ) -> np.ndarray:
        """Newton's method inside a bracket that shrinks, one column a quantile."""
        parameters = self._parameters()
        whole = self._bought_if_alive(x, age, within)
        times = np.empty((x.size, len(shares)))
        for column, share in enumerate(shares):
            wanted = share * whole
            low, high = np.zeros(x.size), np.full(x.size, float(within))
            time = np.expm1(-np.log1p(-wanted) / (self.r_ + x)) * (self.alpha_ + age)
            time = np.clip(time, low, high)
            for _ in range(WAITING_STEPS):
                bought, density = pareto.purchase_probability_if_alive(parameters, x, age, time)
                gap = bought - wanted
                if np.all(np.abs(gap) <= WAITING_TOLERANCE * whole):
                    break
                low, high = np.where(gap < 0, time, low), np.where(gap < 0, high, time)
                step = time - gap / np.maximum(density, 1e-300)
                time = np.where((step > low) & (step < high), step, 0.5 * (low + high))
            times[:, column] = time
        return times
