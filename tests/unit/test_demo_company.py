"""Help desk, marketing and sales of the demo company: same bytes, and causes as promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crm_pipeline.dbt_command import PROJECT
from crm_pipeline.demo import DEPARTMENTS, DemoCompany, write_demo
from crm_pipeline.demo.advertising import COST_PER_CUSTOMER
from crm_pipeline.demo.catalogue import CHANNELS
from crm_pipeline.demo.firms import INDUSTRIES
from crm_pipeline.demo.marketing import CONTROL_RATE, WINDOW_DAYS
from crm_pipeline.demo.profiles import EDUCATION
from crm_pipeline.demo.service import dropout_probability, satisfaction

SIZE = 20_000


@pytest.fixture(scope="module")
def truths() -> dict[str, pd.DataFrame]:
    company = DemoCompany(customers=SIZE)
    blocks = [company.block(number) for number in range(company.block_count)]
    frames = {
        name: pa.concat_tables([block.truths[name] for block in blocks]).to_pandas()
        for name in blocks[0].truths
    }
    answers = [block.tables["survey_responses"] for block in blocks]
    frames["answers"] = pa.concat_tables(answers).to_pandas()
    frames["sessions"] = pa.concat_tables([b.tables["sessions"] for b in blocks[:3]]).to_pandas()
    for name in ("payments", "adjustments", "returns"):
        frames[name] = pa.concat_tables([b.tables[name] for b in blocks[:3]]).to_pandas()
    for name in ("accounts", "customer_tags", "memberships", "campaign_touches"):
        frames[f"{name}_sent"] = pa.concat_tables([b.tables[name] for b in blocks]).to_pandas()
    frames["records"] = pa.concat_tables([b.tables["customers"] for b in blocks]).to_pandas()
    frames["profiles"] = pa.concat_tables([b.tables["profiles"] for b in blocks]).to_pandas()
    frames["tickets_sent"] = pa.concat_tables([b.tables["tickets"] for b in blocks[:3]]).to_pandas()
    items = pa.concat_tables([b.tables["order_items"] for b in blocks[:3]])
    frames["order_items"] = items.select(["order_no", "sku"]).to_pandas()
    frames["campaigns"] = company.small_tables()["campaigns"].to_pandas()
    frames["stock"] = company.small_tables()["adjustments"].to_pandas()
    frames["counts"] = company.small_tables()["inventory"].to_pandas()
    return frames


def written(folder: Path, *, departments: bool) -> dict[str, bytes]:
    write_demo(
        folder / "demo",
        folder / "truth",
        customers=1100,
        departments={name: folder / name for name in DEPARTMENTS} if departments else None,
    )
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.*"))
    }


def test_same_arguments_same_bytes_and_the_shop_does_not_know_the_others(tmp_path):
    one = written(tmp_path / "one", departments=True)
    two = written(tmp_path / "two", departments=True)
    assert one == two
    assert {name.split("/")[0] for name in one} == {"demo", "truth", *DEPARTMENTS}
    alone = written(tmp_path / "alone", departments=False)
    shop = {name: content for name, content in one.items() if name.startswith("demo/")}
    assert {n: c for n, c in alone.items() if n.startswith("demo/")} == shop


def test_service_is_worse_the_longer_it_takes_and_the_more_goes_wrong():
    hours = np.array([0.1, 2.0, 24.0, 80.0])
    nothing = np.zeros(4, dtype=bool)
    calm = satisfaction(hours, nothing, nothing)
    assert (np.diff(calm) < 0).all()
    assert (satisfaction(hours, ~nothing, nothing)[:3] < calm[:3]).all()
    assert (np.diff(dropout_probability(np.array([1.0, 2, 3, 4, 5]))) < 0).all()
    assert dropout_probability(np.array([1.0]))[0] > 0.5


def test_bad_service_lowers_the_score_and_raises_dropout(truths):
    tickets = truths["tickets"]
    answers = truths["answers"].dropna(subset="ticket_no").merge(tickets, on="ticket_no")
    slow = answers["response_hours"] > 24
    assert answers.loc[slow, "score"].mean() < answers.loc[~slow, "score"].mean() - 0.7
    angry = answers["is_complaint"]
    assert answers.loc[angry, "score"].mean() < answers.loc[~angry, "score"].mean() - 0.4

    by_score = answers.groupby("score")["made_leave"].mean()
    assert by_score.loc[1] > 4 * by_score.loc[5]
    left = tickets["made_leave"].mean()
    assert left == pytest.approx(tickets["dropout_probability"].mean(), abs=0.006)


def test_who_left_over_service_buys_no_more(truths):
    tickets, orders = truths["tickets"], truths["orders"]
    left = tickets[tickets["made_leave"]].groupby("customer_no")["closed_at"].min()
    last = orders.groupby("customer_no")["ordered_at"].max()
    both = pd.concat({"left": left, "last": last}, axis=1, join="inner")
    assert len(both) > 100
    assert (both["last"] <= both["left"]).all()
    own = truths["customers"].set_index("customer_no")["left_over_service"]
    assert own[left.index].all()


def test_campaigns_raise_purchases_as_much_as_the_control_group_tells(truths):
    """Intention to treat: the difference of the arms is the mean effect on those still alive."""
    touches = truths["touches"]
    share = touches["is_control"].mean()
    assert share == pytest.approx(CONTROL_RATE, abs=0.01)
    orders = truths["orders"].dropna(subset="customer_no")
    placed = touches[["touch_no", "customer_no", "touched_at"]].merge(
        orders[["customer_no", "ordered_at"]], on="customer_no"
    )
    days = (placed["ordered_at"] - placed["touched_at"]).dt.total_seconds() / 86_400
    counts = placed[(days > 0) & (days <= WINDOW_DAYS)].groupby("touch_no").size()
    count = touches["touch_no"].map(counts).fillna(0)
    treated, control = count[~touches["is_control"]], count[touches["is_control"]]
    difference = treated.mean() - control.mean()
    error = np.sqrt(treated.var() / len(treated) + control.var() / len(control))
    truth = touches.loc[~touches["is_control"], "caused_order"].mean()
    assert truth > 4 * error
    assert abs(difference - truth) < 3 * error
    assert not touches.loc[touches["is_control"], "caused_order"].any()


def test_the_truth_knows_what_each_would_have_done_without_the_campaign(truths):
    """Treated buy if moved or anyway, those held back if anyway: what is delivered says so."""
    touches = truths["touches"]
    treated = ~touches["is_control"]
    sent = truths["campaign_touches_sent"].set_index("touch_no")["is_converted"]
    bought = touches["buys_anyway"] | (touches["would_order"] & treated)
    assert (bought.to_numpy() == sent[touches["touch_no"]].to_numpy()).all()
    assert (touches["caused_order"] == touches["would_order"] & treated).all()
    held = touches[~treated]
    assert 0 < held["would_order"].mean() < held["effect"].mean()
    assert held["would_order"].mean() == pytest.approx(
        touches.loc[treated, "caused_order"].mean(), abs=0.03
    )


def test_what_touches_say_was_spent_is_what_the_orders_came_to(truths):
    sent = truths["campaign_touches_sent"]
    orders = truths["orders"].dropna(subset="customer_no")
    placed = sent[["touch_no", "customer_no", "touched_at"]].merge(
        orders[["customer_no", "ordered_at", "amount"]], on="customer_no"
    )
    days = (placed["ordered_at"] - placed["touched_at"]).dt.total_seconds() / 86_400
    within = placed[(days > 0) & (days <= WINDOW_DAYS)]
    spent = within.groupby("touch_no")["amount"].sum().reindex(sent["touch_no"])
    told = sent.set_index("touch_no")["order_amount"]
    assert (told.isna().to_numpy() == ~sent["is_converted"].to_numpy()).all()
    assert told.dropna().to_dict() == spent.dropna().to_dict()


def test_advertising_costs_what_the_customers_expected_through_a_channel_are_worth_to_it(truths):
    adverts = truths["campaigns"].query("purpose == 'acquisition'")
    assert len(adverts) == 24 * len(CHANNELS)
    assert not adverts["is_experiment"].any()
    assert set(adverts["campaign_no"]).isdisjoint(truths["touches"]["campaign_no"])
    first = truths["orders"].dropna(subset="customer_no").groupby("customer_no")["ordered_on"].min()
    channel = truths["records"].drop_duplicates("customer_no").set_index("customer_no")
    won = first.to_frame().join(channel["acquisition_channel"], how="inner")
    count = won.groupby("acquisition_channel").size()
    cost = adverts["cost_amount"].astype(float).groupby(adverts["channel"]).sum() / count
    for name, price in COST_PER_CUSTOMER.items():
        assert cost[name] == pytest.approx(price, rel=0.12), name
    by_month = adverts["cost_amount"].astype(float).groupby(adverts["started_at"]).sum()
    months = pd.to_datetime(won["ordered_on"]).dt.to_period("M").value_counts().sort_index()
    assert np.corrcoef(by_month.sort_index(), months)[0, 1] > 0.7


def test_some_tell_of_themselves_and_income_goes_with_schooling(truths):
    told = truths["profiles"]
    assert told["customer_no"].is_unique
    assert 0.25 < len(told) / len(truths["records"]["customer_no"].unique()) < 0.4
    for column in ("income", "education", "occupation"):
        assert 0.02 < told[column].isna().mean() < 0.25
    school = told["education"].str.strip().str.lower()
    income = told["income"].astype(float).groupby(school).median()
    assert (np.diff(income[list(EDUCATION)]) > 0).all()
    assert school.nunique() < told["education"].nunique()
    segment = truths["customers"].set_index("customer_no")["segment"]
    mean = told["income"].astype(float).groupby(told["customer_no"].map(segment)).mean()
    assert mean.max() < 1.05 * mean.min()


def test_a_ticket_about_goods_names_an_article_of_its_order(truths):
    tickets, items = truths["tickets_sent"], truths["order_items"]
    about = tickets["sku"].notna()
    assert (about == tickets["category"].isin(["product", "return"])).all()
    lines = set(zip(items["order_no"], items["sku"], strict=True))
    named = tickets[about & tickets["order_no"].isin(items["order_no"])]
    assert len(named) > 100
    assert set(zip(named["order_no"], named["sku"], strict=True)) <= lines
    answers = truths["answers"].dropna(subset="ticket_no")
    both = answers.merge(tickets, on="ticket_no", suffixes=("", "_asked"))
    assert (both["order_no"] == both["order_no_asked"]).all()
    assert both["sku"].equals(both["sku_asked"])


def test_the_effect_differs_from_customer_to_customer_as_the_truth_says(truths):
    touches = truths["touches"]
    treated = touches[~touches["is_control"]]
    thirds = pd.qcut(treated["effect"].rank(method="first"), 3, labels=False)
    caused = treated.groupby(thirds)["caused_order"].mean()
    promised = treated.groupby(thirds)["effect"].mean()
    assert caused.loc[2] > 2 * caused.loc[0] > 0
    # whoever has dropped out does not respond
    assert (caused < promised).all()


def test_a_deal_is_won_as_often_as_its_probability_says(truths):
    deals = truths["opportunities"].dropna(subset="is_won")
    high = deals["win_probability"] > deals["win_probability"].median()
    won = deals["is_won"].astype(float)
    assert won[high].mean() > won[~high].mean() + 0.1
    # those decided by the end lean to the lost ones, which are decided sooner
    assert won.mean() == pytest.approx(deals["win_probability"].mean(), abs=0.08)
    by_owner = won.groupby(deals["owner_no"]).mean()
    assert by_owner[["V10", "V11", "V12"]].mean() > by_owner[["V01", "V02", "V03"]].mean() + 0.1


def test_sessions_precede_orders_through_a_funnel(truths):
    sessions = truths["sessions"]
    bought = sessions["order_no"].notna()
    assert 0.2 < bought.mean() < 0.5
    assert sessions["has_cart"].sum() > sessions["has_checkout"].sum() > bought.sum()
    assert sessions.loc[bought, "has_checkout"].all()
    at = truths["orders"].set_index("order_no")["ordered_at"]
    begun = sessions[bought].set_index("order_no")["started_at"]
    waited = at[begun.index] - begun
    assert waited.min() > pd.Timedelta(0)
    assert waited.max() < pd.Timedelta(hours=1)


def test_who_pays_late_is_a_matter_of_the_customer(truths):
    last = truths["payments"].groupby("payment_no").tail(1)
    payments = last.merge(truths["customers"][["customer_no", "payer"]])
    invoiced = payments[payments["method"] == "invoice"].dropna(subset="paid_at")
    late = (invoiced["paid_at"] > invoiced["due_at"]).groupby(invoiced["payer"]).mean()
    assert late["punctual"] < 0.1 < 0.4 < late["late"] < late["bad"]
    failed = (payments["status"] == "failed").groupby(payments["payer"]).mean()
    assert failed["punctual"] < 0.02 < 0.15 < failed["bad"]


def test_a_bill_appears_when_it_is_made_and_when_it_is_settled(truths):
    states = truths["payments"]
    on_account = states["method"].isin(["invoice", "direct_debit"])
    first = states.groupby("payment_no").head(1)
    assert (first["status"][on_account] == "open").all()
    assert (first["changed_at"] - first["billed_at"]).max() <= pd.Timedelta(minutes=1)
    assert states[~on_account].groupby("payment_no").size().max() == 1
    lives = set(states.groupby("payment_no")["status"].agg(" ".join))
    assert lives == {"paid", "failed", "open", "open paid", "open failed"}


def test_the_newest_month_of_bills_is_like_the_others(truths):
    """What a month's rows say does not depend on how near the end it is."""
    states = truths["payments"]
    month = states["changed_at"].dt.to_period("M")
    shares = pd.crosstab(month, states["status"], normalize="index")
    settled = shares.iloc[3:]
    assert len(settled) > 15
    assert (settled.max() - settled.min() < 0.08).all(), settled
    visits = truths["sessions"].groupby(truths["sessions"]["started_at"].dt.date).size()
    usual = visits.iloc[-60:-14]
    assert visits.iloc[-7:].mean() > usual.mean() - 3 * usual.std() / np.sqrt(7)


