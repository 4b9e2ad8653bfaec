"""What a page is made of: figures, each a question, the SQL that answers it, and how it is drawn.

Words are not here: ``texts/<language>/<page>.yml`` holds under ``figures.<key>`` the figure's
``title`` (the question), ``note``, ``alt`` (what the drawing shows, for those who cannot see it),
and where they apply ``finding`` (a sentence with what ``Figure.finding`` returns) and ``empty``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from crm_pipeline.report.charts import Drawn
    from crm_pipeline.report.words import Words

FORMATS = (
    "text",
    "count",
    "amount",
    "rate",
    "share",
    "number",
    "score",
    "days",
    "hours",
    "date",
    "month",
    "yes_no",
    "unit",
)
"""How a column is written: ``amount`` in the company's currency, ``rate`` and ``share`` as per
cent, ``number`` with up to two decimals, ``score`` with three, ``unit`` as the row's column
``unit`` says (``meta.metrics``)."""


@dataclass(frozen=True)
class Figure:
    """One question, its answer as a drawing and a table, and the SQL behind both.

    Attributes:
        key: The figure's name on its page, and in the catalogue of texts.
        sql: A query of the published file alone, ordered; an analyst can run it as it stands.
        columns: Column of the query -> its format, in the order of the table. A column that only
            the drawing needs is left out. Texts are translated where the catalogue has
            ``values.<column>.<text>``.
        source: What an empty figure lacks: a key of ``sources`` in the catalogue.
        draw: Makes the chart; ``None`` where the table is the answer, and shown open.
        finding: Returns what the catalogue's sentence ``finding`` names, already written with
            ``Words``; ``None`` where there is nothing to say.
        scores: The table of ``scores`` behind the figure: where its model abstains, an empty
            figure says so instead of asking for a source.
        unfolded: Returns texts to unfold below the table: their titles, and themselves in the
            Markdown that ``markdown.py`` knows, in English.
        is_optional: Left out where it has no rows, since another figure on the page tells as
            much of its sources.
    """

    key: str
    sql: str
    columns: Mapping[str, str]
    source: str = "orders"
    draw: Callable[[pd.DataFrame, Words], Drawn] | None = None
    finding: Callable[[pd.DataFrame, Words], Mapping[str, str] | None] | None = None
    scores: str | None = None
    unfolded: Callable[[pd.DataFrame, Words], Sequence[tuple[str, str]]] | None = None
    is_optional: bool = False

    def __post_init__(self) -> None:
        """Refuse a format that nobody knows how to write."""
        unknown = set(self.columns.values()) - set(FORMATS)
        assert not unknown, f"{self.key}: unknown formats {sorted(unknown)}"


@dataclass(frozen=True)
class Card:
    """One headline number of ``Cards``.

    Attributes:
        column: Column of the cards' query.
        format: How it is written.
        good: 1 where more is better, -1 where less is, 0 where neither.
    """

    column: str
    format: str
    good: int = 0


@dataclass(frozen=True)
class Cards:
    """Headline numbers: the last row's value, its change to the row before and a year ago.

    Attributes:
        sql: One row a complete month, ordered, with a column ``month`` and those of the cards.
        cards: What is shown; a card whose last value is null is left out.
    """

    sql: str
    cards: tuple[Card, ...]
    source: str = "orders"
    key: str = "cards"


@dataclass(frozen=True)
class Page:
    """A page of the report; ``key`` names it in the address (``#customers``) and in the texts."""

    key: str
    figures: tuple[Figure, ...]
    cards: Cards | None = None
