"""Whom marketing reaches: new customers, who may be addressed, how visits to the site end."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crm_pipeline.report.charts import GOOD, NEUTRAL, Drawn, areas, bars, row_names
from crm_pipeline.report.page import Figure
from crm_pipeline.report.words import Words

ACQUISITION = """
with recent as (
    select month from marts.kpi_monthly order by month desc limit 24
)

select
    month,
    acquisition_channel,
    new_customers,
    value_amount,
    cost_amount,
    cost_per_customer_amount
from marts.acquisition_cost
where month in (select month from recent) and new_customers > 0
order by month, acquisition_channel
"""

CONSENTS = """
select
    purpose,
    channel,
    case when is_granted then 'granted' else 'refused' end as answer,
    count(*) as customers
from marts.customer_consents
group by purpose, channel, is_granted
order by purpose, channel, is_granted desc
"""

FUNNEL = """
with recent as (
    select
        sum(session_count) as session,
        sum(product_view_sessions) as product_view,
        sum(cart_sessions) as cart,
        sum(checkout_sessions) as checkout,
        sum(order_sessions) as placed_order
    from marts.web_funnel
    where month in (select month from marts.kpi_monthly order by month desc limit 12)
),

steps as (
    select unnest([1, 2, 3, 4, 5]) as step_number, unnest(
        ['session', 'product_view', 'cart', 'checkout', 'order']
    ) as step, unnest([session, product_view, cart, checkout, placed_order]) as session_count
    from recent
)

select step, session_count, session_count / nullif(first_value(session_count) over (
    order by step_number
), 0) as share_of_sessions
from steps
where session_count is not null
order by step_number
"""


def _acquisition(frame: pd.DataFrame, words: Words) -> Drawn:
    totals = frame.groupby("acquisition_channel", sort=True)["new_customers"].sum()
    order = sorted(totals.index, key=lambda one: (-totals[one], one))
    return areas(
        frame, words, "month", "new_customers", "count", "acquisition_channel", order=order
    )


def _consents(frame: pd.DataFrame, words: Words) -> Drawn:
    names = row_names(frame, words, "consents", channel="channel", purpose="purpose")
    shown = frame.assign(channel=names)
    return bars(
        shown,
        words,
        "channel",
        "customers",
        "count",
        colour="answer",
        order=["granted", "refused"],
        palette=(GOOD, NEUTRAL),
    )


def _funnel(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(frame, words, "step", "session_count", "count")


def _funnel_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    last = frame.to_dict("records")[-1]
    if last["step"] != "order":
        return None
    return {"rate": words.write(last["share_of_sessions"], "rate")}


FIGURES = (
    Figure(
        key="acquisition",
        sql=ACQUISITION,
        columns={
            "month": "month",
            "acquisition_channel": "text",
            "new_customers": "count",
            "value_amount": "amount",
            "cost_amount": "amount",
            "cost_per_customer_amount": "amount",
        },
        draw=_acquisition,
    ),
    Figure(
        key="consents",
        sql=CONSENTS,
        columns={
            "purpose": "text",
            "channel": "text",
            "answer": "text",
            "customers": "count",
        },
        source="consents",
        draw=_consents,
    ),
    Figure(
        key="funnel",
        sql=FUNNEL,
        columns={"step": "text", "session_count": "count", "share_of_sessions": "rate"},
        source="sessions",
        draw=_funnel,
        finding=_funnel_says,
    ),
)
