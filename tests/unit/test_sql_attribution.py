"""Dated touches, visits, answers and orders of one source: recounted by a second route.

No public source has touches and orders of the same customers, so a throw-away one brings them.
"""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.unit.sql_harness import SqlWarehouse, project_with_source

TEXT, AT, FLAG, MONEY = "varchar", "timestamp", "boolean", "decimal(18,2)"
TABLES = {
    "order_items": {
        "order_key": TEXT, "line_number": "integer", "source": TEXT, "customer_key": TEXT,
        "product_key": TEXT, "ordered_at": AT, "quantity": "decimal(18,3)",
        "unit_price": "decimal(18,4)", "unit_cost": "decimal(18,4)",
        "line_amount": "decimal(18,4)",
    },
    "campaigns": {
        "campaign_key": TEXT, "source": TEXT, "campaign_name": TEXT, "channel": TEXT,
        "purpose": TEXT, "started_at": AT, "ended_at": AT, "cost_amount": MONEY,
        "is_experiment": FLAG,
    },
    "campaign_touches": {
        "touch_key": TEXT, "source": TEXT, "campaign_key": TEXT, "customer_key": TEXT,
        "touched_at": AT, "channel": TEXT, "experiment_arm": TEXT, "is_control": FLAG,
        "is_opened": FLAG, "is_responded": FLAG, "is_converted": FLAG, "responded_at": AT,
        "response_amount": MONEY, "cost_amount": "decimal(18,4)",
    },
    "consents": {
        "consent_key": TEXT, "source": TEXT, "customer_key": TEXT, "channel": TEXT,
        "purpose": TEXT, "changed_at": AT, "is_granted": FLAG,
    },
    "sessions": {
        "session_key": TEXT, "source": TEXT, "customer_key": TEXT, "started_at": AT,
        "channel": TEXT, "device": TEXT, "visitor_type": TEXT, "page_count": "integer",
        "product_page_count": "integer", "duration_seconds": "decimal(18,3)",
        "bounce_rate": "double", "exit_rate": "double", "has_cart": FLAG, "has_checkout": FLAG,
        "has_order": FLAG, "order_key": TEXT,
    },
}  # fmt: skip
READ = (
    "+attribution", "+campaign_performance", "+acquisition_cost", "+session_orders",
    "+web_daily", "+web_funnel", "+customer_consents", "+fct_consents",
)  # fmt: skip
"""What these tests look at, with all that it is made of; its data tests run too."""
FIRST = pd.Timestamp("2025-01-01")


def _hours(number: float) -> pd.Timestamp:
    return FIRST + pd.Timedelta(hours=number)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a source ``desk``, whose raw tables have the entities' shapes."""
    staging, tables = {}, []
    for entity, columns in TABLES.items():
        staging[entity] = f"select {', '.join(columns)} from {{{{ source('desk', '{entity}') }}}}"
        typed = [{"name": name, "data_type": kind} for name, kind in columns.items()]
        tables.append({"name": entity, "identifier": f"desk__{entity}", "columns": typed})
    source = {"name": "desk", "schema": "raw", "tables": tables}
    sources_file = yaml.safe_dump({"version": 2, "sources": [source]})
    return project_with_source(tmp_path_factory.mktemp("project"), "desk", sources_file, staging)


