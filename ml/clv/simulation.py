"""Customers drawn from the value model itself, for tests and coverage studies.

Belongs here: draws whose truth is known. Not here: the demo company, whose seasons and dirt no
model knows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def simulate_customers(
    ages: np.ndarray,
    *,
    purchase: tuple[float, float, float, float],
    spend: tuple[float, float, float] | None = None,
    horizon: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw customers from BG/NBD and Gamma-Gamma.

    Args:
        ages: Age T of each customer, shape ``(n,)``, any time unit.
        purchase: ``(r, alpha, a, b)`` in the same unit; ``a = 0`` means that nobody leaves.
        spend: ``(p, q, v)``, or None for no amounts.
        horizon: How long after T to go on counting purchases.
        seed: Seed of the draws.

    Returns:
        One row per customer: ``repeat_count``, ``last_repeat_age``, ``age``, ``is_alive`` (at T),
        ``future_purchase_count`` in ``(T, T + horizon]`` and, with ``spend``,
        ``repeat_mean_amount`` (NaN without a repeat purchase).
    """
    r, alpha, a, b = purchase
    random = np.random.default_rng(seed)
    age = np.asarray(ages, dtype=float)
    n = age.size
    rate = random.gamma(r, 1 / alpha, n)
    leaving = random.beta(a, b, n) if a > 0 else np.zeros(n)
    count = np.zeros(n, dtype=np.int64)
    last = np.zeros(n)
    future = np.zeros(n, dtype=np.int64)
    alive = np.ones(n, dtype=bool)
    clock = np.zeros(n)
    active = np.arange(n)
    while active.size:
        clock[active] += random.exponential(1 / rate[active])
        active = active[clock[active] <= age[active] + horizon]
        early = active[clock[active] <= age[active]]
        late = active[clock[active] > age[active]]
        count[early] += 1
        last[early] = clock[early]
        future[late] += 1
        leaves = random.random(active.size) < leaving[active]
        gone = active[leaves]
        alive[gone[clock[gone] <= age[gone]]] = False
        active = active[~leaves]
    customers = _table(count, last, age, alive, future)
    if spend is not None:
        p, q, v = spend
        scale = 1 / random.gamma(q, 1 / v, n)
        repeats = np.maximum(count, 1)
        mean = random.gamma(p * repeats, scale / repeats)
        customers["repeat_mean_amount"] = np.where(count > 0, mean, np.nan)
    return customers


def simulate_pareto_customers(
    ages: np.ndarray,
    *,
    purchase: tuple[float, float, float, float],
    horizon: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw customers from Pareto/NBD.

    Args:
        ages: Age T of each customer, shape ``(n,)``, any time unit.
        purchase: ``(r, alpha, s, beta)`` in the same unit; ``s = 0`` means that nobody leaves.
        horizon: How long after T to go on counting purchases.
        seed: Seed of the draws.

    Returns:
        As ``simulate_customers``, without amounts.
    """
    r, alpha, s, beta = purchase
    random = np.random.default_rng(seed)
    age = np.asarray(ages, dtype=float)
    n = age.size
    rate = random.gamma(r, 1 / alpha, n)
    gone = random.exponential(1 / random.gamma(s, 1 / beta, n)) if s > 0 else np.full(n, np.inf)
    count = random.poisson(rate * np.minimum(age, gone))
    # given their number, moments of purchases are uniform: the last is a maximum
    last = np.minimum(age, gone) * random.random(n) ** (1 / np.maximum(count, 1))
    future = random.poisson(rate * np.clip(gone - age, 0, horizon))
    return _table(count, np.where(count > 0, last, 0.0), age, gone > age, future)


def _table(
    count: np.ndarray, last: np.ndarray, age: np.ndarray, alive: np.ndarray, future: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "repeat_count": count,
            "last_repeat_age": last,
            "age": age,
            "is_alive": alive,
            "future_purchase_count": future,
        }
    )
