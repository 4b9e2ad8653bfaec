"""``crm metric``: figures by name from the published file, the same as the marts'."""

from __future__ import annotations

import json

import pytest

from crm_pipeline.errors import UserError
from crm_pipeline.resources.metrics import PERIODS, metric_sql, metrics
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


def test_every_metric_answers_alone_and_by_each_of_its_dimensions(tiny_home):
    with published(tiny_home) as db:
        for metric in metrics():
            db.execute(metric_sql([metric.name])).fetchall()
            for name in (metric.periods[0], *(d for d in metric.dimensions if "__" not in d)):
                db.execute(metric_sql([metric.name], [name])).fetchall()
