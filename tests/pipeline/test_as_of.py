"""One clock: publishing as of a day equals publishing from data that ends on that day."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from crm_pipeline.defs.quality.metric_agreement import metrics_agree
from crm_pipeline.demo import write_demo
from crm_pipeline.demo.files import DEPARTMENTS
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.replayed import ReplayedWarehouse
from tests.pipeline.support import different

DAY = date(2026, 3, 17)
"""In the middle of a file, months before the end: orders, returns and moves lie after it."""

EVENTS = {
    "customers": "updated_at",
    "orders": "ordered_at",
    "order_items": "ordered_at",
    "returns": "returned_at",
    "payments": "changed_at",
    "adjustments": "adjusted_at",
    "memberships": "changed_at",
    "products": "updated_at",
    "sessions": "started_at",
    "inventory": "counted_at",
}


def is_after(text: str | None) -> bool:
    """Whether a time as the files write it lies after ``DAY``; what is no time does not."""
    for form in ("%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        try:
            return datetime.strptime(text or "", form).date() > DAY  # noqa: DTZ007
        except ValueError:
            continue
    return False


def _csv(text: str, column: str) -> str:
    delimiter = ";" if ";" in text.splitlines()[0] else ","
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    position = rows[0].index(column)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows(r for r in rows if len(r) <= position or not is_after(r[position]))
    return out.getvalue()


def _json_lines(text: str, column: str) -> str:
    def keep(line: str) -> bool:
        try:
            return not is_after(json.loads(line).get(column))
        except json.JSONDecodeError:
            return True

    return "".join(line + "\n" for line in text.splitlines() if keep(line))


def _rewrite(source: Path, target: Path, change: Callable[[str], str]) -> None:
    opened = gzip.open if source.suffix == ".gz" else open
    # any encoding that leaves ASCII alone, or the one that does not
    encoding = "utf-16" if _table(source) == "inventory" else "latin-1"
    with opened(source, "rt", encoding=encoding, newline="") as file:
        text = change(file.read())
    with opened(target, "wt", encoding=encoding, newline="") as file:
        file.write(text)


def truncate(source: Path, target: Path) -> None:
    """Write the files of ``source`` without what happened after ``DAY``."""
    target.mkdir(parents=True)
    for file in sorted(f for f in source.iterdir() if f.suffix != ".done"):
        column = EVENTS[_table(file)]
        if file.suffix == ".parquet":
            rows = pq.read_table(file)
            late = pc.greater(pc.cast(rows[column], "date32"), DAY)
            pq.write_table(rows.filter(pc.invert(pc.fill_null(late, False))), target / file.name)
        else:
            cut = _json_lines if ".jsonl" in file.name else _csv
            _rewrite(file, target / file.name, lambda text, c=column, cut=cut: cut(text, c))


def _table(file: Path) -> str:
    return next(name for name in sorted(EVENTS, reverse=True) if file.name.startswith(name))


def rest(folder: Path) -> None:
    """Tell landing that every file is complete."""
    for file in [f for f in folder.iterdir() if f.suffix != ".done"]:
        file.with_name(file.name + ".done").touch()


@pytest.fixture(scope="module")
def inbox(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("as_of")
    write_demo(folder / "inbox", folder / "truth", customers=400)
    return folder / "inbox"


@pytest.mark.parametrize(
    "made_by", [ReplayedWarehouse, pytest.param(LandedWarehouse, marks=pytest.mark.slow)]
)
def test_publishing_as_of_a_day_equals_publishing_from_data_that_ends_there(
    inbox, tmp_path, made_by
):
    whole, cut = made_by(tmp_path / "whole"), made_by(tmp_path / "cut")
    (whole.folder / "inbox" / "demo").symlink_to(inbox)
    truncate(inbox, cut.folder / "inbox" / "demo")
    rest(inbox)
    rest(cut.folder / "inbox" / "demo")

    assert whole.land().is_ok
    assert whole.settle(DAY) == DAY
    whole.build_marts()
    cut.land()
    assert cut.settle() == DAY, "the truncated data ends on another day"
    cut.build_marts()

    assert whole.value("select max(ordered_on) from marts.fct_orders") == DAY
    assert whole.value("select count(*) from marts.fct_orders") > 500
    assert different(whole.marts(), cut.marts()) == []

    whole.settle()
    whole.build_marts()
    assert len(different(whole.marts(), cut.marts())) > 8, "later data changed nothing at all"


PLANNED = {"due_on", "expected_close_on", "ended_on", "untagged_on"}
"""Days that a row may say beforehand."""


def test_no_area_says_what_comes_after_the_day(tmp_path):
    sources = ("demo", *DEPARTMENTS)
    company = ReplayedWarehouse(tmp_path, sources=sources)
    inbox = tmp_path / "inbox"
    write_demo(
        inbox / "demo",
        tmp_path / "truth",
        customers=400,
        departments={name: inbox / name for name in DEPARTMENTS},
    )
    for source in sources:
        rest(inbox / source)
    assert company.land().is_ok
    days = [date(2026, 4, 30), DAY, company.settle()]
    for day in days:
        assert company.settle(day) == day
        company.build_marts()
        with company.connection() as db:
            agreement = metrics_agree(db)
            assert agreement.wrong == {}, day
            assert agreement.compared > 1000
            dated = db.execute(
                "select table_name, column_name from duckdb_columns() where schema_name = 'marts' "
                "and table_name like 'fct\\_%' escape '\\' and data_type = 'DATE'"
            ).fetchall()
            late = [
                f"{table}.{column}"
                for table, column in dated
                if column not in PLANNED
                and db.execute(f"select max({column}) > ? from marts.{table}", [day]).fetchone()
                == (True,)
            ]
        assert late == [], day
