"""How a file's columns differ from the declared ones, and what that means for the file.

A new column is left unread and an absent optional one is null: both land and are reported. A
required column that is missing, one that looks renamed and one of another type mean that the rows
would say something else than the contract: the whole file is refused. Belongs here: names and
places. Whether values bear a suspicion out is asked of ``Evidence`` (``evidence.py``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Protocol

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract

NEW = "new_column"
MISSING = "missing_column"
MISSING_REQUIRED = "missing_required"
RENAMED = "renamed_column"
RETYPED = "retyped_column"

ALIKE = 0.7
"""Names with this share of letters in common, in order, are alike: customer_id and cust_id .75,
amount and net_amount .8; city and country .55, qty and quantity .55 (which their place can show).
order_id and order_date have .75, so values that do not fit the declared type overrule it."""

SHOWN_COLUMNS = 3
"""So many differences are told in a message; ``control.drift`` has them all."""

SEEN_FIELDS = 1000
"""So many undeclared fields are looked at."""

REPORTED_NEW = 20
"""So many new columns of one file are reported by name: JSON objects may use values as keys."""

_SHOWN_CHARACTERS = 60
_NAME_LIKE = re.compile(r"[^\W\d][\w .#/()-]*")
_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Drift:
    """One column that is not as declared; ``expected`` and ``found`` hold no value."""

    kind: str
    column: str
    expected: str
    found: str
    renamed_to: str = ""

    @property
    def is_fatal(self) -> bool:
        """Whether the file that has it is refused."""
        return self.kind in (MISSING_REQUIRED, RENAMED, RETYPED)

    def __str__(self) -> str:
        """The difference, side by side."""
        column, name = self.column, self.renamed_to
        said = {
            NEW: f"{column} is not declared and not read",
            MISSING: f"{column} is missing and read as null",
            MISSING_REQUIRED: f"its header lacks {column}",
            RENAMED: f"{column} looks renamed" + (f" to {name}" if name else ""),
            RETYPED: f"{column} looks retyped",
        }[self.kind]
        return f"{said} (expected {self.expected or 'nothing'} | found {self.found or 'nothing'})"


class RefusedFileError(Exception):
    """Nothing of the file can land; the message says why and what to do, without values.

    Attributes:
        digest: The content's identity, where the file could be read.
        drift: How its columns differ from the declared ones, if that is the reason.
    """

    def __init__(
        self, message: str, *, digest: str | None = None, drift: tuple[Drift, ...] = ()
    ) -> None:
        """Take the message."""
        super().__init__(message)
        self.digest = digest
        self.drift = drift


class Evidence(Protocol):
    """What the values of a file's fields say."""

    def fits(self, column: ColumnContract, field: int) -> tuple[bool | None, str]:
        """Return whether a field's values could be the column's, and their shape.

        ``None`` where the field has no values. The shape is empty where it must not be told.
        """
        ...


@dataclass(frozen=True)
class Match:
    """Which of a file's fields are the declared columns.

    Attributes:
        positions: For each declared column its field, or ``None``.
        unread: Fields that are no declared column and not among the ignored ones.
        repeated: Names that several fields have.
    """

    positions: tuple[int | None, ...]
    unread: tuple[int, ...]
    repeated: tuple[str, ...]


def match_columns(
    contract: TableContract, names: Sequence[str], *, folds_case: bool = True
) -> Match:
    """Find the declared columns among a file's ``names``.

    A column is found by its header's exact text, else without regard to case (not in JSON, where
    a value is asked for by its exact key). Of several columns of one name ``header: "name#2"``
    takes the second.
    """
    places: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for position, name in enumerate(names):
        seen[name] += 1
        places.setdefault(f"{name}#{seen[name]}", position)
    for position, name in enumerate(names):
        places.setdefault(name, position)
    folded: dict[str, int] = {}
    for name, position in places.items() if folds_case else ():
        folded.setdefault(name.casefold(), position)
    positions = tuple(
        places.get(column.header, folded.get(column.header.casefold()))
        for column in contract.columns
    )
    taken = {position for position in positions if position is not None}
    ignored = {name.casefold() for name in contract.ignored_columns}
    unread = tuple(
        position
        for position, name in enumerate(names)
        if position not in taken and name.casefold() not in ignored and "*" not in ignored
    )
    return Match(positions, unread, tuple(name for name in seen if seen[name] > 1))


