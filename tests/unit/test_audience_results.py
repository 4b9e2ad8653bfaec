"""What is read of an audience's people: windows, what was known before, what an offer brought."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
import pandas as pd
import pytest

from crm_pipeline.activation.ledger import ASSIGNMENT_COLUMNS
from crm_pipeline.defs.modelling.analyses import audience_results, next_offer
from crm_pipeline.defs.modelling.store import RunSettings, replace_table

MANIFEST = {
    "nodes": {
        name: {
            "name": name, "resource_type": "model", "columns": columns,
            "config": {
                "meta": {
                    "audience": {
                        "holdout_share": 0.5,
                        "outcome": {"metric": metric, "days": days, "smallest_effect": effect},
                    }
                }
            },
        }
        for name, columns, metric, days, effect in (
            ("audience_winback", {}, "conversion", 30, 0.05),
            ("audience_birthday", {}, "conversion", 7, 0.05),
            ("audience_next_offer", {"expected_gain_amount": {}}, "net_amount", 30, 2),
        )
    }
    | {
        "audience_advertising": {
            "name": "audience_advertising", "resource_type": "model", "columns": {},
            "config": {"meta": {"audience": {"owner": "team:marketing"}}},
        },
        "customer_360": {
            "name": "customer_360", "resource_type": "model", "columns": {},
            "config": {"meta": {"key": ["customer_key"]}},
        },
    }
}  # fmt: skip
AS_OF = date(2025, 6, 30)
SETTINGS = RunSettings(AS_OF, 90, 365, 90, 0.1)
ASSIGNED = date(2025, 5, 1)


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables that the analysis reads, as the pipeline leaves them."""
    with duckdb.connect() as con:
        for schema in ("control", "marts", "seeds", "scores"):
            con.execute(f"create schema {schema}")
        con.execute(f"create table control.audience_assignments ({ASSIGNMENT_COLUMNS})")
        con.execute(
            "create table marts.fct_orders (order_key varchar, customer_key varchar, "
            "ordered_on date, gross_amount decimal(18,2), net_amount decimal(18,2), "
            "margin_amount decimal(18,2))"
        )
        con.execute("create table marts.dim_customers (customer_key varchar)")
        con.execute("insert into marts.dim_customers values ('s:1'), ('s:2'), ('s:3')")
        con.execute("create table seeds.offers (offer varchar, margin_rate double)")
        con.execute("insert into seeds.offers values ('letter', .4)")
        yield con


def assign(con, customer, arm="treatment", audience="winback", on=ASSIGNED):
    con.execute(
        "insert into control.audience_assignments values (? || ' 1', ?, 1, ?, ?, ?)",
        [audience, audience, customer, arm, on],
    )


def order(con, customer, days, net=50, margin=None, since=ASSIGNED):
    con.execute(
        "insert into marts.fct_orders values (?, ?, ?, ?, ?, ?)",
        [f"{customer} {days}", customer, since + timedelta(days=days), net + 10, net, margin],
    )


def people(con) -> pd.DataFrame:
    designs = audience_results.designs_of(MANIFEST)
    found = audience_results.people_of(con, SETTINGS, designs)
    return found.set_index(["experiment", "customer_key"])


def test_orders_count_from_the_day_after_to_the_last_of_the_window(db):
    assign(db, "s:1")
    assign(db, "s:2", "holdout")
    assign(db, "s:2", "holdout", "birthday")
    for days in (-365, -364, 0, 1, 30, 31):
        order(db, "s:1", days)
    order(db, "s:2", 8)
    order(db, None, 5)
    found = people(db)
    one, two = found.loc[("winback 1", "s:1")], found.loc[("winback 1", "s:2")]
    assert (one["order_count"], one["net_amount"]) == (2, 100)
    # gross: what came back later was not known then
    assert (one["order_count_before"], one["gross_amount_before"]) == (2, 120)
    assert (two["order_count"], two["order_count_before"]) == (1, 0)
    assert found.loc[("birthday 1", "s:2"), "order_count"] == 0
    assert found["expected_gain_amount"].isna().all()


@pytest.mark.parametrize(("days", "is_complete"), [(30, True), (29, False), (0, False)])
def test_a_window_is_over_on_its_last_day(db, days, is_complete):
    assign(db, "s:1", on=AS_OF - timedelta(days=days))
    assert people(db)["is_complete"].tolist() == [is_complete]


