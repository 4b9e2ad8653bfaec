"""Training of the value model: fit before a holdout, measure in it, refit on everything.

Belongs here: what counts as enough data, the naive rows, the order of steps. Not here: the models
(``value.py``), the pictures (``report.py``), the threshold that decides (``ml.evaluation.gate``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.clv.report import comparison_table, decile_table, figures, frequency_table
from ml.clv.value import DAYS_A_WEEK, CustomerValue
from ml.evaluation.result import (
    TRAINED,
    FloatArray,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)

PERIOD = "holdout"
LEAST_REPEAT_BUYERS = 100
"""Below this number of customers with a second purchase day before the holdout, the standard
error of the purchase rates' shape r exceeds a third of it even without dropout."""
GATE_BASELINES = ("past_rate", "mean")
"""The two naive rows of design.md rule 5; further rows are shown, not gated."""
DAYS_A_SEASON = 365


@dataclass(frozen=True)
class Holdout:
    """Actual and predicted behaviour of the same customers, sorted by key.

    ``amounts`` and ``orders`` map the name of a row (``model``, naive rows, ``champion``) to its
    predictions.
    """

    features: pd.DataFrame
    actual_amount: FloatArray
    actual_orders: FloatArray
    amounts: dict[str, FloatArray]
    orders: dict[str, FloatArray]


class _TooLittleDataError(Exception):
    """Carries the plain sentence that says why."""


