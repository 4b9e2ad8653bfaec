"""``--where``, ``--from`` and ``--to``: what they say, and that a value stays a value."""

from __future__ import annotations

import pytest

from crm_pipeline.errors import UserError
from crm_pipeline.resources.metric_conditions import between, condition

NAMES = {"country": "customer__country", "month": "metric_time__month", "day": "metric_time__day",
         "week": "metric_time__week", "year": "metric_time__year", "owner": "owner",
         "role": "ticket__owner__role"}  # fmt: skip


def said(text: str) -> str:
    return condition(text, NAMES.__getitem__)


COUNTRY = "{{ Dimension('customer__country') }}"
MONTH = "{{ TimeDimension('metric_time', 'month') }}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("country = DE", f"{COUNTRY} = 'DE'"),
        ("country=DE", f"{COUNTRY} = 'DE'"),
        (" country != 'New Zealand' ", f"{COUNTRY} != 'New Zealand'"),
        ("country = 'it''s'", f"{COUNTRY} = 'it''s'"),
        ("country = 2024", f"{COUNTRY} = '2024'"),
        ("country >= -1.5", f"{COUNTRY} >= '-1.5'"),
        ("country in (DE, FR)", f"{COUNTRY} in ('DE', 'FR')"),
        ("country IN ('a, b',FR)", f"{COUNTRY} in ('a, b', 'FR')"),
        ("country not in (DE)", f"{COUNTRY} not in ('DE')"),
        ("owner = 'sales:7'", "{{ Entity('owner') }} = 'sales:7'"),
        ("role = agent", "{{ Dimension('owner__role', entity_path=['ticket']) }} = 'agent'"),
        ("country is null", f"{COUNTRY} is null"),
        ("country IS NOT NULL", f"{COUNTRY} is not null"),
        ("month = 2026-05", f"{MONTH} = cast('2026-05-01' as date)"),
        ("month >= 2026-05-17", f"{MONTH} >= cast('2026-05-01' as date)"),
        ("month in (2026-05, 2025-05)",
         f"{MONTH} in (cast('2026-05-01' as date), cast('2025-05-01' as date))"),
        ("month = 2026-Q2", f"{MONTH} = cast('2026-04-01' as date)"),
        ("week = 2026-05-17",
         "{{ TimeDimension('metric_time', 'week') }} = cast('2026-05-11' as date)"),
        ("year < 2026", "{{ TimeDimension('metric_time', 'year') }} < cast('2026-01-01' as date)"),
    ],
)  # fmt: skip
def test_a_condition_is_read(text, expected):
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("country", "was not understood"),
        ("country = New Zealand", "a text with blanks in single quotes"),
        ("country = 'DE' or 1 = 1", "was not understood"),
        ("country in ()", "was not understood"),
        ("country in (DE, FR", "was not understood"),
        ("country in (DE) or (1)", "was not understood"),
        ("country = '{{ x }}'", "cannot hold braces"),
        ("country in ('{{ x }}')", "cannot hold braces"),
        ("month = May", "May is no date; write 2026-11-22, 2026-11, 2026-Q4 or 2026"),
        ("month = 2026-13", "2026-13 is no date"),
        ("month = 2026-02-30", "2026-02-30 is no date"),
        ("country is 'DE'", "was not understood"),
    ],
)
def test_what_cannot_be_read_is_told(text, told):
    with pytest.raises(UserError, match=told):
        said(text)


@pytest.mark.parametrize(
    ("first", "last", "finest", "expected"),
    [
        (None, None, "day", []),
        ("2026-05-17", None, "day", [">= cast('2026-05-17' as date)"]),
        ("2026", "2026-02", "day",
         [">= cast('2026-01-01' as date)", "<= cast('2026-02-28' as date)"]),
        ("2026-Q4", "2026-Q4", "month",
         [">= cast('2026-10-01' as date)", "<= cast('2026-12-31' as date)"]),
        (None, "2026-12-31", "month", ["<= cast('2026-12-31' as date)"]),
    ],
)  # fmt: skip
def test_a_range_is_inclusive_at_both_ends(first, last, finest, expected):
    subject = f"{{{{ TimeDimension('metric_time', '{finest}') }}}} "
    assert between(first, last, finest) == [subject + text for text in expected]


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("2026-05-02", None, "--from '2026-05-02': the metric is counted by month"),
        (None, "2026-05-30", "--to '2026-05-30': the metric is counted by month"),
        ("May", None, "--from 'May': May is no date"),
        (None, "2026-1", "--to '2026-1': 2026-1 is no date"),
    ],
)
def test_a_range_that_cuts_a_month_is_told(first, last, told):
    with pytest.raises(UserError, match=told):
        between(first, last, "month")
