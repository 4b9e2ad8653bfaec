"""What a publication says after it was made: that a later run was refused, that a check now warns.

A refused run publishes nothing, so only the publication that stays can say so: its DuckDB file is
replaced by a copy with one more row in ``meta.runs_since``. Its Parquet is not touched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from crm_pipeline.alerts import send_alert
from crm_pipeline.defs.publication.swap import FILE, amend, changing, current_version
from crm_pipeline.settings import Settings

JOBS = ("everything", "refresh", "training")
"""Jobs that end with a publication. Somebody who tries one asset says nothing about it."""

SHORT = 8
"""Letters of a run's id that the UI shows and people quote."""

Warned = dict[tuple[str, ...], str]
"""What a failing check that does not block complains of -> a line that says so."""


@dataclass(frozen=True)
class Attempt:
    """A run that was to publish and did not.

    Attributes:
        run_id: Its whole id.
        ended_at: When it ended, naive UTC.
        job: Its job.
        outcome: ``refused`` by a blocking check, or ``failed``.
        reason: Why, without any value.
    """

    run_id: str
    ended_at: datetime
    job: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class Standing:
    """The publication that readers see: when it was made, and up to which day."""

    built_at: datetime
    as_of: date

    def __str__(self) -> str:
        """The publication in words."""
        return f"the publication of {self.built_at:%Y-%m-%d %H:%M} UTC, as of {self.as_of}"


def standing(published: Path) -> Standing | None:
    """Return the publication that readers see, or ``None`` before the first."""
    if current_version(published) is None:
        return None
    with duckdb.connect(str(published / FILE), read_only=True) as db:
        row = db.execute("select built_at, as_of from meta.build").fetchone()
    return Standing(*row) if row else None


def _has(db: duckdb.DuckDBPyConnection, table: str) -> bool:
    found = db.execute(
        "select count(*) from duckdb_tables() where schema_name = 'meta' and table_name = ?",
        [table],
    ).fetchone()
    return bool(found and found[0])


def has_notices(db: duckdb.DuckDBPyConnection) -> bool:
    """Whether the open publication can hold notices; one from before there were any cannot."""
    return _has(db, "runs_since")


def add_notice(published: Path, attempt: Attempt) -> bool:
    """Write a refused run into the publication that stays; return whether that was news.

    Once a run: the command and the sensor both call this. Nothing is written where there is no
    publication, or where one was made since.
    """
    with changing(published):
        stays = standing(published)
        if stays is None or stays.built_at > attempt.ended_at:
            return False
        with duckdb.connect(str(published / FILE), read_only=True) as db:
            # a publication from before there were notices, or one that has this one
            if not has_notices(db) or attempt.run_id[:SHORT] in _noticed(db):
                return False

        def change(file: Path) -> None:
            file.chmod(0o644)
            with duckdb.connect(str(file)) as db:
                values = [attempt.run_id[:SHORT], *list(vars(attempt).values())[1:]]
                db.execute(
                    "insert into meta.runs_since (run_id, ended_at, job, outcome, reason) "
                    "values (?, ?, ?, ?, ?)",
                    values,
                )
                db.execute("checkpoint")

        amend(published, change)
    return True


def _noticed(db: duckdb.DuckDBPyConnection) -> set[str]:
    return {run_id for (run_id,) in db.execute("select run_id from meta.runs_since").fetchall()}


def warnings_of(published: Path) -> Warned:
    """Return what the checks of the publication warn of; nothing before the first.

    Each unusual figure of ``meta.check_bounds`` is a warning of its own, so that a second one on
    the same table is news.
    """
    if current_version(published) is None:
        return {}
    with duckdb.connect(str(published / FILE), read_only=True) as db:
        if not _has(db, "check_bounds"):
            return {}
        unusual = db.execute(
            "select source || '__' || table_name, measure, coalesce(column_name, ''), observed, "
            "lower, upper from meta.check_bounds where not is_within order by all"
        ).fetchall()
        failing = db.execute(
            "select table_name, check_name, owner, observed from meta.quality "
            "where not passed and severity = 'warn' order by all"
        ).fetchall()
    found: Warned = {}
    figures: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for table, measure, column, observed, lower, upper in unusual:
        ends = " to ".join("any" if end is None else f"{end:.4g}" for end in (lower, upper))
        name = f"{measure} of {column}" if column else measure
        line = f"{name} {observed:.4g}, usual {ends}"
        figures.setdefault(f"raw.{table}", []).append(((measure, column), line))
    for table, check, owner, numbers in failing:
        head = f"warn: {table}: {check} ({owner})"
        if check == "resembles_its_history":
            for which, line in figures.get(table, []):
                found[table, check, *which] = f"{head}: {line}"
        else:
            found[table, check] = f"{head}{': ' + _counts(numbers) if numbers else ''}"
    return found


def _counts(observed: str) -> str:
    return ", ".join(f"{name} {number}" for name, number in json.loads(observed).items())


def tell_new_warnings(settings: Settings, before: Warned, *, run_id: str) -> list[str]:
    """Send one alert for what the publication warns of and the one before did not."""
    now = warnings_of(settings.published)
    news = [line for what, line in now.items() if what not in before]
    if news:
        send_alert(
            settings,
            title=f"published with {len(news)} new warning{'s' if len(news) > 1 else ''}",
            text="; ".join(news),
            run_id=run_id,
        )
    return news
