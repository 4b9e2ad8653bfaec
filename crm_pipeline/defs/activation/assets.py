"""Audiences in the warehouse: who is in which experiment, and what audiences there are."""

from collections.abc import Mapping

import dagster as dg
import duckdb
import pandas as pd

from crm_pipeline.activation.audiences import Audience
from crm_pipeline.activation.records import copy_to_warehouse
from crm_pipeline.activation.running import all_audiences
from crm_pipeline.defs.modelling.store import run_settings
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse

OWNERS = ["team:marketing"]
SETTINGS = dg.AssetKey(["control", "run_settings"])
_MANIFEST = ensure_manifest()
_AUDIENCES = all_audiences(_MANIFEST)


@dg.asset(
    key=dg.AssetKey(["control", "audience_assignments"]),
    deps=[SETTINGS],
    # state that the analyses read, as champions are: it comes before what they say
    group_name="modelling",
    owners=OWNERS,
    kinds={"duckdb"},
    pool=WRITER_POOL,
    description="Which customer takes part in which audience's experiment, and in which arm: "
    "copied from activation.duckdb, up to the as-of date. Beside it the ledger's counts.",
)
def audience_assignments(warehouse: Warehouse, home: Home) -> dg.MaterializeResult:
    """Copy what `crm audience send` wrote down."""
    with plain_failures(), warehouse.writer() as db:
        rows, lists = copy_to_warehouse(db, home.settings().home, run_settings(db).as_of)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "lists": lists})


def describe(con: duckdb.DuckDBPyConnection, known: Mapping[str, Audience]) -> pd.DataFrame:
    """Return ``marts.audiences``: what each audience is, and how many customers are in it."""
    as_of, rows = run_settings(con).as_of, []
    for audience in known.values():
        counted = con.execute(f"select count(*) from marts.{audience.model}").fetchone()
        cap, outcome = audience.cap, audience.outcome
        rows.append(
            {
                "audience": audience.name,
                "as_of": as_of,
                "audience_version": audience.version,
                "purpose": audience.purpose,
                "owner": audience.owner,
                "channel": audience.channel,
                "consent_purpose": audience.consent_purpose,
                "destinations": ", ".join(audience.destinations),
                "fields": ", ".join(audience.fields),
                "contact_cap_count": cap.contacts if cap else None,
                "contact_cap_days": cap.days if cap else None,
                "experiment": audience.experiment,
                "holdout_share": audience.holdout_share,
                "outcome_metric": outcome.metric if outcome else None,
                "outcome_days": outcome.days if outcome else None,
                "smallest_effect": outcome.smallest_effect if outcome else None,
                "minimum_size": audience.minimum_size,
                "largest_drop_rate": audience.largest_drop_rate,
                "customer_count": counted[0] if counted else 0,
            }
        )
    return pd.DataFrame(rows)


def count_audiences(con: duckdb.DuckDBPyConnection) -> int:
    """Write ``marts.audiences`` anew; return its rows."""
    con.register("incoming", describe(con, _AUDIENCES))
    columns = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in _types().items())
    con.execute(
        f"create or replace table marts.audiences as select {columns} from incoming order by 1"
    )
    con.unregister("incoming")
    return len(_AUDIENCES)


def _types() -> dict[str, str]:
    node = _MANIFEST["sources"]["source.crm.marts.audiences"]
    return {name: column["data_type"] for name, column in node["columns"].items()}


@dg.asset(
    key=dg.AssetKey(["marts", "audiences"]),
    deps=[SETTINGS, *(dg.AssetKey(["marts", one.model]) for one in _AUDIENCES.values())],
    group_name="activation",
    owners=OWNERS,
    kinds={"duckdb"},
    pool=WRITER_POOL,
    description="What audiences there are: purpose, owner, version, rules, and how many are in "
    "each.",
)
def audiences(warehouse: Warehouse) -> dg.MaterializeResult:
    """Write down what the entries say, and count."""
    with plain_failures(), warehouse.writer() as db:
        rows = count_audiences(db)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})