def test_a_bad_debt_is_what_nobody_paid_and_nobody_brought_back(truths):
    debts = truths["adjustments"].set_index("document_no")
    assert len(debts) > 50
    bills = truths["payments"].groupby("order_no").tail(1).set_index("order_no").loc[debts.index]
    assert (bills["status"] == "failed").all()
    assert (debts["adjusted_at"] - bills["changed_at"]).min() > pd.Timedelta(days=44)
    back = truths["returns"].dropna(subset="order_no").groupby("order_no")["amount"].sum()
    back = back.reindex(debts.index).fillna(0).astype(float)
    owed = bills["amount"].astype(float) - back
    assert (debts["booked_amount"].astype(float) + owed).abs().max() < 1e-6
    assert (back > 0).any()


def test_the_books_are_corrected_to_the_counts(truths):
    entries = truths["stock"].merge(
        truths["counts"], left_on="document_no", right_on="count_no", suffixes=("", "_counted")
    )
    assert 0 < len(entries) == len(truths["stock"])
    assert (entries["sku"] == entries["sku_counted"]).all()
    days = (entries["adjusted_at"] - entries["counted_at"]).dt.total_seconds() / 86_400
    assert days.between(0, 1).all()
    assert 0.7 < (entries["quantity"] < 0).mean() < 0.9
    assert ((entries["booked_amount"] < 0) == (entries["quantity"] < 0)).all()


