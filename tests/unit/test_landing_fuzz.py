"""Damaged files at random: every line is accounted for, and its fate is its own.

Two rules are held for each file. Records read = accepted + quarantined, and the lines in the
landing table, in quarantine and blank together are the file's. And a file that DuckDB can read as
it is gives the same rows when it is cut into records first: whether a neighbour is broken decides
the path, so it must not decide the result.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.landing import ledger
from crm_pipeline.defs.landing.content import NeedsSplittingError, insert_content
from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.drift import RENAMED, RefusedFileError
from crm_pipeline.defs.landing.guard import Guard
from crm_pipeline.defs.landing.prepare import (
    Prepared,
    must_split,
    prepare,
    split,
)
from tests.unit.landing_support import shop

COLUMNS = """
- {name: name, data_type: varchar}
- {name: number, data_type: bigint}
- {name: made_at, data_type: timestamp}
"""
NAMES = ("name", "number", "made_at")
CONTRACTS = [
    shop(COLUMNS)["shop"].tables[0],
    shop(COLUMNS, delimiter=";", header=False, null_tokens=["NULL", "-"])["shop"].tables[0],
    shop(COLUMNS, delimiter="\t", quote=None, header=False)["shop"].tables[0],
    shop(COLUMNS, delimiter="||", header=False, encoding="cp1252")["shop"].tables[0],
    shop(COLUMNS, delimiter=" ", header=False, encoding="auto")["shop"].tables[0],
    shop(COLUMNS, delimiter="whitespace", header=False)["shop"].tables[0],
    shop(COLUMNS, format="jsonl")["shop"].tables[0],
]


def whole_file(contract: TableContract, rnd: random.Random) -> bytes:
    rows = [
        (rnd.choice(["a", "Zoë", 'q""q', "x y", "", "NULL"]), rnd.randint(-9, 9), "2026-01-02")
        for _ in range(rnd.randint(0, 8))
    ]
    if contract.format == "jsonl":
        lines = [json.dumps(dict(zip(NAMES, row, strict=True))) for row in rows]
    else:
        blank = contract.delimiter == "whitespace"
        delimiter = " " if blank else str(contract.delimiter)
        quote = contract.quote if contract.quote and not blank else ""
        lines = [
            delimiter.join(
                [f"{quote}{name}{quote}" if rnd.random() < 0.5 else name, str(number), day]
            )
            for name, number, day in rows
        ]
        if contract.header:
            lines.insert(0, delimiter.join(NAMES))
    return (rnd.choice(["\n", "\r\n"]).join(lines) + rnd.choice(["", "\n"])).encode()


def damaged(data: bytes, rnd: random.Random) -> bytes:
    dirt = [b'"', b"\n", b"\r", b",", b";", b"|", b" ", b"\t", b"\0", b"\xff", b"\\", b"'", b"{"]
    dirt += [b'""', b'","', b'\n"', b'"\n', b"1.5", "雪\u2028".encode()]
    body = bytearray(data)
    for _ in range(rnd.choice([0, 1, 1, 2, 5])):
        position = rnd.randint(0, len(body))
        kind = rnd.random()
        if kind < 0.5:
            body[position:position] = rnd.choice(dirt)
        elif kind < 0.8:
            del body[position : position + rnd.randint(1, 12)]
        else:
            body[position:position] = body[: rnd.randint(0, 30)]
    return gzip.compress(bytes(body), 1) if rnd.random() < 0.2 else bytes(body)


GUARD = Guard(Path(), None, keeps=False)
"""No column here is personal."""


def land_content(con: duckdb.DuckDBPyConnection, prepared: Prepared, *, always_cut: bool):
    """Return rows, quarantine and counts, and whether the file was cut."""
    contract = prepared.contract
    ledger.forget_table(con, contract)
    ledger.create_landing_table(con, contract)
    is_cut = always_cut or must_split(prepared)
    content = split(prepared) if is_cut else prepared
    con.begin()
    try:
        counts = insert_content(con, content, GUARD)
    except NeedsSplittingError:
        con.rollback()
        con.begin()
        is_cut = True
        counts = insert_content(con, split(prepared), GUARD)
    con.commit()
    rows = con.execute("select * from landing.shop__orders order by _line").fetchall()
    faults = con.execute(
        "select line_number, column_position, reason, raw_value from control.quarantine "
        "order by all"
    ).fetchall()
    return (rows, faults, counts), is_cut


def check_file(con: duckdb.DuckDBPyConnection, contract: TableContract, data: bytes) -> bool:
    """Check one file; return whether DuckDB could read it as it was."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name) / "scratch"
        scratch.mkdir()
        path = Path(name) / "orders.csv"
        path.write_bytes(data)
        try:
            prepared = prepare(contract, path, scratch)
        except RefusedFileError:
            if not contract.header:
                raise
            return False
        try:
            result, is_cut = land_content(con, prepared, always_cut=False)
        except RefusedFileError as fault:
            # JSON objects with a key that looks like a declared one, which none has.
            if contract.format != "jsonl" or RENAMED not in {one.kind for one in fault.drift}:
                raise
            return False
        rows, faults, counts = result
        assert counts.read == counts.accepted + counts.quarantined, data
        good = {row[-1] for row in rows}
        bad = {fault[0] for fault in faults}
        assert len(rows) == len(good) == counts.accepted, data
        assert len(bad) == counts.quarantined, data
        assert not good & bad, data
        if not is_cut:
            assert land_content(con, prepared, always_cut=True)[0] == result, data
        return not is_cut


