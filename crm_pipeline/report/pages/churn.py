"""Who may leave: how many do, who is at risk and why, whom to call, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report import charts
from crm_pipeline.report.heat_map import heat_map
from crm_pipeline.report.page import Card, Cards, Figure, Page
from crm_pipeline.report.words import Words

_KPIS = """
select month, churn_rate, churned_customers, retention_rate, repurchase_rate
from marts.kpi_monthly
where is_complete
order by month
"""

_RATE = """
select month, churn_rate, churned_customers, customers_at_start
from marts.kpi_monthly
where is_complete and churn_rate is not null
    and month > (select max(month) from marts.kpi_monthly) - interval 36 month
order by month
"""

_BANDS = """
select
    c.risk_band,
    count(*) as customers,
    avg(c.churn_probability) as mean_churn_probability,
    sum(v.clv_amount) as clv_amount,
    sum(c.is_contact_worthwhile::integer) as contact_count
from scores.customer_churn as c
left join scores.customer_clv as v on v.customer_key = c.customer_key
where c.status = 'scored'
group by c.risk_band
order by mean_churn_probability desc, c.risk_band
"""

_CALLS = """
select c.segment_name, s.risk_band, count(*) as contact_count,
    avg(s.churn_probability) as mean_churn_probability,
    avg(c.clv_amount) as mean_clv_amount, sum(c.clv_amount) as clv_amount
from marts.customer_360 as c
inner join scores.customer_churn as s on s.customer_key = c.customer_key
where s.is_contact_worthwhile and c.segment_name is not null
group by c.segment_name, s.risk_band
order by mean_clv_amount desc, c.segment_name, s.risk_band
"""

_DRIVERS = """
select feature, avg(abs(contribution)) as mean_contribution,
    avg((contribution > 0)::integer) as raising_rate, count(*) as customers
from scores.customer_reasons
where model = 'churn' and feature <> '(intercept)'
group by feature
order by mean_contribution desc, feature
limit 12
"""

_CALIBRATION = """
select
    cast(right(metric, 2) as integer) as tenth,
    max(value) filter (where metric like 'predicted%') as predicted_rate,
    max(value) filter (where metric like 'happened%') as actual_rate
from meta.model_evaluations
where model = 'churn' and period = 'by tenth'
    and model_version = (select champions ->> '$.churn' from meta.build)
group by tenth
order by tenth
"""

_CONTRACTS = """
select risk_band, count(*) as contracts, avg(churn_probability) as mean_churn_probability,
    sum(is_contact_worthwhile::integer) as contact_count
