"""DeLong's test: against the paper's own patients, against its definition, at its edges."""

import numpy as np
import pytest

from ml.evaluation.delong import delong
from ml.evaluation.metrics import roc_auc

OVARIAN = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1
3.8 5.7 5 1 3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0
2.3 4.4 6 1 4.2 7.6 4 0 4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1
3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1 4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0
3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1 2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1
3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1
"""
"""DeLong, DeLong & Clarke-Pearson's ovarian cancer patients: albumin, total protein, K-G score,
outcome; as printed in the SAS/STAT user's guide, "Comparing receiver operating characteristic
curves" (support.sas.com/documentation/cdl/en/statug/63962, example of PROC LOGISTIC)."""


def patients() -> dict[str, np.ndarray]:
    rows = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4)
    return {"albumin": rows[:, 0], "protein": rows[:, 1], "k-g": -rows[:, 2], "outcome": rows[:, 3]}


def by_definition(y, first, second) -> tuple[float, float]:
    """Difference of the areas and its standard error, from all pairs of a churned and a stayed."""
    parts = []
    for score in (first, second):
        gap = score[y == 1][:, None] - score[y == 0][None, :]
        parts.append((gap > 0) + 0.5 * (gap == 0))
    gap = parts[0] - parts[1]
    rows, columns = gap.mean(axis=1), gap.mean(axis=0)
    variance = rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns)
    return float(gap.mean()), float(np.sqrt(variance))


def test_the_papers_patients():
    known = patients()
    albumin = delong(known["outcome"], known["albumin"], known["k-g"])
    protein = delong(known["outcome"], known["protein"], known["k-g"])
    assert len(known["outcome"]) == 43
    areas = (albumin.first, protein.first, albumin.second)
    assert areas == pytest.approx((0.7366, 0.6478, 0.7258), abs=5e-5)
    assert (albumin.p_two_sided, protein.p_two_sided) == pytest.approx((0.9102, 0.4561), abs=5e-5)


@pytest.mark.parametrize("other", ["albumin", "protein"])
def test_agrees_with_its_definition(other):
    known = patients()
    test = delong(known["outcome"], known[other], known["k-g"])
    gap, error = by_definition(known["outcome"], known[other], known["k-g"])
    assert (test.first - test.second, test.standard_error) == pytest.approx((gap, error))
    assert test.first == pytest.approx(roc_auc(known["outcome"], known[other]))


def test_a_worse_ranking_is_below_and_a_better_is_not():
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.4).astype(float)
    good, bad = y + rng.normal(0, 1, 2000), y + rng.normal(0, 3, 2000)
    assert delong(y, bad, good).p_below < 1e-6
    assert delong(y, good, bad).p_below > 1 - 1e-6
    same = delong(y, good, 3 * good + 1)
    assert (same.z, same.p_two_sided, same.p_below) == (0.0, 1.0, 0.5)


def test_rankings_of_equal_worth_differ_at_the_rate_that_is_promised():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        y = (rng.random(200) < 0.5).astype(float)
        shared = y + rng.normal(0, 1, 200)
        first, second = (shared + rng.normal(0, 1, 200) for _ in range(2))
        hits += delong(y, first, second).p_below < 0.05
    assert 8 <= hits <= 34  # 20 expected


@pytest.mark.parametrize(
    ("outcome", "score"),
    [([0, 1, 0], [1, 2, 3]), ([0, 1, 2, 1], [1, 2, 3, 4]), ([0, 1, 0, 1], [1, 2, 3, np.nan])],
)
def test_too_little_is_refused(outcome, score):
    with pytest.raises(ValueError, match="DeLong"):
        delong(outcome, score, score)
