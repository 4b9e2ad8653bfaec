"""Places: where customers live, on a map, and what the countries and regions are worth.

Amounts of fewer than ``SMALLEST_GROUP`` customers are not told: they would be somebody's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from crm_pipeline.report.charts import (
    RAMP,
    Drawn,
    areas,
    bars,
    intervals,
    tips,
)
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.shapes import world
from crm_pipeline.report.words import Words

SMALLEST_GROUP = 5

BY_COUNTRY = """
select coalesce(country, 'unknown') as country, count(*) as customers
from marts.dim_customers
where exists (select 1 from marts.dim_customers where country is not null)
group by coalesce(country, 'unknown')
order by customers desc, country
"""

REVENUE = f"""
select
    country,
    count(*) as customers,
    sum(order_count) as order_count,
    sum(net_amount) as net_amount,
    sum(net_amount) / (select sum(net_amount) from marts.customer_360) as net_share
from marts.customer_360
where country is not null and order_count > 0
group by country
having count(*) >= {SMALLEST_GROUP}
order by net_amount desc, country
limit 15
"""

WORTH = f"""
select
    country,
    count(*) as customers,
    avg(net_amount) as net_amount_mean,
    avg(net_amount) - 1.96 * stddev_samp(net_amount) / sqrt(count(*)) as net_amount_mean_low,
    avg(net_amount) + 1.96 * stddev_samp(net_amount) / sqrt(count(*)) as net_amount_mean_high,
    median(net_amount) as net_amount_median
from marts.customer_360
where country is not null and order_count > 0
group by country
having count(*) >= {4 * SMALLEST_GROUP}
order by net_amount_mean desc, country
limit 15
"""

NEW = """
with firsts as (
    select country, cast(date_trunc('month', first_order_on) as date) as month
    from marts.dim_customers
    where country is not null and first_order_on is not null
),

largest as (
    select country from firsts group by country order by count(*) desc, country limit 5
),

recent as (
    select month from marts.kpi_monthly where is_complete order by month desc limit 24
)

select
    month,
    case
        when country in (select country from largest) then country else '(all others)'
    end as country,
    count(*) as new_customers
from firsts
where month in (select month from recent)
group by all
order by month, country
"""

REGIONS = f"""
select
    country,
    region,
    count(*) as customers,
    sum(net_amount) as net_amount
from marts.customer_360
where region is not null
group by country, region
having count(*) >= {SMALLEST_GROUP}
order by customers desc, country, region
limit 20
"""

LEAVING = f"""
select
    country,
    count(*) as customers,
    count(*) filter (where risk_band = 'high') as high_risk_customers,
    avg(churn_probability) as churn_probability_mean
