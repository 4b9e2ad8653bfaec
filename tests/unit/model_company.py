"""For every registered model: frames on which it is promoted, as the pipeline would hand them over.

Belongs here: made-up companies by model. ``example`` names a model that has none: who adds a model
adds its frames, and every test over all models holds for it too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from crm_pipeline.defs.modelling.registered import MODELS
from crm_pipeline.defs.modelling.spec import Frames, ModelSpec
from crm_pipeline.defs.modelling.store import RunSettings
from ml.clv.simulation import simulate_customers
from ml.evaluation.result import TrainingResult
from tests.unit import churn_company, recommendation_shop
from tests.unit.forecast_company import lines, periods_of
from tests.unit.test_basket_next_category import company as category_days
from tests.unit.test_churn_contracts import contracts
from tests.unit.test_forecast_leads import leads_of
from tests.unit.test_forecast_opportunities import states_of
from tests.unit.test_segmentation import customers
from tests.unit.test_segmentation_reads import visits
from tests.unit.test_sentiment import comments
from tests.unit.test_uplift_training import people

SEEDS = Path(__file__).parents[2] / "dbt_project/seeds"
QUICK_RECIPES = ("logistic full strength=1000", "tree full leaves=8")
"""What the churn models try in these tests: all families are tried in theirs."""


@dataclass(frozen=True)
class Example:
    """One model's company.

    Attributes:
        settings: Of the run.
        training: As ``training_frames`` returns them.
        scoring: As ``scoring_frames`` returns them.
    """

    settings: RunSettings
    training: Frames
    scoring: Frames


def _settings(as_of: date, horizon_days: int = 90) -> RunSettings:
    return RunSettings(as_of, horizon_days, 365, 90, 0.1)


def _seed(name: str) -> pd.DataFrame:
    return pd.read_csv(SEEDS / f"{name}.csv")


def _costs(model: str) -> pd.DataFrame:
    costs = _seed("churn_costs")
    return costs[costs["model"] == model]


def _churn(seed: int) -> Example:
    drawn = churn_company.company(customers=1500, seed=seed + 11)
    features, labels, cut_offs = churn_company.frames(drawn, training=3)
    frames = {"features": features, "labels": labels, "cut_offs": cut_offs}
    now = features[features["cut_off_on"] == drawn.as_of]
    bands = {"bands": _seed("risk_bands"), "costs": _costs("churn")}
    return Example(
        _settings(drawn.as_of),
        {**frames, "costs": _costs("churn")},
        {"features": now.reset_index(drop=True), **bands},
    )


def _contract_churn(seed: int) -> Example:
    table = contracts(1200, seed=seed)
    bands = {"bands": _seed("risk_bands"), "costs": _costs("contract_churn")}
    none = pd.DataFrame({"cut_off_on": [], "purpose": []})
    return Example(
        _settings(date(2025, 12, 31)),
        {"contracts": table, "cut_offs": none, "costs": _costs("contract_churn")},
        {"contracts": table, **bands},
    )


def value_frames(count: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of customers who buy by BG/NBD and Gamma-Gamma, and what they spent afterwards."""
    ages = np.random.default_rng(seed).integers(1, 400, count)
    drawn = simulate_customers(
        ages, purchase=(0.5, 40.0, 0.9, 2.0), spend=(4.0, 3.5, 60.0), horizon=90, seed=seed
    )
    rng = np.random.default_rng(seed + 1)
    spent = drawn["repeat_mean_amount"].fillna(96.0)
    first = 96.0 * rng.lognormal(-0.5, 1.0, count)
    features = pd.DataFrame(
        {
            "customer_key": [f"shop:{number:05d}" for number in range(count)],
            "repeat_count": drawn["repeat_count"],
            "last_repeat_age_days": np.minimum(np.ceil(drawn["last_repeat_age"]), ages).astype(int),
            "observed_age_days": ages,
            "repeat_mean_amount": drawn["repeat_mean_amount"].round(4),
            "gross_amount": (first + spent * drawn["repeat_count"]).round(2),
            "gross_amount_90d": (first * (ages < 90)).round(2),
        }
    )
    future = drawn["future_purchase_count"]
    labels = pd.DataFrame(
        {
            "customer_key": features["customer_key"],
            "horizon_days": 90,
            "future_purchase_day_count": future,
            "future_gross_amount": (spent * future).round(2),
        }
    )
    return features, labels


