"""Inputs of the benchmarks: Online Retail repeated, made once, then kept.

Every copy but the first has customers of its own, 100,000 apart (the published ones span 5,941).
Invoices are numbered anew, in their old order and with as many digits (six for up to 38 copies):
the copies' numbers alternate, and the letter that makes a cancellation (C) or an adjustment (A)
stays in front.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import duckdb

CHECKOUT = Path(__file__).resolve().parents[2]
STEP = 100_000
MOST_OF_SIX_DIGITS = 38
LINES = 541_909
"""Lines of the published file."""


@dataclass(frozen=True)
class Input:
    """One input: its file or folder, and how many lines or customers it holds."""

    name: str
    path: Path
    size: int


def shared_file(name: str) -> Path | None:
    """Return a file of the shared data, ``None`` where it is not there."""
    root = Path(os.environ.get("CRM_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    return root / name if (root / name).is_file() else None


def online_retail() -> Path | None:
    """Return the published file of Online Retail, ``None`` where it is not there."""
    return shared_file("online_retail/online_retail.csv.gz")


def repeated_online_retail(times: int, folder: Path) -> Input:
    """Return Online Retail ``times`` over as one gzip-compressed file below ``folder``.

    Lines of one invoice keep their order.
    """
    if not 1 <= times <= 100:
        raise ValueError(f"{times} is not a size between 1 and 100")
    first = 100_000 if times <= MOST_OF_SIX_DIGITS else 1_000_000
    source = online_retail()
    assert source is not None
    target = folder / f"online_retail_x{times}.csv.gz"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        with duckdb.connect() as con:
            con.execute(
                f"""
                copy (
                    with lines as (
                        select * from read_csv(?, header = true, all_varchar = true, quote = '"')
                    ),
                    invoices as (
                        select InvoiceNo,
                            {first} - 1 + row_number() over (
                                order by regexp_extract(InvoiceNo, '[0-9]+$'), InvoiceNo
                            ) as number
                        from (select distinct InvoiceNo from lines)
                    )
                    select
                        regexp_extract(InvoiceNo, '^[A-Z]*')
                        || ({first} + (number - {first}) * {times} + copy.i)
                            as InvoiceNo,
                        StockCode, Description, Quantity, InvoiceDate, UnitPrice,
                        (replace(CustomerID, '.0', '')::bigint + copy.i * {STEP}) || '.0'
                            as CustomerID,
                        Country
                    from range({times}) as copy (i), lines join invoices using (InvoiceNo)
                ) to '{part}' (header, compression gzip, delimiter ',', quote '"')
                """,
                [str(source)],
            )
        part.replace(target)
    return Input(f"Online Retail x {times}", target, times * LINES)


def line_count(path: Path) -> int:
    """Return the physical lines of a gzip-compressed file."""
    with gzip.open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b""))


def into_inbox(path: Path, home: Path, source: str) -> None:
    """Put a complete file into a home's inbox: linked, with the marker that it is complete."""
    inbox = home / "inbox" / source
    inbox.mkdir(parents=True, exist_ok=True)
    target = inbox / path.name
    target.unlink(missing_ok=True)
    target.hardlink_to(path)
    target.with_name(target.name + ".done").touch()


def new_lines(lines: int, of: Input, day: int, target: Path) -> Input:
    """Write ``lines`` lines of new invoices, by known customers, some days after the last one.

    Args:
        lines: How many.
        of: What ``repeated_online_retail`` made.
        day: Days after the published file's last.
        target: The CSV file to write, with the marker that it is complete.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute(
            f"""
            copy (
                with lines as (
                    select * from read_csv(?, header = true, all_varchar = true, quote = '"')
                    where InvoiceNo not like 'A%' limit {20 * lines}
                ),
                invoices as (
                    select InvoiceNo, row_number() over (order by hash(InvoiceNo), InvoiceNo) as i
                    from (select distinct InvoiceNo from lines)
                )
                select
                    regexp_extract(InvoiceNo, '^[A-Z]*') || ({day} * 10000000 + i) as InvoiceNo,
                    StockCode, Description, Quantity,
                    strftime(
                        timestamp '2011-12-09 09:00:00' + interval ({day}) day
                        + interval (i % 480) minute, '%Y-%m-%d %H:%M:%S'
                    ) as InvoiceDate,
                    UnitPrice, CustomerID, Country
                from lines join invoices using (InvoiceNo)
                order by i limit {lines}
            ) to '{target}' (header, delimiter ',', quote '"')
            """,
            [str(of.path)],
        )
    target.with_name(target.name + ".done").touch()
    return Input(target.name, target, lines)