from marts.customer_360
where churn_status = 'scored' and country is not null
group by country
having count(*) >= {SMALLEST_GROUP}
order by churn_probability_mean desc, country
limit 15
"""


def placed(frame: pd.DataFrame) -> tuple[dict[str, int], list[str]]:
    """Return the customers by ISO code, and the names for which the map has no place."""
    customers: dict[str, int] = {}
    missing = []
    for name, count in zip(frame["country"], frame["customers"], strict=True):
        code = world.code_of(name)
        if code is None:
            missing.append(name)
        else:
            customers[code] = customers.get(code, 0) + count
    return customers, missing


def _map(frame: pd.DataFrame, words: Words) -> Drawn:
    customers, _ = placed(frame)
    view = world.view_of(customers)
    shapes = world.features(
        view,
        {
            code: {"customers": count, "country": world.countries()[code].name(words.language)}
            for code, count in customers.items()
        },
    )
    land = [one for one in shapes if "customers" not in one["properties"]]
    filled = [one for one in shapes if "customers" in one["properties"]]
    seen = {one["properties"]["code"] for one in filled if not world.is_tiny(one)}
    dots = [_dot(view, code, customers[code], words) for code in customers if code not in seen]
    top = max(customers.values(), default=1)
    colour = alt.Color(
        field="customers",
        type="quantitative",
        scale=alt.Scale(type="log", range=list(RAMP[1:]), domain=[1, max(top, 2)]),
        legend=alt.Legend(
            title=words.label("customers", "count"),
            orient="top",
            gradientLength=180,
            format=",d",
            tickCount=3,
        ),
    )
    # the shapes are laid flat already: the browser only scales them
    flat = alt.Projection(type="identity")
    told = tips(words, country="text", customers="count")
    layers = [
        _outlined(land).mark_geoshape(fill="#d9dee3", stroke="#ffffff", strokeWidth=0.5),
        _outlined(filled)
        .mark_geoshape(stroke="#ffffff", strokeWidth=0.6)
        .encode(color=colour, tooltip=told),
    ]
    if dots:
        layers.append(
            alt.Chart(alt.Data(values=dots))
            .mark_circle(size=90, stroke="#17212b", strokeWidth=1, opacity=1)
            .encode(
                longitude=alt.Longitude(field="x", type="quantitative"),
                latitude=alt.Latitude(field="y", type="quantitative"),
                color=colour,
                tooltip=told,
            )
        )
    chart = alt.layer(*layers).properties(
        projection=flat, usermeta={"heightOverWidth": round(view.height, 3)}
    )
    return chart


def _outlined(shapes: list[dict[str, object]]) -> alt.Chart:
    told = [shape | _told(shape) for shape in shapes]
    return alt.Chart(alt.Data(values=told))


def _told(shape: dict[str, object]) -> dict[str, object]:
    properties = shape["properties"]
    assert isinstance(properties, dict)
    return {name: properties[name] for name in ("customers", "country") if name in properties}


def _dot(view: world.View, code: str, customers: int, words: Words) -> dict[str, object]:
    country = world.countries()[code]
    x, y = view.flat((country.longitude, country.latitude))
    name = country.name(words.language)
    return {"x": round(x, 1), "y": round(y, 1), "country": name, "customers": customers}


def _map_says(frame: pd.DataFrame, words: Words) -> Mapping[str, str]:
    customers, missing = placed(frame)
    there = frame[~frame["country"].isin(missing)]["customers"].sum()
    first = max(customers, key=lambda code: (customers[code], code), default=None)
    all_of_them = frame["customers"].sum()
    listed = ", ".join(words.value("country", name) for name in missing)
    return {
        "countries": words.write(len(customers), "count"),
        "share": words.write(there / all_of_them, "rate"),
        "first": world.countries()[first].name(words.language) if first else "–",
        "first_share": words.write(customers[first] / all_of_them if first else 0, "rate"),
        "missing": words.text("figures", "map", "missing", names=listed) if missing else "",
    }


def _revenue(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(frame, words, "country", "net_amount", "amount")


def _worth(frame: pd.DataFrame, words: Words) -> Drawn:
    return intervals(
        frame,
        words,
        "country",
        "net_amount_mean",
        "net_amount_mean_low",
        "net_amount_mean_high",
        "amount",
    )


def _new(frame: pd.DataFrame, words: Words) -> Drawn:
    totals = frame.groupby("country", sort=True)["new_customers"].sum()
    order = sorted(totals.index, key=lambda one: (one == "(all others)", -totals[one], one))
    return areas(frame, words, "month", "new_customers", "count", "country", order=order)


def _regions(frame: pd.DataFrame, words: Words) -> Drawn:
    shown = frame.assign(
        region=[
            words.text(
                "figures", "regions", "row", region=region, country=words.value("country", country)
            )
            for region, country in zip(frame["region"], frame["country"], strict=True)
        ]
    )
    return bars(shown, words, "region", "customers", "count")


def _leaving(frame: pd.DataFrame, words: Words) -> Drawn:
    return bars(frame, words, "country", "churn_probability_mean", "rate")


PAGE = Page(
    key="places",
    figures=(
        Figure(
            key="map",
            sql=BY_COUNTRY,
            columns={"country": "text", "customers": "count"},
            source="countries",
            draw=_map,
            finding=_map_says,
        ),
        Figure(
            key="revenue",
            sql=REVENUE,
            columns={
                "country": "text",
                "customers": "count",
                "order_count": "count",
                "net_amount": "amount",
                "net_share": "share",
            },
            source="countries",
            draw=_revenue,
        ),
        Figure(
            key="worth",
            sql=WORTH,
            columns={
                "country": "text",
                "customers": "count",
                "net_amount_mean": "amount",
                "net_amount_mean_low": "amount",
                "net_amount_mean_high": "amount",
                "net_amount_median": "amount",
            },
            source="countries",
            draw=_worth,
        ),
        Figure(
            key="new",
            sql=NEW,
            columns={"month": "month", "country": "text", "new_customers": "count"},
            source="countries",
            draw=_new,
        ),
        Figure(
            key="regions",
            sql=REGIONS,
            columns={
                "region": "text",
                "country": "text",
                "customers": "count",
                "net_amount": "amount",
            },
            source="regions",
            draw=_regions,
        ),
        Figure(
            key="leaving",
            sql=LEAVING,
            columns={
                "country": "text",
                "customers": "count",
                "high_risk_customers": "count",
                "churn_probability_mean": "rate",
            },
            source="countries",
            draw=_leaving,
            scores="scores.customer_churn",
        ),
    ),
)
