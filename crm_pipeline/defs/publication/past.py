"""A home as it was at a past moment, made aside: what had landed, which models ruled.

The company's own warehouse and models are only read. The new warehouse holds the contents that
counted then, from landing or from history, and nothing that is made from them.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from crm_pipeline.defs.landing import ledger
from crm_pipeline.defs.landing.archive import Archive
from crm_pipeline.defs.landing.contracts import SourceContract, TableContract
from crm_pipeline.defs.landing.guard import Guard, guarding
from crm_pipeline.defs.landing.prepare import RefusedFileError
from crm_pipeline.defs.landing.rebuild import Scratch, land_again
from crm_pipeline.defs.landing.sqltext import identifier
from crm_pipeline.defs.modelling.store import EVALUATION_TABLE, OFFERED_TABLE, STATUS_TABLE
from crm_pipeline.defs.publication.records import Publication, ensure_records
from crm_pipeline.errors import UserError
from crm_pipeline.resources.tracking_store import DATABASE
from crm_pipeline.settings import Settings

_COPIED = ("publications", "restatements", "model_candidates", "model_evaluations", "offered")


@dataclass(frozen=True)
class Moment:
    """A past moment: that of a publication, or any time."""

    publication: Publication | None
    known_at: datetime | None

    @property
    def condition(self) -> str:
        """SQL: which entries of the landing ledger were known."""
        if self.publication is not None:
            return f"landing_number <= {self.publication.landing_number}"
        return f"landed_at <= timestamp '{self.known_at}'" if self.known_at else "true"


def recorded(con: duckdb.DuckDBPyConnection, number: int) -> Publication:
    """Return a publication from the record of the warehouse ``w``.

    Raises:
        UserError: There is none of that number.
    """
    rows = []
    with suppress(duckdb.CatalogException):  # a home that never published since this is recorded
        rows = con.execute("from w.control.publications order by publication").fetchall()
    for row in rows:
        if row[0] == number:
            return Publication(*row)
    known = ", ".join(str(row[0]) for row in rows) or "none"
    raise UserError(f"publication {number} is not on record; known are {known}.")


def write_warehouse(
    con: duckdb.DuckDBPyConnection,
    moment: Moment,
    contracts: Mapping[str, SourceContract],
    home: Path,
    master_key: str | None = None,
) -> None:
    """Fill the new warehouse ``p``, in use on ``con``, from the company's, attached as ``w``.

    Args:
        con: The connection.
        moment: Which moment.
        contracts: All sources, by name.
        home: The new home; its ``archive/`` is in place.
        master_key: The company's.

    Raises:
        UserError: Nothing had landed by then, or a content of then is no longer kept.
    """
    ledger.ensure_control(con)
    con.execute(f"insert into control.files from w.control.files where {moment.condition}")
    if con.execute("select 1 from control.files limit 1").fetchone() is None:
        raise UserError("nothing had landed by then: give a later moment.")
    lost: list[str] = []
    with guarding(home, master_key) as guard:
        for source in contracts.values():
            for table in source.tables:
                lost += _write_table(con, table, home, guard)
    if lost:
        raise UserError(
            f"{', '.join(lost)}: the content that counted then is no longer kept (see "
            "CRM_KEEP_HISTORY_DAYS); restore a backup of that time to make this report again."
        )
    _write_control(con, moment)


def _tables(con: duckdb.DuckDBPyConnection, schema: str) -> set[str]:
    rows = con.execute(
        "select table_name from duckdb_tables() where database_name = 'w' and schema_name = ?",
        [schema],
    ).fetchall()
    return {name for (name,) in rows}


def _write_table(
    con: duckdb.DuckDBPyConnection, table: TableContract, home: Path, guard: Guard
) -> list[str]:
    """Copy the contents of one table that count; return the files whose content cannot be had."""
    if table.identifier not in _tables(con, "landing"):
        ledger.create_landing_table(con, table)
        return []
    name, key = identifier(table.identifier), [table.source, table.name]
    # in the shape it has: where the contract has changed since, the run lands the files again
    con.execute(f"create table landing.{name} as from w.landing.{name} limit 0")
    con.execute(
        "insert into control.tables from w.control.tables where source = ? and table_name = ?", key
    )
    held = "select digest from control.contents where source = ? and table_name = ?"
    wanted = (
        "select digest from control.current_contents where source = ? and table_name = ? "
        f"and digest not in ({held})"
    )
    places = [("landing", "")]
    if table.identifier in _tables(con, "history"):
        places.append(("history", "_history"))
    for schema, suffix in places:
        here = (
            f"select digest from w.control.contents{suffix} "
            f"where source = ? and table_name = ? and digest in ({wanted})"
        )
        con.execute(
            f"insert into landing.{name} by name select * from w.{schema}.{name} "
            f"where _digest in ({here})",
            key * 3,
        )
        for account in ("quarantine", "contents"):
            con.execute(
                f"insert into control.{account} from w.control.{account}{suffix} "
                f"where source = ? and table_name = ? and digest in ({here})",
                key * 4,
            )
    missing = con.execute(
        f"select file_name from control.current_files where source = ? and table_name = ? "
        f"and digest not in ({held}) order by file_name",
        key * 2,
    ).fetchall()
    if not missing:
        return []
    try:
        land_again(
            con, table, archive=Archive(home / "archive", guard), inbox=home / "inbox",
            scratch=_folders(home / "tmp"), clock=lambda: datetime.now(UTC).replace(tzinfo=None),
            guard=guard,
        )  # fmt: skip
    except RefusedFileError:
        return [f"{table.source}/{table.name}/{file}" for (file,) in missing]
    return []


def _folders(place: Path) -> Scratch:
    @contextmanager
    def folder() -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=place) as name:
            yield Path(name)

    return folder


def _write_control(con: duckdb.DuckDBPyConnection, moment: Moment) -> None:
    ensure_records(con)
    con.execute(STATUS_TABLE)
    con.execute(EVALUATION_TABLE)
    con.execute(OFFERED_TABLE)
    present = _tables(con, "control")
    for table in _COPIED:
        if table in present:
            con.execute(f"insert into control.{table} by name from w.control.{table}")
    if moment.publication is None:
        return
    number = moment.publication.publication
    con.execute("delete from control.publications where publication >= ?", [number])
    con.execute("delete from control.restatements where publication > ?", [number])
    con.execute("delete from control.model_candidates")
    for model, status in json.loads(moment.publication.model_statuses).items():
        con.execute(
            "insert into control.model_candidates values (?, '', ?, ?, '', null, null)",
            [model, moment.publication.as_of, status],
        )


def copy_archive(company: Path, home: Path) -> None:
    """Give the new home the archive: the same bytes under names of its own."""
    if (company / "archive").is_dir():
        shutil.copytree(
            company / "archive", home / "archive", copy_function=_link, dirs_exist_ok=True
        )


def copy_vault(company: Settings, home: Path) -> str | None:
    """Give the new home the vault, encrypted as it is; return the master key, to be handed on.

    ``None`` where the company has no vault.
    """
    from crm_pipeline.vault.keys import find_keys
    from crm_pipeline.vault.store import FILE

    if not (company.home / FILE).is_file():
        return None
    keys = find_keys(company.home, company.master_key, creates=False)
    shutil.copyfile(company.home / FILE, home / FILE)
    return keys.text


def erased_since(con: duckdb.DuckDBPyConnection, publication: Publication) -> bool:
    """Whether rows of the warehouse ``w`` were erased after a publication was made."""
    with suppress(duckdb.CatalogException):
        row = con.execute(
            "select 1 from w.control.erasures where erased_at > ? and rows_erased > 0",
            [publication.built_at],
        ).fetchone()
        return row is not None
    return False


def copy_models(company: Path, home: Path) -> None:
    """Give the new home the models: a copy of MLflow's database, the same artifacts."""
    source, target = company / "mlflow", home / "mlflow"
    if not source.is_dir():
        return
    shutil.copytree(
        source, target, copy_function=_link, dirs_exist_ok=True,
        ignore=shutil.ignore_patterns(f"{DATABASE}*"),
    )  # fmt: skip
    if (source / DATABASE).is_file():
        with (
            closing(sqlite3.connect(f"file:{source / DATABASE}?mode=ro", uri=True)) as held,
            closing(sqlite3.connect(target / DATABASE)) as copy,
        ):
            held.backup(copy)


def _link(source: str, target: str) -> None:
    """Link a file; copy it where the file system cannot. Nobody changes these files in place."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
