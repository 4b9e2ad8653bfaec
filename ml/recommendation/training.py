"""``train_recommendations``: choose on an earlier period, examine on a later one, refit on all.

Belongs here: the order of the steps and what is reported. Does not: the rule for promotion,
which is the gate's (``ml.evaluation.gate``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)
from ml.recommendation.choice import Choice, Period, choose, make_period
from ml.recommendation.model import HABIT, POPULARITY, Recommender
from ml.recommendation.purchases import (
    FloatArray,
    IntArray,
    day_number,
    make_history,
    repeat_share,
    snapshot,
)
from ml.recommendation.ranking import figures, hits, ndcg
from ml.recommendation.shop import Shop

MIN_CUSTOMERS = 50
"""Who bought something new in a period: with fewer a difference in nDCG is chance."""
MIN_PRODUCTS = 10
MIN_WINDOW_DAYS = 14
MAX_EVALUATED = 4_000


@dataclass(frozen=True)
class _Examined:
    """One recommender on the reported period."""

    ndcg: FloatArray
    figures: dict[str, float]


def train_recommendations(
    purchases: pd.DataFrame,
    sales: pd.DataFrame,
    inventory: pd.DataFrame,
    products: pd.DataFrame,
    *,
    as_of: date,
    horizon_days: int,
    shop: Shop | None = None,
    champion: BaseEstimator | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train, choose, blend and examine recommenders.

    With a window of ``horizon_days`` (a quarter of the history where that is shorter), parts and
    their blend are learned from what was known two windows before ``as_of`` and compared on what
    was bought in the window after that. The winner is learned anew from what was known one window
    before ``as_of`` and examined on the last window, beside popularity and the champion: all
    rank every product that could be offered. The estimator that is handed back is the same recipe
    learned from everything.

    Args:
        purchases: Customer x product x day (``ml.recommendation.purchases.REQUIRED``).
        sales: Product x day, of everybody.
        inventory: Counts of stock; may be empty.
        products: Merchandise, with names and categories where known.
        as_of: Last day that is known.
        horizon_days: Length of a window at most.
        shop: The shop's rules; by default those of ``Shop``.
        champion: The ruling ``Recommender``. Where it has seen the reported period, its
            ``evaluated_`` copy, which has not, stands in for it.
        seed: Of ALS.

    Returns:
        Status ``too_little_data`` with the reason, or ``trained``. Tables: ``candidates`` (what
        was tried on the earlier period), ``comparison`` (winner, naive rankings and champion on
        the reported one).

    Raises:
        ValueError: The frames are not usable, or the champion is no ``Recommender``.
    """
    if champion is not None and not isinstance(champion, Recommender):
        raise ValueError(f"the champion is a {type(champion).__name__}, not a Recommender")
    shop = shop or Shop()
    with threadpool_limits(1):
        history = make_history(purchases, sales, inventory, products)
        end = day_number(as_of)
        parameters: dict[str, float | str | int] = {
            "product_count": len(history.products),
            "customer_count": len(history.customers),
            "recommended_count": shop.recommended_count,
            "seed": seed,
        }
        if not len(history.day):
            return too_little_data("ranking", "nobody known bought any merchandise", parameters)
        window = min(horizon_days, (end - history.first_day + 1) // 4)
        parameters["window_days"] = window
        if window < MIN_WINDOW_DAYS:
            reason = (
                f"{end - history.first_day + 1} days of purchases; recommendations need four "
                f"times {MIN_WINDOW_DAYS}"
            )
            return too_little_data("ranking", reason, parameters)
        cut, inner = end - window, end - 2 * window
        share = repeat_share(snapshot(history, inner, unsold_days=shop.unsold_days))
        repeats = shop.allows_repeats(share)
        earlier, later = (
            make_period(
                history,
                day,
                day + window,
                repeats=repeats,
                unsold_days=shop.unsold_days,
                most=MAX_EVALUATED,
            )
            for day in (inner, cut)
        )
        parameters |= {"repeat_share": round(share, 6), "repeats": str(repeats)}
        for period in (earlier, later):
            reason = _too_little(period)
            if reason:
                return too_little_data("ranking", reason, parameters)
        choice = choose(earlier, count=shop.recommended_count, window_days=window, seed=seed)
        recipe = Recommender(choice.weights, repeats=repeats, window_days=window, seed=seed)
        past = recipe.fit(later.known)
        examined = _examine(past, _comparable(champion, cut), later, shop.recommended_count)
        estimator = Recommender(choice.weights, repeats=repeats, window_days=window, seed=seed)
        estimator.fit(snapshot(history, end, unsold_days=shop.unsold_days))
        estimator.evaluated_ = past
    parameters |= {
        "recipe": choice.name,
        "earlier_customer_count": earlier.customer_count,
        "later_customer_count": later.customer_count,
        **{f"weight_{name}": weight for name, weight in choice.weights.items()},
    }
    return _report(choice, examined, earlier, later, estimator, parameters)


def _too_little(period: Period) -> str:
    products = int(period.known.is_ranked.sum())
    if products < MIN_PRODUCTS:
        return f"{products} products could be offered; recommendations need {MIN_PRODUCTS}"
    if len(period.rows) < MIN_CUSTOMERS:
        bought = "anything" if period.repeats else "something new"
        return (
            f"{len(period.rows)} customers bought {bought} in {_name(period)}; "
            f"recommendations need {MIN_CUSTOMERS}"
        )
    return ""


def _name(period: Period) -> str:
    first, last = (np.datetime64(day, "D") for day in (period.known.cut_off + 1, period.until))
    return f"{first} to {last}"


def _comparable(champion: Recommender | None, cut_off: int) -> Recommender | None:
    """Return the champion, or its copy that has not seen the reported period."""
    if champion is None or champion.fitted_until_ <= cut_off:
        return champion
    return champion.evaluated_ or champion


def _examine(
    past: Recommender, champion: Recommender | None, period: Period, count: int
) -> dict[str, _Examined]:
    """Return how each did, in this order: winner, popularity, habit, champion."""
    rivals = {"candidate": past}
    for name in (POPULARITY, HABIT) if period.repeats else (POPULARITY,):
        naive = Recommender({name: 1.0}, repeats=period.repeats, window_days=past.window_days)
        rivals[name] = naive.fit(period.known)
    if champion is not None:
        rivals["champion"] = champion
    known_customers = max(int((np.diff(period.known.bought().indptr) > 0).sum()), 1)
    shares = period.known.customer_counts / known_customers
    offered = int(period.known.is_available.sum())
    targets = np.diff(period.targets.indptr)
    examined = {}
    for name, rival in rivals.items():
        found: IntArray
        found, _ = rival.recommend(period.known, period.rows, count, repeats=period.repeats)
        examined[name] = _Examined(
            ndcg(hits(found, period.targets), targets),
            figures(found, period.targets, customer_shares=shares, offered=offered),
        )
    return examined


def _report(
    choice: Choice,
    examined: dict[str, _Examined],
    earlier: Period,
    later: Period,
    estimator: Recommender,
    parameters: dict[str, float | str | int],
) -> TrainingResult:
    candidate, popular = examined["candidate"], examined[POPULARITY]
    champion = examined.get("champion")
    rows: list[tuple[str, str, float, float | None, float | None]] = [
        (
            _name(later),
            metric,
            value,
            popular.figures[metric],
            champion.figures[metric] if champion else None,
        )
        for metric, value in candidate.figures.items()
    ]
    if HABIT in examined:
        rows.append((_name(later), "ndcg_habit", examined[HABIT].figures["ndcg"], None, None))
    rows += [
        (_name(earlier), f"ndcg_{row.candidate.partition(' ')[0]}", float(row.ndcg), None, None)
        for row in choice.table.itertuples()
    ]
    comparison = pd.DataFrame(
        [{"recommender": name, **one.figures} for name, one in examined.items()]
    )
    return TrainingResult(
        status=TRAINED,
        reason=(
            f"{choice.name}, chosen on {_name(earlier)} ({earlier.customer_count} customers), "
            f"examined on {_name(later)} ({later.customer_count} customers), "
            f"{'repeated purchases included' if later.repeats else 'new products only'}"
        ),
        estimator=estimator,
        parameters=parameters,
        evaluation=evaluation_frame(rows),
        figures={"candidates": _figure(choice.table), "comparison": _compared(comparison)},
        tables={"candidates": choice.table, "comparison": comparison},
        gate=GateInputs(
            model="ranking",
            candidate=candidate.ndcg,
            baselines={"popularity": popular.ndcg},
            champion=champion.ndcg if champion else None,
        ),
    )


def _figure(table: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.barh(table["candidate"][::-1], table["ndcg"][::-1])
    axes.set_xlabel("nDCG on the earlier period")
    return figure


def _compared(comparison: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    shown = comparison.set_index("recommender")[["ndcg", "precision", "recall", "coverage"]]
    for place, (name, row) in enumerate(shown.iterrows()):
        axes.bar(np.arange(len(row)) + place * 0.2, row, width=0.2, label=str(name))
    axes.set_xticks(np.arange(shown.shape[1]) + 0.2, list(shown.columns))
    axes.set_ylabel("on the reported period")
    axes.legend()
    return figure
