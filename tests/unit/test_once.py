"""What a session makes once: by one of those who ask at one moment, and never by halves."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.once import made_once


def test_of_many_who_ask_one_makes_it_and_all_get_it_whole(tmp_path):
    made = []

    def make(place: Path) -> None:
        made.append(place)
        place.mkdir()
        time.sleep(0.1)
        (place / "part").write_text("whole")

    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: made_once(tmp_path, "home", make), range(4)))
        read = list(pool.map(lambda place: (place / "part").read_text(), got))
    assert made == [tmp_path / "home"]
    assert read == ["whole"] * 4


def test_a_failure_is_told_to_everybody_and_not_tried_again(tmp_path):
    def fail(place: Path) -> None:
        place.mkdir()
        raise ValueError("no disk")

    with pytest.raises(ValueError, match="no disk"):
        made_once(tmp_path, "home", fail)
    with pytest.raises(AssertionError, match=r"home could not be made .*\nValueError: no disk"):
        made_once(tmp_path, "home", Path.mkdir)


def test_what_a_killed_maker_left_is_made_anew(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "half").touch()
    assert list(made_once(tmp_path, "home", Path.mkdir).iterdir()) == []
