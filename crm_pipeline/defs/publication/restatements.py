"""Which published figure changed, from what to what, and because of which file.

A figure is one column of one month of ``marts.kpi_monthly``. It is published once its month lies
whole before a publication's as-of date; what changes before that is the month going on. Compared
is with what was last published of that month, whichever publication that was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pandas as pd

from crm_pipeline.defs.landing import erasure
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal
from crm_pipeline.defs.publication.records import (
    KPI,
    Publication,
    kpi_metrics,
    kpi_values,
    publications,
)

COLUMNS = (
    "publication", "restated_at", "run_id", "metric", "month", "old_value", "new_value",
    "as_of_before", "as_of_after", "files", "reason",
)  # fmt: skip
LOOKS_BACK = (
    "new_customers", "returning_customers", "average_first_response_hours",
    "average_first_response_business_hours", "resolution_count", "average_resolution_hours",
    "average_resolution_business_hours", "won_opportunity_count", "lost_opportunity_count",
    "won_amount", "opportunities_at_end", "pipeline_at_end_amount", "lead_conversion_count",
    "touch_response_count", "campaign_cost_amount",
)  # fmt: skip
"""Figures of a month that earlier months decide as well, besides every ``_rate``: what is answered,
resolved or decided in a month may stand in the record of the day it began."""


@dataclass(frozen=True)
class ChangedFile:
    """What became of one file's content since a publication."""

    label: str
    months: frozenset[date]
    touches_any: bool
    """Whether rows without a day changed, which may belong to any month."""

    def touches(self, month: date, *, looks_back: bool) -> bool:
        """Whether the change may have moved a figure of ``month``."""
        if self.touches_any or month in self.months:
            return True
        return looks_back and any(earlier < month for earlier in self.months)


@dataclass(frozen=True)
class _Figure:
    metric: str
    month: date
    old: float | None
    new: float | None
    publication: int


def tables_behind(manifest: Mapping[str, Any], schema_and_name: str = KPI) -> set[tuple[str, str]]:
    """Return (source, table) of every raw table that a model is made from, by dbt's lineage."""
    schema, name = schema_and_name.split(".")
    [start] = [
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and (node["schema"], node["name"]) == (schema, name)
    ]
    found, todo, seen = set(), [start], set()
    while todo:
        unique_id = todo.pop()
        if unique_id in seen:
            continue
        seen.add(unique_id)
        if unique_id in manifest["sources"]:
            node = manifest["sources"][unique_id]
            if node["schema"] == "raw":
                found.add((node["source_name"], node["name"]))
        else:
            todo += manifest["nodes"][unique_id].get("depends_on", {}).get("nodes", [])
    return found


