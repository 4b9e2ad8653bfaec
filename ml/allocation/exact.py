"""Exact allocation by mixed-integer programming, for side constraints that greedy cannot keep.

HiGHS, through ``scipy.optimize.milp``. It proves its answer or, out of time, tells how far it can
be from the best. Reference: 83 s at 20,000 customers by 5 offers, so mind ``seconds``.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from ml.allocation.problem import NOBODY, Allocation, FloatArray, IntArray, Problem, answer

SECONDS = 60.0
GAP_RATE = 1e-9


def allocate_exactly(
    asked: Problem,
    *,
    seconds: float = SECONDS,
    gap_rate: float = GAP_RATE,
    nodes: int | None = None,
) -> Allocation:
    """Return the best allocation within all limits.

    Args:
        asked: The problem; minimum, capacity and channels may be limited.
        seconds: Most time; what was found by then is returned, with its gap. A limit that is
            reached makes the answer depend on the machine.
        gap_rate: Stop when no more than this rate can be gained.
        nodes: Most nodes of the search tree, which is the same limit on every machine.

    Returns:
        ``is_feasible`` is false where no allocation keeps the limits, or none was found in time.
    """
    customers, _offers = asked.gain.shape
    nobody = np.full(customers, NOBODY, dtype=np.int64)
    who, which = np.nonzero(asked.is_allowed)
    if not who.size:
        is_kept = asked.minimum is None or not asked.minimum.any()
        return Allocation(nobody, 0.0, 0.0, 0.0, "exact", is_kept)
    rows, upper, lower = _limits(asked, who, which)
    found = milp(
        -asked.gain[who, which],
        integrality=np.ones(who.size),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(sparse.vstack(rows, format="csr"), lower, upper),
        options={
            "mip_rel_gap": gap_rate,
            **({"time_limit": seconds} if np.isfinite(seconds) else {}),
            **({} if nodes is None else {"node_limit": nodes}),
        },
    )
    bound = -float(found.mip_dual_bound) if found.mip_dual_bound is not None else float("inf")
    if found.x is None:
        return Allocation(nobody, 0.0, 0.0, bound, "exact", False)
    taken = found.x > 0.5
    offer = nobody.copy()
    offer[who[taken]] = which[taken]
    return answer(asked, offer, bound, "exact", is_proven=float(found.status == 0))


def _limits(
    asked: Problem, who: IntArray, which: IntArray
) -> tuple[list[sparse.csr_matrix], FloatArray, FloatArray]:
    customers, offers = asked.gain.shape
    pairs = np.arange(who.size)
    ones = np.ones(who.size)
    rows = [sparse.csr_matrix((ones, (who, pairs)), shape=(customers, who.size))]
    upper, lower = [np.ones(customers)], [np.zeros(customers)]

    def add(matrix: sparse.csr_matrix, at_most: FloatArray, at_least: FloatArray) -> None:
        rows.append(matrix)
        upper.append(at_most)
        lower.append(at_least)

    if np.isfinite(asked.budget):
        add(
            sparse.csr_matrix(asked.cost[who, which][None, :]),
            np.array([asked.budget]), np.array([0.0]),
        )  # fmt: skip
    if asked.max_contacts is not None:
        add(sparse.csr_matrix(ones[None, :]), np.array([float(asked.max_contacts)]), np.zeros(1))
    if asked.minimum is not None or asked.capacity is not None:
        most = np.full(offers, np.inf) if asked.capacity is None else asked.capacity.astype(float)
        least = np.zeros(offers) if asked.minimum is None else asked.minimum.astype(float)
        add(sparse.csr_matrix((ones, (which, pairs)), shape=(offers, who.size)), most, least)
    if asked.channel is not None and asked.channel_capacity is not None:
        size = asked.channel_capacity.size
        matrix = sparse.csr_matrix((ones, (asked.channel[which], pairs)), shape=(size, who.size))
        add(matrix, asked.channel_capacity.astype(float), np.zeros(size))
    return rows, np.concatenate(upper), np.concatenate(lower)


def linear_bound(asked: Problem) -> float:
    """Return the bound of the relaxation, which no allocation exceeds; for side constraints too."""
    who, which = np.nonzero(asked.is_allowed)
    if not who.size:
        return 0.0
    rows, upper, lower = _limits(asked, who, which)
    found = milp(
        -asked.gain[who, which],
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(sparse.vstack(rows, format="csr"), lower, upper),
    )
    return -float(found.fun) if found.fun is not None else float("nan")