def test_a_minority_are_members_and_bad_service_or_idleness_makes_them_give_up(truths):
    members, customers = truths["memberships"], truths["customers"]
    assert members["customer_no"].is_unique
    assert 0.10 < len(members) / len(customers) < 0.20
    orders = truths["orders"].dropna(subset="customer_no")
    joined = members.merge(orders, on="customer_no")
    before = joined[joined["ordered_at"] < joined["started_at"]]
    assert (before.groupby("customer_no").size() >= 2).all()
    assert before["customer_no"].nunique() == len(members)
    # what was to be expected at all ends of terms came about
    gave_up = members["ended_at"].notna()
    error = np.sqrt(members["cancel_hazard"].sum())
    assert abs(gave_up.sum() - members["cancel_hazard"].sum()) < 3 * error
    asked = members.dropna(subset="cancel_probability")
    assert asked["cancel_probability"].max() > 4 * asked["cancel_probability"].min()
    ended = members.dropna(subset="ended_at")
    placed = joined[joined["membership_no"].isin(ended["membership_no"])]
    days = (placed["ended_at"] - placed["ordered_at"]).dt.total_seconds() / 86_400
    buying = ended["membership_no"].isin(placed.loc[(days > 0) & (days <= 90), "membership_no"])
    idle = ended["cancel_probability"][~buying.to_numpy()]
    assert idle.min() > ended["cancel_probability"][buying.to_numpy()].min() + 0.15


