"""A simulated clock that drives the sensor, the schedules and their jobs through an operation.

Run as ``python -m tests.pipeline.harness.two_days INBOX HOURS``, in a process whose ``CRM_HOME``
is the home; then, in another, as ``... two_days train-anew``. Every decision is the pipeline's own:
the sensor and the schedules are evaluated as Dagster's daemon does (their own functions, their own
cron lines, repeated run keys dropped, ticks that an outage missed made up for), and the jobs they
ask for run whole, one after the other. What is simulated is the clock, and that nobody waits for
it.
"""

from __future__ import annotations

import gzip
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

SUNDAY = datetime(2026, 7, 5, tzinfo=UTC)
MISSED_AT_MOST = 5
"""Ticks of a schedule that the daemon makes up for after an outage, its default."""


class Operation:
    """One home in operation; ``now`` is the only clock."""

    def __init__(self, home: Path, start: datetime) -> None:
        from crm_pipeline.definitions import defs
        from crm_pipeline.defs.automation import daily_refresh, files_arrived, weekly_training

        self.repository = defs().get_repository_def()
        self.instance = dg.DagsterInstance.get()
        self.home = home
        self.now = start
        self.sensor = files_arrived
        self.schedules = (daily_refresh, weekly_training)
        self.cursor: str | None = None
        self.run_keys: set[str] = set()
        self.ticks: dict[str, datetime] = dict.fromkeys((s.name for s in self.schedules), start)
        self.runs: Counter[str] = Counter()

    def deliver(self, name: str, content: bytes) -> None:
        """A file arrives, complete; its name says the source too, as in ``demo/orders.csv``."""
        file = self.home / "inbox" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.with_name(f"{file.name}.done").touch()

    def look(self) -> None:
        """What the daemon does when it comes round: every schedule that is due, and the sensor."""
        for schedule in self.schedules:
            for due in self._due(schedule):
                context = dg.build_schedule_context(self.instance, scheduled_execution_time=due)
                with context:
                    for request in schedule.evaluate_tick(context).run_requests or []:
                        self.run(schedule.job_name, request, schedule.name)
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        for request in data.run_requests or []:
            if request.run_key not in self.run_keys:
                self.run_keys.add(str(request.run_key))
                self.run("refresh", request, self.sensor.name)

    def _due(self, schedule: dg.ScheduleDefinition) -> Iterator[datetime]:
        from dagster._utils.schedules import cron_string_iterator

        since = self.ticks[schedule.name]
        self.ticks[schedule.name] = self.now
        due = []
        for tick in cron_string_iterator(
            since.timestamp(), str(schedule.cron_schedule), schedule.execution_timezone
        ):
            if tick > self.now:
                break
            if tick > since:
                due.append(tick)
        yield from due[-MISSED_AT_MOST:]

    def run(self, job: str, request: Any, why: str) -> None:
        result = self.repository.get_job(job).execute_in_process(
            instance=self.instance,
            run_config=request.run_config or None,
            tags=dict(request.tags or {}),
            raise_on_error=False,
        )
        assert result.success, f"{job} at {self.now}, asked for by {why}, failed: " + "; ".join(
            str(event.message) for event in result.all_events if event.is_failure
        )
        self.runs[f"{job} ({why})"] += 1

    def train_anew(self) -> None:
        """Forget every model, and train once from the data as they are now.

        In a process that has not opened the registry yet: an open one would go on being written.
        """
        for name in ("mlflow", "models"):
            shutil.rmtree(self.home / name, ignore_errors=True)
        (self.home / "mlflow").mkdir()
        self.run("training", dg.RunRequest(), "the end")


def delivered_to(inbox: Path) -> dict[str, bytes]:
    """Return what lies in an inbox: source and file name -> content, in order of name."""
    files = (p for p in inbox.glob("*/*") if p.suffix != ".done")
    return {p.relative_to(inbox).as_posix(): p.read_bytes() for p in sorted(files)}


def half(name: str, content: bytes) -> bytes:
    """The first half of a file's lines, under the same name: what is corrected later."""
    text = gzip.decompress(content) if name.endswith(".gz") else content
    lines = text.splitlines(keepends=True)
    short = b"".join(lines[: len(lines) // 2])
    return gzip.compress(short, mtime=0) if name.endswith(".gz") else short


def simulate(home: Path, inbox: Path, hours: int) -> Counter[str]:
    """Operate for ``hours``: a file an hour, two corrections, an outage; return the runs."""
    start = SUNDAY - timedelta(hours=hours // 2 if hours > 8 else 2)
    operation = Operation(home, start)
    files = delivered_to(inbox)
    rnd = random.Random(hours)
    hourly = rnd.sample(sorted(files), hours)
    corrected = [name for name in sorted(files) if name.startswith("demo/order_items")][-2:]
    corrections = dict(zip((hours // 3, hours - 1), corrected, strict=True))
    outage = range(hours // 2, hours // 2 + max(2, hours // 8))
    for name, content in files.items():
        if name not in hourly:
            operation.deliver(name, half(name, content) if name in corrected else content)
    delivered = set(files) - set(hourly)
    for hour in range(hours):
        operation.now = start + timedelta(hours=hour, minutes=30)
        name = hourly[hour]
        delivered.add(name)
        is_short = name in corrected and not any(
            h <= hour and corrections[h] == name for h in corrections
        )
        operation.deliver(name, half(name, files[name]) if is_short else files[name])
        if hour in corrections and corrections[hour] in delivered:
            operation.deliver(corrections[hour], files[corrections[hour]])
        if hour not in outage:
            operation.look()
            print(f"hour {hour}: {dict(operation.runs)}", flush=True)
    # what is corrected before it came first is whole already
    for name in corrected:
        operation.deliver(name, files[name])
    operation.look()
    return operation.runs


if __name__ == "__main__":
    from crm_pipeline.settings import export_environment, load_settings, prepare_home

    settings = load_settings()
    prepare_home(settings)
    export_environment(settings)
    if sys.argv[1:] == ["train-anew"]:
        Operation(settings.home, SUNDAY).train_anew()
    else:
        print("runs:", dict(simulate(settings.home, Path(sys.argv[1]), int(sys.argv[2]))))
