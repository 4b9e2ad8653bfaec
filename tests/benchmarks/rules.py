"""Association rules beside ``mlxtend``, in one process on the same baskets: Groceries.

Both make all rules with every consequent, with support, confidence, lift, leverage and conviction;
ours add Fisher's exact p, its adjustment and which rules are redundant. ``mlxtend`` comes with the
extra ``bench``. Its confidence is a quotient of rounded supports: of rules with a confidence of
exactly .8 some fall below it, so it is asked for a hair less.
"""

from __future__ import annotations

import gzip
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ml.basket.baskets import Baskets, make_baskets, min_count
from ml.basket.eclat import eclat
from ml.basket.rules import association_rules
from tests.benchmarks.datasets import CHECKOUT
from tests.benchmarks.report import Report, table

CASES = ((0.001, 0.8), (0.006, 0.25))
REPEATS = 5
HAIR = 1e-9


def groceries() -> Baskets | None:
    """Return the baskets of Groceries, ``None`` where the file is not there."""
    root = Path(os.environ.get("CRM_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    path = root / "groceries" / "groceries.csv.gz"
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [
            (number, item)
            for number, line in enumerate(file)
            for item in line.rstrip("\r\n").split(",")
        ]
    return make_baskets(pd.DataFrame(rows, columns=["order_key", "product_key"]))


def _seconds(make: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    made = make()
    return time.process_time() - begin, made


def measure(report: Report) -> None:
    """Time both, alternating, and compare the rules and the medians."""
    from mlxtend.frequent_patterns import association_rules as their_rules
    from mlxtend.frequent_patterns import fpgrowth

    baskets = groceries()
    if baskets is None:
        print("rules: ../shared/data/groceries is not here")
        return
    dense = pd.DataFrame(baskets.matrix.toarray().astype(bool), columns=baskets.items)
    rows = []
    for support, confidence in CASES:

        def ours(support: float = support, confidence: float = confidence) -> pd.DataFrame:
            sets = eclat(baskets, min_count(support, baskets.order_count))
            return association_rules(sets, min_confidence=confidence, consequents="all")

        def theirs(support: float = support, confidence: float = confidence) -> pd.DataFrame:
            sets = fpgrowth(dense, support, use_colnames=True)
            return their_rules(sets, metric="confidence", min_threshold=confidence - HAIR)

        ours()
        pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(REPEATS)]
        (_, my_rules), (_, other_rules) = pairs[0]
        same = _pairs(my_rules, "antecedent", "consequent") == _pairs(
            other_rules, "antecedents", "consequents"
        )
        mine = statistics.median(pair[0][0] for pair in pairs)
        other = statistics.median(pair[1][0] for pair in pairs)
        ratio = statistics.median(pair[1][0] / pair[0][0] for pair in pairs)
        rows.append((f"{support}, {confidence}", len(my_rules), str(same), 1e3 * mine, 1e3 * other))
        name = f"rules at support {support}: mlxtend's time / ours"
        report.promise(name, ratio if same else 0.0, least=5)
    header = ("support, confidence", "rules", "the same", "ours ms", "mlxtend ms")
    table("Association rules, Groceries", header, rows)
    report.note("rules", rows)


def _pairs(rules: pd.DataFrame, left: str, right: str) -> set[tuple[frozenset, frozenset]]:
    return {(frozenset(a), frozenset(c)) for a, c in zip(rules[left], rules[right], strict=True)}
