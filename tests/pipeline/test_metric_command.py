"""``crm metric``: figures by name from the published file, the same as the marts'."""

from __future__ import annotations

import json

import pytest

from crm_pipeline.defs.quality.metric_marts import METRIC_MARTS
from crm_pipeline.errors import UserError
from crm_pipeline.resources.metrics import PERIODS, metric_sql, metrics
from tests.pipeline.metric_answers import Shown, disagreeing, shown_by_the_report
from tests.pipeline.support import published
from tests.pipeline.test_bad_input import call


@pytest.fixture
def ask(tiny_home, monkeypatch, capsys):
    def answer(*arguments: str) -> list[dict]:
        assert call(tiny_home, monkeypatch, "metric", *arguments, "--format", "json") == 0
        return json.loads(capsys.readouterr().out)

    return answer


def test_by_month_it_says_what_the_mart_says(ask, tiny_home):
    names = ("net_amount", "order_count", "average_order_amount", "retention_rate")
    told = ask(",".join(names), "--by", "month", "--where", "month >= 2026-01-01")
    with published(tiny_home) as db:
        mart = db.execute(
            f"select month, {', '.join(f'{n}::double' for n in names)} from marts.kpi_monthly "
            "where month >= '2026-01-01' order by month"
        ).fetchall()
    assert [row["month"] for row in told] == [str(month) for month, *_ in mart]
    for row, (_, *expected) in zip(told, mart, strict=True):
        assert [row[name] for name in names] == pytest.approx(expected, abs=0.01)


def test_segments_add_up_and_conditions_cut(ask):
    whole = ask("gross_amount")[0]["gross_amount"]
    parts = ask("gross_amount", "--by", "segment,category")
    assert set(parts[0]) == {"segment", "category", "gross_amount"}
    assert sum(row["gross_amount"] for row in parts) == pytest.approx(whole)
    one = parts[0]
    named = ask("gross_amount", "--by", "segment", "--where", f"category = '{one['category']}'")
    expected = sum(r["gross_amount"] for r in parts if r["category"] == one["category"])
    assert sum(row["gross_amount"] for row in named) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value", ["'it''s'", "'; drop table marts.fct_orders; --'", "'x'' or 1=1'"]
)
def test_a_value_is_a_value_whatever_is_in_it(ask, value):
    assert ask("order_count", "--by", "channel", "--where", f"channel = {value}") == []


@pytest.mark.parametrize(
    ("names", "by", "where", "said"),
    [
        (["nett"], [], [], "there is no metric nett; `crm metrics` lists"),
        (["net_amount"], ["channel"], [], "cannot be asked by channel; by day, week, month"),
        (["churn_rate"], ["day"], [], "cannot be asked by day; by month, quarter, year"),
        (["order_count"], ["month", "metric_time__month"], [], "names one thing twice"),
        (["order_count"], [], ["channel = a b"], "was not understood"),
        (["order_count"], [], ["channel = 'a' or 1 = 1"], "was not understood"),
        (["order_count"], [], ["channel = '{{ x }}'"], "cannot hold braces"),
        (["order_count"], [], ["colour = red"], "cannot be asked by colour"),
        (["churn_rate"], ["segment"], [], "cannot be asked by segment; by month, quarter, year"),
        (["churn_rate"], [], ["country = DE"], "cannot be asked by country"),
        (["order_count"], [], ["month = May"], "May is no date"),
    ],
)
def test_what_cannot_be_asked_is_told_with_what_can(names, by, where, said):
    with pytest.raises(UserError, match=said):
        metric_sql(names, by, where)


def test_every_metric_is_told_with_its_definition(tiny_home, monkeypatch, capsys):
    known = metrics()
    assert len(known) >= 18
    assert all(metric.description for metric in known)
    assert all(set(metric.periods) <= set(PERIODS) for metric in known)
    assert call(tiny_home, monkeypatch, "metrics") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [metric.name for metric in known]
    assert call(tiny_home, monkeypatch, "metrics", "order_count") == 0
    assert "by: day, week, month, quarter, year, " in capsys.readouterr().out
    assert call(tiny_home, monkeypatch, "metrics", "nett") == 2
    assert "there is no metric nett" in capsys.readouterr().err


def test_the_sql_can_be_seen_and_names_published_tables(tiny_home, monkeypatch, capsys):
    assert call(tiny_home, monkeypatch, "metric", "order_count", "--by", "month", "--sql") == 0
    sql = capsys.readouterr().out
    assert '"marts"."fct_orders"' in sql
    with published(tiny_home) as db:
        assert db.execute(sql).fetchall()


