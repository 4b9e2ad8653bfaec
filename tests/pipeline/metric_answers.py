"""What ``crm metric`` says of figures that something else shows: a mart, a page, a file.

A test of anything that shows a metric makes a ``Shown`` of each figure and asserts that
``disagreeing`` names none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

from crm_pipeline.defs.quality.metric_agreement import is_same
from crm_pipeline.defs.quality.metric_routes import ROUTES, Route
from crm_pipeline.report.pages import pages
from crm_pipeline.resources.metrics import metric_sql, metrics

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Shown:
    """One figure that is shown.

    Attributes:
        metric: Its name, as ``crm metric`` takes it.
        value: The figure; a Decimal is held to its last digit, anything else to nine.
        period: First day of its period; None for all time.
        grain: ``day``, ``month``, ``quarter`` or ``year``: what the period is.
        by: What ``--by`` takes -> the value that the figure is of.
        where: Where it is shown, for the message.
    """

    metric: str
    value: Any
    period: date | None = None
    grain: str = "month"
    by: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""

    @property
    def question(self) -> tuple[str, ...]:
        """What the command is asked by."""
        return (*([self.grain] if self.period else []), *self.by)

    @property
    def key(self) -> Key:
        """The row of the answer that it is."""
        return (*([self.period] if self.period else []), *self.by.values())


def disagreeing(db: duckdb.DuckDBPyConnection, shown: Iterable[Shown]) -> list[str]:
    """Return where a figure is not what the command answers, with both; empty if all agree.

    Args:
        db: The published file.
        shown: The figures.
    """
    alike: dict[tuple, dict[str, list[Shown]]] = defaultdict(lambda: defaultdict(list))
    for one in shown:
        alike[one.question, _facts(one.metric)][one.metric].append(one)
    wrong = []
    for (question, _), by_metric in alike.items():
        rows = db.execute(metric_sql(list(by_metric), question)).fetchall()
        told = {row[: len(question)]: row[len(question) :] for row in rows}
        for number, (metric, figures) in enumerate(by_metric.items()):
            for one in figures:
                answer = told[one.key][number] if one.key in told else None
                if not is_same(one.value, answer):
                    place = f"{one.where} {metric} {one.key}"
                    wrong.append(f"{place}: {one.value}, the command says {answer}")
    return wrong


def shown_by_the_report(db: duckdb.DuckDBPyConnection) -> list[Shown]:
    """Return what the report shows of metrics: cards, figures by month, the page of all metrics.

    A column that has a metric's name, by month and by columns that it can be asked by, is that
    metric; a figure by anything else (a campaign, a stage) is held by ``report_truths`` instead.
    """
    dimensions = {metric.name: set(metric.dimensions) for metric in metrics()}
    shown: list[Shown] = []
    for page in pages():
        of_page = [(figure.key, figure.sql) for figure in page.figures]
        if page.cards:
            of_page.append((page.cards.key, page.cards.sql))
        for key, sql in of_page:
            answer = db.execute(sql)
            names = [part[0] for part in answer.description]
            rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
            where = f"{page.key}-{key}"
            if page.key == "metrics":
                shown += [one for row in rows for one in _of_all_metrics(row, where)]
            elif "month" in names:
                for name in sorted(dimensions.keys() & set(names)):
                    by = sorted(dimensions[name] & set(names))
                    of_name = [
                        Shown(
                            name, row[name], row["month"], by={d: row[d] for d in by}, where=where
                        )
                        for row in rows
                    ]
                    if len({one.key for one in of_name}) == len(rows):
                        shown += of_name
    return shown


def _of_all_metrics(row: Mapping[str, Any], where: str) -> Iterator[Shown]:
    month = row["month"]
    year, before = month.year, month.month - 1
    yield Shown(row["metric_name"], row["last_value"], month, where=where)
    yield Shown(
        row["metric_name"],
        row["month_before_value"],
        month.replace(year=year - (not before), month=before or 12),
        where=where,
    )
    yield Shown(
        row["metric_name"], row["year_ago_value"], month.replace(year=year - 1), where=where
    )


def _facts(metric: str) -> tuple[str, ...]:
    """What a metric is counted from: metrics of the same are asked together, which is quicker."""
    route = ROUTES[metric]
    return (route.table, route.on) if isinstance(route, Route) else route.of
