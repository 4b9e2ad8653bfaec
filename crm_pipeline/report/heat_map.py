"""A table of coloured cells: how much there is of each pair, darker for more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from crm_pipeline.report.charts import IS_NARROW, LABELS, RAMP, Drawn, base, named, tall, tips
from crm_pipeline.report.words import D3_FORMATS, Words

IN_CELLS = {"rate": ".0%", "share": ".0%"}
"""Formats inside the cells, where room is short."""
MANY_LETTERS = 34
"""What the names below a chart may have together on a phone before they are slanted."""


def heat_map(
    frame: pd.DataFrame,
    words: Words,
    x: str,
    y: str,
    value: str,
    kind: str,
    *,
    x_order: Sequence[Any] | None = None,
    y_order: Sequence[Any] | None = None,
    step: int = 34,
    written: bool = True,
    tooltip: list[alt.Tooltip] | None = None,
) -> Drawn:
    """Draw a table of coloured cells, darker for more; with the number in each if ``written``."""
    shown = named(frame, words, x, y)
    top = float(pd.to_numeric(shown[value]).max() or 0)
    place: dict[str, Any] = {
        "x": alt.X(
            field=x,
            type="ordinal",
            sort=_sorted(words, x, x_order),
            axis=alt.Axis(title=words.label(x), **_below(list(map(str, shown[x])))),
        ),
        "y": alt.Y(
            field=y,
            type="ordinal",
            sort=_sorted(words, y, y_order),
            axis=alt.Axis(title=words.label(y), labelLimit=LABELS),
        ),
        "tooltip": tooltip or tips(words, **{x: "text", y: "text", value: kind}),
    }
    cells = (
        base(shown)
        .mark_rect()
        .encode(
            **place,
            color=alt.Color(
                field=value,
                type="quantitative",
                scale=alt.Scale(range=list(RAMP), domain=[0, top or 1]),
                legend=None
                if written
                else alt.Legend(
                    title=words.label(value, kind),
                    orient="top",
                    format=D3_FORMATS[kind],
                    gradientLength=180,
                ),
            ),
        )
    )
    height = tall(shown[y].nunique() if y_order is None else len(y_order), step)
    if not written:
        return cells.properties(height=height)
    numbers = (
        base(shown)
        .mark_text(fontSize=11)
        .encode(
            **place,
            text=alt.Text(
                field=value, type="quantitative", format=IN_CELLS.get(kind, D3_FORMATS[kind])
            ),
            color=alt.condition(
                f"datum[{value!r}] > {0.6 * top:.6g}", alt.value("#ffffff"), alt.value("#10233a")
            ),
        )
    )
    return alt.layer(cells, numbers).properties(height=height)


def _below(names: list[str]) -> dict[str, Any]:
    """Return how names below a chart are written: slanted on a phone where they are long.

    Of numbers every other one may be left out: they are read all the same.
    """
    if (
        max(map(len, names), default=0) * len(set(names)) < MANY_LETTERS
        or "".join(names).isdecimal()
    ):
        return {"labelAngle": 0, "labelOverlap": True}
    return {
        "labelAngle": alt.ExprRef(expr=f"{IS_NARROW} ? -40 : 0"),
        "labelAlign": alt.ExprRef(expr=f"{IS_NARROW} ? 'right' : 'center'"),
        "labelOverlap": False,
        "labelLimit": 130,
    }


def _sorted(words: Words, column: str, order: Sequence[Any] | None) -> Any:
    return [words.value(column, one) for one in order] if order is not None else None
