"""Models: which of them earned their place, did their scores come true, do they still fit."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report.charts import (
    BAD,
    CATEGORIES,
    GOOD,
    LABELS,
    NEUTRAL,
    Drawn,
    bars,
    base,
    lines,
    row_names,
    tall,
    tips,
)
from crm_pipeline.report.compared import melted
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

STATUSES = {"scored": GOOD, "too_little_data": CATEGORIES[1], "no_model_passed": BAD}
"""Shade of each status; another one (a contract that was ended) is nothing to be scored."""

GATE = """
with deciding (model, metric, is_lower_better, needed_value) as (
    values
        ('churn', 'log_loss', true, null),
        ('clv', 'normalised_gini', false, null),
        ('contract_churn', 'log_loss', true, null),
        ('forecast', 'mase_weeks', true, null),
        ('lead_conversion', 'log_loss', true, null),
        ('next_category', 'log_loss', true, null),
        ('recommendation', 'ndcg', false, null),
        ('segments', 'bootstrap_ari', false, 0.8),
        ('sentiment', 'log_loss', true, null),
        ('session_segments', 'bootstrap_ari', false, 0.8),
        ('uplift', 'qini', false, null),
        ('win_probability', 'log_loss', true, null)
),

newest as (
    select
        evaluation.model,
        evaluation.model_version,
        evaluation.metric,
        evaluation.period,
        evaluation.value,
        coalesce(evaluation.baseline_value, deciding.needed_value) as baseline_value,
        deciding.is_lower_better,
        evaluation.decision,
        row_number() over (
            partition by evaluation.model
            order by evaluation.as_of desc, evaluation.decision, evaluation.model_version
        ) as place
    from meta.model_evaluations as evaluation
    inner join deciding using (model, metric)
    where
        evaluation.period <> 'parameters'
        and coalesce(evaluation.baseline_value, deciding.needed_value) is not null
)

select model, model_version, metric, is_lower_better, period, value, baseline_value, decision
from newest
where place = 1
order by model
"""

COVERAGE = """
select
    score_table,
    status,
    row_count,
    row_count / sum(row_count) over (partition by score_table) as row_share
from marts.score_coverage
where
    row_count > 0
    and score_table in (
        'agents_needed', 'comment_sentiment', 'customer_churn', 'customer_clv',
        'customer_next_category', 'customer_next_order', 'customer_recommendations',
        'customer_segments', 'customer_uplift', 'lead_conversion', 'opportunity_scores',
        'product_reorder', 'sales_forecast', 'subscription_churn'
    )
order by score_table, status
"""

EVALUATIONS = r"""
select model, period, metric, value, baseline_value, champion_value
from meta.model_evaluations
where
    baseline_value is not null and period <> 'parameters'
    and metric not like '%\_of\_%' escape '\' and metric not like '%\_vs\_%' escape '\'
order by model, period, metric, model_version
limit 200
"""

SCORECARD = """
select model, model_version, as_of, horizon_days, metric, value, baseline_value
from meta.model_scorecard
order by model, as_of, metric, horizon_days, model_version
limit 400
"""

HISTORY = """
select
    as_of,
    count(*) as score_count,
    quantile_cont(score, 0.1) as lowest_tenth,
    median(score) as score_median,
    avg(score) as score_mean,
    quantile_cont(score, 0.9) as highest_tenth
from meta.score_history
where
    model = 'churn'
    and (select count(distinct as_of) from meta.score_history where model = 'churn') > 1
group by as_of
order by as_of
"""

DRIFT = """
select
    model,
    model_version,
    compared_from,
    compared_to,
    population_stability_index,
    reading
from meta.model_drift
order by model, model_version
"""

CARDS = """
select model, model_version, card
from meta.model_cards
order by model
"""

MAIN_METRICS = {"churn": "log_loss", "contract_churn": "log_loss", "clv": "normalised_gini"}
"""The scorecard's figure that is drawn for a model; its table has them all."""


def _gate(frame: pd.DataFrame, words: Words) -> Drawn:
    shown = frame.assign(
        model=[
            words.text(
                "figures",
                "gate",
                "lower" if is_lower_better else "higher",
                model=words.value("model", model),
                metric=words.value("metric", metric),
            )
            for model, metric, is_lower_better in zip(
                frame["model"], frame["metric"], frame["is_lower_better"], strict=True
            )
        ],
        decision=[words.value("decision", decision) for decision in frame["decision"]],
    )
    y = alt.Y(
        field="model",
        type="nominal",
        sort=list(shown["model"]),
        axis=alt.Axis(title=None, labelLimit=LABELS),
    )
    told = tips(words, model="text", value="score", baseline_value="score", decision="text")
    axis = alt.Axis(title=words.text("figures", "gate", "axis"), format=".2~f", tickCount=6)
    colour = alt.Color(
        field="decision",
        type="nominal",
        scale=alt.Scale(
            domain=[words.value("decision", one) for one in ("promoted", "refused")],
            range=[GOOD, BAD],
        ),
        legend=alt.Legend(title=words.label("decision"), orient="top"),
    )
    span = (
        base(shown)
        .mark_rule(strokeWidth=2, color=NEUTRAL)
        .encode(
            y=y,
            x=alt.X(field="baseline_value", type="quantitative", axis=axis),
            x2=alt.X2(field="value"),
        )
    )
    naive = (
        base(shown)
        .mark_tick(thickness=3, size=18, color=NEUTRAL)
        .encode(y=y, x=alt.X(field="baseline_value", type="quantitative", axis=axis), tooltip=told)
    )
    point = (
        base(shown)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            y=y,
            x=alt.X(field="value", type="quantitative", axis=axis),
            color=colour,
            tooltip=told,
        )
    )
    return alt.layer(span, naive, point).properties(height=tall(len(shown), 30))


