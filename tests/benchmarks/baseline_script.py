"""The yardstick: one plain pandas, scikit-learn and lifetimes script for Online Retail.

What an analyst would write in a notebook to get the pipeline's marts and scores once: no checks,
no history, no lineage, no registry, no publication. It imports nothing of this project.

    python baseline_script.py online_retail.csv.gz OUTPUT_FOLDER

The models are fitted as often as the pipeline fits them, on as many rows:

    model                          fits  of which
    K-means                         219  2..8 segments x (1 reference of 10 starts + 30 resamples
                                         of 4), fallback, final; searched on at most 10,000
    BG/NBD, Gamma-Gamma           2 + 2  before the holdout and on everything
    logistic regression, boosting    25  6 recipes x 3 folds, 2 finalists x 2 halves for the
                                         calibration, 2 finalists, 1 refit; searched on at most
                                         40,000 rows, fitted on at most 400,000
    calibration maps                  8  2 finalists x (sigmoid, isotonic) x 2 halves
"""

import sys
import time
import warnings
from pathlib import Path

import baseline_models as models
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

warnings.filterwarnings("ignore")
HORIZON, DISCOUNT = models.HORIZON, models.DISCOUNT
DAY = pd.Timedelta(days=1)
SEGMENT_GRID = [  # rows: recency score 1..5, columns: frequency score 1..5
    ["hibernating", "hibernating", "at risk", "at risk", "can't lose"],
    ["hibernating", "hibernating", "at risk", "at risk", "can't lose"],
    ["about to sleep", "about to sleep", "need attention", "loyal", "loyal"],
    ["promising", "potential loyalist", "potential loyalist", "loyal", "loyal"],
    ["new", "potential loyalist", "potential loyalist", "champions", "champions"],
]
FEES = ["POST", "DOT", "C2", "D", "M", "S", "B", "PADS", "BANK CHARGES", "AMAZONFEE", "CRUK"]


def read_lines(path):
    lines = pd.read_csv(
        path,
        dtype={"InvoiceNo": str, "StockCode": str, "Description": str, "CustomerID": str},
        parse_dates=["InvoiceDate"],
    )
    lines.columns = ["invoice", "stock", "name", "quantity", "at", "price", "customer", "country"]
    lines["customer_key"] = "online_retail:" + lines.pop("customer").str.removesuffix(".0")
    lines["product_key"] = "online_retail:" + lines["stock"].str.strip()
    lines["name"] = lines["name"].str.strip()
    lines["on"] = lines["at"].dt.normalize()
    lines["amount"] = (lines["quantity"] * lines["price"]).round(4)
    cancelled = lines["invoice"].str.startswith("C")
    lines["kind"] = np.select(
        [
            lines["invoice"].str.startswith("A"),
            cancelled & (lines["quantity"] < 0) & (lines["price"] >= 0),
            cancelled,
            lines["quantity"] <= 0,
        ],
        ["bad debt", "return", "cancellation", "stock correction"],
        "sale",
    )
    return lines


def facts(lines):
    key = "online_retail:" + lines["invoice"]
    sale = lines["kind"] == "sale"
    columns = ["customer_key", "product_key", "at", "on", "quantity", "price", "amount"]
    items = lines.loc[sale, columns].assign(order_key=key[sale], source="online_retail")
    items["line_number"] = items.groupby("order_key").cumcount() + 1
    returns = lines[lines["kind"] == "return"]
    returns = returns[columns].assign(
        return_key=key + "-" + (returns.groupby("invoice").cumcount() + 1).astype(str),
        source="online_retail",
        quantity=-returns["quantity"],
        amount=-returns["amount"],
    )
    other = lines[~lines["kind"].isin(["sale", "return"])]
    adjustments = pd.DataFrame(
        {
            "adjustment_key": key + "-" + (other.groupby("invoice").cumcount() + 1).astype(str),
            "source": "online_retail",
            "adjusted_at": other["at"],
            "reason": other["kind"],
            "quantity": other["quantity"],
            "adjusted_amount": other["amount"],
        }
    ).loc[other.index]
    orders = items.groupby("order_key", as_index=False).agg(
        customer_key=("customer_key", "first"),
        ordered_at=("at", "first"),
        ordered_on=("on", "first"),
        line_count=("line_number", "size"),
        item_quantity=("quantity", "sum"),
        gross_amount=("amount", "sum"),
    )
    orders = orders.sort_values(["customer_key", "ordered_at", "order_key"], ignore_index=True)
    known = orders["customer_key"].notna()
    by_customer = orders[known].groupby("customer_key")
    orders["order_number"] = by_customer.cumcount() + 1
    orders["days_since_previous_order"] = by_customer["ordered_on"].diff().dt.days
    orders["returned_amount"] = 0.0  # no return names its order
    orders["net_amount"] = orders["gross_amount"]
    return items, orders, returns, adjustments


