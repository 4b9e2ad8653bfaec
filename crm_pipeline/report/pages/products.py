"""Products: what sells, what is bought together, what is recommended, what to order again."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crm_pipeline.report.charts import ACCENT, BAD, CATEGORIES, NEUTRAL, Drawn, bars
from crm_pipeline.report.compared import side_by_side
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.words import Words

BEST = """
with since as (
    select as_of - interval 364 day as first_on from meta.build
),

sold as (
    select product_key, sum(quantity) as quantity, sum(line_amount) as gross_amount
    from marts.fct_order_items
    where ordered_on >= (select first_on from since)
    group by product_key
),

returned as (
    select product_key, sum(returned_amount) as returned_amount
    from marts.fct_returns
    where returned_on >= (select first_on from since)
    group by product_key
)

select
    coalesce(product_name, product_key) as product,
    product_key,
    category,
    quantity,
    gross_amount,
    coalesce(returned_amount, 0) as returned_amount,
    gross_amount - coalesce(returned_amount, 0) as net_amount
from sold
inner join marts.dim_products using (product_key)
left join returned using (product_key)
where is_merchandise
order by net_amount desc, product_key
limit 15
"""

CATEGORIES_OVER_TIME = """
with years as (
    select
        case when ordered_on > as_of - interval 365 day then 'this_year' else 'year_before' end
            as period,
        product_key,
        line_amount
    from marts.fct_order_items
    cross join meta.build
    where ordered_on > as_of - interval 730 day
)

select category, period, sum(line_amount) as gross_amount
from years
inner join marts.dim_products using (product_key)
where category is not null and is_merchandise
group by category, period
order by
    sum(sum(line_amount)) over (partition by category) desc,
    category,
    period
limit 40
"""

RULES = """
select
    item_level,
    antecedent_name,
    consequent_name,
    rule_count,
    support_rate,
    confidence_rate,
    lift,
    adjusted_p_value
from scores.product_rules
where antecedent_2_key is null
qualify row_number() over (
    partition by
        item_level, least(antecedent_key, consequent_key), greatest(antecedent_key, consequent_key)
    order by confidence_rate desc, antecedent_key
) = 1
order by lift desc, antecedent_key, consequent_key
limit 15
"""

COVERAGE = """
with recommended as (
    select product_key, count(distinct customer_key) as customers
    from scores.customer_recommendations
    group by product_key
)

select
    coalesce(category, 'unknown') as category,
    count(*) as product_count,
    count(customers) as recommended_count,
    count(customers) / count(*) as recommended_share,
    coalesce(sum(customers), 0) as recommendation_count
from marts.dim_products
left join recommended using (product_key)
where is_merchandise and exists (select 1 from recommended)
group by coalesce(category, 'unknown')
order by recommended_share desc, category
limit 30
"""

NEXT = """
select
    next_category,
    count(*) as customers,
    avg(next_category_probability) as next_category_probability
from scores.customer_next_category
where status = 'scored'
group by next_category
order by customers desc, next_category
limit 20
"""

STOCK = """
select
    coalesce(category, 'unknown') as category,
    case when is_reorder_due then 'due' when not is_reorder_due then 'enough' else 'unknown' end
        as stock_state,
    count(*) as product_count,
    coalesce(sum(order_quantity), 0) as order_quantity
from scores.product_reorder
left join marts.dim_products using (product_key)
group by category, is_reorder_due
order by
    count(*) filter (where is_reorder_due) over (partition by category) desc,
    category,
    stock_state
"""

URGENT = """
select
    coalesce(product_name, product_key) as product,
    product_key,
    category,
    available_quantity,
    reorder_point_quantity,
    cover_days,
    lead_time_days,
    daily_units,
    order_quantity,
    counted_on
from scores.product_reorder
left join marts.dim_products using (product_key)
where is_reorder_due
order by daily_units * lead_time_days - available_quantity desc, product_key
limit 15
"""


def _distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the key behind names that several products share."""
    shared = frame["product"].duplicated(keep=False)
    names = [
        f"{name} ({key})" if twice else name
        for name, key, twice in zip(frame["product"], frame["product_key"], shared, strict=True)
    ]
    return frame.assign(product=names)


