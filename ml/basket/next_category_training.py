"""``train_next_category``: mix on an earlier period, examine on a later one, refit on all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.basket.baskets import IntArray
from ml.basket.next_category import FloatArray, NextCategory, Purchases, main_categories
from ml.evaluation.metrics import PROBABILITY_FLOOR
from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)

MIN_CUSTOMERS = 50
MIN_WINDOW_DAYS = 14
STEPS = 10
"""Weights of own and chain go from 0 to 1 in so many steps."""
HALF_LIVES = (60.0, 180.0, 720.0)


@dataclass(frozen=True)
class _Period:
    """Customers known at a cut-off who bought again by ``until``, and what."""

    cut_off: int
    until: int
    rows: IntArray
    category: np.ndarray

    @property
    def name(self) -> str:
        """First and last day."""
        return f"{np.datetime64(self.cut_off + 1, 'D')} to {np.datetime64(self.until, 'D')}"


def train_next_category(
    days: pd.DataFrame,
    *,
    as_of: date,
    horizon_days: int,
    champion: BaseEstimator | None = None,
) -> TrainingResult:
    """Train, choose and examine the model of the next category.

    With a window of ``horizon_days`` (a quarter of the history where that is shorter), the
    mixture is chosen by log-loss on the last window but one, and examined on the last one, beside
    popularity and the champion, each fitted on what was known before.

    Args:
        days: Customer x day x category, with the money spent.
        as_of: Last day that is known.
        horizon_days: Length of a window at most.
        champion: The ruling ``NextCategory``; where it has seen the reported period, its
            ``evaluated_`` copy stands in for it.

    Raises:
        ValueError: The frame is not usable, or the champion is no ``NextCategory``.
    """
    if champion is not None and not isinstance(champion, NextCategory):
        raise ValueError(f"the champion is a {type(champion).__name__}, not a NextCategory")
    purchases = main_categories(days)
    end = int(np.datetime64(as_of, "D").astype(np.int64))
    parameters: dict[str, float | str | int] = {"customer_count": len(purchases.customers)}
    if len(np.unique(purchases.category.astype(str))) < 2:
        reason = "fewer than two categories were bought: there is nothing to tell apart"
        return too_little_data("choice", reason, parameters)
    span = end - int(purchases.day.min()) + 1
    window = min(horizon_days, span // 4)
    parameters["window_days"] = window
    if window < MIN_WINDOW_DAYS:
        reason = f"{span} days of purchases; the next category needs four times {MIN_WINDOW_DAYS}"
        return too_little_data("choice", reason, parameters)
    earlier, later = (_period(purchases, end - n * window, end - (n - 1) * window) for n in (2, 1))
    for period in (earlier, later):
        if len(period.rows) < MIN_CUSTOMERS:
            reason = (
                f"{len(period.rows)} customers bought again in {period.name}; the next category "
                f"needs {MIN_CUSTOMERS}"
            )
            return too_little_data("choice", reason, parameters)
    with threadpool_limits(1):
        mixture, tried = _choose(purchases, earlier)
        past = NextCategory(**mixture).fit(purchases, cut_off=later.cut_off)
        estimator = NextCategory(**mixture).fit(purchases, cut_off=end)
        estimator.evaluated_ = past
        rivals = {"candidate": past, "popularity": NextCategory(0.0, 0.0)}
        rivals["popularity"].fit(purchases, cut_off=later.cut_off)
        if champion is not None:
            rivals["champion"] = _comparable(champion, later.cut_off)
        shares = {name: _shares(model, purchases, later) for name, model in rivals.items()}
    losses = {name: -np.log(share) for name, (share, _) in shares.items()}
    figures = {
        name: {
            "log_loss": float(losses[name].mean()),
            "accuracy": float((rank == 0).mean()),
            "top_3_accuracy": float((rank < 3).mean()),
        }
        for name, (_, rank) in shares.items()
    }
    rows: list[tuple[str, str, float, float | None, float | None]] = [
        (
            later.name,
            metric,
            value,
            figures["popularity"][metric],
            figures["champion"][metric] if champion is not None else None,
        )
        for metric, value in figures["candidate"].items()
    ]
    rows.append((earlier.name, "log_loss", float(tried["log_loss"].min()), None, None))
    return TrainingResult(
        status=TRAINED,
        reason=(
            f"own {mixture['own_weight']:.1f}, chain {mixture['chain_weight']:.1f}, the rest "
            f"popularity; chosen on {earlier.name} ({len(earlier.rows)} customers), examined on "
            f"{later.name} ({len(later.rows)} customers)"
        ),
        estimator=estimator,
        parameters={**parameters, **mixture, "category_count": len(estimator.categories_)},
        evaluation=evaluation_frame(rows),
        figures={"comparison": _figure(figures)},
        tables={"candidates": tried},
        gate=GateInputs(
            model="choice",
            candidate=losses["candidate"],
            baselines={"popularity": losses["popularity"]},
            champion=losses.get("champion"),
        ),
    )


def _period(purchases: Purchases, cut_off: int, until: int) -> _Period:
    known = np.unique(purchases.until(cut_off).customer)
    first = purchases.first_after(cut_off, until)
    kept = np.isin(first.customer, known)
    return _Period(cut_off, until, first.customer[kept], first.category[kept].astype(str))


def _choose(purchases: Purchases, period: _Period) -> tuple[dict[str, float], pd.DataFrame]:
    """Return the mixture of the lowest log-loss; of equal ones the one with most popularity."""
    tried = []
    for half_life in HALF_LIVES:
        model = NextCategory(half_life_days=half_life).fit(purchases, cut_off=period.cut_off)
        own, chain = (
            _of_bought(part[period.rows], model, period)
            for part in model.parts(purchases, period.cut_off)
        )
        popular = np.tile(model.popularity_, (len(period.rows), 1))
        rest = _of_bought(popular, model, period)
        for one, other in product(range(STEPS + 1), repeat=2):
            if one + other > STEPS:
                continue
            weights = one / STEPS, other / STEPS
            share = weights[0] * own + weights[1] * chain + (1 - sum(weights)) * rest
            loss = float(-np.log(np.maximum(share, PROBABILITY_FLOOR)).mean())
            tried.append((*weights, half_life, round(loss, 9)))
    names = ["own_weight", "chain_weight", "half_life_days", "log_loss"]
    table = pd.DataFrame(tried, columns=names)
    best = table.sort_values(["log_loss", *names[:3]], kind="stable").iloc[0]
    return {name: float(best[name]) for name in names[:3]}, table


def _of_bought(shares: FloatArray, model: NextCategory, period: _Period) -> FloatArray:
    """Return the share of what was bought; a category that was unknown then had none."""
    names = np.array(model.categories_)
    place = np.minimum(np.searchsorted(names, period.category), len(names) - 1)
    share = shares[np.arange(len(place)), place]
    return np.where(names[place] == period.category, share, 0.0)


def _shares(
    model: NextCategory, purchases: Purchases, period: _Period
) -> tuple[FloatArray, IntArray]:
    """Return (the share of what was bought, how many categories had more)."""
    shares = model.predict_proba(purchases, period.cut_off)[period.rows]
    bought = _of_bought(shares, model, period)
    rank = (shares.round(9) > bought.round(9)[:, None]).sum(axis=1)
    return np.maximum(bought, PROBABILITY_FLOOR), rank


def _comparable(champion: NextCategory, cut_off: int) -> NextCategory:
    if champion.fitted_until_ <= cut_off or champion.evaluated_ is None:
        return champion
    return champion.evaluated_


def _figure(figures: dict[str, dict[str, float]]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    names = list(figures)
    for place, metric in enumerate(("accuracy", "top_3_accuracy")):
        values = [figures[name][metric] for name in names]
        axes.bar(np.arange(len(names)) + 0.4 * place, values, width=0.4, label=metric)
    axes.set_xticks(np.arange(len(names)) + 0.2, names)
    axes.legend()
    return figure
