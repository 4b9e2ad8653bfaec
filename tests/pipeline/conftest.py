"""Two companies, each made once a session by the real command: one large enough for models."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from tests.once import made_once, session_folder
from tests.pipeline.support import (
    copy_home,
    crm,
    environment,
    publication,
    published,
    start_crm,
    succeeded,
)

CUSTOMERS = 1500
TINY = 120


def _home(factory: pytest.TempPathFactory, customers: int) -> Path:
    """Return this worker's own copy of the home after ``crm demo`` of this many customers.

    One home for all workers would have them meet at its locks.
    """

    def make(home: Path) -> None:
        out = succeeded(crm(home, "demo", "--customers", str(customers)))
        assert "published" in out

    made = made_once(session_folder(factory), f"of_{customers}", make)
    return copy_home(made, factory.getbasetemp() / made.name)


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three champions. Read it; to change it, copy it."""
    return _home(tmp_path_factory, CUSTOMERS)


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with too few customers for value and churn. Read it; to change it, copy it."""
    return _home(tmp_path_factory, TINY)


@dataclass(frozen=True)
class SecondRun:
    """What `crm run` did on an unchanged inbox, and what a reader saw meanwhile.

    Attributes:
        home: The home afterwards.
        before: Table -> digest of the Parquet published before.
        output: What the command printed.
        old_file: Rows that a reader saw who had opened the file before the run, at its end.
        builds: Times of publication that readers saw who opened the file during the run, in order.
        faults: What went wrong for them.
    """

    home: Path
    before: dict[str, str]
    output: str
    old_file: list[tuple]
    builds: list[datetime]
    faults: list[str]


@pytest.fixture(scope="session")
def second_run(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SecondRun:
    """A copy of the demo home after `crm run` with nothing new, while somebody reads.

    A folder of no declared source lies in the inbox: it is left alone, and named.
    """
    home = copy_home(demo_home, tmp_path_factory.mktemp("again") / "home")
    (home / "inbox" / "nonsense").mkdir()
    (home / "inbox" / "nonsense" / "a.csv").write_text("a\n1\n")
    before = publication(home)
    builds, faults = [], []
    with published(home) as held:
        process = start_crm(home, "run")
        while process.poll() is None:
            try:
                with published(home) as db:
                    db.execute("select count(*) from marts.fct_order_items").fetchone()
                    builds += db.execute("select built_at from meta.build").fetchone() or ()
            except duckdb.Error as error:
                faults.append(str(error))
            # a look costs as much as some steps of the run: ten a second were a third of this test
            time.sleep(0.5)
        old_file = held.execute("select built_at from meta.build").fetchall()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return SecondRun(home, before, out + err, old_file, builds, faults)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory):
    """All definitions, resolved for a home of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(tmp_path_factory.mktemp("definitions")).items():
            if name.startswith("CRM_"):
                patch.setenv(name, value)
        from crm_pipeline.definitions import defs

        resolved = defs()
        dg.Definitions.validate_loadable(resolved)
        return resolved.get_repository_def()


@pytest.fixture
def demo_copy(demo_home: Path, tmp_path: Path) -> Path:
    """The demo company's home, to be changed."""
    return copy_home(demo_home, tmp_path / "home")


@pytest.fixture
def tiny_copy(tiny_home: Path, tmp_path: Path) -> Path:
    """The tiny company's home, to be changed."""
    return copy_home(tiny_home, tmp_path / "home")