def judge(
    contract: TableContract,
    names: Sequence[str],
    match: Match,
    evidence: Evidence,
    *,
    has_places: bool = True,
    tells_missing: bool = True,
) -> tuple[Drift, ...]:
    """Return how a file's columns differ from the declared ones.

    Args:
        contract: The table.
        names: The names of the file's fields.
        match: Which of them are the declared columns.
        evidence: The values.
        has_places: Whether a field's place means anything (not in JSON).
        tells_missing: Whether an absent optional column is worth telling.
    """
    missing = [i for i, position in enumerate(match.positions) if position is None]
    if len(missing) == len(contract.columns):
        return _nothing_matches(contract, names)
    renames = _renames(contract, names, match, missing, evidence, has_places)
    found = []
    for index in missing:
        column = contract.columns[index]
        expected = type_text(contract, column)
        if index in renames:
            field, shape = renames[index]
            name = shown_name(contract, names[field], match)
            shown = f"{name} {shape}".strip()
            found.append(Drift(RENAMED, column.header, expected, shown, renamed_to=name))
        elif column.required:
            others = shown_names(contract, [names[field] for field in match.unread], match)
            found.append(Drift(MISSING_REQUIRED, column.header, expected, others))
        elif tells_missing:
            found.append(Drift(MISSING, column.header, expected, ""))
    taken = {field for field, _ in renames.values()}
    new = [shown_name(contract, names[f], match) for f in match.unread if f not in taken]
    new = sorted(set(new))
    found += [Drift(NEW, name, "", "a column") for name in new[:REPORTED_NEW]]
    if more := len(new) - REPORTED_NEW:
        if more > 0:
            found.append(Drift(NEW, f"and {more} more", "", "columns"))
    return tuple(found)


def refuse_drift(contract: TableContract, digest: str, drift: Sequence[Drift]) -> None:
    """Raise if any of a file's differences is one that its rows cannot be trusted with.

    Raises:
        RefusedFileError: The message shows expected and found side by side.
    """
    fatal = [one for one in drift if one.is_fatal]
    if not fatal:
        return
    told = "; ".join(str(one) for one in fatal[:SHOWN_COLUMNS])
    if more := len(fatal) - SHOWN_COLUMNS:
        told += f"; and {more} more" if more > 0 else ""
    remedy = {
        MISSING_REQUIRED: "put the column back, or say there under `header` and `delimiter` how "
        "the files look now",
        RENAMED: "if the new name is meant, say it there as the column's `header`; if it is "
        "another column, declare it there as one of its own, or under `ignored_columns`",
        RETYPED: "if the change is meant, say it there (`data_type`, `date_format`, "
        "`timestamp_format`; `crm source draft FILE` shows what fits)",
    }[fatal[0].kind]
    raise RefusedFileError(
        f"{told}. Deliver the file as declared in {contract.declared_in}; {remedy}. "
        "`crm source check FILE` tells whether it would land",
        digest=digest,
        drift=tuple(drift),
    )


def notes_of(drift: Iterable[Drift], match: Match | None = None) -> tuple[str, ...]:
    """Return what a user should know of a file that lands although its columns differ."""
    found = list(drift)
    notes = []
    if missing := [one.column for one in found if one.kind == MISSING]:
        notes.append(f"missing columns read as null: {', '.join(missing)}")
    if match is not None and match.repeated:
        notes.append(f"header names several columns alike: {', '.join(match.repeated)}")
    if new := [one.column or "(no name)" for one in found if one.kind == NEW]:
        notes.append(f"columns not declared and not read: {', '.join(new)}")
    return tuple(notes)


