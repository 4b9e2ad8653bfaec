"""Drawings that put things beside each other: grouped bars, and what was beside what is expected.

They look as ``charts.py`` lays down; what most pages need is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from crm_pipeline.report.charts import (
    ACCENT,
    CATEGORIES,
    HEIGHT,
    LABELS,
    Drawn,
    base,
    colours,
    named,
    over_time,
    quantity,
    tall,
    tips,
)
from crm_pipeline.report.words import Words


def melted(frame: pd.DataFrame, keep: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return one row for each of ``columns``: its name in ``measure``, its number in ``value``."""
    rows = [
        {**{name: row[name] for name in keep}, "measure": column, "value": row[column]}
        for _, row in frame.iterrows()
        for column in columns
        if row[column] is not None
    ]
    return pd.DataFrame(rows, columns=[*keep, "measure", "value"], dtype=object)


def side_by_side(
    frame: pd.DataFrame,
    words: Words,
    category: str,
    value: str,
    kind: str,
    group: str,
    *,
    order: Sequence[str] | None = None,
    palette: Sequence[str] = CATEGORIES,
) -> Drawn:
    """Draw lying bars in the frame's order, for each category one a group, below each other."""
    shown = named(frame, words, category, group)
    places = list(dict.fromkeys(shown[category]))
    groups = [words.value(group, one) for one in order or dict.fromkeys(frame[group])]
    return (
        base(shown)
        .mark_bar()
        .encode(
            y=alt.Y(
                field=category,
                type="nominal",
                sort=places,
                axis=alt.Axis(title=None, labelLimit=LABELS),
            ),
            yOffset=alt.YOffset(field=group, type="nominal", sort=groups),
            x=alt.X(**quantity(words, value, kind)),
            color=colours(words, group, order=groups, palette=palette),
            tooltip=tips(words, **{category: "text", group: "text", value: kind}),
        )
        .properties(height=tall(len(places), 12 + 14 * len(groups)))
    )


def expected(
    frame: pd.DataFrame,
    words: Words,
    time: str,
    actual: str,
    forecast: str,
    kind: str,
    bands: Sequence[tuple[str, str]],
) -> Drawn:
    """Draw what was as a line and what is expected as a dashed one, with its bands behind it.

    ``bands`` are pairs of columns, the widest first.
    """
    x = alt.X(**over_time(words, time))
    told = tips(words, **{time: "month", actual: kind, forecast: kind})
    for low, high in reversed(bands):
        told += tips(words, **{low: kind, high: kind})
    layers: list[Any] = [
        base(frame[frame[low].notna()])
        .mark_area(opacity=0.2, color=CATEGORIES[1])
        .encode(
            x=x,
            y=alt.Y(**quantity(words, low, kind, named_as=actual)),
            y2=alt.Y2(field=high),
        )
        for low, high in bands
    ]
    for column, colour, dash in ((actual, ACCENT, [1, 0]), (forecast, CATEGORIES[5], [6, 4])):
        layers.append(
            base(frame[frame[column].notna()])
            .mark_line(
                strokeDash=dash, point=alt.OverlayMarkDef(size=36, filled=True, color=colour)
            )
            .encode(
                x=x,
                y=alt.Y(**quantity(words, column, kind, named_as=actual)),
                color=alt.value(colour),
                tooltip=told,
            )
        )
    return alt.layer(*layers).properties(height=HEIGHT)
