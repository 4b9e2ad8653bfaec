"""The two kinds of churn that one model class serves: by the rhythm of purchases, by contract.

A kind says how a row is checked and identified and how facts become columns. Everything else
(families, folds, calibration, threshold, reasons) is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from sklearn.base import BaseEstimator

from ml.churn import contracts, features, reasons

RHYTHM = "rhythm"
CONTRACT = "contract"


@dataclass(frozen=True)
class Kind:
    """One kind of churn.

    Attributes:
        key: Column that identifies who may leave.
        keys: The key of a row: the cut-off and ``key``.
        check: Rows in any order -> checked rows sorted by key; the second argument names the facts
            that a fitted model knows.
        facts: Facts that contributions are about, of checked rows.
        design: The unfitted first step of a pipeline, for a feature set.
        bent: Positions of the design's columns that the spline model bends.
        lone_fact: The one fact that the second naive model looks at.
        sentences: Rows and contributions -> reasons in words.
    """

    key: str
    keys: tuple[str, str]
    check: Callable[[pd.DataFrame, Sequence[str] | None], pd.DataFrame]
    facts: Callable[[pd.DataFrame], list[str]]
    design: Callable[[str], BaseEstimator]
    bent: Callable[[pd.DataFrame, str], tuple[int, ...]]
    lone_fact: str
    sentences: Callable[[pd.DataFrame, pd.DataFrame, int], pd.DataFrame]


def _bent_features(_frame: pd.DataFrame, feature_set: str) -> tuple[int, ...]:
    columns = list(features.columns_of(feature_set))
    return tuple(columns.index(column) for column in features.CURVED_COLUMNS[feature_set])


def _contract_facts(frame: pd.DataFrame) -> list[str]:
    return [str(column) for column in frame.columns if column not in contracts.NOT_FACTS]


KINDS: dict[str, Kind] = {
    RHYTHM: Kind(
        key="customer_key",
        keys=features.KEY_COLUMNS,
        check=lambda rows, _facts: features.check_features(rows),
        facts=lambda _frame: list(features.CONCEPT_COLUMNS),
        design=features.ChurnDesign,
        bent=_bent_features,
        lone_fact="recency_days",
        sentences=reasons.reason_table,
    ),
    CONTRACT: Kind(
        key=contracts.KEY,
        keys=contracts.KEY_COLUMNS,
        check=contracts.check_contracts,
        facts=_contract_facts,
        design=lambda _feature_set: contracts.ContractDesign(),
        bent=lambda frame, _feature_set: tuple(range(len(contracts.number_facts(frame)))),
        lone_fact="tenure_months",
        sentences=reasons.contract_reason_table,
    ),
}


def kind_of(name: str) -> Kind:
    """Return a kind by its name.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in KINDS:
        raise ValueError(f"unknown kind {name!r}; known: {', '.join(KINDS)}")
    return KINDS[name]
