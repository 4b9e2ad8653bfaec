"""The gate, both ways, for each model."""

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.gate import decide
from ml.evaluation.result import (
    EVALUATION_COLUMNS,
    TRAINED,
    GateInputs,
    TrainingResult,
    evaluation_frame,
    too_little_data,
)

RNG = np.random.default_rng(0)
LOSSES = RNG.random(400)
AMOUNT = RNG.gamma(1, 50, 400)


def result(gate: GateInputs) -> TrainingResult:
    return TrainingResult(TRAINED, "r", None, {}, evaluation_frame(), {}, {}, gate)


def churn(base=0.1, champion=None, error=0.03):
    noise = RNG.normal(0, 0.01, 400)
    return result(
        GateInputs(
            model="churn",
            candidate=LOSSES,
            baselines={"the base rate": LOSSES + base + noise},
            champion=None if champion is None else LOSSES + champion + noise,
            figures={"calibration_error": error},
        )
    )


def test_churn_is_promoted_over_the_baseline_and_a_worse_champion():
    assert decide(churn()).promoted
    decision = decide(churn(champion=0.05))
    assert decision.promoted
    assert "beats champion" in decision.reason


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"base": 0.0}, "does not beat the base rate"),
        ({"base": -0.1}, "does not beat the base rate"),
        ({"champion": 0.0}, "does not beat champion"),
        ({"champion": -0.1}, "does not beat champion"),
        ({"error": 0.0501}, "calibration error 0.0501 above 0.05"),
        ({"error": float("nan")}, "calibration error"),
    ],
)
def test_churn_is_refused_with_the_reason(case, words):
    decision = decide(churn(**case))
    assert not decision.promoted
    assert words in decision.reason


def test_a_calibration_error_at_the_bound_passes():
    assert decide(churn(error=0.05)).promoted


def value(score, champion=None, **figures):
    return result(
        GateInputs(
            model="value",
            candidate=score,
            baselines={"rate": RNG.random(400), "mean": np.ones(400)},
            champion=champion,
            actual=AMOUNT,
            figures=figures,
        )
    )


def test_value_must_rank_better_than_naive_rows_and_champion():
    good, bad = AMOUNT * RNG.lognormal(0, 0.3, 400), RNG.random(400)
    assert decide(value(good)).promoted
    assert not decide(value(bad)).promoted
    assert decide(value(good, champion=bad)).promoted
    assert not decide(value(good, champion=good)).promoted


def test_value_total_is_bounded_only_with_two_seasons():
    good = AMOUNT * RNG.lognormal(0, 0.3, 400)
    assert decide(value(good, season_count=1, total_bias_rate=-0.45)).promoted
    assert decide(value(good, season_count=2, total_bias_rate=-0.1)).promoted
    refused = decide(value(good, season_count=2, total_bias_rate=-0.45))
    assert not refused.promoted
    assert "bias -45.0%" in refused.reason


@pytest.mark.parametrize(("index", "promoted"), [(0.8, True), (0.79, False)])
def test_segments_need_a_stable_partition(index, promoted):
    gate = GateInputs(model="segments", figures={"adjusted_rand_index": index})
    assert decide(result(gate)).promoted is promoted


def ranking(gain, champion=None, model="ranking"):
    """nDCG of 400 customers, or their losses where the model is a choice."""
    noise = RNG.normal(0, 0.05, 400)
    return result(
        GateInputs(
            model=model,
            candidate=LOSSES + gain + noise,
            baselines={"popularity": LOSSES},
            champion=None if champion is None else LOSSES + champion,
        )
    )


@pytest.mark.parametrize(("model", "sign"), [("ranking", 1), ("choice", -1)])
def test_a_ranking_and_a_choice_must_beat_popularity_and_the_champion(model, sign):
    better, worse = sign * 0.05, -sign * 0.05
    assert decide(ranking(better, model=model)).promoted
    assert decide(ranking(better, worse, model=model)).promoted
    for case, words in (
        ((worse,), "does not beat popularity"),
        ((0.0,), "does not beat popularity"),
        ((better, 2 * better), "does not beat champion"),
        ((better, better), "does not beat champion"),
    ):
        decision = decide(ranking(*case, model=model))
        assert not decision.promoted, case
        assert words in decision.reason


def test_the_difference_in_ranking_is_told_in_its_own_direction():
    reason = decide(ranking(0.05)).reason
    assert "in nDCG (difference +0.0" in reason
    low, high = (float(part.split(",")[0])
                 for part in reason.split("95 % ")[1].split(" to "))  # fmt: skip
    assert 0 < low < high


def test_too_little_data_is_never_promoted_and_says_why():
    abstained = too_little_data("churn", "12 customers are labelled")
    decision = decide(abstained)
    assert not decision.promoted
    assert decision.reason == "12 customers are labelled"
    assert tuple(abstained.evaluation.columns) == EVALUATION_COLUMNS


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (GateInputs(model="churn"), "needs a candidate"),
        (GateInputs(model="churn", candidate=LOSSES, baselines={"b": LOSSES}), "calibration_error"),
        (GateInputs(model="value", candidate=AMOUNT, baselines={"b": AMOUNT}), "actual"),
        (GateInputs(model="segments"), "adjusted_rand_index"),
    ],
)
def test_missing_evidence_is_an_error_not_a_pass(gate, words):
    with pytest.raises(ValueError, match=words):
        decide(result(gate))


def test_evaluation_frame_keeps_missing_figures_as_nan():
    frame = evaluation_frame([("p", "m", 1.0, None, 2.0)])
    assert np.isnan(frame.loc[0, "baseline_value"])
    assert isinstance(frame, pd.DataFrame)
