"""Names of segments: from the company's seed table, else from what sets a segment apart.

Belongs here: levels, names, their uniqueness. Does not: how a segment is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ml.segmentation.features import FEATURES, FloatArray

LEVEL_COLUMNS = ("recency_level", "frequency_level", "monetary_level")
LEVELS = ("low", "medium", "high")
LEVEL_DEVIATION = 0.5
"""A centre this many standard deviations from the mean of all customers' log feature is low or
high; between, it is medium. High recency means bought lately, as in an RFM score."""

NOTABLE_DEVIATION = 0.1
"""A smaller deviation does not enter a name."""

_GOOD_SIDE = np.array([-1.0, 1.0, 1.0])  # fewer days since the last order are better
_PHRASES = (("long ago", "recently"), ("rarely", "often"), ("low spend", "high spend"))


def profile_names(profiles: pd.DataFrame | None) -> dict[str, str]:
    """Return ``"recency/frequency/monetary"`` levels -> segment name, from the seed table.

    Args:
        profiles: Columns ``recency_level, frequency_level, monetary_level`` (low, medium, high)
            and ``segment_name``; any subset of the 27 combinations, ``None`` for no table.

    Raises:
        ValueError: A column is missing, a level is unknown, a name is empty, or a combination or
            a name occurs twice.
    """
    if profiles is None or profiles.empty:
        return {}
    needed = [*LEVEL_COLUMNS, "segment_name"]
    if missing := [c for c in needed if c not in profiles.columns]:
        raise ValueError(f"segment_profiles lacks the columns {missing}")
    table = profiles[needed].fillna("").astype(str).apply(lambda column: column.str.strip())
    levels = table[list(LEVEL_COLUMNS)]
    if not levels.isin(LEVELS).all(axis=None):
        raise ValueError(f"segment_profiles: levels are {', '.join(LEVELS)}, nothing else")
    keys = levels.agg("/".join, axis=1)
    names = table["segment_name"]
    if (names == "").any():
        raise ValueError("segment_profiles: segment_name is empty on a row")
    for what, values in (("combination of levels", keys), ("segment_name", names.str.casefold())):
        if values.duplicated().any():
            raise ValueError(f"segment_profiles: the same {what} occurs twice")
    return dict(zip(keys, names, strict=True))


def seeded_descriptions(names: Sequence[str], profiles: pd.DataFrame | None) -> list[str]:
    """Return the seed table's ``description`` for each name that comes from it, else ``""``."""
    if profiles is None or "description" not in profiles.columns:
        return [""] * len(names)
    known = dict(
        zip(
            profiles["segment_name"].astype(str).str.strip(),
            profiles["description"].fillna("").astype(str),
            strict=True,
        )
    )
    return [known.get(name, "") for name in names]


def level_key(centre: FloatArray) -> str:
    """Return the levels of a centre (in standard deviations), for example ``"low/low/high"``."""
    goodness = centre * _GOOD_SIDE
    return "/".join(
        "high" if value >= LEVEL_DEVIATION else "low" if value <= -LEVEL_DEVIATION else "medium"
        for value in goodness
    )


def describe(centre: FloatArray, strongest: int = 2) -> str:
    """Return the strongest deviations of a centre in words, for example ``"Rarely, low spend"``."""
    size = np.abs(centre)
    order = np.argsort(-size, kind="stable")[:strongest]
    goodness = centre * _GOOD_SIDE
    words = [
        _PHRASES[i][int(goodness[i] > 0)]
        for i in range(len(FEATURES))
        if i in order and size[i] >= NOTABLE_DEVIATION
    ]
    return (", ".join(words) or "average").capitalize()


def name_segments(centres: FloatArray, names: Mapping[str, str]) -> list[str]:
    """Return one unique name a centre, in the order of the centres.

    The name of the seed table goes to the first segment that fits it; a later one that fits the
    same row is called by its two strongest deviations, then by all three, then by a number.

    Args:
        centres: Shape ``(k, 3)``, in standard deviations, columns as in ``FEATURES``.
        names: From ``profile_names``.
    """
    return _name_rest(centres, names, [None] * len(centres))


def carry_names(
    centres: FloatArray,
    names: Mapping[str, str],
    previous: Sequence[int],
    old_names: Sequence[str],
    old_table: Mapping[str, str],
) -> list[str]:
    """Return one unique name a centre: of a segment that stays, the one it had.

    A name that came from the seed table is looked up in today's table by the levels it stood for;
    where that row is gone, the segment is named anew.

    Args:
        centres: As for ``name_segments``.
        names: Today's names by levels.
        previous: Place of the same segment in ``old_names``, -1 for a new one.
        old_names: The champion's.
        old_table: Its names by levels.
    """
    levels = {name.casefold(): key for key, name in old_table.items()}
    kept: list[str | None] = []
    for place in previous:
        old = old_names[place] if place >= 0 else None
        if old is not None and old.casefold() in levels:
            old = names.get(levels[old.casefold()])
        is_free = old is not None and old.casefold() not in {k.casefold() for k in kept if k}
        kept.append(old if is_free else None)
    return _name_rest(centres, names, kept)


def _name_rest(
    centres: FloatArray, names: Mapping[str, str], kept: Sequence[str | None]
) -> list[str]:
    taken = {name.casefold() for name in kept if name is not None}
    result = []
    for centre, known in zip(centres, kept, strict=True):
        name = known
        if name is None:
            name = next(n for n in _candidates(centre, names) if n.casefold() not in taken)
            taken.add(name.casefold())
        result.append(name)
    return result


def _candidates(centre: FloatArray, names: Mapping[str, str]) -> Iterator[str]:
    seeded = names.get(level_key(centre))
    if seeded is not None:
        yield seeded
    yield describe(centre)
    yield describe(centre, strongest=len(FEATURES))
    number = 2
    while True:
        yield f"{seeded or describe(centre)} {number}"
        number += 1
