"""Lin's adjusted difference: its textbook formula, its invariances, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml.experiments.adjusted import adjusted
from ml.experiments.effects import exact_sample_ratio, sample_ratio, welch


def groups(size=300, treated_share=0.7, seed=0, effect=0.2, slope=0.8, extra=0.4):
    """Outcomes and two covariates; the second group's slope differs."""
    rng = np.random.default_rng(seed)
    before = np.column_stack([rng.normal(5, 2, size), rng.gamma(2, 30, size)])
    is_treated = rng.random(size) < treated_share
    outcome = slope * before[:, 0] + 0.01 * before[:, 1] + rng.normal(size=size)
    outcome += is_treated * (effect + extra * (before[:, 0] - 5))
    return (
        outcome[is_treated], outcome[~is_treated], before[is_treated], before[~is_treated],
    )  # fmt: skip


def textbook(treated, control, treated_before, control_before):
    """One regression on treatment, centred covariates and their products; HC2 from the hat matrix.

    The formulas of statsmodels' ``OLS(...).fit(cov_type="HC2")``, written out.
    """
    outcome = np.r_[treated, control]
    is_treated = np.r_[np.ones(len(treated)), np.zeros(len(control))]
    before = np.vstack([treated_before, control_before])
    centred = before - before.mean(axis=0)
    design = np.column_stack(
        [np.ones(len(outcome)), is_treated, centred, centred * is_treated[:, None]]
    )
    inverse = np.linalg.inv(design.T @ design)
    solution = inverse @ design.T @ outcome
    errors = outcome - design @ solution
    hat = np.einsum("ij,jk,ik->i", design, inverse, design)
    middle = design.T @ (design * (errors**2 / (1 - hat))[:, None])
    return solution[1], np.sqrt((inverse @ middle @ inverse)[1, 1])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_interacted_regression_with_hc2_errors(seed):
    parts = groups(seed=seed)
    found = adjusted(*parts)
    assert (found.effect, found.standard_error) == pytest.approx(textbook(*parts), rel=1e-9)
    assert found.low < found.effect < found.high
    degrees = stats.t.ppf(0.975, 60), stats.t.ppf(0.975, 300)
    assert degrees[1] < (found.high - found.low) / 2 / found.standard_error < degrees[0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_rows_units_and_repeated_columns_change_nothing(seed):
    y, x, u, v = groups(seed=seed)
    found = adjusted(y, x, u, v)
    order, other = (np.random.default_rng(seed).permutation(len(part)) for part in (y, x))
    for same in (
        adjusted(y[order], x[other], u[order], v[other]),
        adjusted(y, x, u * [1000, 0.001] + [-3, 7], v * [1000, 0.001] + [-3, 7]),
        adjusted(y, x, np.c_[u, u[:, 0], np.ones(len(u))], np.c_[v, v[:, 0], np.ones(len(v))]),
    ):
        assert same.effect == pytest.approx(found.effect, rel=1e-7, abs=1e-9)
        assert same.standard_error == pytest.approx(found.standard_error, rel=1e-7)
    cents = adjusted(100 * y, 100 * x, u, v)
    assert cents.effect == pytest.approx(100 * found.effect)
    assert cents.p_value == pytest.approx(found.p_value, abs=1e-12)
    twice = adjusted(np.tile(y, 2), np.tile(x, 2), np.tile(u, (2, 1)), np.tile(v, (2, 1)))
    assert twice.effect == pytest.approx(found.effect)
    assert twice.standard_error < found.standard_error
    swapped = adjusted(x, y, v, u)
    assert swapped.effect == pytest.approx(-found.effect)


@pytest.mark.parametrize(
    "before", [lambda n: np.ones((n, 2)), lambda n: np.zeros((n, 0)), lambda n: np.full(n, 3.0)]
)
def test_without_anything_known_before_it_is_welch(before):
    y, x, *_ = groups()
    assert adjusted(y, x, before(len(y)), before(len(x))) == welch(y, x)


def test_few_people_are_not_adjusted_and_odd_groups_have_an_answer():
    y, x, u, v = groups(size=60)
    assert len(x) < 60
    assert adjusted(y, x, u, v) == welch(y, x)
    assert np.isnan(adjusted([], [], np.zeros((0, 2)), np.zeros((0, 2))).effect)
    size = 200
    known = np.arange(size, dtype=float)
    same = adjusted(np.full(size, 4.0), np.full(size, 4.0), known, known)
    assert (same.effect, same.standard_error) == (0, 0)
    # foretold without an error: the difference stands, as far as Welch can tell
    exact = adjusted(known + 1, known, known, known)
    assert exact.effect == pytest.approx(1)
    with pytest.raises(ValueError, match="finite"):
        adjusted(known, known, np.full(size, np.nan), known)


def test_one_person_unlike_all_others_is_no_division_by_zero():
    y, x, u, v = groups()
    u = np.c_[u, np.zeros(len(u))]
    u[0, -1] = 1.0
    found = adjusted(y, x, u, np.c_[v, np.zeros(len(v))])
    assert np.isfinite([found.effect, found.standard_error]).all()


def test_it_covers_the_truth_and_is_narrower_where_the_past_tells_something():
    rng = np.random.default_rng(1)
    covered, ratio = 0, []
    for seed in range(300):
        effect = float(rng.normal())
        parts = groups(size=240, seed=seed, effect=effect, extra=0.0)
        found = adjusted(*parts)
        covered += found.low <= effect <= found.high
        ratio.append(found.standard_error / welch(*parts[:2]).standard_error)
    assert 0.92 <= covered / 300 <= 0.98
    assert np.mean(ratio) < 0.65


def test_the_exact_sample_ratio_is_scipys_and_agrees_with_the_chi_square_where_that_holds():
    expected = stats.binomtest(30, 400, 0.1).pvalue
    assert exact_sample_ratio(370, 30, 0.1) == expected
    assert exact_sample_ratio(90_300, 9_700, 0.1) == pytest.approx(
        sample_ratio([90_300, 9_700], [0.9, 0.1]), rel=0.02
    )
    assert exact_sample_ratio(900, 100, 0.1) == 1
    assert exact_sample_ratio(900, 50, 0.1) < 1e-6
    assert np.isnan(exact_sample_ratio(0, 0, 0.1))
    with pytest.raises(ValueError, match="planned share"):
        exact_sample_ratio(1, 1, 0)
