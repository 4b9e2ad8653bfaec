"""The map: every country has its place, by any name it is given, and keeps within its frame."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from crm_pipeline.report.pages import places
from crm_pipeline.report.shapes import world
from crm_pipeline.report.words import LANGUAGES, Words

SHAPES = Path(world.__file__).parent
MOST_BYTES = 120_000
RETAIL = (
    "Australia", "Austria", "Bahrain", "Belgium", "Brazil", "Canada", "Cyprus", "Czech Republic",
    "Denmark", "EIRE", "Finland", "France", "Germany", "Greece", "Hong Kong", "Iceland", "Israel",
    "Italy", "Japan", "Lebanon", "Lithuania", "Malta", "Netherlands", "Norway", "Poland",
    "Portugal", "RSA", "Saudi Arabia", "Singapore", "Spain", "Sweden", "Switzerland", "USA",
    "United Arab Emirates", "United Kingdom",
)  # fmt: skip
"""As a real shop writes them."""


def residents(*names: str) -> pd.DataFrame:
    rows = [(name, 3 * (at + 1)) for at, name in enumerate(names)]
    return pd.DataFrame(rows, columns=["country", "customers"], dtype=object)


def drawn(frame: pd.DataFrame, language: str = "en") -> tuple[set[str], set[str]]:
    """The names of the countries that the chart fills, and of those that it marks by a dot."""
    chart = places.PAGE.figures[0].draw(frame, Words(language, "places"))
    layers = [layer["data"]["values"] for layer in chart.to_dict()["layer"]]
    filled = {shape["country"] for shape in layers[1]}
    return filled, {dot["country"] for dot in layers[2]} if len(layers) > 2 else set()


def test_the_shapes_are_small_and_need_no_network():
    assert (SHAPES / "world.topo.json").stat().st_size <= MOST_BYTES
    assert "http" not in (SHAPES / "world.topo.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RETAIL)
def test_a_country_is_found_by_the_name_that_a_shop_gives_it(name):
    assert world.code_of(name) in world.countries()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("DE", "DE"),
        ("de", "DE"),
        ("DEU", "DE"),
        ("Germany", "DE"),
        (" germany ", "DE"),
        ("德国", "DE"),
        ("U.S.A.", "US"),
        ("Bosnia and Herzegovina", "BA"),
        ("Kosovo", "XK"),
        ("Unspecified", None),
        ("European Community", None),
        ("unknown", None),
        ("", None),
        (None, None),
    ],
)
def test_codes_and_names_lead_to_one_country_and_what_is_none_to_none(name, code):
    assert world.code_of(name) == code


def test_every_country_has_a_name_in_every_language_and_lies_on_earth():
    known = world.countries()
    assert len(known) > 240
    for code, country in known.items():
        assert world.code_of(code) == code
        assert -180 <= country.longitude <= 180
        assert -90 <= country.latitude <= 90
        assert all(country.name(language) for language in LANGUAGES)


def test_no_name_means_two_countries():
    told: dict[str, str] = {}
    for row in world._rows():
        for name in (row["code"], row["english"], row["chinese"], *row["also_known_as"].split("|")):
            if name:
                assert told.setdefault(name.casefold(), row["code"]) == row["code"], name


@pytest.mark.parametrize("code", ["FJ", "FR", "GI", "KI", "MT", "NZ", "RU", "SG", "US", "XK"])
def test_a_country_alone_is_seen_on_its_map(code):
    filled, dots = drawn(residents(code))
    assert world.countries()[code].name("en") in filled | dots


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_map_of_the_world_every_country_is_filled_or_has_a_dot(language):
    everybody = sorted(world.countries())
    filled, dots = drawn(residents(*everybody), language)
    assert filled | dots == {world.countries()[code].name(language) for code in everybody}
    assert {"Singapore", "新加坡"} & dots
    assert not {"Brazil", "巴西"} & dots


def test_what_has_no_place_is_told_and_the_rest_is_drawn():
    frame = residents("DE", "Germany", "EIRE", "Unspecified", "unknown")
    customers, missing = places.placed(frame)
    assert customers == {"DE": 9, "IE": 9}
    assert missing == ["Unspecified", "unknown"]
    finding = places.PAGE.figures[0].finding(frame, Words("en", "places"))
    assert finding["missing"] == "Not on the map: Unspecified, unknown."
    assert finding["countries"] == "2"


def test_a_company_whose_countries_nobody_knows_still_gets_a_map():
    frame = residents("Atlantis")
    assert drawn(frame) == (set(), set())
    assert places.PAGE.figures[0].finding(frame, Words("en", "places"))["countries"] == "0"


@pytest.mark.parametrize(
    ("codes", "is_world"),
    [(["DE", "FR"], False), (["SG"], False), (["DE", "US"], True), (["RU"], True), ([], True)],
)
def test_neighbours_get_a_map_of_their_part_others_the_world(codes, is_world):
    view = world.view_of(codes)
    assert view.is_world == is_world
    for rings in world.outlines(view).values():
        for x, y in (point for ring in rings for point in ring):
            assert -1 <= x <= world.UNITS + 1
            assert -1 <= y <= view.height * world.UNITS + 1


def test_no_outline_crosses_the_map_from_edge_to_edge():
    view = world.view_of([])
    for code, rings in world.outlines(view).items():
        for ring in rings:
            steps = [math.dist(a, b) for a, b in pairwise(ring)]
            assert max(steps) < world.UNITS / 5, code


def test_a_ring_over_the_date_line_is_in_two_parts():
    ring = [(170.0, 0.0), (-170.0, 0.0), (-170.0, 10.0), (170.0, 10.0), (170.0, 0.0)]
    parts = world._within_the_edge(world.unwrapped(ring))
    assert sorted((min(x for x, _ in p), max(x for x, _ in p)) for p in parts) == [
        (-180.0, -170.0),
        (170.0, 180.0),
    ]


def test_simplifying_keeps_ends_and_corners():
    line = [(0.0, 0.0), (1.0, 0.01), (2.0, 0.0), (2.0, 2.0)]
    assert world.simplified(line, 0.1) == [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)]
    assert world.simplified(line, 0.001) == line
