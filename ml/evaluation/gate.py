"""Whether a trained model may rule: the one place where a threshold or a test decides.

Belongs here: the rules of ``decide``. Does not: how a figure is computed (``metrics.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ml.evaluation.metrics import PairedComparison, paired_bootstrap_gini, paired_t
from ml.evaluation.qini import bootstrap_qini
from ml.evaluation.result import TRAINED, FloatArray, GateInputs, TrainingResult

SIGNIFICANCE = 0.05
"""Every paired test is one-sided at this level."""
MAX_CALIBRATION_ERROR = 0.05
MIN_ADJUSTED_RAND_INDEX = 0.8
MAX_TOTAL_BIAS_RATE = 0.25
"""Of the value model's total, and only where two seasons have been seen: with one, Christmas
alone moves the total by 45 % (Online Retail, references.md section 1)."""
BOUNDED_FROM_SEASONS = 2
MIN_COVERAGE = {"coverage_80": 0.65, "coverage_95": 0.85}
"""Of the forecast's intervals: three months are some 13 independent weeks, of which an honest 80 %
interval holds fewer than 65 % one time in ten."""

MAX_TOTAL_ERROR_RATIO = 1.0
"""The total, which everybody looks at, may not be forecast worse than by the seasonal naive one,
however much better its parts are (Online Retail as of 2011-12-09: 1.27)."""


@dataclass(frozen=True)
class GateDecision:
    """Whether the model is promoted to champion, and a plain sentence that says why."""

    promoted: bool
    reason: str


@dataclass(frozen=True)
class _Finding:
    passed: bool
    sentence: str


def decide(result: TrainingResult) -> GateDecision:
    """Return whether ``result``'s model becomes champion.

    * Churn: lower log-loss than each naive baseline and than the champion (paired t on the
      per-row losses), and a calibration error of at most ``MAX_CALIBRATION_ERROR``.
    * Value: higher normalised Gini than both naive rows and than the champion (paired
      bootstrap); with two seasons of history the total's bias is bounded too.
    * Segments: bootstrap adjusted Rand index of at least ``MIN_ADJUSTED_RAND_INDEX``.
    * Ranking: higher nDCG than popularity and than the champion (paired t on the customers').
    * Choice of one among several: lower log-loss than popularity and than the champion (paired t).
    * Forecast: lower scaled error than the seasonal naive forecast and than the champion (paired t
      on weeks of targets), intervals that hold nearly what they promise, and a total that is not
      forecast worse than by the seasonal naive one.
    * Win probability: as churn; among its baselines is the best single rate in hindsight.
    * Uplift: a Qini whose bootstrap interval lies above 0, that of random order, and a higher
      Qini than the response model's and the champion's (paired bootstrap).
    * Sentiment: as churn.

    Raises:
        ValueError: The evidence that the rule needs is missing.
    """
    if result.status != TRAINED:
        return GateDecision(False, result.reason)
    rule = RULES[result.gate.model]
    findings = rule(result.gate)
    failed = [finding.sentence for finding in findings if not finding.passed]
    if failed:
        return GateDecision(False, "refused: " + "; ".join(failed))
    return GateDecision(True, "promoted: " + "; ".join(f.sentence for f in findings))


def _figure(gate: GateInputs, name: str) -> float:
    if name not in gate.figures:
        raise ValueError(f"the {gate.model} gate needs the figure {name!r}")
    return float(gate.figures[name])


def _opponents(gate: GateInputs) -> dict[str, FloatArray]:
    if gate.candidate is None or not gate.baselines:
        raise ValueError(f"the {gate.model} gate needs a candidate and a naive baseline")
    opponents = dict(gate.baselines)
    if gate.champion is not None:
        opponents["champion"] = gate.champion
    return opponents


def _compared(metric: str, name: str, test: PairedComparison, *, higher: bool) -> _Finding:
    better = test.difference > 0 if higher else test.difference < 0
    passed = bool(better and test.p_value < SIGNIFICANCE)
    word = "beats" if passed else "does not beat"
    return _Finding(
        passed,
        f"{word} {name} in {metric} (difference {test.difference:+.4f}, "
        f"95 % {test.lower:+.4f} to {test.upper:+.4f}, p = {test.p_value:.3g})",
    )


def _lower(gate: GateInputs, metric: str) -> list[_Finding]:
    """Whether the candidate's rows are lower than each opponent's (paired t)."""
    opponents = _opponents(gate)
    assert gate.candidate is not None
    return [
        _compared(metric, name, paired_t(gate.candidate, losses), higher=False)
        for name, losses in opponents.items()
    ]


def _churn(gate: GateInputs) -> list[_Finding]:
    findings = _lower(gate, "log-loss")
    error = _figure(gate, "calibration_error")
    passed = error <= MAX_CALIBRATION_ERROR
    side = "within" if passed else "above"
    findings.append(
        _Finding(passed, f"calibration error {error:.4f} {side} {MAX_CALIBRATION_ERROR}")
    )
    return findings


def _value(gate: GateInputs) -> list[_Finding]:
    opponents = _opponents(gate)
    assert gate.candidate is not None
    if gate.actual is None:
        raise ValueError("the value gate needs the actual amounts")
    findings = [
        _compared(
            "normalised Gini",
            name,
            paired_bootstrap_gini(gate.actual, gate.candidate, scores),
            higher=True,
        )
        for name, scores in opponents.items()
    ]
    if gate.figures.get("season_count", 0) >= BOUNDED_FROM_SEASONS:
        bias = _figure(gate, "total_bias_rate")
        passed = abs(bias) <= MAX_TOTAL_BIAS_RATE
        side = "within" if passed else "outside"
        findings.append(
            _Finding(passed, f"the total's bias {bias:+.1%} {side} {MAX_TOTAL_BIAS_RATE:.0%}")
        )
    return findings


def _segments(gate: GateInputs) -> list[_Finding]:
    index = _figure(gate, "adjusted_rand_index")
    passed = index >= MIN_ADJUSTED_RAND_INDEX
    side = "reaches" if passed else "is below"
    return [_Finding(passed, f"adjusted Rand index {index:.3f} {side} {MIN_ADJUSTED_RAND_INDEX}")]


def _ranking(gate: GateInputs) -> list[_Finding]:
    opponents = _opponents(gate)
    assert gate.candidate is not None
    # the paired test asks whether losses are lower: here what is left to a perfect ranking
    tests = {name: paired_t(-gate.candidate, -quality) for name, quality in opponents.items()}
    return [_compared("nDCG", name, _mirrored(test), higher=True) for name, test in tests.items()]


def _mirrored(test: PairedComparison) -> PairedComparison:
    return PairedComparison(-test.difference, -test.upper, -test.lower, test.p_value)


def _choice(gate: GateInputs) -> list[_Finding]:
    return _lower(gate, "log-loss")


def _forecast(gate: GateInputs) -> list[_Finding]:
    findings = _lower(gate, "scaled error")
    ratio = _figure(gate, "total_error_ratio")
    passed = ratio <= MAX_TOTAL_ERROR_RATIO
    side = "within" if passed else "above"
    findings.append(
        _Finding(passed, f"error of the total {ratio:.2f} of the naive one's, {side} 1")
    )
    for name, least in MIN_COVERAGE.items():
        held = _figure(gate, name)
        word = "hold" if held >= least else "hold only"
        findings.append(
            _Finding(
                held >= least, f"intervals of {name[-2:]} % {word} {held:.0%} (least {least:.0%})"
            )
        )
    return findings


def _uplift(gate: GateInputs) -> list[_Finding]:
    opponents = _opponents(gate)
    assert gate.candidate is not None
    if gate.actual is None or gate.treated is None:
        raise ValueError("the uplift gate needs what people did, and who was treated")
    asked = (gate.actual, gate.candidate, gate.treated)
    alone = bootstrap_qini(*asked, weight=gate.weight)
    passed = bool(alone.lower > 0)
    side = "above" if passed else "not above"
    findings = [
        _Finding(
            passed,
            f"Qini {alone.difference:.4f} (95 % {alone.lower:+.4f} to {alone.upper:+.4f}) {side} 0"
            + ("" if passed else ": no heterogeneity worth acting on"),
        )
    ]
    findings += [
        _compared(
            "Qini", name, bootstrap_qini(*asked, opponent=scores, weight=gate.weight), higher=True
        )
        for name, scores in opponents.items()
    ]
    return findings


RULES: dict[str, Callable[[GateInputs], list[_Finding]]] = {
    "choice": _choice,
    "churn": _churn,
    "forecast": _forecast,
    "ranking": _ranking,
    "segments": _segments,
    "sentiment": _churn,
    "uplift": _uplift,
    "value": _value,
    "win_probability": _churn,
}
