"""Makes ``world.topo.json`` and ``countries.csv`` from the npm package ``world-atlas``.

Needed only to make the two files again; nothing imports it. ``npm pack world-atlas@2.0.2``, unpack,
then ``python -m crm_pipeline.report.shapes.make package/countries-50m.json``. Shapes are Natural
Earth's (public domain), in the form of world-atlas (ISC licence); names and codes are the Unicode
consortium's (Unicode licence), as the package Babel has them.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from babel import Locale
from babel.core import get_global

from crm_pipeline.report.shapes.world import simplified, unwrapped

HERE = Path(__file__).resolve().parent
TOLERANCE = 0.11
"""Degrees that a simplified line may lie beside the true one."""
SMALLEST = 0.25
"""Square degrees below which an island is left out, unless it is its country's largest part."""
STEPS = 3600
"""Coordinates are whole tenths of a degree: 3,600 steps around the world."""
NAMELESS = {"Kosovo": "XK"}
LEFT_OUT = {"AQ"}
WITHOUT_SHAPE = {
    "BQ": (-68.3, 12.2),
    "BV": (3.4, -54.4),
    "CC": (96.8, -12.2),
    "CX": (105.6, -10.5),
    "GF": (-53.1, 3.9),
    "GI": (-5.4, 36.1),
    "GP": (-61.6, 16.3),
    "MQ": (-61.0, 14.6),
    "RE": (55.5, -21.1),
    "SJ": (16.0, 78.0),
    "TK": (-171.8, -9.2),
    "TV": (179.2, -8.5),
    "YT": (45.2, -12.8),
}
"""Territories that the shapes count to another country, or leave out: longitude, latitude."""

ALSO_KNOWN = {
    "AE": ["UAE"],
    "BA": ["Bosnia"],
    "CD": ["DR Congo", "Democratic Republic of the Congo"],
    "CG": ["Congo", "Republic of the Congo"],
    "CI": ["Ivory Coast"],
    "CN": ["PRC", "People's Republic of China", "Mainland China"],
    "CZ": ["Czech Republic"],
    "GB": ["UK", "Great Britain", "England", "Scotland", "Wales", "Northern Ireland"],
    "HK": ["Hong Kong", "香港"],
    "IE": ["Eire", "Republic of Ireland"],
    "KP": ["Democratic People's Republic of Korea"],
    "KR": ["Korea", "Republic of Korea"],
    "LA": ["Lao PDR"],
    "MK": ["Macedonia"],
    "MM": ["Burma", "Myanmar"],
    "MO": ["Macao", "Macau", "澳门"],
    "NL": ["The Netherlands", "Holland"],
    "PS": ["Palestine"],
    "RU": ["Russian Federation"],
    "SZ": ["Swaziland"],
    "TR": ["Turkey"],
    "US": ["USA", "United States of America", "America"],
    "VN": ["Viet Nam"],
    "ZA": ["RSA", "Republic of South Africa"],
}
"""Names in use that the catalogues do not have."""

Point = tuple[float, float]


def decoded(topology: dict[str, Any]) -> list[list[Point]]:
    """Return every arc in degrees."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * sx + tx, y * sy + ty))
        arcs.append(line)
    return arcs


def ring(arcs: list[list[Point]], numbers: list[int]) -> list[Point]:
    """Return the closed line that the arcs make."""
    points: list[Point] = []
    for number in numbers:
        line = arcs[number] if number >= 0 else arcs[~number][::-1]
        points += line[1:] if points else line
    return points


def area_and_centre(points: list[Point]) -> tuple[float, Point]:
    """Return the square degrees a ring encloses, and its centre."""
    double = x_sum = y_sum = 0.0
    for (ax, ay), (bx, by) in pairwise(points):
        cross = ax * by - bx * ay
        double += cross
        x_sum += (ax + bx) * cross
        y_sum += (ay + by) * cross
    if not double:
        return 0.0, points[0]
    return abs(double) / 2, (x_sum / (3 * double), y_sum / (3 * double))


def make(source: Path) -> None:
    """Write both files beside this one."""
    topology = json.loads(source.read_text(encoding="utf-8"))
    aliases = get_global("territory_aliases")
    true_arcs = decoded(topology)
    arcs = [simplified(line, TOLERANCE) for line in true_arcs]
    shapes: dict[str, list[list[int]]] = {}
    centres: dict[str, Point] = {}
    for country in topology["objects"]["countries"]["geometries"]:
        code = NAMELESS.get(country["properties"]["name"])
        if "id" in country:
            code = aliases[country["id"]][0]
        if code is None or code in LEFT_OUT:
            continue
        polygons = country["arcs"] if country["type"] == "MultiPolygon" else [country["arcs"]]
        sized = []
        for polygon in polygons:
            area, centre = area_and_centre(unwrapped(ring(true_arcs, polygon[0])))
            sized.append((area, centre, polygon[0]))
        sized.sort(key=lambda part: -part[0])
        if code not in centres:
            x, y = sized[0][1]
            centres[code] = (x + 180) % 360 - 180, y
        kept = [
            numbers
            for rank, (area, _, numbers) in enumerate(sized)
            if rank == 0 or area >= SMALLEST
        ]
        # what shrinks to a line is drawn as a point alone
        shapes.setdefault(code, []).extend(
            numbers for numbers in kept if len(set(ring(arcs, numbers))) >= 4
        )
    _write_shapes({code: shapes[code] for code in sorted(shapes) if shapes[code]}, arcs)
    _write_countries(centres | WITHOUT_SHAPE, aliases)


def _write_shapes(shapes: dict[str, list[list[int]]], arcs: list[list[Point]]) -> None:
    used = sorted({n if n >= 0 else ~n for parts in shapes.values() for r in parts for n in r})
    place = {number: index for index, number in enumerate(used)}
    lines = []
    for number in used:
        x = y = 0
        line: list[list[int]] = []
        for lon, lat in arcs[number]:
            px, py = round((lon + 180) * STEPS / 360), round((lat + 90) * STEPS / 360)
            if line and (px, py) == (x, y):
                continue
            line.append([px - x, py - y])
            x, y = px, py
        if len(line) == 1:
            line.append([0, 0])
        lines.append(line)
    geometries = [
        {
            "type": "MultiPolygon",
            "id": code,
            "arcs": [[[place[n] if n >= 0 else ~place[~n] for n in r]] for r in parts],
        }
        for code, parts in shapes.items()
    ]
    world = {
        "type": "Topology",
        "transform": {"scale": [360 / STEPS] * 2, "translate": [-180, -90]},
        "objects": {"countries": {"type": "GeometryCollection", "geometries": geometries}},
        "arcs": lines,
    }
    text = json.dumps(world, separators=(",", ":"))
    (HERE / "world.topo.json").write_text(text + "\n", encoding="utf-8")


def _write_countries(centres: dict[str, Point], aliases: Mapping[str, Any]) -> None:
    english, chinese = Locale("en").territories, Locale("zh").territories
    longer: dict[str, list[str]] = {}
    for alias, codes in aliases.items():
        if len(alias) == 3 and alias.isalpha() and len(codes) == 1:
            longer.setdefault(codes[0], []).append(alias)
    with (HERE / "countries.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["code", "longitude", "latitude", "english", "chinese", "also_known_as"])
        for code in sorted(centres):
            lon, lat = centres[code]
            names = sorted(longer.get(code, [])) + ALSO_KNOWN.get(code, [])
            writer.writerow(
                [code, f"{lon:.1f}", f"{lat:.1f}", english[code], chinese[code], "|".join(names)]
            )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
