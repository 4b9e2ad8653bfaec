"""The demo company's four sources land as its truth says, and meet in the unions."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from crm_pipeline.demo import DEPARTMENTS, DemoTruth, read_truth, write_demo
from crm_pipeline.demo.profiles import EDUCATION, OCCUPATIONS, RETIRED
from crm_pipeline.settings import DEMO_COMPANY
from tests.pipeline.landed import LandedWarehouse

CUSTOMERS = 1100
"""Two blocks; enough for every kind of fault in every table."""
ENTITIES = (
    *("payments", "sessions", "inventory", "interactions", "tickets", "ticket_events"),
    *("survey_responses", "campaigns", "campaign_touches", "consents", "customer_links"),
    *("leads", "opportunities", "opportunity_stages", "owners"),
    *("adjustments", "companies", "customer_tags", "subscriptions"),
)


@pytest.fixture(scope="module")
def company(tmp_path_factory) -> tuple[LandedWarehouse, DemoTruth]:
    home = tmp_path_factory.mktemp("company")
    inboxes = {name: home / "inbox" / name for name in DEPARTMENTS}
    write_demo(home / "inbox" / "demo", home / "truth", customers=CUSTOMERS, departments=inboxes)
    for file in (home / "inbox").rglob("*.*"):
        os.utime(file, (1, 1))
    warehouse = LandedWarehouse(Path(home), sources=DEMO_COMPANY)
    landed = [asdict(outcome) for outcome in warehouse.land().files]
    with warehouse.connection() as db:
        db.register("outcomes", pd.DataFrame(landed).drop(columns=["message"]))
        db.execute("create schema told")
        db.execute("create table told.outcomes as from outcomes")
    warehouse.settle()
    warehouse.run(*(f"+int_{entity}__unioned" for entity in (*ENTITIES, "orders", "customers")))
    return warehouse, read_truth(home / "truth")


def rows_of(warehouse: LandedWarehouse, entity: str, columns: str = "*") -> pd.DataFrame:
    return warehouse.frame(f"select {columns} from intermediate.int_{entity}__unioned")


def test_what_landed_and_what_was_set_aside_is_the_generators_own_account(company):
    warehouse, truth = company
    landed = warehouse.frame(
        "select source, file_name, rows_read, rows_quarantined from told.outcomes"
    )
    told = truth.files.sort_values(["source", "file_name"])
    found = landed.sort_values(["source", "file_name"])
    assert found["file_name"].tolist() == told["file_name"].tolist()
    assert found["rows_read"].tolist() == told["row_count"].tolist()
    assert found["rows_quarantined"].tolist() == told["quarantined_count"].tolist()


def test_every_entity_has_rows_and_each_key_once(company):
    warehouse, _ = company
    for entity in ENTITIES:
        if entity in ("customer_links", "companies"):
            key = "customer_key"
        elif entity == "customer_tags":
            key = "tag_key"
        else:
            kind = {"inventory": "inventory", "survey_responses": "response",
                    "opportunities": "opportunity", "campaign_touches": "touch"}  # fmt: skip
            key = kind.get(entity, entity.removesuffix("s")) + "_key"
        keys = rows_of(warehouse, entity, key)[key]
        assert len(keys) > 5, entity
        assert keys.notna().all(), entity
        assert keys.is_unique, entity


def test_rows_of_the_unions_are_the_truth_s(company):
    warehouse, truth = company
    strangers = truth.dirt.groupby("kind")["row_count"].sum()
    tickets = rows_of(warehouse, "tickets", "ticket_key, customer_key")
    assert len(tickets) == len(truth.tickets) + strangers["unknown_customer"]
    touches = rows_of(warehouse, "campaign_touches", "touch_key, customer_key")
    assert len(touches) == len(truth.touches) + strangers["erased_customer"]
    assert len(rows_of(warehouse, "payments")) == len(truth.orders)
    assert len(rows_of(warehouse, "subscriptions")) == len(truth.memberships)
    assert len(rows_of(warehouse, "opportunities")) == len(truth.opportunities)
    for frame, gone in ((tickets, "demo:K9999999"), (touches, "demo:K9999998")):
        assert (frame["customer_key"] == gone).sum() >= 1


def test_keys_meet_across_the_sources(company):
    warehouse, truth = company
    known = "demo:" + truth.customers["customer_no"]
    orders = set("demo:" + truth.orders["order_no"])
    for entity in (
        *("tickets", "interactions", "survey_responses", "campaign_touches", "consents"),
        *("customer_tags", "subscriptions"),
    ):
        keys = rows_of(warehouse, entity, "customer_key")["customer_key"]
        assert keys.isin(known).mean() > 0.9, entity
    for entity in ("tickets", "payments", "sessions"):
        keys = rows_of(warehouse, entity, "order_key")["order_key"].dropna()
        assert len(keys), entity
        assert set(keys) <= orders, entity
    links = rows_of(warehouse, "customer_links")
    assert set(links["linked_customer_key"]) <= set(known)
    firms = rows_of(warehouse, "companies")
    assert 0.3 < firms["customer_key"].isin(known).mean() < 1
    # whoever owns another firm is named as the shop knows it, too
    owners = firms["parent_customer_key"].dropna()
    assert len(owners)
    assert set(owners) <= set(firms["customer_key"])
    deals = rows_of(warehouse, "opportunities")
    assert 0.3 < deals["customer_key"].isin(known).mean() < 1
    assert set(deals["lead_key"]) <= set(rows_of(warehouse, "leads")["lead_key"])
    stages = rows_of(warehouse, "opportunity_stages")
    assert set(stages["opportunity_key"]) == set(deals["opportunity_key"])


def test_what_customers_tell_marketing_describes_the_shop_s_customers(company):
    warehouse, _ = company
    records = rows_of(warehouse, "customers")
    told = records[records["source"] == "demo_marketing"]
    shop = set(records.loc[records["source"] == "demo", "customer_key"])
    assert len(told) > 100
    assert told["customer_key"].is_unique
    assert set(told["customer_key"]) <= shop
    # in one way of writing, however typed
    assert set(told["education"].dropna()) == set(EDUCATION)
    assert set(told["occupation"].dropna()) == {*OCCUPATIONS, RETIRED}
    assert told["income_amount"].dropna().between(1_000, 500_000).all()
    for column in ("income_amount", "education", "occupation"):
        assert 0 < told[column].isna().mean() < 0.3


def test_tickets_about_goods_and_the_answers_after_them_name_the_shop_s_articles(company):
    warehouse, _ = company
    goods = set(warehouse.frame("select 'demo:' || sku as k from raw.demo__products")["k"])
    tickets = rows_of(warehouse, "tickets").set_index("ticket_key")
    about = tickets["product_key"].notna()
    assert set(tickets.loc[about, "category"]) == {"product", "return"}
    assert set(tickets.loc[about, "product_key"]) <= goods
    answers = rows_of(warehouse, "survey_responses").dropna(subset="ticket_key")
    asked = tickets.loc[answers["ticket_key"]]
    assert answers["order_key"].tolist() == asked["order_key"].tolist()
    assert answers["product_key"].equals(asked["product_key"].set_axis(answers.index))


def test_advertising_has_costs_and_no_touches_and_campaigns_bring_amounts(company):
    warehouse, _ = company
    campaigns = rows_of(warehouse, "campaigns").set_index("campaign_key")
    adverts = campaigns.index[campaigns["purpose"] == "acquisition"]
    channels = rows_of(warehouse, "customers")["acquisition_channel"].dropna()
    assert set(campaigns.loc[adverts, "channel"]) == set(channels)
    assert (campaigns.loc[adverts, "cost_amount"] > 0).all()
    touches = rows_of(warehouse, "campaign_touches")
    assert set(touches["campaign_key"]) == set(campaigns.index) - set(adverts)
    assert (touches["response_amount"].notna() == touches["is_converted"]).all()
    assert (touches["response_amount"].dropna() > 0).all()


def test_a_deal_s_stages_end_as_the_deal_did(company):
    warehouse, _ = company
    deals = rows_of(warehouse, "opportunities").set_index("opportunity_key").sort_index()
    stages = rows_of(warehouse, "opportunity_stages").sort_values("entered_at")
    last = stages.groupby("opportunity_key")["stage"].last()
    assert deals["stage"].to_dict() == last.to_dict()
    assert (deals["closed_at"].isna() == deals["is_won"].isna()).all()


def test_the_newest_state_of_a_bill_a_membership_and_a_tag_counts(company):
    warehouse, truth = company
    bills = rows_of(warehouse, "payments")
    assert set(bills["status"]) == {"paid", "open", "failed"}
    assert (bills["paid_at"].notna() == (bills["status"] == "paid")).all()
    assert (bills["due_at"][bills["status"] == "open"] > "2026-05-01").all()
    running = rows_of(warehouse, "subscriptions")["ended_at"].isna()
    assert running.sum() == truth.memberships["ended_at"].isna().sum()
    tags = rows_of(warehouse, "customer_tags")
    assert set(tags["tag"]) == {"complained", "at risk", "handle with care", "prefers phone"}
    assert 0.1 < tags["untagged_at"].notna().mean() < 0.6


def test_adjustments_are_bad_debts_and_corrections_of_the_stock(company):
    warehouse, _ = company
    entries = rows_of(warehouse, "adjustments").set_index("document_key")
    debts = entries[entries["reason"] == "bad debt"]
    bills = rows_of(warehouse, "payments").set_index("order_key")
    assert (bills.loc[debts.index, "status"] == "failed").all()
    assert (-debts["adjusted_amount"] <= bills.loc[debts.index, "payment_amount"]).all()
    others = entries[entries["reason"] != "bad debt"]
    counts = rows_of(warehouse, "inventory")["inventory_key"]
    assert set(others.index) <= set(counts)
    assert ((others["quantity"] > 0) == (others["adjusted_amount"] > 0)).all()
    # what landing's own control total says, duplicates and faulty rows aside
    total = warehouse.value("select sum(booked_amount) from raw.demo__adjustments")
    facts = "select sum(adjusted_amount) from intermediate.int_adjustments__unioned"
    assert warehouse.value(facts) == total < 0


def test_what_stands_for_comments_is_their_scores_and_for_addresses_a_token(company):
    warehouse, _ = company
    answers = rows_of(warehouse, "survey_responses")
    written = answers.dropna(subset="comment_language")
    # a short one may be told as neither
    shares = written["comment_language"].value_counts(normalize=True)
    assert shares["en"] > 0.5
    assert shares["zh"] > 0.15
    share = (answers["score"] - answers["lowest_score"]) / (
        answers["highest_score"] - answers["lowest_score"]
    )
    english = written["comment_language"] == "en"
    assert written["comment_sentiment"][english].corr(share.loc[written.index][english]) > 0.4
    tokens = warehouse.frame(
        "select requester_email_token, customer_no from raw.demo_desk__tickets"
    )
    one = tokens[tokens["customer_no"] != "K9999999"].groupby("customer_no")
    assert (one["requester_email_token"].nunique() == 1).all()