def dimensions(lines, orders, as_of):
    seen = lines[lines["customer_key"].notna()].groupby(["customer_key", "country"])["at"]
    seen = seen.agg(["min", "max"]).reset_index()
    latest = seen.sort_values("max").groupby("customer_key")["country"].last()
    customers = seen.groupby("customer_key")["min"].min().rename("first_seen_at").to_frame()
    customers["country"] = latest
    known = orders.dropna(subset="customer_key")
    customers["first_order_on"] = known.groupby("customer_key")["ordered_on"].min()
    names = lines.assign(sold=lines["kind"] == "sale").dropna(subset="name")
    names = names.groupby(["product_key", "name"]).agg(sold=("sold", "max"), at=("at", "max"))
    names = names.reset_index().sort_values(["sold", "at"])
    products = lines[["product_key"]].drop_duplicates().set_index("product_key")
    products["product_name"] = names.groupby("product_key")["name"].last()
    code = products.index.str.removeprefix("online_retail:").str.upper()
    products["is_merchandise"] = ~code.isin(FEES) & ~code.str.startswith("GIFT")
    days = pd.date_range(f"{lines['on'].min().year}-01-01", f"{as_of.year}-12-31")
    dates = pd.DataFrame({"date_on": days, "month": days.to_period("M").start_time})
    dates["iso_week"], dates["weekday"] = days.isocalendar().week.to_numpy(), days.dayofweek + 1
    return customers.reset_index(), products.reset_index(), dates


def quintile(values):
    return (1 + np.floor(5 * (values.rank(method="min") - 1) / len(values))).astype(int)


def rfm(orders, returns, dates):
    parts = []
    for as_of in dates:
        past = orders[orders["ordered_on"] <= as_of].groupby("customer_key")
        one = past.agg(last=("ordered_on", "max"), order_count=("order_key", "size"))
        back = returns[returns["on"] <= as_of].groupby("customer_key")["amount"].sum()
        one["net_amount"] = past["gross_amount"].sum() - back.reindex(one.index).fillna(0)
        one["net_amount"] = one["net_amount"].round(2)
        one["recency_days"] = (as_of - one.pop("last")).dt.days
        one["recency_score"] = quintile(-one["recency_days"])
        one["frequency_score"] = quintile(one["order_count"])
        one["monetary_score"] = quintile(one["net_amount"])
        grid = np.array(SEGMENT_GRID, dtype=object)
        one["rfm_segment"] = grid[one["recency_score"] - 1, one["frequency_score"] - 1]
        parts.append(one.assign(as_of=as_of).reset_index())
    return pd.concat(parts, ignore_index=True)