def check_files(seed: int, number: int) -> int:
    """Check ``number`` random files; return how many DuckDB read as they were."""
    rnd = random.Random(seed)
    with duckdb.connect() as con:
        ledger.ensure_control(con)
        con.execute("set preserve_insertion_order = false; set TimeZone = 'UTC'; set threads = 1")
        chosen = [rnd.choice(CONTRACTS) for _ in range(number)]
        return sum(check_file(con, one, damaged(whole_file(one, rnd), rnd)) for one in chosen)


def test_a_few_hundred_damaged_files():
    assert check_files(seed=1, number=300) > 50


@pytest.mark.slow
def test_thousands_of_damaged_files():
    assert check_files(seed=2, number=3_000) > 450


def test_an_unclosed_quote_in_the_middle_of_a_million_lines(tmp_path):
    contract = shop(COLUMNS)["shop"].tables[0]
    path = tmp_path / "orders.csv"
    with path.open("w") as file:
        file.write("name,number,made_at\n")
        for line in range(2, 1_000_002):
            name = '"open' if line == 500_000 else '"a ""b"", c"' if line % 1000 == 7 else "d"
            file.write(f"{name},{line},2026-01-02 03:04:05\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with duckdb.connect(str(tmp_path / "x.duckdb")) as con:
        ledger.ensure_control(con)
        con.execute("set preserve_insertion_order = false; set TimeZone = 'UTC'")
        prepared = prepare(contract, path, scratch)
        ledger.create_landing_table(con, contract)
        con.begin()
        with pytest.raises(NeedsSplittingError):
            insert_content(con, prepared, GUARD)
        con.rollback()
        con.begin()
        counts = insert_content(con, split(prepared), GUARD)
        con.commit()
        assert (counts.read, counts.accepted, counts.quarantined) == (1_000_000, 999_999, 1)
        moved = "select count(*) from landing.shop__orders where number <> _line"
        assert con.execute(moved).fetchone() == (0,)
        faults = con.execute("select line_number, reason from control.quarantine").fetchall()
        assert faults == [(500_000, "unclosed_quote")]


@pytest.mark.slow
def test_line_numbers_are_the_files_in_parallel_parts(tmp_path):
    contract = shop(COLUMNS)["shop"].tables[0]
    path = tmp_path / "orders.csv"
    with path.open("w") as file:
        file.write("name,number,made_at\n")
        for line in range(2, 4_000_002):
            file.write(f"name {line * 7919 % 100_003} {'x' * (line % 40)},{line},2026-01-02\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with duckdb.connect(str(tmp_path / "x.duckdb")) as con:
        ledger.ensure_control(con)
        con.execute("set preserve_insertion_order = false; set TimeZone = 'UTC'; set threads = 4")
        prepared = prepare(contract, path, scratch)
        assert prepared.text is not None
        assert len(prepared.text.parts) > 2
        (_, faults, counts), is_cut = land_content(con, prepared, always_cut=False)
        assert (faults, counts.accepted, is_cut) == ([], 4_000_000, False)
        moved = "select count(*) from landing.shop__orders where number <> _line"
        assert con.execute(moved).fetchone() == (0,)
