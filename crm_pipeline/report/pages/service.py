"""Service: what waits, how soon customers are answered, what they write about, who is needed."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report.charts import (
    BAD,
    CATEGORIES,
    NEUTRAL,
    RAMP,
    Drawn,
    bars,
    base,
    lines,
    tall,
    tips,
)
from crm_pipeline.report.compared import melted
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import D3_FORMATS, Words

BACKLOG = """
select
    max(date_on) as date_on,
    arg_max(backlog_count, date_on) as backlog_count,
    sum(opened_count) as opened_count,
    sum(resolved_count) as resolved_count,
    sum(reopened_count) as reopened_count
from marts.service_daily
where date_on > (select as_of - interval 2 year from meta.build)
group by date_trunc('week', date_on)
order by date_on
"""

FLOW = """
select month, ticket_count, resolution_count, resolution_reopened_rate
from marts.kpi_monthly
where is_complete and exists (select 1 from marts.fct_tickets)
order by month desc
limit 24
"""

FIRST_RESPONSE = """
select
    month,
    ticket_count,
    median_first_response_business_hours,
    p90_first_response_business_hours,
    median_first_response_hours,
    p90_first_response_hours
from marts.service_monthly
where is_complete and ticket_count > 0
order by month desc
limit 24
"""

RESOLUTION = """
select
    month,
    resolved_count,
    median_resolution_business_hours,
    p90_resolution_business_hours,
    median_resolution_hours,
    p90_resolution_hours
from marts.service_monthly
where is_complete and resolved_count > 0
order by month desc
limit 24
"""

SLA = """
select month, sla_judged_count, sla_met_rate, sla_met_low_rate, sla_met_high_rate
from marts.service_monthly
where is_complete and sla_judged_count > 0
order by month desc
limit 24
"""

TOPICS = """
with recent as (
    select
        coalesce(category, 'unknown') as category,
        case
            when is_complaint then 'complaint'
            when not is_complaint then 'request'
            else 'unknown'
        end as ticket_kind
    from marts.fct_tickets
    where opened_on > (select as_of - interval 365 day from meta.build)
),

largest as (
    select category
    from recent
    group by category
    order by count(*) desc, category
    limit 15
)

select category, ticket_kind, count(*) as ticket_count
from recent
where category in (select category from largest)
group by category, ticket_kind
order by sum(count(*)) over (partition by category) desc, category, ticket_kind
"""

STAFFING = """
select
    cast(weekday as varchar) as weekday,
    hour_of_day,
    sum(contacts_per_hour) as contacts_per_hour,
    sum(busy_contacts_per_hour) as busy_contacts_per_hour,
    sum(agents_needed) as agents_needed,
    sum(scheduled_agents) as scheduled_agents
