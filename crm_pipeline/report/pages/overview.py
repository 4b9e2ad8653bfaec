"""How the company does: headline figures, what moves them, and what a refresh changed and why."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report import charts
from crm_pipeline.report.page import Card, Cards, Figure, Page
from crm_pipeline.report.words import Words

YEAR = 12

_KPIS = """
select month, net_amount, order_count, active_customers, new_customers, average_order_amount,
    retention_rate, churn_rate, session_conversion_rate, win_rate,
    resolution_sla_met_rate, csat_mean, nps
from marts.kpi_monthly
where is_complete
order by month
"""

_REVENUE = """
select month, net_amount, order_count, average_order_amount, is_complete
from marts.kpi_monthly
where month > (select max(month) from marts.kpi_monthly) - interval 36 month
order by month
"""

_CUSTOMERS = """
select month, 'new' as customer_kind, new_customers as customers
from marts.kpi_monthly
where month > (select max(month) from marts.kpi_monthly) - interval 36 month
union all
select month, 'returning' as customer_kind, returning_customers as customers
from marts.kpi_monthly
where month > (select max(month) from marts.kpi_monthly) - interval 36 month
order by month, customer_kind
"""

_CHANGES = """
select kpi, before_mean, after_mean, change_share,
    difference_low / before_mean as change_low, difference_high / before_mean as change_high,
    window_days, changed_on
from marts.kpi_comparison
where event = 'last 28 days' and before_mean > 0 and difference_low is not null
    and after_day_count > 1
    -- campaigns come in bursts: their days say nothing
    and kpi <> 'touch_count'
order by change_share desc, kpi
"""

_RESTATED = """
select metric, month, old_value, new_value, reason, files
from meta.restatements
where publication = (select max(publication) from meta.publications)
order by month desc, metric
limit 200
"""

_REFRESHES = """
select p.publication, p.as_of,
    count(r.metric) as restated_count,
    p.champions <> q.champions as has_new_models,
    p.settings <> q.settings as has_new_settings,
    p.code_version <> q.code_version as has_new_code
from meta.publications as p
left join meta.publications as q
    on q.publication = (select max(publication) from meta.publications as b
        where b.publication < p.publication)
left join meta.restatements as r on r.publication = p.publication
group by p.publication, p.as_of, p.champions, q.champions, p.settings,
    q.settings, p.code_version, q.code_version
order by p.publication desc
limit 6
"""


def _draw_revenue(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    shown = charts.named(frame, words).assign(
        completeness=[
            words.value("completeness", "complete" if whole else "so far")
            for whole in frame.is_complete
        ]
    )
    order = [words.value("completeness", name) for name in ("complete", "so far")]
    present = [name for name in order if name in set(shown.completeness)]
    colour = charts.colours(
        words, "completeness", order=present, palette=(charts.ACCENT, charts.NEUTRAL)
    )
    return (
        charts.base(shown)
        .mark_bar()
        .encode(
            x=alt.X(**charts.monthly(words, "month")),
            y=alt.Y(**charts.quantity(words, "net_amount", "amount")),
            color=colour if len(present) > 1 else alt.value(charts.ACCENT),
            tooltip=charts.tips(
                words,
                month="month",
                net_amount="amount",
                order_count="count",
                average_order_amount="amount",
            ),
        )
        .properties(height=charts.HEIGHT)
    )


def _find_revenue(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    whole = frame[frame.is_complete == True]  # noqa: E712 - a column of objects
    if len(whole) < 2 * YEAR:
        return None
    now, before = (
        whole.net_amount.iloc[-YEAR:].sum(),
        whole.net_amount.iloc[-2 * YEAR : -YEAR].sum(),
    )
    if before <= 0:
        return None
    return {
        "amount": words.money(now),
        "change": words.change(now / before - 1, "relative"),
    }


def _draw_customers(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.areas(
        frame, words, "month", "customers", "count", "customer_kind", order=("returning", "new")
    )


def _draw_changes(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.intervals(
        frame, words, "kpi", "change_share", "change_low", "change_high", "share", reference=0
    )


def _find_changes(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    clear = frame[(frame.change_low > 0) | (frame.change_high < 0)]
    comma = words.text("shell", "comma")
    named = [
        f"{words.value('kpi', row.kpi)} ({words.change(row.change_share, 'relative')})"
        for row in clear.itertuples()
    ]
    return {
        "count": words.write(len(clear), "count"),
        "all": words.write(len(frame), "count"),
        "names": comma.join(named) or words.text("shell", "none"),
        "day": words.write(frame.changed_on.iloc[0], "date"),
    }


PAGE = Page(
    key="overview",
    cards=Cards(
        sql=_KPIS,
        cards=(
            Card("net_amount", "amount", 1),
            Card("order_count", "count", 1),
            Card("active_customers", "count", 1),
            Card("new_customers", "count", 1),
            Card("average_order_amount", "amount", 1),
            Card("retention_rate", "rate", 1),
            Card("churn_rate", "rate", -1),
            Card("session_conversion_rate", "rate", 1),
            Card("win_rate", "rate", 1),
            Card("resolution_sla_met_rate", "rate", 1),
            Card("csat_mean", "number", 1),
            Card("nps", "number", 1),
        ),
    ),
    figures=(
        Figure(
            key="revenue",
            sql=_REVENUE,
            columns={
                "month": "month",
                "net_amount": "amount",
                "order_count": "count",
                "average_order_amount": "amount",
                "is_complete": "yes_no",
            },
            draw=_draw_revenue,
            finding=_find_revenue,
        ),
        Figure(
            key="customers",
            sql=_CUSTOMERS,
            columns={"month": "month", "customer_kind": "text", "customers": "count"},
            draw=_draw_customers,
        ),
        Figure(
            key="changes",
            sql=_CHANGES,
            columns={
                "kpi": "text",
                "before_mean": "number",
                "after_mean": "number",
                "change_share": "share",
                "change_low": "share",
                "change_high": "share",
            },
            draw=_draw_changes,
            finding=_find_changes,
        ),
        Figure(
            key="restated",
            sql=_RESTATED,
            columns={
                "month": "month",
                "metric": "text",
                "old_value": "number",
                "new_value": "number",
                "reason": "text",
                "files": "text",
            },
        ),
        Figure(
            key="refreshes",
            sql=_REFRESHES,
            columns={
                "publication": "count",
                "as_of": "date",
                "restated_count": "count",
                "has_new_models": "yes_no",
                "has_new_settings": "yes_no",
                "has_new_code": "yes_no",
            },
        ),
    ),
)
