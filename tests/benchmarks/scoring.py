"""Scoring a million customers by every model of customers, beside the bare predict calls.

Scoring is what the pipeline's step runs between reading and writing (``spec.score``): predictions,
intervals, bands, reasons in words, every contribution. Bare are the estimators' own predict calls
on the same frames. Champions are learned from a small company; its customers, drawn again with
other amounts, are the million.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crm_pipeline.dbt_command import PROJECT
from crm_pipeline.defs.modelling.registered import MODELS
from crm_pipeline.defs.modelling.store import RunSettings
from tests.benchmarks.report import Report, table
from tests.unit.churn_company import company, features_at, frames

CUSTOMERS = 1_000_000
LEARNED_FROM = 4_000
PURCHASES = 4
"""Of each customer, in the frames of single purchases."""
PRODUCTS, CATEGORIES = 200, 12
WARM = 20_000
MOST = 3.0


@dataclass(frozen=True)
class Case:
    """One model: its champion, the frames that it scores, and its bare predict calls."""

    name: str
    champion: Any
    frames: dict[str, pd.DataFrame]
    bare: Callable[[], object]


def _seed(name: str) -> pd.DataFrame:
    return pd.read_csv(PROJECT / "seeds" / f"{name}.csv")


def _drawn(rows: pd.DataFrame, size: int, rng: np.random.Generator, *amounts: str) -> pd.DataFrame:
    """``size`` customers like those of ``rows``, under keys of their own."""
    found = rows.iloc[rng.integers(0, len(rows), size)].reset_index(drop=True)
    found["customer_key"] = keys(size)
    for name in amounts:
        found[name] = found[name].astype(float) * rng.uniform(0.8, 1.2, size)
    return found


def keys(size: int) -> np.ndarray:
    """Return the customers' keys, sorted."""
    return np.char.add("shop:", np.char.zfill(np.arange(size).astype(str), 8)).astype(object)


