"""Countries as the map needs them: found by any usual name, outlined, and laid flat.

The map shows the part of the world that holds the countries asked for: cut out and laid flat here,
so that a page holds only what it draws and no browser has to project anything.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

WIDEST_PART = 100.0
"""Degrees of longitude up to which a part is shown; above it the whole world."""
MARGIN = 0.12
"""Of the part's width and height, left free on each side."""
NARROWEST_PART = 12.0
"""Degrees that a part has at least, so that a small country is seen among its neighbours."""
NORTHERNMOST = 78.0
SOUTHERNMOST = -57.0
UNITS = 1000
"""Whole numbers across the map: finer than any screen shows it."""
FINENESS = 0.6
"""Units that a line may lie beside the stored one."""
SMALLEST_ISLAND = 2
"""Square units below which an island is not drawn."""
SMALLEST_AREA = 12
"""Square units (of a million) below which a country is marked by a dot as well."""

Point = tuple[float, float]
Ring = list[Point]


@dataclass(frozen=True)
class Country:
    """One country or territory, by its two ISO letters, and where its name or dot is put."""

    code: str
    longitude: float
    latitude: float
    english: str
    chinese: str

    def name(self, language: str) -> str:
        """Return its name in a language of the report."""
        return self.chinese if language == "zh" else self.english


@cache
def countries() -> dict[str, Country]:
    """Return every country by its code."""
    return {row["code"]: _country(row) for row in _rows()}


def _rows() -> list[dict[str, str]]:
    with (HERE / "countries.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _country(row: dict[str, str]) -> Country:
    place = float(row["longitude"]), float(row["latitude"])
    return Country(row["code"], *place, row["english"], row["chinese"])


@cache
def _codes() -> dict[str, str]:
    names = {}
    for row in _rows():
        known = [row["code"], row["english"], row["chinese"], *row["also_known_as"].split("|")]
        names.update({_plain(name): row["code"] for name in known if name})
    return names


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("&", "and").replace(".", "").split())


def code_of(name: str | None) -> str | None:
    """Return the two letters of a country that a source names by code or name; else None."""
    return _codes().get(_plain(name)) if name else None


@cache
def _shapes() -> dict[str, list[Ring]]:
    world = json.loads((HERE / "world.topo.json").read_text(encoding="utf-8"))
    (sx, sy), (tx, ty) = world["transform"]["scale"], world["transform"]["translate"]
    arcs = []
    for steps in world["arcs"]:
        x = y = 0
        arc = []
        for dx, dy in steps:
            x, y = x + dx, y + dy
            arc.append((x * sx + tx, y * sy + ty))
        arcs.append(arc)
    shapes = {}
    for country in world["objects"]["countries"]["geometries"]:
        rings = []
        for [numbers] in country["arcs"]:
            ring: Ring = []
            for number in numbers:
                arc = arcs[number] if number >= 0 else arcs[~number][::-1]
                ring += arc[1:] if ring else arc
            rings += _within_the_edge(unwrapped(ring))
        shapes[country["id"]] = rings
    return shapes


def unwrapped(ring: Ring) -> Ring:
    """Return the ring without jumps from one edge of the world to the other."""
    line: Ring = []
    turns = 0
    for x, y in ring:
        if line and abs(x + turns - line[-1][0]) > 180:
            turns += 360 if x + turns < line[-1][0] else -360
        line.append((x + turns, y))
    return line


def _within_the_edge(ring: Ring) -> list[Ring]:
    """Return the parts of a ring on either side of the date line, each where the map has it."""
    if all(-180 <= x <= 180 for x, _ in ring):
        return [ring]
    whole = View(-180.0, -90.0, 180.0, 90.0, True)
    moved = ([(x + by, y) for x, y in ring] for by in (-360, 0, 360))
    return [part for one in moved if (part := _cut(one, whole))]


@dataclass(frozen=True)
class View:
    """The part of the world that is shown, in degrees, and whether that is all of it."""

    west: float
    south: float
    east: float
    north: float
    is_world: bool

    @cached_property
    def _frame(self) -> tuple[float, float, float]:
        # on the whole world the widest line is the equator
        left, right = (
            _laid_flat((x, 0.0 if self.is_world else self.north), self.is_world)[0]
            for x in (self.west, self.east)
        )
        return left, _laid_flat((self.west, self.north), self.is_world)[1], UNITS / (right - left)

    def flat(self, point: Point) -> Point:
        """Return where a point lies on the map: units from its left and upper edges."""
        left, top, scale = self._frame
        x, y = _laid_flat(point, self.is_world)
        return (x - left) * scale, (top - y) * scale

    @property
    def height(self) -> float:
        """Height of the map over its width."""
        return self.flat((self.west, self.south))[1] / UNITS


