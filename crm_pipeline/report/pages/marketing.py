"""Marketing: what campaigns bring and cause, where customers come from, who may be addressed."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report.charts import (
    BAD,
    GOOD,
    LABELS,
    NEUTRAL,
    Drawn,
    areas,
    bars,
    base,
    intervals,
    legend,
    named,
    quantity,
    tall,
    tips,
)
from crm_pipeline.report.compared import melted, side_by_side
from crm_pipeline.report.page import Figure, Page
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
    coalesce(campaign_name, campaign_key) as campaign,
    channel,
    started_on,
    cost_amount,
    revenue_amount,
    return_on_spend,
    attributed_amount
from marts.campaign_performance
left join credited using (campaign_key)
where cost_amount is not null or revenue_amount is not null or attributed_amount is not null
order by started_on desc nulls last, campaign_key
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

EXPERIMENTS = """
select
    coalesce(campaign_name, campaign_key) as campaign,
    experiment_arm,
    outcome,
    treated_count,
    control_count,
    treated_mean,
    control_mean,
    effect,
    effect_low,
    effect_high,
    adjusted_p_value,
    detectable_effect,
    verdict
from scores.experiment_results
left join marts.dim_campaigns using (campaign_key)
where outcome <> 'amount' and method <> 'cuped'
order by outcome, started_on desc nulls last, campaign_key, experiment_arm
limit 60
"""

AMOUNTS = """
select
    coalesce(campaign_name, campaign_key) as campaign,
    experiment_arm,
    treated_count,
    control_count,
    treated_mean as treated_amount,
    control_mean as control_amount,
    effect as effect_amount,
    effect_low as effect_low_amount,
    effect_high as effect_high_amount,
    adjusted_p_value,
    verdict
from scores.experiment_results
left join marts.dim_campaigns using (campaign_key)
where outcome = 'amount' and method <> 'cuped'
order by started_on desc nulls last, campaign_key, experiment_arm
limit 40
"""

OFFERS = """
select
    offer,
    channel,
    count(*) as customers,
    sum(expected_gain_amount) as expected_gain_amount,
    sum(cost_amount) as cost_amount
from scores.offer_allocation
group by offer, channel
order by expected_gain_amount desc, offer, channel
"""

ACQUISITION = """
with recent as (
    select month from marts.kpi_monthly order by month desc limit 24
)

select month, acquisition_channel, new_customers, value_amount, cost_amount, cost_per_customer_amount
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

VERDICTS = (
    "raises",
    "lowers",
    "no_effect_found",
    "too_little_data",
    "not_comparable",
    "sample_ratio_mismatch",
)
VERDICT_COLOURS = (GOOD, BAD, NEUTRAL, "#56B4E9", "#E69F00", "#CC79A7")


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


def _by_verdict(frame: pd.DataFrame, words: Words, effect: str, kind: str) -> Drawn:
    """Draw differences with their intervals: the verdict in colour, the outcome by the shape."""
    several = frame["experiment_arm"].nunique() > 1
    shown = named(frame, words, "verdict", "outcome").assign(
        campaign=[
            f"{campaign}, {arm}" if several else campaign
            for campaign, arm in zip(frame["campaign"], frame["experiment_arm"], strict=True)
        ]
    )
    places = list(dict.fromkeys(shown["campaign"]))
    outcomes = list(dict.fromkeys(shown["outcome"]))
    met = [one for one in VERDICTS if one in set(frame["verdict"])]
    low, high = effect.replace("effect", "effect_low"), effect.replace("effect", "effect_high")
    by_outcome = {"field": "outcome", "type": "nominal", "sort": outcomes}
    common = {
        "y": alt.Y(
            field="campaign",
            type="nominal",
            sort=places,
            axis=alt.Axis(title=None, labelLimit=LABELS),
        ),
        "yOffset": alt.YOffset(**by_outcome),
        "color": alt.Color(
            field="verdict",
            type="nominal",
            scale=alt.Scale(
                domain=[words.value("verdict", one) for one in met],
                range=[VERDICT_COLOURS[VERDICTS.index(one)] for one in met],
            ),
            legend=legend(words, "verdict"),
        ),
        "tooltip": tips(
            words,
            campaign="text",
            outcome="text",
            verdict="text",
            **{effect: kind, low: kind, high: kind},
        ),
    }
    none = (
        alt.Chart(alt.Data(values=[{"zero": 0}]))
        .mark_rule(strokeDash=[4, 4], color=NEUTRAL)
        .encode(x=alt.X(field="zero", type="quantitative"))
    )
    spans = (
        base(shown)
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X(**quantity(words, low, kind, zero=False, named_as=effect)),
            x2=alt.X2(field=high),
            **common,
        )
    )
    points = (
        base(shown)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=alt.X(**quantity(words, effect, kind, zero=False, named_as=effect)),
            shape=alt.Shape(
                **by_outcome, legend=legend(words, "outcome") if len(outcomes) > 1 else None
            ),
            **common,
        )
    )
    height = tall(len(places), 12 + 16 * len(outcomes))
    return alt.layer(none, spans, points).properties(height=height)


