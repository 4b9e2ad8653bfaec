"""What a training says about segments, as tables: profiles, and the comparison over data sets.

Belongs here: frames made of a model and its customers. Does not: the methods, or a decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from sklearn.base import BaseEstimator

from ml.segmentation.classifier import RULE_COLUMNS
from ml.segmentation.comparison import (
    COLUMNS,
    COMPARISON_SIZE,
    REFITS,
    Comparison,
    compare,
    segment_means,
)
from ml.segmentation.features import (
    FEATURES,
    KEY,
    PAGES,
    check_values,
    log_features,
    standardise,
)
from ml.segmentation.kmeans import subsample
from ml.segmentation.methods import METHODS
from ml.segmentation.model import SegmentModel

PURCHASES = "purchases"
WITH_PAGES = "purchases_and_pages"
DIGITS = 6


@dataclass(frozen=True)
class Compared:
    """All methods on all data sets of customers.

    Attributes:
        table: One row a data set and method, nothing chosen yet.
        profile: One row a segment of each.
    """

    table: pd.DataFrame
    profile: pd.DataFrame

    def published(self, method: str) -> pd.Series:
        """Return the row of a method on purchases."""
        rows = self.table[(self.table["data"] == PURCHASES) & (self.table["method"] == method)]
        return rows.iloc[0]

    def choose(self, method: str) -> pd.DataFrame:
        """Return the table with the published method marked, figures rounded."""
        is_chosen = (self.table["data"] == PURCHASES) & (self.table["method"] == method)
        return self.table.assign(is_chosen=is_chosen).round(DIGITS)


def compare_customers(
    frame: pd.DataFrame,
    pages: pd.DataFrame | None,
    n_clusters: int,
    *,
    n_bootstrap: int = REFITS,
    seed: int = 0,
) -> Compared:
    """Return all methods on purchases, and on purchases and page views where there are any.

    Args:
        frame: One row a customer, by key: ``FEATURES``.
        pages: One row a customer with a session: ``PAGES``; null counts as nothing seen.
        n_clusters: Segments of the methods that do not find the number.
        n_bootstrap: At most this many refits a method, and at most ``REFITS``.
        seed: Of the sample of ``COMPARISON_SIZE`` customers, and of the methods.

    Raises:
        ValueError: ``pages`` lacks a column, repeats a customer or holds an unusable number.
    """
    sample = frame.iloc[subsample(len(frame), COMPARISON_SIZE, seed)].reset_index(drop=True)
    data = {PURCHASES: sample[list(FEATURES)]}
    seen = _seen(sample, pages)
    if seen is not None:
        data[WITH_PAGES] = seen
    found = {
        name: _compare(values, n_clusters, name, min(n_bootstrap, REFITS), seed)
        for name, values in data.items()
    }
    return Compared(
        pd.concat([each.table for each in found.values()], ignore_index=True),
        pd.concat(
            [segment_means(data[name], each.labels, data=name) for name, each in found.items()],
            ignore_index=True,
        ),
    )


def _seen(sample: pd.DataFrame, pages: pd.DataFrame | None) -> pd.DataFrame | None:
    if pages is None or pages.empty:
        return None
    filled = pages.fillna({name: 0 for name in PAGES if name in pages.columns})
    check_values(filled, (KEY,), PAGES, ())
    if repeated := int(filled[KEY].duplicated().sum()):
        raise ValueError(f"{KEY} is repeated on {repeated} rows of page views")
    joined = sample[[KEY, *FEATURES]].merge(filled, on=KEY, how="left")
    joined = joined[[*FEATURES, *PAGES]].fillna(0.0).astype(float)
    # without variation page views tell nothing that purchases do not
    return joined if (joined[list(PAGES)].nunique() > 1).any() else None


def _compare(
    values: pd.DataFrame, n_clusters: int, data: str, n_bootstrap: int, seed: int
) -> Comparison:
    logs = log_features(values, list(values.columns))
    mean, scale = standardise(logs)
    return compare(
        (logs - mean) / scale,
        n_clusters,
        data=data,
        # the grid reads recency and orders only: page views change nothing in it
        methods=[name for name in METHODS if name != "rfm_grid" or data == PURCHASES],
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def profile(assigned: pd.DataFrame, model: SegmentModel) -> pd.DataFrame:
    """Return one row a segment: size, mean and median of each feature, centre.

    Args:
        assigned: One row a customer: ``FEATURES`` and ``segment_id``.
        model: Whose segments they are; the order is that of its centres.
    """
    groups = assigned.groupby("segment_id")
    every = pd.Index(model.ids_, name="segment_id")
    table = pd.DataFrame({"segment_name": model.names_}, index=every)
    table["customer_count"] = groups.size().reindex(every, fill_value=0)
    table["customer_share"] = table["customer_count"] / max(len(assigned), 1)
    for name in FEATURES:
        table[f"mean_{name}"] = groups[name].mean()
        table[f"median_{name}"] = groups[name].median()
    for column, name in enumerate(FEATURES):
        table[f"{name}_deviation"] = model.centres_[:, column]
    return table.reset_index()


def as_lists(table: pd.DataFrame) -> dict[str, list]:
    """Return a table by column as plain values, which a model can be stored with."""
    return {str(name): table[name].tolist() for name in table.columns}


def from_lists(columns: Mapping[str, Sequence]) -> pd.DataFrame:
    """Return the table that ``as_lists`` was given."""
    return pd.DataFrame(dict(columns))


def rules(model: SegmentModel) -> pd.DataFrame:
    """Return the readable tree's rules with the names of the segments."""
    table = from_lists(model.tables_.get("rules", dict.fromkeys(RULE_COLUMNS, ())))
    names = dict(zip(model.ids_.tolist(), model.names_, strict=True))
    return table.assign(segment_name=table["segment_id"].map(names))


def comparison(model: BaseEstimator) -> pd.DataFrame:
    """Return the comparison of methods that the model's training made."""
    return from_lists(model.tables_.get("comparison", dict.fromkeys(COLUMNS, ())))
