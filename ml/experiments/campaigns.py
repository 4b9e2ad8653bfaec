"""All experiments of a company at once: one row per arm, outcome and method, with a verdict.

Belongs here: which comparisons are made and what is said of them. The tests are in
``effects.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.evaluation.metrics import holm
from ml.experiments.effects import Effect, cuped, sample_ratio, two_proportions, welch
from ml.experiments.power import detectable_effect
from ml.experiments.sequential import EXPECTED_EFFECT, always_valid_p

OUTCOMES = {"response": "responses", "conversion": "conversions", "amount": "response_amount"}
"""Outcome -> column of the people; the names are those of the mart ``campaign_effect``."""

COVARIATE = "gross_amount_365d"
"""What CUPED takes out: known the day before a person was drawn."""

COLUMNS = (
    "campaign_key", "experiment_arm", "outcome", "method", "treated_count", "control_count",
    "treated_mean", "control_mean", "effect", "effect_low", "effect_high", "p_value",
    "adjusted_p_value", "always_valid_p_value", "variance_removed_share",
    "sample_ratio_p_value", "detectable_effect", "verdict",
)  # fmt: skip

SIGNIFICANCE = 0.05
MIN_SAMPLE_RATIO_P = 0.001
"""Usual for sample ratios (Fabijan et al. 2019, "Diagnosing sample ratio mismatch", KDD)."""
MIN_EXPECTED = 5
"""Fewest expected responders, and others, in each group: below, z is no approximation."""

TOO_LITTLE = "too_little_data"
MISMATCH = "sample_ratio_mismatch"
NOT_COMPARABLE = "not_comparable"
HELPS, HARMS, NOTHING = "raises", "lowers", "no_effect_found"


def experiment_results(people: pd.DataFrame, designs: pd.DataFrame) -> pd.DataFrame:
    """Compare each arm of each experiment with those held back.

    Args:
        people: One row per campaign and person: ``campaign_key``, ``person_key``, ``source``,
            ``arm``, ``is_control``, the outcomes (null where not measured) and the covariate.
        designs: Planned shares: ``source``, ``campaign_key`` (null for all of the source's),
            ``arm``, ``planned_share``. An experiment without them has no sample ratio.

    Returns:
        ``COLUMNS``, in order of key. p-values are adjusted (Holm) within a campaign, over what
        was measured; ``z`` and ``welch`` rows count, ``cuped`` rows repeat their question.
    """
    frames = []
    rows = people.sort_values(["campaign_key", "person_key"], kind="stable")
    for campaign, group in rows.groupby("campaign_key", sort=True):
        is_control = group["is_control"].to_numpy(dtype=bool)
        if is_control.all() or not is_control.any():
            continue
        ratio = _ratio(group, designs)
        found = pd.DataFrame(_compared(str(campaign), group, is_control, ratio))
        if found.empty:
            continue
        plain = (found["method"] != "cuped").to_numpy()
        asked = found["p_value"].where(found["_is_comparable"])
        adjusted = np.full(len(found), np.nan)
        adjusted[plain] = holm(asked[plain])
        adjusted[~plain] = holm(asked[~plain])
        found["adjusted_p_value"] = adjusted
        found["verdict"] = [_verdict(row) for row in found.to_dict("records")]
        frames.append(found)
    if not frames:
        return pd.DataFrame({name: [] for name in COLUMNS})
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def _compared(
    campaign: str, group: pd.DataFrame, is_control: NDArray[np.bool_], ratio: float
) -> Iterator[dict[str, object]]:
    control = group[is_control]
    for arm, treated in group[~is_control].groupby("arm", sort=True):
        for outcome, column in OUTCOMES.items():
            known, held = treated[treated[column].notna()], control[control[column].notna()]
            if known.empty or held.empty:
                continue
            for method, effect, deviation, expected in _tests(outcome, column, known, held):
                yield {
                    "campaign_key": campaign,
                    "experiment_arm": arm,
                    "outcome": outcome,
                    "method": method,
                    "treated_count": effect.treated_count,
                    "control_count": effect.control_count,
                    "treated_mean": effect.treated_mean,
                    "control_mean": effect.control_mean,
                    "effect": effect.effect,
                    "effect_low": effect.low,
                    "effect_high": effect.high,
                    "p_value": effect.p_value,
                    "always_valid_p_value": always_valid_p(
                        effect.effect, effect.standard_error, EXPECTED_EFFECT * deviation
                    ),
                    "variance_removed_share": effect.variance_removed_share,
                    "sample_ratio_p_value": ratio,
                    "detectable_effect": detectable_effect(effect.standard_error),
                    "_is_enough": expected >= MIN_EXPECTED,
                    # who was sent nothing could not respond to it: no effect, but a definition
                    "_is_comparable": outcome != "response" or bool(held[column].any()),
                }


def _tests(
    outcome: str, column: str, known: pd.DataFrame, held: pd.DataFrame
) -> Iterator[tuple[str, Effect, float, float]]:
    """Method, effect, the outcome's standard deviation, and the smallest expected count."""
    y, x = known[column].to_numpy(dtype=float), held[column].to_numpy(dtype=float)
    deviation = float(np.r_[y, x].std())
    if outcome == "amount":
        # a mean of amounts needs people who spent, in both groups
        spent = float(min(np.count_nonzero(y), np.count_nonzero(x)))
        yield "welch", welch(y, x), deviation, spent
    else:
        rate = float(np.r_[y, x].mean())
        spent = min(rate, 1 - rate) * min(len(y), len(x))
        yield "z", two_proportions(y.sum(), len(y), x.sum(), len(x)), deviation, spent
    before = [part[COVARIATE].to_numpy(dtype=float) for part in (known, held)]
    if all(np.isfinite(part).all() for part in before) and np.ptp(np.concatenate(before)) > 0:
        yield "cuped", cuped(y, x, *before), deviation, spent


def _ratio(group: pd.DataFrame, designs: pd.DataFrame) -> float:
    campaign, source = group["campaign_key"].iloc[0], group["source"].iloc[0]
    own = designs[designs["campaign_key"] == campaign]
    if own.empty:
        own = designs[(designs["source"] == source) & designs["campaign_key"].isna()]
    shares = dict(zip(own["arm"], own["planned_share"].astype(float), strict=True))
    counts = group["arm"].value_counts().to_dict()
    if not shares or not set(counts) <= set(shares):
        return float("nan")
    arms = sorted(shares)
    return sample_ratio([int(counts.get(arm, 0)) for arm in arms], [shares[arm] for arm in arms])


def _verdict(row: dict[str, object]) -> str:
    ratio, p_value, effect = (
        float(str(row[name])) for name in ("sample_ratio_p_value", "adjusted_p_value", "effect")
    )
    if ratio < MIN_SAMPLE_RATIO_P:
        return MISMATCH
    if not row["_is_comparable"]:
        return NOT_COMPARABLE
    if not row["_is_enough"] or not np.isfinite(p_value):
        return TOO_LITTLE
    if p_value >= SIGNIFICANCE:
        return NOTHING
    return HELPS if effect > 0 else HARMS
