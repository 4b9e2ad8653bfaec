"""Random histories of an inbox, and what must be true of a warehouse that lived through one.

A history is a list of events; ``survivors`` says, from the rules of landing alone, which files
count at its end. Whoever lands those at once and builds everything must get the same tables.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from crm_pipeline.defs.landing.ledger import retract
from crm_pipeline.errors import UserError
from tests.pipeline.harness.generate import Generator, Row, days
from tests.pipeline.harness.warehouse import Plan, ReplayedWarehouse, ShuffledWarehouse

START = datetime.fromisoformat("2025-01-01 00:00:00")
STEP = timedelta(minutes=10)
LENGTHS = (6, 6, 6, 6, 40)
"""Most rows of the files that are there first."""


@dataclass(frozen=True)
class Put:
    """A file arrives: new, late, corrected, a copy, empty; ``other_bytes``: other line ends."""

    table: tuple[str, str]
    name: str
    rows: tuple[Row, ...]
    other_bytes: bool = False


@dataclass(frozen=True)
class Remove:
    """A file leaves the inbox, which changes nothing."""

    source: str
    name: str


@dataclass(frozen=True)
class Retract:
    """Somebody takes a landed file back."""

    source: str
    name: str


@dataclass(frozen=True)
class Touch:
    """A file that lies there is delivered again, as it is."""

    source: str
    name: str


@dataclass(frozen=True)
class Land:
    """What lies there lands, and nothing is built."""


@dataclass(frozen=True)
class Build:
    """A refresh; ``stop_at`` is the share of its statements after which it is killed."""

    as_of: date | None = None
    stop_at: float | None = None


Event = Put | Remove | Retract | Touch | Land | Build


@dataclass
class Coverage:
    """What the sequences exercised.

    Attributes:
        builds: Kind of build -> how many.
        changed: Incremental table -> partial builds that changed it.
        staged: Staging view -> partial builds in which it had rows to bring.
        events: Kind of event -> how many.
    """

    builds: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    staged: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    def add(self, other: Coverage) -> None:
        self.builds += other.builds
        self.changed += other.changed
        self.staged += other.staged
        self.events += other.events


def random_sequence(plan: Plan, seed: int) -> list[Event]:
    """Return a history that ends with a complete build; in some, files are long and rows tie."""
    rnd = random.Random(seed)
    most = rnd.choice(LENGTHS)
    makers = {
        (table.source, table.name): Generator(table, plan.hints[table.source])
        for source in plan.enabled.values()
        for table in source.tables
    }
    weights = {key: _weight(plan, key) for key in makers}
    events: list[Event] = []
    for key, maker in makers.items():
        # the first one always, so that there is something to change
        if not events or plan.readers.get(key) or rnd.random() < 0.2:
            events += [
                Put(key, maker.file_name(rnd), maker.rows(rnd, most))
                for _ in range(rnd.randint(1, 2))
            ]
    rnd.shuffle(events)
    events.append(Build())
    for _ in range(rnd.randint(1, 3)):
        for _ in range(rnd.randint(1, 4)):
            events += _change(rnd, events, weights, makers)
            if rnd.random() < 0.2:
                events.append(Land())
        as_of = rnd.choice(days()) if rnd.random() < 0.4 else None
        events.append(Build(as_of, round(rnd.random(), 3) if rnd.random() < 0.15 else None))
    return [*events, Build(rnd.choice(days()) if rnd.random() < 0.3 else None)]


def _weight(plan: Plan, key: tuple[str, str]) -> int:
    """How often a table changes: mostly those that a build in part can deal with."""
    reading = plan.readers.get(key)
    return 10 if reading and None not in reading.rebuilt_by else 1


def _change(
    rnd: random.Random,
    events: Sequence[Event],
    weights: dict[tuple[str, str], int],
    makers: dict[tuple[str, str], Generator],
) -> list[Event]:
    puts = [event for event in events if isinstance(event, Put)]
    kind = rnd.random()
    [old] = rnd.choices(puts, [weights[put.table] for put in puts])
    if kind < 0.35:
        [key] = rnd.choices(list(weights), list(weights.values()))
        return [Put(key, makers[key].file_name(rnd), makers[key].rows(rnd))]
    maker, source = makers[old.table], old.table[0]
    if kind < 0.60:
        return [Put(old.table, old.name, _corrected(rnd, maker, old.rows))]
    if kind < 0.68:
        return [Put(old.table, maker.file_name(rnd), old.rows, rnd.random() < 0.3)]
    if kind < 0.76:
        return [Put(old.table, maker.file_name(rnd), old.rows), Remove(source, old.name)]
    if kind < 0.88:
        return [Retract(source, old.name)]
    if kind < 0.92:
        return [Touch(source, old.name)]
    if kind < 0.96:
        return [Remove(source, old.name)]
    return [Put(old.table, old.name, ())]


def _corrected(rnd: random.Random, maker: Generator, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """A line less, a line more, or a value of one line changed."""
    kind = rnd.random()
    if kind < 0.3 and rows:
        gone = rnd.randrange(len(rows))
        return rows[:gone] + rows[gone + 1 :]
    if kind < 0.5 or not rows:
        return rows + maker.rows(rnd, 1)
    line, place = rnd.randrange(len(rows)), rnd.randrange(len(maker.table.columns))
    column = maker.table.columns[place]
    row = (*rows[line][:place], maker.value(column, rnd), *rows[line][place + 1 :])
    return (*rows[:line], row, *rows[line + 1 :])


class Life:
    """One warehouse that lives through events, and what landing's rules say must count."""

    def __init__(
        self, plan: Plan, folder: Path, warehouse: type[ReplayedWarehouse] = ReplayedWarehouse
    ) -> None:
        self.plan = plan
        self.warehouse = warehouse(plan, folder)
        self.inbox = folder / "inbox"
        self.now = START
        self.coverage = Coverage()
        self.as_of: date | None = None
        self.is_built = False
        self.built: dict[str, tuple] = {}
        self.lying: dict[tuple[str, str], tuple[Put, datetime]] = {}
        self.counting: dict[tuple[str, str], Put] = {}
        self.retracted: dict[tuple[str, str], tuple[Put, datetime]] = {}

    def live(self, event: Event) -> None:
        self.now += STEP
        self.coverage.events[type(event).__name__.lower()] += 1
        if isinstance(event, Put):
            self._put(event)
        elif isinstance(event, Remove):
            if self.lying.pop((event.source, event.name), None):
                (self.inbox / event.source / event.name).unlink()
        elif isinstance(event, Touch):
            if (event.source, event.name) in self.lying:
                self._put(self.lying[event.source, event.name][0])
        elif isinstance(event, Retract):
            self._retract(event)
        elif isinstance(event, Land):
            self.land()
        else:
            self._build(event)

    def _put(self, put: Put) -> None:
        source, table = put.table
        contract = next(t for t in self.plan.enabled[source].tables if t.name == table)
        file = self.inbox / source / put.name
        file.parent.mkdir(parents=True, exist_ok=True)
        Generator(contract, {}).write(put.rows, file, other_bytes=put.other_bytes)
        stamp = self.now.replace(tzinfo=UTC).timestamp()
        os.utime(file, (stamp, stamp))
        self.lying[source, put.name] = (put, self.now)

    def _retract(self, event: Retract) -> None:
        key = (event.source, event.name)
        if key not in self.counting:
            return
        self.retracted[key] = (self.counting.pop(key), self.now)
        retract(self.warehouse.con, self.plan.contracts, event.source, event.name, now=self.now)

    def land(self) -> None:
        """Land what lies there, and hold every count against the files themselves."""
        self.now += STEP
        report = self.warehouse.land(self.now)
        refused = {
            (f.source, f.file_name): f.message for f in report.files if f.outcome == "refused"
        }
        for key, (put, at) in self.lying.items():
            if key in refused:
                assert "at least one good row" in refused[key], refused[key]
                continue
            gone = self.retracted.get(key)
            if gone and gone[0].rows == put.rows and at <= gone[1]:
                continue
            self.counting[key] = put
            self.retracted.pop(key, None)
        rows: Counter[str] = Counter()
        for table, content in {(put.table, put.rows) for put in self.counting.values()}:
            rows["__".join(table)] += len(content)
        for table, outcome in report.tables.items():
            assert outcome.is_ok or outcome.files_refused, outcome.message
            assert outcome.rows_read == outcome.rows_accepted + outcome.rows_quarantined
            assert outcome.rows_read == rows[table], (
                f"{table}: {outcome.message}, not {rows[table]}"
            )
            assert outcome.rows_current == outcome.rows_accepted
        landed = self.warehouse.con.execute(
            "select source, file_name from control.current_files"
        ).fetchall()
        assert set(landed) == set(self.counting)

    def _build(self, event: Build) -> None:
        self.land()
        warehouse, plan = self.warehouse, self.plan
        try:
            as_of = warehouse.settle(event.as_of)
        except UserError:
            self.is_built = False  # nothing that counts is dated: what was built stays
            return
        scope = warehouse.build(stop_at=event.stop_at)
        self.coverage.builds[
            "killed" if event.stop_at is not None else "part" if scope.is_part else scope.reason
        ] += 1
        if event.stop_at is not None:
            return
        equal = warehouse.tables_with_equal_rows()
        assert not equal, f"equal rows in {', '.join(equal)}"
        self.as_of, self.is_built = as_of, True
        after = {table: warehouse.digest(table) for table in plan.incremental}
        if scope.is_part:
            for table, digest in after.items():
                self.coverage.changed[table] += digest != self.built[table]
            for view in plan.rebuilt_by:
                self.coverage.staged[view] += warehouse.digest(view)[0] > 0
        self.built = after

    def rebuilt(self, folder: Path, rnd: random.Random) -> Life:
        """Return a warehouse of the files that count, landed in another order, built once.

        Its rows lie in another order too, whatever a model's SQL makes of that of its inputs.
        """
        other = Life(self.plan, folder, ShuffledWarehouse)
        files = sorted(self.counting.items())
        rnd.shuffle(files)
        batches = rnd.choice([1, 1, 2])
        for batch in range(batches):
            for _, put in files[batch::batches]:
                other._put(put)
            other.land()
        other.warehouse.settle(self.as_of)
        other.warehouse.build(everything="it is what the other is held against")
        return other


