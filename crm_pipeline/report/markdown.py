"""Markdown as model cards are written in it, as HTML: headings, lists, tables, text, code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`]+)`")


def to_html(text: str) -> Markup:
    """Return the text as HTML; headings begin at the third level, below those of a figure."""
    blocks: list[Markup] = []
    for kind, lines in groupby(text.splitlines(), key=_kind):
        blocks.extend(_WRITERS[kind](list(lines)))
    return Markup("\n").join(blocks)


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    if line.startswith("#"):
        return "heading"
    if line.startswith("- "):
        return "list"
    return "table" if line.startswith("|") else "text"


def _inline(text: str) -> Markup:
    parts = _CODE.split(text.strip())
    written = [
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part)
        for at, part in enumerate(parts)
    ]
    return Markup("").join(written)


def _headings(lines: Sequence[str]) -> Iterator[Markup]:
    for line in lines:
        level = min(len(line) - len(line.lstrip("#")) + 1, 6)
        level = max(level, 3)
        tag = f"h{level}"
        yield Markup("<{0}>{1}</{0}>").format(tag, _inline(line.lstrip("#")))


def _list(lines: Sequence[str]) -> Iterator[Markup]:
    items = [Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines]
    yield Markup("<ul>{}</ul>").format(Markup("").join(items))


def _table(lines: Sequence[str]) -> Iterator[Markup]:
    rows = [[_inline(cell) for cell in line.strip().strip("|").split("|")] for line in lines]
    is_rule = len(lines) > 1 and set(lines[1]) <= set("|-: ")
    head, body = rows[0], rows[2:] if is_rule else rows[1:]
    names = Markup("").join(Markup('<th scope="col">{}</th>').format(cell) for cell in head)
    written = [
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row[0], Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row[1:])
        )
        for row in body
    ]
    yield Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        names, Markup("").join(written)
    )


def _text(lines: Sequence[str]) -> Iterator[Markup]:
    yield Markup("<p>{}</p>").format(_inline(" ".join(lines)))


def _blank(lines: Sequence[str]) -> Iterator[Markup]:
    yield from ()


_WRITERS = {
    "heading": _headings,
    "list": _list,
    "table": _table,
    "text": _text,
    "blank": _blank,
}
