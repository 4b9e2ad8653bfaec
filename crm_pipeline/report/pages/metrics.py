"""Every figure by its name: its definition, the last complete month, and what to ask it by."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

AREAS = {
    "purchases": "orders",
    "sales": "opportunities",
    "marketing": "campaigns",
    "service": "tickets",
    "satisfaction": "answers",
    "web": "sessions",
}
"""Area of ``meta.metrics`` -> what an area without figures lacks."""

_SQL = """
with months as (
    select max(month) as last_month from marts.metrics_monthly where is_complete
),

-- without any facts an area's counts are 0, and say nothing
known as (
    select distinct m.area
    from meta.metrics as m
    inner join marts.metrics_monthly as v on v.metric = m.metric
    where v.value <> 0
)

select m.label, m.metric as metric_name, m.unit, s.last_month as month, now.value as last_value,
    before.value as month_before_value, ago.value as year_ago_value, m.description
from meta.metrics as m
inner join known as k on k.area = m.area
cross join months as s
left join marts.metrics_monthly as now on now.metric = m.metric and now.month = s.last_month
left join marts.metrics_monthly as before
    on before.metric = m.metric and before.month = s.last_month - interval 1 month
left join marts.metrics_monthly as ago
    on ago.metric = m.metric and ago.month = s.last_month - interval 12 month
where m.area = '{area}'
    and coalesce(now.value, before.value, ago.value) is not null
order by m.label, m.metric
"""


def _find_month(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    return {"count": words.write(len(frame), "count"), "month": words.month(frame.month.iloc[0])}


PAGE = Page(
    key="metrics",
    figures=tuple(
        Figure(
            key=area,
            sql=_SQL.format(area=area),
            source=source,
            finding=_find_month,
            columns={
                "label": "text",
                "last_value": "unit",
                "month_before_value": "unit",
                "year_ago_value": "unit",
                "unit": "text",
                "description": "text",
                "metric_name": "text",
            },
        )
        for area, source in AREAS.items()
    ),
)
