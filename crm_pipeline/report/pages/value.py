"""What customers are worth: how value is spread, who holds it, and how well it was predicted."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report import charts
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

_DISTRIBUTION = """
with scored as (
    select
        clv_amount,
        horizon_days,
        -- the widest of 1, 2 and 5 times a power of ten that is not above the amount
        power(10, floor(log10(greatest(clv_amount, 1)))) as power_of_ten
    from scores.customer_clv
    where status = 'scored'
),

binned as (
    select
        *,
        case
            when clv_amount < 1 then 0
            when clv_amount < 2 * power_of_ten then power_of_ten
            when clv_amount < 5 * power_of_ten then 2 * power_of_ten
            else 5 * power_of_ten
        end as from_amount
    from scored
)

select
    from_amount,
    lead(from_amount) over (order by from_amount) as next_amount,
    any_value(horizon_days) as horizon_days,
    count(*) as customers,
    sum(clv_amount) as clv_amount,
    sum(clv_amount) / sum(sum(clv_amount)) over () as value_share
from binned
group by from_amount
order by from_amount
"""

_LORENZ = """
with held as (
    select 'past' as value_kind, customer_key, greatest(net_amount, 0) as amount
    from marts.customer_value
    union all
    select 'expected' as value_kind, customer_key, clv_amount as amount
    from scores.customer_clv
    where status = 'scored'
),

ranked as (
    select
        value_kind,
        row_number() over least_first as place,
        count(*) over (partition by value_kind) as customers,
        sum(amount) over least_first as amount_so_far,
        sum(amount) over (partition by value_kind) as amount
    from held
    window least_first as (
        partition by value_kind order by amount, customer_key
        rows between unbounded preceding and current row
    )
),

totals as (
    select value_kind, max(customers) as customers, max(amount) as amount
    from ranked
    group by value_kind
    having max(amount) > 0
)

select
    totals.value_kind,
    marks.percent / 100 as customer_share,
    coalesce(ranked.amount_so_far, 0) / totals.amount as value_share
from totals
cross join (select unnest(range(0, 101, 2)) as percent) as marks
left join ranked
    on ranked.value_kind = totals.value_kind
    and ranked.place = totals.customers * marks.percent // 100
order by totals.value_kind, customer_share
"""

_HOLDERS = """
select segment_name, count(*) as customers, sum(clv_amount) as clv_amount,
    sum(clv_amount) / sum(sum(clv_amount)) over () as value_share,
    avg(clv_amount) as mean_clv_amount
from marts.customer_360
where clv_status = 'scored' and segment_name is not null
group by segment_name
order by clv_amount desc, segment_name
"""

_HORIZONS = """
select horizon_days, sum(expected_orders) as expected_orders, sum(clv_amount) as clv_amount
from scores.customer_clv_horizons
where clv_amount is not null
group by horizon_days
order by horizon_days
"""

_PREDICTED = """
select
    cast(right(metric, 2) as integer) as tenth,
    max(value) filter (where metric like 'predicted%') as predicted_amount,
    max(value) filter (where metric like 'happened%') as actual_amount
from meta.model_evaluations
where model = 'clv' and period = 'by tenth'
    and model_version = (select champions ->> '$.clv' from meta.build)
