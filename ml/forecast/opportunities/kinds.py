"""The two things that one model class serves: opportunities that are won, leads that convert.

A kind says what is read and which facts there are. Snapshots, weights, choice, calibration and
examination are the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What may come to a good end.

    Attributes:
        name: Of the kind; a parameter of the model.
        noun: What there are several of, in sentences.
        key: Column that identifies one.
        columns: What is read of each state, by the names that both kinds share.
        groups: Each gives a feature: how often its decided ones came to a good end by then.
        numbers: The other features.
        step_days: Between snapshots; about as long as the quickest take.
        max_steps: Snapshots at most.
        rival: The naive row beside the base rate.
    """

    name: str
    noun: str
    key: str
    columns: tuple[str, ...]
    groups: tuple[str, ...]
    numbers: tuple[str, ...]
    step_days: int
    max_steps: int
    rival: str

    @property
    def features(self) -> tuple[str, ...]:
        """Columns of the design matrix, in order."""
        return (*self.numbers, *(f"{name}_log_odds" for name in self.groups))


_SHARED = (
    "key", "state_number", "source", "customer_key", "owner_key", "team", "region", "industry",
    "employee_count", "opened_on", "closed_on", "is_won", "entered_on", "stage_order",
)  # fmt: skip

OPPORTUNITY = Kind(
    name="opportunity",
    noun="opportunities",
    key="opportunity_key",
    columns=(*_SHARED, "product_key"),
    groups=("source", "owner_key", "product_key", "team", "region", "industry", "customer_key"),
    numbers=(
        "age_days", "log_age", "stage_order", "days_in_stage", "log_employees", "owner_open_count",
    ),
    step_days=14,
    max_steps=40,
    rival="the stage's win rate",
)  # fmt: skip

LEAD = Kind(
    name="lead",
    noun="leads",
    key="lead_key",
    columns=(*_SHARED, "known_on", "channel", "prior_order_count"),
    groups=("source", "owner_key", "channel", "team", "region", "industry", "customer_key"),
    numbers=(
        "age_days", "log_age", "touch_count", "days_since_touch", "log_employees",
        "owner_open_count", "log_prior_orders",
    ),
    step_days=7,
    max_steps=80,
    rival="the rate at its age",
)  # fmt: skip

KINDS = {kind.name: kind for kind in (OPPORTUNITY, LEAD)}
