"""Sales: what is in the making, where it is lost, how fast it goes, and what is to be expected."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crm_pipeline.report.charts import Drawn, areas, intervals, lines, row_names
from crm_pipeline.report.compared import expected, melted, side_by_side
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

PIPELINE = """
select
    stage,
    opportunity_count,
    open_amount,
    weighted_amount,
    win_rate,
    median_age_days,
    expected_close_on
from marts.sales_pipeline
order by source, stage_order, stage
"""

FUNNEL = """
select
    stage,
    entered_count,
    advanced_count,
    lost_count,
    waiting_count,
    conversion_rate,
    conversion_low_rate,
    conversion_high_rate,
    median_days_in_stage
from marts.sales_stage_conversion
order by source, stage_order, stage
"""

WINS = """
select month, won_count, lost_count, win_rate, win_low_rate, win_high_rate, won_amount
from marts.sales_performance
where dimension = 'all' and month is not null
order by month
"""

VELOCITY = """
select month, sales_velocity_amount, won_count, average_deal_amount, median_cycle_days
from marts.sales_performance
where dimension = 'all' and month is not null
order by month
"""

WHERE_WON = """
select
    dimension,
    dimension_value,
    decided_count,
    won_count,
    win_rate,
    win_low_rate,
    win_high_rate,
    won_amount
from marts.sales_performance
where period = 'all' and dimension in ('region', 'size_band', 'team') and decided_count > 0
order by dimension, win_rate desc, dimension_value
"""

KINDS = """
with sold as (
    select
        cast(date_trunc('month', ordered_on) as date) as month,
        case
            when order_number = 1 then 'first order'
            when order_number > 1 then 'repeat order'
            else 'unknown customer'
        end as order_kind,
        gross_amount
    from marts.fct_orders
)

select month, order_kind, count(*) as order_count, sum(gross_amount) as gross_amount
from sold
where month in (select month from marts.kpi_monthly where is_complete order by month desc limit 24)
group by month, order_kind
order by month, order_kind
"""

FORECAST = """
with past as (
    select month, gross_amount
    from marts.kpi_monthly
    where is_complete
    order by month desc
    limit 24
),

ahead as (
    select period_start_on as month, forecast, low_80, high_80, low_95, high_95
    from scores.sales_forecast
    where
        measure = 'gross_amount' and dimension = 'total' and period_grain = 'month'
        and status = 'scored'
)

select month, gross_amount, forecast, low_80, high_80, low_95, high_95
from past
full join ahead using (month)
where exists (select 1 from ahead)
order by month
"""

BACKTEST = """
select
    measure,
    period_grain,
    method,
    forecast_count,
    mase,
    naive_mase,
    coverage_80_rate,
    coverage_95_rate
