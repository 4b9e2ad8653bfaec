"""Next offers: what an offer is expected to change, who may get it, and the limits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.allocation.offers import ROWS, SUMMARY, next_offers

OFFERS = pd.DataFrame(
    [
        ("letter", "letter", 1.0, 0.0, 0.4, 1.2, None, None),
        ("mail", "email", 0.02, 0.0, 0.4, 0.8, None, None),
        ("voucher", "email", 0.02, 0.1, 0.4, 2.0, None, None),
    ],
    columns=["offer", "channel", "cost_amount", "discount_rate", "margin_rate", "uplift_factor",
             "minimum_count", "capacity_count"],
)  # fmt: skip
NO_LIMIT = pd.DataFrame({"limit_name": [], "limit_value": []})
EFFECTS = pd.DataFrame(
    {"effect": [0.1, 0.02], "control_mean": [0.2, 0.2], "treated_count": [900, 2700],
     "control_count": [300, 900]}
)  # fmt: skip
NOBODY_REFUSED = pd.DataFrame({"customer_key": [], "channel": []})


def customers(size=400, seed=0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_key": [f"c{number:04d}" for number in range(size)],
            "uplift": rng.normal(0.05, 0.05, size),
            "order_amount": rng.gamma(2, 40, size),
            "is_marketing_allowed": True,
        }
    )


def asked(people=None, *, offers=OFFERS, limits=None, effects=EFFECTS, refusals=NOBODY_REFUSED):
    kept = NO_LIMIT
    if limits:
        kept = pd.DataFrame({"limit_name": list(limits), "limit_value": list(limits.values())})
    return next_offers(customers() if people is None else people, offers, kept, effects, refusals)


def test_the_gain_is_what_the_offer_changes_less_discount_and_contact():
    one = customers(1).assign(uplift=0.1, order_amount=100.0)
    rows, summary = asked(one)
    # letter .1 * 1.2 * 40 - 1 = 3.8; mail .1 * .8 * 40 - .02 = 3.18
    # voucher .1 * 2 * 40 - (.2 + .2) * 10 - .02 = 3.98, as orders that come anyway are discounted
    assert rows["offer"].tolist() == ["voucher"]
    assert rows["expected_gain_amount"].tolist() == pytest.approx([3.98])
    without = asked(one, offers=OFFERS[OFFERS["offer"] != "voucher"])[0]
    assert without["expected_gain_amount"].tolist() == pytest.approx([3.8])
    assert summary["gap_rate"].tolist() == [0]
    assert (tuple(rows), tuple(summary)) == (ROWS, SUMMARY)


def test_nobody_gets_what_does_not_pay_and_everything_keeps_to_the_limits():
    rows, summary = asked(limits={"budget_amount": 30, "contact_count": 150})
    assert (rows["expected_gain_amount"] > 0).all()
    assert rows["cost_amount"].sum() <= 30 + 1e-9
    assert len(rows) <= 150
    assert rows["customer_key"].is_monotonic_increasing
    assert summary["gap_rate"].iloc[0] < 0.02
    free, unlimited = asked()
    assert unlimited["budget_amount"].isna().all()
    assert len(free) > len(rows)
    assert summary["expected_gain_amount"].iloc[0] < unlimited["expected_gain_amount"].iloc[0]


def test_who_refuses_gets_nothing_through_that_channel():
    people = customers(40).assign(uplift=0.3).astype({"is_marketing_allowed": object})
    people.loc[:9, "is_marketing_allowed"] = False
    people.loc[10:19, "is_marketing_allowed"] = None
    refusals = pd.DataFrame(
        {"customer_key": ["c0020", "c0021", "c0022", "c0022"],
         "channel": ["email", "any", "letter", "email"]}
    )  # fmt: skip
    rows, _ = asked(people, refusals=refusals)
    given = dict(zip(rows["customer_key"], rows["offer"], strict=True))
    assert not set(given) & {f"c{number:04d}" for number in (*range(10), 21, 22)}
    assert given.get("c0020", "letter") == "letter"
    assert "c0012" in given


def test_without_a_model_the_experiments_mean_stands_in_and_says_so():
    people = customers(60).assign(uplift=None)
    rows, _ = asked(people)
    assert set(rows["uplift_basis"]) == {"average"}
    # a quarter and three quarters of the knowledge
    assert rows["uplift"].to_numpy() == pytest.approx(0.04)
    unproven = EFFECTS.assign(treated_count=[90, 270], control_count=[30, 90])
    assert asked(people, effects=unproven)[0].empty
    assert asked(people, effects=EFFECTS.assign(effect=[-0.1, -0.1]))[0].empty
    mixed = customers(60)
    mixed.loc[::2, "uplift"] = None
    assert set(asked(mixed)[0]["uplift_basis"]) == {"average", "customer"}


@pytest.mark.parametrize("counts", [{"minimum_count": [50, 0, 0]}, {"capacity_count": [5, 40, 3]}])
def test_an_offers_own_limits_are_kept_exactly(counts):
    people = customers(120).assign(uplift=0.1)
    rows, summary = asked(people, offers=OFFERS.assign(**counts))
    given = rows["offer"].value_counts().reindex(OFFERS["offer"], fill_value=0).to_numpy()
    assert (given >= counts.get("minimum_count", [0, 0, 0])).all()
    assert (given <= counts.get("capacity_count", [999, 999, 999])).all()
    assert summary["method"].tolist() == ["exact"]
    assert summary["gap_rate"].iloc[0] <= 1e-4
    impossible = asked(people, offers=OFFERS.assign(minimum_count=[100, 100, 0]))
    assert impossible[0].empty
    assert impossible[1]["is_feasible"].tolist() == [False]


@pytest.mark.parametrize(
    "case",
    [
        {"people": customers(0)},
        {"people": customers(5).assign(order_amount=None)},
        {"offers": OFFERS.head(0)},
        {"people": customers(5).assign(uplift=None), "effects": EFFECTS.head(0)},
    ],
)
def test_where_nothing_is_known_nothing_is_allocated(case):
    rows, summary = asked(case.pop("people", None), **case)
    assert rows.empty
    assert summary.empty


def test_odd_customers():
    people = customers(30)
    people.loc[0, "order_amount"] = -50.0
    people.loc[1, "order_amount"] = 0.0
    people.loc[2, "uplift"] = -1.0
    rows, _ = asked(people.sample(frac=1, random_state=1))
    assert not set(rows["customer_key"]) & {"c0001", "c0002"}
    pd.testing.assert_frame_equal(rows, asked(people)[0])
    assert len(asked(people.head(1))[0]) <= 1
    nothing, _ = asked(people, limits={"budget_amount": 0})
    assert nothing.empty
