"""The report: the same file gives the same page, both languages say all, nothing else gets in."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crm_pipeline.defs.modelling.registered import MODELS
from crm_pipeline.defs.publication.questions import metric_definitions
from crm_pipeline.report import build, cards
from crm_pipeline.report.page import Card, Cards, Figure, Page
from crm_pipeline.report.pages import ORDER, pages
from crm_pipeline.report.pages.metrics import AREAS
from crm_pipeline.report.pages.models import GATE
from crm_pipeline.report.reading import Reader, Rows
from crm_pipeline.report.words import LANGUAGES, TEXTS, Words, catalogue
from crm_pipeline.resources.dbt import ensure_manifest
from tests.unit.report_file import BUILT_AT, RUN_ID, empty_file, little_company

PAGES = pages()


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch):
    """The drawing library takes seconds to make, and nothing here is drawn in a browser."""
    monkeypatch.setattr(build, "bundle", lambda: "")


@pytest.fixture(scope="module")
def nobody(tmp_path_factory) -> Path:
    return empty_file(tmp_path_factory.mktemp("empty") / "crm.duckdb")


@pytest.fixture(scope="module")
def company(tmp_path_factory) -> Path:
    return little_company(tmp_path_factory.mktemp("little") / "crm.duckdb")


def leaves(texts: Mapping[str, Any], *path: str) -> Iterator[tuple[str, str]]:
    for name, found in texts.items():
        if isinstance(found, dict):
            yield from leaves(found, *path, name)
        else:
            yield ".".join((*path, name)), found


def test_every_page_has_its_place():
    assert [page.key for page in PAGES] == list(ORDER)


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_any_row_every_query_runs_and_every_page_says_what_it_needs(nobody, language):
    reader = Reader(nobody)
    shown = [build.show_page(reader, page, Words(language, page.key)) for page in PAGES]
    reader.close()
    drawn = [figure.id for page in shown for figure in page.figures if figure.spec]
    assert not drawn
    for page in shown:
        assert page.empty or all(figure.empty or figure.rows for figure in page.figures)
        assert page.empty or page.figures


def test_a_page_without_any_figure_says_once_what_it_needs(nobody):
    html = build.render(nobody, "en")
    section = re.search(r'<section class="page" id="customers".*?</section>', html, re.DOTALL)
    assert section is not None
    assert "<article" not in section[0]
    assert section[0].count('<p class="empty">') == 1
    assert '<a href="#customers" class="lacking">' in html


@pytest.mark.parametrize("page", ["common", *ORDER])
def test_both_languages_say_the_same_things(page):
    english, chinese = (dict(leaves(catalogue(language, page))) for language in LANGUAGES)
    # a name that the data uses is translated where it is not English already
    missing = {key for key in english.keys() ^ chinese.keys() if not key.startswith("values.")}
    assert not missing
    for key in english.keys() & chinese.keys():
        assert isinstance(english[key], str)
        named = [set(re.findall(r"\{\w+\}", texts[key])) for texts in (english, chinese)]
        assert named[0] == named[1], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_that_a_page_shows_is_there_and_every_other_is_gone(language):
    for page in PAGES:
        words = Words(language, page.key)
        own = catalogue(language, page.key)
        assert set(own["figures"]) == {figure.key for figure in page.figures}
        for figure in page.figures:
            texts = own["figures"][figure.key]
            assert texts["title"]
            assert ("alt" in texts) == (figure.draw is not None), (page.key, figure.key)
            assert ("finding" in texts) == (figure.finding is not None), (page.key, figure.key)
            assert words.find("sources", figure.source), (page.key, figure.source)
            for column, kind in figure.columns.items():
                assert words.label(column, kind)
        module = import_module(f"crm_pipeline.report.pages.{page.key}")
        folder = Path(inspect.getfile(module))
        files = folder.parent.glob("*.py") if folder.name == "__init__.py" else [folder]
        code = "".join(file.read_text(encoding="utf-8") for file in files)
        unused = [column for column in own["columns"] if column not in code]
        assert not unused, page.key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_model_has_a_name_and_a_place_beside_the_others(language):
    values = catalogue(language, "models")["values"]
    for spec in MODELS:
        assert f"('{spec.name}', " in GATE, f"{spec.name} is not among those that earned a place"
        assert spec.name in values["model"]
        assert spec.table in values["score_table"]


def test_every_metric_has_a_name_in_chinese():
    labels = set(metric_definitions(ensure_manifest()).label)
    assert len(labels) > 100
    assert set(catalogue("zh", "metrics")["values"]["label"]) == labels


def test_every_metric_is_on_the_page_of_its_area():
    assert set(metric_definitions(ensure_manifest()).area) == set(AREAS)


def test_an_area_without_a_fact_says_what_it_needs_and_shows_no_noughts(tmp_path):
    file = empty_file(tmp_path / "crm.duckdb")
    with duckdb.connect(str(file)) as db:
        db.execute(
            "insert into meta.metrics by name select * from (values "
            "('order_count', 'Orders', 'All.', 'purchases', 'count'), "
            "('return_count', 'Returns', 'All.', 'purchases', 'count'), "
            "('lead_count', 'Leads', 'All.', 'sales', 'count')) "
            "as m(metric, label, description, area, unit)"
        )
        db.execute(
            "insert into marts.metrics_monthly by name select metric, month, true as is_complete, "
            "(metric = 'order_count' and month = date '2026-04-01')::int as value "
            "from meta.metrics, (values (date '2026-04-01'), (date '2026-06-01')) as v(month)"
        )
    reader = Reader(file)
    page = next(page for page in PAGES if page.key == "metrics")
    figures = {f.id: f for f in build.show_page(reader, page, Words("en", "metrics")).figures}
    reader.close()
    rows = {key: [row[0] for row in figure.rows] for key, figure in figures.items()}
    assert rows["metrics-purchases"] == ["Orders", "Returns"]
    assert rows["metrics-sales"] == []
    assert "opportunities" in figures["metrics-sales"].empty


def test_a_figure_is_written_in_its_own_unit(nobody):
    figure = Figure(
        key="purchases",
        sql="select * from (values ('a', .5, 'rate'), ('b', 1234, 'count'), ('c', 2, 'number')) "
        "as metrics(label, last_value, unit)",
        columns={"label": "text", "last_value": "unit", "unit": "text"},
    )
    reader = Reader(nobody)
    page = Page(key="metrics", figures=(figure,))
    shown = build.show_figure(reader, page, figure, Words("en", "metrics"))
    reader.close()
    assert [row[1] for row in shown.rows] == ["50.0%", "1,234", "2.00"]


def test_no_catalogue_is_without_its_page():
    for language in LANGUAGES:
        assert {file.stem for file in (TEXTS / language).iterdir()} == {"common", *ORDER}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_file_gives_the_same_bytes(company, tmp_path, language):
    one, two = (build.build_report(company, tmp_path / name, language) for name in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()


def test_nothing_of_this_run_gets_in_and_no_customer(company):
    html = build.render(company, "en")
    assert "2026-06-30" in html
    for hidden in (RUN_ID, BUILT_AT, BUILT_AT[:16], "shop:1", str(company.parent)):
        assert hidden not in html


def test_a_name_in_the_data_cannot_become_markup(company):
    html = build.render(company, "en", only=[page for page in PAGES if page.key == "customers"])
    assert "Bold ones" in html
    assert "<b>Bold ones" not in html
    specs = re.findall(r'<script type="application/json" class="spec">(.*?)</script>', html)
    assert all(json.loads(spec)["width"] == "container" for spec in specs)


def test_a_chart_has_a_name_a_table_and_its_query(company):
    html = build.render(company, "en")
    charts = re.findall(r'<div class="chart" role="img" aria-label="([^"]+)"', html)
    assert charts
    assert all(len(name) > 30 for name in charts)
    articles = re.findall(r"<article.*?</article>", html, re.DOTALL)
    assert articles
    for article in articles:
        assert "<pre" in article
        has_chart, has_table = 'class="chart"' in article, "<table>" in article
        assert has_table or not has_chart
        assert not has_table or ("<caption" in article and 'scope="col"' in article)


def test_the_page_forbids_itself_the_network(company):
    html = build.render(company, "en")
    assert "default-src 'none'" in html
    outside = re.findall(r'(?:src|href)="(?!#)([^"]*)"', html)
    assert not outside


def test_an_abstaining_model_is_named_where_its_figure_is_empty(tmp_path):
    file = empty_file(tmp_path / "crm.duckdb")
    with duckdb.connect(str(file)) as db:
        db.execute(
            "insert into marts.score_coverage by name select 'customer_churn' as score_table, "
            "date '2026-06-30' as as_of, 'too_little_data' as status, 7 as row_count"
        )
    figure = Figure(
        "bands", "select 1 as x where false", {"x": "count"}, scores="scores.customer_churn"
    )
    words, reader = Words("en", "churn"), Reader(file)
    shown = build.show_figure(reader, Page("churn", (figure,)), figure, words)
    assert shown.empty == words.text("statuses", "too_little_data")
    plain = Figure("bands", "select 1 as x where false", {"x": "count"})
    shown = build.show_figure(reader, Page("churn", (plain,)), plain, words)
    assert shown.empty == words.text("sources", "orders")
    reader.close()


WORDS = Words("en", "overview", currency="EUR")


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        (1234567, "count", "1,234,567"),
        (Decimal("1234.5"), "amount", "1,234.50"),
        (0.12345, "rate", "12.3%"),
        (-0.0001, "share", "0.0%"),
        (3.14159, "number", "3.14"),
        (0.12345, "score", "0.123"),
        (1.25, "hours", "1.2"),
        (date(2026, 6, 1), "month", "Jun 2026"),
        (date(2026, 6, 30), "date", "2026-06-30"),
        (True, "yes_no", "yes"),
        (None, "amount", "–"),
        (float("nan"), "rate", "–"),
        ("net_amount", "text", "net_amount"),
    ],
)
def test_a_value_is_written_one_way(value, kind, written):
    assert WORDS.write(value, kind, "anything") == written


def test_names_of_the_data_are_translated_and_a_companys_own_are_kept():
    words = Words("zh", "customers")
    assert words.value("lifecycle_stage", "growth") == "成长期"
    assert words.value("lifecycle_stage", "our own stage") == "our own stage"


def test_amounts_have_their_currency_in_the_axis():
    assert WORDS.label("net_amount", "amount") == "Net revenue (EUR)"
    assert Words("en", "overview").label("net_amount", "amount") == "Net revenue"


def test_a_missing_text_is_an_error():
    with pytest.raises(KeyError, match=r"texts/en/overview\.yml lacks figures\.nothing"):
        WORDS.text("figures", "nothing")


def months(*values: Any, column: str = "net_amount") -> Rows:
    found = [(date(2025 + n // 12, 1 + n % 12, 1), value) for n, value in enumerate(values)]
    return Rows(("month", column), tuple(found))


def shown_cards(rows: Rows, card: Card) -> list[cards.ShownCard]:
    return cards.show_cards(Cards("", (card,)), rows, WORDS)


def test_a_card_shows_the_last_month_and_its_changes():
    rows = months(*[Decimal(100)] * 12, Decimal(200))
    [card] = shown_cards(rows, Card("net_amount", "amount", 1))
    assert (card.value, card.when, card.exact) == ("200.00", "Jan 2026", "200")
    assert [(c.text, c.tone) for c in card.changes] == [
        ("+100.0% on the month before", "good"),
        ("+100.0% on a year ago", "good"),
    ]


def test_a_rate_that_should_fall_is_bad_when_it_rises():
    [card] = shown_cards(months(0.10, 0.125, column="churn_rate"), Card("churn_rate", "rate", -1))
    assert [(c.text, c.tone) for c in card.changes] == [("+2.5 pp on the month before", "bad")]
    [card] = shown_cards(months(0.125, 0.1, column="churn_rate"), Card("churn_rate", "rate", -1))
    assert [(c.text, c.tone) for c in card.changes] == [("−2.5 pp on the month before", "good")]


def test_a_card_without_a_value_is_left_out():
    assert shown_cards(months(1, None), Card("net_amount", "amount")) == []
    assert shown_cards(Rows(("month", "net_amount"), ()), Card("net_amount", "amount")) == []


def test_a_sparkline_has_a_point_a_known_month_and_needs_three():
    path, last = cards.sparkline([1, None, 3, 2])
    assert path.count("L") == 2
    assert last == (117.0, 16.0)
    assert cards.sparkline([1, None, 3]) == ("", None)
