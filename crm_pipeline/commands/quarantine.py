"""``crm quarantine``: which lines of which files were set aside, and why; never their values."""

from __future__ import annotations

import argparse
from difflib import get_close_matches

import duckdb

from crm_pipeline.commands.query import open_published, print_relation
from crm_pipeline.errors import UserError
from crm_pipeline.settings import load_settings


def quarantine(options: argparse.Namespace) -> int:
    """Print file, line, column and reason of what the published file was made without."""
    with open_published(load_settings().published / "crm.duckdb") as db:
        present = db.execute(
            "select count(*) from duckdb_tables() "
            "where schema_name = 'meta' and table_name = 'quarantine_lines'"
        ).fetchone()
        if present == (0,):
            raise UserError(
                "the published file is of an older crm-pipeline, without lines: publish anew with "
                "`crm run`."
            )
        wanted = (("source", options.source), ("file_name", options.file))
        for column, value in wanted:
            if value is not None:
                _check(db, column, value)
        where = " and ".join(f"{c} = ?" for c, v in wanted if v is not None) or "true"
        values = [value for _, value in wanted if value is not None]
        limit = f" limit {options.limit}" if options.limit is not None else ""
        print_relation(
            db.sql(
                "select source, table_name, file_name, line_number, column_name, reason "
                f"from meta.quarantine_lines where {where} order by all{limit}",
                params=values,
            ),
            options.format,
        )
    return 0


def _check(db: duckdb.DuckDBPyConnection, column: str, value: str) -> None:
    """Raise for a source or file that did not land: nothing of it can be in quarantine."""
    names = db.execute(f"select distinct {column} from meta.landed_files order by 1").fetchall()
    if (value,) not in names:
        near = get_close_matches(value, [name for (name,) in names], 5, 0.5) or [
            name for (name,) in names[:5]
        ]
        kind = column.removesuffix("_name")
        raise UserError(f"no {kind} {value!r} has landed; near are {', '.join(near) or 'none'}.")
