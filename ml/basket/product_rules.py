"""Which rules are worth telling: the search with its limits, and the table that comes of it."""

from __future__ import annotations

import math

import pandas as pd

from ml.basket.baskets import Baskets, Itemsets, make_baskets, min_count
from ml.basket.eclat import TooManySetsError, eclat
from ml.basket.rules import association_rules

MIN_ORDERS = 5
"""Fewer orders together say nothing that anybody would act on; significance is asked too."""
MIN_SUPPORT = 0.0005
MIN_CONFIDENCE = 0.1
SIGNIFICANCE = 0.05
"""Of the adjusted p-value: the chance that any of the rules told is a coincidence."""
MAX_LENGTH = 3
"""Two products on the left at most: longer rules are hardly ever better than their parts."""
MAX_SETS = 200_000
"""Large baskets of a wholesaler have millions of frequent sets: then more support is asked for."""
MAX_RULES = 5_000

COLUMNS = (
    "antecedent_product_key",
    "antecedent_2_product_key",
    "consequent_product_key",
    "antecedent_name",
    "consequent_name",
    "order_count",
    *("antecedent_count", "consequent_count", "rule_count"),
    *("support_rate", "confidence_rate", "lift", "leverage", "conviction"),
    *("p_value", "adjusted_p_value", "improvement"),
)
DIGITS = 9


def product_rules(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """Return the rules between products that are significant and not redundant, one consequent.

    Args:
        lines: ``order_key``, ``product_key``: one row an order line of merchandise.
        products: ``product_key``, ``product_name`` (may be null: then the key stands for it).

    Returns:
        One row a rule, ``COLUMNS``, ordered by its keys; empty where nothing is bought together.
        ``antecedent_2_product_key`` is null in rules with one product on the left, ``conviction``
        where it is infinite. Figures are rounded.
    """
    baskets = make_baskets(lines)
    itemsets = frequent_products(baskets)
    rules = association_rules(itemsets, min_confidence=MIN_CONFIDENCE)
    told = rules[
        (rules["lift"] > 1) & ~rules["is_redundant"] & (rules["adjusted_p_value"] < SIGNIFICANCE)
    ]
    # the best supported, of equal evidence the stronger
    told = told.sort_values(["p_value", "lift"], ascending=[True, False], kind="stable")
    return _table(told.head(MAX_RULES), products, baskets.order_count)


def frequent_products(baskets: Baskets) -> Itemsets:
    """Return the frequent sets of up to ``MAX_LENGTH`` products, at most ``MAX_SETS`` of them."""
    least = max(MIN_ORDERS, min_count(MIN_SUPPORT, baskets.order_count))
    while True:
        try:
            return eclat(baskets, least, max_length=MAX_LENGTH, max_sets=MAX_SETS)
        except TooManySetsError:
            least = math.ceil(1.5 * least)


def _table(rules: pd.DataFrame, products: pd.DataFrame, order_count: int) -> pd.DataFrame:
    names = dict(zip(products["product_key"], products["product_name"], strict=True))

    def name(key: str) -> str:
        known = names.get(key)
        return str(known) if isinstance(known, str) and known else key

    left = rules["antecedent"].tolist()
    right = [keys[0] for keys in rules["consequent"]]
    table = pd.DataFrame(
        {
            "antecedent_product_key": [keys[0] for keys in left],
            "antecedent_2_product_key": [keys[1] if len(keys) > 1 else None for keys in left],
            "consequent_product_key": right,
            "antecedent_name": [" + ".join(map(name, keys)) for keys in left],
            "consequent_name": [name(key) for key in right],
            "order_count": order_count,
            **{f: rules[f].to_numpy() for f in ("antecedent_count", "consequent_count")},
            "rule_count": rules["rule_count"].to_numpy(),
            "support_rate": rules["support"].round(DIGITS).to_numpy(),
            "confidence_rate": rules["confidence"].round(DIGITS).to_numpy(),
            **{f: rules[f].round(DIGITS).to_numpy() for f in ("lift", "leverage", "improvement")},
            "conviction": rules["conviction"].where(rules["conviction"] < math.inf).round(DIGITS)
            .to_numpy(),
            # of a p-value the first digits count, wherever they begin
            **{f: [float(f"{p:.6g}") for p in rules[f]] for f in ("p_value", "adjusted_p_value")},
        },
        columns=list(COLUMNS),
    )  # fmt: skip
    second = table["antecedent_2_product_key"].fillna("")
    keys = ["antecedent_product_key", "_second", "consequent_product_key"]
    table = table.assign(_second=second).sort_values(keys, ignore_index=True)
    return table.drop(columns="_second")