from scores.subscription_churn
where status = 'scored'
group by risk_band
order by mean_churn_probability desc, risk_band
"""

_TINTS = (charts.BAD, "#E69F00", charts.GOOD, charts.NEUTRAL)
"""From the band at most risk to that at least."""


def _draw_rate(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.lines(frame, words, "month", "churn_rate", "rate")


def _draw_bands(frame: pd.DataFrame, words: Words, counted: str = "customers") -> charts.Drawn:
    order = list(frame.risk_band)
    shown = charts.named(frame, words, "risk_band")
    names = list(shown.risk_band)
    tints = dict(zip(names, _TINTS, strict=False))
    chart = charts.bars(frame, words, "risk_band", counted, "count")
    return chart.encode(
        color=alt.Color(
            field="risk_band",
            type="nominal",
            scale=alt.Scale(domain=names, range=[tints.get(n, charts.NEUTRAL) for n in names]),
            legend=None,
            sort=order,
        )
    )


def _draw_contracts(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return _draw_bands(frame, words, "contracts")


def _find_bands(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    worst, total = frame.iloc[0], frame.customers.sum()
    return {
        "customers": words.write(worst.customers, "count"),
        "share": words.write(worst.customers / total, "rate"),
        "band": words.value("risk_band", worst.risk_band).lower(),
        "all": words.write(total, "count"),
        "contacts": words.write(frame.contact_count.sum(), "count"),
    }


def _draw_calls(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    bands = list(
        frame.groupby("risk_band")
        .mean_churn_probability.max()
        .sort_values(ascending=False, kind="stable")
        .index
    )
    best = frame.groupby("segment_name").mean_clv_amount.max()
    segments = list(best.sort_values(ascending=False, kind="stable").index)
    return heat_map(
        frame,
        words,
        "risk_band",
        "segment_name",
        "contact_count",
        "count",
        x_order=bands,
        y_order=segments,
        tooltip=charts.tips(
            words,
            segment_name="text",
            risk_band="text",
            contact_count="count",
            mean_churn_probability="rate",
            mean_clv_amount="amount",
        ),
    )


def _find_calls(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    first = frame.iloc[0]
    return {
        "count": words.write(first.contact_count, "count"),
        "segment": words.value("segment_name", first.segment_name),
        "band": words.value("risk_band", first.risk_band).lower(),
        "amount": words.money(first.mean_clv_amount),
    }


def _draw_drivers(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    return charts.bars(frame, words, "feature", "mean_contribution", "number")


def _draw_calibration(frame: pd.DataFrame, words: Words) -> charts.Drawn:
    perfect = (
        alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(strokeDash=[4, 4], color=charts.NEUTRAL, strokeWidth=1.5)
        .encode(x=alt.X(field="x", type="quantitative"), y=alt.Y(field="y", type="quantitative"))
    )
    points = (
        charts.base(frame)
        .mark_line(
            color=charts.ACCENT, point=alt.OverlayMarkDef(filled=True, size=60, color=charts.ACCENT)
        )
        .encode(
            x=alt.X(**charts.quantity(words, "predicted_rate", "rate")),
            y=alt.Y(**charts.quantity(words, "actual_rate", "rate")),
            tooltip=charts.tips(words, tenth="count", predicted_rate="rate", actual_rate="rate"),
        )
    )
    return alt.layer(perfect, points).properties(height=340)


def _find_calibration(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    gap = (frame.predicted_rate - frame.actual_rate).abs()
    return {
        "most": words.change(gap.max(), "rate").lstrip("+"),
        "tenth": words.write(frame.tenth[gap.astype(float).idxmax()], "count"),
    }


PAGE = Page(
    key="churn",
    cards=Cards(
        sql=_KPIS,
        cards=(
            Card("churn_rate", "rate", -1),
            Card("churned_customers", "count", -1),
            Card("retention_rate", "rate", 1),
            Card("repurchase_rate", "rate", 1),
        ),
    ),
    figures=(
        Figure(
            key="rate",
            sql=_RATE,
            columns={
                "month": "month",
                "churn_rate": "rate",
                "churned_customers": "count",
                "customers_at_start": "count",
            },
            draw=_draw_rate,
        ),
        Figure(
            key="bands",
            sql=_BANDS,
            columns={
                "risk_band": "text",
                "customers": "count",
                "mean_churn_probability": "rate",
                "clv_amount": "amount",
                "contact_count": "count",
            },
            draw=_draw_bands,
            finding=_find_bands,
            scores="scores.customer_churn",
        ),
        Figure(
            key="calls",
            sql=_CALLS,
            columns={
                "segment_name": "text",
                "risk_band": "text",
                "contact_count": "count",
                "mean_churn_probability": "rate",
                "mean_clv_amount": "amount",
                "clv_amount": "amount",
            },
            draw=_draw_calls,
            finding=_find_calls,
            scores="scores.customer_churn",
        ),
        Figure(
            key="drivers",
            sql=_DRIVERS,
            columns={
                "feature": "text",
                "mean_contribution": "score",
                "raising_rate": "rate",
                "customers": "count",
            },
            draw=_draw_drivers,
            scores="scores.customer_churn",
        ),
        Figure(
            key="calibration",
            sql=_CALIBRATION,
            columns={"tenth": "count", "predicted_rate": "rate", "actual_rate": "rate"},
            draw=_draw_calibration,
            finding=_find_calibration,
            scores="scores.customer_churn",
        ),
        Figure(
            key="contracts",
            sql=_CONTRACTS,
            columns={
                "risk_band": "text",
                "contracts": "count",
                "mean_churn_probability": "rate",
                "contact_count": "count",
            },
            draw=_draw_contracts,
            source="subscriptions",
            scores="scores.subscription_churn",
        ),
    ),
)
