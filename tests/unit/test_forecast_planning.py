"""Agents and stock: formulas against published examples, simulations and odd data."""

from __future__ import annotations

import heapq

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ml.forecast.planning.erlang import agents_needed, erlang_b, erlang_c, staffing
from ml.forecast.planning.reorder import COLUMNS, demand_quantile, plan_reorders
from ml.forecast.planning.staffing import hourly_rates, plan_agents

AS_OF = "2025-03-30"
TARGETS = pd.DataFrame(
    [("phone", 0.8, 20.0, 300.0, 0.85, 0.3), ("chat", 0.8, 60.0, 480.0, 1.0, 0.0)],
    columns=["channel", "target_rate", "target_seconds", "handling_seconds", "max_occupancy_rate",
             "shrinkage_rate"],
)  # fmt: skip
NO_DURATIONS = pd.DataFrame(
    {"channel": [], "date_on": [], "timed_count": [], "duration_seconds": []}
)


def test_erlang_b_is_that_of_the_tables():
    """Table of Erlang B: 5 lines at 2.2185 erlangs block 5 %, 10 at 4.4612 block 1 %, 20 at 12.031
    block 1 % (Cooper 1981, and any traffic table)."""
    assert erlang_b(5, 2.2185) == pytest.approx(0.05, abs=2e-5)
    assert erlang_b(10, 4.4612) == pytest.approx(0.01, abs=2e-6)
    assert erlang_b(20, 12.031) == pytest.approx(0.01, abs=2e-5)


def test_erlang_c_is_that_of_the_textbook():
    """One server waits with probability a; two with a^2 / (2 + a) (any queueing text)."""
    for load in (0.1, 0.5, 0.9):
        assert erlang_c(1, load) == pytest.approx(load)
        assert erlang_c(2, 2 * load) == pytest.approx((2 * load) ** 2 / (2 + 2 * load))
    assert erlang_c(3, 3.0) == 1.0
    assert erlang_c(0, 0.0) == 0.0


def test_the_call_centre_s_worked_example():
    """100 calls in half an hour of 180 s, 80 % within 20 s: 10 erlangs, 14 agents, of whom 17.41 %
    let wait, 88.84 % answered in time, 7.8 s to answer, 71.4 % busy (callcentrehelper.com, Erlang C
    by hand)."""
    found = agents_needed(200, 180, 0.80, 20)
    assert found.agents == 14
    assert found.waiting_rate == pytest.approx(0.1741, abs=5e-5)
    assert found.service_rate == pytest.approx(0.8884, abs=5e-5)
    assert found.mean_wait_seconds == pytest.approx(7.84, abs=0.01)
    assert found.occupancy_rate == pytest.approx(10 / 14)
    assert staffing(13, 200, 180, 20).service_rate < 0.80


def test_a_simulated_queue_waits_as_the_formula_says():
    rng = np.random.default_rng(0)
    rate, handling, agents, size = 120.0, 180.0, 8, 60_000
    arrivals = np.cumsum(rng.exponential(3600 / rate, size))
    talk = rng.exponential(handling, size)
    free = [0.0] * agents
    waits = np.empty(size)
    for i in range(size):
        start = max(arrivals[i], heapq.heappop(free))
        waits[i] = start - arrivals[i]
        heapq.heappush(free, start + talk[i])
    said = staffing(agents, rate, handling, 20)
    assert (waits > 0).mean() == pytest.approx(said.waiting_rate, abs=0.025)
    assert (waits <= 20).mean() == pytest.approx(said.service_rate, abs=0.025)
    assert waits.mean() == pytest.approx(said.mean_wait_seconds, rel=0.15)


def test_more_load_never_needs_fewer_and_nobody_calling_needs_none():
    needed = [agents_needed(rate, 300, 0.8, 20).agents for rate in range(0, 200, 5)]
    assert needed[0] == 0
    assert needed == sorted(needed)
    busy = agents_needed(1000, 300, 0.8, 20, 0.75)
    assert busy.occupancy_rate <= 0.75
    assert busy.agents > agents_needed(1000, 300, 0.8, 20).agents
    assert staffing(2, 100, 300, 20).service_rate == 0


