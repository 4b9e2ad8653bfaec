"""Features that only one model reads: what came later moves none, and looking a day ahead shows.

Those of ``customer_features`` are in ``tests/pipeline/test_leak.py``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.unit.feature_sql import features

AS_OF = pd.Timestamp(2025, 12, 31)
SETTINGS = pd.DataFrame({"as_of": [AS_OF]})
DRAWN = pd.Timestamp(2025, 6, 12)
CUT_OFF = pd.Timestamp(2025, 6, 30)
SIZE = 200
KEYS = [f"shop:{number:04d}" for number in range(SIZE)]


def dates(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Days as the warehouse has them: DATE, not TIMESTAMP."""
    return frame.assign(**{name: pd.to_datetime(frame[name]).dt.date for name in names})


def orders(changed: bool) -> pd.DataFrame:
    """Two years of orders; ``changed`` multiplies those from the day of the lot on."""
    rng = np.random.default_rng(1)
    size = 12 * SIZE
    found = pd.DataFrame(
        {
            "customer_key": rng.choice(KEYS, size),
            "ordered_on": pd.Timestamp(2024, 1, 1)
            + pd.to_timedelta(rng.integers(0, 730, size), unit="D"),
            "amount": rng.integers(10, 90, size).astype(float),
        }
    ).sort_values(["customer_key", "ordered_on"], ignore_index=True)
    if not changed:
        return found
    later = found["ordered_on"] >= DRAWN
    more = found[later].assign(amount=500.0, customer_key=rng.choice(KEYS, later.sum()))
    return pd.concat([found[~later], more, more], ignore_index=True)


def spells(rows: pd.DataFrame) -> pd.DataFrame:
    """``int_customer_days``: a customer's sums from each order day to the next."""
    days = rows.groupby(["customer_key", "ordered_on"], as_index=False)["amount"].agg(
        ["size", "sum"]
    )
    by = days.groupby("customer_key")
    return pd.DataFrame(
        {
            "customer_key": days["customer_key"],
            "ordered_on": days["ordered_on"],
            "next_order_on": by["ordered_on"].shift(-1).fillna(pd.Timestamp(9999, 12, 31)),
            "first_order_on": by["ordered_on"].transform("min"),
            "day_order_count": days["size"],
            "day_gross_amount": days["sum"],
            "order_count": by["size"].cumsum(),
            "gross_amount": by["sum"].cumsum(),
        }
    )


def campaign(changed: bool) -> dict[str, pd.DataFrame]:
    """A campaign whose people were drawn on one day, and what is known of them."""
    days = spells(orders(changed))
    drawn = pd.DataFrame({"campaign_key": "shop:C1", "customer_key": KEYS})
    people = drawn.rename(columns={"customer_key": "person_key"}).assign(
        arm=np.where(np.arange(SIZE) % 4, "treated", "control"),
        is_control=np.arange(SIZE) % 4 == 0, responses=None, conversions=0, response_amount=None,
    )  # fmt: skip
    # who they are is written anew on the day of the lot
    versions = [
        ("search", pd.Timestamp(2024, 1, 1), DRAWN),
        ("fair" if changed else "social", DRAWN, pd.NaT),
    ]
    history = pd.concat(
        [
            pd.DataFrame(
                {"customer_key": KEYS, "acquisition_channel": channel, "valid_from_on": since,
                 "valid_to_on": until, "birth_year": 1980, "country": "CH"}
            )
            for channel, since, until in versions
        ]
    )  # fmt: skip
    return {
        "control_run_settings": dates(SETTINGS, "as_of"),
        "int_campaign_people": people,
        "fct_campaign_touches": dates(
            drawn.assign(touch_key=KEYS, source="shop", touched_on=DRAWN), "touched_on"
        ),
        "dim_campaigns": pd.DataFrame({"campaign_key": ["shop:C1"], "is_experiment": [True]}),
        "int_customer_days": days.assign(
            **{
                name: days[name].map(lambda day: day.date())
                for name in ("ordered_on", "next_order_on", "first_order_on")
            }
        ),
        "dim_customers_history": dates(history, "valid_from_on", "valid_to_on"),
    }


def uplift_people(changed: bool, *changes: tuple[str, str]) -> pd.DataFrame:
    found = features(campaign(changed), "uplift_people", "campaign_key, person_key", *changes)
    return found[found["campaign_key"] != "today"].reset_index(drop=True)