group by tenth
order by tenth
"""


def _range(row: object, words: Words) -> str:
    low, high = f"{row.from_amount:,.0f}", row.next_amount  # type: ignore[attr-defined]
    if high is None or high != high:
        return words.text("shell", "from", low=low)
    return words.text("shell", "from_to", low=low, high=f"{high:,.0f}")


def _draw_distribution(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    shown = frame.assign(value_range=[_range(row, words) for row in frame.itertuples()])
    places = list(shown.value_range)
    return (
        charts.base(shown)
        .mark_bar(color=charts.ACCENT)
        .encode(
            x=alt.X(
                field="value_range",
                type="ordinal",
                sort=places,
                axis=alt.Axis(
                    title=words.label("value_range", "amount"), labelAngle=-45, labelOverlap=False
                ),
            ),
            y=alt.Y(**charts.quantity(words, "customers", "count")),
            tooltip=charts.tips(
                words,
                value_range="text",
                customers="count",
                clv_amount="amount",
                value_share="share",
            ),
        )
        .properties(height=charts.HEIGHT)
    )


def _find_distribution(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    total, customers = frame.clv_amount.sum(), frame.customers.sum()
    return {
        "amount": words.money(total),
        "days": words.write(frame.horizon_days.iloc[0], "days"),
        "customers": words.write(customers, "count"),
        "mean": words.money(total / customers),
    }


def _draw_lorenz(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    x = charts.quantity(words, "customer_share", "rate")
    y = charts.quantity(words, "value_share", "share")
    shown = charts.named(frame, words, "value_kind")
    order = [words.value("value_kind", name) for name in ("past", "expected")]
    equal = (
        alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(strokeDash=[4, 4], color=charts.NEUTRAL, strokeWidth=1.5)
        .encode(x=alt.X(field="x", type="quantitative"), y=alt.Y(field="y", type="quantitative"))
    )
    curves = (
        charts.base(shown)
        .mark_line()
        .encode(
            x=alt.X(**x),
            y=alt.Y(**y),
            color=charts.colours(words, "value_kind", order=order),
            tooltip=charts.tips(
                words, value_kind="text", customer_share="rate", value_share="share"
            ),
        )
    )
    return alt.layer(equal, curves).properties(height=340)


def _find_lorenz(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    below = frame[(frame.value_kind == "past") & (frame.customer_share == 0.8)]
    if below.empty:
        return None
    return {"share": words.write(1 - below.value_share.iloc[0], "share")}


def _draw_holders(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.bars(frame, words, "segment_name", "clv_amount", "amount")


def _draw_horizons(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    shown = frame.assign(
        horizon_days=[f"{days:,} {words.unit('days')}" for days in frame.horizon_days]
    )
    return charts.bars(shown, words, "horizon_days", "clv_amount", "amount")


def _draw_predicted(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    long = frame.melt("tenth", ["predicted_amount", "actual_amount"], "what", "amount_a_customer")
    shown = charts.named(long, words, "what")
    order = [words.value("what", name) for name in ("predicted_amount", "actual_amount")]
    return (
        charts.base(shown)
        .mark_bar()
        .encode(
            x=alt.X(
                field="tenth",
                type="ordinal",
                axis=alt.Axis(title=words.label("tenth"), labelAngle=0),
            ),
            xOffset=alt.XOffset(field="what", type="nominal", sort=order),
            y=alt.Y(**charts.quantity(words, "amount_a_customer", "amount")),
            color=charts.colours(words, "what", order=order),
            tooltip=charts.tips(words, tenth="count", what="text", amount_a_customer="amount"),
        )
        .properties(height=charts.HEIGHT)
    )


PAGE = Page(
    key="value",
    figures=(
        Figure(
            key="distribution",
            sql=_DISTRIBUTION,
            columns={
                "from_amount": "amount",
                "customers": "count",
                "clv_amount": "amount",
                "value_share": "share",
            },
            draw=_draw_distribution,
            finding=_find_distribution,
            scores="scores.customer_clv",
        ),
        Figure(
            key="lorenz",
            sql=_LORENZ,
            columns={"value_kind": "text", "customer_share": "rate", "value_share": "share"},
            draw=_draw_lorenz,
            finding=_find_lorenz,
        ),
        Figure(
            key="holders",
            sql=_HOLDERS,
            columns={
                "segment_name": "text",
                "customers": "count",
                "clv_amount": "amount",
                "value_share": "share",
                "mean_clv_amount": "amount",
            },
            draw=_draw_holders,
            scores="scores.customer_clv",
        ),
        Figure(
            key="horizons",
            sql=_HORIZONS,
            columns={"horizon_days": "days", "expected_orders": "number", "clv_amount": "amount"},
            draw=_draw_horizons,
            scores="scores.customer_clv",
        ),
        Figure(
            key="predicted",
            sql=_PREDICTED,
            columns={"tenth": "count", "predicted_amount": "amount", "actual_amount": "amount"},
            draw=_draw_predicted,
            scores="scores.customer_clv",
        ),
    ),
)
