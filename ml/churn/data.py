"""Labelled rows by purpose: which cut-off may be trained on, which is the examination.

Belongs here: joining, checking and refusing. Does not: arithmetic on features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.churn.contracts import KEY, check_contracts
from ml.churn.features import FeatureError
from ml.churn.kinds import CONTRACT, RHYTHM, kind_of
from ml.evaluation.sampling import key_hash

FloatArray = NDArray[np.float64]
Rows = tuple[pd.DataFrame, FloatArray]

TRAINING = "churn_training"
EVALUATION = "churn_evaluation"
REFIT = "churn_refit"

MIN_CUSTOMERS = 200
MIN_CLASS = 30
"""Below these a cut-off says nothing reliable: ten bins of fewer than twenty customers, or an
event too rare to tell models apart."""


@dataclass(frozen=True)
class LabelledData:
    """Labelled rows, each part sorted by (cut_off_on, customer_key).

    Attributes:
        kind: Of the rows, see ``ml.churn.kinds``.
        training: Rows whose labels were known at the evaluation cut-off.
        evaluation: Rows of the one later cut-off that figures are reported for; where there are
            no dates, the fifth of the contracts that is set aside.
        everything: All labelled rows, for the refit.
        evaluation_on: The evaluation cut-off; None where there are no dates.
        training_cut_offs: Number of cut-offs in ``training``.
        book_days: Age of the record at the latest training cut-off; it begins when one customer in
            a hundred has ordered, so that a single wrong date does not make it old.
        period: What the reported figures are of.
    """

    kind: str
    training: Rows
    evaluation: Rows
    everything: Rows
    evaluation_on: pd.Timestamp | None
    training_cut_offs: int
    book_days: int
    period: str


def labelled_data(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    cut_offs: pd.DataFrame,
    horizon_days: int,
    kind: str = RHYTHM,
) -> LabelledData | str:
    """Return the labelled rows by purpose, or a sentence that says why there are too few.

    Raises:
        FeatureError: Columns are missing, keys are duplicated, a feature looks ahead, or a
            training cut-off's window reaches beyond the evaluation cut-off.
    """
    purposes = _purposes(cut_offs)
    evaluation_on = _evaluation_on(purposes, horizon_days)
    if evaluation_on is None:
        return "no cut-off lies one horizon before the as-of date, so no model can be examined"
    joined = _joined(features, labels, purposes, horizon_days, kind)
    on = joined["cut_off_on"]
    enough = {day for day, part in joined.groupby("cut_off_on") if _too_few(part) is None}
    if evaluation_on not in enough:
        part = joined[on == evaluation_on]
        return f"at the evaluation cut-off {evaluation_on.date()} {_too_few(part)}"
    training_on = {day for day in purposes[TRAINING] if day in enough}
    if not training_on:
        return (
            f"no cut-off at least {horizon_days} days before {evaluation_on.date()} has "
            f"{MIN_CUSTOMERS} labelled customers with {MIN_CLASS} of either outcome to train on"
        )
    known = on.isin(sorted(enough))
    training = _rows(joined[on.isin(sorted(training_on))])
    return LabelledData(
        kind=kind,
        training=training,
        evaluation=_rows(joined[on == evaluation_on]),
        everything=_rows(joined[known]),
        evaluation_on=evaluation_on,
        training_cut_offs=len(training_on),
        book_days=_book_days(training[0], max(training_on)) if kind == RHYTHM else 0,
        period=f"{evaluation_on.date()} + {horizon_days} days",
    )


def _book_days(training: pd.DataFrame, last: pd.Timestamp) -> int:
    first_orders = training.loc[training["cut_off_on"] == last, "first_order_on"]
    start = first_orders.sort_values().iloc[len(first_orders) // 100]
    return int((last - start).days)


SET_ASIDE = 5
"""One contract in so many is examined on, and seen by nothing before."""


def labelled_contracts(contracts: pd.DataFrame) -> LabelledData | str:
    """Return the labelled contracts by purpose, or a sentence that says why there are too few.

    The label is a flag without a date, so there is no later period. Instead a fifth of the
    contracts is set aside by a hash of their key: always the same ones, so that a champion's
    ``evaluated_`` copy has not seen them either.

    Args:
        contracts: ``cut_off_on``, ``subscription_key``, ``is_churned`` and facts.

    Raises:
        FeatureError: Columns are missing, or keys are null or duplicated.
    """
    if "is_churned" not in contracts.columns:
        raise FeatureError("the contracts lack ['is_churned']")
    known = contracts[contracts["is_churned"].notna()].reset_index(drop=True)
    if len(known) == 0:
        return "no contract says whether it was ended"
    frame = check_contracts(known)
    frame = frame.dropna(axis="columns", how="all")
    frame["is_churned"] = known["is_churned"].astype(float).loc[frame.index]
    frame = frame.reset_index(drop=True)
    aside = key_hash(frame[KEY]) // np.uint64(10_000) % np.uint64(SET_ASIDE) == 0
    for part, name in ((frame[~aside], "to train on"), (frame[aside], "set aside")):
        if (few := _too_few(part, "contracts")) is not None:
            return f"of the contracts {name} {few}"
    return LabelledData(
        kind=CONTRACT,
        training=_rows(frame[~aside]),
        evaluation=_rows(frame[aside]),
        everything=_rows(frame),
        evaluation_on=None,
        training_cut_offs=1,
        book_days=0,
        period="contracts set aside",
    )


def _purposes(cut_offs: pd.DataFrame) -> dict[str, set[pd.Timestamp]]:
    if missing := {"cut_off_on", "purpose"} - set(cut_offs.columns):
        raise FeatureError(f"cut_offs lacks {sorted(missing)}")
    days = pd.to_datetime(cut_offs["cut_off_on"]).astype("datetime64[s]")
    return {
        purpose: set(days[cut_offs["purpose"] == purpose])
        for purpose in (TRAINING, EVALUATION, REFIT)
    }


def _evaluation_on(
    purposes: dict[str, set[pd.Timestamp]], horizon_days: int
) -> pd.Timestamp | None:
    if len(purposes[EVALUATION]) > 1:
        raise FeatureError(f"cut_offs has {len(purposes[EVALUATION])} {EVALUATION} dates, not one")
    if not purposes[EVALUATION]:
        return None
    [evaluation_on] = purposes[EVALUATION]
    horizon = pd.Timedelta(days=horizon_days)
    if late := sorted(day for day in purposes[TRAINING] if day + horizon > evaluation_on):
        raise FeatureError(
            f"the labels of training cut-off {late[-1].date()} were not known at the evaluation "
            f"cut-off {evaluation_on.date()}"
        )
    return evaluation_on


def _joined(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    purposes: dict[str, set[pd.Timestamp]],
    horizon_days: int,
    kind: str,
) -> pd.DataFrame:
    """Features with ``is_churned`` (float), only labelled rows of the three purposes."""
    keys = list(kind_of(kind).keys)
    if missing := {*keys, "horizon_days", "is_churned"} - set(labels.columns):
        raise FeatureError(f"customer_labels lacks {sorted(missing)}")
    frame = kind_of(kind).check(features, None)
    frame = frame[frame["cut_off_on"].isin(sorted(set().union(*purposes.values())))]
    outcome = labels.loc[labels["horizon_days"] == horizon_days, [*keys, "is_churned"]]
    outcome = outcome[outcome["is_churned"].notna()].copy()
    outcome["cut_off_on"] = pd.to_datetime(outcome["cut_off_on"]).astype("datetime64[s]")
    outcome[keys[1]] = outcome[keys[1]].astype(object)
    outcome["is_churned"] = outcome["is_churned"].astype(float)
    if (count := int(outcome.duplicated(keys).sum())) > 0:
        raise FeatureError(f"customer_labels has {count} duplicate ({', '.join(keys)})")
    joined = frame.merge(outcome, on=keys, how="inner", validate="one_to_one")
    if kind == CONTRACT:
        # facts that contracts of this sort never have are no facts
        joined = joined.dropna(axis="columns", how="all")
    return joined.sort_values(keys, kind="stable", ignore_index=True)


def _too_few(part: pd.DataFrame, who: str = "customers") -> str | None:
    """Why a cut-off's labelled rows are too few, None if they are enough."""
    churned = int(part["is_churned"].sum())
    stayed = len(part) - churned
    if len(part) < MIN_CUSTOMERS:
        return f"{len(part)} {who} are labelled, fewer than {MIN_CUSTOMERS}"
    if min(churned, stayed) < MIN_CLASS:
        return f"{churned} {who} churned and {stayed} stayed; either must be at least {MIN_CLASS}"
    return None


def _rows(joined: pd.DataFrame) -> Rows:
    frame = joined.reset_index(drop=True)
    return frame.drop(columns="is_churned"), frame["is_churned"].to_numpy(dtype=np.float64)
