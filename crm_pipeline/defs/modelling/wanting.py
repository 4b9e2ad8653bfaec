"""Which ruling models the published file says are wanting; read by a sensor, so it stays light."""

from __future__ import annotations

from pathlib import Path

import duckdb

from crm_pipeline.defs.publication.swap import FILE

_WANTING = """
with ruling as (
    select unnest(json_keys(champions)) as model, champions from meta.build),
versions as (
    select model, json_extract_string(champions, '$.' || model) as model_version from ruling),
newest as (
    select model, max(as_of) as as_of from meta.model_scorecard group by model)
select model || ' ' || model_version || ' drifted ' || compared_to
from meta.model_drift join versions using (model, model_version) where reading = 'drifted'
union all
select model || ' ' || model_version || ' off ' || as_of
from meta.model_scorecard join versions using (model, model_version)
join newest using (model, as_of) where metric = 'is_off' and value = 1
order by 1
"""


def wanting_models(published: Path) -> list[str]:
    """Return ``model version why as-of`` of every ruling model that should be trained anew.

    Empty before the first publication, and of one that was made before models were graded.
    """
    file = published / FILE
    if not file.exists():
        return []
    with duckdb.connect(str(file), read_only=True) as con:
        known = con.execute(
            "select count(*) from duckdb_tables() where schema_name = 'meta' "
            "and table_name in ('model_drift', 'model_scorecard')"
        ).fetchone()
        if known is None or known[0] < 2:
            return []
        return [str(why) for (why,) in con.execute(_WANTING).fetchall()]
