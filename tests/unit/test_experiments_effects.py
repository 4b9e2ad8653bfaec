"""Tests of experiments: closed forms, simulated guarantees, Hillstrom's published figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml.evaluation.metrics import holm
from ml.experiments.effects import cuped, sample_ratio, two_proportions, welch
from ml.experiments.power import (
    detectable_effect,
    people_for_means,
    people_for_rates,
    power_of_rates,
)
from ml.experiments.sequential import always_valid_interval, always_valid_p, looks_boundaries

# what references.md section 5 states: effect, z or t
HILLSTROM = {
    ("Mens E-Mail", "visit"): (0.07659, 22.49),
    ("Womens E-Mail", "visit"): (0.04523, 13.95),
    ("Mens E-Mail", "conversion"): (0.00681, None),
    ("Womens E-Mail", "conversion"): (0.00311, None),
    ("Mens E-Mail", "spend"): (0.7698, 5.30),
    ("Womens E-Mail", "spend"): (0.4244, 3.26),
}


@pytest.fixture(scope="module")
def people(shared_data) -> pd.DataFrame:
    return pd.read_csv(shared_data("email_experiment/hillstrom.csv.gz"))


@pytest.mark.parametrize(("arm", "outcome"), HILLSTROM)
def test_hillstroms_effects_are_the_published_ones(people, arm, outcome):
    effect, statistic = HILLSTROM[arm, outcome]
    treated = people.loc[people["segment"] == arm, outcome]
    control = people.loc[people["segment"] == "No E-Mail", outcome]
    if outcome == "spend":
        found = welch(treated, control)
    else:
        found = two_proportions(treated.sum(), len(treated), control.sum(), len(control))
    assert found.effect == pytest.approx(effect, abs=5e-5 if outcome == "spend" else 5e-6)
    assert found.p_value < 0.0015
    if statistic is not None:
        assert found.statistic == pytest.approx(statistic, abs=0.005)


def test_hillstroms_history_explains_hardly_any_spend_and_the_lot_was_fair(people):
    treated = people[people["segment"] == "Mens E-Mail"]
    control = people[people["segment"] == "No E-Mail"]
    plain = welch(treated["visit"], control["visit"])
    found = cuped(treated["visit"], control["visit"], treated["history"], control["history"])
    assert 0.003 < found.variance_removed_share < 0.005
    assert found.effect == pytest.approx(plain.effect, abs=0.001)
    assert found.standard_error < plain.standard_error
    assert sample_ratio(people["segment"].value_counts().tolist(), [1, 1, 1]) > 0.5


def test_a_lost_tenth_of_one_group_is_seen_by_the_sample_ratio():
    assert sample_ratio([5000, 5000], [1, 1]) == 1
    assert sample_ratio([5000, 4500], [1, 1]) < 1e-6
    assert sample_ratio([7500, 2500], [3, 1]) == 1
    expected = stats.chisquare([480, 520], [500, 500]).pvalue
    assert sample_ratio([480, 520], [1, 1]) == pytest.approx(expected)
    assert np.isnan(sample_ratio([0, 0], [1, 1]))
    with pytest.raises(ValueError, match="planned share"):
        sample_ratio([1, 2], [1, 0])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=30),
    st.lists(st.integers(-50, 50), min_size=2, max_size=30),
)
def test_welch_is_scipys(treated, control):
    found = welch(treated, control)
    if np.ptp(treated) == 0 and np.ptp(control) == 0:
        assert np.isnan(found.p_value)
        return
    expected = stats.ttest_ind(treated, control, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_z_squared_is_the_chi_square_of_the_table():
    found = two_proportions(30, 200, 45, 190)
    table = [[30, 170], [45, 145]]
    expected = stats.chi2_contingency(table, correction=False)
    assert found.statistic**2 == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("counts", "has_effect"),
    [
        ((0, 0, 3, 10), False),
        ((0, 10, 0, 10), True),
        ((10, 10, 10, 10), True),
        ((1, 1, 0, 1), True),
    ],
)
def test_proportions_of_odd_groups(counts, has_effect):
    found = two_proportions(*counts)
    assert np.isfinite(found.effect) == has_effect
    assert np.isnan(found.p_value) or 0 <= found.p_value <= 1


def test_means_of_odd_groups():
    assert np.isnan(welch([1.0], [2.0, 3.0]).p_value)
    assert np.isnan(welch([], []).effect)
    same = welch([5, 5, 5], [5, 5])
    assert (same.effect, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="finite"):
        welch([1, np.nan], [1, 2])


def test_cuped_takes_out_what_was_known_and_keeps_the_effect():
    rng = np.random.default_rng(1)
    before = rng.normal(size=4000)
    treated = rng.integers(0, 2, 4000) == 1
    outcome = 0.8 * before + 0.1 * treated + rng.normal(scale=0.6, size=4000)
    parts = (outcome[treated], outcome[~treated], before[treated], before[~treated])
    found, plain = cuped(*parts), welch(*parts[:2])
    # .64 / (.64 + .36)
    assert found.variance_removed_share == pytest.approx(0.64, abs=0.03)
    assert found.standard_error == pytest.approx(plain.standard_error * 0.6, rel=0.05)
    assert found.low < 0.1 < found.high
    constant = np.ones(len(parts[0])), np.ones(len(parts[1]))
    assert cuped(parts[0], parts[1], *constant) == plain


def test_cuped_does_not_find_effects_where_there_are_none():
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(400):
        before = rng.normal(size=80)
        outcome = before + rng.normal(size=80)
        found = cuped(outcome[:40], outcome[40:], before[:40], before[40:])
        wrong += found.p_value < 0.05
    assert wrong <= 32


def test_holm_is_the_textbooks():
    found = holm([0.01, 0.04, 0.03, np.nan, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, np.nan, 0.02])
    assert holm([]).size == 0


def test_people_needed_are_the_textbooks_and_agree_with_the_power():
    """Fleiss: 10 % against 12 %, 80 %: 3,841 a group; a standard effect of .5: 63 a group."""
    assert people_for_rates(0.10, 0.02) == (3841, 3841)
    assert people_for_means(2, 1) == (63, 63)
    assert power_of_rates(0.10, 0.02, 3841, 3841) == pytest.approx(0.8, abs=0.001)
    treated, control = people_for_rates(0.10, 0.02, control_share=0.25)
    assert treated == pytest.approx(3 * control, abs=3)
    assert power_of_rates(0.10, 0.02, treated, control) == pytest.approx(0.8, abs=0.001)
    assert detectable_effect(1.0) == pytest.approx(2.8016, abs=1e-4)
    with pytest.raises(ValueError, match="effect not be 0"):
        people_for_rates(0.1, 0)


def test_power_is_what_simulation_finds():
    rng = np.random.default_rng(3)
    treated = rng.binomial(400, 0.30, 2000)
    control = rng.binomial(400, 0.22, 2000)
    seen = [
        two_proportions(a, 400, b, 400).p_value < 0.05
        for a, b in zip(treated, control, strict=True)
    ]
    assert np.mean(seen) == pytest.approx(power_of_rates(0.22, 0.08, 400, 400), abs=0.03)


def looked_at(paths: np.ndarray, looks: range):
    """Effect and standard error at each look, of unit-variance differences."""
    for n in looks:
        yield paths[:, :n].mean(axis=1), 1 / np.sqrt(n)


def test_peeking_makes_plain_p_values_lie_and_not_the_guarded_ones():
    paths = np.random.default_rng(4).normal(size=(600, 1000))
    fooled, guarded, missed = np.zeros(600, bool), np.zeros(600, bool), np.zeros(600, bool)
    for effects, error in looked_at(paths, range(20, 1001, 20)):
        fooled |= np.abs(effects) / error > 1.96
        guarded |= np.array([always_valid_p(e, error, 0.1) < 0.05 for e in effects])
        intervals = np.array([always_valid_interval(e, error, 0.1) for e in effects])
        missed |= (intervals[:, 0] > 0) | (intervals[:, 1] < 0)
    assert fooled.mean() > 0.2
    assert guarded.mean() <= 0.05
    assert (missed == guarded).all()


def test_the_guard_still_finds_effects():
    assert always_valid_p(0.2, 0.03, 0.1) < 1e-6
    assert always_valid_p(0.0, 0.03, 0.1) == 1
    assert np.isnan(always_valid_p(0.2, 0.0, 0.1))


def test_planned_looks_have_the_published_boundaries():
    """Lan & DeMets, five equal looks, two-sided 5 % (R package ldbounds)."""
    found = looks_boundaries([0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(found, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], atol=2e-4)
    assert looks_boundaries([1.0]) == pytest.approx(1.95996, abs=1e-5)
    assert np.isfinite(looks_boundaries([0.001, 1.0])).all()
    for wrong in ([], [0.5, 0.5], [0.0, 1.0], [0.5, 1.1]):
        with pytest.raises(ValueError, match="looks"):
            looks_boundaries(wrong)
