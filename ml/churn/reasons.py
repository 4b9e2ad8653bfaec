"""Reasons in plain words: the one table of sentences, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LATE_FROM = 1.5
"""A silence this many times the usual gap is worth mentioning."""

Row = dict[str, float]
IntArray = NDArray[np.intp]


def _days(count: float) -> str:
    return "1 day" if count == 1 else f"{count:.0f} days"


def _recency(row: Row) -> str:
    if row["recency_days"] == 0:
        return "last order today"
    sentence = f"last order {_days(row['recency_days'])} ago"
    usual = row["median_gap_days"]
    if usual > 0 and row["recency_days"] / usual >= LATE_FROM:
        sentence += f", {row['recency_days'] / usual:.1f} times the usual gap"
    return sentence


def _orders(row: Row) -> str:
    if row["order_count"] == 1:
        return "only one order so far"
    return f"{row['order_count']:.0f} orders in {_days(row['age_days'])} as a customer"


def _recent_orders(row: Row) -> str:
    count = row["order_count_90d"]
    if count == 0:
        return "no order in the last 90 days"
    return f"{count:.0f} order{'' if count == 1 else 's'} in the last 90 days"


def _products(row: Row) -> str:
    count = row["distinct_product_count"]
    return f"{count:.0f} different product{'' if count == 1 else 's'} bought"


def _returns(row: Row) -> str:
    count = row["return_count"]
    return "no returns so far" if count == 0 else f"{count:.0f} returned lines"


SENTENCES: dict[str, Callable[[Row], str]] = {
    "recency_days": _recency,
    "order_count": _orders,
    "order_count_90d": _recent_orders,
    "gross_amount": lambda row: f"{row['gross_amount']:,.0f} spent so far",
    "distinct_product_count": _products,
    "return_count": _returns,
}
"""Fact (a column of ``customer_features``) -> its sentence. A translation replaces this table."""

_ALSO = {"recency_days": "median_gap_days", "order_count": "age_days"}
"""Fact -> the other column that its sentence reads."""
_WHOLE = ("gross_amount",)
"""Facts that are said without decimals."""


def reason_table(features: pd.DataFrame, contributions: pd.DataFrame, top: int) -> pd.DataFrame:
    """Return the ``top`` strongest contributions towards churn as sentences.

    Args:
        features: Rows of ``customer_features``.
        contributions: Log-odds per fact, one row per row of ``features``, in the same order.
        top: Number of reasons.

    Returns:
        Columns ``reason_1`` ... ``reason_<top>``, index as ``features``; null where fewer facts
        speak for churn. Equal contributions come in the order of ``contributions``' columns.
    """

    def words(fact: str, rows: IntArray) -> NDArray[np.object_]:
        columns = [fact, _ALSO[fact]] if fact in _ALSO else [fact]
        values = [features[name].to_numpy(dtype=float, na_value=np.nan)[rows] for name in columns]
        if fact in _WHOLE:
            values = [np.round(part) for part in values]
        kind, first = _kinds(values)
        told = [
            _sentence(
                fact, {name: float(part[at]) for name, part in zip(columns, values, strict=True)}
            )
            for at in first
        ]
        return np.array(told, dtype=object)[kind]

    return _strongest(contributions, top, words)


def contract_reason_table(
    contracts: pd.DataFrame, contributions: pd.DataFrame, top: int
) -> pd.DataFrame:
    """Return the ``top`` strongest contributions towards ending a contract, as ``reason_table``."""
    values = {fact: contracts[fact].tolist() for fact in contributions.columns}

    def words(fact: str, rows: IntArray) -> NDArray[np.object_]:
        told = [contract_sentence(fact, values[fact][row]) for row in rows]
        return np.array(told, dtype=object)

    return _strongest(contributions, top, words)


def contract_sentence(fact: str, value: object) -> str:
    """Return a fact of a contract in words; one that has no sentence is named with its value."""
    if value is None or value != value:
        return f"{fact.replace('_', ' ')} unknown"
    if fact == "tenure_months":
        return f"a customer for {float(value):.0f} month{'' if value == 1 else 's'}"  # type: ignore[arg-type]
    if value == "":
        return f"no {fact.replace('_', ' ')}"
    text = f"{float(value):,.2f}".removesuffix(".00") if isinstance(value, float) else str(value)
    return CONTRACT_SENTENCES.get(fact, f"{fact.replace('_', ' ')}: {{}}").format(text)


CONTRACT_SENTENCES = {
    "monthly_amount": "{} to pay a month",
    "charged_amount": "{} charged so far",
    "contract_term": "contract: {}",
    "payment_method": "paid by: {}",
    "plan": "plan: {}",
    "service_count": "{} services",
    "services": "with: {}",
}


def _strongest(
    contributions: pd.DataFrame,
    top: int,
    words: Callable[[str, IntArray], NDArray[np.object_]],
) -> pd.DataFrame:
    """The ``top`` facts of each row that speak for churn; ``words`` says a fact of some rows."""
    parts = contributions.to_numpy(dtype=float).round(9)
    order = np.argsort(-parts, axis=1, kind="stable")
    names = [str(name) for name in contributions.columns]
    every = np.arange(len(parts))
    out: dict[str, NDArray[np.object_]] = {}
    for place in range(top):
        cells = np.full(len(parts), None, dtype=object)
        if place < len(names):
            chosen = order[:, place]
            speaks = parts[every, chosen] > 0
            for number, fact in enumerate(names):
                rows = np.flatnonzero(speaks & (chosen == number))
                if rows.size:
                    cells[rows] = words(fact, rows)
        out[f"reason_{place + 1}"] = cells
    return pd.DataFrame(out, index=contributions.index, dtype=object)


def _kinds(columns: list[NDArray[np.float64]]) -> tuple[IntArray, IntArray]:
    """Number of each row's kind, and a row of each kind: those with equal values are alike."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        number, values = pd.factorize(column, use_na_sentinel=False)
        code = code * len(values) + number
    kind, kinds = pd.factorize(code)
    first = np.empty(len(kinds), dtype=np.intp)
    first[kind[::-1]] = np.arange(len(kind))[::-1]
    return kind, first


def _sentence(fact: str, row: Row) -> str:
    if np.isnan(row[fact]):
        return f"{fact} unknown"
    return SENTENCES[fact](row)
