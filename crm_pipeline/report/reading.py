"""Asking the published file: a figure's rows, and why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd


@dataclass(frozen=True)
class Rows:
    """A query's answer: columns and rows as DuckDB gave them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def frame(self) -> pd.DataFrame:
        """Return them as a frame for drawing: decimals as floats, instants as dates."""
        return pd.DataFrame(
            [[_plain(value) for value in row] for row in self.rows],
            columns=list(self.columns),
            dtype=object,
        )

    def column(self, name: str) -> list[Any]:
        """Return one column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.date() if isinstance(value, datetime) else value


@dataclass(frozen=True)
class Build:
    """What the report says about the file that it was made from."""

    as_of: date
    currency: str | None
    time_zone: str
    sources: tuple[str, ...]
    code_version: str


class Reader:
    """The published file, opened for reading; one thread, so that sums add up the same way."""

    def __init__(self, file: Path) -> None:
        """Open the file."""
        self._con = duckdb.connect(str(file), read_only=True, config={"threads": 1})

    def close(self) -> None:
        """Close it."""
        self._con.close()

    def ask(self, sql: str) -> Rows:
        """Return a query's answer."""
        answer = self._con.execute(sql)
        columns = tuple(str(column[0]) for column in answer.description)
        return Rows(columns, tuple(answer.fetchall()))

    def build(self) -> Build:
        """Return the row of ``meta.build``."""
        found = self.ask("select as_of, currency, time_zone, sources, code_version from meta.build")
        as_of, currency, zone, sources, code = found.rows[0]
        return Build(as_of, currency, zone, tuple(sources.split(",")), code)

    def statuses(self, table: str) -> Sequence[str]:
        """Return the statuses that the rows of a scores table have, most frequent first."""
        found = self.ask(
            "select status from marts.score_coverage "
            f"where score_table = '{table.removeprefix('scores.')}' and row_count > 0 "
            "order by row_count desc, status"
        )
        return [row[0] for row in found.rows]
