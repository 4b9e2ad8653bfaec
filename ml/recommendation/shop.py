"""What a shop decides about its recommendations: the seed ``recommendation_rules``."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

REPEATS = ("auto", "yes", "no")
REPEAT_SHARE = 0.3
"""With ``auto``: from this share of repeated purchases on, goods may be recommended again.

Groceries (Complete Journey) have .37, gifts at a wholesaler (Online Retail) .21 to .27."""
MOST = 100


@dataclass(frozen=True)
class Shop:
    """The rules.

    Attributes:
        recommended_count: Products a customer (N).
        repeats: Whether what was bought may be recommended again: ``yes`` (goods that run out),
            ``no``, or ``auto``, which looks at how often customers buy the same again.
        unsold_days: Without a count of stock, a product that nobody bought for so many days is
            taken for unavailable.
    """

    recommended_count: int = 10
    repeats: str = "auto"
    unsold_days: int = 90

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 1 <= self.recommended_count <= MOST:
            raise ValueError(
                f"recommendation_rules: recommended_count is {self.recommended_count}; "
                f"use 1 to {MOST}"
            )
        if self.repeats not in REPEATS:
            raise ValueError(
                f"recommendation_rules: repeats is {self.repeats!r}; use one of {REPEATS}"
            )
        if self.unsold_days < 1:
            raise ValueError(
                f"recommendation_rules: unsold_days is {self.unsold_days}; use at least 1"
            )

    def allows_repeats(self, repeat_share: float) -> bool:
        """Return whether bought products may come again, given the share of repeated purchases."""
        return self.repeats == "yes" or (self.repeats == "auto" and repeat_share >= REPEAT_SHARE)


def shop_of(rules: pd.DataFrame) -> Shop:
    """Return the rules of the seed: one row a rule, its name and its value as text.

    Raises:
        ValueError: A rule is unknown or its value cannot be read.
    """
    values = dict(zip(rules["rule"], rules["value"].astype(str), strict=True))
    known = {"recommended_count", "repeats", "unsold_days"}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"recommendation_rules: unknown {unknown}; known are {sorted(known)}")
    given = Shop()

    def whole(name: str) -> int:
        value = values.get(name, str(getattr(given, name)))
        if not value.strip().isdigit():
            raise ValueError(f"recommendation_rules: {name} is {value!r}; use a whole number")
        return int(value)

    return Shop(
        recommended_count=whole("recommended_count"),
        repeats=values.get("repeats", given.repeats),
        unsold_days=whole("unsold_days"),
    )
