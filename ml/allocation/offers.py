"""Next offers: from what is known of customers and offers to an allocation with its gap.

The gain that is expected of an offer is what it changes, not what the customer is worth anyway:
uplift x strength of the offer x order amount x margin, less the discount on all orders (also on
those that would have come anyway), less the cost of the contact.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.allocation.exact import allocate_exactly
from ml.allocation.greedy import allocate_greedy
from ml.allocation.problem import (
    NOBODY,
    Allocation,
    FloatArray,
    IntArray,
    Problem,
    problem,
    violations,
)

ROWS = ("customer_key", "offer", "channel", "uplift", "uplift_basis", "expected_gain_amount",
        "cost_amount")  # fmt: skip
SUMMARY = ("method", "customer_count", "offered_count", "budget_amount", "cost_amount",
           "expected_gain_amount", "bound_amount", "gap_rate", "is_feasible")  # fmt: skip

OWN, AVERAGE = "customer", "average"
ONE_SIDED = 1.96
"""Standard errors by which the experiments' mean effect must exceed 0."""
EXACT_GAP_RATE = 1e-4
EXACT_NODES = 2_000
"""Of the search tree: a limit that does not depend on the machine, as seconds would."""


def next_offers(
    customers: pd.DataFrame,
    offers: pd.DataFrame,
    limits: pd.DataFrame,
    effects: pd.DataFrame,
    refusals: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return who gets which offer, and one row that says how good that is.

    Args:
        customers: ``customer_key``, ``uplift`` (null without a model), ``order_amount`` (what an
            order is expected to bring), ``is_marketing_allowed`` (null: not known).
        offers: ``offer``, ``channel``, ``cost_amount``, ``discount_rate``, ``margin_rate``,
            ``uplift_factor``, ``minimum_count`` and ``capacity_count`` (null for none).
        limits: ``limit_name`` (budget_amount, contact_count), ``limit_value``; a limit that is
            not there is none.
        effects: Experiments' conversion effects whose sample ratio is as planned: ``effect``,
            ``control_mean``, ``treated_count``, ``control_count``. Their mean, if it is above 0
            beyond chance, stands for customers without an uplift of their own.
        refusals: ``customer_key``, ``channel`` (``any`` for all): who said no.

    Returns:
        ``ROWS`` in order of customer, and ``SUMMARY``; both empty where there is nothing to
        allocate: no offer, or nothing known of what an offer changes.
    """
    known = customers[customers["order_amount"].notna()].sort_values("customer_key", kind="stable")
    known = known.reset_index(drop=True)
    offers = offers.sort_values("offer", kind="stable").reset_index(drop=True)
    average, base = _average(effects)
    own = pd.to_numeric(known["uplift"]).to_numpy(dtype=float)
    uplift = np.where(np.isfinite(own), own, average)
    if known.empty or offers.empty or not np.isfinite(uplift).any():
        return pd.DataFrame({name: [] for name in ROWS}), pd.DataFrame({n: [] for n in SUMMARY})
    asked = _problem(known, offers, limits, uplift, base, refusals)
    found = _solved(asked)
    who = np.flatnonzero(found.offer != NOBODY)
    which = found.offer[who]
    rows = pd.DataFrame(
        {
            "customer_key": known["customer_key"].to_numpy()[who],
            "offer": offers["offer"].to_numpy()[which],
            "channel": offers["channel"].to_numpy()[which],
            "uplift": uplift[who],
            "uplift_basis": np.where(np.isfinite(own[who]), OWN, AVERAGE),
            "expected_gain_amount": asked.gain[who, which],
            "cost_amount": asked.cost[who, which],
        }
    )
    summary = pd.DataFrame(
        [
            (
                found.method, len(known), len(rows),
                asked.budget if np.isfinite(asked.budget) else None,
                found.cost, found.gain, found.bound, found.gap_rate, found.is_feasible,
            )
        ],
        columns=list(SUMMARY),
    )  # fmt: skip
    return rows, summary


def _average(effects: pd.DataFrame) -> tuple[float, float]:
    """Mean effect and mean rate without treatment; no effect unless it is above 0 beyond chance.

    Experiments are pooled with the weights of their information, n m / (n + m), and tested
    together: many small campaigns can tell what none of them tells alone.
    """
    told = effects[(effects["treated_count"] > 0) & (effects["control_count"] > 0)]
    if told.empty:
        return float("nan"), 0.0
    effect, base, n, m = (
        told[name].to_numpy(dtype=float)
        for name in ("effect", "control_mean", "treated_count", "control_count")
    )
    weight = n * m / (n + m)
    mean = float(np.average(effect, weights=weight))
    rate = float(((base + effect) * n + base * m).sum() / (n + m).sum())
    error = np.sqrt(rate * (1 - rate) / weight.sum())
    is_told = mean > ONE_SIDED * error and error > 0
    return mean if is_told else float("nan"), float(np.average(base, weights=weight))


def _problem(
    known: pd.DataFrame,
    offers: pd.DataFrame,
    limits: pd.DataFrame,
    uplift: FloatArray,
    base: float,
    refusals: pd.DataFrame,
) -> Problem:
    number = {name: offers[name].to_numpy(dtype=float) for name in
              ("cost_amount", "discount_rate", "margin_rate", "uplift_factor")}  # fmt: skip
    amount = known["order_amount"].to_numpy(dtype=float)[:, None]
    moved = uplift[:, None] * number["uplift_factor"]
    orders = np.clip(base + moved, 0.0, 1.0)
    gain = amount * (moved * number["margin_rate"] - orders * number["discount_rate"])
    gain = np.where(_is_refused(known, offers, refusals), np.nan, gain - number["cost_amount"])
    limit = dict(zip(limits["limit_name"], limits["limit_value"].astype(float), strict=True))
    contacts = limit.get("contact_count", float("nan"))
    budget = limit.get("budget_amount", float("nan"))
    return problem(
        gain,
        np.broadcast_to(number["cost_amount"], gain.shape),
        budget if np.isfinite(budget) else float("inf"),
        max_contacts=int(contacts) if np.isfinite(contacts) else None,
        minimum=_counts(offers["minimum_count"], 0),
        capacity=_counts(offers["capacity_count"], len(known)),
    )


def _counts(values: pd.Series, without: int) -> IntArray | None:
    counts = pd.to_numeric(values)
    return None if counts.isna().all() else counts.fillna(without).to_numpy(dtype=np.int64)


def _is_refused(
    known: pd.DataFrame, offers: pd.DataFrame, refusals: pd.DataFrame
) -> NDArray[np.bool_]:
    allowed = known["is_marketing_allowed"].astype(object)
    refused = np.repeat((allowed == False).to_numpy()[:, None], len(offers), axis=1)  # noqa: E712
    said_no = set(zip(refusals["customer_key"], refusals["channel"], strict=True))
    for at, channel in enumerate(offers["channel"]):
        refused[:, at] |= [
            (key, channel) in said_no or (key, "any") in said_no for key in known["customer_key"]
        ]
    return refused


def _solved(asked: Problem) -> Allocation:
    """Greedy where it keeps all limits, exact where it does not."""
    relaxed = Problem(asked.gain, asked.cost, asked.budget, asked.max_contacts)
    found = allocate_greedy(relaxed)
    if not asked.has_side_constraints or not violations(asked, found.offer):
        return found
    return allocate_exactly(asked, seconds=float("inf"), gap_rate=EXACT_GAP_RATE, nodes=EXACT_NODES)
