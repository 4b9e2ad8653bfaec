"""The shapes that figures are drawn in: one look, one palette, units on every axis.

Colours are set here alone: Okabe and Ito's categories and a ramp of one hue, which colour-blind
readers tell apart. Text and grid take the page's colours when the browser draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import altair as alt
import pandas as pd

from crm_pipeline.report.words import D3_FORMATS, Words

ACCENT = "#2b6cb0"
CATEGORIES = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#8C8C8C",
    "#A6761D",
)
GOOD, NEUTRAL, BAD = "#009E73", "#8C8C8C", "#D55E00"
RAMP = ("#e8f1fa", "#b5d3ec", "#74add8", "#3683bd", "#0f5a96", "#063763")
DIVERGING = ("#b35806", "#f1a340", "#f7f7f7", "#67a9cf", "#2166ac")
HEIGHT = 280
IS_NARROW = "containerSize()[0] < 520"
LABELS = alt.ExprRef(expr=f"{IS_NARROW} ? 132 : 300")
"""How long a name beside its row may be: shorter on a phone."""
SIGNIFICANT = 7
"""Digits of a drawn number: the same bytes whatever the last bits of a sum."""

Drawn = alt.Chart | alt.LayerChart | alt.FacetChart


def base(frame: pd.DataFrame) -> alt.Chart:
    """Return a chart over the frame's rows, written the same way every time."""
    return alt.Chart(alt.Data(values=_records(frame)))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    names = [str(name) for name in frame.columns]
    return [
        {name: _drawn(value) for name, value in zip(names, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]


def _drawn(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, date):
        return value.isoformat()[:10]
    if value != value:
        return None
    number = float(value)
    return int(number) if number.is_integer() else float(f"{number:.{SIGNIFICANT}g}")


def row_names(frame: pd.DataFrame, words: Words, figure: str, **columns: str) -> list[str]:
    """Return what each row is called: the figure's text ``row``, filled from columns by name."""
    return [
        words.text(
            "figures",
            figure,
            "row",
            **{
                name: words.value(column, value)
                for (name, column), value in zip(columns.items(), values, strict=True)
            },
        )
        for values in zip(*(frame[column] for column in columns.values()), strict=True)
    ]


def named(frame: pd.DataFrame, words: Words, *columns: str) -> pd.DataFrame:
    """Return the frame with the names in ``columns`` in the report's language."""
    return frame.assign(
        **{name: [words.value(name, value) for value in frame[name]] for name in columns}
    )


def axis(words: Words, column: str, kind: str, **more: Any) -> alt.Axis:
    """Return an axis with the column's name, its unit and its number format."""
    if kind in ("date", "month"):
        pattern = words.text("shell", "axis_month" if kind == "month" else "axis_date")
        more = {
            "format": pattern,
            "labelOverlap": True,
            "tickCount": 8,
            "labelSeparation": 8,
            **more,
        }
    elif kind in D3_FORMATS:
        more = {"format": D3_FORMATS[kind], **more}
        if kind in ("count", "days"):
            more["tickMinStep"] = 1
    return alt.Axis(title=words.label(column, kind), **more)


def quantity(
    words: Words, column: str, kind: str, *, zero: bool = True, named_as: str | None = None
) -> dict[str, Any]:
    """Return the parts of a quantitative ``alt.X`` or ``alt.Y``.

    ``named_as`` is the column whose name the axis takes: bounds share that of their value.
    """
    return {
        "field": column,
        "type": "quantitative",
        "scale": alt.Scale(zero=zero, nice=True),
        "axis": axis(
            words, named_as or column, kind, tickCount=6, labelOverlap=True, labelSeparation=6
        ),
    }


def over_time(words: Words, column: str, kind: str = "month") -> dict[str, Any]:
    """Return the parts of an ``alt.X`` over days or months, whatever the reader's time zone."""
    return {
        "field": column,
        "type": "temporal",
        "scale": alt.Scale(type="utc"),
        "axis": axis(words, column, kind),
    }


def monthly(words: Words, column: str, kind: str = "month") -> dict[str, Any]:
    """Return the parts of an ``alt.X`` with a place for each month (or day): for bars."""
    return {
        "field": column,
        "type": "ordinal",
        "timeUnit": "utcyearmonth" if kind == "month" else "utcyearmonthdate",
        "axis": axis(words, column, kind, labelAngle=0),
    }


def tips(words: Words, **columns: str) -> list[alt.Tooltip]:
    """Return what is shown over a mark: column -> format."""
    return [_tip(words, column, kind) for column, kind in columns.items()]


def _tip(words: Words, column: str, kind: str) -> alt.Tooltip:
    title = words.label(column, kind)
    if kind in ("date", "month"):
        pattern = words.text("shell", "axis_month" if kind == "month" else "axis_date")
        return alt.Tooltip(
            field=column, type="temporal", title=title, timeUnit="utcyearmonthdate", format=pattern
        )
    if kind in D3_FORMATS:
        full = {"rate": ".1%", "share": ".1%", "amount": ",.2f"}.get(kind, D3_FORMATS[kind])
        return alt.Tooltip(field=column, type="quantitative", title=title, format=full)
    return alt.Tooltip(field=column, type="nominal", title=title)


def legend(words: Words, column: str) -> alt.Legend:
    """Return a legend above the chart, where a phone has room for it: there in one column."""
    columns = alt.ExprRef(expr=f"{IS_NARROW} ? 1 : 3")
    return alt.Legend(title=words.label(column), orient="top", columns=columns, labelLimit=220)


def colours(
    words: Words,
    column: str,
    *,
    order: Sequence[str] | None = None,
    palette: Sequence[str] = CATEGORIES,
) -> alt.Color:
    """Return a colour for each name of ``column``, in the palette's order."""
    scale = alt.Scale(range=list(palette))
    if order is not None:
        scale = alt.Scale(domain=list(order), range=list(palette[: len(order)]))
    return alt.Color(
        field=column,
        type="nominal",
        scale=scale,
        legend=legend(words, column),
        sort=list(order) if order is not None else None,
    )


def tall(rows: int, each: int) -> int:
    """Return the height of a chart with a row for each name.

    ``alt.Step`` would do, but Vega-Lite warns of it in every reader's console.
    """
    return max(rows, 1) * each + 6


def bars(
    frame: pd.DataFrame,
    words: Words,
    category: str,
    value: str,
    kind: str,
    *,
    colour: str | None = None,
    order: Sequence[str] | None = None,
    palette: Sequence[str] = CATEGORIES,
) -> Drawn:
    """Draw lying bars in the frame's order, one a row; with ``colour``, stacked by that column."""
    translated = [category] + ([colour] if colour else [])
    shown = named(frame, words, *translated)
    places = list(dict.fromkeys(shown[category]))
    drawn_tips = tips(
        words, **{category: "text"}, **({colour: "text"} if colour else {}), **{value: kind}
    )
    encoding: dict[str, Any] = {
        "y": alt.Y(
            field=category,
            type="nominal",
            sort=places,
            axis=alt.Axis(title=None, labelLimit=LABELS),
        ),
        "x": alt.X(**quantity(words, value, kind)),
        "tooltip": drawn_tips,
    }
    if colour:
        named_order = [words.value(colour, o) for o in order] if order else None
        encoding["color"] = colours(words, colour, order=named_order, palette=palette)
    else:
        encoding["color"] = alt.value(ACCENT)
    return base(shown).mark_bar().encode(**encoding).properties(height=tall(len(places), 26))


def lines(
    frame: pd.DataFrame,
    words: Words,
    time: str,
    value: str,
    kind: str,
    *,
    series: str | None = None,
    low: str | None = None,
    high: str | None = None,
    time_kind: str = "month",
    zero: bool = True,
    order: Sequence[str] | None = None,
) -> Drawn:
    """Draw lines over time, one for each name in ``series``; a band from ``low`` to ``high``."""
    shown = named(frame, words, series) if series else frame
    x = alt.X(**over_time(words, time, time_kind))
    colour: Any = alt.value(ACCENT)
    if series:
        named_order = [words.value(series, o) for o in order] if order else None
        colour = colours(words, series, order=named_order)
    # told apart without colour too
    shape = {"shape": alt.Shape(field=series, type="nominal", legend=None)} if series else {}
    told = {time: time_kind, **({series: "text"} if series else {}), value: kind}
    if low and high:
        told |= {low: kind, high: kind}
    # where points would touch each other the line is clearer without them
    point = alt.OverlayMarkDef(size=36, filled=True) if frame[time].nunique() <= 40 else False
    line = (
        base(shown)
        .mark_line(point=point)
        .encode(
            x=x,
            y=alt.Y(**quantity(words, value, kind, zero=zero)),
            color=colour,
            tooltip=tips(words, **told),
            **shape,
        )
    )
    layers: list[alt.Chart] = [line]
    if low and high:
        band = (
            base(shown)
            .mark_area(opacity=0.18)
            .encode(
                x=x,
                y=alt.Y(**quantity(words, low, kind, zero=zero, named_as=value)),
                y2=alt.Y2(field=high),
                color=colour,
            )
        )
        layers = [band, line]
    return alt.layer(*layers).properties(height=HEIGHT)


def areas(
    frame: pd.DataFrame,
    words: Words,
    time: str,
    value: str,
    kind: str,
    series: str,
    *,
    order: Sequence[str] | None = None,
    time_kind: str = "month",
) -> Drawn:
    """Draw stacked bars over time, one colour for each name in ``series``."""
    shown = named(frame, words, series)
    named_order = [words.value(series, o) for o in order] if order else None
    ranks = {name: rank for rank, name in enumerate(named_order or sorted(set(shown[series])))}
    shown = shown.assign(rank=[ranks[name] for name in shown[series]])
    return (
        base(shown)
        .mark_bar()
        .encode(
            x=alt.X(**monthly(words, time, time_kind)),
            y=alt.Y(**quantity(words, value, kind)),
            color=colours(words, series, order=named_order),
            order=alt.Order(field="rank", type="ordinal"),
            tooltip=tips(words, **{time: time_kind, series: "text", value: kind}),
        )
        .properties(height=HEIGHT)
    )


def intervals(
    frame: pd.DataFrame,
    words: Words,
    category: str,
    value: str,
    low: str,
    high: str,
    kind: str,
    *,
    reference: float | None = None,
    colour: str | None = None,
    order: Sequence[str] | None = None,
) -> Drawn:
    """Draw a point and its interval for each row, in the frame's order."""
    shown = named(frame, words, category, *([colour] if colour else []))
    places = list(dict.fromkeys(shown[category]))
    named_order = [words.value(colour, o) for o in order] if order and colour else None
    tint: Any = colours(words, colour, order=named_order) if colour else alt.value(ACCENT)
    y = alt.Y(
        field=category, type="nominal", sort=places, axis=alt.Axis(title=None, labelLimit=LABELS)
    )
    told = tips(words, **{category: "text", value: kind, low: kind, high: kind})
    offset = {"yOffset": alt.YOffset(field=colour, type="nominal")} if colour else {}
    span = (
        base(shown)
        .mark_rule(strokeWidth=2)
        .encode(
            y=y,
            x=alt.X(**quantity(words, low, kind, zero=False, named_as=value)),
            x2=alt.X2(field=high),
            color=tint,
            tooltip=told,
            **offset,
        )
    )
    point = (
        base(shown)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            y=y,
            x=alt.X(**quantity(words, value, kind, zero=False)),
            color=tint,
            tooltip=told,
            **offset,
        )
    )
    layers: list[alt.Chart] = [span, point]
    if reference is not None:
        line = (
            alt.Chart(alt.Data(values=[{"reference": reference}]))
            .mark_rule(strokeDash=[4, 4], color=NEUTRAL)
            .encode(x=alt.X(field="reference", type="quantitative"))
        )
        layers.insert(0, line)
    return alt.layer(*layers).properties(height=tall(len(places), 30))