from scores.sales_forecast_accuracy
where dimension = 'total'
order by measure, case period_grain when 'day' then 1 when 'week' then 2 else 3 end
"""


def _pipeline(frame: pd.DataFrame, words: Words) -> Drawn:
    both = melted(frame, ["stage"], ["open_amount", "weighted_amount"])
    return side_by_side(both, words, "stage", "value", "amount", "measure")


def _pipeline_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    return {
        "count": words.write(frame["opportunity_count"].sum(), "count"),
        "open": words.write(frame["open_amount"].sum(), "amount"),
        "weighted": words.write(frame["weighted_amount"].sum(), "amount"),
    }


def _funnel(frame: pd.DataFrame, words: Words) -> Drawn:
    return intervals(
        frame,
        words,
        "stage",
        "conversion_rate",
        "conversion_low_rate",
        "conversion_high_rate",
        "rate",
    )


def _funnel_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    known = frame[frame["conversion_rate"].notna()]
    if known.empty:
        return None
    worst = min(known.to_dict("records"), key=lambda row: row["conversion_rate"])
    return {
        "stage": words.value("stage", worst["stage"]),
        "rate": words.write(worst["conversion_rate"], "rate"),
        "lost": words.write(worst["lost_count"], "count"),
    }


def _win_rate(frame: pd.DataFrame, words: Words) -> Drawn:
    return lines(
        frame, words, "month", "win_rate", "rate", low="win_low_rate", high="win_high_rate"
    )


def _velocity(frame: pd.DataFrame, words: Words) -> Drawn:
    return lines(frame, words, "month", "sales_velocity_amount", "amount")


def _where_won(frame: pd.DataFrame, words: Words) -> Drawn:
    names = row_names(frame, words, "where_won", dimension="dimension", value="dimension_value")
    shown = frame.assign(dimension_value=names)
    return intervals(
        shown, words, "dimension_value", "win_rate", "win_low_rate", "win_high_rate", "rate"
    )


def _kinds(frame: pd.DataFrame, words: Words) -> Drawn:
    kinds = ("repeat order", "first order", "unknown customer")
    order = [kind for kind in kinds if kind in set(frame["order_kind"])]
    return areas(frame, words, "month", "gross_amount", "amount", "order_kind", order=order)


def _kinds_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    last = frame[frame["month"] == frame["month"].max()]
    repeat = last[last["order_kind"] == "repeat order"]["gross_amount"].sum()
    return {
        "month": words.month(last["month"].iloc[0]),
        "share": words.write(repeat / (last["gross_amount"].sum() or 1), "rate"),
        "amount": words.write(last["gross_amount"].sum(), "amount"),
    }


def _forecast(frame: pd.DataFrame, words: Words) -> Drawn:
    bands = [("low_95", "high_95"), ("low_80", "high_80")]
    return expected(frame, words, "month", "gross_amount", "forecast", "amount", bands)


def _forecast_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    ahead = frame[frame["forecast"].notna()].to_dict("records")
    if not ahead:
        return None
    first = ahead[0]
    return {
        "month": words.month(first["month"]),
        "forecast": words.write(first["forecast"], "amount"),
        "low": words.write(first["low_80"], "amount"),
        "high": words.write(first["high_80"], "amount"),
    }


def _backtest(frame: pd.DataFrame, words: Words) -> Drawn:
    names = row_names(frame, words, "backtest", measure="measure", grain="period_grain")
    shown = frame.assign(series=names)
    both = melted(shown, ["series"], ["mase", "naive_mase"]).rename(columns={"value": "error"})
    return side_by_side(both, words, "series", "error", "number", "measure")


def _backtest_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    better = [row["mase"] < row["naive_mase"] for row in frame.to_dict("records")]
    return {
        "better": words.write(sum(better), "count"),
        "all": words.write(len(better), "count"),
    }


PAGE = Page(
    key="sales",
    figures=(
        Figure(
            key="pipeline",
            sql=PIPELINE,
            columns={
                "stage": "text",
                "opportunity_count": "count",
                "open_amount": "amount",
                "weighted_amount": "amount",
                "win_rate": "rate",
                "median_age_days": "days",
                "expected_close_on": "date",
            },
            source="opportunities",
            draw=_pipeline,
            finding=_pipeline_says,
        ),
        Figure(
            key="funnel",
            sql=FUNNEL,
            columns={
                "stage": "text",
                "entered_count": "count",
                "advanced_count": "count",
                "lost_count": "count",
                "waiting_count": "count",
                "conversion_rate": "rate",
                "conversion_low_rate": "rate",
                "conversion_high_rate": "rate",
                "median_days_in_stage": "days",
            },
            source="opportunities",
            draw=_funnel,
            finding=_funnel_says,
            is_optional=True,
        ),
        Figure(
            key="win_rate",
            sql=WINS,
            columns={
                "month": "month",
                "won_count": "count",
                "lost_count": "count",
                "win_rate": "rate",
                "win_low_rate": "rate",
                "win_high_rate": "rate",
                "won_amount": "amount",
            },
            source="opportunities",
            draw=_win_rate,
            is_optional=True,
        ),
        Figure(
            key="velocity",
            sql=VELOCITY,
            columns={
                "month": "month",
                "sales_velocity_amount": "amount",
                "won_count": "count",
                "average_deal_amount": "amount",
                "median_cycle_days": "days",
            },
            source="opportunities",
            draw=_velocity,
            is_optional=True,
        ),
        Figure(
            key="where_won",
            sql=WHERE_WON,
            columns={
                "dimension": "text",
                "dimension_value": "text",
                "decided_count": "count",
                "won_count": "count",
                "win_rate": "rate",
                "win_low_rate": "rate",
                "win_high_rate": "rate",
                "won_amount": "amount",
            },
            source="opportunities",
            draw=_where_won,
            is_optional=True,
        ),
        Figure(
            key="kinds",
            sql=KINDS,
            columns={
                "month": "month",
                "order_kind": "text",
                "order_count": "count",
                "gross_amount": "amount",
            },
            draw=_kinds,
            finding=_kinds_say,
        ),
        Figure(
            key="forecast",
            sql=FORECAST,
            columns={
                "month": "month",
                "gross_amount": "amount",
                "forecast": "amount",
                "low_80": "amount",
                "high_80": "amount",
                "low_95": "amount",
                "high_95": "amount",
            },
            draw=_forecast,
            finding=_forecast_says,
            scores="scores.sales_forecast",
        ),
        Figure(
            key="backtest",
            sql=BACKTEST,
            columns={
                "measure": "text",
                "period_grain": "text",
                "method": "text",
                "forecast_count": "count",
                "mase": "number",
                "naive_mase": "number",
                "coverage_80_rate": "rate",
                "coverage_95_rate": "rate",
            },
            draw=_backtest,
            finding=_backtest_says,
            scores="scores.sales_forecast",
        ),
    ),
)
