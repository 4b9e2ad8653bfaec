"""Uplift: how much more likely a customer buys if a campaign reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult

_PEOPLE = "select * from features.uplift_people where campaign_key"


def _training(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    people = frame(con, f"{_PEOPLE} <> 'today' order by campaign_key, person_key")
    return {"people": people}


def _train(frames: Frames, _settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.uplift.training import train_uplift

    return train_uplift(frames["people"], champion=champion)


def _scoring(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return {"people": frame(con, f"{_PEOPLE} = 'today' order by person_key")}


def _score(estimator: Any, frames: Frames, _settings: RunSettings) -> Scored:
    people = frames["people"]
    found = people[["customer_key"]].assign(
        experiment_arm=estimator.arm, uplift=estimator.predict(people).round(6)
    )
    return Scored(found)


def _types() -> Sequence[str]:
    from ml.uplift.model import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="uplift",
    package="uplift",
    table="customer_uplift",
    types={"experiment_arm": "varchar", "uplift": "double"},
    description="How much more likely a customer buys if treated. Grain: one row for every "
    "customer with an order.",
    limits=(
        "It holds for customers like those of the experiments and for treatments like theirs.",
        "A single customer's uplift is very uncertain; the order of many is what was tested.",
    ),
    subject="people",
    training_reads=("features.uplift_people",),
    scoring_reads=("features.uplift_people",),
    settings=lambda _settings: {},
    training_frames=_training,
    train=_train,
    scoring_frames=_scoring,
    score=_score,
    trusted_types=_types,
)