def _best(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(_distinct(frame), words, "product", "net_amount", "amount")


def _categories(frame: pd.DataFrame, words: Words) -> Drawn:
    return side_by_side(
        frame,
        words,
        "category",
        "gross_amount",
        "amount",
        "period",
        order=["this_year", "year_before"],
        palette=(ACCENT, NEUTRAL),
    )


def _categories_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str] | None:
    grown = {}
    for category, rows in frame.groupby("category", sort=True):
        amounts = dict(zip(rows["period"], rows["gross_amount"], strict=True))
        if amounts.get("year_before") and amounts.get("this_year"):
            grown[category] = amounts["this_year"] / amounts["year_before"] - 1
    if len(grown) < 2:
        return None
    most = max(sorted(grown), key=lambda one: grown[one])
    least = min(sorted(grown), key=lambda one: grown[one])
    return {
        "most": words.value("category", most),
        "most_change": words.change(grown[most], "relative"),
        "least": words.value("category", least),
        "least_change": words.change(grown[least], "relative"),
    }


def _rules(frame: pd.DataFrame, words: Words) -> Drawn:
    shown = frame.assign(
        rule=[
            f"{left} → {right}"
            for left, right in zip(frame["antecedent_name"], frame["consequent_name"], strict=True)
        ]
    )
    return bars(shown, words, "rule", "lift", "number")


def _rules_say(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    first = frame.iloc[0]
    return {
        "left": str(first["antecedent_name"]),
        "right": str(first["consequent_name"]),
        "lift": words.write(first["lift"], "number"),
        "confidence": words.write(first["confidence_rate"], "rate"),
    }


def _coverage(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(frame, words, "category", "recommended_share", "rate")


def _coverage_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    shown, all_of_them = frame["recommended_count"].sum(), frame["product_count"].sum()
    return {
        "shown": words.write(shown, "count"),
        "all": words.write(all_of_them, "count"),
        "share": words.write(shown / all_of_them, "rate"),
    }


def _next(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(frame, words, "next_category", "customers", "count")


def _stock(frame: pd.DataFrame, words: Words) -> Drawn:
    states = ("due", "enough", "unknown")
    return bars(
        frame,
        words,
        "category",
        "product_count",
        "count",
        colour="stock_state",
        order=[state for state in states if state in set(frame["stock_state"])],
        palette=(BAD, CATEGORIES[0], NEUTRAL),
    )


def _stock_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    due = frame[frame["stock_state"] == "due"]
    return {
        "due": words.write(due["product_count"].sum(), "count"),
        "all": words.write(frame["product_count"].sum(), "count"),
        "units": words.write(due["order_quantity"].sum(), "count"),
    }


def _urgent(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(_distinct(frame), words, "product", "order_quantity", "count")


PAGE = Page(
    key="products",
    figures=(
        Figure(
            key="best",
            sql=BEST,
            columns={
                "product": "text",
                "product_key": "text",
                "category": "text",
                "quantity": "count",
                "gross_amount": "amount",
                "returned_amount": "amount",
                "net_amount": "amount",
            },
            draw=_best,
        ),
        Figure(
            key="categories",
            sql=CATEGORIES_OVER_TIME,
            columns={"category": "text", "period": "text", "gross_amount": "amount"},
            source="categories",
            draw=_categories,
            finding=_categories_say,
        ),
        Figure(
            key="rules",
            sql=RULES,
            columns={
                "item_level": "text",
                "antecedent_name": "text",
                "consequent_name": "text",
                "rule_count": "count",
                "support_rate": "rate",
                "confidence_rate": "rate",
                "lift": "number",
                "adjusted_p_value": "score",
            },
            source="rules",
            draw=_rules,
            finding=_rules_say,
        ),
        Figure(
            key="coverage",
            sql=COVERAGE,
            columns={
                "category": "text",
                "product_count": "count",
                "recommended_count": "count",
                "recommended_share": "rate",
                "recommendation_count": "count",
            },
            source="recommendations",
            draw=_coverage,
            finding=_coverage_says,
            scores="scores.customer_recommendations",
        ),
        Figure(
            key="next",
            sql=NEXT,
            columns={
                "next_category": "text",
                "customers": "count",
                "next_category_probability": "rate",
            },
            source="categories",
            draw=_next,
            is_optional=True,
            scores="scores.customer_next_category",
        ),
        Figure(
            key="stock",
            sql=STOCK,
            columns={
                "category": "text",
                "stock_state": "text",
                "product_count": "count",
                "order_quantity": "count",
            },
            source="stock",
            draw=_stock,
            finding=_stock_says,
        ),
        Figure(
            key="urgent",
            sql=URGENT,
            columns={
                "product": "text",
                "product_key": "text",
                "category": "text",
                "available_quantity": "count",
                "reorder_point_quantity": "count",
                "daily_units": "number",
                "lead_time_days": "days",
                "cover_days": "days",
                "order_quantity": "count",
                "counted_on": "date",
            },
            source="stock",
            draw=_urgent,
            is_optional=True,
        ),
    ),
)