@pytest.mark.parametrize("wrong", [(0, 20, 1), (1, 20, 1), (0.8, -1, 1), (0.8, 20, 0)])
def test_targets_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=r"target|occupancy"):
        agents_needed(10, 300, wrong[0], wrong[1], wrong[2])


def _contacts(weeks=10, rate=6.0, channel="phone", seed=0):
    rng = np.random.default_rng(seed)
    days = pd.date_range("2025-03-30", periods=7 * weeks, freq="-1D")
    rows = [(channel, day, hour, rng.poisson(rate * (2 if hour == 10 else 1)))
            for day in days if day.weekday() < 5 for hour in range(9, 17)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["channel", "date_on", "hour_of_day", "contact_count"])
    return frame[frame["contact_count"] > 0]


def test_every_hour_of_the_week_has_its_agents():
    plan = plan_agents(_contacts(), NO_DURATIONS, TARGETS, AS_OF)
    assert len(plan) == 168
    assert set(plan["status"]) == {"scored"}
    hours = plan.set_index(["weekday", "hour_of_day"])
    assert hours.loc[(2, 10), "contacts_per_hour"] == pytest.approx(12, abs=2)
    assert hours.loc[(2, 11), "contacts_per_hour"] == pytest.approx(6, abs=1.5)
    assert hours.loc[(6, 10), "agents_needed"] == 0
    assert hours.loc[(2, 10), "scheduled_agents"] > hours.loc[(2, 10), "agents_needed"]
    assert (plan["busy_agents_needed"] >= plan["agents_needed"]).all()
    assert (plan["expected_service_rate"] >= plan["target_rate"]).all()


def test_durations_of_the_source_stand_for_the_seed_s_once_there_are_enough():
    durations = pd.DataFrame(
        {"channel": ["phone"], "date_on": ["2025-03-20"], "timed_count": [40],
         "duration_seconds": [40 * 500]}
    )  # fmt: skip
    plan = plan_agents(_contacts(), durations, TARGETS, AS_OF)
    assert set(plan["handling_seconds"]) == {500.0}
    few = durations.assign(timed_count=3, duration_seconds=30)
    assert set(plan_agents(_contacts(), few, TARGETS, AS_OF)["handling_seconds"]) == {300.0}


def test_contacts_after_the_day_change_nothing():
    later = _contacts(seed=9).assign(date_on=pd.Timestamp("2025-04-01"), contact_count=99)
    both = pd.concat([_contacts(), later])
    plan = plan_agents(both, NO_DURATIONS, TARGETS, AS_OF)
    pd.testing.assert_frame_equal(plan, plan_agents(_contacts(), NO_DURATIONS, TARGETS, AS_OF))


@pytest.mark.parametrize("hours", [_contacts(weeks=2), _contacts().head(2)])
def test_too_few_contacts_abstain(hours):
    plan = plan_agents(hours, NO_DURATIONS, TARGETS, AS_OF)
    assert plan["status"].tolist() == ["too_little_data"]
    assert plan["agents_needed"].isna().all()


def test_no_contacts_and_unplanned_channels_give_no_rows():
    assert plan_agents(_contacts().head(0), NO_DURATIONS, TARGETS, AS_OF).empty
    assert plan_agents(_contacts(channel="fax"), NO_DURATIONS, TARGETS, AS_OF).empty


def test_hourly_rates_are_drawn_towards_weekday_and_hour():
    rng = np.random.default_rng(1)
    truth = np.outer(np.linspace(0.5, 1.5, 7), np.linspace(0, 4, 24))
    counts = rng.poisson(truth * 5).astype(float)
    rates, _ = hourly_rates(counts, 5)
    raw = np.abs(counts / 5 - truth).mean()
    assert np.abs(rates - truth).mean() < 0.6 * raw
    assert hourly_rates(np.zeros((7, 24)), 5)[0].sum() == 0
    one = np.zeros((7, 24))
    one[2, 3] = 50
    assert hourly_rates(one, 5)[0][2, 3] == pytest.approx(10)


