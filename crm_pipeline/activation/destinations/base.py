"""What every destination does with a delivery, and how it says that it could not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from crm_pipeline.activation.audiences import Audience


@dataclass(frozen=True)
class Delivery:
    """What one batch brings, with the only clear identifiers that leave.

    Attributes:
        batch_id: The same for every try of the same batch.
        sequence: Counts up with each batch of an audience: a later one goes before an earlier.
        audience: The audience.
        as_of: Day of the publication it was made from.
        upserts: External id -> fields, of people to add or to change.
        removals: External ids to take off.
    """

    batch_id: str
    sequence: int
    audience: Audience
    as_of: date
    upserts: Mapping[str, Mapping[str, str | None]]
    removals: Sequence[str]


@dataclass(frozen=True)
class Taken:
    """A delivery that was taken, except for some external ids."""

    rejected: frozenset[str] = frozenset()


class NotDeliveredError(Exception):
    """A batch was not taken. The message says why without a word of what was in it.

    Attributes:
        is_over: Whether the next batch would fare the same: the destination cannot be reached, or
            does not let us in.
    """

    def __init__(self, message: str, *, is_over: bool) -> None:
        """Take the reason."""
        super().__init__(message)
        self.is_over = is_over


class Destination(Protocol):
    """One destination, ready to take deliveries."""

    batch_size: int | None

    def deliver(self, delivery: Delivery) -> Taken:
        """Hand over a batch; a repetition changes nothing.

        Raises:
            NotDeliveredError: It was not taken, or nobody knows whether it was.
        """

    def holds(self, audience: Audience) -> frozenset[str] | None:
        """Return the external ids that it holds of an audience; ``None`` where it cannot say."""