def type_text(contract: TableContract, column: ColumnContract) -> str:
    """Return a column's declared type, with its format and whether it is required."""
    formats = {"date": contract.date_formats, "timestamp": contract.timestamp_formats}
    text = column.data_type
    if declared := formats.get(text):
        text += f" as {' or '.join(declared)}"
    return text + (", required" if column.required else "")


def _nothing_matches(contract: TableContract, names: Sequence[str]) -> tuple[Drift, ...]:
    """No declared column is there: perhaps what was read as the header is a row of values."""
    shapes = ", ".join(f"'{shape_of(name)}'" for name in names[:SHOWN_COLUMNS])
    more = len(names) - SHOWN_COLUMNS
    count = "one other" if len(names) == 1 else f"{len(names)} others"
    found = f"{count}, of the shape {shapes}" + (" ..." if more > 0 else "")
    return tuple(
        Drift(MISSING_REQUIRED, column.header, type_text(contract, column), found)
        for column in contract.columns
    )


def _renames(
    contract: TableContract,
    names: Sequence[str],
    match: Match,
    missing: Sequence[int],
    evidence: Evidence,
    has_places: bool,
) -> dict[int, tuple[int, str]]:
    """Return, for missing columns that seem to have a new name, that field and its shape."""
    candidates = []
    for index in missing:
        for field in match.unread[:SEEN_FIELDS]:
            likeness = alike(contract.columns[index].header, names[field])
            is_placed = has_places and _same_place(match, len(names), index, field)
            if likeness >= ALIKE or is_placed:
                candidates.append((likeness < ALIKE, -likeness, index, field))
    found: dict[int, tuple[int, str]] = {}
    taken: set[int] = set()
    for is_by_place, _, index, field in sorted(candidates):
        if index in found or field in taken:
            continue
        fits, shape = evidence.fits(contract.columns[index], field)
        if fits or (fits is None and not is_by_place):
            found[index] = (field, shape)
            taken.add(field)
    return found


def alike(one: str, other: str) -> float:
    """Return how alike two names are, 0 to 1, without regard to case and signs."""
    first, second = (_WORD.sub("", name).casefold() for name in (one, other))
    return SequenceMatcher(None, first, second, autojunk=False).ratio() if first else 0.0


def _same_place(match: Match, field_count: int, index: int, field: int) -> bool:
    """Whether a field stands where a column belongs: counted, or between the same neighbours."""
    positions = match.positions
    if field_count == len(positions) and field == index:
        return True
    before = field == 0 if index == 0 else positions[index - 1] == field - 1
    is_last = index == len(positions) - 1
    after = field == field_count - 1 if is_last else positions[index + 1] == field + 1
    return before and after


def shown_name(contract: TableContract, name: str, match: Match) -> str:
    """Return a field's name, or its shape where it could be a person's value.

    What was read as a header may be a row of values, and JSON objects may use values as keys. In a
    table with personal columns a name is told if half of the declared columns were found and it
    looks like a name.
    """
    matched = sum(position is not None for position in match.positions)
    is_header = 2 * matched >= len(match.positions)
    if contract.has_personal_columns and not (is_header and _NAME_LIKE.fullmatch(name)):
        return f"'{shape_of(name)}'"
    return "".join(c if c.isprintable() else "?" for c in name[:_SHOWN_CHARACTERS]) or "(no name)"


def shown_names(contract: TableContract, names: Sequence[str], match: Match) -> str:
    """Return the first of some fields' names."""
    shown = [shown_name(contract, name, match) for name in names[:SHOWN_COLUMNS]]
    more = len(names) - SHOWN_COLUMNS
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def shape_of(value: str) -> str:
    """Return a value's shape: ``a`` for a letter, ``9`` for a digit, signs as they are."""
    shape = (
        "a" if c.isalpha() else "9" if c.isnumeric() else c if c.isprintable() else "?"
        for c in value[:24]
    )  # fmt: skip
    return "".join(shape) + ("..." if len(value) > 24 else "")
