"""From a Great Expectations result to an asset check: counts and names, never values.

The library validates pandas frames here: its SQL route does not work on DuckDB in these
versions (toolchain.md). Only the columns that a suite names are read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from expectations import load_suite

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 1_000_000
"""Above this a suite reads a fixed sample (10 expectations on a million rows take 2 s, and a
frame of all 17 million would not fit). Types, keys and ranges of every line were enforced when
it landed; what the suites add is about distributions, which a million rows show."""

_COLUMN_ARGUMENTS = ("column", "column_A", "column_B")


@dataclass(frozen=True)
class Verdict:
    """One suite's result on one table.

    Attributes:
        passed: Every expectation of severity ``critical`` held.
        warned: Some other expectation did not hold.
        failed: Names of the expectations that did not hold, with column and count.
        rows_checked: Rows that were looked at.
        rows: Rows of the table.
    """

    passed: bool
    warned: bool
    failed: tuple[str, ...]
    rows_checked: int
    rows: int


def suite_columns(suite: dict[str, Any]) -> list[str]:
    """Return the columns that a suite names, sorted."""
    arguments = [expectation["kwargs"] for expectation in suite["expectations"]]
    return sorted({a[name] for a in arguments for name in _COLUMN_ARGUMENTS if name in a})


def read_for_suite(
    con: duckdb.DuckDBPyConnection, name: str, *, sample_rows: int = SAMPLE_ROWS
) -> tuple[pd.DataFrame, int]:
    """Return (the columns that the suite ``name`` needs, the table's row count).

    Above ``sample_rows`` every k-th line of a file is taken, k chosen so that the sample fits:
    the same lines in every run.
    """
    schema, _, table = name.partition(".")
    place = f'"{schema}"."{table}"'
    if schema == "raw":
        # what landed, before the as-of date of this run is known
        source, _, rest = table.partition("__")
        place = (
            f'(select * from landing."{table}" where _digest in (select digest from '
            f"control.current_contents where source = '{source}' and table_name = '{rest}'))"
        )
    found = con.execute(f"select count(*) from {place}").fetchone()
    rows = int(found[0]) if found else 0
    columns = ", ".join(f'"{column}"' for column in suite_columns(load_suite(name)))
    step = -(-rows // sample_rows) if rows else 1
    where = f"where _line % {step} = 0" if step > 1 and schema == "raw" else ""
    return con.execute(f"select {columns} from {place} {where}").df(), rows


def _is_vacuous(kind: str, column: str | None, frame: pd.DataFrame) -> bool:
    """Whether an expectation speaks of values of a column that has none: nobody was scored."""
    return (
        column is not None
        and kind != "expect_column_values_to_not_be_null"
        and bool(frame[column].isna().all())
    )


def validate(name: str, frame: pd.DataFrame, rows: int) -> Verdict:
    """Hold ``frame`` against the suite ``name``."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = gx.ExpectationSuite(**load_suite(name))
    batch = (
        context.data_sources.add_pandas("frames")
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe("all")
        .get_batch(batch_parameters={"dataframe": frame})
    )
    failed, passed, warned = [], True, False
    for result in batch.validate(suite, result_format="SUMMARY").results:
        if result.success:
            continue
        config = result.expectation_config
        assert config is not None
        if _is_vacuous(config.type, config.kwargs.get("column"), frame):
            continue
        columns = "/".join(str(config.kwargs[a]) for a in _COLUMN_ARGUMENTS if a in config.kwargs)
        count = (result.result or {}).get("unexpected_count", "?")
        failed.append(f"{config.type} on {columns}: {count} rows")
        if str(getattr(config.severity, "value", config.severity)) == "critical":
            passed = False
        else:
            warned = True
    return Verdict(passed, warned, tuple(sorted(failed)), len(frame), rows)