def test_uplift_knows_of_a_person_what_was_known_the_day_before_the_lot():
    honest = uplift_people(False)
    assert len(honest) == SIZE
    assert honest["order_count"].notna().sum() > 150
    assert set(honest["acquisition_channel"]) == {"search"}
    pd.testing.assert_frame_equal(honest, uplift_people(True))


def test_uplift_that_looks_one_day_ahead_is_caught():
    ahead = ("add_days('drawn.touched_on', -1)", "add_days('drawn.touched_on', 0)")
    one, other = uplift_people(False, ahead), uplift_people(True, ahead)
    moved = {name for name in one if not one[name].equals(other[name])}
    assert {"recency_days", "order_count", "gross_amount_365d", "acquisition_channel"} <= moved


def contracts(changed: bool) -> dict[str, pd.DataFrame]:
    """Contracts with dates; ``changed`` moves what happened after the cut-off."""
    rng = np.random.default_rng(2)
    started = pd.Timestamp(2024, 1, 1) + pd.to_timedelta(rng.integers(0, 700, SIZE), unit="D")
    started = started.where(np.arange(SIZE) % 20 != 0, CUT_OFF + pd.Timedelta(days=1))
    ended = started + pd.to_timedelta(rng.integers(30, 900, SIZE), unit="D")
    ended = ended.where(np.arange(SIZE) % 20 != 1, CUT_OFF + pd.Timedelta(days=1))
    if changed:
        started = started.where(started <= CUT_OFF, started + pd.Timedelta(days=90))
        ended = ended.where(ended <= CUT_OFF, ended + pd.Timedelta(days=400))
    rows = pd.DataFrame(
        {
            "subscription_key": KEYS, "customer_key": KEYS, "source": "shop",
            "started_on": started, "ended_on": ended, "is_churned": pd.Series([None] * SIZE,
                                                                             dtype="boolean"),
            "plan": rng.choice(["basic", "gold"], SIZE), "contract_term": "year",
            # of today: nobody knows what they were at the cut-off
            "payment_method": "card" if changed else "bill",
            "tenure_months": 90 if changed else 10, "monthly_amount": 99.0 if changed else 9.0,
            "charged_amount": 999.0 if changed else 99.0, "service_count": 9 if changed else 1,
            "services": "all" if changed else "none",
        }
    )  # fmt: skip
    orders = pd.DataFrame(
        {"cut_off_on": CUT_OFF, "customer_key": KEYS, "recency_days": 5, "order_count": 3,
         "order_count_90d": 1}
    )  # fmt: skip
    cut_offs = pd.DataFrame(
        {"cut_off_on": [CUT_OFF], "horizon_days": [90], "purpose": ["churn_evaluation"]}
    )
    return {
        "control_run_settings": dates(SETTINGS, "as_of"),
        "cut_offs": dates(cut_offs, "cut_off_on"),
        "fct_subscriptions": dates(rows, "started_on", "ended_on"),
        "customer_features": dates(orders, "cut_off_on"),
    }


def subscription_features(changed: bool, *changes: tuple[str, str]) -> pd.DataFrame:
    found = features(
        contracts(changed), "subscription_features", "cut_off_on, subscription_key", *changes
    )
    return found.drop(columns="is_churned")


def test_a_contract_is_known_as_it_was_at_the_cut_off():
    honest = subscription_features(False)
    assert 50 < len(honest) < SIZE
    assert honest["is_ended"].any()
    pd.testing.assert_frame_equal(honest, subscription_features(True))


@pytest.mark.parametrize(
    "ahead",
    [
        ("subscriptions.started_on <= dates.cut_off_on",
         "subscriptions.started_on <= dates.cut_off_on + 1"),
        ("subscriptions.ended_on <= dates.cut_off_on, false",
         "subscriptions.ended_on <= dates.cut_off_on + 1, false"),
        ("cast(null as decimal(18, 2)) as monthly_amount", "subscriptions.monthly_amount"),
    ],
    ids=["started", "ended", "as it is now"],
)  # fmt: skip
def test_a_contract_that_looks_ahead_is_caught(ahead):
    one, other = subscription_features(False, ahead), subscription_features(True, ahead)
    assert not one.equals(other)