@pytest.mark.slow
def test_every_metric_answers_by_its_period_and_by_each_dimension(tiny_home):
    """Those that are asked by the same at once; each by all is tests/unit/test_metrics.py."""
    alike: dict[tuple, list[str]] = {}
    for metric in metrics():
        alike.setdefault((metric.periods, metric.dimensions), []).append(metric.name)
    with published(tiny_home) as db:
        for (periods, dimensions), names in alike.items():
            db.execute(metric_sql(names, [periods[0]])).fetchall()
            for dimension in (d for d in dimensions if "__" not in d):
                db.execute(metric_sql(names[:1], [dimension])).fetchall()


@pytest.mark.parametrize(
    ("metric", "short", "full"),
    [
        ("response_count", "channel", "response__channel"),
        ("touch_count", "channel", "touch__channel"),
        ("ticket_count", "category", "ticket__category"),
        ("gross_amount", "source", "order_line__source"),
        ("win_rate", "team", "owner__team"),
        ("session_count", "country", "customer__country"),
    ],
)
def test_a_short_name_is_the_nearest_dimension(metric, short, full):
    """The facts' own before that of what they name."""
    asked = metric_sql([metric], [short])
    assert asked == metric_sql([metric], [full]).replace(f'as "{full}"', f'as "{short}"')


def test_the_command_says_what_the_mart_and_the_report_say_of_every_metric(tiny_home):
    """The fourth route, the check kpis_equal_the_metrics, holds the mart in every run."""
    with published(tiny_home) as db:
        rows = db.execute("select metric, month, value from marts.metrics_monthly").fetchall()
        of_mart = [Shown(metric, value, month) for metric, month, value in rows]
        of_report = shown_by_the_report(db)
        measured = {one.metric for one in of_mart if one.value is not None}
        assert len(measured) > 100
        assert {one.metric for one in of_report if one.value is not None} >= measured
        assert disagreeing(db, [*of_mart, *of_report]) == []


@pytest.mark.slow
@pytest.mark.parametrize("mart", METRIC_MARTS, ids=lambda mart: mart.table)
def test_the_command_says_what_each_column_of_a_mart_says(tiny_home, mart):
    """The check kpis_equal_the_metrics says it of the same columns in every run."""
    own = [*([mart.time] if mart.time else []), *mart.by.values()]
    with published(tiny_home) as db:
        rows = db.execute(
            f"select {', '.join([*own, *mart.columns])} from {mart.table} where {mart.where}"
        ).fetchall()
        shown = [
            Shown(
                metric,
                row[len(own) + number],
                row[0] if mart.time else None,
                mart.grain,
                dict(zip(mart.by, row[1 if mart.time else 0 :], strict=False)),
                mart.table,
            )
            for row in rows
            if not (mart.time and row[0] is None)
            for number, metric in enumerate(mart.columns.values())
        ]
        assert disagreeing(db, shown) == []


def test_a_figure_that_the_command_contradicts_is_named(tiny_home):
    with published(tiny_home) as db:
        month, value = db.execute(
            "select month, net_amount from marts.kpi_monthly order by month desc limit 1"
        ).fetchone()
        assert disagreeing(db, [Shown("net_amount", value, month)]) == []
        (said,) = disagreeing(db, [Shown("net_amount", value + 1, month, where="page")])
    assert said.startswith("page net_amount (")


def test_a_range_of_days_counts_both_ends(ask, tiny_home):
    told = ask("order_count", "--from", "2026-03-02", "--to", "2026-05")
    with published(tiny_home) as db:
        expected = db.execute(
            "select count(*) from marts.fct_orders where ordered_on between '2026-03-02' and "
            "'2026-05-31'"
        ).fetchone()
    assert (told[0]["order_count"],) == expected


@pytest.mark.parametrize(("form", "begins"), [
    ("csv", "month,order_count\n2"), ("json", '[\n {\n  "month": "2'), ("table", "\u250c"),
])  # fmt: skip
def test_every_format(tiny_home, monkeypatch, capsys, form, begins):
    arguments = ("metric", "order_count", "--by", "month", "--format", form)
    assert call(tiny_home, monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.startswith(begins)


@pytest.mark.parametrize("command", ["metric", "metrics", "export", "query"])
def test_help_shows_examples(tiny_home, monkeypatch, capsys, command):
    assert call(tiny_home, monkeypatch, command, "--help") == 0
    assert f"examples:\n  crm {command}" in capsys.readouterr().out
