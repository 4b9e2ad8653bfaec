"""Did it work: each audience beside those of it who were held back, by intention to treat.

Belongs here: who is measured, and what is said of the result. The tests are in ``effects.py`` and
``adjusted.py``, the planned size in ``power.py``.

An experiment is looked at every day and decided once: on the people assigned until its planned
size was full. Before, the verdict is "too early"; whoever is assigned later changes nothing, so
that looking again and again does not turn chance into a finding. The size follows from the
smallest effect worth finding, stated beforehand, and from how much people differ, which the first
of them tell, both arms together (an internal pilot, blind to the arm: Friede & Kieser 2006,
"Sample size recalculation in internal pilot study designs", Biometrical Journal 48(4)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.experiments.adjusted import adjusted
from ml.experiments.effects import Effect, exact_sample_ratio
from ml.experiments.power import people_for_means, people_for_rates

FloatArray = NDArray[np.float64]

TREATMENT, HOLDOUT = "treatment", "holdout"
CONVERSION, NET_AMOUNT = "conversion", "net_amount"

COVARIATES = ("order_count_before", "gross_amount_before")
"""Known on the day a person was assigned: taken out of the outcome, where both vary."""

COLUMNS = (
    "experiment", "audience", "audience_version", "outcome", "window_days", "first_assigned_on",
    "last_assigned_on", "treated_count", "holdout_count", "planned_treated_count",
    "planned_holdout_count", "waiting_count", "later_count", "sample_ratio_p_value",
    "treated_mean", "holdout_mean", "effect", "effect_low", "effect_high", "p_value",
    "variance_removed_share", "treated_order_rate", "holdout_order_rate", "treated_net_amount",
    "holdout_net_amount", "amount_effect", "amount_effect_low", "amount_effect_high",
    "expected_gain_amount", "measured_gain_amount", "measured_gain_low_amount",
    "measured_gain_high_amount", "verdict",
)  # fmt: skip

PILOT = 200
"""People, first to last, of whom is learned how much people differ."""
MIN_PILOT = 30
"""With fewer of them no size is planned."""
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
    """What was stated for an audience before anybody was assigned.

    Attributes:
        outcome: What decides: ``conversion`` (whether somebody orders), or ``net_amount``.
        window_days: Days after the assignment whose orders count.
        holdout_share: Part of the people who are held back.
        smallest_effect: Smallest change of the outcome's mean worth finding.
    """

    outcome: str
    window_days: int
    holdout_share: float
    smallest_effect: float

    def __post_init__(self) -> None:
        """Refuse an outcome that nobody measures.

        Raises:
            ValueError: The outcome is unknown.
        """
        if self.outcome not in (CONVERSION, NET_AMOUNT):
            raise ValueError(f"unknown outcome {self.outcome!r}: {CONVERSION} or {NET_AMOUNT}")

    def planned(self, pilot: FloatArray) -> tuple[int, int] | None:
        """(Treated, held back) that show the smallest effect in four of five cases, at 5 %.

        Args:
            pilot: Outcomes of the first people, whatever their arm.

        Returns:
            ``None`` where too few are known, or amounts do not differ at all.
        """
        if len(pilot) < MIN_PILOT:
            return None
        if self.outcome == CONVERSION:
            rate, effect = float(pilot.mean()), self.smallest_effect
            if rate + effect > 1:
                rate, effect = max(rate, effect), -effect
            return people_for_rates(rate, effect, control_share=self.holdout_share)
        deviation = float(pilot.std(ddof=1))
        if deviation == 0:
            return None
        return people_for_means(deviation, self.smallest_effect, control_share=self.holdout_share)


def design_of(audience: str, designs: pd.DataFrame) -> Design | None:
    """Return an audience's design; ``None`` without one."""
    rows = designs[designs["audience"] == audience]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return Design(
        str(row["outcome"]), int(row["window_days"]), float(row["holdout_share"]),
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
        designs: ``audience`` and the fields of ``Design``.

    Returns:
        ``COLUMNS``, one row an experiment, in order of its name. An experiment without a holdout,
        or whose audience has no design any more, has no row.

    Raises:
        ValueError: A customer stands twice in one experiment, or in no known arm.
    """
    if people.duplicated(["experiment", "customer_key"]).any():
        raise ValueError("a customer is assigned once in an experiment")
    if not people["arm"].isin([TREATMENT, HOLDOUT]).all():
        raise ValueError(f"an arm is {TREATMENT} or {HOLDOUT}")
    rows = people.sort_values(["experiment", "assigned_on", "customer_key"], kind="stable")
    found = []
    for experiment, group in rows.groupby("experiment", sort=True):
        design = design_of(str(group["audience"].iloc[-1]), designs)
        if design is not None and (group["arm"] == HOLDOUT).any():
            found.append(_result(str(experiment), group, design))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _result(experiment: str, group: pd.DataFrame, design: Design) -> dict[str, Any]:
    group = group.assign(
        **{CONVERSION: (group["order_count"] > 0).astype(float)},
        **{NET_AMOUNT: group["net_amount"].astype(float)},
    )
    complete = group[group["is_complete"].to_numpy(dtype=bool)]
    planned = design.planned(_first(complete)[design.outcome].to_numpy())
    measured = complete[_in_plan(complete, planned)]
    is_held = (measured["arm"] == HOLDOUT).to_numpy()
    treated, held = measured[~is_held], measured[is_held]
    counts = group["arm"].value_counts()
    ratio = exact_sample_ratio(
        int(counts.get(TREATMENT, 0)), int(counts.get(HOLDOUT, 0)), design.holdout_share
    )
    effect = _effect(design.outcome, measured, is_held)
    amount = _effect(NET_AMOUNT, measured, is_held)
    return {
        "experiment": experiment,
        "audience": group["audience"].iloc[-1],
        "audience_version": group["audience_version"].iloc[-1],
        "outcome": design.outcome,
        "window_days": design.window_days,
        "first_assigned_on": group["assigned_on"].iloc[0],
        "last_assigned_on": group["assigned_on"].iloc[-1],
        "treated_count": len(treated),
        "holdout_count": len(held),
        "planned_treated_count": planned[0] if planned else None,
        "planned_holdout_count": planned[1] if planned else None,
        "waiting_count": len(group) - len(complete),
        "later_count": len(complete) - len(measured),
        "sample_ratio_p_value": ratio,
        "treated_mean": _mean(treated[design.outcome]),
        "holdout_mean": _mean(held[design.outcome]),
        "effect": effect.effect,
        "effect_low": effect.low,
        "effect_high": effect.high,
        "p_value": effect.p_value,
        "variance_removed_share": effect.variance_removed_share,
        "treated_order_rate": _mean(treated[CONVERSION]),
        "holdout_order_rate": _mean(held[CONVERSION]),
        "treated_net_amount": _mean(treated[NET_AMOUNT]),
        "holdout_net_amount": _mean(held[NET_AMOUNT]),
        "amount_effect": amount.effect,
        "amount_effect_low": amount.low,
        "amount_effect_high": amount.high,
        **_gain(measured, is_held),
        "verdict": _verdict(planned, measured, effect, ratio),
    }


def _first(complete: pd.DataFrame) -> pd.DataFrame:
    """The pilot: everybody assigned until the day on which there were enough, by that day."""
    if len(complete) <= PILOT:
        return complete
    return complete[complete["assigned_on"] <= complete["assigned_on"].iloc[PILOT - 1]]


def _in_plan(complete: pd.DataFrame, planned: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Those assigned until the day on which both groups had their planned size; all, before."""
    if planned is None:
        return np.ones(len(complete), dtype=bool)
    is_held = (complete["arm"] == HOLDOUT).to_numpy()
    is_full = (np.cumsum(~is_held) >= planned[0]) & (np.cumsum(is_held) >= planned[1])
    days = complete["assigned_on"]
    if not is_full.any():
        return np.ones(len(complete), dtype=bool)
    return (days <= days.iloc[int(np.argmax(is_full))]).to_numpy()


def _effect(name: str, people: pd.DataFrame, is_held: NDArray[np.bool_]) -> Effect:
    outcome = people[name].to_numpy(dtype=float)
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
    gain = _effect("gain_amount", offered, held)
    treated = int((~held).sum())
    measured = (gain.effect * treated, gain.low * treated, gain.high * treated)
    expected = float(offered.loc[~held, "expected_gain_amount"].astype(float).sum())
    return {"expected_gain_amount": expected, **dict(zip(names, measured, strict=True))}


def _mean(values: pd.Series) -> float:
    return float(values.astype(float).mean()) if len(values) else float("nan")


def _verdict(
    planned: tuple[int, int] | None,
    people: pd.DataFrame,
    effect: Effect,
    sample_ratio_p_value: float,
) -> str:
    if sample_ratio_p_value < MIN_SAMPLE_RATIO_P:
        return BROKEN
    sizes = (effect.treated_count, effect.control_count)
    if planned is None or sizes[0] < planned[0] or sizes[1] < planned[1]:
        return TOO_EARLY
    rate = _mean(people[CONVERSION])
    if min(rate, 1 - rate) * min(sizes) < MIN_EXPECTED:
        return NOTHING
    if effect.low > 0:
        return WORKS
    return HARMS if effect.high < 0 else NOTHING
