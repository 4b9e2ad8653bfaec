"""The property notices a broken model: each of these is broken on purpose."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.defs.landing import changes
from tests.pipeline.harness.sequences import check, random_sequence
from tests.pipeline.harness.warehouse import plan
from tests.unit.sql_harness import PROJECT

ZONE = "Europe/Berlin"
WITHIN = 60
"""Histories until it must have been noticed."""

BROKEN = {
    "deletes nothing": (
        "macros/touched.sql",
        "    where {{ is_touched }}\n",
        "    where false and {{ is_touched }}\n",
    ),
    "deletes by the first of its columns only": (
        "macros/touched.sql",
        "            'there.' ~ column ~ ' in (select '",
        "            ('' if loop.first else 'false and ') ~ 'there.' ~ column ~ ' in (select '",
    ),
    "leaves a row in place of which the last column changed": (
        "macros/touched.sql",
        "    {%- for column in columns -%}\n",
        "    {%- for column in columns[:-1] -%}\n",
    ),
    "forgets whose an order is of which a line changed": (
        "models/intermediate/int_customers__touched.sql",
        "    select customer_key from {{ ref('int_orders__touched') }}\n\n    union\n\n"
        "    select customer_key from {{ lines_made() }}\n"
        "    where {{ is_touched('order_key', 'int_orders__touched') }}\n\n    union\n\n"
        "    select customer_key from {{ ref('int_orders__summed') }}\n"
        "    where {{ is_touched('order_key', 'int_orders__touched') }}\n\n    union\n",
        "",
    ),
    "sequences touched orders without the customer's others": (
        "models/intermediate/int_orders__sequenced.sql",
        "        {{ is_touched('customer_key', 'int_customers__touched') }}\n",
        "        {{ is_touched('order_key', 'int_orders__touched') }}\n"
        "        -- depends_on: {{ ref('int_customers__touched') }}\n",
    ),
    "keeps as first seen what a replaced line said": (
        "macros/touched.sql",
        " ~ key ~ ' is not null' -%}",
        " ~ key ~ ' is not null and false' -%}",
    ),
    "grows by rows of a product that lost one": (
        "macros/touched_records.sql",
        "    id in (\n        select",
        "    id not in (\n        select",
    ),
    "reads the orders of the wrong kind of number": (
        "models/staging/demo/stg_demo__orders.sql",
        "'rebuilt_by': 'order'",
        "'rebuilt_by': 'customer'",
    ),
    "keeps lines without a rate that are there no more": (
        "models/intermediate/int_without_rate.sql",
        "        'document_key': 'int_orders__touched',\n",
        "",
    ),
    "takes equal lines without a rate for one": (
        "models/intermediate/int_without_rate.sql",
        " || ' ' || items.line_number as",
        " as",
    ),
    "asks the records of one customer as they lie": (
        "macros/union_entity.sql",
        "else '1' end || source || ' ' || record_key\n",
        "else '1' end || source\n",
    ),
}

SOURCES = {
    "grows by rows of a product that lost one": ("online_retail",),
    "keeps lines without a rate that are there no more": ("exchange_rates", "online_retail"),
    "takes equal lines without a rate for one": ("exchange_rates", "online_retail"),
    "asks the records of one customer as they lie": ("demo_sales",),
}
"""Where the source is not the demo company."""


def broken_project(folder: Path, file: str, old: str, new: str) -> Path:
    """Return a copy of the dbt project with one text of one file replaced."""
    project = folder / "dbt_project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    text = (project / file).read_text()
    assert text.count(old) == 1, f"{file} does not hold, once: {old}"
    (project / file).write_text(text.replace(old, new))
    return project


@pytest.mark.slow
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_model_is_noticed(how, tmp_path, monkeypatch):
    monkeypatch.setattr(changes, "MOST_OF_IT", float("inf"))
    of = plan(SOURCES.get(how, ("demo",)), ZONE, broken_project(tmp_path, *BROKEN[how]))
    for seed in range(WITHIN):
        if wrong := check(of, random_sequence(of, seed), seed):
            print(f"a model that {how} is noticed by history {seed}: {wrong[:300]}")
            return
    raise AssertionError(f"a model that {how} went unnoticed by {WITHIN} histories")
