"""What campaigns bring: who responds and buys, what they cost, which channel gets the credit."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crm_pipeline.report.charts import Drawn, intervals
from crm_pipeline.report.compared import melted, side_by_side
from crm_pipeline.report.page import Figure
from crm_pipeline.report.words import Words

RATES = """
with rates as (
    select
        campaign_key,
        campaign_name,
        channel,
        started_on,
        reached_count,
        'response' as outcome,
        response_count as people_count,
        response_rate as rate,
        response_low_rate as low_rate,
        response_high_rate as high_rate
    from marts.campaign_performance
    union all
    select
        campaign_key,
        campaign_name,
        channel,
        started_on,
        reached_count,
        'conversion' as outcome,
        conversion_count as people_count,
        conversion_rate as rate,
        conversion_low_rate as low_rate,
        conversion_high_rate as high_rate
    from marts.campaign_performance
)

select
    coalesce(campaign_name, campaign_key) as campaign,
    channel,
    started_on,
    outcome,
    reached_count,
    people_count,
    rate,
    low_rate,
    high_rate
from rates
where rate is not null
order by started_on desc nulls last, campaign_key, outcome desc
limit 40
"""

RETURN = """
with credited as (
    select campaign_key, sum(attributed_amount) as attributed_amount
    from marts.attribution
    where attribution_model = 'linear'
    group by campaign_key
)

select
    coalesce(brought.campaign_name, campaign_key) as campaign,
    brought.channel,
    brought.started_on,
    brought.cost_amount,
    revenue_amount,
    return_on_spend,
    attributed_amount
from marts.campaign_performance as brought
join marts.dim_campaigns using (campaign_key)
left join credited using (campaign_key)
where
    coalesce(brought.cost_amount, revenue_amount, attributed_amount) is not null
    -- what advertising brings that is sent to nobody: the figure of new customers by channel
    and (touch_count > 0 or purpose is distinct from 'acquisition')
order by brought.started_on desc nulls last, campaign_key
limit 20
"""

ATTRIBUTION = """
select
    channel,
    attribution_model,
    sum(order_count) as credited_order_count,
    sum(attributed_amount) as attributed_amount
from marts.attribution
group by channel, attribution_model
order by
    sum(sum(attributed_amount)) over (partition by channel) desc,
    channel,
    case attribution_model when 'first' then 1 when 'linear' then 2 else 3 end
"""


def _rates(frame: pd.DataFrame, words: Words) -> Drawn:
    return intervals(
        frame,
        words,
        "campaign",
        "rate",
        "low_rate",
        "high_rate",
        "rate",
        colour="outcome",
        order=["response", "conversion"],
    )


def _return(frame: pd.DataFrame, words: Words) -> Drawn:
    measures = ["cost_amount", "attributed_amount", "revenue_amount"]
    known = [name for name in measures if frame[name].notna().any()]
    several = melted(frame, ["campaign"], known)
    return side_by_side(several, words, "campaign", "value", "amount", "measure", order=known)


def _return_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    known = frame[frame["cost_amount"].notna() & frame["attributed_amount"].notna()]
    if known.empty:
        return None
    return {
        "cost": words.write(known["cost_amount"].sum(), "amount"),
        "credited": words.write(known["attributed_amount"].sum(), "amount"),
    }


def _attribution(frame: pd.DataFrame, words: Words) -> Drawn:
    return side_by_side(
        frame,
        words,
        "channel",
        "attributed_amount",
        "amount",
        "attribution_model",
        order=["first", "linear", "last"],
    )


FIGURES = (
    Figure(
        key="rates",
        sql=RATES,
        columns={
            "campaign": "text",
            "channel": "text",
            "started_on": "date",
            "outcome": "text",
            "reached_count": "count",
            "people_count": "count",
            "rate": "rate",
            "low_rate": "rate",
            "high_rate": "rate",
        },
        source="campaigns",
        draw=_rates,
    ),
    Figure(
        key="return",
        sql=RETURN,
        columns={
            "campaign": "text",
            "channel": "text",
            "started_on": "date",
            "cost_amount": "amount",
            "attributed_amount": "amount",
            "revenue_amount": "amount",
            "return_on_spend": "number",
        },
        source="campaigns",
        draw=_return,
        finding=_return_says,
        is_optional=True,
    ),
    Figure(
        key="attribution",
        sql=ATTRIBUTION,
        columns={
            "channel": "text",
            "attribution_model": "text",
            "credited_order_count": "count",
            "attributed_amount": "amount",
        },
        source="campaigns_and_orders",
        draw=_attribution,
        is_optional=True,
    ),
)
