"""What the modelling assets read and write in the warehouse: frames, scores, decisions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    import pandas as pd

    from crm_pipeline.defs.modelling.spec import ModelSpec, Scored
    from ml.evaluation.result import TrainingResult

_LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")
_ML = Path(__file__).resolve().parents[3] / "ml"

STATUS_TABLE = """
create table if not exists control.model_candidates (
    model varchar primary key, model_version varchar not null, as_of date not null,
    status varchar not null, reason varchar not null, decision varchar, decision_reason varchar)
"""
EVALUATION_TABLE = """
create table if not exists control.model_evaluations (
    model varchar not null, model_version varchar not null, as_of date not null,
    period varchar not null, metric varchar not null, value double, baseline_value double,
    champion_value double, decision varchar)
"""
CHAMPION_TABLE = """
create table if not exists control.model_champions (
    model varchar primary key, model_version varchar not null)
"""
CARD_TABLE = """
create table if not exists control.model_cards (
    model varchar not null, model_version varchar not null, card varchar not null,
    primary key (model, model_version))
"""
OFFERED_TABLE = """
create table if not exists control.offered (
    as_of date not null, customer_key varchar not null, offer varchar not null,
    expected_gain_amount decimal(18,4) not null, cost_amount decimal(18,4) not null,
    margin_rate double not null, primary key (as_of, customer_key))
"""
"""What was expected of the offers on the day they were made; the allocation itself is replaced."""


@dataclass(frozen=True)
class RunSettings:
    """The row of ``control.run_settings``: what this run computes for."""

    as_of: date
    horizon_days: int
    clv_horizon_days: int
    clv_holdout_days: int
    discount_rate: float


def run_settings(con: duckdb.DuckDBPyConnection) -> RunSettings:
    """Return what the run computes for; the row is written by ``control/run_settings``."""
    row = con.execute(
        "select as_of, horizon_days, clv_horizon_days, clv_holdout_days, discount_rate "
        "from control.run_settings"
    ).fetchone()
    assert row is not None
    return RunSettings(*row)


def content_version(
    packages: Sequence[str], frames: Mapping[str, pd.DataFrame], settings: Mapping[str, object]
) -> tuple[str, str]:
    """Return (model version, input digest), both derived from content alone.

    The version covers the training frames, the settings, the code of the model's packages and of
    ``ml/evaluation``, and the libraries: training again on the same input gives the same version.

    Args:
        packages: Packages below ``ml/``.
        frames: Training frames, rows in key order.
        settings: Whatever else decides the result.

    Returns:
        Twelve and sixty-four hexadecimal digits.
    """
    import pandas as pd

    data = hashlib.sha256()
    for name, frame in sorted(frames.items()):
        data.update(f"{name}:{list(frame.columns)}:{[str(t) for t in frame.dtypes]}".encode())
        data.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    digest = data.hexdigest()
    whole = hashlib.sha256(f"{digest}:{sorted(settings.items())!r}".encode())
    for package in (*packages, "evaluation"):
        for file in sorted((_ML / package).rglob("*.py")):
            whole.update(file.relative_to(_ML).as_posix().encode() + file.read_bytes())
    for library in _LIBRARIES:
        whole.update(f"{library}=={version(library)}".encode())
    return whole.hexdigest()[:12], digest


def followed_version(content: str, champion: str, champion_content: str | None) -> str:
    """Return the version of a candidate whose result the champion decides in part.

    The champion's own content gives the champion again; other content a version that the champion
    is part of, so that one version never stands for two results.

    Args:
        content: Version by content alone.
        champion: Version that rules.
        champion_content: What that was by content alone; ``None`` where it was not noted.
    """
    if content == champion_content:
        return champion
    return hashlib.sha256(f"{content}:{champion}".encode()).hexdigest()[:12]


def save_candidate(
    con: duckdb.DuckDBPyConnection,
    *,
    model: str,
    model_version: str,
    as_of: date,
    result: TrainingResult,
) -> None:
    """Make this the model's current candidate, with its evaluation and no decision yet.

    Numeric parameters are kept beside the figures, as period ``parameters``: they are what a
    reader compares with the literature, also where the gate says no.
    """
    import pandas as pd

    numbers = {n: v for n, v in result.parameters.items() if isinstance(v, int | float)}
    parameters = pd.DataFrame({"metric": numbers.keys(), "value": numbers.values()})
    rows = pd.concat([result.evaluation, parameters.assign(period="parameters")])
    rows = rows.reindex(columns=list(result.evaluation.columns))
    con.execute("begin")
    con.execute(STATUS_TABLE)
    con.execute(EVALUATION_TABLE)
    con.execute(
        "insert or replace into control.model_candidates values (?, ?, ?, ?, ?, null, null)",
        [model, model_version, as_of, result.status, result.reason],
    )
    con.execute(
        "delete from control.model_evaluations where model = ? and model_version = ?",
        [model, model_version],
    )
    con.register("incoming", rows)
    con.execute(
        "insert into control.model_evaluations select ?, ?, ?, period, metric, value, "
        "baseline_value, champion_value, null from incoming",
        [model, model_version, as_of],
    )
    con.unregister("incoming")
    con.execute("commit")


def save_decision(
    con: duckdb.DuckDBPyConnection, *, model: str, model_version: str, decision: str, reason: str
) -> None:
    """Write the gate's decision beside the candidate and its evaluation."""
    con.execute(
        "update control.model_candidates set decision = ?, decision_reason = ? where model = ?",
        [decision, reason, model],
    )
    con.execute(
        "update control.model_evaluations set decision = ? where model = ? and model_version = ?",
        [decision, model, model_version],
    )


