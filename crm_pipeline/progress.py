"""What a person sees while ``crm run`` works: one line a step, failures in plain words."""

from __future__ import annotations

import logging
import os
import sys
import time

import dagster as dg
from dagster import DagsterEventType

# Steps' own output is captured at the file descriptor; progress goes to the terminal as it was.
_TERMINAL = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1) if sys.stdout else None


def report(line: str) -> None:
    """Print a line where the person who waits sees it, whatever is captured meanwhile."""
    if _TERMINAL is not None:
        _TERMINAL.write(line + "\n")


class ProgressHandler(logging.Handler):
    """Prints a line when a step ends, every failed check and every warning of ours."""

    def __init__(self) -> None:
        """Start with no step running."""
        super().__init__(logging.DEBUG)
        self._started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Print what a Dagster event means to the person who waits."""
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        if _TERMINAL is None:
            return
        if event is None:
            # what a step warns of; Dagster tells of the steps it skips as errors
            if record.levelno == logging.WARNING:
                _TERMINAL.write(f"  note {meta.get('orig_message') or record.getMessage()}\n")
            return
        step = event.step_key or ""
        kind = event.event_type
        if kind == DagsterEventType.STEP_START:
            self._started[step] = time.monotonic()
            if _TERMINAL.isatty():
                _TERMINAL.write(f"  ... {step}\r")
        elif kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
            seconds = time.monotonic() - self._started.get(step, time.monotonic())
            word = "ok  " if kind == DagsterEventType.STEP_SUCCESS else "FAIL"
            _TERMINAL.write(f"  {word} {step:<44} {seconds:7.1f} s\n")
        elif kind == DagsterEventType.STEP_UP_FOR_RETRY:
            _TERMINAL.write(f"  retry {step}\n")
        elif kind == DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed:
                word = "FAIL" if check.severity == dg.AssetCheckSeverity.ERROR else "warn"
                name = f"{check.asset_key.to_user_string()}: {check.check_name}"
                _TERMINAL.write(f"  {word} check {name}: {check.description or 'see the UI'}\n")


@dg.logger({}, description="One line a step, for `crm run`.")
def progress_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    """Return the logger that Dagster hands every event of the run."""
    logger = logging.Logger("crm.progress")
    logger.addHandler(ProgressHandler())
    return logger
