"""Scores of texts: languages, negation, topics, and nothing where there is nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.satisfaction import lexicons
from ml.satisfaction.text_scores import TextScores, score_text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Great product, arrived quickly!", "en"), ("ok", "en"),
        ("Das Produkt ist sehr gut", "other"), ("Le produit est très bien", "other"),
        ("质量很好,物流很快", "zh"), ("iPhone 手机很好用", "zh"), ("とても良いです", "other"),
        ("12345", "other"), ("", None), (" \u3000\n", None),
    ],
)  # fmt: skip
def test_language(text, language):
    assert score_text(text).language == language


def test_nothing_is_said_of_no_text_and_only_length_of_other_languages():
    assert score_text("  ") == TextScores(0, None, None, None)
    assert score_text(" Das ist gut ") == TextScores(11, "other", None, "")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("very good", "good"), ("good", "not good"), ("not bad", "bad"), ("perfect", "good"),
        ("the chair is good", "the chair is terrible"), ("满意", "不满意"), ("很喜欢", "喜欢"),
        ("质量好", "质量太差"), ("不差", "差"),
    ],
)  # fmt: skip
def test_sentiment_orders(better, worse):
    assert score_text(better).sentiment > score_text(worse).sentiment


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("The courier was rude and the parcel is damaged", "delivery,quality,staff"),
        ("I want a refund, it is too small", "return,size"),
        ("cheap, and support answers", "price,service"),
        ("we walked home", ""),
        ("客服态度差,要退货", "return,service,staff"), ("尺码偏小,价格贵", "price,size"),
    ],
)  # fmt: skip
def test_topics(text, topics):
    assert score_text(text).topics == topics


@given(st.text(max_size=80))
def test_any_text_has_scores_in_range(text):
    scores = score_text(text)
    assert scores == score_text(text)
    assert scores.length == len(text.strip()) or scores.language is None
    assert scores.sentiment is None or -1 < scores.sentiment < 1
    assert (scores.language is None) == (scores.topics is None)
    assert set((scores.topics or "").split(",")) <= {"", *lexicons.TOPICS}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_lists_are_whole(language):
    assert set(lexicons.topics(language)) == set(lexicons.TOPICS)
    words = lexicons.sentiment(language)
    assert len(words.whole) + len(words.roots) > 100
    assert set(words.whole.values()) == {-3.0, -2.0, -1.0, 1.0, 2.0, 3.0}
