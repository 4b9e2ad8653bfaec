"""Metrics and paired tests: against independent code, on ties, on hand-made cases."""

import numpy as np
import pytest
from sklearn import metrics as reference

from ml.evaluation import metrics


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    probability = np.round(rng.random(2000), 2)  # many ties
    outcome = (rng.random(2000) < probability).astype(float)
    return outcome, probability


def test_agrees_with_scikit_learn_also_on_ties(drawn):
    y, p = drawn
    assert metrics.roc_auc(y, p) == pytest.approx(reference.roc_auc_score(y, p))
    assert metrics.pr_auc(y, p) == pytest.approx(reference.average_precision_score(y, p))
    assert metrics.brier(y, p) == pytest.approx(reference.brier_score_loss(y, p))
    inside = np.clip(p, 1e-6, 1 - 1e-6)
    assert metrics.log_loss(y, p) == pytest.approx(reference.log_loss(y, inside))


def test_no_metric_depends_on_the_order_of_rows(drawn):
    y, p = drawn
    mixed = np.random.default_rng(0).permutation(len(y))
    for name in ("roc_auc", "pr_auc", "calibration_error", "lift", "normalised_gini", "brier"):
        measure = getattr(metrics, name)
        assert measure(y[mixed], p[mixed]) == pytest.approx(measure(y, p), abs=1e-12), name


def test_a_weight_is_a_repetition(drawn):
    y, p = drawn
    weight = np.random.default_rng(1).integers(1, 5, len(y))
    for name in ("log_loss", "brier", "roc_auc", "calibration_error"):
        measure = getattr(metrics, name)
        repeated = measure(np.repeat(y, weight), np.repeat(p, weight))
        assert measure(y, p, weight=weight) == pytest.approx(repeated, abs=1e-12), name
        assert measure(y, p, weight=np.full(len(y), 3.0)) == pytest.approx(measure(y, p)), name
    assert np.isnan(metrics.roc_auc(np.ones(5), np.arange(5.0), np.ones(5)))


def test_calibration_error_of_a_constant_is_its_bias():
    y = np.array([1.0, 0, 0, 0] * 50)
    assert metrics.calibration_error(y, np.full(200, 0.4)) == pytest.approx(0.15)
    assert len(metrics.calibration_table(y, np.full(200, 0.4))) == 1


def test_calibration_bins_hold_equal_counts_without_ties():
    p = np.linspace(0.01, 0.99, 200)
    table = metrics.calibration_table(np.zeros(200), p)
    assert table["row_count"].tolist() == [20] * 10
    assert metrics.calibration_error(np.zeros(200), p) == pytest.approx(p.mean())


def test_equal_probabilities_share_a_bin():
    p = np.array([0.1] * 15 + [0.2] * 5)
    table = metrics.calibration_table(np.zeros(20), p)
    assert table["row_count"].tolist() == [15, 5]


def test_lift_by_hand():
    y = np.array([1.0] * 2 + [0.0] * 8)
    assert metrics.lift(y, np.arange(10, 0, -1.0)) == pytest.approx(5.0)
    assert metrics.lift(y, np.zeros(10)) == pytest.approx(1.0)  # all tied: no better than chance


def test_normalised_gini_of_perfect_reversed_and_constant_scores():
    amount = np.array([0.0, 1, 2, 5, 10])
    assert metrics.normalised_gini(amount, amount) == pytest.approx(1.0)
    assert metrics.normalised_gini(amount, -amount) == pytest.approx(-1.0)
    assert metrics.normalised_gini(amount, np.zeros(5)) == pytest.approx(0.0)
    assert np.isnan(metrics.normalised_gini(np.zeros(5), amount))


def test_one_class_has_no_auc():
    assert np.isnan(metrics.roc_auc(np.ones(5), np.arange(5.0)))
    assert np.isnan(metrics.pr_auc(np.zeros(5), np.arange(5.0)))


def test_a_certain_and_wrong_row_costs_a_bounded_loss():
    assert metrics.log_loss([1.0], [0.0]) == pytest.approx(-np.log(metrics.PROBABILITY_FLOOR))


@pytest.mark.parametrize(
    ("outcome", "score", "message"),
    [([], [], "no rows"), ([1.0], [1.0, 2.0], "equal length"), ([1.0], [np.nan], "finite")],
)
def test_refuses_what_cannot_be_measured(outcome, score, message):
    with pytest.raises(ValueError, match=message):
        metrics.brier(outcome, score)


def test_paired_t_tells_better_from_equal_and_worse():
    rng = np.random.default_rng(1)
    theirs = rng.random(500)
    ours = theirs - 0.05 + rng.normal(0, 0.1, 500)
    better = metrics.paired_t(ours, theirs)
    assert better.difference < 0
    assert better.upper < 0
    assert better.p_value < 0.001
    assert metrics.paired_t(theirs, ours).p_value > 0.999
    assert metrics.paired_t(theirs, theirs).p_value == 1.0
    assert metrics.paired_wilcoxon(ours, theirs) < 0.001
    assert metrics.paired_wilcoxon(theirs, theirs) == 1.0


def test_paired_t_keeps_its_level_where_nothing_differs():
    rng = np.random.default_rng(5)
    p_values = [
        metrics.paired_t(rng.normal(size=100), rng.normal(size=100)).p_value for _ in range(400)
    ]
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


def test_paired_bootstrap_separates_a_good_ranking_from_a_random_one():
    rng = np.random.default_rng(2)
    amount = rng.gamma(1, 50, 600)
    good = amount * rng.lognormal(0, 0.5, 600)
    test = metrics.paired_bootstrap_gini(amount, good, rng.random(600), draws=200)
    assert test.lower > 0
    assert test.p_value < 0.01
    again = metrics.paired_bootstrap_gini(amount, good, good, draws=200)
    assert again.difference == 0
    assert again.p_value == 1.0
    assert metrics.paired_bootstrap_gini(np.zeros(9), np.ones(9), np.ones(9)).p_value == 1.0
