"""Churn of contracts: how likely it is that one is ended, by its dates or by its source's flag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import ChampionOf, Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult

_CONTRACTS = "select * from features.subscription_features"
_COSTS = "select * from seeds.churn_costs where model = 'contract_churn'"


def _training_frames(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {
        "contracts": frame(con, f"{_CONTRACTS} order by cut_off_on, subscription_key"),
        "cut_offs": frame(
            con,
            "select * from features.cut_offs where purpose like 'churn%' "
            "order by cut_off_on, purpose",
        ),
        "costs": frame(con, _COSTS),
    }


def _train(frames: Frames, settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.churn.costs import contact_costs
    from ml.churn.training import train_contract_churn

    return train_contract_churn(
        frames["contracts"],
        frames["cut_offs"],
        horizon_days=settings.horizon_days,
        champion=champion,
        costs=contact_costs(frames["costs"], "contract_churn"),
    )


def _scoring_frames(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> Frames:
    return {
        "contracts": frame(
            con,
            f"{_CONTRACTS} where cut_off_on = ? order by subscription_key",
            [settings.as_of],
        ),
        "bands": frame(con, "select * from seeds.risk_bands order by all"),
        "costs": frame(con, _COSTS),
    }


def _score(estimator: Any, frames: Frames, settings: RunSettings) -> Scored:
    from ml.churn.costs import contact_costs
    from ml.churn.scoring import score_contract_churn

    predictions, reasons = score_contract_churn(
        estimator,
        frames["contracts"],
        frames["bands"],
        contact_costs(frames["costs"], "contract_churn"),
    )
    return Scored(predictions, {"subscription_reasons": reasons})


def _types() -> Sequence[str]:
    from ml.churn.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="contract_churn",
    package="churn",
    table="subscription_churn",
    types={
        "subscription_key": "varchar",
        "customer_key": "varchar",
        "status": "varchar",
        "horizon_days": "integer",
        "churn_probability": "double",
        "risk_band": "varchar",
        "is_contact_worthwhile": "boolean",
        "reason_1": "varchar",
        "reason_2": "varchar",
        "reason_3": "varchar",
    },
    further={
        "subscription_reasons": {
            "subscription_key": "varchar",
            "as_of": "date",
            "feature": "varchar",
            "value": "double",
            "value_text": "varchar",
            "contribution": "double",
        }
    },
    description="Probability that a contract is ended. Grain: one row per contract.",
    limits=(
        "Where a flag without a date is the label there was no later period: it was examined on a "
        "fifth of the contracts of the same day.",
        "Of a contract with dates only what cannot have changed since is a fact: term, plan, "
        "tenure, and the customer's orders.",
        "Reasons are contributions to the model's score, not causes.",
    ),
    subject="contracts",
    training_reads=("features.subscription_features", "features.cut_offs", "seeds.churn_costs"),
    scoring_reads=("features.subscription_features", "seeds.risk_bands", "seeds.churn_costs"),
    settings=lambda s: {"model": "contract_churn", "horizon_days": s.horizon_days},
    horizon_days=lambda s: s.horizon_days,
    training_frames=_training_frames,
    train=_train,
    scoring_frames=_scoring_frames,
    score=_score,
    trusted_types=_types,
    is_of_customers=False,
)


def let_contracts_decide(
    con: duckdb.DuckDBPyConnection, settings: RunSettings, champion_of: ChampionOf
) -> None:
    """Score a customer with a running contract by it, also where no model of orders rules.

    Of several contracts the one that is most likely to be ended decides. They are scored here once
    more: were ``scores.subscription_churn`` read, its checks, which share a step with those of
    ``scores.customer_churn``, would have to run before and after it.
    """
    champion = champion_of(SPEC.name, SPEC.horizon_days(settings))
    if champion is None:
        return
    scored = SPEC.score(champion.estimator, SPEC.scoring_frames(con, settings), settings)
    con.register("contract_scores", scored.predictions)
    con.register("contract_reasons", scored.further["subscription_reasons"])
    con.execute("begin")
    con.execute(
        """
        create or replace temp table deciding_contracts as
        select * from contract_scores
        where status = 'scored' and customer_key in (
            select customer_key from scores.customer_churn)
        qualify row_number() over (
            partition by customer_key order by churn_probability desc, subscription_key) = 1
        """
    )
    con.execute(
        """
        update scores.customer_churn as c set
            status = 'scored', horizon_days = d.horizon_days,
            churn_probability = d.churn_probability, risk_band = d.risk_band,
            is_contact_worthwhile = d.is_contact_worthwhile, reason_1 = d.reason_1,
            reason_2 = d.reason_2, reason_3 = d.reason_3, model_version = ?
        from deciding_contracts as d where c.customer_key = d.customer_key
        """,
        [champion.model_version],
    )
    con.execute(
        "delete from scores.customer_reasons where model = 'churn' and customer_key in "
        "(select customer_key from deciding_contracts)"
    )
    con.execute(
        """
        insert into scores.customer_reasons
            (customer_key, as_of, model, feature, value, contribution)
        select d.customer_key, ?, 'contract_churn', r.feature, r.value, r.contribution
        from deciding_contracts as d join contract_reasons as r using (subscription_key)
        order by d.customer_key, r.feature
        """,
        [settings.as_of],
    )
    con.execute("drop table deciding_contracts")
    con.execute("commit")
    con.unregister("contract_scores")
    con.unregister("contract_reasons")
