"""How often labels that mean nothing lead to a promotion: the gate's own error rate.

Draws permutations of a small company's labels and sends each through the real training and gate of
a model: churn, contracts, value, leads, opportunities, uplift. Run by ``make bench`` (name:
permutations); prints the reasons that were given and how many were promoted. By hand:

    python -m tests.benchmarks.permuted_labels [MODEL...] [--permutations 200]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

from ml.churn.training import train_churn, train_contract_churn
from ml.clv import training as clv
from ml.evaluation.gate import decide
from ml.evaluation.result import TrainingResult
from ml.forecast.opportunities.training import train_lead_conversion, train_win_probability
from ml.uplift.training import train_uplift
from tests.unit.churn_company import company, frames
from tests.unit.model_company import value_frames
from tests.unit.test_churn_contracts import contracts
from tests.unit.test_forecast_leads import AS_OF as LEADS_AS_OF
from tests.unit.test_forecast_leads import HORIZON as LEADS_HORIZON
from tests.unit.test_forecast_leads import leads_of
from tests.unit.test_forecast_opportunities import AS_OF as STATES_AS_OF
from tests.unit.test_forecast_opportunities import states_of
from tests.unit.test_uplift_training import people

HORIZON = 90
CUSTOMERS = 500
RECIPES = (
    "logistic stable strength=10",
    "logistic stable strength=1000",
    "splines stable strength=1000",
    "tree stable leaves=8",
    "boosting stable leaves=4 trees=20",
)
"""Of those that training tries, the quick ones; a blend of the best two joins them."""
CONTRACT_RECIPES = tuple(recipe.replace("stable", "full") for recipe in RECIPES)
MOST_PROMOTIONS = 18
"""Of 200. A test that errs in 5 % of cases promotes more than this in less than 1 % of runs."""


@cache
def _customers() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return frames(company(customers=CUSTOMERS, seed=11), training=4)


def _churn(seed: int) -> TrainingResult:
    """Labels dealt out anew among the customers of each cut-off."""
    features, labels, cut_offs = _customers()
    dealt, rng = labels.copy(), np.random.default_rng(seed)
    for _, rows in labels[labels["is_churned"].notna()].groupby("cut_off_on"):
        dealt.loc[rows.index, "is_churned"] = rng.permutation(rows["is_churned"].to_numpy())
    return train_churn(features, dealt, cut_offs, horizon_days=HORIZON, recipes=RECIPES, seed=seed)


@cache
def _contracts() -> pd.DataFrame:
    return contracts(1100, seed=11)


def _contract_churn(seed: int) -> TrainingResult:
    table = _contracts()
    mixed = np.random.default_rng(seed).permutation(table["is_churned"].to_numpy())
    return train_contract_churn(table.assign(is_churned=mixed), recipes=CONTRACT_RECIPES, seed=seed)


@cache
def _values() -> tuple[pd.DataFrame, pd.DataFrame]:
    return value_frames(600, 11)


def _clv(seed: int) -> TrainingResult:
    """What customers spent afterwards, dealt out anew."""
    features, labels = _values()
    order = np.random.default_rng(seed).permutation(len(labels))
    spent = ["future_purchase_day_count", "future_gross_amount"]
    dealt = labels.assign(**{name: labels[name].to_numpy()[order] for name in spent})
    return clv.train_clv(
        features, features, dealt, holdout_days=HORIZON, horizon_days=365, discount_rate=0.1
    )


def _lead_conversion(seed: int) -> TrainingResult:
    """Whether and after how many days, dealt out anew among leads whose horizon is over."""
    leads = leads_of(900, seed=11)
    ones = leads.drop_duplicates("lead_key").set_index("lead_key")
    over = ones[ones["created_on"] <= LEADS_AS_OF - pd.Timedelta(days=LEADS_HORIZON)]
    took = over["converted_on"] - over["created_on"]
    mixed = pd.Series(
        took.to_numpy()[np.random.default_rng(seed).permutation(len(took))], index=over.index
    )
    dealt = leads[leads["lead_key"].isin(over.index)]
    converted = dealt["created_on"] + dealt["lead_key"].map(mixed)
    return train_lead_conversion(
        dealt.assign(converted_on=converted), as_of=LEADS_AS_OF, horizon_days=LEADS_HORIZON
    )


def _win_probability(seed: int) -> TrainingResult:
    """Outcomes of the decided, dealt out anew; when they were decided stays."""
    states = states_of(size=900, seed=seed)
    known = states.drop_duplicates("opportunity_key").set_index("opportunity_key")["is_won"]
    known = known.dropna()
    rng = np.random.default_rng(seed)
    mixed = dict(zip(known.index, rng.permutation(known.to_numpy()), strict=True))
    is_known = states["is_won"].notna()
    won = states["opportunity_key"].map(mixed).where(is_known, None)
    return train_win_probability(states.assign(is_won=won), as_of=STATES_AS_OF)


def _uplift(seed: int) -> TrainingResult:
    """Who was treated, drawn again within each campaign, which moved nobody."""
    rows = people(600, seed=seed)
    rng = np.random.default_rng(seed)
    drawn = rows["is_control"].to_numpy(copy=True)
    for _, index in rows.groupby("campaign_key").indices.items():
        drawn[index] = rng.permutation(drawn[index])
    arm = np.where(drawn, "control", "treated")
    return train_uplift(rows.assign(is_control=drawn, arm=arm))


PERMUTED: dict[str, Callable[[int], TrainingResult]] = {
    "churn": _churn,
    "clv": _clv,
    "contract_churn": _contract_churn,
    "lead_conversion": _lead_conversion,
    "uplift": _uplift,
    "win_probability": _win_probability,
}


def promotions(model: str, count: int) -> Counter[str]:
    """Return how many permutations were promoted, and how many were refused for which reason."""
    found: Counter[str] = Counter()
    for number in range(count):
        result = PERMUTED[model](number)
        assert result.status == "trained", result.reason
        decision = decide(result)
        reason = re.split(r" \(| [0-9-]", decision.reason)[0]
        found["promoted" if decision.promoted else reason] += 1
    return found


def main() -> int:
    """Count the promotions; exit with 1 where there are too many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(PERMUTED))
    parser.add_argument("--permutations", type=int, default=200)
    options = parser.parse_args()
    if unknown := sorted(set(options.models) - set(PERMUTED)):
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(PERMUTED)}")
    clv.figures = lambda *_: {}  # pictures of 200 models are looked at by nobody
    most = MOST_PROMOTIONS * options.permutations / 200
    too_many = False
    for model in options.models or PERMUTED:
        found = promotions(model, options.permutations)
        for reason, count in found.most_common():
            print(f"{count:>5}  {reason}")
        promoted = found["promoted"]
        print(
            f"{model}: {promoted} of {options.permutations} permutations were promoted", flush=True
        )
        too_many |= promoted > most
    return 1 if too_many else 0


if __name__ == "__main__":
    sys.exit(main())
