"""The demo company's report: its place and size, and every page in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crm_pipeline.commands.demo import summary
from crm_pipeline.report.build import INDEX, build_report, render
from crm_pipeline.report.pages import ORDER, pages
from crm_pipeline.report.words import LANGUAGES, MISSING
from crm_pipeline.settings import load_settings
from tests.pipeline import report_truths, report_truths_of_areas
from tests.pipeline.support import published

pytestmark = pytest.mark.pipeline

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TRUTHS = report_truths.TRUTHS + report_truths_of_areas.TRUTHS
MOST_BYTES = 4_000_000
DESK, PHONE = 1280, 390
DRAWN = """key => {
    const page = document.getElementById(key);
    return page.classList.contains("shown")
        && [...page.querySelectorAll(".chart")].every(one => one.querySelector("svg"));
}"""
TABLES = """() => Object.fromEntries(
    [...document.querySelectorAll(".figure")].filter(one => one.querySelector("table[class='']"
        + ", .wide:not(.text) table")).map(one => {
        const table = one.querySelector(".wide:not(.text) table");
        return [one.id, {
            columns: [...table.tHead.rows[0].cells].map(cell => cell.dataset.column),
            rows: [...table.tBodies[0].rows].map(
                row => [...row.cells].map(cell => cell.textContent)),
            sql: one.querySelector("pre code").textContent,
        }];
    }))"""


def report_of(home: Path, folder: Path, language: str) -> Path:
    """The published one in English, and one made here of the same file in the other language."""
    if language == "en":
        return home / "published" / "report" / INDEX
    return build_report(home / "published" / "crm.duckdb", folder, language)


@pytest.fixture(scope="module")
def reports(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    return {language: report_of(demo_home, folder, language) for language in LANGUAGES}


def test_another_process_makes_the_same_bytes(demo_home, reports, tmp_path):
    again = build_report(demo_home / "published" / "crm.duckdb", tmp_path, "en")
    assert again.read_bytes() == reports["en"].read_bytes()


def test_the_demo_ends_with_its_path(demo_home, reports):
    last = summary(load_settings({"CRM_HOME": str(demo_home)})).splitlines()[-1]
    assert last.split() == ["the", "report", str(reports["en"])]


def test_it_is_small_and_names_no_customer(demo_home, reports):
    with published(demo_home) as db:
        keys = {
            row[0] for row in db.execute("select customer_key from marts.dim_customers").fetchall()
        }
    for file in reports.values():
        assert file.stat().st_size < MOST_BYTES
        html = file.read_text(encoding="utf-8")
        assert not keys & set(re.findall(r"[\w.]+:[\w.-]+", html))


@dataclass
class Seen:
    """What a browser complained of, and what it asked for."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, started once for all tests here."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


def opened(browser: Any, file: Path, width: int, **more: Any) -> tuple[Any, Seen]:
    page, seen = browser.new_page(viewport={"width": width, "height": 900}, **more), Seen()
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("request", lambda request: seen.asked.append(request.url))
    page.goto(file.as_uri())
    return page, seen


def go(page: Any, key: str) -> None:
    page.evaluate("key => { location.hash = key; }", key)
    page.wait_for_function(DRAWN, arg=key)


def serious(page: Any, place: str = "html") -> list[str]:
    """What axe finds of what is on show, in all of the page or in a place of it."""
    import axe_playwright_python

    if not page.evaluate("typeof window.axe === 'object'"):
        [script] = Path(axe_playwright_python.__file__).parent.glob("axe.min.js")
        page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("place => axe.run(place, {resultTypes: ['violations']})", place)
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("language", "width"), [("en", DESK), ("zh", PHONE)])
def test_every_page_is_drawn_without_a_word_or_a_request(browser, reports, language, width):
    page, seen = opened(browser, reports[language], width)
    for key in ORDER:
        go(page, key)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, key
        [title] = page.locator(f"#{key} > h1").all_text_contents()
        assert page.locator("nav a[aria-current]").text_content() == title
    assert seen.said == []
    assert seen.asked == [reports[language].as_uri()]
    page.close()