def customer_value(orders, returns):
    orders = orders.dropna(subset="customer_key")
    returns = returns.dropna(subset="customer_key")
    sold, back = orders.groupby("customer_key"), returns.groupby("customer_key")
    value = sold.agg(
        gross_amount=("gross_amount", "sum"),
        order_count=("order_key", "size"),
        single_event_amount=("gross_amount", "last"),
        first_order_on=("ordered_on", "min"),
        last_order_on=("ordered_on", "max"),
    ).join(back["amount"].sum().rename("returned_amount"), how="outer")
    value = value.fillna({"gross_amount": 0, "order_count": 0, "returned_amount": 0})
    value["net_amount"] = value["gross_amount"] - value["returned_amount"]
    value["average_order_amount"] = value["gross_amount"] / value["order_count"].replace(0, np.nan)
    start = value["first_order_on"].fillna(back["on"].min())
    events = pd.concat(
        [
            orders[["customer_key", "ordered_on", "gross_amount"]].set_axis(
                ["c", "on", "m"], axis=1
            ),
            returns.assign(m=-returns["amount"])[["customer_key", "on", "m"]].set_axis(
                ["c", "on", "m"], axis=1
            ),
        ]
    )
    age = (events["on"] - events["c"].map(start)).dt.days
    events["m"] *= (1 + DISCOUNT) ** (-age / 365)
    value["discounted_amount"] = events.groupby("c")["m"].sum()
    value["contribution_share"] = value["net_amount"] / value["net_amount"].sum()
    return value.round({"gross_amount": 2, "net_amount": 2, "discounted_amount": 2}).reset_index()


def stage(on, last, count, shortening, second, rhythm):
    gone = (on - last).dt.days > 3 * rhythm
    young = (on - second).dt.days < 2 * rhythm
    return np.select(
        [gone, count == 1, shortening | young], ["leaving", "confirmation", "growth"], "maintenance"
    )


def order_days(orders):
    """Each customer's order days, as they stood before and after the day."""
    orders = orders.dropna(subset="customer_key").copy()
    by_customer = orders.groupby("customer_key")
    gap = orders["days_since_previous_order"]
    orders["gap_1"] = by_customer["days_since_previous_order"].shift(1)
    orders["gap_2"] = by_customer["days_since_previous_order"].shift(2)
    orders["shortening"], orders["was"] = gap < orders["gap_1"], orders["gap_1"] < orders["gap_2"]
    second = orders[orders["order_number"] == 2].set_index("customer_key")["ordered_on"]
    days = orders.groupby(["customer_key", "ordered_on"], as_index=False).agg(
        count=("order_number", "last"),
        gap=("days_since_previous_order", "last"),
        shortening=("shortening", "last"),
        was=("was", "first"),
        day_orders=("order_key", "size"),
        day_amount=("gross_amount", "sum"),
        day_lines=("line_count", "sum"),
        day_items=("item_quantity", "sum"),
    )
    days["previous_on"] = days.groupby("customer_key")["ordered_on"].shift(1)
    days["second_on"] = days["customer_key"].map(second)
    days.loc[days["second_on"] > days["ordered_on"], "second_on"] = pd.NaT
    days["previous_count"] = days["count"] - days["day_orders"]
    return days


