"""Does what landed resemble its history? One check a raw table, all learned bounds folded in."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
import duckdb

from crm_pipeline.defs.landing.assets import CONTRACTS
from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.quality.history import judge_tables
from crm_pipeline.defs.quality.learned import Bound
from crm_pipeline.defs.quality.previous import read_previous
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse

RESEMBLES = "resembles_its_history"
_TABLES = {
    dg.AssetKey(["raw", table.identifier]): table
    for source in CONTRACTS.values()
    for table in source.tables
}


def summary(bounds: Sequence[Bound]) -> str:
    """Return what is outside its bounds, else how much was judged, in a sentence or two."""
    outside = [str(bound) for bound in bounds if not bound.is_within]
    if outside:
        return "; ".join(outside)
    judged = sum(bound.is_judged for bound in bounds)
    if judged:
        return f"{judged} figures are as usual, {len(bounds) - judged} have too little history"
    most = max((bound.history for bound in bounds), default=0)
    needed = min((bound.needed for bound in bounds), default=0)
    return f"too little history ({most} of {needed})"


def check_result(key: dg.AssetKey, bounds: Sequence[Bound]) -> dg.AssetCheckResult:
    """Return one table's result: a warning if any figure is outside; numbers only."""
    outside = [bound for bound in bounds if not bound.is_within]
    numbers: dict[str, dg.MetadataValue] = {
        "figures_judged": dg.MetadataValue.int(sum(bound.is_judged for bound in bounds)),
        "figures_unusual": dg.MetadataValue.int(len(outside)),
    }
    for bound in bounds:
        if bound.is_judged and (bound.column is None or not bound.is_within):
            name = f"{bound.measure}_{bound.column}" if bound.column else bound.measure
            for part in ("observed", "lower", "upper"):
                if (value := getattr(bound, part)) is not None:
                    numbers[f"{name}_{part}"] = dg.MetadataValue.float(float(value))
    return dg.AssetCheckResult(
        check_name=RESEMBLES,
        asset_key=key,
        passed=not outside,
        severity=dg.AssetCheckSeverity.WARN,
        description=summary(bounds),
        metadata=numbers,
    )


def _save(con: duckdb.DuckDBPyConnection, judged: dict[TableContract, list[Bound]]) -> None:
    con.execute("delete from control.check_bounds")
    rows = [
        (table.source, table.name, b.measure, b.column, b.observed, b.lower, b.upper, b.history,
         b.needed, b.is_judged, b.is_within)
        for table, bounds in judged.items()
        for b in bounds
    ]  # fmt: skip
    if rows:
        values = ", ".join(f"({', '.join('?' * len(rows[0]))})" for _ in rows)
        con.execute(
            f"insert into control.check_bounds values {values}", [v for row in rows for v in row]
        )


@dg.multi_asset_check(
    name="landed_history",
    specs=[
        dg.AssetCheckSpec(
            RESEMBLES,
            asset=key,
            description="Volume, freshness and distributions of the newest delivery are what the "
            "deliveries before make likely. If not: look at meta.check_bounds, then at the file; "
            "a change that is real becomes usual by itself.",
        )
        for key in _TABLES
    ],
    can_subset=True,
    pool=WRITER_POOL,
)
def landed_history(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse, home: Home
) -> Iterator[dg.AssetCheckResult]:
    """Learn from what landed before, and judge the newest delivery of every enabled table."""
    with plain_failures():
        settings = home.settings()
        previous = read_previous(settings.published)
        tables = [t for name in settings.sources for t in CONTRACTS[name].tables]
        now = datetime.now(UTC).replace(tzinfo=None)
        with warehouse.writer() as db:
            db.begin()
            judged = judge_tables(
                db, tables, published=previous.contents if previous else {}, now=now
            )
            _save(db, judged)
            db.commit()
    for check in sorted(context.selected_asset_check_keys):
        table = _TABLES[check.asset_key]
        if table in judged:
            yield check_result(check.asset_key, judged[table])
