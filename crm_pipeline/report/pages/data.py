"""How far the figures can be trusted: checks, freshness, what was set aside, what was restated."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report import charts
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

_CHECKS = """
select owner, case when passed then 'passed' when severity = 'error' then 'failed' else 'warned' end
    as check_result, count(*) as check_count
from meta.quality
group by all
order by owner, check_result
"""

_FAILED = """
select table_name, check_name, severity, owner, observed
from meta.quality
where not passed
order by severity, table_name, check_name
limit 100
"""

_FRESHNESS = """
select f.table_name, f.row_count, cast(f.latest_event_at as date) as latest_event_on,
    greatest(date_diff('day', cast(f.latest_event_at as date), b.as_of), 0) as behind_days
from meta.freshness as f
cross join meta.build as b
where f.table_schema = 'marts' and f.table_name like 'fct\\_%' escape '\\' and f.row_count > 0
    and f.latest_event_at is not null
order by behind_days desc, f.table_name
"""

_LANDED = """
select source, table_name, count(*) as file_count, sum(rows_read) as rows_read,
    sum(rows_accepted) as rows_accepted, sum(rows_quarantined) as rows_quarantined,
    sum(rows_quarantined) / nullif(sum(rows_read), 0) as quarantined_rate
from meta.landed_files
group by source, table_name
having sum(rows_read) > 0
order by quarantined_rate desc, source, table_name
"""

_REASONS = """
select source, reason as quarantine_reason, sum(row_count) as rows_quarantined
from meta.quarantine
group by source, reason
having sum(row_count) > 0
order by source, reason
"""

_RESTATED = """
select publication, as_of_after as as_of, metric, month, old_value, new_value, reason, files
from meta.restatements
order by publication desc, month desc, metric
limit 200
"""

_DRIFT = """
select source, table_name, file_name, kind, column_name, expected, found
from meta.schema_drift
where is_standing
order by source, table_name, file_name, kind, column_name
limit 100
"""


LEAST_RATE = 0.01
"""The axis of what was set aside reaches this far even where nothing was."""


def _draw_checks(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    present = [one for one in ("passed", "warned", "failed") if one in set(frame.check_result)]
    tints = {"passed": charts.ACCENT, "warned": "#E69F00", "failed": charts.BAD}
    return charts.bars(
        frame,
        words,
        "owner",
        "check_count",
        "count",
        colour="check_result",
        order=present,
        palette=[tints[one] for one in present],
    )


def _find_checks(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    counts = frame.groupby("check_result").check_count.sum()
    return {
        "passed": words.write(counts.get("passed", 0), "count"),
        "all": words.write(counts.sum(), "count"),
        "failed": words.write(counts.get("failed", 0), "count"),
        "warned": words.write(counts.get("warned", 0), "count"),
    }


def _draw_freshness(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.bars(frame, words, "table_name", "behind_days", "days")


def _draw_landed(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    shown = frame.assign(
        table_name=[f"{row.source} / {row.table_name}" for row in frame.itertuples()]
    )
    chart = charts.bars(shown.head(15), words, "table_name", "quarantined_rate", "rate")
    top = max(float(frame.quarantined_rate.max()), LEAST_RATE)
    x = charts.quantity(words, "quarantined_rate", "rate")
    return chart.encode(x=alt.X(**x | {"scale": alt.Scale(domain=[0, top], nice=True)}))


def _find_landed(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    read, aside = frame.rows_read.sum(), frame.rows_quarantined.sum()
    return {
        "read": words.write(read, "count"),
        "aside": words.write(aside, "count"),
        "share": words.write(aside / read, "rate"),
        "files": words.write(frame.file_count.sum(), "count"),
    }


def _draw_reasons(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.bars(
        frame, words, "source", "rows_quarantined", "count", colour="quarantine_reason"
    )


PAGE = Page(
    key="data",
    figures=(
        Figure(
            key="checks",
            sql=_CHECKS,
            columns={"owner": "text", "check_result": "text", "check_count": "count"},
            draw=_draw_checks,
            finding=_find_checks,
        ),
        Figure(
            key="failed",
            sql=_FAILED,
            columns={
                "table_name": "text",
                "check_name": "text",
                "severity": "text",
                "owner": "text",
                "observed": "text",
            },
        ),
        Figure(
            key="freshness",
            sql=_FRESHNESS,
            columns={
                "table_name": "text",
                "latest_event_on": "date",
                "behind_days": "days",
                "row_count": "count",
            },
            draw=_draw_freshness,
        ),
        Figure(
            key="landed",
            sql=_LANDED,
            columns={
                "source": "text",
                "table_name": "text",
                "file_count": "count",
                "rows_read": "count",
                "rows_accepted": "count",
                "rows_quarantined": "count",
                "quarantined_rate": "rate",
            },
            draw=_draw_landed,
            finding=_find_landed,
        ),
        Figure(
            key="reasons",
            sql=_REASONS,
            columns={
                "source": "text",
                "quarantine_reason": "text",
                "rows_quarantined": "count",
            },
            draw=_draw_reasons,
        ),
        Figure(
            key="restated",
            sql=_RESTATED,
            columns={
                "publication": "count",
                "as_of": "date",
                "month": "month",
                "metric": "text",
                "old_value": "number",
                "new_value": "number",
                "reason": "text",
                "files": "text",
            },
        ),
        Figure(
            key="drift",
            sql=_DRIFT,
            columns={
                "source": "text",
                "table_name": "text",
                "file_name": "text",
                "kind": "text",
                "column_name": "text",
                "expected": "text",
                "found": "text",
            },
        ),
    ),
)
