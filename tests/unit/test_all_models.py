"""What holds for every registered model, by its being there: champions stay, odd data are borne."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.evaluation.gate import RULES, decide
from ml.evaluation.result import GateInputs
from tests.unit.model_company import QUICK_RECIPES, SPECS, example, trained


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("ml.churn.training.candidates", lambda *_: QUICK_RECIPES)
    monkeypatch.setattr("ml.clv.training.figures", lambda *_: {})


LOSSES = ("choice", "churn", "forecast", "sentiment", "win_probability")
SCORES = ("ranking", "uplift", "value")
FIGURES = {"segments": {"adjusted_rand_index": 0.5}}
"""Where no champion is compared, a worse challenger does not reach the bar."""


def worse(gate: GateInputs) -> GateInputs:
    """Return the evidence of a model that is worse by construction, on the same rows."""
    if gate.model in FIGURES:
        return replace(gate, figures={**gate.figures, **FIGURES[gate.model]})
    found = gate.candidate
    rng = np.random.default_rng(0)
    if gate.model in LOSSES:
        found = found + rng.uniform(0.05, 0.15, len(found)) * (1 + np.abs(found))
    elif gate.model == "ranking":
        found = found * rng.uniform(0.2, 0.8, len(found))
    else:
        found = rng.permutation(found)
    return replace(gate, candidate=found)


def test_every_rule_of_the_gate_has_a_worse_model():
    assert set(RULES) == {*LOSSES, *SCORES, *FIGURES}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_a_deliberately_worse_challenger_leaves_the_champion_in_its_place(name):
    of, first = example(name), trained(name)
    assert decide(first).promoted, decide(first).reason
    again = SPECS[name].train(of.training, of.settings, first.estimator)
    rival = worse(again.gate)
    decided = decide(replace(again, gate=rival))
    assert not decided.promoted
    assert decided.reason.startswith("refused: ")
    if again.gate.model not in FIGURES:
        # the champion was examined on the same rows, and is what stood in the way
        assert again.gate.champion is not None
        alone = replace(rival, champion=None, baselines={"chance": _chance(rival)})
        assert "champion" in decided.reason
        assert "champion" not in decide(replace(again, gate=alone)).reason
        # the same model is not better than itself; it is than one that is worse
        assert not decide(again).promoted
        beaten = replace(again.gate, champion=rival.candidate)
        assert decide(replace(again, gate=beaten)).promoted


def _chance(gate: GateInputs) -> np.ndarray:
    return next(iter(gate.baselines.values()))