def train_clv(
    features_now: pd.DataFrame,
    features_cutoff: pd.DataFrame,
    labels_cutoff: pd.DataFrame,
    *,
    holdout_days: int,
    horizon_days: int,
    discount_rate: float,
    champion: CustomerValue | None = None,
) -> TrainingResult:
    """Train, evaluate and refit the value model.

    The candidate is fitted to ``features_cutoff`` alone and measured on what the same customers
    spent in the ``holdout_days`` after it; what is returned for registration is refitted to
    ``features_now``. A champion was itself refitted to data that may include the holdout, which
    favours it: the comparison with it errs on the side of keeping it.

    Args:
        features_now: ``customer_features`` at the as-of date.
        features_cutoff: ``customer_features`` at the as-of date minus ``holdout_days``.
        labels_cutoff: ``customer_labels`` of that cut-off and horizon.
        holdout_days: Length of the holdout.
        horizon_days: Default horizon of the returned estimator.
        discount_rate: Its default discount rate a year.
        champion: The current champion, evaluated on the same rows.

    Returns:
        ``trained`` with the refitted ``CustomerValue``, or ``too_little_data`` with the reason:
        fewer than ``LEAST_REPEAT_BUYERS`` repeat buyers before the holdout, a holdout that is
        not fully observed, nothing in it to rank, or amounts or counts that do not vary.

    Raises:
        ValueError: A column that the contract promises is missing.
    """
    settings: dict[str, float | str | int] = {
        "holdout_days": holdout_days,
        "horizon_days": horizon_days,
        "discount_rate": discount_rate,
    }
    with threadpool_limits(1):
        try:
            known = _labelled(features_cutoff, labels_cutoff, holdout_days)
            calibrated = _fit(known, horizon_days, discount_rate)
            holdout = _holdout(calibrated, known, holdout_days, champion)
            now = _buyers(features_now)
            final = _fit(now, horizon_days, discount_rate)
        except _TooLittleDataError as error:
            return too_little_data("value", str(error), settings)
        scores = final.predict(now)
    comparison = comparison_table(holdout)
    return TrainingResult(
        status=TRAINED,
        reason=_reason(final),
        estimator=final,
        parameters=settings | _parameters(final),
        evaluation=_evaluation(comparison),
        figures=figures(holdout, scores),
        tables={
            "comparison": comparison.reset_index(),
            "parameters": final.parameter_table().reset_index(),
            "holdout_by_frequency": frequency_table(holdout),
            "holdout_by_decile": decile_table(holdout),
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


def _buyers(features: pd.DataFrame) -> pd.DataFrame:
    """Customers with a purchase day, sorted by key."""
    bought = features.loc[features["observed_age_days"].notna()]
    return bought.sort_values("customer_key", ignore_index=True)


def _labelled(features: pd.DataFrame, labels: pd.DataFrame, holdout_days: int) -> pd.DataFrame:
    labels = labels.loc[labels["horizon_days"] == holdout_days]
    columns = ["customer_key", "future_gross_amount", "future_purchase_day_count"]
    known = _buyers(features).merge(
        labels[columns], on="customer_key", how="left", validate="one_to_one"
    )
    if known.empty:
        raise _TooLittleDataError("no customer had a purchase day before the holdout")
    if known[columns[1:]].isna().any(axis=None):
        raise _TooLittleDataError(
            f"the {holdout_days} days of the holdout are not fully observed for every customer"
        )
    return known


def _fit(features: pd.DataFrame, horizon_days: int, discount_rate: float) -> CustomerValue:
    repeat_buyers = int((features["repeat_count"] > 0).sum())
    if repeat_buyers < LEAST_REPEAT_BUYERS:
        raise _TooLittleDataError(
            f"{repeat_buyers} customers bought on a second day before the cut-off; "
            f"the value model needs {LEAST_REPEAT_BUYERS}"
        )
    amounts = features.loc[features["repeat_count"] > 0, "repeat_mean_amount"].astype(float)
    spread = amounts[amounts > 0]
    if spread.size < LEAST_REPEAT_BUYERS or np.ptp(np.log(spread)) < 1e-3:
        raise _TooLittleDataError(
            "the amounts of repeat buyers do not vary, so the amount model cannot be fitted"
        )
    model = CustomerValue(horizon_days=horizon_days, discount_rate=discount_rate).fit(features)
    if not (model.purchases_.is_converged_ and model.amounts_.is_converged_):
        raise _TooLittleDataError("the likelihood is too flat for its maximum to be found")
    return model


def _holdout(
    model: CustomerValue,
    known: pd.DataFrame,
    holdout_days: int,
    champion: BaseEstimator | None,
) -> Holdout:
    actual = known["future_gross_amount"].astype(float).to_numpy()
    if np.ptp(actual) == 0:
        raise _TooLittleDataError("all customers spent the same in the holdout: nothing to rank")
    amounts = {"model": model.expected_spending(known, holdout_days)}
    orders = {"model": model.expected_purchases(known, holdout_days)}
    naive_amounts, naive_orders = naive_rows(known, holdout_days)
    amounts |= naive_amounts
    orders |= naive_orders
    if champion is not None:
        amounts["champion"] = champion.expected_spending(known, holdout_days)
        orders["champion"] = champion.expected_purchases(known, holdout_days)
    return Holdout(
        features=known,
        actual_amount=actual,
        actual_orders=known["future_purchase_day_count"].astype(float).to_numpy(),
        amounts=amounts,
        orders=orders,
    )


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


def _evaluation(comparison: pd.DataFrame) -> pd.DataFrame:
    """Each metric beside ``past_rate``; beside the other naive rows as ``<metric>_vs_<row>``."""
    rows = []
    naive = [name for name in comparison.index if name not in ("model", "champion")]
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
    return evaluation_frame(rows)


def _parameters(model: CustomerValue) -> dict[str, float | str | int]:
    purchases, amounts = model.purchases_, model.amounts_
    table = model.parameter_table()
    found: dict[str, float | str | int] = {}
    for name, row in table.iterrows():
        for suffix, column in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            if np.isfinite(row[column]):
                found[f"{name}{suffix}"] = float(row[column])
    weeks = purchases.purchase_count_ * np.log(DAYS_A_WEEK)
    return found | {
        "is_dropout_identifiable": str(purchases.is_dropout_identifiable_).lower(),
        "limits": ",".join([*purchases.limits_, *amounts.limits_]) or "none",
        "log_likelihood_weeks": float(purchases.log_likelihood_ + weeks),
        "nbd_log_likelihood_weeks": float(purchases.nbd_log_likelihood_ + weeks),
        "amount_log_likelihood": amounts.log_likelihood_,
        "customer_count": int(purchases.customer_count_),
        "repeat_buyer_count": int(amounts.customer_count_),
        "unique_row_count": purchases.unique_row_count_,
    }


def _reason(model: CustomerValue) -> str:
    purchases = model.purchases_
    fitted = f"fitted to {purchases.customer_count_:,.0f} customers"
    if purchases.is_dropout_identifiable_:
        return f"BG/NBD with Gamma-Gamma, {fitted}"
    gain = purchases.dropout_gain_
    return (
        f"NBD with Gamma-Gamma, {fitted}: no dropout identifiable (it would raise the "
        f"log-likelihood by {gain:.2f}), so every customer counts as alive"
    )