def _experiments(frame: pd.DataFrame, words: Words) -> Drawn:
    return _by_verdict(frame, words, "effect", "share")


def _amounts(frame: pd.DataFrame, words: Words) -> Drawn:
    return _by_verdict(frame.assign(outcome="amount"), words, "effect_amount", "amount")


def _experiments_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    bought = frame[frame["outcome"] == "conversion"]
    counted = bought if len(bought) else frame
    return {
        "raised": words.write((counted["verdict"] == "raises").sum(), "count"),
        "all": words.write(len(counted), "count"),
        "outcome": words.value("outcome", counted["outcome"].iloc[0]),
    }


def _offers(frame: pd.DataFrame, words: Words) -> Drawn:
    shown = frame.assign(offer=[words.value("offer", one) for one in frame["offer"]])
    both = melted(shown, ["offer"], ["expected_gain_amount", "cost_amount"])
    return side_by_side(both, words, "offer", "value", "amount", "measure")


def _offers_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    return {
        "customers": words.write(frame["customers"].sum(), "count"),
        "gain": words.write(frame["expected_gain_amount"].sum(), "amount"),
        "cost": words.write(frame["cost_amount"].sum(), "amount"),
    }


def _acquisition(frame: pd.DataFrame, words: Words) -> Drawn:
    totals = frame.groupby("acquisition_channel", sort=True)["new_customers"].sum()
    order = sorted(totals.index, key=lambda one: (-totals[one], one))
    return areas(
        frame, words, "month", "new_customers", "count", "acquisition_channel", order=order
    )


def _consents(frame: pd.DataFrame, words: Words) -> Drawn:
    shown = frame.assign(
        channel=[
            words.text(
                "figures",
                "consents",
                "row",
                channel=words.value("channel", channel),
                purpose=words.value("purpose", purpose),
            )
            for channel, purpose in zip(frame["channel"], frame["purpose"], strict=True)
        ]
    )
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


PAGE = Page(
    key="marketing",
    figures=(
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
        ),
        Figure(
            key="experiments",
            sql=EXPERIMENTS,
            columns={
                "campaign": "text",
                "experiment_arm": "text",
                "outcome": "text",
                "treated_count": "count",
                "control_count": "count",
                "treated_mean": "rate",
                "control_mean": "rate",
                "effect": "share",
                "effect_low": "share",
                "effect_high": "share",
                "adjusted_p_value": "score",
                "detectable_effect": "share",
                "verdict": "text",
            },
            source="experiments",
            draw=_experiments,
            finding=_experiments_say,
        ),
        Figure(
            key="experiment_amounts",
            sql=AMOUNTS,
            columns={
                "campaign": "text",
                "experiment_arm": "text",
                "treated_count": "count",
                "control_count": "count",
                "treated_amount": "amount",
                "control_amount": "amount",
                "effect_amount": "amount",
                "effect_low_amount": "amount",
                "effect_high_amount": "amount",
                "adjusted_p_value": "score",
                "verdict": "text",
            },
            source="experiment_amounts",
            is_optional=True,
            draw=_amounts,
        ),
        Figure(
            key="offers",
            sql=OFFERS,
            columns={
                "offer": "text",
                "channel": "text",
                "customers": "count",
                "expected_gain_amount": "amount",
                "cost_amount": "amount",
            },
            source="offers",
            draw=_offers,
            finding=_offers_say,
        ),
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
    ),
)
