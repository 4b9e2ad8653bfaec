"""Damaged files of every declared source, landed as ever: no crash, every line accounted for.

For each file: ``land`` raises nothing; rows read = accepted + quarantined, as many rows and
quarantined lines are stored; the file's physical lines are its header, these and the blank ones;
a refused file changes nothing; nothing that a value says is executed; and the undamaged file that
lands after it gives its rows. Counts by mutator and fate are printed by the slow test.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from crm_pipeline.defs.landing import ledger
from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.report import FileOutcome
from crm_pipeline.defs.landing.retention import move_superseded
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.resources.dbt import ensure_manifest
from tests.unit.fuzz_files import MUTATORS, has_quotes, physical_lines
from tests.unit.landing_support import Company, shop
from tests.unit.valid_files import render, valid_table

CANARY = "canary"


def contracts() -> list[TableContract]:
    """Every table of every source in the manifest, and formats that none of them has."""
    declared = sources_from_manifest(ensure_manifest())
    columns = """
    - {name: id, data_type: bigint, config: {meta: {required: true}}}
    - {name: name, data_type: varchar}
    - {name: amount, data_type: double}
    - {name: is_paid, data_type: boolean}
    - {name: made_on, data_type: date}
    """
    others = [
        shop(columns, delimiter="||", null_tokens=["NULL", ""]),
        shop(columns, delimiter="whitespace", header=False),
        shop(columns, delimiter="\t", quote=None, encoding="utf-16"),
        shop(columns, format="jsonl"),
        shop(columns, format="parquet"),
        shop("- {name: line, data_type: varchar}", delimiter=None, header=False),
    ]
    tables = [t for source in declared.values() for t in source.tables]
    return [*tables, *(source["shop"].tables[0] for source in others)]


HOME = {"inbox", "archive", "tmp", "vault.duckdb", "vault.duckdb.wal", "master.key"}


@dataclass
class Fuzz:
    """One table's home, which damaged and undamaged files land in by turns."""

    home: Path
    contract: TableContract
    fates: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.home.mkdir()
        if "*" not in self.contract.files[0]:
            # several files are needed at once, where the source sends one
            stem, dot, ending = self.contract.files[0].partition(".")
            self.contract = replace(self.contract, files=(f"{stem}*{dot}{ending}",))
        source = shop()["shop"]
        source = replace(source, name=self.contract.source, tables=(self.contract,))
        self.company = Company(self.home, {source.name: source}, in_memory=True)
        self.company.land()
        self.company.con.execute(
            f"create table control.{CANARY} as select 42 as n; set threads = 1"
        )

    def land(self, files: dict[str, bytes]) -> dict[str, FileOutcome]:
        for name, data in files.items():
            self.company.put(name, data, source=self.contract.source)
        report = self.company.land()
        # what a complete build does
        now = self.company.clock()
        move_superseded(self.company.con, [self.contract], keep_days=0, now=now)
        return {file.file_name: file for file in report.files if file.file_name in files}

    def held(self) -> dict[str, str]:
        """The content that counts under each name."""
        entries = ledger.current_entries(self.company.con, self.contract)
        return {entry.file_name: entry.digest for entry in entries}

    def undamaged(self, rnd: random.Random) -> None:
        """A good file lands whole, whatever came before."""
        table = valid_table(self.contract, rnd)
        [file] = self.land({self.name(0): render(self.contract, table, rnd)}).values()
        assert file.outcome in ("landed", "unchanged", "copy"), str(file)
        # what stands in a personal column's place has its own tests
        held = [column for column in self.contract.columns if not column.is_direct]
        columns = ", ".join(f'"{column.name}"' for column in held)
        rows = self.company.con.execute(
            f"select {columns} from landing.{self.contract.identifier} "
            "where _digest = ? order by _line",
            [file.digest],
        ).fetchall()
        assert len(rows) == len(table.rows)
        for place, column in enumerate(held):
            if column.data_type in ("varchar", "bigint", "integer"):
                header = table.names.index(column.header)
                said = [row[header] for row in table.rows]
                assert [None if row[place] is None else str(row[place]) for row in rows] == said

    def name(self, number: int) -> str:
        return self.contract.files[0].replace("*", f"fuzz {number}", 1).replace("*", "")

    def damaged(self, mutators: Sequence[str], rnd: random.Random) -> None:
        """Land some damaged files at once, each under a name that has an older version or none."""
        files, before = {}, self.held()
        for number, mutator in enumerate(mutators):
            table = valid_table(self.contract, rnd)
            data = render(self.contract, table, rnd)
            name = self.name(number)
            files[name] = MUTATORS[mutator](self.contract, table, data, rnd)
        outcomes = self.land(files)
        after, contents = self.held(), ledger.contents(self.company.con, self.contract)
        for (name, data), mutator in zip(files.items(), mutators, strict=True):
            file = outcomes[name]
            self.fates[mutator, file.outcome] += 1
            if file.outcome in ("landed", "copy"):
                content = contents[str(file.digest)]
                self.check_account(mutator, file, content, data)
            else:
                assert file.outcome in ("unchanged", "refused"), (mutator, str(file))
                assert after.get(name) == before.get(name), (mutator, str(file))
        self.check_nothing_ran()

    def check_account(
        self, mutator: str, file: FileOutcome, content: ledger.Content, data: bytes
    ) -> None:
        con, contract = self.company.con, self.contract
        said = (mutator, str(file), data[:500])
        assert content.rows_read == content.rows_accepted + content.rows_quarantined, said
        good = con.execute(
            f"select _line from landing.{contract.identifier} where _digest = ?", [file.digest]
        ).fetchall()
        bad = con.execute(
            "select distinct line_number from control.quarantine where digest = ?", [file.digest]
        ).fetchall()
        assert len(good) == len(set(good)) == content.rows_accepted, said
        assert len(bad) == content.rows_quarantined, said
        assert not set(good) & set(bad), said
        lines = None if contract.format == "parquet" else physical_lines(data, contract)
        if lines is None or contract.encoding == "utf-16":
            return
        has_header = contract.header and contract.format == "csv"
        accounted = content.rows_read + content.blank_lines + has_header
        assert accounted <= lines, (lines, *said)
        if not has_quotes(data, contract):
            assert accounted == lines, (lines, *said)

    def check_nothing_ran(self) -> None:
        found = self.company.con.execute(f"select n from control.{CANARY}").fetchall()
        assert found == [(42,)]
        assert {path.name for path in self.home.iterdir()} <= HOME
        assert not list(Path.cwd().glob(f"{CANARY}*"))


