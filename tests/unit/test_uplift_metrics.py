"""Qini and AUUC against scikit-uplift's definition written out row by row, and their intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.evaluation.qini import auuc, bootstrap_qini, qini_auc, qini_curve


def written_out(y, score, t, *, kind):
    """sklift.metrics of scikit-uplift 0.5.1, as loops: area between curve and diagonal."""

    def curve(score):
        points = [(0.0, 0.0)]
        for level in sorted(set(score), reverse=True):
            rows = [i for i in range(len(y)) if score[i] >= level]
            treated = [y[i] for i in rows if t[i] == 1]
            held = [y[i] for i in rows if t[i] == 0]
            if kind == "qini":
                ratio = len(treated) / len(held) if held else 0
                points.append((len(rows), sum(treated) - sum(held) * ratio))
            else:
                mean = [sum(part) / len(part) if part else 0 for part in (treated, held)]
                points.append((len(rows), (mean[0] - mean[1]) * len(rows)))
        return points

    def area(points):
        pairs = itertools.pairwise(points)
        return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs)

    if kind == "qini":
        ideal = [y[i] * t[i] - y[i] * (1 - t[i]) for i in range(len(y))]
    else:
        responders = sum(y[i] == 1 and t[i] == 0 for i in range(len(y)))
        silent = sum(y[i] == 0 and t[i] == 1 for i in range(len(y)))
        extra = y if responders > silent else t
        ideal = [2 * (y[i] == t[i]) + extra[i] for i in range(len(y))]
    perfect = curve(ideal)
    diagonal = perfect[-1][0] * perfect[-1][1] / 2
    return (area(curve(score)) - diagonal) / (area(perfect) - diagonal)


def experiment(size=400, seed=0, heterogeneity=0.3):
    rng = np.random.default_rng(seed)
    x = rng.random(size)
    t = rng.integers(0, 2, size)
    y = (rng.random(size) < 0.2 + t * heterogeneity * x).astype(int)
    return x, t, y


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("kind", "measure"), [("qini", qini_auc), ("uplift", auuc)])
def test_both_are_scikit_uplifts(kind, measure, seed):
    x, t, y = experiment(80, seed)
    for score in (x, np.round(x, 1), -x):
        expected = written_out(y.tolist(), score.tolist(), t.tolist(), kind=kind)
        assert measure(y, score, t) == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Function stable_cumsum:FutureWarning")
def test_both_are_what_scikit_uplift_itself_says():
    theirs = pytest.importorskip("sklift.metrics", reason="scikit-uplift: extra bench")
    for seed in range(20):
        x, t, y = experiment(300, seed)
        for score in (x, np.round(x, 1), -x):
            assert qini_auc(y, score, t) == pytest.approx(
                theirs.qini_auc_score(y, score, t), abs=1e-12
            )
            assert auuc(y, score, t) == pytest.approx(
                theirs.uplift_auc_score(y, score, t), abs=1e-12
            )


def test_the_worked_example():
    """Four people: treated who responds first, then held back, held back who responds, treated."""
    x, gain = qini_curve([1, 0, 1, 0], [4, 3, 2, 1], [1, 0, 0, 1])
    assert x.tolist() == [0, 1, 2, 3, 4]
    # 1; 1 - 0 * 1; 1 - 1 * 1/2; 1 - 1 * 2/2
    assert gain.tolist() == [0, 1, 1, 0.5, 0]
    assert qini_auc([1, 0, 1, 0], [4, 3, 2, 1], [1, 0, 0, 1]) == pytest.approx(2.5 / 3)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_order_of_rows_and_scale_of_the_score_do_not_matter_and_weights_repeat(seed):
    x, t, y = experiment(60, seed)
    shuffled = np.random.default_rng(seed).permutation(60)
    expected = qini_auc(y, x, t)
    assert qini_auc(y[shuffled], x[shuffled], t[shuffled]) == pytest.approx(expected, nan_ok=True)
    assert qini_auc(y, 3 * x - 7, t) == pytest.approx(expected, nan_ok=True)
    twice = np.random.default_rng(seed).integers(1, 4, 60)
    repeated = [np.repeat(column, twice) for column in (y, x, t)]
    weighted = qini_auc(y, x, t, twice)
    assert weighted == pytest.approx(qini_auc(*repeated), nan_ok=True)


def test_the_best_order_scores_one_and_a_constant_score_nothing():
    _, t, y = experiment()
    assert qini_auc(y, y * t - y * (1 - t), t) == pytest.approx(1)
    assert qini_auc(y, np.zeros(len(y)), t) == pytest.approx(0)


def test_the_interval_tells_an_effect_that_varies_from_noise():
    x, t, y = experiment(6000, heterogeneity=0.4)
    found = bootstrap_qini(y, x, t)
    assert found.lower > 0
    assert found.p_value < 0.01
    noise = np.random.default_rng(5).random(len(y))
    missed = bootstrap_qini(y, noise, t)
    assert missed.lower < 0 < missed.upper
    assert bootstrap_qini(y, x, t, opponent=noise).lower > 0
    assert bootstrap_qini(y, noise, t, opponent=x).p_value > 0.99


def test_the_interval_covers_the_truth():
    """Of 60 experiments, about 95 % of the intervals hold the Qini of a very large one."""
    x, t, y = experiment(400_000, seed=99)
    truth = qini_auc(y, x, t)
    held = 0
    for seed in range(60):
        x, t, y = experiment(800, seed)
        found = bootstrap_qini(y, x, t, draws=150, seed=seed)
        held += found.lower <= truth <= found.upper
    assert 52 <= held <= 60


@pytest.mark.parametrize(
    ("y", "t"), [([0, 0, 0], [1, 0, 1]), ([1, 0, 1], [1, 1, 1]), ([1, 1, 1], [0, 0, 0]), ([1], [1])]
)
def test_where_no_order_is_better_there_is_no_figure_or_a_plain_one(y, t):
    score = np.arange(len(y), dtype=float)
    found = bootstrap_qini(y, score, t, draws=20)
    assert found.p_value > 0.01
    assert np.isnan(qini_auc(y, score, t)) or qini_auc(y, score, t) <= 1


@pytest.mark.parametrize(
    ("y", "score", "t"),
    [([], [], []), ([1, 0], [1, 2], [1, 2]), ([1, np.nan], [1, 2], [1, 0]), ([1, 0], [1], [1, 0])],
)
def test_what_cannot_be_measured_is_refused(y, score, t):
    with pytest.raises(ValueError, match=r"rows|finite|one"):
        qini_auc(y, score, t)
