"""``crm query``: one statement on the published file, read-only."""

from __future__ import annotations

import argparse
import csv
import json
import sys
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


def query(options: argparse.Namespace) -> int:
    """Print the rows of ``options.sql`` as a table, CSV or JSON."""
    with open_published(load_settings().published / "crm.duckdb") as db:
        try:
            relation = db.sql(options.sql)
        except duckdb.Error as error:
            raise UserError(f"the query failed: {error}") from None
        if relation is None:
            return 0
        if options.format == "table":
            relation.show(max_rows=1000, max_width=200)
        elif options.format == "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(relation.columns)
            while rows := relation.fetchmany(10_000):
                writer.writerows(rows)
        else:
            names = relation.columns
            records = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
            json.dump(records, sys.stdout, default=str, ensure_ascii=False, indent=1)
            print()
    return 0