def _gate_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    refused = [
        words.value("model", model)
        for model, decision in zip(frame["model"], frame["decision"], strict=True)
        if decision != "promoted"
    ]
    told = words.text("figures", "gate", "refused", names=", ".join(refused)) if refused else ""
    return {
        "promoted": words.write(len(frame) - len(refused), "count"),
        "all": words.write(len(frame), "count"),
        "refused": told,
    }


def _coverage(frame: pd.DataFrame, words: Words) -> Drawn:
    there = set(frame["status"])
    order = [status for status in STATUSES if status in there] + sorted(there - {*STATUSES})
    chart = bars(
        frame,
        words,
        "score_table",
        "row_share",
        "rate",
        colour="status",
        order=order,
        palette=[STATUSES.get(status, NEUTRAL) for status in order],
    )
    chart.encoding.x.scale = alt.Scale(domain=[0, 1])
    return chart


def _scorecard(frame: pd.DataFrame, words: Words) -> Drawn:
    main = frame[
        [MAIN_METRICS.get(m) == k for m, k in zip(frame["model"], frame["metric"], strict=True)]
    ]
    several = melted(main, ["model", "as_of"], ["value", "baseline_value"])
    named = several.rename(columns={"value": "deciding_value"}).assign(
        measure=row_names(several, words, "scorecard", model="model", what="measure")
    )
    return lines(
        named,
        words,
        "as_of",
        "deciding_value",
        "score",
        series="measure",
        time_kind="date",
        zero=False,
    )


def _history(frame: pd.DataFrame, words: Words) -> Drawn:
    return lines(
        frame,
        words,
        "as_of",
        "score_median",
        "rate",
        low="lowest_tenth",
        high="highest_tenth",
        time_kind="date",
    )


def _drift(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(
        frame,
        words,
        "model",
        "population_stability_index",
        "score",
        colour="reading",
        order=["stable", "noticeable", "drifted"],
        palette=(GOOD, CATEGORIES[1], BAD),
    )


def _cards(frame: pd.DataFrame, words: Words) -> list[tuple[str, str]]:
    return [
        (words.text("figures", "cards", "card", model=words.value("model", model)), _body(card))
        for model, card in zip(frame["model"], frame["card"], strict=True)
    ]


def _body(card: str) -> str:
    """Return a card without its own title, which the heading says."""
    return card.split("\n", 1)[-1] if card.startswith("# ") else card


PAGE = Page(
    key="models",
    figures=(
        Figure(
            key="gate",
            sql=GATE,
            columns={
                "model": "text",
                "model_version": "text",
                "metric": "text",
                "period": "text",
                "value": "score",
                "baseline_value": "score",
                "decision": "text",
            },
            source="models",
            draw=_gate,
            finding=_gate_says,
        ),
        Figure(
            key="coverage",
            sql=COVERAGE,
            columns={
                "score_table": "text",
                "status": "text",
                "row_count": "count",
                "row_share": "rate",
            },
            source="models",
            draw=_coverage,
        ),
        Figure(
            key="scorecard",
            sql=SCORECARD,
            columns={
                "model": "text",
                "as_of": "date",
                "horizon_days": "days",
                "metric": "text",
                "value": "score",
                "baseline_value": "score",
                "model_version": "text",
            },
            source="models",
            draw=_scorecard,
        ),
        Figure(
            key="history",
            sql=HISTORY,
            columns={
                "as_of": "date",
                "score_count": "count",
                "lowest_tenth": "rate",
                "score_median": "rate",
                "score_mean": "rate",
                "highest_tenth": "rate",
            },
            source="models",
            draw=_history,
        ),
        Figure(
            key="drift",
            sql=DRIFT,
            columns={
                "model": "text",
                "model_version": "text",
                "compared_from": "date",
                "compared_to": "date",
                "population_stability_index": "score",
                "reading": "text",
            },
            source="models",
            draw=_drift,
        ),
        Figure(
            key="evaluations",
            sql=EVALUATIONS,
            columns={
                "model": "text",
                "metric": "text",
                "value": "score",
                "baseline_value": "score",
                "champion_value": "score",
                "period": "text",
            },
            source="models",
        ),
        Figure(
            key="cards",
            sql=CARDS,
            columns={"model": "text", "model_version": "text"},
            source="models",
            unfolded=_cards,
        ),
    ),
)
