"""Sentiment: how likely the writer of a comment is content, from its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.spec import Frames, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    from ml.evaluation.result import TrainingResult

_COMMENTS = "select * from features.comments where comment_language is not null"
_PLACES = ["comment_table", "comment_column", "comment_file", "comment_line"]


def _comments(con: duckdb.DuckDBPyConnection, where: str = "") -> Frames:
    """Comments with their texts, and a few rows without for whoever shows an example."""
    from crm_pipeline.vault.texts import with_texts

    rows = frame(con, f"{_COMMENTS}{where} order by response_key")
    comments = with_texts(con, rows).drop(columns=_PLACES)
    told = ["comment_language", "comment_sentiment", "score_share"]
    return {"features": comments[told].head(5), "comments": comments}


def _training(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return _comments(con, " and score_share is not null")


def _train(frames: Frames, _settings: RunSettings, champion: Any) -> TrainingResult:
    from ml.satisfaction.training import train_sentiment

    return train_sentiment(frames["comments"], champion=champion)


def _scoring(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    return _comments(con)


def _score(estimator: Any, frames: Frames, _settings: RunSettings) -> Scored:
    comments = frames["comments"]
    comments = comments[comments["text"].notna()].reset_index(drop=True)
    found = comments[["response_key", "comment_language"]].assign(
        content_probability=estimator.predict_proba(comments)[:, 1].round(6),
        method=estimator.methods(comments),
    )
    return Scored(found)


def _types() -> Sequence[str]:
    from ml.satisfaction.sentiment import SKOPS_TRUSTED_TYPES

    return SKOPS_TRUSTED_TYPES


SPEC = ModelSpec(
    name="sentiment",
    package="satisfaction",
    table="comment_sentiment",
    types={
        "response_key": "varchar",
        "comment_language": "varchar",
        "content_probability": "double",
        "method": "varchar",
    },
    description="How likely the writer of a comment is content. Grain: one row per comment.",
    limits=(
        "It reads short comments in English and Chinese; irony and other languages are lost on it.",
        "Labels are the ratings beside the comments, which are not always about the same thing.",
    ),
    training_reads=("features.comments",),
    scoring_reads=("features.comments",),
    settings=lambda _settings: {},
    training_frames=_training,
    train=_train,
    scoring_frames=_scoring,
    score=_score,
    trusted_types=_types,
    is_of_customers=False,
)