def differences(one: Life, other: Life) -> list[str]:
    """Name what is not the same: tables row for row, then the bytes of published Parquet."""
    mine, theirs = one.warehouse.tables(), other.warehouse.tables()
    found = [name for name in sorted(mine | theirs) if mine.get(name) != theirs.get(name)]
    if not found:
        marts, others = one.warehouse.marts(), other.warehouse.marts()
        found = [f"{name}.parquet" for name in marts if marts[name] != others[name]]
    return found


def check(plan: Plan, events: Iterable[Event], seed: int, coverage: Coverage | None = None) -> str:
    """Live through events; return what is wrong at the end or at a landing, or nothing."""
    rnd = random.Random(seed)
    keep_days = rnd.choice([0, 0, 90])
    with TemporaryDirectory(dir=_memory()) as name:
        folder = Path(name)
        life = Life(plan, folder / "one")
        life.warehouse.keep_days = keep_days
        try:
            for event in events:
                life.live(event)
            if not life.is_built:
                return ""
            other = life.rebuilt(folder / "other", rnd)
            try:
                found = differences(life, other)
                tests = life.warehouse.failing_tests()
            finally:
                other.warehouse.close()
            if coverage is not None:
                coverage.add(life.coverage)
            return ", ".join([*found, *tests])
        except AssertionError as error:
            return f"{type(error).__name__}: {error}"
        finally:
            life.warehouse.close()
            shutil.rmtree(folder, ignore_errors=True)


def _memory() -> str | None:
    """Files of a second's life belong into memory, where there is such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def shrunk(plan: Plan, events: list[Event], seed: int, tries: int = 150) -> list[Event]:
    """Return fewer events and rows that are still wrong."""
    smallest = list(events)
    is_smaller = True
    while is_smaller and tries > 0:
        is_smaller = False
        for candidate in _smaller(smallest):
            tries -= 1
            if tries <= 0:
                break
            if check(plan, candidate, seed):
                smallest, is_smaller = candidate, True
                break
    return smallest


def _smaller(events: list[Event]) -> Iterable[list[Event]]:
    for size in (len(events) // 2, len(events) // 4, 2, 1):
        for start in range(0, len(events) - size, max(size, 1)) if size else ():
            yield events[:start] + events[start + size :]
    for n, event in enumerate(events):
        if isinstance(event, Put) and len(event.rows) > 1:
            half = len(event.rows) // 2
            for rows in (event.rows[:half], event.rows[half:]):
                yield [*events[:n], Put(event.table, event.name, rows), *events[n + 1 :]]
