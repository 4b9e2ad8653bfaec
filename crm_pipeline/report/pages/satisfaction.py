"""Satisfaction: would customers recommend us, are they content, and what do they write?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crm_pipeline.report.charts import BAD, GOOD, NEUTRAL, Drawn, bars, intervals, lines
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

NPS = """
select month, survey, nps_count, nps, nps_low, nps_high
from marts.satisfaction_monthly
where dimension_kind = 'all' and nps is not null
order by month, survey
"""

CSAT = """
select
    month,
    survey,
    lowest_score,
    highest_score,
    response_count,
    top_box_rate,
    top_box_low_rate,
    top_box_high_rate,
    score_mean,
    score_mean_low,
    score_mean_high
from marts.satisfaction_monthly
where dimension_kind = 'all' and nps is null and response_count > 0
order by month, survey, highest_score
"""

WHO = """
select
    dimension_kind,
    dimension_value,
    survey,
    response_count,
    top_box_rate,
    top_box_low_rate,
    top_box_high_rate,
    score_mean,
    nps,
    nps_low,
    nps_high
from marts.satisfaction_summary
where dimension_kind in ('segment', 'channel', 'category') and response_count >= 5
order by dimension_kind desc, dimension_value, survey, highest_score
limit 60
"""

DRIVERS = """
select
    survey,
    driver_kind,
    driver,
    driver_count,
    response_count,
    effect_share,
    effect_low_share,
    effect_high_share,
    adjusted_p_value,
    verdict
from scores.satisfaction_drivers
order by survey, effect_share desc, driver_kind, driver
limit 40
"""

SENTIMENT = """
select
    month,
    survey,
    comment_count,
    sentiment_mean,
    sentiment_mean_low,
    sentiment_mean_high,
    positive_share,
    negative_share
from marts.satisfaction_monthly
where dimension_kind = 'all' and sentiment_mean is not null and comment_count >= 5
order by month, survey, highest_score
"""

TOPICS = """
with commented as (
    select
        unnest(string_split(comment_topics, ',')) as topic,
        case
            when comment_sentiment > 0 then 'positive'
            when comment_sentiment < 0 then 'negative'
            else 'neither'
        end as tone
    from marts.fct_survey_responses
    where comment_topics <> ''
)

select topic, tone, count(*) as comment_count
from commented
group by topic, tone
order by sum(count(*)) over (partition by topic) desc, topic, tone
"""

WRITERS = """
select
    comment_language,
    method,
    count(*) as comment_count,
    count(*) filter (where content_probability >= 0.5) as content_count,
    avg(content_probability) as content_mean
