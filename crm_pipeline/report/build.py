"""Making the report: every figure asked, drawn and written into one HTML file.

The same published file gives the same bytes: nothing of this moment, this machine or this run
gets in. What is drawn is read from the published file alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_pipeline.report import cards
from crm_pipeline.report.bundle import bundle
from crm_pipeline.report.markdown import to_html
from crm_pipeline.report.page import Figure, Page
from crm_pipeline.report.reading import Build, Reader, Rows
from crm_pipeline.report.words import LANGUAGES, Words

INDEX = "index.html"
_SHELL = Path(__file__).parent / "shell"


@dataclass(frozen=True)
class Shown:
    """A figure as the page shows it; without ``rows`` it says in ``empty`` what it lacks."""

    id: str
    title: str
    sql: str
    note: str = ""
    finding: str = ""
    alt: str = ""
    empty: str = ""
    spec: str = ""
    head: Sequence[tuple[str, str, bool]] = ()
    rows: Sequence[Sequence[str]] = ()
    unfolded: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class ShownPage:
    """A page as it is shown."""

    key: str
    title: str
    lead: str
    figures: Sequence[Shown]
    cards: Sequence[cards.ShownCard]
    cards_table: Shown | None
    empty: str


def build_report(file: Path, folder: Path, language: str) -> Path:
    """Write the report of a published file into ``folder``; return the page to open."""
    html = render(file, language)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / INDEX
    target.write_text(html, encoding="utf-8")
    return target


def render(file: Path, language: str, *, only: Sequence[Page] | None = None) -> str:
    """Return the report's HTML."""
    # drawing takes a second to import, which only a publication should pay
    from crm_pipeline.report.pages import pages

    assert language in LANGUAGES
    reader = Reader(file)
    try:
        build = reader.build()
        shown = [
            show_page(reader, page, Words(language, page.key, currency=build.currency))
            for page in (pages() if only is None else only)
        ]
    finally:
        reader.close()
    return _write(shown, build, Words(language, "common", currency=build.currency))


def _write(shown: Sequence[ShownPage], build: Build, words: Words) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_SHELL),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(
        words=words,
        pages=shown,
        build=build,
        as_of=words.write(build.as_of, "date"),
        style=(_SHELL / "report.css").read_text(encoding="utf-8"),
        script=(_SHELL / "report.js").read_text(encoding="utf-8"),
        bundle=bundle(),
    )


def show_page(reader: Reader, page: Page, words: Words) -> ShownPage:
    """Ask and draw everything on a page."""
    shown = [(figure, show_figure(reader, page, figure, words)) for figure in page.figures]
    figures = [one for figure, one in shown if not (figure.is_optional and one.empty)]
    headline: Sequence[cards.ShownCard] = ()
    table = None
    if page.cards:
        found = reader.ask(page.cards.sql)
        headline = cards.show_cards(page.cards, found, words)
        if headline:
            columns = {"month": "month"} | {c.column: c.format for c in page.cards.cards}
            table = Shown(
                id=f"{page.key}-{page.cards.key}",
                title=words.text("shell", "cards"),
                sql=page.cards.sql.strip(),
                head=_head(columns, words),
                rows=_cells(found, columns, words),
            )
    anything = headline or any(not figure.empty for figure in figures)
    return ShownPage(
        key=page.key,
        title=words.text("title"),
        lead=words.text("lead"),
        figures=figures if anything else (),
        cards=headline,
        cards_table=table,
        empty="" if anything else _lacking(page, words),
    )


def _lacking(page: Page, words: Words) -> str:
    sources = dict.fromkeys(figure.source for figure in page.figures)
    return " ".join(words.text("sources", source) for source in sources)


def show_figure(reader: Reader, page: Page, figure: Figure, words: Words) -> Shown:
    """Ask and draw one figure."""
    path = ("figures", figure.key)
    found = reader.ask(figure.sql)
    what: dict[str, Any] = {
        "id": f"{page.key}-{figure.key.replace('_', '-')}",
        "title": words.text(*path, "title"),
        "sql": figure.sql.strip(),
    }
    if not found.rows:
        return Shown(**what, empty=_why_empty(reader, figure, words))
    frame = found.frame()
    said = figure.finding(frame, words) if figure.finding else None
    note = words.find(*path, "note")
    drawn: dict[str, str] = {}
    if figure.draw:
        drawn = {
            "alt": words.text(*path, "alt"),
            "spec": _spec(figure.draw(frame, words).to_dict()),
        }
    return Shown(
        **what,
        **drawn,
        note=str(note or ""),
        finding=words.text(*path, "finding", **said) if said else "",
        head=_head(figure.columns, words),
        rows=_cells(found, figure.columns, words),
        unfolded=[
            (title, to_html(text))
            for title, text in (figure.unfolded(frame, words) if figure.unfolded else ())
        ],
    )


def _why_empty(reader: Reader, figure: Figure, words: Words) -> str:
    if figure.scores:
        for status in reader.statuses(figure.scores):
            if status != "scored":
                return words.text("statuses", status)
    own = words.find("figures", figure.key, "empty")
    if own:
        return str(own)
    return words.text("sources", figure.source)


def _spec(spec: dict[str, Any]) -> str:
    """Return a chart as JSON that is safe inside a script element."""
    spec.pop("$schema", None)
    spec.pop("config", None)
    spec.setdefault("width", "container")
    written = json.dumps(spec, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return written.replace("<", "\\u003c")


_LEFT = ("text", "date", "month", "yes_no")


def _head(columns: Mapping[str, str], words: Words) -> list[tuple[str, str, bool]]:
    """Return each column, its name, and whether it holds numbers."""
    return [(name, words.label(name, kind), kind not in _LEFT) for name, kind in columns.items()]


def _cells(found: Rows, columns: Mapping[str, str], words: Words) -> list[list[str]]:
    at = {name: found.columns.index(name) for name in columns}

    def kind(row: Sequence[Any], form: str) -> str:
        return str(row[at["unit"]]) if form == "unit" else form

    return [
        [words.write(row[at[name]], kind(row, form), name) for name, form in columns.items()]
        for row in found.rows
    ]