def _clv(seed: int) -> Example:
    features, labels = value_frames(1500, seed + 8)
    on = {"cut_off_on": pd.Timestamp("2025-10-02")}
    training = {
        "now": features,
        "cut_off": features,
        "labels": labels,
        "past_features": features.head(0).assign(**on),
        "past_labels": labels.head(0).assign(**on),
        "cut_offs": pd.DataFrame({"cut_off_on": [], "horizon_days": [], "purpose": []}),
    }
    horizons = _seed("value_horizons")
    return Example(
        _settings(date(2025, 12, 31)), training, {"features": features, "horizons": horizons}
    )


def _forecast(seed: int) -> Example:
    frames = {"periods": periods_of(lines(seed=seed))}
    return Example(_settings(date(2025, 5, 10)), frames, frames)


def _lead_conversion(seed: int) -> Example:
    frames = {"leads": leads_of(1000, seed=seed)}
    return Example(_settings(date(2024, 12, 31), 60), frames, frames)


def _next_category(seed: int) -> Example:
    frames = {"days": category_days(100, seed=seed)}
    return Example(_settings(date(2026, 6, 30), 60), frames, frames)


def _recommendation(seed: int) -> Example:
    shop = {**recommendation_shop.shop(seed=seed), "rules": _seed("recommendation_rules")}
    people = shop["purchases"][["customer_key"]].drop_duplicates(ignore_index=True)
    return Example(_settings(recommendation_shop.AS_OF, 60), shop, {**shop, "customers": people})


def _segments(seed: int) -> Example:
    today = date(2026, 1, 31)
    features = customers(300, seed=seed + 1).assign(cut_off_on=pd.Timestamp(today))
    pages = pd.DataFrame(
        {"customer_key": [], "session_count": [], "page_count": [], "product_page_count": []}
    )
    shared = {"features": features, "profiles": _seed("segment_profiles")}
    history = features.drop(columns="cut_off_on").assign(as_of=pd.Timestamp(today))
    return Example(_settings(today), {**shared, "pages": pages}, {**shared, "history": history})


def _sentiment(seed: int) -> Example:
    written = comments(seed=seed)
    told = written[["comment_language", "comment_sentiment", "score_share"]].head(5)
    frames = {"features": told, "comments": written}
    return Example(_settings(date(2025, 12, 31)), frames, frames)


def _session_segments(seed: int) -> Example:
    sessions = visits(600).drop(columns=["customer_key", "started_on"])
    order = np.random.default_rng(seed).permutation(len(sessions))
    frames = {
        "features": sessions.assign(has_order=sessions["has_order"].astype(float))
        .iloc[order]
        .reset_index(drop=True)
    }
    return Example(_settings(date(2026, 1, 31)), frames, frames)


def _uplift(seed: int) -> Example:
    everybody = people(seed=seed)
    today = everybody[everybody["campaign_key"] == "shop:3"].assign(campaign_key="today")
    return Example(_settings(date(2025, 1, 31)), {"people": everybody}, {"people": today})


def _win_probability(seed: int) -> Example:
    frames = {"states": states_of(seed=seed)}
    return Example(_settings(date(2024, 12, 31)), frames, frames)


COMPANIES: dict[str, Callable[[int], Example]] = {
    "churn": _churn,
    "clv": _clv,
    "contract_churn": _contract_churn,
    "forecast": _forecast,
    "lead_conversion": _lead_conversion,
    "next_category": _next_category,
    "recommendation": _recommendation,
    "segments": _segments,
    "sentiment": _sentiment,
    "session_segments": _session_segments,
    "uplift": _uplift,
    "win_probability": _win_probability,
}
SPECS: dict[str, ModelSpec] = {spec.name: spec for spec in MODELS}


@cache
def example(name: str, seed: int = 0) -> Example:
    """Return a model's company; hold it unchanged, it is made once.

    Raises:
        AssertionError: The model has none yet.
    """
    assert name in COMPANIES, f"add frames of {name} to tests/unit/model_company.py"
    return COMPANIES[name](seed)


@cache
def trained(name: str) -> TrainingResult:
    """Return what training on the model's company gives, without a champion."""
    of = example(name)
    return SPECS[name].train(of.training, of.settings, None)