class Frames:
    """What the million is drawn from; each case is made when its turn comes."""

    def __init__(self, size: int) -> None:
        """Draw the small company."""
        self.size = size
        self.rng = np.random.default_rng(0)
        self.small = company(LEARNED_FROM)
        base = features_at(self.small.orders, self.small.as_of)
        base["net_amount"] = base["gross_amount"]
        base["repeat_mean_amount"] = base["average_order_amount"].where(base["repeat_count"] > 0)
        self.base = base
        self.settings = RunSettings(self.small.as_of, 90, 365, 90, 0.10)
        self.today = int(np.datetime64(self.small.as_of, "D").astype(np.int64))

    def customers(self) -> pd.DataFrame:
        """Rows of ``customer_features``."""
        return _drawn(self.base, self.size, self.rng, "gross_amount", "net_amount")

    def churn(self) -> Case:
        """Splines, the usual winner."""
        from ml.churn.model import ChurnModel

        features, labels, _ = frames(self.small, training=2)
        known = features.merge(labels.dropna(), on=["cut_off_on", "customer_key"])
        model = ChurnModel().fit(
            known[features.columns], known["is_churned"].astype(float).to_numpy()
        )
        rows = self.customers()
        read = {"features": rows, "bands": _seed("risk_bands"), "costs": _seed("churn_costs")}
        return Case("churn", model, read, lambda: model.predict_proba(rows))

    def clv(self) -> Case:
        """BG/NBD with Gamma-Gamma; what is published are three predictions."""
        from ml.clv.published import PublishedValue
        from ml.clv.value import CustomerValue

        model = PublishedValue().fit(self.base, base=CustomerValue().fit(self.base))
        rows, horizons = self.customers(), _seed("value_horizons")

        def bare() -> object:
            return (
                model.predict(rows),
                model.predict_horizons(rows, horizons["horizon_days"].tolist()),
                model.next_orders(rows, self.small.as_of),
            )

        return Case("clv", model, {"features": rows, "horizons": horizons}, bare)

    def segments(self) -> Case:
        """Whichever method training chooses."""
        from ml.segmentation.train import train_segments

        profiles = _seed("segment_profiles")
        model = train_segments(self.base, profiles).estimator
        rows = self.customers()
        history = rows[["customer_key", "recency_days", "order_count", "net_amount"]].head(0)
        history = history.assign(as_of=pd.to_datetime([]))
        read = {"features": rows, "profiles": profiles, "history": history}
        return Case("segments", model, read, lambda: model.predict(rows))

    def uplift(self) -> Case:
        """The S-learner."""
        from ml.uplift.model import UpliftModel
        from tests.unit.test_uplift_training import people

        known = people()
        model = UpliftModel().fit(known, known["conversions"], ~known["is_control"])
        rows = _drawn(known, self.size, self.rng, "gross_amount")
        return Case("uplift", model, {"people": rows}, lambda: model.predict(rows))

    def purchases(self) -> pd.DataFrame:
        """Single purchases of the last year, as ``order by`` key and day gives them."""
        count = PURCHASES * self.size
        who = np.sort(self.rng.integers(0, self.size, count))
        day = np.datetime64(self.small.as_of) - self.rng.integers(0, 365, count)
        return pd.DataFrame({"customer_key": keys(self.size)[who], "ordered_on": day})

    def next_category(self) -> Case:
        """A mixture of habit, chain and popularity."""
        from ml.basket.next_category import NextCategory, main_categories

        rows = self.purchases()
        names = np.array([f"category {n:02d}" for n in range(CATEGORIES)], dtype=object)
        rows["category"] = names[self.rng.integers(0, CATEGORIES, len(rows))]
        rows["category_amount"] = self.rng.gamma(2, 20, len(rows))
        known = main_categories(rows)
        model = NextCategory().fit(known, cut_off=self.today)
        return Case(
            "next_category", model, {"days": rows}, lambda: model.predict(known, self.today)
        )

    def recommendation(self) -> Case:
        """Item-item cosine and popularity, as a small shop has it."""
        from ml.recommendation.model import Recommender
        from ml.recommendation.purchases import day_number, make_history, snapshot
        from ml.recommendation.shop import shop_of

        rows = self.purchases()
        products = np.array([f"shop:P{n:03d}" for n in range(PRODUCTS)], dtype=object)
        liked = (PRODUCTS * self.rng.random(len(rows)) ** 2).astype(int)
        rows = rows.assign(product_key=products[liked]).drop_duplicates(ignore_index=True)
        sales = rows.groupby(["product_key", "ordered_on"], as_index=False).size()
        goods = pd.DataFrame(
            {"product_key": products, "product_name": products, "category": "goods",
             "subcategory": ""}
        )  # fmt: skip
        counts = pd.DataFrame(
            {"product_key": products[:0], "counted_on": pd.to_datetime([]),
             "on_hand_quantity": np.zeros(0)}
        )  # fmt: skip
        rules = _seed("recommendation_rules")
        read = {
            "purchases": rows, "sales": sales.rename(columns={"size": "order_count"}),
            "inventory": counts, "products": goods, "rules": rules,
            "customers": pd.DataFrame({"customer_key": keys(self.size)}),
        }  # fmt: skip
        shop = shop_of(rules)
        history = make_history(
            rows, read["sales"], counts, goods, customers=read["customers"]["customer_key"]
        )
        known = snapshot(history, day_number(self.small.as_of), unsold_days=shop.unsold_days)
        model = Recommender().fit(known)
        every = np.arange(self.size)
        return Case(
            "recommendation", model, read,
            lambda: model.offers(known, every, shop.recommended_count),
        )  # fmt: skip


NAMES = ("churn", "clv", "segments", "uplift", "next_category", "recommendation")


def _seconds(call: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    call()
    return time.process_time() - began


def measure(report: Report, size: int = CUSTOMERS) -> None:
    """CPU seconds of both, one model after the other; the promise is on their sums."""
    specs = {spec.name: spec for spec in MODELS}
    drawn = Frames(size)
    rows: list[list[object]] = []
    for name in NAMES:
        case = getattr(drawn, name)()
        spec = specs[name]
        # imports and caches are nobody's
        few = {key: frame.head(WARM) for key, frame in case.frames.items()}
        spec.score(case.champion, few, drawn.settings)
        bare = _seconds(case.bare)
        scored = _seconds(lambda c=case, s=spec: s.score(c.champion, c.frames, drawn.settings))
        rows.append([name, bare, scored, scored / bare])
        print(f"{name}: {bare:.1f} s bare, {scored:.1f} s scored", flush=True)
        del case
    bare, scored = (sum(float(str(row[place])) for row in rows) for place in (1, 2))
    table(
        f"Scoring {size:,} customers, CPU seconds",
        ["model", "bare predict", "scoring", "ratio"],
        [*rows, ["all", bare, scored, scored / bare]],
    )
    report.promise(
        f"scoring {size:,} customers by {len(rows)} models / bare predict calls",
        scored / bare, most=MOST,
    )  # fmt: skip
    report.note("scoring", rows)
