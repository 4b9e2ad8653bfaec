"""Which rows changed since the last complete build: contents that came or went, and the as-of date.

Belongs here: the conditions by which they are found. What follows from them is ``changes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb

from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.sqltext import identifier, literal


@dataclass(frozen=True)
class Content:
    """A content about which the ledger has news, and whether it counted then and counts now."""

    digest: str
    was: bool
    counts: bool

    @property
    def came(self) -> bool:
        """Whether its rows are news."""
        return self.counts and not self.was


def changed_contents(
    con: duckdb.DuckDBPyConnection, landing_number: int
) -> dict[tuple[str, str], list[Content]]:
    """Contents that came, went or changed their name since: whatever the ledger says of them."""
    rows = con.execute(
        """
        with news as (select * from control.files where landing_number > ?),
        before as (
            select source, table_name, file_name, arg_max(digest, landing_number) as digest,
                arg_max(action, landing_number) as action
            from control.files where landing_number <= ? group by all),
        named as (
            select source, table_name, digest from news
            union
            select source, table_name, digest from before
            semi join news using (source, table_name, file_name))
        select source, table_name, digest,
            (source, table_name, digest) in (
                select (source, table_name, digest) from before where action = 'landed'),
            (source, table_name, digest) in (
                select (source, table_name, digest) from control.current_contents)
        from named order by all
        """,
        [landing_number, landing_number],
    ).fetchall()
    found: dict[tuple[str, str], list[Content]] = {}
    for source, name, *content in rows:
        found.setdefault((source, name), []).append(Content(*content))
    return found


def went_sql(table: TableContract, contents: list[Content], *, is_back: bool) -> str:
    """SQL that is true at least for those changed rows which do not count any more.

    Of a table with a key, a row that came may have taken the place of another; what comes about
    later in a row takes the place of what it said before.
    """
    if table.key or table.later_times or is_back:
        return "true"
    went = [literal(content.digest) for content in contents if not content.counts]
    return f"_digest in ({', '.join(went)})" if went else "false"


def changed_sql(
    table: TableContract, digests: list[str], before: date, after: date, time_zone: str
) -> list[str]:
    """SQL that is true for rows which came, went, or which the as-of date now shows or hides.

    Several conditions of which no two hold for one row: read one by one, each spares DuckDB the
    blocks in which it cannot hold.
    """
    named = f"({', '.join(literal(digest) for digest in digests)})"
    conditions = [f"_digest in {named}"] if digests else []
    if before == after:
        return conditions
    low, high = sorted((before, after))
    for time in [*([table.event_time] if table.event_time else []), *table.later_times]:
        event = identifier(time)
        day = event
        if table.column(time).data_type == "timestamp":
            day = f"cast(timezone({literal(time_zone)}, timezone('UTC', {event})) as date)"
        conditions.append(
            # the second half is exact, the first spares most rows the asking
            f"{event} >= date '{low}' and {event} < date '{high}' + interval 2 day "
            f"and {day} > date '{low}' and {day} <= date '{high}'"
            + "".join(f" and ({other}) is not true" for other in conditions)
        )
    return conditions
