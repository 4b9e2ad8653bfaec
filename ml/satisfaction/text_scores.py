"""Scores of one free text: length, language, sentiment, topics. Pure, deterministic, no model.

A text is English or Chinese, or else only its length is told. Sentiment adds up the valences of
the words of ``sentiment_<language>.txt``; a negation shortly before a word turns it at
``NEGATED``, a booster strengthens it; the sum ``s`` becomes ``s / sqrt(s**2 + ALPHA)`` in (-1, 1),
as VADER does (Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment
Analysis of Social Media Text", ICWSM).
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

from ml.satisfaction import lexicons

ALPHA = 15.0
"""VADER's: one strong word (3) gives .61, five of them .97."""

NEGATED = -0.74
"""VADER's: "not good" is less bad than "bad"."""

BOOSTED = 1.3
REACH = 3
"""So many words (in Chinese: so many characters) before a word can turn or strengthen it."""

HAN_SHARE = 0.3
"""Chinese has this share of its letters in Han characters; product names in Latin stay below."""

_WORD = re.compile(r"[a-zà-öø-ÿœß]+(?:'[a-z]+)?")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_OTHER_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


@dataclass(frozen=True)
class TextScores:
    """What is kept of a text.

    Attributes:
        length: Characters, without those of space around it.
        language: ``en``, ``zh`` or ``other``; ``None`` where there is no text.
        sentiment: -1 (bad) to 1 (good), 0 where no word says anything; ``None`` where there is no
            text or its language is another.
        topics: Topics that it names, sorted, with commas between; empty for none, ``None`` where
            there is no text.
    """

    length: int
    language: str | None
    sentiment: float | None
    topics: str | None


def score_text(text: str) -> TextScores:
    """Return the scores of a text."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if not plain:
        return TextScores(0, None, None, None)
    folded = plain.casefold().replace("\u2019", "'")
    words = _WORD.findall(folded)
    language = _language(folded, words)
    length = len(text.strip())
    if language == "en":
        return TextScores(length, language, _sentiment_en(words), _topics_en(words))
    if language == "zh":
        return TextScores(length, language, _sentiment_zh(folded), _topics_zh(folded))
    return TextScores(length, language, None, "")


def language_of(text: str) -> str | None:
    """Return ``en``, ``zh`` or ``other``; ``None`` where there is no text."""
    return score_text(text).language


def _language(folded: str, words: list[str]) -> str:
    han = len(_HAN.findall(folded))
    if han and not _OTHER_EAST_ASIAN.search(folded):
        letters = han + sum(len(word) for word in words)
        return "zh" if han >= HAN_SHARE * letters else "other"
    english, foreign = _frequent()
    known = sum(word in english for word in words)
    strange = sum(word in foreign and word not in english for word in words)
    if known + strange == 0 or known < strange:
        return "other"
    return "en"


@cache
def _frequent() -> tuple[frozenset[str], frozenset[str]]:
    found = lexicons.lists("languages.txt")
    told = {word for words, _ in lexicons.topics("en").values() for word in words}
    told |= set(lexicons.sentiment("en").whole)
    return frozenset(found["en"]) | told, frozenset(found["other"])


@cache
def _modifiers(language: str) -> tuple[frozenset[str], frozenset[str]]:
    found = lexicons.lists("modifiers.txt")
    return frozenset(found[f"negations_{language}"]), frozenset(found[f"boosters_{language}"])


@lru_cache(maxsize=65536)
def _valence_en(word: str) -> float:
    return lexicons.sentiment("en").of(word)


def _sentiment_en(words: list[str]) -> float:
    negations, boosters = _modifiers("en")
    total = 0.0
    for at, word in enumerate(words):
        valence = _valence_en(word)
        if valence:
            before = words[max(0, at - REACH) : at]
            if before and before[-1] in boosters:
                valence *= BOOSTED
            if any(one in negations for one in before):
                valence *= NEGATED
            total += valence
    return _squashed(total)


@cache
def _pattern_zh() -> re.Pattern[str]:
    """Longest words first: what a longer word says is not what its parts say."""
    found = sorted(lexicons.sentiment("zh").whole, key=lambda word: (-len(word), word))
    return re.compile("|".join(found))


def _sentiment_zh(folded: str) -> float:
    negations, boosters = _modifiers("zh")
    total, end = 0.0, 0
    for match in _pattern_zh().finditer(folded):
        valence = lexicons.sentiment("zh").whole[match.group()]
        before = folded[max(end, match.start() - REACH) : match.start()]
        if any(one in before for one in boosters):
            valence *= BOOSTED
        if any(one in before for one in negations):
            valence *= NEGATED
        total += valence
        end = match.end()
    return _squashed(total)


def _squashed(total: float) -> float:
    return round(total / math.sqrt(total * total + ALPHA), 4)


@lru_cache(maxsize=65536)
def _topics_of_word(word: str) -> frozenset[str]:
    return frozenset(
        topic
        for topic, (whole, roots) in lexicons.topics("en").items()
        if word in whole or word.startswith(roots or ("\0",))
    )


def _topics_en(words: list[str]) -> str:
    return ",".join(sorted({topic for word in set(words) for topic in _topics_of_word(word)}))


def _topics_zh(folded: str) -> str:
    return ",".join(
        sorted(
            topic
            for topic, (whole, _) in lexicons.topics("zh").items()
            if any(word in folded for word in whole)
        )
    )
