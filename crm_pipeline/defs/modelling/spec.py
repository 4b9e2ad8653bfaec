"""What a model and an analysis are to the pipeline: names, tables, and how each meets ``ml``.

Belongs here: the two shapes, and how features are read. Does not: any single model
(``models/<name>.py``) or analysis (``analyses/<name>.py``); those join by being there, see
``registered.py``. Packages of ``ml`` are imported when a step runs: they bring scikit-learn, which
the UI's process never needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from crm_pipeline.defs.modelling.store import RunSettings, frame

if TYPE_CHECKING:
    import pandas as pd

    from crm_pipeline.resources.tracking import Champion
    from ml.evaluation.result import TrainingResult

Frames = dict[str, "pd.DataFrame"]
ChampionOf = Callable[[str, int], "Champion | None"]
"""Model and horizon -> the champion, None without one."""
Types = dict[str, str]
FEATURES = "select * from features.customer_features"


@dataclass(frozen=True)
class Scored:
    """What a champion says: the rows of its main table, and further tables by name."""

    predictions: pd.DataFrame
    further: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """One model: its names, its tables, and its functions.

    Attributes:
        name: In the registry and in asset keys.
        package: Below ``ml/``; its code is part of every version.
        table: Its main table in ``scores``.
        types: Value columns of that table, in order: all but ``customer_key`` (of a table of
            customers), ``as_of``, ``status`` and ``model_version``.
        description: Grain of the main table.
        limits: What a reader must not conclude; on the model's card.
        training_reads: Tables that training reads, ``schema.table``.
        scoring_reads: Tables that scoring reads.
        settings: What decides the result, besides the data.
        training_frames: Reads what training needs, rows in key order.
        train: Trains and evaluates, also the champion on the same rows.
        scoring_frames: Reads what scoring needs.
        score: Applies the champion.
        trusted_types: What skops may construct when the model is loaded.
        horizon_days: How far it looks; a champion for another horizon does not score.
        further: Further tables in ``scores`` with all their columns; ``as_of`` and
            ``model_version`` are filled in where the frame leaves them out.
        is_of_customers: Whether the main table has one row for every customer with an order,
            each with a status. One of another grain holds what the champion says, and is empty
            without one.
        borrows: Other packages below ``ml/`` whose code it runs; part of every version too.
        subject: The training frame whose rows the model is of. A company that has none is not
            warned that nothing rules.
        follows_champion: Whether the champion decides part of the result, such as its names: then
            its version is part of the candidate's.
        afterwards: What else happens to its tables once they are written, also without a champion;
            it may ask for another model's.
        without_champion: Of a table of another grain with a ``status``: its rows, without values,
            where nothing rules.
    """

    name: str
    package: str
    table: str
    types: Types
    description: str
    limits: tuple[str, ...]
    training_reads: Sequence[str]
    scoring_reads: Sequence[str]
    settings: Callable[[RunSettings], dict[str, object]]
    training_frames: Callable[[duckdb.DuckDBPyConnection, RunSettings], Frames]
    train: Callable[[Frames, RunSettings, Any], TrainingResult]
    scoring_frames: Callable[[duckdb.DuckDBPyConnection, RunSettings], Frames]
    score: Callable[[Any, Frames, RunSettings], Scored]
    trusted_types: Callable[[], Sequence[str]]
    horizon_days: Callable[[RunSettings], int] = lambda _settings: 0
    further: Mapping[str, Types] = field(default_factory=dict)
    is_of_customers: bool = True
    borrows: tuple[str, ...] = ()
    subject: str = "features"
    follows_champion: bool = False
    afterwards: Callable[[duckdb.DuckDBPyConnection, RunSettings, ChampionOf], None] = (
        lambda _con, _settings, _champion_of: None
    )
    without_champion: (
        Callable[[duckdb.DuckDBPyConnection, RunSettings, str], pd.DataFrame] | None
    ) = None


@dataclass(frozen=True)
class AnalysisSpec:
    """Tables in ``scores`` that are computed anew in every run, and need no champion.

    Attributes:
        name: In the step's name, ``analyse_<name>``.
        package: Below ``ml/``.
        tables: Table -> its columns with their types; ``as_of`` is filled in where the frame
            leaves it out.
        description: What they say, and their grain.
        reads: Tables that it reads, ``schema.table``.
        frames: Reads what it needs, rows in key order.
        compute: Frames in, one frame a table out.
        afterwards: What else is done once its tables are written.
    """

    name: str
    package: str
    tables: Mapping[str, Types]
    description: str
    reads: Sequence[str]
    frames: Callable[[duckdb.DuckDBPyConnection, RunSettings], Frames]
    compute: Callable[[Frames, RunSettings], Mapping[str, pd.DataFrame]]
    afterwards: Callable[[duckdb.DuckDBPyConnection, RunSettings], None] = lambda _con, _settings: (
        None
    )

    @property
    def is_late(self) -> bool:
        """Whether its tables are made of other scores, and so wait until those have passed."""
        return any(read.startswith("scores.") for read in self.reads)


CUSTOMER_FEATURES = ("features.customer_features", "features.cut_offs")
"""What a model of customers reads at least."""


def features_at(con: duckdb.DuckDBPyConnection, purpose: str) -> pd.DataFrame:
    """Return the rows of ``customer_features`` at the cut-offs of one purpose, by customer."""
    return frame(
        con,
        f"{FEATURES} where cut_off_on in (select cut_off_on from features.cut_offs "
        "where purpose = ?) order by customer_key",
        [purpose],
    )


def scoring_features(con: duckdb.DuckDBPyConnection, _settings: RunSettings) -> Frames:
    """Return today's features, as the frame ``features``."""
    return {"features": features_at(con, "scoring")}
