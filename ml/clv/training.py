"""Training of the value model: choose on the past, measure in a holdout, refit on everything.

Belongs here: the naive rows, the order of steps, what is reported. Not here: the models
(``value.py``, ``hurdle.py``, ``published.py``), the choice (``contest.py``), the pictures
(``report.py``), the threshold that decides (``ml.evaluation.gate``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.clv.contest import (
    HURDLE_CANDIDATES,
    Choice,
    candidates,
    choose,
    fit_hurdle,
    fit_values,
    season_factors,
    title,
)
from ml.clv.hurdle import HurdleValue
from ml.clv.periods import (
    OUTCOMES,
    Period,
    TooLittleDataError,
    YearBefore,
    buyers,
    labelled,
    past_periods,
    period,
    year_before,
)
from ml.clv.published import PublishedValue
from ml.clv.report import comparison_table, decile_table, figures, frequency_table
from ml.clv.value import DAYS_A_WEEK, PURCHASE_MODELS, CustomerValue
from ml.evaluation.leakage import suspicious_columns
from ml.evaluation.result import (
    TRAINED,
    FloatArray,
    GateInputs,
    TrainingResult,
    by_tenth,
    evaluation_frame,
    too_little_data,
)

PERIOD = "holdout"
SELECTION = "selection"
GATE_BASELINES = ("past_rate", "mean")
"""The two naive rows of design.md rule 5; further rows are shown, not gated."""
DAYS_A_SEASON = 365


@dataclass(frozen=True)
class Holdout:
    """Actual and predicted behaviour of the same customers, sorted by key.

    ``amounts`` and ``orders`` map the name of a row (``model``, naive rows, ``champion``, the
    contest's candidates) to its predictions; ``candidates`` names the last.
    """

    features: pd.DataFrame
    actual_amount: FloatArray
    actual_orders: FloatArray
    amounts: dict[str, FloatArray]
    orders: dict[str, FloatArray]
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Past:
    """What may be looked at beside the reported period; see ``train_clv``."""

    selection: list[Period]
    learning: list[Period]
    season: YearBefore | None
    season_now: YearBefore | None

    @property
    def periods(self) -> list[Period]:
        return [*self.selection, *self.learning]


def train_clv(
    features_now: pd.DataFrame,
    features_cutoff: pd.DataFrame,
    labels_cutoff: pd.DataFrame,
    *,
    holdout_days: int,
    horizon_days: int,
    discount_rate: float,
    champion: BaseEstimator | None = None,
    past_features: pd.DataFrame | None = None,
    past_labels: pd.DataFrame | None = None,
    cut_offs: pd.DataFrame | None = None,
) -> TrainingResult:
    """Choose, evaluate and refit the value model.

    Which model is published is decided before the cut-off (``contest.choose``). The winner is
    fitted to ``features_cutoff`` and periods that were over by then, and measured on what the same
    customers spent in the ``holdout_days`` after it; what is returned for registration is the same
    model refitted to ``features_now`` and all periods. A champion was itself refitted to data that
    may include the holdout, which favours it: the comparison with it errs on the side of keeping
    it.

    Args:
        features_now: ``customer_features`` at the as-of date.
        features_cutoff: ``customer_features`` at the as-of date minus ``holdout_days``.
        labels_cutoff: ``customer_labels`` of that cut-off and horizon.
        holdout_days: Length of the holdout.
        horizon_days: Default horizon of the returned estimator.
        discount_rate: Its default discount rate a year.
        champion: The current champion, evaluated on the same rows.
        past_features: ``customer_features`` at earlier cut-offs.
        past_labels: ``customer_labels`` of these.
        cut_offs: ``cut_off_on, horizon_days, purpose`` of these. Purposes: ``clv_selection`` (its
            period ends at the cut-off; candidates are compared in it), ``clv_learning`` (ends
            before that one begins; teaches the hurdle model), ``clv_season_evaluation`` and
            ``clv_season`` (a year before the cut-off and before today). Any may be missing.

    Returns:
        ``trained`` with the refitted ``PublishedValue``, or ``too_little_data`` with the reason:
        fewer than ``LEAST_REPEAT_BUYERS`` repeat buyers before the holdout, a holdout that is
        not fully observed, nothing in it to rank, or amounts or counts that do not vary.

    Raises:
        ValueError: A column that the contract promises is missing, or a customer has two rows at
            a cut-off.
    """
    settings: dict[str, float | str | int] = {
        "holdout_days": holdout_days,
        "horizon_days": horizon_days,
        "discount_rate": discount_rate,
    }
    given = (past_features, past_labels, cut_offs)
    with threadpool_limits(1):
        try:
            known = labelled(features_cutoff, labels_cutoff, holdout_days)
            past = _Past(
                past_periods(*given, "clv_selection"),
                past_periods(*given, "clv_learning"),
                year_before(*given, "clv_season_evaluation"),
                year_before(*given, "clv_season"),
            )
            models = fit_values(known, horizon_days, discount_rate, list(PURCHASE_MODELS))
            choice = choose(known, past.periods)
            base, winner = _still_there(choice, models)
            holdout, before_season = _holdout(
                models, base, winner, known, holdout_days, champion, past
            )
            now = buyers(features_now)
            finals = fit_values(now, horizon_days, discount_rate, list(PURCHASE_MODELS))
            base, winner = _still_there(choice, finals, winner)
            periods = [period(features_cutoff, labels_cutoff, holdout_days), *past.periods]
            hurdle = fit_hurdle(periods, base) if winner in HURDLE_CANDIDATES else None
            final = PublishedValue(
                winner=winner, horizon_days=horizon_days, discount_rate=discount_rate
            ).fit(
                now,
                base=finals[base],
                hurdle=hurdle,
                hurdle_days=periods[0].days,
                season=season_factors(past.season_now, base),
            )
        except TooLittleDataError as error:
            return too_little_data("value", str(error), settings)
        scores = final.predict(now)
    comparison, tenths = comparison_table(holdout), decile_table(holdout)
    return TrainingResult(
        status=TRAINED,
        reason=_reason(final, choice) + suspicious_features(known),
        estimator=final,
        parameters=settings | _parameters(final, finals, choice),
        evaluation=_evaluation(comparison, holdout.candidates, choice, before_season, tenths),
        figures=figures(holdout, scores),
        tables={
            "comparison": comparison.reset_index(),
            "parameters": final.parameter_table().reset_index(),
            "contest": choice.table,
            "holdout_by_frequency": frequency_table(holdout),
            "holdout_by_decile": tenths,
        },
        gate=GateInputs(
            model="value",
            candidate=holdout.amounts["model"],
            baselines={name: holdout.amounts[name] for name in GATE_BASELINES},
            champion=holdout.amounts.get("champion"),
            actual=holdout.actual_amount,
            figures={
                "total_bias_rate": float(comparison.loc["model", "total_bias_rate"]),
                "season_count": float(known["observed_age_days"].max() // DAYS_A_SEASON),
            },
        ),
    )


def suspicious_features(known: pd.DataFrame) -> str:
    """A warning where a feature alone tells who will buy; else nothing."""
    bought = (known["future_purchase_day_count"].astype(float) > 0).to_numpy(dtype=float)
    if not 0 < bought.sum() < bought.size:
        return ""
    found = suspicious_columns(known.drop(columns=list(OUTCOMES)), bought)
    names = ", ".join(f"{name} (AUC {area:.3f})" for name, area in sorted(found.items()))
    return f"; these facts alone tell who buys, make sure they do not look ahead: {names}" * bool(
        found
    )


def _still_there(
    choice: Choice, models: Mapping[str, CustomerValue], winner: str | None = None
) -> tuple[str, str]:
    """The chosen purchase model and winner; where its fit did not end, the first that did."""
    winner = choice.winner if winner is None else winner
    if choice.base in models:
        return choice.base, winner
    base = next(iter(models))
    return base, winner if winner in HURDLE_CANDIDATES else base


def _holdout(
    models: Mapping[str, CustomerValue],
    base: str,
    winner: str,
    known: pd.DataFrame,
    days: int,
    champion: BaseEstimator | None,
    past: _Past,
) -> tuple[Holdout, float]:
    """What each model expected of the reported period; and the total without the season."""
    actual = known["future_gross_amount"].astype(float).to_numpy()
    if np.ptp(actual) == 0:
        raise TooLittleDataError("all customers spent the same in the holdout: nothing to rank")
    hurdle: HurdleValue | None = fit_hurdle(past.periods, base) if past.periods else None
    length = past.periods[0].days if past.periods else days
    entered = candidates(models, base, hurdle, length, known)
    season = season_factors(past.season, base)
    published = PublishedValue(winner=winner).fit(
        known, base=models[base], hurdle=hurdle, hurdle_days=length, season=season
    )
    rows: dict[str, BaseEstimator] = {"model": published}
    if champion is not None:
        rows["champion"] = champion
    rows |= entered
    amounts = {name: row.expected_spending(known, days) for name, row in rows.items()}
    orders = {name: row.expected_purchases(known, days) for name, row in rows.items()}
    naive_amounts, naive_orders = naive_rows(known, days)
    holdout = Holdout(
        features=known,
        actual_amount=actual,
        actual_orders=known["future_purchase_day_count"].astype(float).to_numpy(),
        amounts=amounts | naive_amounts,
        orders=orders | naive_orders,
        candidates=tuple(entered),
    )
    before = float(entered[winner].expected_spending(known, days).sum() / actual.sum() - 1)
    return holdout, before


def naive_rows(
    features: pd.DataFrame, days: int
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """What someone without a model would expect of the next ``days``.

    Args:
        features: ``customer_features`` of customers with a purchase day.
        days: Length of the period to predict.

    Returns:
        Amounts and purchase days by name. ``past_rate``: the customer goes on as before, amounts
        with all that was spent since the first purchase, purchase days with x / T (an age of 0
        counts as one day). ``mean``: everybody gets the same, the sum of what was spent, or of
        repeat purchases, over the sum of ages. ``repeat_rate``: x / T times the mean amount of
        the repeat days. ``last_period``: the last ``days`` again, where the features hold a
        window of that length.
    """
    age = np.maximum(features["observed_age_days"].astype(float).to_numpy(), 1.0)
    count = features["repeat_count"].astype(float).to_numpy()
    spent = features["gross_amount"].astype(float).to_numpy()
    repeat_mean = features["repeat_mean_amount"].astype(float).fillna(0.0).to_numpy()
    everybody = np.ones(age.size)
    amounts = {
        "past_rate": spent / age * days,
        "mean": everybody * (spent.sum() / age.sum() * days),
        "repeat_rate": count / age * repeat_mean * days,
    }
    if (window := f"gross_amount_{days}d") in features.columns:
        amounts["last_period"] = features[window].astype(float).to_numpy()
    orders = {
        "past_rate": count / age * days,
        "mean": everybody * (count.sum() / age.sum() * days),
    }
    return amounts, orders


def _evaluation(
    comparison: pd.DataFrame,
    entered: Sequence[str],
    choice: Choice,
    before_season: float,
    tenths: pd.DataFrame,
) -> pd.DataFrame:
    """Each metric beside ``past_rate``; beside the other naive rows as ``<metric>_vs_<row>``.

    Candidates of the contest have rows of their own, ``<metric>_of_<candidate>``, without their
    season; so has the winner's total, as ``total_bias_rate_before_season``. Period ``selection``
    holds what the choice was made on, ``by tenth`` the amounts of each tenth of customers.
    """
    rows: list[tuple[str, str, float, float | None, float | None]] = []
    others = ("model", "champion", *entered)
    naive = [name for name in comparison.index if name not in others]
    for metric in comparison.columns:
        value = float(comparison.loc["model", metric])
        champion = (
            float(comparison.loc["champion", metric]) if "champion" in comparison.index else None
        )
        for name in naive:
            baseline = float(comparison.loc[name, metric])
            if np.isnan(baseline):
                continue
            label = metric if name == "past_rate" else f"{metric}_vs_{name}"
            rows.append((PERIOD, label, value, baseline, champion))
    bias = float(comparison.loc["past_rate", "total_bias_rate"])
    rows.append((PERIOD, "total_bias_rate_before_season", before_season, bias, None))
    rows += by_tenth(tenths["decile"], tenths["predicted_amount"], tenths["actual_amount"])
    for name in entered:
        for metric in comparison.columns:
            own, naive_value = (float(comparison.loc[of, metric]) for of in (name, "past_rate"))
            rows.append((PERIOD, f"{metric}_of_{name}", own, naive_value, None))
    for row in choice.table.itertuples(index=False):
        for metric in ("normalised_gini", "order_normalised_gini", "total_bias_rate", "score"):
            if np.isfinite(found := float(getattr(row, metric))):
                rows.append((SELECTION, f"{metric}_of_{row.candidate}", found, None, None))
    return evaluation_frame(rows)


def _parameters(
    final: PublishedValue, models: Mapping[str, CustomerValue], choice: Choice
) -> dict[str, float | str | int]:
    """Estimates of all purchase models; BG/NBD's and Gamma-Gamma's under their plain names."""
    found: dict[str, float | str | int] = {
        "winner": final.winner,
        "purchase_model": final.base_.purchase_model,
        "chosen": choice.how,
    }
    for days, factor in zip(final.season_days_, final.season_factors_, strict=True):
        found[f"season_factor_{days:.0f}d"] = float(factor)
    if final.hurdle_ is not None:
        found["hurdle_row_count"] = final.hurdle_.row_count_
    for name, model in models.items():
        prefix = "" if name == "bg_nbd" else f"{name}_"
        for parameter, row in model.parameter_table().iterrows():
            if prefix and parameter in ("p", "q", "v"):
                continue
            for suffix, column in (("", "estimate"), ("_low", "low"), ("_high", "high")):
                if np.isfinite(row[column]):
                    found[f"{prefix}{parameter}{suffix}"] = float(row[column])
        purchases, amounts = model.purchases_, model.amounts_
        weeks = purchases.purchase_count_ * np.log(DAYS_A_WEEK)
        found |= {
            f"{prefix}is_dropout_identifiable": str(purchases.is_dropout_identifiable_).lower(),
            f"{prefix}limits": ",".join([*purchases.limits_, *amounts.limits_]) or "none",
            f"{prefix}log_likelihood_weeks": float(purchases.log_likelihood_ + weeks),
        }
    base = final.base_
    weeks = base.purchases_.purchase_count_ * np.log(DAYS_A_WEEK)
    return found | {
        "nbd_log_likelihood_weeks": float(base.purchases_.nbd_log_likelihood_ + weeks),
        "amount_log_likelihood": base.amounts_.log_likelihood_,
        "customer_count": int(base.purchases_.customer_count_),
        "repeat_buyer_count": int(base.amounts_.customer_count_),
        "unique_row_count": base.purchases_.unique_row_count_,
    }


def _reason(final: PublishedValue, choice: Choice) -> str:
    purchases = final.base_.purchases_
    words = title(final.winner, final.base_.purchase_model)
    words = words[0].upper() + words[1:]
    said = f"{words}, {choice.how}, fitted to {purchases.customer_count_:,.0f} customers"
    if purchases.is_dropout_identifiable_:
        return said
    return (
        f"{said}: no dropout identifiable (it would raise the log-likelihood by "
        f"{purchases.dropout_gain_:.2f}), so purchases follow NBD and every customer counts as "
        "alive"
    )