def lifecycle(orders, days, customers, dates):
    first_seen = customers.set_index("customer_key")["first_seen_at"].dt.normalize()
    first_order = customers.set_index("customer_key")["first_order_on"]
    known = orders.dropna(subset="customer_key")
    parts = []
    for as_of in dates:
        past = days[days["ordered_on"] <= as_of].copy()
        now = past.groupby("customer_key").last()
        gaps = known.loc[known["ordered_on"] <= as_of].groupby("customer_key")
        gaps = gaps["days_since_previous_order"]
        company = known.loc[known["ordered_on"] <= as_of, "days_since_previous_order"].median()
        now["rhythm"] = gaps.median().where(now["count"] >= 3, company)
        arguments = [now[c] for c in ("ordered_on", "count", "shortening", "second_on", "rhythm")]
        on = pd.Series(as_of, index=now.index)
        now["lifecycle_stage"] = stage(on, *arguments)
        past["rhythm"] = past["customer_key"].map(now["rhythm"])
        after = stage(
            past["ordered_on"], past["ordered_on"], past["count"], past["shortening"],
            past["second_on"], past["rhythm"],
        )  # fmt: skip
        before = stage(
            past["ordered_on"] - DAY, past["previous_on"], past["previous_count"], past["was"],
            past["second_on"], past["rhythm"],
        )  # fmt: skip
        past["before"] = np.where(past["previous_on"].isna(), "introduction", before)
        turns = past[past["before"] != after].groupby("customer_key").last()
        turned_on = turns["ordered_on"].reindex(now.index)
        leaving_on = now["ordered_on"] + pd.to_timedelta(np.floor(3 * now["rhythm"]) + 1, "D")
        young_until = now["second_on"] + pd.to_timedelta(np.ceil(2 * now["rhythm"]), "D")
        current = now["lifecycle_stage"]
        grown = (current == "maintenance") & (young_until > turned_on)
        now["stage_since_on"] = (
            turned_on.mask(grown, young_until)
            .mask(current == "confirmation", now["ordered_on"])
            .mask(current == "leaving", leaving_on)
        )
        until = stage(leaving_on - DAY, *arguments)
        now["previous_stage"] = (
            turns["before"].reindex(now.index)
            .mask(grown, "growth")
            .mask(current == "confirmation", "introduction")
            .mask(current == "leaving", until)
        )  # fmt: skip
        unknown = (first_seen.reindex(now.index) >= first_order.reindex(now.index)) & (
            now["previous_stage"] == "introduction"
        )
        now.loc[unknown, "previous_stage"] = None
        columns = ["lifecycle_stage", "previous_stage", "stage_since_on"]
        waiting = first_seen[(first_seen <= as_of) & ~first_seen.index.isin(now.index)]
        others = pd.DataFrame({"lifecycle_stage": "introduction", "stage_since_on": waiting})
        one = pd.concat([now[columns].reset_index(), others.reset_index()])
        parts.append(one.assign(as_of=as_of))
    return pd.concat(parts, ignore_index=True)


def company_kpis(orders, days, returns, as_of):
    month = lambda on: on.dt.to_period("M")  # noqa: E731
    months = days.assign(month=month(days["ordered_on"]))
    months = months[["customer_key", "month"]].drop_duplicates()
    months["cohort"] = months.groupby("customer_key")["month"].transform("min")
    active = months.groupby(["cohort", "month"]).size().unstack(fill_value=0)
    cohorts = active.stack().rename("active_customers").reset_index()
    cohorts = cohorts[cohorts["month"] >= cohorts["cohort"]]
    cohorts["cohort_customers"] = cohorts["cohort"].map(
        months.groupby("cohort")["customer_key"].nunique()
    )
    cohorts["retention_rate"] = cohorts["active_customers"] / cohorts["cohort_customers"]
    monthly = orders.groupby(month(orders["ordered_on"])).agg(
        order_count=("order_key", "size"), gross_amount=("gross_amount", "sum")
    )
    monthly["returned_amount"] = returns.groupby(month(returns["on"]))["amount"].sum()
    monthly["active_customers"] = months.groupby("month").size()
    monthly["new_customers"] = months[months["month"] == months["cohort"]].groupby("month").size()
    sets = months.groupby("month")["customer_key"].agg(set)
    gap_after = days.groupby("customer_key")["ordered_on"].shift(-1) - days["ordered_on"]
    lapsed = days[(gap_after.isna() | (gap_after > HORIZON * DAY))]
    lapsed = lapsed.assign(on=lapsed["ordered_on"] + HORIZON * DAY)
    lapsed = lapsed[lapsed["on"] <= as_of].groupby(month(lapsed["on"]))["customer_key"].agg(set)
    for one in monthly.index:
        end = min(one.end_time.normalize(), as_of)
        start = one.start_time - DAY
        recent = orders[(orders["ordered_on"] <= end) & (orders["ordered_on"] > end - 365 * DAY)]
        counts = recent.groupby("customer_key").size()
        monthly.loc[one, "repurchase_rate"] = (counts > 1).mean()
        last = days[days["ordered_on"] <= start].groupby("customer_key")["ordered_on"].max()
        alive = set(last.index[start - last < HORIZON * DAY])
        if alive:
            monthly.loc[one, "churn_rate"] = len(alive & lapsed.get(one, set())) / len(alive)
        if one - 1 in sets.index:
            before = sets[one - 1]
            monthly.loc[one, "retention_rate"] = len(before & sets[one]) / len(before)
    daily = orders.groupby("ordered_on").agg(
        order_count=("order_key", "size"), gross_amount=("gross_amount", "sum")
    )
    daily["active_customers"] = days.groupby("ordered_on").size()
    first = days.groupby("customer_key")["ordered_on"].transform("min")
    daily["new_customers"] = days[days["ordered_on"] == first].groupby("ordered_on").size()
    daily = daily.join(returns.groupby("on")["amount"].sum().rename("returned_amount"), how="outer")
    daily = daily.reindex(pd.date_range(daily.index.min(), as_of)).fillna(0)
    for frame in (monthly, daily):
        frame["net_amount"] = frame["gross_amount"] - frame["returned_amount"].fillna(0)
        frame["average_order_amount"] = frame["gross_amount"] / frame["order_count"]
    cohorts, monthly = (
        cohorts.astype({"cohort": str, "month": str}),
        monthly.set_axis(monthly.index.astype(str)),
    )
    return cohorts, monthly.reset_index(names="month"), daily.reset_index(names="date_on")


