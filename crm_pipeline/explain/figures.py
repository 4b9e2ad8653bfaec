"""Proving one published figure: its facts, their totals, and the equation, recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import duckdb
import pandas as pd

from crm_pipeline.errors import UserError
from crm_pipeline.explain.metrics import METRICS, TERMS


@dataclass(frozen=True)
class Total:
    """One term of the equation: how many facts, what they sum to, and the first of them."""

    name: str
    text: str
    count: int
    sum: Any
    facts: pd.DataFrame


@dataclass(frozen=True)
class Proof:
    """A figure as published and as its facts give it.

    Attributes:
        metric: Its name.
        month: First day of the month.
        definition: As the published column's comment says.
        published: The figure.
        recomputed: What the equation gives.
        equation: The equation, in the terms' names.
        totals: The terms.
        is_complete: False where the as-of date cuts the month.
    """

    metric: str
    month: date
    definition: str
    published: Any
    recomputed: Any
    equation: str
    totals: tuple[Total, ...]
    is_complete: bool

    @property
    def holds(self) -> bool:
        """Whether the two are the same, nothing rounded."""
        return bool(self.published == self.recomputed)


def prove(db: duckdb.DuckDBPyConnection, metric: str, month: date, limit: int) -> Proof:
    """Recompute a figure of ``kpi_monthly`` from the published facts.

    Args:
        db: The published file.
        metric: Column of ``kpi_monthly``.
        month: First day of the month.
        limit: How many facts of each term to give, the greatest amounts first.

    Raises:
        UserError: No such figure; the message names what is near.
    """
    check_metric(metric)
    row = db.execute(
        f"select {metric}, is_complete from marts.kpi_monthly where month = ?", [month]
    ).fetchone()
    if row is None:
        ends = db.execute(
            "select strftime(min(month), '%Y-%m'), strftime(max(month), '%Y-%m') "
            "from marts.kpi_monthly"
        ).fetchone()
        assert ends is not None
        raise UserError(f"{month:%Y-%m} is not published; months are from {ends[0]} to {ends[1]}.")
    given = {"month": month, "horizon_days": _horizon_days(db)}
    wanted = METRICS[metric]
    totals = tuple(_total(db, name, given, limit) for name in wanted.terms)
    names = ", ".join(f"{_literal(total.sum)} as {total.name}" for total in totals)
    recomputed = db.execute(f"select {wanted.sql} from (select {names})").fetchone()
    assert recomputed is not None
    return Proof(
        metric=metric,
        month=month,
        definition=definition(db, "kpi_monthly", metric),
        published=row[0],
        recomputed=recomputed[0],
        equation=wanted.equation,
        totals=totals,
        is_complete=row[1],
    )


def _horizon_days(db: duckdb.DuckDBPyConnection) -> int:
    try:
        row = db.execute("select horizon_days from meta.build").fetchone()
    except duckdb.BinderException:
        raise UserError(
            "the published file is of an older crm-pipeline, and does not say for which horizon "
            "it was made: publish anew with `crm run`."
        ) from None
    assert row is not None
    return int(row[0])


def _literal(value: Any) -> str:
    """Return a total as SQL with all its digits, in the type that a sum of such amounts has."""
    if not isinstance(value, Decimal):
        return str(value)
    digits = max(4, -int(value.as_tuple().exponent))
    return f"cast('{value}' as decimal(38, {digits}))"


def _total(db: duckdb.DuckDBPyConnection, name: str, given: dict[str, Any], limit: int) -> Total:
    term = TERMS[name]
    used = {key: value for key, value in given.items() if f"${key}" in term.sql}
    row = db.execute(
        f"select count(*), coalesce(sum(amount), 0) from ({term.sql})", used
    ).fetchone()
    assert row is not None
    facts = db.execute(
        f"select * from ({term.sql}) order by amount desc, fact_key, line_number limit {limit}",
        used,
    ).df()
    return Total(name, term.text, row[0], row[1], facts)


def check_metric(metric: str) -> None:
    """Raise if there is no such figure; the message names what is near."""
    if metric not in METRICS:
        near = get_close_matches(metric, METRICS, 3, 0.4) or list(METRICS)
        raise UserError(
            f"{metric!r} is no figure of kpi_monthly; near are {', '.join(near)}. For a customer "
            "give the key, as online_retail:17850."
        )


def definition(db: duckdb.DuckDBPyConnection, table: str, column: str) -> str:
    """Return what a column of a mart means, as its comment says."""
    row = db.execute(
        "select comment from duckdb_columns() where schema_name = 'marts' and table_name = ? "
        "and column_name = ?",
        [table, column],
    ).fetchone()
    return str(row[0]) if row else ""
