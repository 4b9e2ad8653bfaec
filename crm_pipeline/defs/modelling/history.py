"""Past scores, and what they are worth now: remembered, graded, compared.

Belongs here: what is kept of each scoring, and the SQL that finds what then happened. Does not:
the figures themselves (``ml/monitoring``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pandas as pd

from crm_pipeline.defs.modelling.store import RunSettings, frame

HISTORY = """
create table if not exists control.score_history (
    model varchar not null, as_of date not null, customer_key varchar not null,
    model_version varchar not null, horizon_days integer not null, score double not null,
    primary key (model, as_of, customer_key))
"""
SCORECARD = """
create or replace table control.model_scorecard (
    model varchar not null, model_version varchar not null, as_of date not null,
    horizon_days integer not null, metric varchar not null, value double,
    baseline_value double)
"""
DRIFT = """
create or replace table control.model_drift (
    model varchar not null, model_version varchar not null, compared_from date not null,
    compared_to date not null, population_stability_index double not null,
    reading varchar not null)
"""
MONTHS = 25
"""Of each month the last scoring is kept, two years back: enough for a grade a month, at a size
that does not grow with how often a company refreshes."""


@dataclass(frozen=True)
class Graded:
    """A model whose scores are remembered.

    Attributes:
        name: The model.
        table: Its table in ``scores``.
        score: The column that is remembered.
        outcome: What then happened to a customer, an aggregate over ``happened`` of the window
            (``amount``, ``days`` after the as-of date); null counts as none.
        is_probability: Whether the outcome is an event.
    """

    name: str
    table: str
    score: str
    outcome: str
    is_probability: bool


GRADED = (
    Graded("churn", "customer_churn", "churn_probability", "(count(*) = 0)::integer", True),
    Graded(
        "clv",
        "customer_clv",
        "clv_amount",
        "sum(amount / pow(1 + $discount_rate, days / 365.0))",
        False,
    ),
)


def remember(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> int:
    """Keep today's scores, drop what is too old to be kept or of no known customer any more.

    Returns:
        Rows remembered of today.
    """
    con.execute(HISTORY)
    counted = 0
    for model in GRADED:
        con.execute(
            "delete from control.score_history where model = ? and as_of = ?",
            [model.name, settings.as_of],
        )
        con.execute(
            f"insert into control.score_history select ?, as_of, customer_key, model_version, "
            f"horizon_days, {model.score} from scores.{model.table} where status = 'scored'",
            [model.name],
        )
        row = con.execute(
            "select count(*) from control.score_history where model = ? and as_of = ?",
            [model.name, settings.as_of],
        ).fetchone()
        counted += int(row[0]) if row else 0
    con.execute(
        "delete from control.score_history where customer_key not in "
        "(select customer_key from marts.dim_customers)"
    )
    con.execute(
        f"""
        delete from control.score_history as h using (
            select model, max(as_of) as last_on from control.score_history
            group by model, date_trunc('month', as_of)) as kept
        where kept.model = h.model
          and date_trunc('month', kept.last_on) = date_trunc('month', h.as_of)
          and (h.as_of < kept.last_on
            or h.as_of < cast($as_of as date) - interval {MONTHS} month)
        """,
        {"as_of": settings.as_of},
    )
    return counted


def outcomes(
    con: duckdb.DuckDBPyConnection, model: Graded, settings: RunSettings
) -> Iterator[pd.DataFrame]:
    """Yield one frame a past scoring whose horizon is over by now, oldest first.

    Each holds, by customer: ``as_of``, ``model_version``, ``horizon_days``, ``score``,
    ``happened`` and ``last_period`` (the same quantity in the window of that length before).
    """
    past = con.execute(
        "select distinct as_of, horizon_days from control.score_history "
        "where model = ? and as_of + horizon_days <= cast(? as date) order by all",
        [model.name, settings.as_of],
    ).fetchall()
    parameters = {"discount_rate": settings.discount_rate}
    needed = {k: v for k, v in parameters.items() if f"${k}" in model.outcome}
    for as_of, horizon in past:
        window = {"model": model.name, "as_of": as_of, "horizon": horizon, **needed}
        yield con.execute(
            f"""
            with purchases as (
                select customer_key, ordered_on, sum(gross_amount)::double as amount
                from marts.fct_orders where customer_key is not null group by all),
            happened as (
                select customer_key, amount, ordered_on - $as_of::date as days from purchases
                where ordered_on > $as_of::date and ordered_on <= $as_of::date + $horizon),
            before as (
                select customer_key, amount, $as_of::date - ordered_on as days from purchases
                where ordered_on <= $as_of::date and ordered_on > $as_of::date - $horizon),
            known as (
                select * from control.score_history where model = $model and as_of = $as_of)
            select known.as_of, known.model_version, known.horizon_days, known.customer_key,
                known.score,
                coalesce((select {model.outcome} from happened
                    where happened.customer_key = known.customer_key), 0)::double as happened,
                coalesce((select {model.outcome} from before
                    where before.customer_key = known.customer_key), 0)::double as last_period
            from known order by known.customer_key
            """,
            window,
        ).df()


def grade(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> pd.DataFrame:
    """Write ``control.model_scorecard``: every past scoring that can be graded by now.

    What happened is computed from the facts as they are, so late data mend a grade too.
    """
    from ml.monitoring.scorecard import grade_amounts, grade_probabilities

    con.execute(SCORECARD)
    found = []
    for model in GRADED:
        for scored in outcomes(con, model, settings):
            for version, rows in scored.groupby("model_version", sort=True):
                grades = (
                    grade_probabilities(rows["score"], rows["happened"])
                    if model.is_probability
                    else grade_amounts(rows["score"], rows["happened"], rows["last_period"])
                )
                first = rows.iloc[0]
                found.append(
                    grades.assign(
                        model=model.name,
                        model_version=version,
                        as_of=first["as_of"],
                        horizon_days=first["horizon_days"],
                    )
                )
    if not found:
        return pd.DataFrame()
    card = pd.concat(found, ignore_index=True)
    con.register("incoming", card)
    con.execute("insert into control.model_scorecard by name select * from incoming")
    con.unregister("incoming")
    return card


def compare(con: duckdb.DuckDBPyConnection, settings: RunSettings) -> pd.DataFrame:
    """Write ``control.model_drift``: today's scores against those when the same version began."""
    from ml.monitoring.drift import population_stability_index, reading

    con.execute(DRIFT)
    rows = []
    for model in GRADED:
        begun = con.execute(
            "select h.model_version, min(h.as_of) from control.score_history as h "
            "join control.model_champions as c using (model, model_version) "
            "where h.model = ? and h.as_of < cast(? as date) group by all",
            [model.name, settings.as_of],
        ).fetchone()
        if begun is None:
            continue
        version, since = begun
        before, now = (
            frame(
                con,
                "select score from control.score_history where model = ? and as_of = ? "
                "and model_version = ? order by customer_key",
                [model.name, day, version],
            )["score"]
            for day in (since, settings.as_of)
        )
        if before.empty or now.empty:
            continue
        index = population_stability_index(before, now)
        rows.append((model.name, version, since, settings.as_of, index, reading(index)))
    for row in rows:
        con.execute("insert into control.model_drift values (?, ?, ?, ?, ?, ?)", list(row))
    return pd.DataFrame(
        rows,
        columns=[
            "model", "model_version", "compared_from", "compared_to",
            "population_stability_index", "reading",
        ],
    )  # fmt: skip


def concerns(card: pd.DataFrame, drift: pd.DataFrame) -> list[str]:
    """Return a sentence for each model that should be trained anew, newest grade of each only."""
    found = []
    if not card.empty:
        newest = card.loc[card["as_of"] == card.groupby("model")["as_of"].transform("max")]
        off = newest.loc[(newest["metric"] == "is_off") & (newest["value"] == 1)]
        found += [
            f"{row.model} {row.model_version}: what happened after {row.as_of:%Y-%m-%d} is outside "
            "of what it predicted"
            for row in off.itertuples()
        ]
    if not drift.empty:
        found += [
            f"{row.model} {row.model_version}: its scores have moved since {row.compared_from} "
            f"(population stability index {row.population_stability_index:.2f})"
            for row in drift.loc[drift["reading"] == "drifted"].itertuples()
        ]
    return found