def main(path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    clock = [time.perf_counter()]

    def done(step):
        clock.append(time.perf_counter())
        print(f"  ok   {step:<20} {clock[-1] - clock[-2]:9.2f} s", flush=True)

    def write(**tables):
        for name, table in tables.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)

    lines = read_lines(path)
    as_of = lines["on"].max()
    done("read")
    items, orders, returns, adjustments = facts(lines)
    customers, products, dates = dimensions(lines, orders, as_of)
    del lines
    done("facts, dimensions")
    ends = pd.date_range(end=as_of, periods=12, freq="ME")
    snapshots = [as_of, *ends]
    days = order_days(orders)
    scored = rfm(orders, returns, snapshots)
    worth = customer_value(orders, returns)
    stages = lifecycle(orders, days, customers, snapshots)
    cohorts, monthly, daily = company_kpis(orders, days, returns, as_of)
    done("marts")
    features, labels, training, evaluation = models.feature_tables(
        items, orders, days, returns, as_of
    )
    done("features")
    write(fct_order_items=items, fct_orders=orders, fct_returns=returns)
    write(fct_adjustments=adjustments, dim_customers=customers, dim_products=products)
    write(dim_dates=dates, customer_rfm=scored, customer_value=worth, customer_lifecycle=stages)
    write(cohort_retention=cohorts, kpi_monthly=monthly, kpi_daily=daily)
    write(customer_features=pd.concat(features.values()))
    write(customer_labels=pd.concat(labels.values()))
    del items, orders, returns, adjustments
    done("write")
    now = features[as_of]
    with threadpool_limits(1):  # on so few rows a second thread costs more than it gives
        segment, evidence = models.segments(now)
        done("segments")
        clv, holdout = models.value(features[evaluation], labels[evaluation], now)
        done("value")
        churn, reasons, comparison = models.churn(features, labels, training, evaluation, now)
        done("churn")
    current = customers.drop(columns="first_order_on")
    for table in (scored[scored["as_of"] == as_of], worth, stages[stages["as_of"] == as_of]):
        new = [c for c in table if c == "customer_key" or c not in current]
        current = current.merge(table[new], on="customer_key", how="left")
    for table in (segment, clv, churn):
        current = current.merge(table, on="customer_key", how="left")
    write(customer_360=current, customer_segments=segment, customer_clv=clv, customer_churn=churn)
    write(customer_reasons=reasons, segment_search=evidence, clv_holdout=holdout)
    write(churn_comparison=comparison)
    done("write scores")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
