"""Writing the demo company: its files into an inbox, its truth beside it.

Everything streams: at any time one block of customers is in memory, whatever the company's size.
The same arguments give the same bytes, so writing twice changes no file.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crm_pipeline.demo.company import DEFAULT_END, DEFAULT_SEED, Block, DemoCompany
from crm_pipeline.demo.dirt import FAULTS, Fault, broken_copy, choose_rows
from crm_pipeline.demo.files import (
    LAYOUTS,
    SHOP,
    OpenFile,
    OpenParquet,
    corrected_file,
    file_name,
    first_delivery,
    format_times,
    late_files,
    partitions,
    publish,
)
from crm_pipeline.demo.truth import read_company, write_company
from crm_pipeline.errors import UserError

Progress = Callable[[int, int], None]
"""Told how many customers are written, and of how many."""

_STAGING = ".incoming"
ROWS_PER_KIND = 8


class _Delivery:
    """One pass over the company that writes the wanted files and counts what is in them."""

    def __init__(
        self, company: DemoCompany, folders: dict[str, Path], *, first: bool, only: set[str]
    ) -> None:
        self.company = company
        self.folders = folders
        self.first = first
        self.only = only
        self.files: dict[str, OpenFile | OpenParquet] = {}
        self.tables: dict[str, str] = {}
        self.rows: Counter[str] = Counter()
        self.dirt: Counter[tuple[str, str, Fault]] = Counter()

    def wants(self, name: str) -> bool:
        """Whether the file is part of this delivery."""
        if self.first and name in late_files(self.company.end):
            return False
        return not self.only or name in self.only

    def write_small_tables(self, stack: ExitStack) -> None:
        """Write the tables that do not grow with the customers."""
        for table, rows in self.company.small_tables().items():
            if LAYOUTS[table].source not in self.folders:
                continue
            if table == "products":
                self._write_products(rows)
                continue
            faults = FAULTS.get(table) and choose_rows(
                self.company.dirt_stream(-1, table), table, rows.num_rows, at_least=1
            )
            self._write_rows(table, rows, faults or [], stack)

    def _write_products(self, rows: pa.Table) -> None:
        name = "products.parquet"
        rng = self.company.dirt_stream(-1)
        parts = [rows]
        for fault, positions in choose_rows(rng, "products", rows.num_rows, at_least=1):
            copies = [broken_copy(fault, row) for row in rows.take(positions).to_pylist()]
            parts.append(pa.Table.from_pylist(copies, schema=rows.schema))
            self.dirt["products", name, fault] += len(copies)
        every = pa.concat_tables(parts)
        self.tables[name] = "products"
        self.rows[name] = every.num_rows
        if self.wants(name):
            pq.write_table(every, self.folders[SHOP] / name, compression="zstd")

    def write_block(self, block: Block, stack: ExitStack) -> None:
        """Append one block's rows, and its faulty copies, to their files."""
        shared = self.company.dirt_stream(block.number)
        for table, rows in block.tables.items():
            if LAYOUTS[table].source not in self.folders:
                continue
            # the oldest tables share a stream; each of the others has its own
            rng = (
                shared
                if table in ("customers", "orders", "order_items", "returns")
                else self.company.dirt_stream(block.number, table)
            )
            # a small company shows every kind, but no table that is mostly dirt, and none twice
            room = rows.num_rows >= ROWS_PER_KIND * len(FAULTS[table])
            shown = block.number == 0 and table in self.tables.values()
            at_least = int(block.number == 0 and room and not shown)
            faults = choose_rows(rng, table, rows.num_rows, at_least=at_least)
            self._write_rows(table, rows, faults, stack)

    def _write_rows(
        self,
        table: str,
        rows: pa.Table,
        faults: list[tuple[Fault, np.ndarray]],
        stack: ExitStack,
    ) -> None:
        owner = partitions(table, rows, self.company.end)
        for partition in np.unique(owner):
            name = file_name(table, int(partition), self.company.end)
            members = np.flatnonzero(owner == partition)
            self._append(table, name, rows.take(members), stack)
            for fault, positions in faults:
                here = positions[owner[positions] == partition]
                self._append_faults(table, name, fault, rows.take(here))

    def _append(self, table: str, name: str, rows: pa.Table, stack: ExitStack) -> None:
        self.tables[name] = table
        self.rows[name] += rows.num_rows
        if not self.wants(name):
            return
        layout = LAYOUTS[table]
        if name not in self.files:
            folder = self.folders[layout.source]
            opened = (
                OpenParquet.create(folder, name, rows.schema)
                if layout.is_parquet
                else OpenFile.create(folder, name, layout, rows.column_names)
            )
            stack.callback(opened.close)
            self.files[name] = opened
        self.files[name].write_rows(self._as_delivered(name, rows))

    def _append_faults(self, table: str, name: str, fault: Fault, rows: pa.Table) -> None:
        if rows.num_rows == 0:
            return
        self.dirt[table, name, fault] += rows.num_rows
        self.rows[name] += rows.num_rows
        if name in self.files:
            shown = self._as_delivered(name, rows)
            if not LAYOUTS[table].is_parquet:
                shown = format_times(shown, LAYOUTS[table])
            for row in shown.to_pylist():
                self.files[name].write_fault(fault, broken_copy(fault, row))

    def _as_delivered(self, name: str, rows: pa.Table) -> pa.Table:
        wrong = self.first and name == corrected_file(self.company.end)
        return first_delivery(rows) if wrong else rows


