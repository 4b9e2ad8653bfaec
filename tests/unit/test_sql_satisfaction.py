"""Satisfaction: published counts of the real reviews, and intervals against their closed forms."""

from __future__ import annotations

import math
import shutil
import statistics

import pandas as pd
import pytest

from tests.pipeline.landed import LandedWarehouse
from tests.unit.sql_harness import SqlWarehouse

Z = statistics.NormalDist().inv_cdf(0.975)
FILES = {
    "reviews_en": "womens_clothing_reviews.csv.gz",
    "reviews_zh": "online_shopping_10_cats.csv.gz",
}
SATISFACTION = ("+satisfaction_summary", "+satisfaction_monthly", "+customer_satisfaction")


def _summary(warehouse: SqlWarehouse, kind: str = "all") -> pd.DataFrame:
    return warehouse.frame(
        "select * from marts.satisfaction_summary where dimension_kind = ? "
        "order by survey, lowest_score, highest_score, dimension_value",
        kind,
    )


@pytest.fixture(scope="module")
def reviews(shared_data, tmp_path_factory: pytest.TempPathFactory) -> LandedWarehouse:
    """Both files as published, landed together in one home."""
    home = tmp_path_factory.mktemp("reviews")
    warehouse = LandedWarehouse(home, sources=tuple(FILES))
    for source, name in FILES.items():
        file = shared_data(f"{source}/{name}")
        folder = home / "inbox" / source
        folder.mkdir()
        shutil.copy2(file, folder / name)
    report = warehouse.land()
    assert report.is_ok, report.messages
    warehouse.settle()
    warehouse.dbt("seed")
    warehouse.run(*SATISFACTION, "+comments")
    return warehouse


@pytest.mark.slow
def test_reviews_en_have_the_published_mean_and_top_boxes(reviews: LandedWarehouse):
    """23,486 ratings, mean 4.1960, two best boxes .7753 (shared/references.md, section 8)."""
    summary = _summary(reviews)
    five = summary[summary.highest_score == 5].iloc[0]
    assert five.response_count == 23_486
    assert round(five.score_mean, 4) == 4.1960
    assert round(five.top_box_rate, 4) == 0.7753
    assert five.score_mean_low < five.score_mean < five.score_mean_high
    assert five.top_box_low_rate < five.top_box_rate < five.top_box_high_rate
    assert pd.isna(five.nps)
    departments = _summary(reviews, "category")
    departments = departments[departments.highest_score == 5]
    assert departments.response_count.sum() == 23_486 - 14
    assert len(departments) == 6
    pieces = _summary(reviews, "product")
    assert (pieces.highest_score == 5).sum() == 1_206


@pytest.mark.slow
def test_every_comment_is_read_from_the_vault_and_its_sentiment_learned(reviews: LandedWarehouse):
    """The one door: each text beside its own answer; the model is promoted over the word lists."""
    from crm_pipeline.defs.modelling.models import sentiment
    from crm_pipeline.defs.modelling.store import run_settings
    from ml.evaluation.gate import decide

    with reviews.connection() as db:
        settings = run_settings(db)
        frames = sentiment.SPEC.training_frames(db, settings)
    comments = frames["comments"]
    # 845 and one review have no text
    assert len(comments) == 86_260 - 846
    assert comments["text"].notna().all()
    assert "text" not in frames["features"]
    lengths = comments["text"].str.strip().str.len()
    assert lengths.between(1, 20_000).all()
    trained = sentiment.SPEC.train(frames, settings, None)
    decision = decide(trained)
    assert decision.promoted, decision.reason
    found = trained.evaluation.set_index("metric")["value"]
    assert found["roc_auc"] > 0.95
    scored = sentiment.SPEC.score(
        trained.estimator, {"comments": comments.head(500)}, settings
    ).predictions
    assert "text" not in scored
    assert scored["content_probability"].between(0, 1).all()


@pytest.mark.slow
def test_reviews_zh_have_the_published_labels(reviews: LandedWarehouse):
    """62,774 reviews of ten categories, 31,728 good and 31,046 bad (shared/data/README.md)."""
    summary = _summary(reviews)
    label = summary[summary.highest_score == 1].iloc[0]
    assert label.response_count == 62_774
    assert label.weighted_total == 31_728
    assert label.top_box_rate == 31_728 / 62_774
    categories = _summary(reviews, "category")
    assert (categories.highest_score == 1).sum() == 10
    facts = "select count(*), count(distinct response_key) from marts.fct_survey_responses"
    with reviews.connection() as db:
        assert db.execute(facts).fetchone() == (86_260, 86_260)


@pytest.mark.slow
def test_reviews_are_undated_and_by_nobody(reviews: LandedWarehouse):
    assert reviews.value("select count(*) from marts.satisfaction_monthly") == 0
    assert reviews.value("select count(*) from marts.customer_satisfaction") == 0
    assert reviews.value("select currency from control.run_settings") == "XXX", "no amounts"
    assert reviews.value("select count(*) from marts.dim_products where not is_stub") == 1_216