from scores.comment_sentiment
where content_probability is not null
group by comment_language, method
order by comment_count desc, comment_language, method
"""

TONES = ("positive", "neither", "negative")


def _nps(frame: pd.DataFrame, words: Words) -> Drawn:
    several = frame["survey"].nunique() > 1
    return lines(
        frame,
        words,
        "month",
        "nps",
        "number",
        series="survey" if several else None,
        low="nps_low",
        high="nps_high",
    )


def _nps_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    last = frame.iloc[-1]
    return {
        "month": words.month(last["month"]),
        "nps": words.write(last["nps"], "count"),
        "low": words.write(last["nps_low"], "count"),
        "high": words.write(last["nps_high"], "count"),
        "count": words.write(last["nps_count"], "count"),
    }


def _csat(frame: pd.DataFrame, words: Words) -> Drawn:
    return lines(
        frame,
        words,
        "month",
        "top_box_rate",
        "rate",
        series="survey" if frame["survey"].nunique() > 1 else None,
        low="top_box_low_rate",
        high="top_box_high_rate",
    )


def _csat_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    last = frame.iloc[-1]
    return {
        "month": words.month(last["month"]),
        "survey": words.value("survey", last["survey"]),
        "rate": words.write(last["top_box_rate"], "rate"),
        "low": words.write(last["top_box_low_rate"], "rate"),
        "high": words.write(last["top_box_high_rate"], "rate"),
        "count": words.write(last["response_count"], "count"),
    }


def _who(frame: pd.DataFrame, words: Words) -> Drawn:
    shown = frame.assign(
        dimension_value=[
            words.text(
                "figures",
                "who",
                "row",
                kind=words.value("dimension_kind", kind),
                value=words.value("rfm_segment" if kind == "segment" else "channel", value),
            )
            for kind, value in zip(frame["dimension_kind"], frame["dimension_value"], strict=True)
        ]
    )
    return intervals(
        shown,
        words,
        "dimension_value",
        "top_box_rate",
        "top_box_low_rate",
        "top_box_high_rate",
        "rate",
        colour="survey" if frame["survey"].nunique() > 1 else None,
    )


def _drivers(frame: pd.DataFrame, words: Words) -> Drawn:
    shown = frame.assign(
        driver=[
            words.text(
                "figures",
                "drivers",
                "row",
                survey=words.value("survey", row["survey"]),
                driver=words.value(
                    row["driver_kind"] if row["driver_kind"] != "category" else "driver",
                    row["driver"],
                ),
            )
            for row in frame.to_dict("records")
        ]
    )
    return intervals(
        shown,
        words,
        "driver",
        "effect_share",
        "effect_low_share",
        "effect_high_share",
        "share",
        reference=0,
    )


def _drivers_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    return {
        "raise": words.write((frame["verdict"] == "raises").sum(), "count"),
        "lower": words.write((frame["verdict"] == "lowers").sum(), "count"),
        "all": words.write(len(frame), "count"),
    }


def _sentiment(frame: pd.DataFrame, words: Words) -> Drawn:
    return lines(
        frame,
        words,
        "month",
        "sentiment_mean",
        "number",
        series="survey" if frame["survey"].nunique() > 1 else None,
        low="sentiment_mean_low",
        high="sentiment_mean_high",
    )


def _topics(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(
        frame,
        words,
        "topic",
        "comment_count",
        "count",
        colour="tone",
        order=TONES,
        palette=(GOOD, NEUTRAL, BAD),
    )


def _topics_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    shares = {}
    for topic, rows in frame.groupby("topic", sort=True):
        bad = rows[rows["tone"] == "negative"]["comment_count"].sum()
        if rows["comment_count"].sum() >= 20:
            shares[topic] = bad / rows["comment_count"].sum()
    if not shares:
        return None
    worst = max(sorted(shares), key=lambda topic: shares[topic])
    return {"topic": words.value("topic", worst), "share": words.write(shares[worst], "rate")}


PAGE = Page(
    key="satisfaction",
    figures=(
        Figure(
            key="nps",
            sql=NPS,
            columns={
                "month": "month",
                "survey": "text",
                "nps_count": "count",
                "nps": "number",
                "nps_low": "number",
                "nps_high": "number",
            },
            source="nps",
            draw=_nps,
            finding=_nps_says,
        ),
        Figure(
            key="csat",
            sql=CSAT,
            columns={
                "month": "month",
                "survey": "text",
                "lowest_score": "number",
                "highest_score": "number",
                "response_count": "count",
                "top_box_rate": "rate",
                "top_box_low_rate": "rate",
                "top_box_high_rate": "rate",
                "score_mean": "number",
                "score_mean_low": "number",
                "score_mean_high": "number",
            },
            source="surveys",
            draw=_csat,
            finding=_csat_says,
        ),
        Figure(
            key="who",
            sql=WHO,
            columns={
                "dimension_kind": "text",
                "dimension_value": "text",
                "survey": "text",
                "response_count": "count",
                "top_box_rate": "rate",
                "top_box_low_rate": "rate",
                "top_box_high_rate": "rate",
                "score_mean": "number",
                "nps": "number",
                "nps_low": "number",
                "nps_high": "number",
            },
            source="surveys",
            draw=_who,
        ),
        Figure(
            key="drivers",
            sql=DRIVERS,
            columns={
                "survey": "text",
                "driver_kind": "text",
                "driver": "text",
                "driver_count": "count",
                "response_count": "count",
                "effect_share": "share",
                "effect_low_share": "share",
                "effect_high_share": "share",
                "adjusted_p_value": "score",
                "verdict": "text",
            },
            source="comments",
            draw=_drivers,
            finding=_drivers_say,
            scores="scores.satisfaction_drivers",
        ),
        Figure(
            key="sentiment",
            sql=SENTIMENT,
            columns={
                "month": "month",
                "survey": "text",
                "comment_count": "count",
                "sentiment_mean": "number",
                "sentiment_mean_low": "number",
                "sentiment_mean_high": "number",
                "positive_share": "share",
                "negative_share": "share",
            },
            source="comments",
            draw=_sentiment,
        ),
        Figure(
            key="topics",
            sql=TOPICS,
            columns={"topic": "text", "tone": "text", "comment_count": "count"},
            source="comments",
            draw=_topics,
            finding=_topics_say,
        ),
        Figure(
            key="writers",
            sql=WRITERS,
            columns={
                "comment_language": "text",
                "method": "text",
                "comment_count": "count",
                "content_count": "count",
                "content_mean": "rate",
            },
            source="comments",
            draw=lambda frame, words: bars(
                frame, words, "comment_language", "content_mean", "rate"
            ),
            scores="scores.comment_sentiment",
        ),
    ),
)
