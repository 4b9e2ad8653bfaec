"""Drivers of satisfaction: what was planted is found with its interval, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.satisfaction.drivers import COLUMNS, least_squares, satisfaction_drivers


def responses(size=800, seed=0, delivery=-0.25, phone=0.15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    topics = {name: rng.random(size) < 0.3 for name in ("delivery", "price", "staff")}
    channel = rng.choice(["e-mail", "phone", "chat"], size, p=[0.5, 0.3, 0.2])
    score = 0.6 + delivery * topics["delivery"] + phone * (channel == "phone")
    score = np.clip(np.round((score + rng.normal(0, 0.2, size)) * 4) / 4, 0, 1)
    said = [",".join(name for name, has in topics.items() if has[i]) for i in range(size)]
    return pd.DataFrame(
        {
            "response_key": [f"d:{i:05d}" for i in range(size)],
            "survey": "csat",
            "score_share": score,
            "comment_topics": said,
            "channel": channel,
            "comment_language": "en",
            "category": None,
        }
    )


def test_planted_drivers_are_found_and_others_are_not():
    found = satisfaction_drivers(responses())
    assert tuple(found.columns) == COLUMNS
    verdicts = found.set_index("driver")["verdict"].to_dict()
    assert verdicts == {
        "phone": "raises", "chat": "no_effect_found", "delivery": "lowers",
        "price": "no_effect_found", "staff": "no_effect_found",
    }  # fmt: skip
    delivery = found.set_index("driver").loc["delivery"]
    assert delivery["effect_low_share"] < -0.23 < delivery["effect_high_share"]
    pd.testing.assert_frame_equal(
        found, satisfaction_drivers(responses().sample(frac=1, random_state=1))
    )


def test_where_nothing_moves_the_score_hardly_anything_is_found():
    wrong = 0
    for seed in range(30):
        found = satisfaction_drivers(responses(200, seed, delivery=0, phone=0))
        wrong += (found["verdict"] != "no_effect_found").any()
    assert wrong <= 5


def test_the_intervals_cover():
    """Of 40 samples about 95 % hold what a very large one says, although spreads differ."""
    truth = satisfaction_drivers(responses(15_000, 1)).set_index("driver").loc["delivery"]
    held = 0
    for seed in range(40):
        row = satisfaction_drivers(responses(300, seed + 10)).set_index("driver").loc["delivery"]
        held += row["effect_low_share"] <= truth["effect_share"] <= row["effect_high_share"]
    assert 34 <= held <= 40


def test_least_squares_of_one_group_is_the_difference_of_means():
    y = np.array([0.0, 1, 2, 3, 4, 8])
    x = np.column_stack([np.ones(6), [0, 0, 0, 1, 1, 1]])
    estimate, error = least_squares(x, y)
    np.testing.assert_allclose(estimate, [1, 4])
    # HC3 of two groups: each group's squared residuals / (1 - 1/3)^2, over its size squared
    expected = np.sqrt((2 / (2 / 3) ** 2) / 9 + (14 / (2 / 3) ** 2) / 9)
    assert error[1] == pytest.approx(expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.head(0),
        lambda rows: rows.head(1),
        lambda rows: rows.head(30),
        lambda rows: rows.assign(score_share=0.5),
        lambda rows: rows.assign(score_share=None),
        lambda rows: rows.assign(channel=None, comment_topics=None),
        lambda rows: rows.assign(channel="chat", comment_topics=""),
    ],
)
def test_too_little_gives_no_rows(change):
    assert satisfaction_drivers(change(responses(300))).empty


def test_twins_share_what_they_do():
    rows = responses(500)
    rows["category"] = rows["channel"]
    found = satisfaction_drivers(rows)
    assert np.isfinite(found["effect_share"]).all()
    twice = found[found["driver"] == "phone"]["effect_share"].to_numpy()
    assert twice[0] == pytest.approx(twice[1])
    assert twice.sum() == pytest.approx(0.15, abs=0.05)
