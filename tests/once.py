"""What is expensive to make is made once a test session, by whichever worker needs it first."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import pytest


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of this test session share, and no other session."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@cache
def run_folder() -> Path:
    """Return a folder that all workers of this test session share, where no fixture is at hand."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return Path(mkdtemp(prefix="crm-run-"))
    folder = Path(gettempdir()) / f"crm-run-{run}"
    folder.mkdir(exist_ok=True)
    return folder


def made_once(folder: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Return ``folder/name`` as ``make`` left it: the first who asks makes it, the others wait.

    It is made in its place, since a home holds paths of its own; that it is whole, or why it is
    not, is written beside it afterwards. What a killed maker left is made anew.

    Raises:
        AssertionError: Another worker could not make it; the message says why.
    """
    place, verdict = folder / name, folder / f"{name}.made"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not verdict.is_file():
            shutil.rmtree(place, ignore_errors=True)
            try:
                make(place)
            finally:
                error = sys.exception()
                said = "" if error is None else f"{type(error).__name__}: {error}"
                verdict.with_suffix(".new").write_text(said)
                verdict.with_suffix(".new").replace(verdict)
    why = verdict.read_text()
    assert not why, f"{name} could not be made by the worker that tried:\n{why}"
    return place