def find_restatements(
    con: duckdb.DuckDBPyConnection,
    new: Publication,
    contracts: Mapping[str, SourceContract],
    behind: Iterable[tuple[str, str]],
    time_zone: str,
) -> pd.DataFrame:
    """Return the figures that ``new`` publishes otherwise than they were last published.

    Args:
        con: Connection with the new file as ``p``, its marts written, and the warehouse as ``w``;
            whichever was in use, ``p`` is afterwards.
        new: The publication that is being made.
        contracts: All sources, by name.
        behind: The raw tables that the figures are made from; see ``tables_behind``.
        time_zone: The business time zone, which puts events into months.
    """
    con.execute("use w")
    try:
        figures = _changed_figures(con, new)
        has_erased = erasure.is_pending(con, "gone")
        before = {one.publication: one for one in publications(con)}
        tables = [
            table
            for source in contracts.values()
            for table in source.tables
            if (table.source, table.name) in set(behind)
        ]
        changed = {
            number: changed_files(con, tables, before[number].landing_number, time_zone)
            for number in {figure.publication for figure in figures}
        }
    finally:
        con.execute("use p")
    rows = []
    for figure in figures:
        old = before[figure.publication]
        files, reason = _cause(figure, old, new, changed[figure.publication], has_erased)
        rows.append(
            (
                new.publication, new.built_at, new.run_id, figure.metric, figure.month,
                figure.old, figure.new, old.as_of, new.as_of, "; ".join(files), reason,
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {"old_value": "float64", "new_value": "float64"}
    )


def _changed_figures(con: duckdb.DuckDBPyConnection, new: Publication) -> list[_Figure]:
    metrics = kpi_metrics(con, "p")
    rows = con.execute(
        f"""
        with new as ({kpi_values(metrics, f"p.{KPI}")}),
        compared as (
            select month, metric, old.value as old_value, new.value as new_value
            from control.published_kpis as old full join new using (month, metric)
            where old.value is distinct from new.value
            -- a figure that a newer version of the code adds was never published before
            and metric in (select metric from control.published_kpis)),
        known as (
            select compared.*, max(publication) as publication
            from compared join control.publications on last_day(month) <= control.publications.as_of
            where last_day(month) <= ?
            group by all)
        select metric, month, cast(old_value as double), cast(new_value as double), publication
        from known order by month, metric
        """,
        [new.as_of],
    ).fetchall()
    return [_Figure(*row) for row in rows if row[0] in metrics]


def _cause(
    figure: _Figure,
    old: Publication,
    new: Publication,
    changed: Sequence[ChangedFile],
    has_erased: bool,
) -> tuple[list[str], str]:
    looks_back = figure.metric.endswith("_rate") or figure.metric in LOOKS_BACK
    files = [file.label for file in changed if file.touches(figure.month, looks_back=looks_back)]
    reasons = ["data"] if files else []
    if json.loads(old.settings) != json.loads(new.settings):
        reasons.append("settings")
    if old.code_version != new.code_version:
        reasons.append("code")
    if has_erased:
        reasons.append("erasure")
    if not reasons:
        # no dated row explains it: whatever changed is named
        files, reasons = [file.label for file in changed], ["data"]
    return files, ", ".join(reasons)


def changed_files(
    con: duckdb.DuckDBPyConnection,
    tables: Sequence[TableContract],
    since: int,
    time_zone: str,
) -> list[ChangedFile]:
    """Return the files whose content is not what it was at landing number ``since``.

    Args:
        con: Connection that uses the warehouse.
        tables: The tables to look at.
        since: The last entry of the ledger that counted then.
        time_zone: The business time zone.
    """
    found = []
    for table in tables:
        rows = con.execute(
            """
            with marked as (
                select file_name, landing_number, if(action = 'landed', digest, null) as digest
                from control.files where source = ? and table_name = ?),
            ends as (
                select file_name,
                    arg_max_null(digest, landing_number)
                        filter (where landing_number <= ?) as before,
                    arg_max_null(digest, landing_number) as newest
                from marked group by file_name)
            select file_name, before, newest from ends where before is distinct from newest
            order by file_name
            """,
            [table.source, table.name, since],
        ).fetchall()
        for file_name, before, newest in rows:
            kind = "landed" if before is None else "retracted" if newest is None else "corrected"
            months, touches_any = _months(con, table, before, newest, time_zone)
            label = f"{table.source}/{table.name}/{file_name} ({kind})"
            found.append(ChangedFile(label, months, touches_any))
    return found


def _months(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    before: str | None,
    newest: str | None,
    time_zone: str,
) -> tuple[frozenset[date], bool]:
    """Return the months whose rows of a file changed, and whether rows without a day did."""
    if table.event_time is None:
        return frozenset(), True
    columns = ", ".join(identifier(column.name) for column in table.stored_columns)
    event = identifier(table.event_time)
    day = event
    if table.column(table.event_time).data_type == "timestamp":
        day = f"timezone({literal(time_zone)}, timezone('UTC', {event}))"
    old, new = (_rows_of(con, table, digest, columns) for digest in (before, newest))
    rows = con.execute(
        f"with old as ({old}), new as ({new}), changed as ("
        "(from old except all from new) union all (from new except all from old)) "
        f"select distinct cast(date_trunc('month', {day}) as date) from changed"
    ).fetchall()
    months = {month for (month,) in rows}
    return frozenset(months - {None}), None in months


def _rows_of(
    con: duckdb.DuckDBPyConnection, table: TableContract, digest: str | None, columns: str
) -> str:
    """Return a query for a content's rows, from landing or, superseded, from history."""
    name = identifier(table.identifier)
    condition = "false" if digest is None else f"_digest = {literal(digest)}"
    query = f"select {columns} from landing.{name} where {condition}"
    kept = con.execute(
        "select count(*) from duckdb_columns() where database_name = current_database() "
        "and schema_name = 'history' and table_name = ? and column_name in "
        f"(select unnest({[column.name for column in table.stored_columns]}))",
        [table.identifier],
    ).fetchone()
    if kept is None or kept[0] != len(table.stored_columns):
        return query
    return (
        f"{query} union all select {columns} from history.{name} where {condition} "
        f"and not exists (select 1 from landing.{name} where {condition})"
    )
