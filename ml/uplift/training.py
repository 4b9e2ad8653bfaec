"""``train_uplift``: choose a learner on earlier campaigns, examine it on later ones.

Belongs here: the order of the steps and what is reported. Does not: thresholds for promotion,
which are the gate's (``ml.evaluation.gate``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from ml.evaluation.plots import qini_figure
from ml.evaluation.qini import auuc, bootstrap_qini, qini_auc
from ml.evaluation.result import (
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)
from ml.evaluation.sampling import hashed_shares
from ml.uplift.model import LEARNERS, RESPONSE, UpliftModel
from ml.uplift.people import FEATURES, FOLDS, PeopleDesign

FloatArray = NDArray[np.float64]

OUTCOMES = ("conversions", "responses")
DRAWN = ("campaign_key", "person_key", "arm", "is_control", "touched_on")
"""What is to be raised: the first of these that every experiment used here has measured."""

EVALUATED_SHARE = 0.3
"""At least this share of the people, the latest, is examined on."""
MIN_PEOPLE = 150
MIN_RESPONDERS = 20
"""In each group, of the past and of what is examined: fewer say nothing about who differs."""
MAX_TUNING_ROWS = 10_000
MAX_FIT_ROWS = 200_000


@dataclass(frozen=True)
class _Data:
    """People of both groups, with one column ``outcome`` and one ``treated``, in key order."""

    people: pd.DataFrame
    is_later: NDArray[np.bool_]
    arm: str
    outcome: str
    period: str

    def part(self, *, later: bool) -> pd.DataFrame:
        return self.people[self.is_later if later else ~self.is_later]


def train_uplift(people: pd.DataFrame, *, champion: BaseEstimator | None = None) -> TrainingResult:
    """Train, choose and examine the uplift model.

    Args:
        people: One row per campaign and person: ``campaign_key``, ``person_key``, ``arm``,
            ``is_control``, ``touched_on``, ``responses``, ``conversions`` (null where not
            measured) and ``FEATURES``. Of people without an order before they were drawn nothing
            is known: they are left out.
        champion: The ruling ``UpliftModel``. Where it was fitted on the people who are examined
            on, its ``evaluated_`` copy stands in for it.

    Returns:
        Status ``too_little_data`` with the reason, or ``trained``. Tables: ``candidates`` (past
        Qini of each learner), ``comparison`` (on the later people).
    """
    data = _data(people)
    if isinstance(data, str):
        return too_little_data("uplift", data)
    past, later = data.part(later=False), data.part(later=True)
    with threadpool_limits(1):
        table = _past_performance(past)
    # of equals the first, which is the simplest
    winner = str(table.loc[table["qini"].fillna(-np.inf).idxmax(), "learner"])
    rivals = {
        name: UpliftModel(name, data.arm).fit(*_columns(_sampled(past, MAX_FIT_ROWS)))
        for name in (winner, RESPONSE)
    }
    estimator = UpliftModel(winner, data.arm).fit(*_columns(_sampled(data.people, MAX_FIT_ROWS)))
    estimator.evaluated_ = rivals[winner]
    ruling = _comparable(champion, data)
    return _report(data, later, table, rivals, estimator, ruling)


def _columns(rows: pd.DataFrame) -> tuple[pd.DataFrame, FloatArray, FloatArray]:
    return rows, rows["outcome"].to_numpy(dtype=float), rows["treated"].to_numpy(dtype=float)


def _sampled(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(rows) <= most:
        return rows
    shares = hashed_shares(rows["person_key"])
    return rows[shares < most / len(rows)]


def _data(people: pd.DataFrame) -> _Data | str:
    if missing := [name for name in (*DRAWN, *OUTCOMES, *FEATURES) if name not in people.columns]:
        raise ValueError(f"the people of the experiments lack the columns {missing}")
    known = people[people["order_count"].notna()]
    if known.empty:
        return "no experiment with people of whom orders before it are known"
    if known.duplicated(["campaign_key", "person_key"]).any():
        raise ValueError(
            "a person is drawn once a campaign: campaign_key, person_key must be unique"
        )
    measured = [name for name in OUTCOMES if known[name].notna().any()]
    if not measured:
        return "no experiment recorded what people did"
    outcome = measured[0]
    known = known[known[outcome].notna()]
    arms = known.loc[~known["is_control"].astype(bool), "arm"].value_counts()
    if arms.empty:
        return "nobody was treated in any experiment"
    arm = str(sorted(arms.index, key=lambda name: (-int(arms[name]), str(name)))[0])
    chosen = known[known["is_control"].astype(bool) | (known["arm"] == arm)]
    rows = chosen.sort_values(["campaign_key", "person_key"], kind="stable").reset_index(drop=True)
    rows = rows.assign(
        outcome=(rows[outcome].astype(float) > 0).astype(float),
        treated=(~rows["is_control"].astype(bool)).astype(float),
    )
    # both groups of a campaign, or neither
    both = rows.groupby("campaign_key")["treated"].transform("nunique") == 2
    rows = rows[both].reset_index(drop=True)
    if rows.empty:
        return "no campaign has both treated people and people held back, with orders before it"
    rows["weight"] = _weights(rows)
    is_later, period = _split(rows)
    for words, part in (("earlier", rows[~is_later]), ("later", rows[is_later])):
        for treated, group in ((1.0, "treated"), (0.0, "held back")):
            found = part[part["treated"] == treated]
            responders = int(found["outcome"].sum())
            if len(found) < MIN_PEOPLE or min(responders, len(found) - responders) < MIN_RESPONDERS:
                return (
                    f"{len(found)} {words} people {group}, {responders} of whom responded: "
                    f"at least {MIN_PEOPLE} and {MIN_RESPONDERS} of either kind are needed to "
                    "tell whom treatment moves"
                )
    return _Data(rows, is_later, arm, outcome, period)


def _weights(rows: pd.DataFrame) -> FloatArray:
    """Row weights by which treatment is equally likely in every campaign.

    Otherwise a campaign with few held back and many responses would look like uplift.
    """
    overall = rows["treated"].mean()
    own = rows.groupby("campaign_key")["treated"].transform("mean")
    chance = np.where(rows["treated"] == 1, overall / own, (1 - overall) / (1 - own))
    return np.asarray(chance, dtype=float)


def _split(rows: pd.DataFrame) -> tuple[NDArray[np.bool_], str]:
    """The latest days with enough people; by hash of the person where there is one day, or none."""
    days = pd.to_datetime(rows["touched_on"])
    starts = days.groupby(rows["campaign_key"]).transform("min")
    if starts.notna().all() and starts.nunique() > 1:
        for start in sorted(starts.unique(), reverse=True)[:-1]:
            is_later = (starts >= start).to_numpy()
            if is_later.mean() >= EVALUATED_SHARE or start == sorted(starts.unique())[1]:
                return is_later, f"campaigns from {pd.Timestamp(start).date()}"
    # another hash than that of the folds
    shares = hashed_shares("held out " + rows["person_key"].astype(str))
    return shares < EVALUATED_SHARE, "held-out people"


def _past_performance(past: pd.DataFrame) -> pd.DataFrame:
    """Qini of each learner on people whom it did not see, of the past only."""
    rows = _sampled(past, MAX_TUNING_ROWS)
    fold = np.floor(hashed_shares(rows["person_key"]) * FOLDS).astype(int)
    found = {name: np.full(len(rows), np.nan) for name in LEARNERS}
    for number in range(FOLDS):
        out = fold == number
        seen, unseen = rows[~out], rows[out]
        if seen["treated"].nunique() < 2 or unseen.empty:
            continue
        design = PeopleDesign().fit(seen)
        x, new = design.transform(seen), design.transform(unseen)
        _, y, t = _columns(seen)
        for name, scores in found.items():
            scores[out] = LEARNERS[name]().fit(x, y, t).predict(new)
    figures = []
    for name, scores in found.items():
        told = np.isfinite(scores)
        part, weight = rows[told], rows["weight"].to_numpy()[told]
        value = float("nan")
        if told.any():
            value = qini_auc(part["outcome"], scores[told], part["treated"], weight)
        figures.append((name, value))
    return pd.DataFrame(figures, columns=["learner", "qini"])


def _comparable(champion: BaseEstimator | None, data: _Data) -> BaseEstimator | None:
    """The champion as it was before it saw who is examined on; None without a rival."""
    if champion is None or getattr(champion, "arm", data.arm) != data.arm:
        return None
    later = pd.to_datetime(data.part(later=True)["touched_on"])
    known = getattr(champion, "known_until_", "")
    if known and later.notna().all() and pd.Timestamp(known) < later.min():
        return champion
    own = getattr(champion, "evaluated_", None)
    return own if own is not None else champion


def _report(
    data: _Data,
    later: pd.DataFrame,
    table: pd.DataFrame,
    rivals: dict[str, UpliftModel],
    estimator: UpliftModel,
    champion: BaseEstimator | None,
) -> TrainingResult:
    winner = estimator.learner
    scores = {name: model.predict(later) for name, model in rivals.items()}
    if champion is not None:
        scores["champion"] = champion.predict(later)
    y, t, weight = (later[name].to_numpy(dtype=float) for name in ("outcome", "treated", "weight"))
    figures = {
        name: {"qini": qini_auc(y, s, t, weight), "auuc": auuc(y, s, t, weight)}
        for name, s in scores.items()
    }
    found = bootstrap_qini(y, scores[winner], t, weight=weight)
    beside = figures.get("champion", {})
    rows: list[tuple[str, str, float, float | None, float | None]] = [
        (data.period, metric, value, figures[RESPONSE][metric], beside.get(metric))
        for metric, value in figures[winner].items()
    ]
    rows += [
        (data.period, "qini_low", found.lower, None, None),
        (data.period, "qini_high", found.upper, None, None),
        (data.period, "mean_uplift", float(scores[winner].mean()), None, None),
        (data.period, "observed_effect", _effect(y, t, weight), None, None),
    ]
    past = float(table.loc[table["learner"] == winner, "qini"].iloc[0])
    rows.append(("earlier people, left out", "qini", past, None, None))
    differs = found.lower > 0
    verdict = "who is moved differs" if differs else "no heterogeneity worth acting on"
    shown = {winner: scores[winner], "response": scores[RESPONSE]}
    return TrainingResult(
        status=TRAINED,
        reason=(
            f"{verdict}: Qini {found.difference:.4f} (95 % {found.lower:+.4f} to "
            f"{found.upper:+.4f}) of learner {winner} on {len(later)} people, {data.period}; "
            f"response model {figures[RESPONSE]['qini']:.4f}"
        ),
        estimator=estimator,
        parameters={
            **estimator.get_params(),
            "outcome": data.outcome,
            "training_rows": int((~data.is_later).sum()),
            "evaluation_rows": len(later),
            "experiments": int(data.people["campaign_key"].nunique()),
            "features": len(FEATURES),
        },
        evaluation=evaluation_frame(rows),
        figures={"qini": qini_figure(y, shown, t, weight)},
        tables={
            "candidates": table,
            "comparison": pd.DataFrame(figures).T.rename_axis("model").reset_index(),
        },
        gate=GateInputs(
            model="uplift",
            candidate=scores[winner],
            baselines={"the response model": scores[RESPONSE]},
            champion=scores.get("champion"),
            actual=y,
            treated=t,
            weight=weight,
        ),
    )


def _effect(y: FloatArray, t: FloatArray, weight: FloatArray) -> float:
    return float(np.average(y, weights=weight * t) - np.average(y, weights=weight * (1 - t)))
