"""One clock: publishing as of a day equals publishing from data that ends on that day."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
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
    "tickets": "opened_at",
    "ticket_events": "occurred_at",
    "interactions": "occurred_at",
    "survey_responses": "responded_at",
    "customer_tags": "changed_at",
    "campaign_touches": "touched_at",
    "profiles": "answered_at",
    "consents": "changed_at",
    "accounts": "created_at",
    "leads": "created_at",
    "opportunities": "opened_at",
    "opportunity_stages": "entered_at",
}
ENCODINGS = {"inventory": "utf-16"}
LATER = {
    "leads": ("converted_at", {"status": "open", "converted_at": ""}),
    "opportunities": ("closed_at", {"stage": "open", "closed_at": ""}),
    "campaign_touches": ("clicked_at", {"is_clicked": "false", "clicked_at": ""}),
}
"""Table -> the time at which something comes about later, and what a row says until then."""
PLANNED = {"due_on", "expected_close_on", "ended_on", "untagged_on"}
"""Days that a row may say beforehand."""


def is_after(text: str | None) -> bool:
    """Whether a time as the files write it lies after ``DAY``; what is no time does not."""
    for form in ("%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        try:
            return datetime.strptime(text or "", form).date() > DAY  # noqa: DTZ007
        except ValueError:
            continue
    return False


def _csv(text: str, table: str) -> str:
    delimiter = max(";,\t|", key=text.splitlines()[0].count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    position = rows[0].index(EVENTS[table])
    kept = [row for row in rows if len(row) <= position or not is_after(row[position])]
    time, said = LATER.get(table, ("", {}))
    for row in kept:
        if time and len(row) == len(rows[0]) and is_after(row[rows[0].index(time)]):
            for column, value in said.items():
                row[rows[0].index(column)] = value
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(kept)
    return out.getvalue()


def _json_lines(text: str, table: str) -> str:
    kept = []
    time, said = LATER.get(table, ("", {}))
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            kept.append(line)
            continue
        if is_after(row.get(EVENTS[table])):
            continue
        if time and is_after(row.get(time)):
            row |= {column: value or None for column, value in said.items()}
        kept.append(json.dumps(row, ensure_ascii=False))
    return "".join(line + "\n" for line in kept)


def _rewrite(source: Path, target: Path, change: Callable[[str], str]) -> None:
    opened = gzip.open if source.suffix == ".gz" else open
    # any encoding that leaves ASCII alone, or those that do not
    encoding = ENCODINGS.get(_table(source), "latin-1")
    with opened(source, "rt", encoding=encoding, newline="") as file:
        text = change(file.read())
    with opened(target, "wt", encoding=encoding, newline="") as file:
        file.write(text)


def truncate(source: Path, target: Path) -> None:
    """Write the files of ``source`` without what happened after ``DAY``."""
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        table = _table(file)
        if table not in EVENTS:
            shutil.copyfile(file, target / file.name)
        elif file.suffix == ".parquet":
            rows = pq.read_table(file)
            assert table not in LATER
            late = pc.greater(pc.cast(rows[EVENTS[table]], "date32"), DAY)
            pq.write_table(rows.filter(pc.invert(pc.fill_null(late, False))), target / file.name)
        else:
            cut = _json_lines if ".jsonl" in file.name else _csv
            _rewrite(file, target / file.name, lambda text, t=table, cut=cut: cut(text, t))


def _table(file: Path) -> str:
    names = (name for name in sorted(EVENTS, reverse=True) if file.name.startswith(name))
    return next(names, file.name)


def rest(folder: Path) -> None:
    """Tell landing that every file is complete."""
    for file in list(folder.iterdir()):
        file.with_name(file.name + ".done").touch()


SOURCES = ("demo", *DEPARTMENTS)


@pytest.fixture(scope="module")
def inbox(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("as_of")
    inbox = folder / "inbox"
    write_demo(
        inbox / "demo",
        folder / "truth",
        customers=400,
        departments={name: inbox / name for name in DEPARTMENTS},
    )
    return inbox


def _says_nothing_later(company: LandedWarehouse, day: date) -> None:
    with company.connection() as db:
        agreement = metrics_agree(db)
        assert agreement.wrong == {}
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
    assert late == []


@pytest.mark.parametrize(
    "made_by", [ReplayedWarehouse, pytest.param(LandedWarehouse, marks=pytest.mark.slow)]
)
def test_publishing_as_of_a_day_equals_publishing_from_data_that_ends_there(
    inbox, tmp_path, made_by
):
    whole = made_by(tmp_path / "whole", sources=SOURCES)
    cut = made_by(tmp_path / "cut", sources=SOURCES)
    for source in SOURCES:
        shutil.copytree(inbox / source, whole.folder / "inbox" / source)
        truncate(inbox / source, cut.folder / "inbox" / source)
        rest(whole.folder / "inbox" / source)
        rest(cut.folder / "inbox" / source)

    assert whole.land().is_ok
    assert whole.settle(DAY) == DAY
    whole.build_marts()
    cut.land()
    assert cut.settle() == DAY, "the truncated data ends on another day"
    cut.build_marts()

    assert whole.value("select max(ordered_on) from marts.fct_orders") == DAY
    assert whole.value("select count(*) from marts.fct_orders") > 500
    assert different(whole.marts(), cut.marts()) == []
    _says_nothing_later(whole, DAY)

    end = whole.settle()
    whole.build_marts()
    assert len(different(whole.marts(), cut.marts())) > 8, "later data changed nothing at all"
    _says_nothing_later(whole, end)
