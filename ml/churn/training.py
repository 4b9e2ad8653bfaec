"""``train_churn``: choose on the past, examine on a later cut-off, refit on everything known.

Belongs here: the order of the steps. Does not: what is reported (``report.py``), or thresholds for
promotion, which are the gate's (``ml.evaluation.gate``).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from numpy import float64
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.churn.calibration import choose_calibration
from ml.churn.contracts import KEY_COLUMNS as contract_keys
from ml.churn.costs import ContactCosts
from ml.churn.data import LabelledData, labelled_contracts, labelled_data
from ml.churn.kinds import CONTRACT, kind_of
from ml.churn.model import ChurnModel
from ml.churn.report import Choice, report
from ml.churn.tuning import Past, best_recipe, candidates, past_performance
from ml.evaluation.leakage import suspicious_columns
from ml.evaluation.result import TrainingResult, too_little_data
from ml.evaluation.sampling import key_halves, sample_keys

Rows = tuple[pd.DataFrame, NDArray[float64]]

MAX_TUNING_ROWS = 40_000
"""Recipes are compared on about this many rows, whole customers chosen by a hash."""
MAX_FIT_ROWS = 400_000
"""And fitted on at most about this many: more change the figures in the fifth digit."""


def train_churn(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    cut_offs: pd.DataFrame,
    *,
    horizon_days: int,
    champion: BaseEstimator | None = None,
    costs: ContactCosts | None = None,
    recipes: Sequence[str] | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train, tune, calibrate and examine the model of churn by the rhythm of purchases.

    Recipes are compared on ``churn_training`` cut-offs only, all of whose labels were known at
    the ``churn_evaluation`` cut-off. There the winner (fitted on the training cut-offs) is
    measured beside the naive baselines and the champion. The estimator that is handed back is
    the same recipe refitted on every labelled cut-off.

    Args:
        features: Rows of ``customer_features``; others' cut-offs are ignored.
        labels: Rows of ``customer_labels``; other horizons are ignored.
        cut_offs: ``cut_off_on``, ``purpose``.
        horizon_days: Length of the label window.
        champion: The ruling ``ChurnModel``. Where it was fitted on the evaluation period, its
            ``evaluated_`` copy, which was not, stands in for it.
        costs: Of a contact; they set the threshold that accuracy, precision, recall and F1 are
            reported at.
        recipes: What to try, see ``ml.churn.recipes``; by default one to three of each family.
        seed: Seed of every random choice.

    Returns:
        Status ``too_little_data`` with the reason, or ``trained``. Tables: ``candidates`` (past
        performance of each recipe), ``comparison`` (winner, baselines and champion on the
        evaluation period), ``calibration`` (bins).

    Raises:
        ValueError: Columns are missing, keys are duplicated, or a feature looks ahead.
    """
    data = labelled_data(features, labels, cut_offs, horizon_days)
    return _train(data, horizon_days, champion, costs, recipes, seed)


def train_contract_churn(
    contracts: pd.DataFrame,
    cut_offs: pd.DataFrame | None = None,
    *,
    horizon_days: int = 0,
    champion: BaseEstimator | None = None,
    costs: ContactCosts | None = None,
    recipes: Sequence[str] | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train, tune, calibrate and examine the model of ended contracts.

    Contracts with dates are treated as ``train_churn`` treats customers. Where a flag is the label
    there is no later period; what stands in for it is said in ``labelled_contracts``. Of a company
    that has both the model is of those with dates.

    Args:
        contracts: ``cut_off_on``, ``subscription_key``, ``is_churned`` (null: not known), any
            facts, numbers or words; and, where some have dates, ``horizon_days`` (null: a flag is
            the label) and ``is_ended`` (by the cut-off).
        cut_offs: ``cut_off_on``, ``purpose``; of contracts with dates.
        horizon_days: Length of the label window of contracts with dates.
        champion: The ruling ``ChurnModel``.
        costs: Of a contact.
        recipes: What to try; by default one to three of each family.
        seed: Seed of every random choice.

    Returns:
        As ``train_churn``.
    """
    if "horizon_days" in contracts and cut_offs is not None:
        dated = contracts[contracts["horizon_days"].notna() & ~contracts["is_ended"].astype(bool)]
        if len(dated):
            labels = dated[[*contract_keys, "horizon_days", "is_churned"]]
            data = labelled_data(dated, labels, cut_offs, horizon_days, CONTRACT)
            return _train(data, horizon_days, champion, costs, recipes, seed)
        contracts = contracts[contracts["horizon_days"].isna()]
    data = labelled_contracts(contracts)
    return _train(data, 0, champion, costs, recipes, seed)


def _train(
    data: LabelledData | str,
    horizon_days: int,
    champion: BaseEstimator | None,
    costs: ContactCosts | None,
    recipes: Sequence[str] | None,
    seed: int,
) -> TrainingResult:
    if isinstance(data, str):
        return too_little_data("churn", data, {"horizon_days": horizon_days, "seed": seed})
    with threadpool_limits(1):
        choice = _choose(data, horizon_days, recipes or candidates(data.kind, data.book_days), seed)
        past_model = _fit(choice, data.kind, data.training, horizon_days, seed)
        estimator = _fit(choice, data.kind, data.everything, horizon_days, seed)
        estimator.evaluated_ = past_model
        ruling = _comparable(champion, data, horizon_days)
        return report(data, choice, past_model, estimator, ruling, costs or ContactCosts())


def _choose(data: LabelledData, horizon_days: int, recipes: Sequence[str], seed: int) -> Choice:
    frame, y = data.training
    key = kind_of(data.kind).key
    used = sample_keys(frame[key], MAX_TUNING_ROWS)
    frame, y = frame[used], y[used]
    past = Past(frame, y, data.kind, horizon_days, seed)
    table = past_performance(past, recipes)
    winner = best_recipe(past, table)
    model = ChurnModel(winner, kind=data.kind, horizon_days=horizon_days, seed=seed)
    held_out = model.held_out_scores(frame, y)
    calibration, losses = choose_calibration(held_out, y, key_halves(frame[key]))
    table["is_winner"] = table["candidate"] == winner
    suspicious = suspicious_columns(frame, y)
    return Choice(winner, calibration, losses, table, len(frame), suspicious)


def _fit(choice: Choice, kind: str, rows: Rows, horizon_days: int, seed: int) -> ChurnModel:
    frame, y = rows
    used = sample_keys(frame[kind_of(kind).key], MAX_FIT_ROWS)
    model = ChurnModel(
        choice.winner,
        kind=kind,
        calibration=choice.calibration,
        horizon_days=horizon_days,
        seed=seed,
    )
    return model.fit_checked(frame[used], y[used])


def _comparable(
    champion: BaseEstimator | None, data: LabelledData, horizon_days: int
) -> BaseEstimator | None:
    """The champion as it was before it saw the evaluation rows; None without a rival.

    A champion for another horizon, or of contracts with other facts, answers another question and
    is no rival.
    """
    if champion is None or getattr(champion, "horizon_days", horizon_days) != horizon_days:
        return None
    facts = getattr(champion, "facts_", None)
    if data.kind == CONTRACT and facts != kind_of(CONTRACT).facts(data.training[0]):
        return None
    known = getattr(champion, "known_until_", None)
    on = data.evaluation_on
    if on is not None and (known is None or pd.Timestamp(known) <= on):
        return champion
    return champion.evaluated_ if champion.evaluated_ is not None else champion
