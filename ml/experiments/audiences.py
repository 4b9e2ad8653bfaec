"""Did it work: each audience beside those of it who were held back, by intention to treat.

Belongs here: who is measured, and what is said of the result. The tests are in ``effects.py`` and
``adjusted.py``, the planned size in ``power.py``.

An experiment is looked at every day and decided once: on the people assigned until its planned
size was full. Before, the verdict is "too early"; whoever is assigned later changes nothing, so
that looking again and again does not turn chance into a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.experiments.adjusted import adjusted
from ml.experiments.effects import Effect, exact_sample_ratio
from ml.experiments.power import people_for_rates

FloatArray = NDArray[np.float64]

TREATMENT, HOLDOUT = "treatment", "holdout"
ANY = "*"

COVARIATES = ("order_count_before", "gross_amount_before")
"""Known on the day a person was assigned: taken out of the outcome, where both vary."""

COLUMNS = (
    "experiment", "audience", "audience_version", "window_days", "first_assigned_on",
    "last_assigned_on", "treated_count", "holdout_count", "planned_treated_count",
    "planned_holdout_count", "waiting_count", "later_count", "sample_ratio_p_value",
    "treated_order_rate", "holdout_order_rate", "effect", "effect_low", "effect_high", "p_value",
    "variance_removed_share", "treated_net_amount", "holdout_net_amount", "amount_effect",
    "amount_effect_low", "amount_effect_high", "expected_gain_amount", "measured_gain_amount",
    "measured_gain_low_amount", "measured_gain_high_amount", "verdict",
)  # fmt: skip

MIN_SAMPLE_RATIO_P = 0.001
"""Usual for sample ratios (Fabijan et al. 2019, "Diagnosing sample ratio mismatch", KDD)."""
MIN_EXPECTED = 5
"""Fewest people with, and without, an order that each group is expected to have: below, the
interval is no approximation, and nothing is shown."""

BROKEN = "broken: sample ratio"
TOO_EARLY = "too early"
WORKS, HARMS, NOTHING = "works", "does harm", "no difference shown"
VERDICTS = (BROKEN, TOO_EARLY, WORKS, HARMS, NOTHING)


@dataclass(frozen=True)
class Design:
    """What was planned for an audience before anybody was assigned.

    Attributes:
        window_days: Days after the assignment whose orders count.
        holdout_share: Part of the people who are held back.
        expected_rate: Part that is expected to order in the window without being addressed.
        smallest_effect: Smallest change of that rate worth knowing of.
    """

    window_days: int
    holdout_share: float
    expected_rate: float
    smallest_effect: float

    @property
    def planned(self) -> tuple[int, int]:
        """(Treated, held back) that show the smallest effect in four of five cases, at 5 %."""
        return people_for_rates(
            self.expected_rate, self.smallest_effect, control_share=self.holdout_share
        )


def design_of(audience: str, designs: pd.DataFrame) -> Design:
    """Return an audience's own design, else that of the row ``*``.

    Raises:
        KeyError: There is neither.
    """
    rows = designs[designs["audience"] == audience]
    if rows.empty:
        rows = designs[designs["audience"] == ANY]
    if rows.empty:
        raise KeyError(audience)
    row = rows.iloc[0]
    return Design(
        int(row["window_days"]), float(row["holdout_share"]), float(row["expected_rate"]),
        float(row["smallest_effect"]),
    )  # fmt: skip


def audience_results(people: pd.DataFrame, designs: pd.DataFrame) -> pd.DataFrame:
    """Compare each audience's treated with its holdout, whether or not they were reached.

    Args:
        people: One row per experiment and customer: ``experiment``, ``audience``,
            ``audience_version``, ``customer_key``, ``arm`` (treatment, holdout), ``assigned_on``,
            ``is_complete`` (the window is over), ``order_count``, ``net_amount`` (in the window),
            ``gain_amount`` (what an offer brought or cost; null without an offer), the covariates
            and ``expected_gain_amount`` (null without an offer).
        designs: ``audience`` (``*`` for all without a row of their own) and the fields of
            ``Design``.

    Returns:
        ``COLUMNS``, one row an experiment, in order of its name. An experiment without a holdout
        has no row.

    Raises:
        KeyError: An audience without a design.
        ValueError: A customer stands twice in one experiment, or in no known arm.
    """
    if people.duplicated(["experiment", "customer_key"]).any():
        raise ValueError("a customer is assigned once in an experiment")
    if not people["arm"].isin([TREATMENT, HOLDOUT]).all():
        raise ValueError(f"an arm is {TREATMENT} or {HOLDOUT}")
    rows = people.sort_values(["experiment", "assigned_on", "customer_key"], kind="stable")
    found = [
        _result(str(experiment), group, design_of(str(group["audience"].iloc[-1]), designs))
        for experiment, group in rows.groupby("experiment", sort=True)
        if (group["arm"] == HOLDOUT).any()
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _result(experiment: str, group: pd.DataFrame, design: Design) -> dict[str, Any]:
    complete = group[group["is_complete"].to_numpy(dtype=bool)]
    measured = complete[_in_plan(complete, design.planned)]
    is_held = (measured["arm"] == HOLDOUT).to_numpy()
    treated, held = measured[~is_held], measured[is_held]
    counts = group["arm"].value_counts()
    ratio = exact_sample_ratio(
        int(counts.get(TREATMENT, 0)), int(counts.get(HOLDOUT, 0)), design.holdout_share
    )
    ordered = _effect((measured["order_count"] > 0).to_numpy(dtype=float), measured, is_held)
    amount = _effect(measured["net_amount"].to_numpy(dtype=float), measured, is_held)
    return {
        "experiment": experiment,
        "audience": group["audience"].iloc[-1],
        "audience_version": group["audience_version"].iloc[-1],
        "window_days": design.window_days,
        "first_assigned_on": group["assigned_on"].iloc[0],
        "last_assigned_on": group["assigned_on"].iloc[-1],
        "treated_count": len(treated),
        "holdout_count": len(held),
        "planned_treated_count": design.planned[0],
        "planned_holdout_count": design.planned[1],
        "waiting_count": len(group) - len(complete),
        "later_count": len(complete) - len(measured),
        "sample_ratio_p_value": ratio,
        "treated_order_rate": _mean(treated["order_count"] > 0),
        "holdout_order_rate": _mean(held["order_count"] > 0),
        "effect": ordered.effect,
        "effect_low": ordered.low,
        "effect_high": ordered.high,
        "p_value": ordered.p_value,
        "variance_removed_share": ordered.variance_removed_share,
        "treated_net_amount": _mean(treated["net_amount"]),
        "holdout_net_amount": _mean(held["net_amount"]),
        "amount_effect": amount.effect,
        "amount_effect_low": amount.low,
        "amount_effect_high": amount.high,
        **_gain(measured, is_held),
        "verdict": _verdict(design, measured, ordered, ratio),
    }


def _in_plan(complete: pd.DataFrame, planned: tuple[int, int]) -> NDArray[np.bool_]:
    """Those assigned until the day on which both groups had their planned size; all, before."""
    is_held = (complete["arm"] == HOLDOUT).to_numpy()
    is_full = (np.cumsum(~is_held) >= planned[0]) & (np.cumsum(is_held) >= planned[1])
    days = complete["assigned_on"]
    if not is_full.any():
        return np.ones(len(complete), dtype=bool)
    return (days <= days.iloc[int(np.argmax(is_full))]).to_numpy()


def _effect(outcome: FloatArray, people: pd.DataFrame, is_held: NDArray[np.bool_]) -> Effect:
    before = people[list(COVARIATES)].to_numpy(dtype=float)
    found = adjusted(outcome[~is_held], outcome[is_held], before[~is_held], before[is_held])
    if found.standard_error > 0:
        return found
    # where nothing varies an interval of no width would claim to know
    nan = float("nan")
    return Effect(**{**vars(found), "low": nan, "high": nan, "p_value": nan})


def _gain(people: pd.DataFrame, is_held: NDArray[np.bool_]) -> dict[str, float]:
    """What the offers were expected to bring, and what they brought, of all the treated."""
    known = people[["expected_gain_amount", "gain_amount"]].notna().all(axis=1).to_numpy()
    offered, held = people[known], is_held[known]
    names = ("measured_gain_amount", "measured_gain_low_amount", "measured_gain_high_amount")
    if not held.any() or held.all():
        return dict.fromkeys(("expected_gain_amount", *names), float("nan"))
    gain = _effect(offered["gain_amount"].to_numpy(dtype=float), offered, held)
    treated = int((~held).sum())
    measured = (gain.effect * treated, gain.low * treated, gain.high * treated)
    expected = float(offered.loc[~held, "expected_gain_amount"].astype(float).sum())
    return {"expected_gain_amount": expected, **dict(zip(names, measured, strict=True))}


def _mean(values: pd.Series) -> float:
    return float(values.astype(float).mean()) if len(values) else float("nan")


def _verdict(
    design: Design, people: pd.DataFrame, effect: Effect, sample_ratio_p_value: float
) -> str:
    if sample_ratio_p_value < MIN_SAMPLE_RATIO_P:
        return BROKEN
    sizes = (effect.treated_count, effect.control_count)
    if any(size < planned for size, planned in zip(sizes, design.planned, strict=True)):
        return TOO_EARLY
    rate = _mean(people["order_count"] > 0)
    if min(rate, 1 - rate) * min(sizes) < MIN_EXPECTED:
        return NOTHING
    if effect.low > 0:
        return WORKS
    return HARMS if effect.high < 0 else NOTHING
