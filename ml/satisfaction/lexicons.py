"""The word lists beside this file, read once: sentiment, what turns it, topics, languages.

Belongs here: how the lists are written. What is made of them belongs in ``text_scores.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
TOPICS = ("delivery", "price", "quality", "return", "service", "size", "staff")


@dataclass(frozen=True)
class Words:
    """Word -> what it says; roots stand for every word that begins with them."""

    whole: dict[str, float]
    roots: dict[str, float]

    def of(self, word: str) -> float:
        """Return what a word says; 0 where it is not listed."""
        if word in self.whole:
            return self.whole[word]
        for end in range(len(word), 2, -1):
            if word[:end] in self.roots:
                return self.roots[word[:end]]
        return 0.0


def _lists(name: str) -> Iterator[tuple[str, list[str]]]:
    for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            label, _, words = line.partition(":")
            yield label, words.split()


def lists(name: str) -> dict[str, list[str]]:
    """Return label -> words of one of the files."""
    return dict(_lists(name))


@cache
def sentiment(language: str) -> Words:
    """Return the valence, -3 to 3, of the words of ``en`` or ``zh``."""
    whole: dict[str, float] = {}
    roots: dict[str, float] = {}
    for label, words in _lists(f"sentiment_{language}.txt"):
        for word in words:
            (roots if word.endswith("*") else whole)[word.rstrip("*")] = float(label)
    return Words(whole, roots)


@cache
def topics(language: str) -> dict[str, tuple[frozenset[str], tuple[str, ...]]]:
    """Return topic -> its whole words and its roots, in ``en`` or ``zh``."""
    found = lists(f"topics_{language}.txt")
    return {
        topic: (
            frozenset(word for word in words if not word.endswith("*")),
            tuple(word.rstrip("*") for word in words if word.endswith("*")),
        )
        for topic, words in found.items()
    }


@cache
def digest() -> str:
    """Return a digest of lists and rules: what a text's scores depend on beside the text."""
    found = hashlib.sha256()
    # not the trained model's: changing that must not land every text again
    rules = [_FOLDER / name for name in ("__init__.py", "lexicons.py", "text_scores.py")]
    for file in sorted([*_FOLDER.glob("*.txt"), *rules]):
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