@pytest.mark.slow
def test_what_is_known_of_a_comment_is_its_scores(reviews: LandedWarehouse):
    """845 reviews in English and one in Chinese have no text (shared/data/README.md)."""
    columns = reviews.frame(
        "select column_name from information_schema.columns "
        "where table_schema = 'landing' and table_name like 'reviews_%'"
    ).column_name.tolist()
    assert {"rating", "label", "review_text_sentiment", "review_topics"} <= set(columns)
    assert not {"title", "review_text", "review"} & set(columns)
    summary = _summary(reviews).set_index("highest_score")
    assert summary.loc[5, "comment_count"] == 23_486 - 845
    assert summary.loc[1, "comment_count"] == 62_774 - 1


@pytest.mark.slow
def test_sentiment_follows_the_scores(reviews: LandedWarehouse):
    """The better the score, the better the words, in both languages."""
    by_score = reviews.frame(
        "select highest_score, score, avg(comment_sentiment) as sentiment "
        "from marts.fct_survey_responses group by all order by all"
    )
    for _, scale in by_score.groupby("highest_score"):
        assert scale.sentiment.is_monotonic_increasing
    chinese = by_score[by_score.highest_score == 1].sentiment
    assert chinese.iloc[0] < 0 < chinese.iloc[1]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> SqlWarehouse:
    """A company whose answers are put where landing would have them end."""
    warehouse = SqlWarehouse(tmp_path_factory.mktemp("answered"))
    warehouse.dbt("seed")
    warehouse.run(*SATISFACTION)
    return warehouse


def test_without_answers_the_marts_are_empty(answered: SqlWarehouse):
    for table in ("satisfaction_summary", "satisfaction_monthly", "customer_satisfaction"):
        assert answered.value(f"select count(*) from marts.{table}") == 0


def _answer(warehouse: SqlWarehouse, survey: str, scores: list[float], scale: tuple[int, int]):
    low, high = scale
    rows = pd.DataFrame(
        {
            "response_key": [f"{survey}:{number}" for number in range(len(scores))],
            "source": "demo",
            "survey": survey,
            "question": "one",
            "score": scores,
            "lowest_score": low,
            "highest_score": high,
            "is_top_box": [score >= high - 1 for score in scores],
            "nps_class": [
                None if scale != (0, 10) else _class_of(score) for score in scores
            ],
        }
    )  # fmt: skip
    with warehouse.connection() as db:
        db.register("rows", rows)
        db.execute("delete from marts.fct_survey_responses")
        db.execute("insert into marts.fct_survey_responses by name select * from rows")
    warehouse.run("int_satisfaction__sums", "satisfaction_summary")
    return _summary(warehouse).iloc[0]


def _class_of(score: float) -> str:
    return "promoter" if score >= 9 else "passive" if score >= 7 else "detractor"


def test_the_mean_of_a_worked_example_and_its_normal_interval(answered: SqlWarehouse):
    scores = [5.0] * 80 + [4.0] * 15 + [3.0] * 5
    row = _answer(answered, "csat", scores, (1, 5))
    half = Z * statistics.stdev(scores) / math.sqrt(100)
    assert row.score_mean == 4.75
    assert row.score_mean_low == pytest.approx(4.75 - half, abs=1e-12)
    assert row.score_mean_high == pytest.approx(4.75 + half, abs=1e-12)


@pytest.mark.parametrize(("tops", "count"), [(0, 7), (7, 7), (95, 100), (1, 2), (0, 1)])
def test_a_rate_has_wilsons_interval(answered: SqlWarehouse, tops: int, count: int):
    """Its ends are the rates at which the observed one is just z standard errors away."""
    row = _answer(answered, "csat", [5.0] * tops + [1.0] * (count - tops), (1, 5))
    rate = tops / count
    assert row.top_box_rate == rate
    for end in (row.top_box_low_rate, row.top_box_high_rate):
        assert (rate - end) ** 2 == pytest.approx(Z**2 * end * (1 - end) / count, abs=1e-12)
    assert row.top_box_low_rate <= rate <= row.top_box_high_rate


def test_net_promoter_score_of_a_worked_example(answered: SqlWarehouse):
    """50 promoters, 30 passives, 20 detractors: 30 points, give or take 15.3."""
    row = _answer(answered, "nps", [9.0] * 25 + [10.0] * 25 + [7.0] * 30 + [6.0] * 20, (0, 10))
    worth = [100.0] * 50 + [0.0] * 30 + [-100.0] * 20
    half = Z * statistics.pstdev(worth) / math.sqrt(100)
    assert row.nps_count == 100
    assert row.nps == 30
    assert row.nps_low == pytest.approx(30 - half, abs=1e-9)
    assert row.nps_high == pytest.approx(30 + half, abs=1e-9)


def test_one_answer_has_no_interval_of_a_mean(answered: SqlWarehouse):
    row = _answer(answered, "nps", [10.0], (0, 10))
    assert (row.score_mean, row.nps) == (10, 100)
    assert row[["score_mean_low", "score_mean_high", "nps_low", "nps_high"]].isna().all()
