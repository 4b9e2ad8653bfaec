"""How many people an experiment needs, and what one of a given size can see.

Normal approximations (Fleiss, Levin & Paik 2003, "Statistical Methods for Rates and Proportions",
chapter 4): two-sided test, pooled variance where nothing differs, unpooled where something does.
"""

from __future__ import annotations

import math

from scipy import stats

ALPHA = 0.05
POWER = 0.8


def _points(alpha: float, power: float) -> tuple[float, float]:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError("alpha and power must lie between 0 and 1")
    return float(stats.norm.ppf(1 - alpha / 2)), float(stats.norm.ppf(power))


def people_for_rates(
    control_rate: float,
    effect: float,
    *,
    control_share: float = 0.5,
    alpha: float = ALPHA,
    power: float = POWER,
) -> tuple[int, int]:
    """Return (treated, held back) people needed to see a difference of two rates.

    Args:
        control_rate: Rate expected without treatment.
        effect: Smallest difference worth seeing, of either sign.
        control_share: Planned share of those held back.
        alpha: Two-sided level.
        power: Wanted chance to see it.

    Raises:
        ValueError: A rate leaves 0 to 1, or the effect is 0.
    """
    p, q = control_rate + effect, control_rate
    if not (0 <= p <= 1 and 0 <= q <= 1) or effect == 0 or not 0 < control_share < 1:
        raise ValueError("rates and shares must lie between 0 and 1, and the effect not be 0")
    at_null, at_effect = _points(alpha, power)
    treated_share = 1 - control_share
    pooled = treated_share * p + control_share * q
    null = math.sqrt(pooled * (1 - pooled) * (1 / treated_share + 1 / control_share))
    other = math.sqrt(p * (1 - p) / treated_share + q * (1 - q) / control_share)
    total = ((at_null * null + at_effect * other) / effect) ** 2
    return _split(total, treated_share, control_share)


def people_for_means(
    deviation: float,
    effect: float,
    *,
    control_share: float = 0.5,
    alpha: float = ALPHA,
    power: float = POWER,
) -> tuple[int, int]:
    """Return (treated, held back) people needed to see a difference of two means.

    Args:
        deviation: Standard deviation of the outcome; after CUPED, of what is left.
        effect: Smallest difference worth seeing.
        control_share: Planned share of those held back.
        alpha: Two-sided level.
        power: Wanted chance to see it.
    """
    if not deviation >= 0 or effect == 0 or not 0 < control_share < 1:
        raise ValueError("the deviation must not be negative, nor the effect 0")
    at_null, at_effect = _points(alpha, power)
    treated_share = 1 - control_share
    spread = deviation**2 * (1 / treated_share + 1 / control_share)
    total = (at_null + at_effect) ** 2 * spread / effect**2
    return _split(total, treated_share, control_share)


def _split(total: float, treated_share: float, control_share: float) -> tuple[int, int]:
    # what is a whole number but for the last digits is that number
    return tuple(max(1, math.ceil(round(total * s, 6))) for s in (treated_share, control_share))  # type: ignore[return-value]


def power_of_rates(
    control_rate: float,
    effect: float,
    treated_count: int,
    control_count: int,
    *,
    alpha: float = ALPHA,
) -> float:
    """Return the chance that groups of these sizes show a true difference of two rates."""
    n, m = treated_count, control_count
    p, q = control_rate + effect, control_rate
    if n < 1 or m < 1 or not (0 <= p <= 1 and 0 <= q <= 1):
        raise ValueError("both groups need people, and rates must lie between 0 and 1")
    pooled = (n * p + m * q) / (n + m)
    null = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    other = math.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    if other == 0:
        return 1.0 if effect else alpha
    at_null, _ = _points(alpha, POWER)
    return float(
        stats.norm.sf((at_null * null - effect) / other)
        + stats.norm.cdf((-at_null * null - effect) / other)
    )


def detectable_effect(
    standard_error: float, *, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Return the smallest effect that an experiment with this standard error mostly sees."""
    at_null, at_effect = _points(alpha, power)
    return (at_null + at_effect) * standard_error
