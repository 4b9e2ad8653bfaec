"""What the last publication says of itself: what a check holds the next one against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from crm_pipeline.defs.publication.swap import FILE


@dataclass(frozen=True)
class Previous:
    """The publication that readers see.

    Attributes:
        built_at: When it was written, naive UTC.
        as_of: Its last business day.
        made_by: Everything but landed content that decides a total: code, sources, time zone and
            currency. ``None`` if it is too old to say.
        contents: (source, table) -> digests of the contents that counted.
        totals: Complete month -> figure -> published total.
    """

    built_at: datetime
    as_of: date
    made_by: tuple[str, ...] | None
    contents: dict[tuple[str, str], frozenset[str]]
    totals: dict[date, dict[str, float]]


MADE_BY = ("code_version", "sources", "time_zone", "currency")
TOTALS = ("order_count", "gross_amount", "returned_amount", "net_amount")


def read_previous(published: Path) -> Previous | None:
    """Return what the published file says, or ``None`` before the first publication."""
    file = published / FILE
    if not file.is_file():
        return None
    with duckdb.connect(str(file), read_only=True) as db:
        relation = db.sql("from meta.build")
        build = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
        contents: dict[tuple[str, str], set[str]] = {}
        for source, table, digest in db.execute(
            "select source, table_name, digest from meta.landed_files"
        ).fetchall():
            contents.setdefault((source, table), set()).add(digest)
        totals = month_totals(db)
    return Previous(
        built_at=build["built_at"],
        as_of=build["as_of"],
        made_by=(
            tuple(str(build[name] or "") for name in MADE_BY)
            if set(MADE_BY) <= set(build)
            else None
        ),
        contents={key: frozenset(digests) for key, digests in contents.items()},
        totals=totals,
    )


def month_totals(con: duckdb.DuckDBPyConnection) -> dict[date, dict[str, float]]:
    """Return complete month -> figure -> total, of ``marts.kpi_monthly``."""
    rows = con.execute(
        f"select month, {', '.join(TOTALS)} from marts.kpi_monthly where is_complete order by month"
    ).fetchall()
    return {month: dict(zip(TOTALS, map(float, values), strict=True)) for month, *values in rows}
