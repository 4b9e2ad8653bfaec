"""What campaigns cause beside those held back, and which offers should follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from crm_pipeline.report.charts import (
    BAD,
    GOOD,
    LABELS,
    NEUTRAL,
    Drawn,
    base,
    legend,
    named,
    quantity,
    tall,
    tips,
)
from crm_pipeline.report.compared import melted, side_by_side
from crm_pipeline.report.page import Figure
from crm_pipeline.report.words import Words

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

VERDICTS = (
    "raises",
    "lowers",
    "no_effect_found",
    "too_little_data",
    "not_comparable",
    "sample_ratio_mismatch",
)
VERDICT_COLOURS = (GOOD, BAD, NEUTRAL, "#56B4E9", "#E69F00", "#CC79A7")


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
    by_outcome: dict[str, Any] = {"field": "outcome", "type": "nominal", "sort": outcomes}
    common: dict[str, Any] = {
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


def _experiments_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    bought = frame[frame["outcome"] == "conversion"]
    counted = bought if len(bought) else frame
    return {
        "raised": words.write((counted["verdict"] == "raises").sum(), "count"),
        "all": words.write(len(counted), "count"),
        "outcome": words.value("outcome", counted["outcome"].iloc[0]),
    }


def _amounts(frame: pd.DataFrame, words: Words) -> Drawn:
    return _by_verdict(frame.assign(outcome="amount"), words, "effect_amount", "amount")


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


FIGURES = (
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
)