def _laid_flat(point: Point, is_world: bool) -> Point:
    longitude, latitude = map(math.radians, point)
    if not is_world:  # Mercator's, as on street maps
        return longitude, math.log(math.tan(math.pi / 4 + latitude / 2))
    # Equal Earth (Savric, Patterson and Jenny 2018): areas compare
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    t = math.asin(math.sqrt(3) / 2 * math.sin(latitude))
    slope = 9 * a4 * t**8 + 7 * a3 * t**6 + 3 * a2 * t**2 + a1
    x = 2 * math.sqrt(3) * longitude * math.cos(t) / (3 * slope)
    return x, a4 * t**9 + a3 * t**7 + a2 * t**3 + a1 * t


def view_of(codes: Collection[str]) -> View:
    """Return the smallest part of the world that shows the main parts of these countries."""
    world = View(-180.0, SOUTHERNMOST, 180.0, 84.0, True)
    if not codes:
        return world
    points = [point for code in codes for point in _main_part(code)]
    west, east = min(x for x, _ in points), max(x for x, _ in points)
    south, north = min(y for _, y in points), max(y for _, y in points)
    if east - west > WIDEST_PART or north - south > WIDEST_PART:
        return world
    wide = max(east - west, NARROWEST_PART) * (1 + 2 * MARGIN)
    high = max(north - south, NARROWEST_PART * 0.6) * (1 + 2 * MARGIN)
    # neither a strip nor a tower
    wide, high = max(wide, high * 1.2), max(high, wide * 0.35)
    middle_x, middle_y = (west + east) / 2, (south + north) / 2
    return View(
        max(middle_x - wide / 2, -180.0),
        max(middle_y - high / 2, SOUTHERNMOST),
        min(middle_x + wide / 2, 180.0),
        min(middle_y + high / 2, NORTHERNMOST),
        False,
    )


def _main_part(code: str) -> Ring:
    country = countries()[code]
    rings = _shapes().get(code, [])
    return max(rings, key=_area, default=[(country.longitude, country.latitude)])


def _area(ring: Ring) -> float:
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairwise(ring)))


def outlines(view: View) -> dict[str, list[list[list[int]]]]:
    """Return the flat rings of every country that the view shows, by code."""
    found = {}
    for code, rings in sorted(_shapes().items()):
        flat = [_whole(view, _cut(ring, view)) for ring in rings]
        if kept := [ring for ring in flat if len(ring) >= 4]:
            found[code] = kept
    return found


def is_tiny(feature: dict[str, Any]) -> bool:
    """Whether a country's outline is too small to be seen on the map."""
    rings = [ring for [ring] in feature["geometry"]["coordinates"]]
    return sum(_area([(x, y) for x, y in ring]) / 2 for ring in rings) < SMALLEST_AREA


def simplified(line: Ring, tolerance: float) -> Ring:
    """Return the line with the points that matter (Douglas and Peucker); its ends stay."""
    if len(line) < 3:
        return line
    (ax, ay), (bx, by) = line[0], line[-1]
    length = math.hypot(bx - ax, by - ay)
    worst, at = 0.0, 0
    for index, (x, y) in enumerate(line[1:-1], start=1):
        if length:
            distance = abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length
        else:
            distance = math.hypot(x - ax, y - ay)
        if distance > worst:
            worst, at = distance, index
    if worst <= tolerance:
        return [line[0], line[-1]]
    return simplified(line[: at + 1], tolerance)[:-1] + simplified(line[at:], tolerance)


def _cut(ring: Ring, view: View) -> Ring:
    """Return the ring's part within the view (Sutherland and Hodgman)."""
    edges = ((0, view.west, 1), (0, view.east, -1), (1, view.south, 1), (1, view.north, -1))
    for axis, limit, side in edges:
        if not ring:
            break
        kept: Ring = []
        before = ring[-1]
        for point in ring:
            inside, was_inside = (p[axis] * side >= limit * side for p in (point, before))
            if inside != was_inside:
                part = (limit - before[axis]) / (point[axis] - before[axis])
                x, y = (b + part * (p - b) for b, p in zip(before, point, strict=True))
                kept.append((x, y))
            if inside:
                kept.append(point)
            before = point
        ring = kept
    return ring


def _whole(view: View, ring: Ring) -> list[list[int]]:
    """Return the flat ring in whole units, closed, with the points that can be told apart."""
    if not ring:
        return []
    flat = [view.flat(point) for point in ring]
    if _area(flat) / 2 < SMALLEST_ISLAND:
        return []
    # a closed line has no ends: it is simplified in two halves, from its leftmost point
    start = flat.index(min(flat))
    flat = flat[start:] + flat[:start]
    half = max(range(len(flat)), key=lambda index: math.dist(flat[0], flat[index]))
    fine = simplified(flat[: half + 1], FINENESS)[:-1]
    fine += simplified([*flat[half:], flat[0]], FINENESS)
    line: list[list[int]] = []
    for x, y in fine:
        point = [round(x), round(y)]
        if not line or line[-1] != point:
            line.append(point)
    return line


def features(view: View, properties: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the view shows as GeoJSON, each country with the properties given for it."""
    return [
        {
            "type": "Feature",
            "geometry": {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]},
            "properties": {"code": code} | properties.get(code, {}),
        }
        for code, rings in outlines(view).items()
    ]