def test_print_shows_every_page_drawn_and_axe_finds_nothing_serious(browser, reports):
    page, seen = opened(browser, reports["en"], DESK)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".page:visible").count() == len(ORDER)
    assert page.locator(".chart").count() == page.locator(".chart svg").count()
    assert serious(page) == []
    assert seen.said == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(browser, reports, language, width, scheme):
    page, seen = opened(browser, reports[language], width, color_scheme=scheme)
    for key in ORDER:
        go(page, key)
        for details in page.locator(f"#{key} details").all():
            details.evaluate("one => { one.open = true; }")
        assert serious(page) == [], key
        assert page.evaluate("document.documentElement.scrollWidth") <= width, key
    assert seen.said == []
    page.close()


def test_axe_would_find_something(browser, reports):
    page, _ = opened(browser, reports["en"], DESK)
    page.evaluate("document.querySelector('nav').setAttribute('aria-hidden', 'true')")
    assert any(found.startswith("aria-hidden-focus") for found in serious(page, "header"))
    page.close()


def test_the_keyboard_reaches_the_content_and_every_page(browser, reports):
    page, _ = opened(browser, reports["en"], DESK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    page.evaluate("document.querySelector('nav a:not([aria-current])').focus()")
    page.keyboard.press("Enter")
    page.wait_for_function(DRAWN, arg=ORDER[1])
    assert page.evaluate("document.activeElement.tagName") == "H1"
    page.close()


@pytest.fixture(scope="module")
def tables(browser: Any, reports: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Every table that the browser shows: ``columns``, ``rows``, and the figure's ``sql``."""
    page, _ = opened(browser, reports["en"], DESK)
    found: dict[str, dict[str, Any]] = page.evaluate(TABLES)
    page.close()
    return found


def number(cell: str) -> float:
    return float(cell.removesuffix("%").replace(",", ""))


def column(table: dict[str, Any], name: str) -> list[str]:
    place = table["columns"].index(name)
    return [row[place] for row in table["rows"]]


@pytest.mark.parametrize(("figure", "name", "how", "sql"), TRUTHS)
def test_a_table_equals_the_marts(demo_home, tables, figure, name, how, sql):
    with published(demo_home) as db:
        [[truth]] = db.execute(sql).fetchall()
    if not truth:  # an empty figure has no table
        assert figure.replace("_", "-") not in tables
        return
    cells = column(tables[figure.replace("_", "-")], name)
    if how == "rows":
        assert len(cells) == truth
    elif how == "last":
        assert number(cells[-1]) == pytest.approx(float(truth), abs=0.005)
    else:
        found = sum(number(cell) for cell in cells if cell != MISSING)
        # a cent or a half for each number that was rounded to be shown
        assert found == pytest.approx(float(truth), abs=0.006 * len(cells))


def rounded(cell: str, value: Any) -> bool:
    """Whether a cell shows a number, to the digits that it shows."""
    digits = len(cell.removesuffix("%").partition(".")[2])
    exact = float(value) * (100 if cell.endswith("%") else 1)
    return abs(number(cell) - exact) <= 0.5000001 * 10**-digits


def test_every_number_in_every_table_is_what_its_own_query_answers(demo_home, tables):
    assert len(tables) > 40
    compared = 0
    with published(demo_home) as db:
        db.execute("set threads = 1")
        for figure, table in tables.items():
            answer = db.execute(table["sql"])
            names = [part[0] for part in answer.description]
            rows = answer.fetchall()
            assert len(rows) == len(table["rows"]), figure
            for row, shown in zip(rows, table["rows"], strict=True):
                for name, cell in zip(table["columns"], shown, strict=True):
                    value = row[names.index(name)]
                    if value is None or (isinstance(value, float) and value != value):
                        assert cell == MISSING, (figure, name)
                    elif isinstance(value, int | float) or type(value).__name__ == "Decimal":
                        if not isinstance(value, bool):
                            assert rounded(cell, value), (figure, name, cell, value)
                            compared += 1
    assert compared > 1000


def test_a_file_of_another_day_says_another_day(demo_home, tmp_path):
    copy = tmp_path / "crm.duckdb"
    shutil.copyfile(demo_home / "published" / "crm.duckdb", copy)
    copy.chmod(0o644)
    with duckdb.connect(str(copy)) as db:
        db.execute("update meta.build set as_of = as_of + 1")
        [[day]] = db.execute("select as_of::varchar from meta.build").fetchall()
    assert f"As of {day}" in render(copy, "en", only=pages()[:1])
