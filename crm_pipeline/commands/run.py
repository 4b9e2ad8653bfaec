"""``crm run`` and ``crm dev``: the whole pipeline in this process, or the UI."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crm_pipeline.errors import UserError
from crm_pipeline.settings import (
    CHECKOUT,
    Settings,
    export_environment,
    load_settings,
    parse_date,
    prepare_home,
)

if TYPE_CHECKING:
    from dagster import DagsterInstance

OPENING_SECONDS = 120.0
"""So long a run waits for another that makes Dagster's databases, which takes a second or two."""


def run(options: argparse.Namespace) -> int:
    """Land and run everything; 0 only if the result was published and no guard objected."""
    settings = load_settings()
    as_of = parse_date(options.as_of, "--as-of").isoformat() if options.as_of else ""
    return run_everything(
        settings, sources=options.sources, as_of=as_of, full_refresh=options.full_refresh
    )


def run_everything(
    settings: Settings,
    *,
    sources: list[str],
    as_of: str = "",
    full_refresh: bool = False,
    job_name: str = "everything",
) -> int:
    """Run a job, of all of them ``everything``, in this process; return the exit code."""
    prepare_home(settings)
    export_environment(settings)
    started = time.monotonic()
    print(f"crm: running {', '.join(sources or settings.sources)} in {settings.home}")
    _quiet()
    # Importing makes a million objects that live to the end: looking through them again and again
    # for garbage costs seconds.
    gc.disable()

    from crm_pipeline.definitions import defs
    from crm_pipeline.defs.landing.assets import CONTRACTS, check_sources
    from crm_pipeline.defs.landing.inbox import wait_until_settled
    from crm_pipeline.defs.quality.accountable import accountable
    from crm_pipeline.progress import report
    from crm_pipeline.refusals import report_failure
    from crm_pipeline.resources.event_log import kept_open
    from crm_pipeline.resources.leaks import free_leaked_slots, living_process

    check_sources(settings, sources)
    wait_until_settled(settings.inbox, CONTRACTS, only=set(sources or settings.sources))
    with (
        opened_instance(settings.dagster_home) as instance,
        kept_open(instance),
        living_process(settings.dagster_home) as tags,
        _output_to(settings) as log,
    ):
        for note in free_leaked_slots(instance, settings.dagster_home):
            report(f"crm: {note}")
        job = defs().get_repository_def().get_job(job_name)
        gc.freeze()
        gc.enable()
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags=tags,
            run_config={
                "loggers": {"progress": {}},
                "ops": {
                    "land_files": {"config": {"sources": sources}},
                    "control__run_settings": {"config": {"as_of": as_of}},
                    "build_marts": {"config": {"full_refresh": full_refresh}},
                },
            },
        )
        if not (result.success or was_interrupted(result)):
            answerable = accountable(job.asset_layer.asset_graph)
            report_failure(settings, instance, result.dagster_run, answerable)
    seconds = time.monotonic() - started
    if result.success and (idle := skipped(result)):
        print(f"crm: {idle}", file=sys.stderr)
        return 1
    if result.success:
        print(f"crm: published {settings.published / 'crm.duckdb'} in {seconds:.0f} s")
        return 0
    if was_interrupted(result):
        raise KeyboardInterrupt
    for message in failures(result):
        print(f"crm: {message}", file=sys.stderr)
    print(
        f"crm: the run failed after {seconds:.0f} s; the last good publication stays. "
        f"Details: {log.relative_to(settings.home)} in CRM_HOME, or `make dev`.",
        file=sys.stderr,
    )
    return 1


@contextlib.contextmanager
def opened_instance(dagster_home: Path) -> Iterator[DagsterInstance]:
    """Open Dagster's instance; of two that begin on a new home, one makes its databases.

    Dagster makes its tables without asking whether another process is about to: the second would
    end with "table already exists".
    """
    import dagster as dg

    from crm_pipeline.resources.warehouse import exclusive

    with exclusive(dagster_home / ".opening.lock", wait_seconds=OPENING_SECONDS):
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance


def skipped(result: Any) -> str:
    """Say which steps were passed over, and what to do; nothing where all were made.

    Dagster passes over what hangs on a table that was not made and calls the run a success.
    """
    steps = [e.step_key for e in result.all_events if e.event_type_value == "STEP_SKIPPED"]
    if not steps:
        return ""
    more = f" and {len(steps) - 3} more" if len(steps) > 3 else ""
    return (
        f"{', '.join(steps[:3])}{more} had nothing to work on, so nothing was published: the "
        "prepared dbt project is not that of these files. `make setup`, then run again."
    )


def was_interrupted(result: Any) -> bool:
    """Whether a step ended because somebody stopped the run, which Dagster records as a failure."""
    errors = [
        event.step_failure_data.error
        for event in result.all_events
        if event.event_type_value == "STEP_FAILURE"
    ]
    return any(error and error.cls_name == "DagsterExecutionInterruptedError" for error in errors)


def failures(result: Any) -> list[str]:
    """Return a plain sentence for every step that failed by itself, in order."""
    messages = []
    for event in result.all_events:
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity.value == "ERROR":
                name = f"{check.asset_key.to_user_string()}: {check.check_name}"
                messages.append(f"check {name} failed: {check.description or 'see the UI'}")
        elif event.event_type_value == "STEP_FAILURE":
            data = event.step_failure_data
            given = data.user_failure_data
            if given is not None and given.description:
                messages.append(f"{event.step_key}: {given.description}")
            elif data.error is not None and data.error.cls_name != "DagsterAssetCheckFailedError":
                cause = data.error.cause or data.error
                messages.append(f"{event.step_key}: {cause.message.strip()}")
    return messages


def _quiet() -> None:
    """Leave the terminal to the progress lines; everything else is in the run's log."""
    warnings.filterwarnings("ignore")
    for name in ("alembic", "mlflow", "great_expectations", "dagster", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def _output_to(settings: Settings) -> Any:
    """Send what libraries print to a log file below ``$CRM_HOME/logs``, which is yielded."""
    folder = settings.home / "logs"
    folder.mkdir(exist_ok=True)
    log = folder / f"run-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.log"
    with log.open("w", encoding="utf-8") as out, contextlib.redirect_stdout(out):
        with contextlib.redirect_stderr(out):
            yield log


def dev(options: argparse.Namespace) -> int:
    """Replace this process by Dagster's development server, on loopback."""
    settings = load_settings()
    prepare_home(settings)
    export_environment(settings)

    from crm_pipeline.resources.dbt import ensure_manifest

    ensure_manifest()
    port = options.port or settings.port
    program = Path(sys.executable).parent / "dagster"
    if not program.is_file():
        raise UserError("dagster is not installed beside this Python: run `make setup`.")
    print(f"crm: the UI will be at http://127.0.0.1:{port}", flush=True)
    workspace = str(CHECKOUT / "workspace.yaml")
    arguments = ["dagster", "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    os.chdir(CHECKOUT)
    os.execv(program, arguments)