def write_demo(
    inbox: Path,
    truth: Path,
    *,
    customers: int = 5000,
    years: int = 2,
    seed: int = DEFAULT_SEED,
    end: date = DEFAULT_END,
    deliveries: bool = False,
    departments: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> DemoCompany:
    """Write a demo company's files into ``inbox`` and its truth into ``truth``.

    Args:
        inbox: The source's folder, ``$CRM_HOME/inbox/demo``; made where missing. Files of
            other names are left alone.
        truth: Folder of the truth, ``$CRM_HOME/demo_truth``; made where missing.
        customers: Size of the company.
        years: Length of the records.
        seed: Another seed, another company.
        end: Last day of the records.
        deliveries: Write the first of two deliveries: one month's order lines still hold wrong
            prices, and the late files are missing, until ``write_corrections``. Without it the
            inbox holds at once what it holds after both. The truth is the same.
        departments: Folders of the sources beside the shop (``files.DEPARTMENTS``), by name;
            those without one are not written. The shop is the same with and without them.
        progress: Called after each block with customers written and customers in all.

    Returns:
        The company written.

    Raises:
        UserError: A size out of range, or a folder that cannot be written.
    """
    company = DemoCompany(customers=customers, years=years, seed=seed, end=end)
    inboxes = {SHOP: inbox, **(departments or {})}
    staging = {name: _make_staging(folder) for name, folder in inboxes.items()}
    staged_truth = _make_staging(truth)
    delivery = _Delivery(company, staging, first=deliveries, only=set())
    with ExitStack() as stack:
        for folder in (*staging.values(), staged_truth):
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with ExitStack() as open_files:
            delivery.write_small_tables(open_files)
            _write_blocks(company, delivery, open_files, staged_truth, progress)
        _write_counts(delivery, staged_truth)
        write_company(staged_truth, company)
        for path in sorted(staged_truth.iterdir()):
            publish(path, truth / path.name)
        for name, folder in staging.items():
            for path in sorted(folder.iterdir()):
                publish(path, inboxes[name] / path.name)
    return company


def write_corrections(inbox: Path, truth: Path, *, progress: Progress | None = None) -> list[str]:
    """Write the second delivery of the company whose truth lies in ``truth``.

    Overwrites one month's order lines with the right prices, and adds the late files.

    Returns:
        Names of the files written.

    Raises:
        UserError: There is no demo company in ``truth``.
    """
    company = read_company(truth)
    names = {corrected_file(company.end), *late_files(company.end)}
    staging = _make_staging(inbox)
    delivery = _Delivery(company, {SHOP: staging}, first=False, only=names)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        with ExitStack() as open_files:
            for number in range(company.block_count):
                delivery.write_block(company.block(number), open_files)
                _report(progress, company, number)
        written = sorted(path.name for path in staging.iterdir())
        for name in written:
            publish(staging / name, inbox / name)
    return written


def _write_blocks(
    company: DemoCompany,
    delivery: _Delivery,
    open_files: ExitStack,
    truth: Path,
    progress: Progress | None,
) -> None:
    writers: dict[str, pq.ParquetWriter] = {}
    for number in range(company.block_count):
        block = company.block(number)
        delivery.write_block(block, open_files)
        for name, rows in block.truths.items():
            if name not in writers:
                path = truth / f"{name}.parquet"
                writers[name] = open_files.enter_context(pq.ParquetWriter(path, rows.schema))
            writers[name].write_table(rows)
        _report(progress, company, number)


def _report(progress: Progress | None, company: DemoCompany, number: int) -> None:
    if progress is not None:
        done = min((number + 1) * -(-company.customers // company.block_count), company.customers)
        progress(done, company.customers)


def _write_counts(delivery: _Delivery, truth: Path) -> None:
    """Write what each file holds once all deliveries are in."""
    faults = sorted(
        delivery.dirt.items(), key=lambda item: (*item[0][:2], item[0][2].kind, item[0][2].column)
    )
    dirt = [
        {
            "source": LAYOUTS[table].source,
            "table_name": table,
            "file_name": name,
            "kind": fault.kind,
            "column_name": fault.column or None,
            "is_quarantined": fault.is_quarantined,
            "row_count": count,
        }
        for (table, name, fault), count in faults
    ]
    aside: Counter[str] = Counter()
    for (_, name, fault), count in faults:
        aside[name] += count if fault.is_quarantined else 0
    files = [
        {
            "source": LAYOUTS[delivery.tables[name]].source,
            "table_name": delivery.tables[name],
            "file_name": name,
            "row_count": delivery.rows[name],
            "quarantined_count": aside[name],
        }
        for name in sorted(delivery.tables)
    ]
    pq.write_table(pa.Table.from_pylist(dirt), truth / "dirt.parquet", compression="zstd")
    pq.write_table(pa.Table.from_pylist(files), truth / "files.parquet", compression="zstd")


def _make_staging(folder: Path) -> Path:
    """An empty hidden folder inside ``folder``, on the same file system."""
    staging = folder / _STAGING
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"cannot write the demo company into {folder}: {error.strerror}; "
            "choose a writable CRM_HOME"
        ) from error
    return staging
