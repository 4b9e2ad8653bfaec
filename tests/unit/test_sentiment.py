"""The trained sentiment: published accuracies, the gate both ways, odd comments, no vocabulary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from ml.evaluation.gate import decide
from ml.evaluation.metrics import calibration_error, roc_auc
from ml.evaluation.result import TOO_LITTLE_DATA, TRAINED
from ml.satisfaction import training
from ml.satisfaction.sentiment import (
    SKOPS_TRUSTED_TYPES,
    Leaning,
    SentimentModel,
    classifier,
    comment_rows,
    normalised,
)
from ml.satisfaction.training import labels, train_sentiment

GOOD = {
    "en": ("quickly solved", "parcel came early", "works as it should"),
    "zh": ("到货早", "用得住"),
}
BAD = {"en": ("parcel came late", "fell apart", "nobody answered"), "zh": ("坏了", "没人理")}
FILLING = {
    "en": ("the blue one", "for my aunt", "on Monday", "in the kitchen"),
    "zh": ("昨天买的", "给妈妈的", "蓝色"),
}


def comments(size=900, seed=0, chinese=0.4, noise=0.1) -> pd.DataFrame:
    """Comments whose mood the word lists do not know; some say the contrary of their score."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(size):
        language = "zh" if rng.random() < chinese else "en"
        good = rng.random() < 0.6
        mood = (GOOD if good ^ (rng.random() < noise) else BAD)[language]
        parts = [rng.choice(FILLING[language]), rng.choice(mood), rng.choice(FILLING[language])]
        rows.append(
            {
                "response_key": f"desk:{number:05d}",
                "text": (" " if language == "en" else ",").join(parts),
                "score_share": rng.choice([0.75, 1.0]) if good else rng.choice([0.0, 0.25]),
                "responded_on": pd.Timestamp(2025, 1, 1) + pd.Timedelta(days=number // 4),
                "comment_language": language,
                "comment_sentiment": 0.0,
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def trained():
    return train_sentiment(comments())


def test_what_the_word_lists_do_not_know_is_learned_and_promoted(trained):
    assert trained.status == TRAINED
    decision = decide(trained)
    assert decision.promoted, decision.reason
    assert "beats the word lists in log-loss" in decision.reason
    assert "comments from 2025" in trained.reason
    found = trained.estimator.predict_proba(comment_rows(["fell apart on Monday", "坏了,蓝色"]))
    assert (found[:, 1] < 0.4).all()
    assert trained.estimator.predict(comment_rows(["quickly solved for my aunt"])).tolist() == [1]
    assert trained.estimator.methods(comment_rows(["坏了,蓝色", "C'est très bien"])) == [
        "model", "lexicon",
    ]  # fmt: skip


def test_shuffled_scores_are_not_promoted():
    rows = comments(seed=2)
    rows["score_share"] = np.random.default_rng(0).permutation(rows["score_share"])
    decision = decide(train_sentiment(rows))
    assert not decision.promoted


def test_a_worse_challenger_leaves_the_champion(trained):
    again = train_sentiment(comments(), champion=trained.estimator)
    assert not decide(again).promoted
    assert "does not beat champion" in decide(again).reason
    noisy = SentimentModel().fit(comments(), 1 - labels(comments()))
    assert decide(train_sentiment(comments(), champion=noisy)).promoted


def test_later_scores_move_nothing_that_was_learned_before(trained):
    rows = comments()
    later = rows["responded_on"] >= pd.Timestamp(trained.reason.split("comments from ")[1][:10])
    assert 0.2 < later.mean() < 0.3
    rows.loc[later, "score_share"] = 1 - rows.loc[later, "score_share"]
    again = train_sentiment(rows)
    np.testing.assert_array_equal(
        again.estimator.evaluated_.predict_proba(rows),
        trained.estimator.evaluated_.predict_proba(rows),
    )


def test_learning_from_the_first_later_day_too_would_be_caught(trained, monkeypatch):
    """The test above fails for a split that is one day off."""
    honest = training._is_later

    def one_day_ahead(rows):
        is_later, period = honest(rows)
        first = pd.Timestamp(period.split("comments from ")[1])
        return is_later & (rows["responded_on"] > first).to_numpy(), period

    monkeypatch.setattr(training, "_is_later", one_day_ahead)
    rows = comments()
    before = train_sentiment(rows).estimator.evaluated_.predict_proba(rows)
    later = rows["responded_on"] >= pd.Timestamp(trained.reason.split("comments from ")[1][:10])
    rows.loc[later, "score_share"] = 1 - rows.loc[later, "score_share"]
    after = train_sentiment(rows).estimator.evaluated_.predict_proba(rows)
    assert not np.array_equal(before, after)


def test_order_of_rows_does_not_matter_and_undated_comments_are_held_out_by_hash(trained):
    again = train_sentiment(comments().sample(frac=1, random_state=3))
    assert again.reason == trained.reason
    undated = train_sentiment(comments().assign(responded_on=pd.NaT))
    assert "held-out comments" in undated.reason


def test_a_language_with_few_comments_is_told_by_the_word_lists():
    """Cold start: nothing but the lists, on the scale of probabilities."""
    rows = comments(900, chinese=0.05)
    rows["comment_sentiment"] = np.where(rows["score_share"] > 0.5, 0.6, -0.6)
    model = SentimentModel().fit(rows, labels(rows))
    assert set(model.classifiers_) == {"en"}
    found = model.predict_proba(comment_rows(["非常满意,很好", "很差,非常失望"]))[:, 1]
    assert found[0] > 0.6
    assert found[1] < 0.4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.head(0), "no comment with a score"),
        (lambda rows: rows.head(1), "are needed"),
        (lambda rows: rows.head(30), "are needed"),
        (lambda rows: rows.assign(text=None), "no comment with a score"),
        (lambda rows: rows.assign(score_share=None), "no comment with a score"),
        (lambda rows: rows.assign(score_share=0.6), "no comment with a score"),
        (lambda rows: rows.assign(score_share=1.0), "of them content"),
    ],
)
def test_too_little_says_why(change, words):
    found = train_sentiment(change(comments(300)))
    assert found.status == TOO_LITTLE_DATA
    assert words in found.reason