from scores.agents_needed
where status = 'scored' and hour_of_day in (
    select hour_of_day
    from scores.agents_needed
    where status = 'scored'
    group by hour_of_day
    having sum(contacts_per_hour) > 0
)
group by weekday, hour_of_day
order by weekday, hour_of_day
"""


def _backlog(frame: pd.DataFrame, words: Words) -> Drawn:
    return lines(frame, words, "date_on", "backlog_count", "count", time_kind="date")


def _backlog_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    now = frame.iloc[-1]
    before = frame.iloc[max(len(frame) - 14, 0)]
    return {
        "now": words.write(now["backlog_count"], "count"),
        "before": words.write(before["backlog_count"], "count"),
        "then": words.write(before["date_on"], "date"),
    }


def _flow(frame: pd.DataFrame, words: Words) -> Drawn:
    return _two(frame, words, ["ticket_count", "resolution_count"], "count")


def _two(frame: pd.DataFrame, words: Words, columns: list[str], kind: str) -> Drawn:
    name = "tickets" if kind == "count" else "business_hours"
    several = melted(frame, ["month"], columns).rename(columns={"value": name})
    return lines(several, words, "month", name, kind, series="measure", order=columns)


def _first_response(frame: pd.DataFrame, words: Words) -> Drawn:
    hours = ["median_first_response_business_hours", "p90_first_response_business_hours"]
    return _two(frame, words, hours, "hours")


def _first_response_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    return _last(frame, words, "median_first_response_business_hours", "hours")


def _resolution(frame: pd.DataFrame, words: Words) -> Drawn:
    hours = ["median_resolution_business_hours", "p90_resolution_business_hours"]
    return _two(frame, words, hours, "hours")


def _resolution_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    return _last(frame, words, "median_resolution_business_hours", "hours")


def _last(frame: pd.DataFrame, words: Words, column: str, kind: str) -> Mapping[str, str] | None:
    known = frame[frame[column].notna()]
    if known.empty:
        return None
    newest = max(known.to_dict("records"), key=lambda row: row["month"])
    return {
        "month": words.month(newest["month"]),
        "value": words.write(newest[column], kind),
        "slowest": words.write(newest.get(column.replace("median", "p90")), kind),
    }


def _sla(frame: pd.DataFrame, words: Words) -> Drawn:
    return lines(
        frame,
        words,
        "month",
        "sla_met_rate",
        "rate",
        low="sla_met_low_rate",
        high="sla_met_high_rate",
        zero=False,
    )


def _sla_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    return _last(frame, words, "sla_met_rate", "rate")


def _topics(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(
        frame,
        words,
        "category",
        "ticket_count",
        "count",
        colour="ticket_kind",
        order=[
            kind
            for kind in ("complaint", "request", "unknown")
            if kind in set(frame["ticket_kind"])
        ],
        palette=(BAD, CATEGORIES[0], NEUTRAL),
    )


def _topics_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    first = frame["category"].iloc[0]
    count = frame[frame["category"] == first]["ticket_count"].sum()
    return {
        "category": words.value("category", first),
        "count": words.write(count, "count"),
        "share": words.write(count / frame["ticket_count"].sum(), "rate"),
    }


def _staffing(frame: pd.DataFrame, words: Words) -> Drawn:
    hours = [str(hour) for hour in sorted(set(frame["hour_of_day"]))]
    shown = frame.assign(
        weekday=[words.value("weekday", day) for day in frame["weekday"]],
        hour_of_day=[str(hour) for hour in frame["hour_of_day"]],
    )
    place = {
        "x": alt.X(
            field="hour_of_day",
            type="ordinal",
            sort=hours,
            axis=alt.Axis(title=words.label("hour_of_day"), labelAngle=0, labelOverlap=True),
        ),
        "y": alt.Y(
            field="weekday",
            type="ordinal",
            sort=[words.value("weekday", day) for day in range(1, 8)],
            axis=alt.Axis(title=None),
        ),
        "tooltip": tips(
            words,
            weekday="text",
            hour_of_day="text",
            contacts_per_hour="number",
            agents_needed="count",
            scheduled_agents="count",
        ),
    }
    top = float(frame["contacts_per_hour"].max())
    cells = (
        base(shown)
        .mark_rect()
        .encode(
            **place,
            color=alt.Color(
                field="contacts_per_hour",
                type="quantitative",
                scale=alt.Scale(range=list(RAMP), domain=[0, top]),
                legend=alt.Legend(
                    title=words.label("contacts_per_hour"),
                    orient="top",
                    format=D3_FORMATS["number"],
                    gradientLength=180,
                ),
            ),
        )
    )
    people = (
        base(shown)
        .mark_text(fontSize=11)
        .encode(
            **place,
            text=alt.Text(field="scheduled_agents", type="quantitative", format=",d"),
            color=alt.condition(
                f"datum.contacts_per_hour > {0.45 * top:.6g}",
                alt.value("#ffffff"),
                alt.value("#10233a"),
            ),
        )
    )
    return alt.layer(cells, people).properties(height=tall(7, 34))


def _staffing_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    most = max(frame.to_dict("records"), key=lambda row: row["scheduled_agents"])
    return {
        "agents": words.write(most["scheduled_agents"], "count"),
        "hours": words.write(frame["scheduled_agents"].sum(), "count"),
    }


PAGE = Page(
    key="service",
    figures=(
        Figure(
            key="backlog",
            sql=BACKLOG,
            columns={
                "date_on": "date",
                "backlog_count": "count",
                "opened_count": "count",
                "resolved_count": "count",
                "reopened_count": "count",
            },
            source="tickets",
            draw=_backlog,
            finding=_backlog_says,
        ),
        Figure(
            key="flow",
            sql=FLOW,
            columns={
                "month": "month",
                "ticket_count": "count",
                "resolution_count": "count",
                "resolution_reopened_rate": "rate",
            },
            source="tickets",
            draw=_flow,
        ),
        Figure(
            key="first_response",
            sql=FIRST_RESPONSE,
            columns={
                "month": "month",
                "ticket_count": "count",
                "median_first_response_business_hours": "hours",
                "p90_first_response_business_hours": "hours",
                "median_first_response_hours": "hours",
                "p90_first_response_hours": "hours",
            },
            source="tickets",
            draw=_first_response,
            finding=_first_response_says,
        ),
        Figure(
            key="resolution",
            sql=RESOLUTION,
            columns={
                "month": "month",
                "resolved_count": "count",
                "median_resolution_business_hours": "hours",
                "p90_resolution_business_hours": "hours",
                "median_resolution_hours": "hours",
                "p90_resolution_hours": "hours",
            },
            source="tickets",
            draw=_resolution,
            finding=_resolution_says,
        ),
        Figure(
            key="sla",
            sql=SLA,
            columns={
                "month": "month",
                "sla_judged_count": "count",
                "sla_met_rate": "rate",
                "sla_met_low_rate": "rate",
                "sla_met_high_rate": "rate",
            },
            source="tickets",
            draw=_sla,
            finding=_sla_says,
        ),
        Figure(
            key="topics",
            sql=TOPICS,
            columns={"category": "text", "ticket_kind": "text", "ticket_count": "count"},
            source="tickets",
            draw=_topics,
            finding=_topics_say,
        ),
        Figure(
            key="staffing",
            sql=STAFFING,
            columns={
                "weekday": "text",
                "hour_of_day": "text",
                "contacts_per_hour": "number",
                "busy_contacts_per_hour": "number",
                "agents_needed": "count",
                "scheduled_agents": "count",
            },
            source="contacts",
            draw=_staffing,
            finding=_staffing_says,
            scores="scores.agents_needed",
        ),
    ),
)