BATCH = 16
"""So many damaged files land at once."""


def run(folder: Path, seed: int, number: int) -> Counter[tuple[str, str]]:
    """Land ``number`` damaged files; return how many met which fate, by mutator."""
    rnd = random.Random(seed)
    places = [Fuzz(folder / str(n), contract) for n, contract in enumerate(contracts())]
    for place in places:
        place.undamaged(rnd)
    faults = []
    mutators = sorted(MUTATORS)
    for turn in range(0, number, BATCH):
        place = places[turn // BATCH % len(places)]
        chosen = [mutators[(turn + n) % len(mutators)] for n in range(min(BATCH, number - turn))]
        own = random.Random(seed * 1_000_003 + turn)
        try:
            place.damaged(chosen, own)
            place.undamaged(own)
        except Exception as fault:
            faults.append(f"{place.contract.label}, {chosen}, turn {turn}: {fault!r}"[:1500])
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:20])
    return sum((place.fates for place in places), Counter())


def table_of(fates: Counter[tuple[str, str]]) -> str:
    """Return the counts as text, a line a mutator."""
    kinds = sorted({fate for _, fate in fates})
    lines = [f"{'mutator':24}" + "".join(f"{kind:>12}" for kind in kinds)]
    for mutator in sorted(MUTATORS):
        lines.append(f"{mutator:24}" + "".join(f"{fates[mutator, kind]:12,}" for kind in kinds))
    return "\n".join([*lines, f"{sum(fates.values()):,} files"])


def check_fates(fates: Counter[tuple[str, str]]) -> None:
    """Every mutator had its turn, and the run saw files land and files refused."""
    assert {mutator for mutator, _ in fates} == set(MUTATORS)
    by_fate = Counter(fate for _, fate in fates.elements())
    assert by_fate["landed"] > 0.3 * fates.total()
    assert by_fate["refused"] > 0.1 * fates.total()


def test_some_damaged_files_of_all_sources(tmp_path):
    check_fates(run(tmp_path, seed=1, number=88))


@pytest.mark.slow
def test_ten_thousand_damaged_files_of_all_sources(tmp_path, capsys):
    fates = run(tmp_path, seed=2, number=10_000)
    with capsys.disabled():
        print("\n" + table_of(fates))
    check_fates(fates)


def test_every_source_in_the_manifest_is_fuzzed():
    declared = {
        n["source_name"] for n in ensure_manifest()["sources"].values() if n["schema"] == "raw"
    }
    assert {contract.source for contract in contracts()} == declared | {"shop"}