def save_card(con: duckdb.DuckDBPyConnection, *, model: str, model_version: str, card: str) -> None:
    """Keep the card of a version that was promoted."""
    con.execute(CARD_TABLE)
    con.execute(
        "insert or replace into control.model_cards values (?, ?, ?)", [model, model_version, card]
    )


def save_champion(con: duckdb.DuckDBPyConnection, model: str, model_version: str | None) -> None:
    """Remember which version scored; ``None`` says that none did."""
    con.execute(CHAMPION_TABLE)
    # a refresh may come before the first training, and publishes that there was none
    con.execute(EVALUATION_TABLE)
    con.execute("delete from control.model_champions where model = ?", [model])
    if model_version is not None:
        con.execute("insert into control.model_champions values (?, ?)", [model, model_version])


def champion_versions(con: duckdb.DuckDBPyConnection) -> str:
    """Return model -> version of the champions that scored, as JSON."""
    rows = con.execute("select model, model_version from control.model_champions").fetchall()
    return json.dumps(dict(sorted(rows)))


def status_without_champion(con: duckdb.DuckDBPyConnection, model: str) -> str:
    """Return why nobody is scored: ``too_little_data`` or ``no_model_passed``."""
    con.execute(STATUS_TABLE)
    row = con.execute(
        "select status from control.model_candidates where model = ?", [model]
    ).fetchone()
    return "too_little_data" if row and row[0] == "too_little_data" else "no_model_passed"


def write_scores(
    con: duckdb.DuckDBPyConnection,
    spec: ModelSpec,
    scored: Scored | None,
    *,
    as_of: date,
    model_version: str | None,
    status: str,
) -> dict[str, int]:
    """Replace all tables of one model.

    Args:
        con: Connection with the writer's slot.
        spec: Says which tables, and what is in them.
        scored: What the champion says; ``None`` without one.
        as_of: The scoring day.
        model_version: Of the champion.
        status: Of customers who are not in the predictions.

    Returns:
        Rows of the main table, by status where it has one.
    """
    if spec.is_of_customers:
        predictions = scored.predictions if scored else None
        counts = _write_customers(
            con, spec, predictions, as_of=as_of, model_version=model_version, status=status
        )
    else:
        types = {"as_of": "date", **spec.types, "model_version": "varchar"}
        rows = replace_table(
            con, spec.table, types, scored and scored.predictions, as_of, model_version
        )
        counts = {"rows": rows}
        if "status" in types:
            # no version said what has no value
            con.execute(
                f"update scores.{spec.table} set model_version = null where status <> 'scored'"
            )
    for table, types in spec.further.items():
        further = scored and scored.further.get(table)
        replace_table(con, table, types, further, as_of, model_version)
    return counts


def _write_customers(
    con: duckdb.DuckDBPyConnection,
    spec: ModelSpec,
    predictions: pd.DataFrame | None,
    *,
    as_of: date,
    model_version: str | None,
    status: str,
) -> dict[str, int]:
    """Replace a table of one row for every customer with an order by ``as_of``."""
    table, types = spec.table, spec.types
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    con.execute("create schema if not exists scores")
    con.execute("begin")
    con.execute(
        f"create or replace table scores.{table} (customer_key varchar not null, "
        f"as_of date not null, status varchar not null, {columns}, model_version varchar)"
    )
    everybody = (
        "(select customer_key from features.customer_features where cut_off_on = $as_of) as c"
    )
    if predictions is None:
        nothing = ", ".join("null" for _ in types)
        con.execute(
            f"insert into scores.{table} select c.customer_key, $as_of, $status, {nothing}, null "
            f"from {everybody} order by c.customer_key",
            {"as_of": as_of, "status": status},
        )
    else:
        values = ", ".join(f"p.{name}" for name in types)
        con.register("incoming", predictions)
        con.execute(
            f"insert into scores.{table} select c.customer_key, $as_of, "
            f"if(p.customer_key is null, $status, 'scored'), {values}, "
            f"if(p.customer_key is null, null, $version) from {everybody} "
            "left join incoming as p using (customer_key) order by c.customer_key",
            {"as_of": as_of, "status": status, "version": model_version},
        )
        con.unregister("incoming")
    con.execute("commit")
    found = con.execute(f"select status, count(*) from scores.{table} group by 1").fetchall()
    return {str(name): int(count) for name, count in found}


def replace_table(
    con: duckdb.DuckDBPyConnection,
    table: str,
    types: Mapping[str, str],
    frame: pd.DataFrame | None,
    as_of: date,
    model_version: str | None = None,
) -> int:
    """Replace ``scores.<table>`` with ``frame``, in the declared types; empty without one.

    ``as_of`` and ``model_version`` stand in for a column of that name which the frame leaves out.
    Returns the rows written.
    """
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    con.execute("create schema if not exists scores")
    con.execute(f"create or replace table scores.{table} ({columns})")
    if frame is None:
        return 0
    given = {"as_of": as_of, "model_version": model_version}
    left_out = {name: given[name] for name in given if name in types and name not in frame}
    selected = ", ".join(f"${name}" if name in left_out else name for name in types)
    con.register("incoming", frame)
    con.execute(f"insert into scores.{table} select {selected} from incoming", left_out)
    con.unregister("incoming")
    return len(frame)


def frame(
    con: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()
) -> pd.DataFrame:
    """Return a query's rows; the query orders them by key, so that results repeat."""
    return con.execute(query, list(parameters)).df()
