"""What a statement of a figure is: terms, each a total over facts, and an equation over them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One total: what its facts are, and SQL that selects them, each with its ``amount``.

    Attributes:
        text: What its facts are.
        facts: The query, over ``names``.
        names: The ``with`` clause that it needs, before it.
    """

    text: str
    facts: str
    names: str

    @property
    def sql(self) -> str:
        """A whole query: kind, fact_key, line_number, product_key, ordinal, customer_key, ..."""
        return f"{self.names} {self.facts}"


@dataclass(frozen=True)
class Metric:
    """One figure: the terms whose totals it takes, the equation for people, and in SQL."""

    terms: tuple[str, ...]
    equation: str
    sql: str


MONEY = "cast({} as decimal(18, 2))"


def total(term: str) -> Metric:
    """Return the figure that is one term's total."""
    return Metric((term,), term, term)


def money(term: str) -> Metric:
    """Return the figure that is one term's total, to the cent."""
    return Metric((term,), term, MONEY.format(term))


def mean(above: str, below: str) -> Metric:
    """Return one total per another; none where that is nothing."""
    return Metric(
        (above, below), f"{above} / {below}", f"cast({above} as double) / nullif({below}, 0)"
    )