def test_the_log_of_memberships_charges_a_term_at_a_time(truths):
    rows = truths["memberships_sent"]
    last = rows.groupby("membership_no").tail(1).set_index("membership_no")
    assert last["ended_at"].notna().sum() == truths["memberships"]["ended_at"].notna().sum()
    assert set(last["term_months"]) == {3, 12}
    terms = (last["charged_amount"] / last["monthly_price"]).astype(float) / last["term_months"]
    assert terms.max() > 4
    # whoever goes on has paid for the term that has begun
    over = last["months"] / last["term_months"]
    assert (terms == over + last["ended_at"].isna()).all()


def test_a_membership_tells_nothing_of_the_process_that_orders_and_tickets_do_not(truths):
    """The oracle does not know of it: among those who have dropped out, unseen, as many give up as
    their orders and tickets say."""
    own = truths["customers"].set_index("customer_no")
    members = truths["memberships"]
    start = pd.Timestamp(DemoCompany().calendar.start)
    joined = (members["started_at"] - start).dt.total_seconds().to_numpy() / 86_400
    dropped = own.loc[members["customer_no"], "dropout_time"].to_numpy() < joined + 120
    surplus = members["ended_at"].notna() - members["cancel_hazard"]
    for side in (dropped, ~dropped):
        assert side.sum() > 200
        assert abs(surplus[side].sum()) < 3 * np.sqrt(members["cancel_hazard"][side].sum())


