"""Did it work: counts, sizes and verdicts of audiences with a holdout."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.experiments.adjusted import adjusted
from ml.experiments.audiences import COLUMNS, PILOT, Design, audience_results, design_of
from ml.experiments.effects import exact_sample_ratio, two_proportions, welch
from ml.experiments.power import people_for_means, people_for_rates

DESIGNS = pd.DataFrame(
    [
        ("winback", "conversion", 30, 0.3, 0.1),
        ("birthday", "conversion", 7, 0.5, 0.1),
        ("offer", "net_amount", 30, 0.3, 6.0),
    ],
    columns=["audience", "outcome", "window_days", "holdout_share", "smallest_effect"],
)


def people(size=1500, effect=0.1, seed=0, experiment="winback 1", share=0.3, days=60):
    """Customers assigned a few a day; who ordered much before orders more."""
    rng = np.random.default_rng(seed)
    is_held = rng.random(size) < share
    before = rng.poisson(3, size)
    chance = np.clip(0.05 + 0.05 * before + np.where(is_held, 0, effect), 0, 1)
    ordered = rng.random(size) < chance
    return pd.DataFrame(
        {
            "experiment": experiment,
            "audience": experiment.split()[0],
            "audience_version": 1,
            "customer_key": [f"shop:{i:06d}" for i in range(size)],
            "arm": np.where(is_held, "holdout", "treatment"),
            "assigned_on": pd.Timestamp(2025, 1, 1)
            + pd.to_timedelta(np.arange(size) * days // size, unit="D"),
            "is_complete": True,
            "order_count": ordered.astype(int),
            "net_amount": np.where(ordered, rng.gamma(4, 15, size), 0.0),
            "gain_amount": np.nan,
            "order_count_before": before,
            "gross_amount_before": before * 50.0,
            "expected_gain_amount": np.nan,
        }
    )


def only(found: pd.DataFrame) -> pd.Series:
    assert len(found) == 1
    return found.iloc[0]


def test_one_row_an_experiment_in_any_order_of_rows():
    rows = pd.concat([people(), people(300, experiment="birthday 2", share=0.5)])
    found = audience_results(rows, DESIGNS)
    assert tuple(found.columns) == COLUMNS
    assert list(found["experiment"]) == ["birthday 2", "winback 1"]
    assert list(found["window_days"]) == [7, 30]
    shuffled = rows.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(audience_results(shuffled, DESIGNS), found)
    assert (found["first_assigned_on"] < found["last_assigned_on"]).all()


def test_figures_are_those_of_the_two_groups():
    rows = people(size=600)
    row = only(audience_results(rows, DESIGNS))
    treated, held = rows[rows["arm"] == "treatment"], rows[rows["arm"] == "holdout"]
    assert (row["treated_count"], row["holdout_count"]) == (len(treated), len(held))
    assert row["treated_mean"] == row["treated_order_rate"]
    assert row["treated_order_rate"] == pytest.approx(treated["order_count"].mean())
    assert row["holdout_net_amount"] == pytest.approx(held["net_amount"].mean())
    before = ["order_count_before", "gross_amount_before"]
    expected = adjusted(treated["net_amount"], held["net_amount"], treated[before], held[before])
    assert (row["amount_effect"], row["amount_effect_low"], row["amount_effect_high"]) == (
        pytest.approx((expected.effect, expected.low, expected.high))
    )
    assert row["sample_ratio_p_value"] == exact_sample_ratio(len(treated), len(held), 0.3)
    plain = two_proportions(
        treated["order_count"].sum(), len(treated), held["order_count"].sum(), len(held)
    )
    assert row["effect"] == pytest.approx(plain.effect, abs=0.02)
    assert row["effect_high"] - row["effect_low"] < 1.05 * (plain.high - plain.low)


def planned(row: pd.Series) -> tuple[int, int]:
    return int(row["planned_treated_count"]), int(row["planned_holdout_count"])


def test_before_the_planned_size_it_is_too_early_whatever_the_difference():
    row = only(audience_results(people(size=400, effect=0.5), DESIGNS))
    assert row["treated_count"] < row["planned_treated_count"]
    assert (row["effect_low"] > 0, row["verdict"]) == (True, "too early")


def test_the_size_is_planned_from_the_first_people_of_both_arms_together():
    rows = people(size=3000)
    first = rows[rows["assigned_on"] <= rows["assigned_on"].iloc[PILOT - 1]]
    assert PILOT <= len(first) < 2 * PILOT
    row = only(audience_results(rows, DESIGNS))
    rate = (first["order_count"] > 0).mean()
    assert planned(row) == people_for_rates(rate, 0.1, control_share=0.3)
    amounts = rows.assign(experiment="offer 1", audience="offer")
    row = only(audience_results(amounts, DESIGNS))
    expected = people_for_means(first["net_amount"].std(), 6.0, control_share=0.3)
    assert planned(row) == expected
    # whoever is what, and whatever comes later, the plan stays
    swapped = amounts["arm"].map({"treatment": "holdout", "holdout": "treatment"})
    later = amounts["assigned_on"] > first["assigned_on"].max()
    other = amounts.assign(arm=swapped, net_amount=amounts["net_amount"].mask(later, 500.0))
    assert planned(only(audience_results(other, DESIGNS))) == expected


def test_a_plan_needs_people_who_differ_and_never_leaves_0_to_1():
    design = Design("conversion", 30, 0.3, 0.1)
    assert design.planned(np.zeros(29)) is None
    assert design.planned(np.zeros(30)) == people_for_rates(0.0, 0.1, control_share=0.3)
    assert design.planned(np.ones(30)) == people_for_rates(1.0, -0.1, control_share=0.3)
    assert Design("net_amount", 30, 0.3, 5.0).planned(np.full(99, 7.0)) is None
    with pytest.raises(ValueError, match="unknown outcome"):
        Design("clicks", 30, 0.3, 0.1)


def test_the_verdict_is_on_the_outcome_that_was_stated():
    """As many order, but for more."""
    rows = people(4000, effect=0.0).assign(experiment="offer 1", audience="offer")
    more = (rows["arm"] == "treatment").to_numpy()
    rows["net_amount"] = rows["net_amount"] * np.where(more, 2.0, 1.0)
    row = only(audience_results(rows, DESIGNS))
    assert (row["outcome"], row["verdict"]) == ("net_amount", "works")
    assert row["effect"] == row["amount_effect"]
    assert row["treated_mean"] == row["treated_net_amount"]
    same = rows.assign(experiment="winback 1", audience="winback")
    assert only(audience_results(same, DESIGNS))["verdict"] == "no difference shown"


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [(0.15, "works"), (-0.15, "does harm"), (0.0, "no difference shown")],
)
def test_the_verdict_is_what_was_found(effect, verdict):
    assert only(audience_results(people(3000, effect), DESIGNS))["verdict"] == verdict


def test_who_is_still_waiting_counts_for_the_sample_ratio_only():
    rows = people(2500)
    waiting = (rows["assigned_on"] > pd.Timestamp(2025, 2, 15)).to_numpy()
    row = only(audience_results(rows.assign(is_complete=~waiting), DESIGNS))
    assert row["waiting_count"] == waiting.sum() > 0
    unseen = rows.assign(is_complete=~waiting, order_count=rows["order_count"].mask(waiting, 9))
    pd.testing.assert_series_equal(only(audience_results(unseen, DESIGNS)), row)
    fewer = only(audience_results(rows[~waiting], DESIGNS))
    assert fewer["effect"] == row["effect"]
    assert fewer["sample_ratio_p_value"] != row["sample_ratio_p_value"]


def test_decided_once_what_comes_later_changes_no_figure():
    """Looking again and again at a growing sample would find something in the end."""
    first = people(4000, effect=0.0, seed=5)
    first["customer_key"] = "old:" + first["customer_key"]
    decided = only(audience_results(first, DESIGNS))
    assert decided["verdict"] == "no difference shown"
    assert decided["treated_count"] + decided["holdout_count"] + decided["later_count"] == 4000
    assert 0 <= decided["treated_count"] - planned(decided)[0] < 200
    later = people(4000, effect=0.4, seed=6)
    later["assigned_on"] += pd.Timedelta(days=100)
    row = only(audience_results(pd.concat([first, later]), DESIGNS))
    assert row["later_count"] == decided["later_count"] + 4000
    same = ["treated_count", "effect", "effect_low", "effect_high", "verdict"]
    pd.testing.assert_series_equal(row[same], decided[same])


def test_chance_is_called_a_finding_one_time_in_twenty_however_often_one_looks():
    """Twenty audiences that do nothing, looked at again and again."""
    found = 0
    for seed in range(20):
        rows = people(2400, effect=0.0, seed=seed)
        verdicts = set()
        for day in range(15, 61, 15):
            until = pd.Timestamp(2025, 1, 1) + pd.Timedelta(days=day)
            seen = rows.assign(is_complete=rows["assigned_on"] < until)
            verdicts |= set(audience_results(seen, DESIGNS)["verdict"])
        found += bool(verdicts & {"works", "does harm"})
    assert found <= 4


def test_a_lot_that_did_not_work_is_told_also_before_the_planned_size():
    rows = people(600)
    lost = (rows["arm"] == "holdout") & (rows["order_count"] == 0) & (rows.index % 2 == 0)
    row = only(audience_results(rows[~lost], DESIGNS))
    assert row["sample_ratio_p_value"] < 0.001
    assert row["verdict"] == "broken: sample ratio"


def test_nobody_ordering_shows_nothing_and_claims_no_interval():
    rows = people(2500).assign(order_count=0, net_amount=0.0)
    row = only(audience_results(rows, DESIGNS))
    assert (row["effect"], row["verdict"]) == (0, "no difference shown")
    assert np.isnan([row["effect_low"], row["effect_high"], row["p_value"]]).all()
    few = rows.assign(order_count=((rows["arm"] == "treatment") & (rows.index < 12)).astype(int))
    assert only(audience_results(few, DESIGNS))["verdict"] == "no difference shown"


def test_expected_and_measured_gain_are_of_the_same_people():
    rows = people(2500, effect=0.2)
    gain = 0.4 * rows["net_amount"] - np.where(rows["arm"] == "holdout", 0, 0.85)
    offered = rows.assign(gain_amount=gain, expected_gain_amount=3.0)
    row = only(audience_results(offered, DESIGNS))
    assert row["expected_gain_amount"] == 3.0 * row["treated_count"]
    assert row["measured_gain_low_amount"] < row["measured_gain_amount"]
    per_person = row["measured_gain_amount"] / row["treated_count"]
    assert per_person == pytest.approx(0.4 * row["amount_effect"] - 0.85)
    without = only(audience_results(rows, DESIGNS))
    assert np.isnan([without["expected_gain_amount"], without["measured_gain_amount"]]).all()


def test_audiences_without_people_holdout_or_design():
    rows = people(300)
    assert audience_results(rows.head(0), DESIGNS).empty
    assert tuple(audience_results(rows.head(0), DESIGNS).columns) == COLUMNS
    assert audience_results(rows[rows["arm"] == "treatment"], DESIGNS).empty
    nobody = only(audience_results(rows.assign(is_complete=False), DESIGNS))
    assert (nobody["treated_count"], nobody["verdict"]) == (0, "too early")
    assert np.isnan(nobody["effect"])
    assert audience_results(rows, DESIGNS.tail(1)).empty
    assert design_of("winback", DESIGNS.tail(1)) is None
    with pytest.raises(ValueError, match="once"):
        audience_results(pd.concat([rows, rows]), DESIGNS)
    with pytest.raises(ValueError, match="arm"):
        audience_results(rows.assign(arm="control"), DESIGNS)


def test_a_small_holdout_is_compared_without_adjusting():
    rows = people(200, share=0.1)
    row = only(audience_results(rows, DESIGNS))
    treated, held = rows[rows["arm"] == "treatment"], rows[rows["arm"] == "holdout"]
    expected = welch(treated["order_count"], held["order_count"])
    assert (row["effect_low"], row["effect_high"]) == pytest.approx((expected.low, expected.high))
    assert row["variance_removed_share"] == 0
