"""``crm query``: one statement on the published file, read-only."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from decimal import Decimal
from pathlib import Path

import duckdb

from crm_pipeline.errors import UserError
from crm_pipeline.settings import load_settings


def open_published(file: Path) -> duckdb.DuckDBPyConnection:
    """Open the published file read-only, cut off from every other file and the network.

    Raises:
        UserError: Nothing was published yet.
    """
    if not file.is_file():
        raise UserError(f"nothing is published yet in {file.parent}: run `crm run`.")
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": False,
    }
    connection = duckdb.connect(str(file), read_only=True, config=config)
    connection.execute("set TimeZone = 'UTC'; set lock_configuration = true")
    return connection


def as_sql_spells(value: object) -> object:
    """Return a value, but ``true`` and ``false`` instead of Python's spelling."""
    return str(value).lower() if isinstance(value, bool) else value


def _plain(value: object) -> object:
    """Return what JSON has for a value: numbers where they keep every digit, else text."""
    if isinstance(value, Decimal) and Decimal(repr(float(value))) == value:
        return float(value)
    return str(value)


def _finite(value: object) -> object:
    """Return null for what is no number: JSON has neither infinity nor NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def query(options: argparse.Namespace) -> int:
    """Print the rows of ``options.sql`` as a table, CSV or JSON."""
    with open_published(load_settings().published / "crm.duckdb") as db:
        try:
            statements = db.extract_statements(options.sql)
            if len(statements) != 1:
                raise UserError(f"{len(statements)} statements were given; give one.")
            relation = db.sql(options.sql)
        except duckdb.Error as error:
            raise UserError(f"the query failed: {error}") from None
        if relation is None:
            return 0
        try:
            print_relation(relation, options.format)
        except duckdb.Error as error:
            raise UserError(f"the query failed: {error}") from None
    return 0


def print_relation(relation: duckdb.DuckDBPyRelation, form: str) -> None:
    """Print rows as a table, CSV or JSON."""
    names = relation.columns
    if form == "table":
        relation.show(max_rows=1000, max_width=200)
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        while rows := relation.fetchmany(10_000):
            writer.writerows([as_sql_spells(value) for value in row] for row in rows)
    else:
        records = [
            {name: _finite(value) for name, value in zip(names, row, strict=True)}
            for row in relation.fetchall()
        ]
        json.dump(records, sys.stdout, default=_plain, ensure_ascii=False, indent=1)
        print()
