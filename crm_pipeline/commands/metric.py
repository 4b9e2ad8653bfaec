"""``crm metric`` and ``crm metrics``: the figures by their names, from the published file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import duckdb

from crm_pipeline.commands.query import open_published, print_relation
from crm_pipeline.errors import UserError
from crm_pipeline.settings import load_settings


def metric(options: argparse.Namespace) -> int:
    """Print one or more metrics by periods and dimensions."""
    from crm_pipeline.resources.metrics import metric_sql

    sql = metric_sql(
        _split(options.names), _split(options.by or ""), options.where, options.first, options.last
    )
    if options.sql:
        print(sql)
        return 0
    with open_published(load_settings().published / "crm.duckdb") as db:
        try:
            print_relation(db.sql(sql), options.format)
        except duckdb.Error as error:
            raise UserError(f"the published file cannot answer: {error}; run `crm run`.") from None
    return 0


def metrics(options: argparse.Namespace) -> int:
    """List every metric with its definition, or one with what it can be asked by."""
    from crm_pipeline.resources.metrics import metrics as known_metrics

    known = [m for m in known_metrics() if options.name in (None, m.name)]
    if not known:
        raise UserError(f"there is no metric {options.name}; `crm metrics` lists them.")
    if options.json:
        print(json.dumps([vars(m) for m in known], ensure_ascii=False, indent=1))
        return 0
    width = max(len(m.name) for m in known)
    for one in known:
        print(f"{one.name:<{width}}  {one.description}")
    if options.name:
        print(f"by: {', '.join((*known[0].periods, *known[0].dimensions))}")
    return 0


def _split(text: str) -> Sequence[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
