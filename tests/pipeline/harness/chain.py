"""Every stage before the models on one home, in a process of its own that a test may kill.

The pipeline's own landing, bookkeeping and publication; between them dbt's recorded SQL, since a
process that imports dbt and Dagster would spend its life on that.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path

from crm_pipeline.defs.landing import changes
from crm_pipeline.defs.publication.swap import FILE, new_version, publish
from crm_pipeline.defs.publication.writing import copy_table
from crm_pipeline.resources.warehouse import Warehouse
from tests.pipeline.harness.warehouse import FileWarehouse, Plan

STEPS = {
    "land_files": ("landing",),
    "control__run_settings": ("settings",),
    "build_marts": ("begin", "models", "end"),
    "published__crm_duckdb": ("writing", "swap"),
}
"""Steps of the asset graph that change data without the models, and their stages here: a new one
must be added, or ``tests/definitions`` fails. Models and checks are killed in whole runs."""

STAGES = tuple(stage for stages in STEPS.values() for stage in stages)


def run_chain(plan: Plan, home: Path, note: Callable[[str], None] = lambda stage: None) -> bool:
    """Land, build, publish; say which stage begins; return whether it was built in part."""
    changes.MOST_OF_IT = float("inf")
    door = Warehouse(path=str(home / "warehouse.duckdb"), scratch=str(home / "tmp"))
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    with door.slot():
        note("landing")
        warehouse = FileWarehouse(plan, home)
        warehouse.land(datetime.fromisoformat("2025-01-01"))
        note("settings")
        warehouse.settle(None)
        note("begin")
        scope = warehouse.begin()
        note("models")
        warehouse.make(scope)
        note("end")
        warehouse.end(scope)
        warehouse.close()
    note("writing")
    folder = new_version(home / "published")
    with door.publishing(folder / FILE) as db:
        db.execute("create schema marts")
        db.execute("create schema meta")
        db.execute("create table meta.build as select as_of from w.control.run_settings")
        for table in plan.published:
            copy_table(db, table, folder / "parquet")
    note("swap")
    publish(home / "published", folder)
    return scope.is_part


def _child(plan: Plan, home: Path, pipe: Connection) -> None:
    note = pipe.send
    note("begun")
    run_chain(plan, home, note)
    note("done")


@dataclass
class Killed:
    """How far a chain came: its last stage, or ``done``; and after how long."""

    stage: str
    seconds: float


class Killer:
    """Starts chains in processes that have imported everything already, and kills them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.pipeline.harness.chain"])

    def run(self, home: Path, kill_after: float | None = None, within: str | None = None) -> Killed:
        """Run a chain; kill -9 ``kill_after`` seconds after it began, unless it is over.

        With ``within`` the seconds count from the beginning of that stage.
        """
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_child, args=(self.plan, home, theirs))
        process.start()
        theirs.close()
        assert ours.recv() == "begun"
        started = time.monotonic()
        stage = "begun"
        while within is not None and stage not in (within, "done"):
            stage = ours.recv()
        if kill_after is not None:
            process.join(kill_after)
            process.kill()
        process.join()
        seconds = time.monotonic() - started
        try:
            while True:
                stage = ours.recv()
        except EOFError:
            pass
        if kill_after is None:
            assert stage == "done", f"an undisturbed chain ended in stage {stage}"
        return Killed(stage, seconds)


def lose_power(home: Path, rnd: random.Random) -> int:
    """Cut files that nobody had put on the disk when the process died; return how many.

    What a power failure may take is what was written and not yet synchronised: here the
    publication that ``.current`` does not name yet, and the scratch folder. What DuckDB wrote is
    left alone: it synchronises its log at every commit, and a test cannot know how far it was.
    """
    versions = home / "published" / ".versions"
    current = (home / "published" / ".current").resolve()
    unfinished = [f for f in versions.glob("*/**/*") if f.is_file() and current not in f.parents]
    # older publications are complete: only what is newer than the current one is unfinished
    files = [f for f in unfinished if f.relative_to(versions).parts[0] > current.name]
    files += [f for f in (home / "tmp").rglob("*") if f.is_file()]
    for file in files:
        file.chmod(0o644)
        with file.open("r+b") as handle:
            handle.truncate(rnd.randint(0, file.stat().st_size))
    return len(files)