def test_tags_follow_from_tickets(truths):
    rows, tickets = truths["customer_tags_sent"], truths["tickets"]
    rows = rows.assign(tag=rows["tag"].str.strip().str.lower())
    given = rows.groupby("tag_no").head(1)
    assert (given["untagged_at"].isna() & (given["changed_at"] == given["tagged_at"])).all()
    taken = rows.groupby("tag_no").tail(1)["untagged_at"].notna().mean()
    assert 0.2 < taken < 0.45
    both = given.merge(tickets, left_on=["customer_no", "tagged_at"],
                       right_on=["customer_no", "closed_at"])  # fmt: skip
    assert len(both) >= len(given)
    assert both.loc[both["tag"] == "complained", "is_complaint"].all()
    assert both.loc[both["tag"] == "handle with care", "is_reopened"].all()
    assert (both.loc[both["tag"] == "at risk", "satisfaction"] < 2).all()
    assert rows["tag"].nunique() == 4 < truths["customer_tags_sent"]["tag"].nunique()


def test_firms_are_as_large_as_their_accounts_say(truths):
    firms = truths["accounts_sent"]
    people = firms.groupby("size")["employee_count"].agg(["min", "max"])
    assert people.loc["small", "max"] < 50 <= people.loc["medium", "min"]
    assert people.loc["medium", "max"] < 250 <= people.loc["large", "min"]
    assert 0.03 < firms["revenue_thousands"].isna().mean() < 0.15
    owned = firms.dropna(subset="parent_account_no")
    size = firms.set_index("account_no")["size"]
    assert (size[owned["parent_account_no"]] == "large").all()
    misspelt = (firms["industry"] == "hospitalty").sum()
    assert 0 < misspelt < 0.2 * (firms["industry"] == "hospitality").sum()
    assert set(firms["industry"]) - {"hospitalty"} == set(INDUSTRIES)


def test_comments_reflect_the_score_and_some_name_people(truths):
    answers = truths["answers"].dropna(subset="comment")
    csat = answers[answers["survey"] == "csat"]
    pleased = csat["comment"].str.contains("Very friendly|Excellent|Great|满意|谢谢")
    assert pleased[csat["score"] >= 4].all()
    assert not pleased[csat["score"] <= 2].any()
    assert 0.05 < answers["comment"].str.contains("@example.com").mean() < 0.2
    assert answers["comment"].str.contains("电话").any()


def test_the_experiments_plan_is_the_lot_that_is_drawn():
    """Other shares would be told as a lot that did not work, and no effect would be trusted."""
    designs = pd.read_csv(PROJECT / "seeds/experiment_designs.csv").query(
        "source == 'demo_marketing'"
    )
    shares = designs.set_index("arm")["planned_share"]
    assert shares.to_dict() == pytest.approx({"control": CONTROL_RATE, "treated": 1 - CONTROL_RATE})
