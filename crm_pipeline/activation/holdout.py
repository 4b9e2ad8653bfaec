"""Who is held out of an experiment: a coin that always falls alike for a person.

The maths (docs/decisions/0021): SHA-256 of ``experiment NUL customer_key``, its first 64 bits read
as a number ``u`` from 0 to below 1. A hash behaves as if drawn evenly, so a share ``h`` of people
has ``u < h``: they are the holdout. It depends on nothing else, so no run, order or machine
changes an arm; another experiment's name gives an independent draw. With a larger share people
only move into the holdout; an arm that was written down stays all the same.
"""

from __future__ import annotations

import hashlib

from crm_pipeline.activation.ledger import HOLDOUT, TREATMENT

_BITS = 64


def draw(experiment: str, customer_key: str) -> float:
    """Return a person's number in an experiment, from 0 to below 1."""
    digest = hashlib.sha256(f"{experiment}\0{customer_key}".encode()).digest()
    return int.from_bytes(digest[: _BITS // 8], "big") / 2**_BITS


def arm(experiment: str, customer_key: str, holdout_share: float) -> str:
    """Return ``holdout`` for a share of people, ``treatment`` for the others."""
    return HOLDOUT if draw(experiment, customer_key) < holdout_share else TREATMENT
