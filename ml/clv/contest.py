"""Which value model suits a company: all of them, measured on an earlier period.

Belongs here: the fits, the ranking, the season's factor. Not here: the period that is reported and
decides about promotion (``training.py``); it must not be seen here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.clv.amounts import GammaGamma
from ml.clv.hurdle import MOST_ROWS, HurdleValue, design
from ml.clv.periods import LEAST_REPEAT_BUYERS, Period, TooLittleDataError, YearBefore
from ml.clv.published import PublishedValue
from ml.clv.value import PURCHASE_MODELS, TITLES, CustomerValue
from ml.evaluation.metrics import normalised_gini
from ml.evaluation.sampling import sample_keys

HURDLE_CANDIDATES = ("hurdle", "blend")
DAYS_A_YEAR = 365
SEASON_LIMITS = (0.5, 2.0)
"""A factor beyond these says that the company was another one a year ago, not another season."""
CLEAR_LEAD = 0.01
"""A single model must be ahead of the blend by more than this: what one of two is ahead of the
other in one period it mostly loses in the next, and their mean does not (decision 13)."""
MOST_JUDGED = 20_000
"""The contest looks at about so many customers, chosen by a hash of the key."""


@dataclass(frozen=True)
class Choice:
    """What the earlier periods decided.

    Attributes:
        winner: The name that is published.
        base: The purchase model in it.
        how: In words, for the reason.
        table: One row a candidate: ``candidate``, ``normalised_gini``,
            ``order_normalised_gini``, ``total_bias_rate``, ``score``, ``is_winner``.
    """

    winner: str
    base: str
    how: str
    table: pd.DataFrame


def fit_values(
    features: pd.DataFrame, horizon_days: int, discount_rate: float, names: Sequence[str]
) -> dict[str, CustomerValue]:
    """Fit purchase models that share one amount model.

    Raises:
        TooLittleDataError: Too few repeat buyers, amounts that do not vary, or a flat likelihood.
    """
    repeat_buyers = int((features["repeat_count"] > 0).sum())
    if repeat_buyers < LEAST_REPEAT_BUYERS:
        raise TooLittleDataError(
            f"{repeat_buyers} customers bought on a second day before the cut-off; "
            f"the value model needs {LEAST_REPEAT_BUYERS}"
        )
    amounts = features.loc[features["repeat_count"] > 0, "repeat_mean_amount"].astype(float)
    spread = amounts[amounts > 0]
    if spread.size < LEAST_REPEAT_BUYERS or np.ptp(np.log(spread)) < 1e-3:
        raise TooLittleDataError(
            "the amounts of repeat buyers do not vary, so the amount model cannot be fitted"
        )
    shared, found = GammaGamma(), {}
    for name in names:
        model = CustomerValue(
            purchase_model=name, horizon_days=horizon_days, discount_rate=discount_rate
        ).fit_purchases(features, shared)
        if model.purchases_.is_converged_ and model.amounts_.is_converged_:
            found[name] = model
    if not found:
        raise TooLittleDataError("the likelihood is too flat for its maximum to be found")
    return found


def fit_hurdle(periods: Sequence[Period], base: str) -> HurdleValue | None:
    """Learn from all periods that are over; None where they teach too little.

    Each period is seen with what a purchase model of its own cut-off expected. Periods of another
    length than the first one's are left out.
    """
    rows, amounts = [], []
    for one in periods:
        if one.days != periods[0].days:
            continue
        kept = sample_keys(one.features["customer_key"], MOST_ROWS)
        try:
            model = fit_values(one.features, one.days, 0.0, [base])[base]
        except TooLittleDataError:
            continue
        rows.append(design(one.features, model, one.days)[kept])
        amounts.append(one.amount[kept])
    if not rows:
        return None
    try:
        return HurdleValue().fit(pd.concat(rows, ignore_index=True), np.concatenate(amounts))
    except ValueError:
        return None


def candidates(
    models: Mapping[str, CustomerValue],
    base: str,
    hurdle: HurdleValue | None,
    hurdle_days: int,
    features: pd.DataFrame,
) -> dict[str, PublishedValue]:
    """Every candidate over models fitted on ``features``."""
    found = {name: PublishedValue(winner=name).fit(features, base=models[name]) for name in models}
    if hurdle is not None:
        for name in HURDLE_CANDIDATES:
            found[name] = PublishedValue(winner=name).fit(
                features, base=models[base], hurdle=hurdle, hurdle_days=hurdle_days
            )
    return found


def choose(known: pd.DataFrame, past: Sequence[Period]) -> Choice:
    """Choose the winner without the period after ``known``.

    Candidates are fitted at the latest earlier cut-off and ranked by the mean of two normalised
    Ginis in the days that followed: of amounts and of purchase days, since both are published. A
    hurdle model takes part where a still earlier period could teach it, and with it the blend,
    which wins unless another is clearly ahead. Without any earlier period the likelihood decides
    between the purchase models (Akaike).

    Args:
        known: Buyers at the cut-off before the reported period.
        past: Earlier periods, the latest first; none ends after that cut-off.
    """
    if past:
        judged = _judge(_part(past[0]), [_part(one) for one in past[1:]])
        if judged is not None:
            return judged
    part = known[sample_keys(known["customer_key"], MOST_JUDGED)]
    models = fit_values(part, 365, 0.0, list(PURCHASE_MODELS))
    scores = {
        name: model.purchases_.log_likelihood_ - 2.0 * model.purchases_.is_dropout_identifiable_
        for name, model in models.items()
    }
    winner = max(scores, key=lambda name: scores[name])
    empty = dict.fromkeys(("normalised_gini", "order_normalised_gini", "total_bias_rate"), np.nan)
    table = _table({name: empty | {"score": score} for name, score in scores.items()}, winner)
    return Choice(winner, winner, "by likelihood, for want of an earlier period", table)


def winner_of(scores: Mapping[str, float]) -> str:
    """The highest score; the blend, where it took part and nothing is clearly ahead of it."""
    best = max(scores, key=lambda name: scores[name])
    blend = scores.get("blend", -np.inf)
    return "blend" if scores[best] - blend <= CLEAR_LEAD else best


def _part(one: Period) -> Period:
    kept = sample_keys(one.features["customer_key"], MOST_JUDGED)
    return Period(
        one.features[kept].reset_index(drop=True), one.amount[kept], one.orders[kept], one.days
    )


def _judge(period: Period, earlier: Sequence[Period]) -> Choice | None:
    try:
        models = fit_values(period.features, period.days, 0.0, list(PURCHASE_MODELS))
    except TooLittleDataError:
        return None
    rows = {
        name: _scores(model, period)
        for name, model in candidates(models, "", None, 0, period.features).items()
    }
    base = max(rows, key=lambda name: rows[name]["score"])
    hurdle = fit_hurdle(earlier, base) if earlier else None
    if hurdle is not None:
        days = earlier[0].days
        entered = candidates({base: models[base]}, base, hurdle, days, period.features)
        rows |= {name: _scores(entered[name], period) for name in HURDLE_CANDIDATES}
    if not all(np.isfinite(row["score"]) for row in rows.values()):
        return None
    winner = winner_of({name: row["score"] for name, row in rows.items()})
    how = f"best of {len(rows)} in the {period.days} days before the cut-off"
    return Choice(winner, base, how, _table(rows, winner))


def _scores(model: PublishedValue, period: Period) -> dict[str, float]:
    spending = model.expected_spending(period.features, period.days)
    orders = model.expected_purchases(period.features, period.days)
    total = float(period.amount.sum())
    amount_gini = normalised_gini(period.amount, spending)
    order_gini = normalised_gini(period.orders, orders)
    return {
        "normalised_gini": amount_gini,
        "order_normalised_gini": order_gini,
        "total_bias_rate": float(spending.sum() / total - 1) if total > 0 else np.nan,
        "score": (amount_gini + order_gini) / 2,
    }


def _table(rows: Mapping[str, Mapping[str, float]], winner: str) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("candidate").reset_index()
    return table.assign(is_winner=table["candidate"] == winner)


def season_factors(year: YearBefore | None, base: str) -> dict[int, float]:
    """How the days after the same day a year ago differed from the year that they began.

    For each number of days the ratio of what was spent to what a model fitted on that day
    expected, divided by the same ratio over the whole year: the model's own error of level is in
    both and is no season.

    Args:
        year: That cut-off; None, and no factor, where it is too early.
        base: The purchase model that did the expecting, fitted on what was known then.

    Returns:
        Days -> factor, within ``SEASON_LIMITS``, for those below a year.
    """
    if year is None or DAYS_A_YEAR not in year.amounts:
        return {}
    try:
        model = fit_values(year.features, DAYS_A_YEAR, 0.0, [base])[base]
    except TooLittleDataError:
        return {}
    ratios = {
        days: float(amounts.sum() / model.expected_spending(year.features, days).sum())
        for days, amounts in year.amounts.items()
        if days <= DAYS_A_YEAR
    }
    level = ratios.pop(DAYS_A_YEAR)
    if not level > 0:
        return {}
    return {days: float(np.clip(ratio / level, *SEASON_LIMITS)) for days, ratio in ratios.items()}


def title(winner: str, base: str) -> str:
    """The winner in words."""
    name = f"{TITLES[base]} with Gamma-Gamma"
    if winner == "blend":
        return f"the mean of {name} and a boosted hurdle model"
    return f"a boosted hurdle model at the level of {name}" if winner == "hurdle" else name
