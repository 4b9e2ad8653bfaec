"""Audiences in the warehouse: who takes part in which experiment, and what audiences there are."""

import dagster as dg

from crm_pipeline.activation.records import copy_to_warehouse
from crm_pipeline.defs.modelling.store import run_settings
from crm_pipeline.resources.home import Home, plain_failures
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse

OWNERS = ["team:marketing"]
SETTINGS = dg.AssetKey(["control", "run_settings"])


@dg.asset(
    key=dg.AssetKey(["control", "audience_assignments"]),
    deps=[SETTINGS],
    # state that the analyses read, as champions are: it comes before what they say
    group_name="modelling",
    owners=OWNERS,
    kinds={"duckdb"},
    pool=WRITER_POOL,
    description="Which customer takes part in which audience's experiment, and in which arm: copied "
    "from activation.duckdb, up to the as-of date. Beside it the ledger's counts.",
)
def audience_assignments(warehouse: Warehouse, home: Home) -> dg.MaterializeResult:
    """Copy what `crm audience send` wrote down."""
    with plain_failures(), warehouse.writer() as db:
        rows, lists = copy_to_warehouse(db, home.settings().home, run_settings(db).as_of)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "lists": lists})