def test_a_design_is_what_the_audiences_entry_states():
    found = audience_results.designs_of(MANIFEST)
    assert tuple(found.columns) == audience_results.DESIGN
    assert found.values.tolist() == [
        ["birthday", "conversion", 7, 0.5, 0.05, False],
        ["next_offer", "net_amount", 30, 0.5, 2.0, True],
        ["winback", "conversion", 30, 0.5, 0.05, False],
    ]
    assert audience_results.designs_of({"nodes": {}}).empty


def test_an_audience_that_is_no_more_has_no_people(db):
    assign(db, "s:1")
    assign(db, "s:1", audience="easter")
    assert len(people(db)) == 1


def allocate(con, *rows):
    frame = pd.DataFrame(
        [(customer, "letter", "letter", 0.1, "customer", gain, 0.85) for customer, gain in rows],
        columns=[name for name in next_offer.ALLOCATION if name != "as_of"],
    )
    replace_table(con, "offer_allocation", next_offer.ALLOCATION, frame, AS_OF)


def test_what_was_expected_is_that_of_the_day_and_stays_for_whom_it_was_sent(db):
    allocate(db, ("s:1", 3.5), ("s:2", 2.0), ("s:9", 1.0))
    earlier = RunSettings(ASSIGNED, 90, 365, 90, 0.1)
    next_offer.remember(db, earlier)
    assign(db, "s:1", audience="next_offer")
    assign(db, "s:1", audience="winback")
    allocate(db, ("s:1", 9.0), ("s:3", 2.0))
    for settings in (earlier, SETTINGS):
        next_offer.remember(db, settings)
    found = db.execute(
        "select as_of, customer_key, expected_gain_amount::double from control.offered order by all"
    ).fetchall()
    assert found == [
        (ASSIGNED, "s:1", 3.5), (AS_OF, "s:1", 9.0), (AS_OF, "s:3", 2.0),
    ]  # fmt: skip
    gains = people(db)["expected_gain_amount"]
    assert gains["next_offer 1", "s:1"] == 3.5
    assert pd.isna(gains["winback 1", "s:1"])
    db.execute("delete from marts.dim_customers where customer_key = 's:1'")
    allocate(db, ("s:3", 2.0))
    next_offer.remember(db, SETTINGS)
    left = db.execute("select customer_key from control.offered").fetchall()
    assert left == [("s:3",)]


def test_what_an_offer_brought_is_margin_less_the_contact(db):
    allocate(db, ("s:1", 3.5), ("s:2", 2.0), ("s:3", 2.0))
    next_offer.remember(db, RunSettings(ASSIGNED, 90, 365, 90, 0.1))
    for customer, arm in (("s:1", "treatment"), ("s:2", "holdout"), ("s:3", "treatment")):
        assign(db, customer, arm, "next_offer")
    order(db, "s:1", 3, net=100, margin=35)
    order(db, "s:1", 4, net=100, margin=25)
    order(db, "s:2", 3, net=100, margin=35)
    order(db, "s:2", 5, net=100)
    gains = people(db)["gain_amount"].droplevel("experiment").astype(float)
    # the holdout cost nothing; where one margin is not known, the offer's own rate
    assert gains.to_dict() == pytest.approx({"s:1": 59.15, "s:2": 80.0, "s:3": -0.85})


def test_the_table_has_its_types_also_without_an_assignment(db):
    for filled in (False, True):
        if filled:
            for number in range(40):
                assign(db, f"s:{number}", "holdout" if number % 2 else "treatment")
                order(db, f"s:{number}", number, net=20 + number)
        designs = audience_results.designs_of(MANIFEST)
        frames = {"people": audience_results.people_of(db, SETTINGS, designs), "designs": designs}
        found = audience_results.SPEC.compute(frames, SETTINGS)["audience_results"]
        written = replace_table(db, "audience_results", audience_results.TYPES, found, AS_OF)
        assert written == int(filled)
    row = db.execute("from scores.audience_results").df().iloc[0]
    assert (row["treated_count"], row["holdout_count"], row["verdict"]) == (20, 20, "too early")
    assert row["as_of"] == pd.Timestamp(AS_OF)
    assert row["effect_low"] < row["effect"] < row["effect_high"]
    assert pd.isna(row["expected_gain_amount"])
    missing = db.execute("select expected_gain_amount is null from scores.audience_results")
    assert missing.fetchone() == (True,)
