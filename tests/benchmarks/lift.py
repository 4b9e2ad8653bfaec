"""Whether the measured lift of campaigns holds the true one, over many demo companies.

The demo company knows what each customer would have done with and without each campaign. For many
seeds, the lift of its campaigns is measured with the functions of the pipeline (no SQL: a unit test
holds the mart against them) and held against the truth of the same people.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crm_pipeline.demo.company import DemoCompany
from crm_pipeline.demo.marketing import CONTROL_RATE, WINDOW_DAYS
from ml.experiments.audiences import HOLDOUT, TREATMENT, audience_results
from ml.experiments.effects import two_proportions
from tests.benchmarks.report import Report, table

SEEDS, CUSTOMERS = 100, 4_000
LEAST_COVERED, MOST_COVERED, WIDEST = 0.90, 0.99, 1.2
PAST_DAYS = 365
DESIGNS = pd.DataFrame(
    {"audience": ["campaign"], "outcome": "conversion", "window_days": WINDOW_DAYS,
     "holdout_share": CONTROL_RATE, "smallest_effect": 0.10}
)  # fmt: skip


def campaign_people(company: DemoCompany) -> pd.DataFrame:
    """Return everybody chosen for a campaign: lot, outcome, past, and both possible outcomes."""
    blocks = [company.block(number) for number in range(company.block_count)]

    def read(kind: str, name: str) -> pd.DataFrame:
        tables = [getattr(block, kind)[name].to_pandas() for block in blocks]
        return pd.concat(tables, ignore_index=True)

    touches = read("truths", "touches")
    sent = read("tables", "campaign_touches").set_index("touch_no")
    orders = read("truths", "orders").dropna(subset="customer_no")
    touches["is_converted"] = sent["is_converted"].reindex(touches["touch_no"]).to_numpy()
    touches["assigned_on"] = touches["touched_at"].dt.normalize()
    placed = touches[["touch_no", "customer_no", "assigned_on"]].merge(
        orders[["customer_no", "ordered_at", "amount"]], on="customer_no"
    )
    ago = (placed["assigned_on"] - placed["ordered_at"].dt.normalize()).dt.days
    past = placed[(ago > 0) & (ago <= PAST_DAYS)].assign(
        amount=lambda rows: rows["amount"].astype(float)
    )
    sums = past.groupby("touch_no")["amount"].agg(["size", "sum"])
    sums = sums.reindex(touches["touch_no"], fill_value=0).to_numpy(dtype=float)
    return touches.assign(order_count_before=sums[:, 0], gross_amount_before=sums[:, 1])


def assigned(touches: pd.DataFrame) -> pd.DataFrame:
    """Return the campaigns' people as if each campaign were the experiment of an audience."""
    return pd.DataFrame(
        {
            "experiment": touches["campaign_no"],
            "audience": "campaign",
            "audience_version": 1,
            "customer_key": touches["customer_no"],
            "arm": np.where(touches["is_control"], HOLDOUT, TREATMENT),
            "assigned_on": touches["assigned_on"],
            "is_complete": True,
            "order_count": touches["is_converted"].astype(int),
            "net_amount": 0.0,
            "gain_amount": np.nan,
            "order_count_before": touches["order_count_before"],
            "gross_amount_before": touches["gross_amount_before"],
            "expected_gain_amount": np.nan,
        }
    )


def measured(seed: int, customers: int) -> pd.DataFrame:
    """Return one row a campaign: the truth, and both intervals."""
    touches = campaign_people(DemoCompany(customers=customers, seed=seed))
    lift = (touches["would_order"] & ~touches["buys_anyway"]).astype(float)
    truth = lift.groupby(touches["campaign_no"]).mean()
    found = audience_results(assigned(touches), DESIGNS).set_index("experiment")
    rows = []
    for campaign, people in touches.groupby("campaign_no", sort=True):
        held = people["is_control"].to_numpy()
        bought = people["is_converted"].to_numpy()
        plain = two_proportions(bought[~held].sum(), (~held).sum(), bought[held].sum(), held.sum())
        row = found.loc[campaign]
        rows.append(
            (seed, campaign, len(people), truth[campaign], row["effect"], row["effect_low"],
             row["effect_high"], row["verdict"], plain.effect, plain.low, plain.high)
        )  # fmt: skip
    return pd.DataFrame(
        rows,
        columns=["seed", "campaign", "people", "truth", "effect", "low", "high", "verdict",
                 "plain_effect", "plain_low", "plain_high"],
    )  # fmt: skip


def _covered(rows: pd.DataFrame, prefix: str = "") -> pd.Series:
    return rows["truth"].between(rows[f"{prefix}low"], rows[f"{prefix}high"])


def measure(report: Report, seeds: int) -> None:
    """The last campaign of each company is the one that counts; the others are told beside it."""
    rows = pd.concat([measured(seed, CUSTOMERS) for seed in range(seeds)], ignore_index=True)
    last = rows[rows["campaign"] == rows["campaign"].max()]
    width, plain_width = last["high"] - last["low"], last["plain_high"] - last["plain_low"]
    bounds = {"least": LEAST_COVERED * seeds, "most": MOST_COVERED * seeds}
    name = f"of {seeds} demo companies, the lift's interval covers the truth"
    report.promise(f"{name}: audience_results", _covered(last).sum(), **bounds)
    report.promise(f"{name}: campaign_effect", _covered(last, "plain_").sum(), **bounds)
    report.promise(
        "mean width of audience_results / two-sample formula",
        width.mean() / plain_width.mean(), most=WIDEST,
    )  # fmt: skip
    by_campaign = [
        [
            str(campaign), float(part["people"].mean()), float(part["truth"].mean()),
            float((part["effect"] - part["truth"]).mean()), float(_covered(part).mean()),
            float(_covered(part, "plain_").mean()),
            float((part["high"] - part["low"]).mean()),
            float((part["plain_high"] - part["plain_low"]).mean()),
        ]
        for campaign, part in rows.groupby("campaign", sort=True)
    ]  # fmt: skip
    header = ["campaign", "people", "true lift", "bias", "covered", "covered, plain", "width",
              "width, plain"]  # fmt: skip
    table(f"Lift on {seeds} demo companies of {CUSTOMERS:,}", header, by_campaign)
    report.note("lift", {"by_campaign": [header, *by_campaign]})