def _frame(entity: str, rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([{"source": "desk", **row} for row in rows], columns=list(TABLES[entity]))


def _company() -> dict[str, pd.DataFrame]:
    """Forty customers with orders, touches, visits and answers at random hours of half a year."""
    rnd = random.Random(7)
    customers = [f"desk:{number}" for number in range(40)]
    orders = [
        {
            "order_key": f"desk:o{number}", "line_number": 1, "product_key": "desk:lamp",
            "customer_key": rnd.choice([*customers, None]), "quantity": 1, "unit_price": 1,
            "ordered_at": _hours(rnd.randrange(4000)),
            "line_amount": Decimal(rnd.randrange(100_000)) / 100,
        }
        for number in range(300)
    ]  # fmt: skip
    touches = [
        {
            "touch_key": f"desk:t{number}", "campaign_key": f"desk:c{rnd.randrange(4)}",
            "customer_key": rnd.choice([*customers, "desk:new"]),
            "touched_at": _hours(rnd.randrange(4000)),
            "channel": rnd.choice(["email", "sms", None]), "is_control": rnd.random() < 0.2,
            "is_responded": rnd.random() < 0.3, "cost_amount": Decimal("0.05"),
        }
        for number in range(900)
    ]  # fmt: skip
    sessions = [
        {
            "session_key": f"desk:s{number}", "customer_key": order["customer_key"],
            "started_at": order["ordered_at"] - pd.Timedelta(hours=rnd.randrange(36)),
            "page_count": 5, "product_page_count": 2, "has_cart": rnd.random() < 0.5,
            "has_checkout": False, "has_order": rnd.choice([None, None, False]),
            "order_key": order["order_key"] if rnd.random() < 0.3 else None,
        }
        for number, order in enumerate(orders)
    ]  # fmt: skip
    consents = [
        {
            "consent_key": f"desk:a{number}", "customer_key": rnd.choice(customers),
            "channel": rnd.choice(["email", "sms"]), "changed_at": _hours(rnd.randrange(9)),
            "is_granted": rnd.random() < 0.5,
        }
        for number in range(200)
    ]  # fmt: skip
    campaigns = [
        {"campaign_key": "desk:c0", "channel": "email", "started_at": FIRST, "cost_amount": 500},
        {"campaign_key": "desk:c1", "channel": "sms", "started_at": FIRST},
        {"campaign_key": "desk:c2"},
    ]
    entities = {
        "order_items": orders, "campaigns": campaigns, "campaign_touches": touches,
        "consents": consents, "sessions": sessions,
    }  # fmt: skip
    return {entity: _frame(entity, rows) for entity, rows in entities.items()}


@pytest.fixture(scope="module")
def company(project: Path, tmp_path_factory: pytest.TempPathFactory) -> SqlWarehouse:
    warehouse = SqlWarehouse(tmp_path_factory.mktemp("desk"), sources=("desk",), project=project)
    for entity, rows in _company().items():
        warehouse.fill(f"desk__{entity}", rows)
    warehouse.build_part(*READ)
    return warehouse


def test_models_share_out_the_same_total_to_the_cent(company: SqlWarehouse):
    rows = _company()
    orders, touches = rows["order_items"].dropna(subset="customer_key"), rows["campaign_touches"]
    channels = {"desk:c0": "email", "desk:c1": "sms"}
    expected: dict[tuple[str, str, str], Decimal] = {}
    total = Decimal(0)
    for order in orders.itertuples():
        window = touches[
            (touches.customer_key == order.customer_key)
            & ~touches.is_control.astype(bool)
            & (touches.touched_at <= order.ordered_at)
            & (touches.touched_at >= order.ordered_at - timedelta(days=30))
        ].sort_values(["touched_at", "touch_key"])
        if window.empty:
            continue
        total += order.line_amount
        cents, left = divmod(int(order.line_amount * 100), len(window))
        for place, touch in enumerate(window.itertuples()):
            own = touch.channel if isinstance(touch.channel, str) else None
            channel = own or channels.get(touch.campaign_key, "unknown")
            shares = {
                "first": order.line_amount if place == 0 else 0,
                "last": order.line_amount if place == len(window) - 1 else 0,
                "linear": Decimal(cents + (place < left)) / 100,
            }
            for model, share in shares.items():
                key = (model, touch.campaign_key, channel)
                expected[key] = expected.get(key, Decimal(0)) + share
    with company.connection() as db:
        found = {
            tuple(row[:3]): row[3]
            for row in db.execute(
                "select attribution_model, campaign_key, channel, attributed_amount "
                "from marts.attribution"
            ).fetchall()
        }
    assert found == {key: share for key, share in expected.items() if share or key in found}
    for model in ("first", "last", "linear"):
        assert sum(share for key, share in found.items() if key[0] == model) == total > 0


def test_whom_touches_visits_and_answers_name_is_a_customer(company: SqlWarehouse):
    assert company.value("select is_stub from marts.dim_customers where customer_key = 'desk:new'")
    unknown = " union all ".join(
        f"select customer_key from marts.{fact} anti join marts.dim_customers using (customer_key) "
        "where customer_key is not null"
        for fact in ("fct_campaign_touches", "fct_consents", "fct_sessions")
    )
    assert company.value(f"select count(*) from ({unknown})") == 0
    stubs = company.frame("select campaign_key, is_stub from marts.dim_campaigns order by 1")
    assert stubs.is_stub.tolist() == [False, False, False, True]


def test_costs_are_the_campaigns_own_else_those_of_touches(company: SqlWarehouse):
    costs = company.frame(
        "select campaign_key, cost_amount, touch_count from marts.campaign_performance order by 1"
    )
    assert costs.cost_amount[0] == 500
    assert (costs.cost_amount[1:] * 20).round().tolist() == costs.touch_count[1:].tolist()
    total = float(company.value("select sum(cost_amount) from marts.acquisition_cost"))
    assert total == pytest.approx(500 + costs.touch_count[1:].sum() / 20)
    assert company.value("select sum(new_customers) from marts.acquisition_cost") == 40


def test_an_order_has_one_session_and_a_session_one_order(company: SqlWarehouse):
    found = company.frame(
        """
        select count(*) as sessions, count(distinct order_key) as orders,
            count(*) filter (is_named_by_source) as named,
            count(*) filter (not is_named_by_source and not (
                placed.ordered_at >= led.started_at
                and placed.ordered_at < led.started_at + interval 1 day
                and placed.customer_key = led.customer_key)) as wrong
        from marts.session_orders as led join marts.fct_orders as placed using (order_key)
        """
    ).iloc[0]
    assert found.sessions == found.orders > found.named > 0
    assert found.wrong == 0
    # this source names orders, so a session without one had none
    assert company.value("select sum(order_sessions) from marts.web_funnel") == found.sessions
    assert company.value("select sum(order_sessions) from marts.web_daily") == found.sessions


def test_the_last_answer_holds(company: SqlWarehouse):
    consents = _company()["consents"]
    expected = {}
    for (customer, channel), answers in consents.groupby(["customer_key", "channel"]):
        last = answers[answers.changed_at == answers.changed_at.max()]
        expected[customer, channel] = bool(last.is_granted.all())
    found = company.frame("select customer_key, channel, is_granted from marts.customer_consents")
    assert {(r.customer_key, r.channel): r.is_granted for r in found.itertuples()} == expected


def test_another_window_attributes_less(company: SqlWarehouse):
    before = company.value("select sum(attributed_amount) from marts.attribution")
    company.dbt(
        "run", "--select", "int_order_touches", "attribution",
        "--vars", "{attribution_window_days: 3}",
    )  # fmt: skip
    assert company.value("select sum(attributed_amount) from marts.attribution") < before / 2
