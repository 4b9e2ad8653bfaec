"""Who the customers are: recency and frequency, segments and their movement, stages, cohorts."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report import charts
from crm_pipeline.report.heat_map import heat_map
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

_RFM = """
select
    recency_score,
    frequency_score,
    any_value(rfm_segment) as rfm_segment,
    count(*) as customers,
    sum(net_amount) as net_amount
from marts.customer_rfm
where as_of = (select as_of from meta.build)
group by recency_score, frequency_score
order by recency_score desc, frequency_score
"""

_SEGMENTS = """
select segment_name, customer_count as customers, customer_share,
    median_recency_days, median_order_count, mean_net_amount, description
from scores.segment_profiles
order by segment_id
"""

_MOVES = """
select coalesce(from_segment_name, 'not yet scored') as from_segment_name, to_segment_name,
    customer_count as moved_customers, customer_share as moved_share, from_on, to_on
from scores.segment_transitions
where to_on = (select max(to_on) from scores.segment_transitions)
order by from_segment_id nulls last, to_segment_id
"""

_STAGES = """
select as_of as month, lifecycle_stage, count(*) as customers
from marts.customer_lifecycle
group by as_of, lifecycle_stage
order by as_of, lifecycle_stage
"""

_FLOWS = """
select from_stage, to_stage, from_customers, customers, transition_rate
from marts.lifecycle_transitions
where as_of = (select max(as_of) from marts.lifecycle_transitions)
order by from_stage, to_stage
"""

_COHORTS = """
select cohort_month, month_number, cohort_customers, active_customers, retention_rate
from marts.cohort_retention
where is_complete
    and cohort_month >= (select max(cohort_month) from marts.cohort_retention) - interval 23 month
order by cohort_month, month_number
"""

NEW = "not yet scored"
"""Where those come from who were no customers a month ago."""

STAGES = ("introduction", "confirmation", "growth", "maintenance", "leaving")


def _draw_rfm(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    shown = charts.named(frame, words, "rfm_segment")
    return heat_map(
        shown,
        words,
        "frequency_score",
        "recency_score",
        "customers",
        "count",
        y_order=(5, 4, 3, 2, 1),
        x_order=(1, 2, 3, 4, 5),
        step=46,
        tooltip=charts.tips(
            words,
            rfm_segment="text",
            recency_score="count",
            frequency_score="count",
            customers="count",
            net_amount="amount",
        ),
    )


def _find_rfm(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    best = frame[(frame.recency_score == 5) & (frame.frequency_score == 5)]
    total = frame.net_amount.sum()
    return {
        "customers": words.write(best.customers.sum(), "count"),
        "share": words.write(best.customers.sum() / frame.customers.sum(), "rate"),
        "amount_share": words.write(best.net_amount.sum() / total if total else None, "share"),
    }


def _draw_segments(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.bars(frame, words, "segment_name", "customers", "count")


def _draw_moves(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    before = list(dict.fromkeys(frame.from_segment_name))
    after = [name for name in before if name in set(frame.to_segment_name)]
    return heat_map(
        frame,
        words,
        "to_segment_name",
        "from_segment_name",
        "moved_share",
        "rate",
        x_order=after,
        y_order=before,
    )


def _find_moves(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    frame = frame[frame.from_segment_name != NEW]
    moved = frame[frame.from_segment_name != frame.to_segment_name]
    if moved.empty:
        return None
    most = moved.sort_values("moved_customers", ascending=False, kind="stable").iloc[0]
    return {
        "moved": words.write(moved.moved_customers.sum(), "count"),
        "all": words.write(frame.moved_customers.sum(), "count"),
        "since": words.write(most.from_on, "date"),
        "count": words.write(most.moved_customers, "count"),
        "from_name": words.value("segment_name", most.from_segment_name),
        "to_name": words.value("segment_name", most.to_segment_name),
    }


def _draw_stages(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    known = [stage for stage in STAGES if stage in set(frame.lifecycle_stage)]
    others = sorted(set(frame.lifecycle_stage) - set(known))
    return charts.areas(
        frame, words, "month", "customers", "count", "lifecycle_stage", order=[*known, *others]
    )


def _draw_flows(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return heat_map(
        frame,
        words,
        "to_stage",
        "from_stage",
        "transition_rate",
        "rate",
        x_order=STAGES,
        y_order=STAGES,
    )


def _draw_cohorts(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    later = frame[frame.month_number > 0]
    shown = later.assign(cohort_month=[f"{month:%Y-%m}" for month in later.cohort_month])
    tooltip = charts.tips(
        words,
        cohort_month="text",
        month_number="count",
        cohort_customers="count",
        active_customers="count",
        retention_rate="rate",
    )
    chart = heat_map(
        shown,
        words,
        "month_number",
        "cohort_month",
        "retention_rate",
        "rate",
        step=19,
        written=False,
        tooltip=tooltip,
    )
    assert isinstance(chart, alt.Chart)
    return chart


PAGE = Page(
    key="customers",
    figures=(
        Figure(
            key="rfm",
            sql=_RFM,
            columns={
                "recency_score": "count",
                "frequency_score": "count",
                "rfm_segment": "text",
                "customers": "count",
                "net_amount": "amount",
            },
            draw=_draw_rfm,
            finding=_find_rfm,
        ),
        Figure(
            key="segments",
            sql=_SEGMENTS,
            columns={
                "segment_name": "text",
                "customers": "count",
                "customer_share": "rate",
                "median_recency_days": "days",
                "median_order_count": "number",
                "mean_net_amount": "amount",
                "description": "text",
            },
            draw=_draw_segments,
            scores="scores.customer_segments",
        ),
        Figure(
            key="moves",
            sql=_MOVES,
            columns={
                "from_segment_name": "text",
                "to_segment_name": "text",
                "moved_customers": "count",
                "moved_share": "rate",
            },
            draw=_draw_moves,
            finding=_find_moves,
            scores="scores.customer_segments",
        ),
        Figure(
            key="stages",
            sql=_STAGES,
            columns={"month": "month", "lifecycle_stage": "text", "customers": "count"},
            draw=_draw_stages,
            source="customers",
        ),
        Figure(
            key="flows",
            sql=_FLOWS,
            columns={
                "from_stage": "text",
                "to_stage": "text",
                "from_customers": "count",
                "customers": "count",
                "transition_rate": "rate",
            },
            draw=_draw_flows,
            source="customers",
        ),
        Figure(
            key="cohorts",
            sql=_COHORTS,
            columns={
                "cohort_month": "month",
                "month_number": "count",
                "cohort_customers": "count",
                "active_customers": "count",
                "retention_rate": "rate",
            },
            draw=_draw_cohorts,
        ),
    ),
)