LEVELS = pd.DataFrame(
    {"product_key": ["s:a", "s:b", "s:c"], "counted_on": ["2025-03-20"] * 3,
     "on_hand_quantity": [500.0, 3.0, 5.0], "on_order_quantity": [0.0, 0.0, np.nan],
     "lead_time_days": [7.0, np.nan, 10.0]}
)  # fmt: skip
PRODUCTS = pd.DataFrame({"product_key": ["s:a", "s:b"], "category": ["tea", None]})
POLICIES = pd.DataFrame(
    [("*", 0.95, 7, 14), ("tea", 0.99, 1, 5)],
    columns=["category", "service_rate", "review_days", "lead_time_days"],
)


def _demand(days=364, seed=0):
    rng = np.random.default_rng(seed)
    on = pd.date_range("2025-03-30", periods=days, freq="-1D")
    frame = pd.concat(
        pd.DataFrame({"product_key": key, "sold_on": on, "sold_quantity": rng.poisson(rate, days)})
        for key, rate in (("s:a", 4.0), ("s:b", 0.5))
    )
    return frame[frame["sold_quantity"] > 0].astype({"sold_quantity": float})


def test_products_are_planned_by_their_policy():
    plan = plan_reorders(_demand(), LEVELS, PRODUCTS, POLICIES, AS_OF).set_index("product_key")
    assert list(plan.columns) == list(COLUMNS)[1:]
    assert plan.loc["s:a", ["lead_time_days", "review_days"]].tolist() == [7, 1]
    assert plan.loc["s:b", ["lead_time_days", "review_days"]].tolist() == [14, 7]
    assert plan.loc["s:a", "daily_units"] == pytest.approx(4, abs=0.6)
    assert plan.loc["s:a", "reorder_point_quantity"] > plan.loc["s:a", "lead_time_units"]
    assert plan.loc["s:c", "status"] == "too_little_data"
    assert np.isnan(plan.loc["s:c", "reorder_point_quantity"])
    assert [bool(v) for v in plan["is_reorder_due"][:2]] == [False, True]
    assert plan.loc["s:b", "order_quantity"] > 0
    sold = _demand().query("product_key == 's:a' and sold_on > '2025-03-20'")["sold_quantity"].sum()
    assert plan.loc["s:a", "available_quantity"] == 500 - sold


def test_the_reorder_point_keeps_its_promise():
    """Of weeks that were not seen, demand exceeds the point at most as often as promised."""
    rng = np.random.default_rng(2)
    held = []
    for seed in range(40):
        plan = plan_reorders(_demand(seed=seed), LEVELS[:2], PRODUCTS, POLICIES, AS_OF)
        for key, rate in (("s:a", 4.0), ("s:b", 0.5)):
            row = plan[plan["product_key"] == key].iloc[0]
            days = row["lead_time_days"] + row["review_days"]
            future = rng.poisson(rate * days, 200)
            held.append(((future <= row["reorder_point_quantity"]).mean(), row["service_rate"]))
    reached, promised = np.mean(held, axis=0)
    assert reached >= promised - 0.02


def test_demand_quantiles_are_those_of_the_distributions():
    points = demand_quantile(
        np.array([4.0, 4.0, 0.0]), np.array([4.0, 12.0, 1.0]), np.full(3, 0.95)
    )
    assert points[0] == stats.poisson.ppf(0.95, 4)
    assert points[1] == stats.nbinom.ppf(0.95, 2, 1 / 3)
    assert points[2] == 0


def test_sales_after_the_day_change_no_plan():
    later = _demand().assign(sold_on=pd.Timestamp("2025-04-02"), sold_quantity=99.0)
    both = plan_reorders(pd.concat([_demand(), later]), LEVELS, PRODUCTS, POLICIES, AS_OF)
    pd.testing.assert_frame_equal(both, plan_reorders(_demand(), LEVELS, PRODUCTS, POLICIES, AS_OF))


def test_empty_stock_lists_no_sales_and_a_missing_policy():
    assert plan_reorders(_demand(), LEVELS.head(0), PRODUCTS, POLICIES, AS_OF).empty
    plan = plan_reorders(_demand().head(0), LEVELS, PRODUCTS, POLICIES, AS_OF)
    assert set(plan["status"]) == {"too_little_data"}
    with pytest.raises(ValueError, match="reorder_policies"):
        plan_reorders(_demand(), LEVELS, PRODUCTS, POLICIES[1:], AS_OF)