def test_odd_comments_get_a_probability_too(trained):
    odd = comment_rows(
        ["", "   ", "👍👍👍", "12345", "Ceci n'est pas une pipe", "好", "x" * 20_000]
    )
    found = trained.estimator.predict_proba(odd)
    assert found.shape == (7, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert ((found > 0) & (found < 1)).all()
    assert trained.estimator.predict_proba(odd.head(0)).shape == (0, 2)
    with pytest.raises(ValueError, match="label"):
        SentimentModel().fit(odd, [1])
    with pytest.raises(ValueError, match="its own"):
        train_sentiment(pd.concat([comments(5), comments(1)]))


def test_what_is_stored_holds_no_text_and_loads_by_skops():
    from skops.io import dumps, get_untrusted_types, loads

    rows = comments(400)
    rows["text"] = rows["text"] + " Wilhelmina Zumstein"
    model = SentimentModel(hashed=2**10).fit(rows, labels(rows))
    data = dumps(model)
    assert set(get_untrusted_types(data=data)) <= set(SKOPS_TRUSTED_TYPES)
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        held = b"".join(archive.read(name) for name in archive.namelist())
    for piece in ("Zumstein", "zumst", "ilhel"):
        assert piece.encode() not in held
    loaded = loads(data, trusted=SKOPS_TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.predict_proba(rows), model.predict_proba(rows))


def test_leaning_is_a_calibrated_monotone_probability():
    rng = np.random.default_rng(0)
    score = rng.normal(size=2000)
    good = rng.random(2000) < 1 / (1 + np.exp(-2 * score))
    found = Leaning().fit(score, good).predict(score)
    assert calibration_error(good, found) < 0.03
    assert Leaning().fit(-score, good).slope_ == 0
    assert Leaning().fit([], []).predict([0.3]).tolist() == [0.5]
    assert Leaning().fit([1, 2, 3], [1, 1, 1]).predict([0]).tolist() == pytest.approx([0.8])


def test_a_text_is_read_however_it_is_written():
    assert normalised("  Ｇｒｅａｔ\n Service ") == "great service"


# Published figures (references.md section 7)


def corpus(shared_data, language: str, most: int | None = None) -> tuple[list[str], np.ndarray]:
    if language == "zh":
        frame = pd.read_csv(shared_data("reviews_zh/online_shopping_10_cats.csv.gz"))
        frame = frame.dropna(subset=["review"])
        texts, good = frame["review"], frame["label"]
    else:
        frame = pd.read_csv(shared_data("reviews_en/womens_clothing_reviews.csv.gz"))
        frame = frame.dropna(subset=["Review Text"])
        texts, good = frame["Review Text"], (frame["Rating"] >= 4).astype(int)
    chosen = np.sort(np.random.default_rng(0).permutation(len(texts))[:most])
    return [normalised(text) for text in texts.iloc[chosen]], good.to_numpy()[chosen]


def cross_validated(texts: list[str], good: np.ndarray, language: str, folds: int):
    accuracy, area = [], []
    parts = StratifiedKFold(5, shuffle=True, random_state=0).split(np.zeros(len(good)), good)
    for past, out in list(parts)[:folds]:
        model = classifier(language).fit([texts[i] for i in past], good[past])
        score = model.decision_function([texts[i] for i in out])
        accuracy.append(float(np.mean((score > 0) == good[out])))
        area.append(roc_auc(good[out], score))
    return float(np.mean(accuracy)), float(np.mean(area))


@pytest.mark.slow
def test_chinese_reviews_are_told_as_published(shared_data):
    """Published .937 (AUC .979) by 5-fold on online_shopping_10_cats; required: .93."""
    accuracy, area = cross_validated(*corpus(shared_data, "zh"), "zh", 5)
    assert accuracy >= 0.93
    assert area >= 0.975


def test_four_thousand_chinese_reviews_are_told_better_than_snownlp(shared_data):
    """The model that SnowNLP ships: .824."""
    accuracy, _ = cross_validated(*corpus(shared_data, "zh", 4000), "zh", 1)
    assert accuracy > 0.86


@pytest.mark.slow
def test_english_reviews_are_told_better_than_published_for_snippets(shared_data):
    """TF-IDF with logistic regression: AUC .834 on Amazon snippets, which are not at hand.

    Seen here: .918, of reviews of clothing.
    """
    _, area = cross_validated(*corpus(shared_data, "en", 8000), "en", 2)
    assert area >= 0.9
